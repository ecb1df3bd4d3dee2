"""Searches for training flags that validate best.

    python -m pipelines.tune --flagfile=configs/tune_wiki.flags

A search by Optuna, whose study lies in `--output_dir/study.db`: run again, it goes on where it was
stopped. Every run is told `--eval_split=validation`, so that test pairs are never read. The best
flags are written to `--output_dir/best.flags`.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import optuna
from absl import flags, logging
from optuna.trial import TrialState

from data_prep.compressed import write_aside
from pipelines.experiments import runner, search_space
from ssl_recsys import cli
from ssl_recsys.errors import InputError
from ssl_recsys.training.run_dir import METRICS_FILE, read_json

_BASE_FLAGFILE = flags.DEFINE_string(
    "base_flagfile", None, "Flag file of ssl_recsys.train with what is not searched."
)
_BASE_FLAG = flags.DEFINE_multi_string(
    "base_flag", [], "One more training flag, as name=value; repeatable."
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Dataset directory; by default the base's.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Where study and runs are written.")
_SEARCH = flags.DEFINE_multi_string(
    "search",
    [],
    "A flag to search: name=low..high, with :log or :int behind it, or name=value|value; "
    "repeatable.",
)
_TRY = flags.DEFINE_multi_string(
    "try_first",
    [],
    "Values of all searched flags to try before the search, as name=value,name=value; repeatable.",
)
_NUM_TRIALS = flags.DEFINE_integer("num_trials", 30, "Trials in all, earlier ones included.")
_SEEDS = flags.DEFINE_list("seeds", ["0"], "A trial is the mean over runs with these seeds.")
_METRIC = flags.DEFINE_enum(
    "metric",
    "recall@50",
    ["recall@10", "recall@50", "map@10", "map@50"],
    "Validation metric, over all pairs, to maximise.",
)
_PARALLEL = flags.DEFINE_integer("parallel", 0, "Runs at a time; 0: one for each core.")
_SEARCH_SEED = flags.DEFINE_integer("search_seed", 0, "Seed of the search itself.")

_NEVER_SEARCHED = ("eval_split", "eval_max_queries", "model_dir", "seed", "resume", "flagfile")
_STUDY_FILE = "study.db"
_BEST_FILE = "best.flags"
_INTERRUPTED = "interrupted"  # attribute of the study: numbers of the trials asked for again
_FLAGS = "flags"  # attribute of a trial: the flags that were searched, as they were given


class Search:
    """A study, and the runs that its trials are made of.

    Args:
      base: training flags that all runs share.
      space: what is searched.
      output_dir: where `study.db` and `runs/` are.
      seeds: of a trial's runs.
      metric: of metrics.json's `overall`, to maximise.
      search_seed: of the sampler.
    """

    def __init__(
        self,
        base: Mapping[str, str],
        space: Sequence[search_space.Parameter],
        output_dir: pathlib.Path,
        *,
        seeds: Sequence[str] = ("0",),
        metric: str = "recall@50",
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
        # Each session draws other candidates than the one before it.
        self.study.sampler = optuna.samplers.TPESampler(
            seed=search_seed + len(self.study.trials), constant_liar=True
        )
        self._requeue_interrupted()

    def run(self, num_trials: int, through: runner.Runner) -> None:
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
        with write_aside(self._dir / _BEST_FILE) as stream:
            stream.write(("\n".join(lines) + "\n").encode())

    def _runs(
        self, num_trials: int, of_run: dict[str, int], values: dict[int, list[float]]
    ) -> Iterator[runner.Run]:
        while self._begun() < num_trials:
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
                yield runner.Run(run, self._base | chosen | _OURS | {"seed": seed})

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
        metrics = read_json(model_dir / METRICS_FILE)
        if metrics["split"] != "validation":
            raise InputError(f"{model_dir} was not evaluated on validation pairs; delete it")
        return float(metrics["overall"][self._metric])

    def _check_same(self) -> None:
        """Refuses to go on with a study of other flags."""
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
                f"{self._dir / _STUDY_FILE} holds a search with another {changed}; choose another "
                "--output_dir, or the same flags"
            )

    def _requeue_interrupted(self) -> None:
        """Asks again for what a killed session was trying; its runs go on from a checkpoint."""
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            self.study.tell(trial.number, state=TrialState.FAIL)
            interrupted = [*self.study.user_attrs.get(_INTERRUPTED, []), trial.number]
            self.study.set_user_attr(_INTERRUPTED, interrupted)
            self.study.enqueue_trial(trial.params)

    def _begun(self) -> int:
        """Trials that have a result, or will have one; a failed run is a result."""
        begun = self.study.get_trials(
            states=(TrialState.COMPLETE, TrialState.RUNNING, TrialState.FAIL)
        )
        return len(begun) - len(self.study.user_attrs.get(_INTERRUPTED, []))

    def _completed(self) -> list:
        return self.study.get_trials(states=(TrialState.COMPLETE,))


# What every run of a search is told last.
_OURS = {"eval_split": "validation"}


def _digest(chosen: Mapping[str, str]) -> str:
    """The name of a run: the same for the same flags."""
    text = json.dumps(chosen, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _base_flags() -> dict[str, str]:
    overrides = [*_BASE_FLAG.value, *([f"data_dir={_DATA_DIR.value}"] if _DATA_DIR.value else [])]
    for name in runner.read_flags("", overrides):
        _check_not_ours(name)
    # A config names one run's directory and seed; a search has many.
    found = runner.read_flags(_BASE_FLAGFILE.value or "", overrides)
    return {name: value for name, value in found.items() if name not in _NEVER_SEARCHED}


def _check_not_ours(name: str) -> None:
    if name in _NEVER_SEARCHED:
        raise InputError(f"{name} is not for --base_flag or --search: the search sets it")


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    logging.set_verbosity(logging.WARNING)
    base, space = _base_flags(), search_space.parse(_SEARCH.value)
    for parameter in space:
        _check_not_ours(parameter.name)
    if not space or not _OUTPUT_DIR.value:
        raise InputError("--search and --output_dir are needed (docs/tuning.md)")
    output_dir = pathlib.Path(_OUTPUT_DIR.value)
    search = Search(
        base,
        space,
        output_dir,
        seeds=_SEEDS.value,
        metric=_METRIC.value,
        search_seed=_SEARCH_SEED.value,
    )
    for line in _TRY.value:
        search.study.enqueue_trial(search_space.parse_values(line, space), skip_if_exists=True)
    search.run(_NUM_TRIALS.value, runner.LocalRunner(output_dir / "runs", parallel=_PARALLEL.value))
    print(f"\nbest: {output_dir / _BEST_FILE}\n")
    print((output_dir / _BEST_FILE).read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    cli.run(main)
