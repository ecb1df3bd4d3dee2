"""A search by Optuna for training flags that validate best (docs/tuning.md)."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import pathlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import optuna
from optuna.trial import TrialState

from pipelines.experiments import runner
from pipelines.experiments.search_space import Choice, Parameter, Range
from ssl_recsys import files, schema
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation.metrics import SELECTABLE, VALIDATION_METRIC, selected
from ssl_recsys.training.run_dir import METRICS_FILE

METRICS = SELECTABLE
# Flags of a run that the search itself sets.
OWN_FLAGS = ("eval_split", "eval_max_queries", "model_dir", "seed", "resume", "flagfile")
BEST_FILE = "best.flags"
_STUDY_FILE = "study.db"
_INTERRUPTED = "interrupted"  # attribute of the study: numbers of the trials that are repeated
_REPEATS = "repeats"  # attribute of a trial: number of the interrupted one that it repeats
_FLAGS = "flags"  # attribute of a trial: the flags that were searched, as they were given


@contextlib.contextmanager
def naming_database(output_dir: pathlib.Path) -> Iterator[None]:
    """Turns what SQLite says of a search's database, as of a full disk, into an InputError."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause and not isinstance(cause, sqlite3.Error):
            cause = cause.__cause__
        if cause is None:
            raise
        raise InputError(f"{output_dir / _STUDY_FILE}: {cause}") from error


class Search:
    """A study of Optuna, each of whose trials is one or several runs.

    Args:
      base: training flags that all runs share.
      space: the flags that are searched.
      output_dir: where `study.db` and `runs/` are.
      seeds: of a trial's runs.
      metric: one of `METRICS`, to maximise.
      search_seed: of the sampler. With one run at a time the same seed tries the same flags, also
        if the search is stopped and resumed.
    """

    def __init__(
        self,
        base: Mapping[str, str],
        space: Sequence[Parameter],
        output_dir: pathlib.Path,
        *,
        seeds: Sequence[str] = ("0",),
        metric: str = VALIDATION_METRIC,
        search_seed: int = 0,
    ):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._base = dict(base)
        self._space = space
        self._seeds = seeds
        self._metric = metric
        self._dir = output_dir
        output_dir.mkdir(parents=True, exist_ok=True)
        storage = f"sqlite:///{output_dir / _STUDY_FILE}"
        self.study = optuna.create_study(
            study_name="tune", storage=storage, load_if_exists=True, direction="maximize"
        )
        self._check_same()
        self._search_seed = search_seed
        self._requeue_interrupted()

    def try_first(self, values: Iterable[Mapping[str, float | int | str]]) -> None:
        """Has the search begin with these values of all parameters, unless they were tried."""
        for one in values:
            self.study.enqueue_trial(dict(one), skip_if_exists=True)

    def carry_out(self, num_trials: int, through: runner.Runner) -> None:
        """Tries until `num_trials` trials have ended, and writes the best flags.

        Args:
          num_trials: with those of earlier sessions.
          through: carries out the runs.

        Raises:
          InputError: if every run of the search failed, with the last one's log.
        """
        of_run: dict[str, int] = {}
        values: dict[int, list[float]] = {}
        failed = None
        for finished in through.run_all(self._runs(num_trials, of_run, values)):
            trial = of_run[finished.run.name]
            if finished.error is not None:
                failed = finished
                values[trial].append(float("nan"))
            else:
                values[trial].append(self._value(finished.model_dir))
            if len(values[trial]) == len(self._seeds):
                self._tell(trial, values[trial], finished)
        if failed is not None and not self._completed():
            runner.check(failed)
        self.write_best()

    def write_best(self) -> None:
        """Writes the flags of the best trial, with what all runs share, as a flag file."""
        if not self._completed():
            return
        best = self.study.best_trial
        lines = [
            f"# Validation {self._metric} {best.value:.4f}: the best of {len(self._completed())} "
            f"trials, seeds {', '.join(self._seeds)}.",
            *(
                f"--{name}={value}"
                for name, value in (self._base | best.user_attrs[_FLAGS]).items()
            ),
        ]
        files.write_text(self._dir / BEST_FILE, "\n".join(lines) + "\n")

    def _runs(
        self, num_trials: int, of_run: dict[str, int], values: dict[int, list[float]]
    ) -> Iterator[runner.Run]:
        while (number := self._begun()) < num_trials:
            # What a trial draws hangs on the results before it, not on the stops in between.
            self.study.sampler = optuna.samplers.TPESampler(
                seed=self._search_seed + number, constant_liar=True
            )
            trial = self.study.ask()
            chosen = {parameter.name: parameter.suggest(trial) for parameter in self._space}
            trial.set_user_attr(_FLAGS, chosen)
            values[trial.number] = []
            name = _digest(chosen)
            if any(used.startswith(name) for used in of_run):  # the same flags, asked for again
                self.study.tell(trial, state=TrialState.FAIL)
                continue
            for seed in self._seeds:
                run = f"{name}-{seed}"
                of_run[run] = trial.number
                yield runner.Run(run, _flags(self._base, chosen, seed))

    def _tell(self, number: int, values: Sequence[float], last: runner.Finished) -> None:
        mean = float(np.mean(values))
        if np.isnan(mean):
            self.study.tell(number, state=TrialState.FAIL)
            print(f"trial {number} failed, see {last.model_dir}.log", flush=True)
            return
        self.study.tell(number, mean)
        chosen = self.study.trials[number].user_attrs[_FLAGS]
        print(
            f"trial {number}: {self._metric} {mean:.4f} (best {self.study.best_value:.4f})  "
            + " ".join(f"--{name}={value}" for name, value in chosen.items()),
            flush=True,
        )

    def _value(self, model_dir: pathlib.Path) -> float:
        metrics = files.read_json(model_dir / METRICS_FILE)
        if metrics["split"] != schema.VALIDATION:
            raise InputError(f"{model_dir} was not evaluated on validation pairs; delete it")
        value = selected(metrics, self._metric)
        if value is None:
            raise InputError(f"no validation pair is of the slice of {self._metric}")
        return float(value)

    def _check_same(self) -> None:
        """Refuses to resume a search with different flags."""
        now = {
            "base": self._base,
            "space": [repr(parameter) for parameter in self._space],
            "seeds": list(self._seeds),
            "metric": self._metric,
        }
        before = self.study.user_attrs.get("settings")
        if before is None:
            self.study.set_user_attr("settings", now)
        elif before != now:
            changed = ", ".join(key for key in now if now[key] != before.get(key))
            raise InputError(
                f"{self._dir / _STUDY_FILE} holds a search with other {changed}; choose another "
                "--output_dir, or the same flags"
            )

    def _requeue_interrupted(self) -> None:
        """Repeats the trials of a killed session; their runs resume from a checkpoint.

        Killed between two of these steps, it is carried on by the next session.
        """
        repeated = {trial.user_attrs.get(_REPEATS) for trial in self.study.trials}
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if trial.number not in repeated:
                self.study.enqueue_trial(trial.params, user_attrs={_REPEATS: trial.number})
            interrupted = {*self.study.user_attrs.get(_INTERRUPTED, []), trial.number}
            self.study.set_user_attr(_INTERRUPTED, sorted(interrupted))
            self.study.tell(trial.number, state=TrialState.FAIL)

    def _begun(self) -> int:
        """Trials that have a result, or will have one; a failed run is a result."""
        begun = self.study.get_trials(
            states=(TrialState.COMPLETE, TrialState.RUNNING, TrialState.FAIL)
        )
        return len(begun) - len(self.study.user_attrs.get(_INTERRUPTED, []))

    def _completed(self) -> list:
        return self.study.get_trials(states=(TrialState.COMPLETE,))


def check_searchable(names: Iterable[str]) -> None:
    """Raises InputError for a flag that the search itself sets."""
    for name in names:
        if name in OWN_FLAGS:
            raise InputError(f"{name} is not for --base_flag or --search: the search sets it")


def possible_runs(
    base: Mapping[str, str], space: Sequence[Parameter], seeds: Sequence[str]
) -> Iterator[runner.Run]:
    """Runs with every combination of listed values, ranges at their lower and upper bounds.

    Flags that are wrong in any run of the search are wrong in one of these.
    """
    listed = [one.values if isinstance(one, Choice) else ("",) for one in space]
    for seed, upper in itertools.product(seeds, (False, True)):
        for values in itertools.product(*listed):
            chosen = {
                one.name: one.text(one.high if upper else one.low)
                if isinstance(one, Range)
                else value
                for one, value in zip(space, values, strict=True)
            }
            yield runner.Run("search", _flags(base, chosen, seed))


def _flags(base: Mapping[str, str], chosen: Mapping[str, str], seed: str) -> dict[str, str]:
    """A run's flags; test pairs are never read."""
    return {**base, **chosen, "eval_split": schema.VALIDATION, "seed": seed}


def _digest(chosen: Mapping[str, str]) -> str:
    """The name of a run: the same for the same flags."""
    text = json.dumps(chosen, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
