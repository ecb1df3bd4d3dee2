"""What a study is told, and the place of one run in its grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from pipelines.experiments.runner import Run, read_flags
from ssl_recsys.config import FEATURE_DROPOUT, METHODS
from ssl_recsys.errors import InputError

BASELINE = "baseline"
DROPOUT_ONLY = "do"
# Choosing runs have seeds of their own, so that no final run is one that a choice rests on.
FIRST_CHOOSING_SEED = 1000
# The paper sweeps the dropout rate at this weight.
DROPOUT_CURVE_ALPHA = 1.0

# What the study itself sets for every run.
_OWN_FLAGS = (
    "method",
    "model_dir",
    "learning_rate",
    "alpha",
    "train_fraction",
    "seed",
    "eval_split",
    "flagfile",
)


@dataclasses.dataclass(frozen=True)
class Study:
    """A grid of runs over one dataset.

    Attributes:
      base: flags of `ssl_recsys.train` that all runs share, `data_dir` among them.
      methods: names of `config.METHODS`; the baseline first.
      learning_rates: what the baseline is tuned over.
      alphas: what each self-supervised method's alpha is chosen from.
      dropout_rates: of the curves of FD and DO; empty for none.
      fractions: shares of the training pairs, from 1 down.
      choosing_seeds: runs for each value that is chosen from or drawn in a curve.
      final_seeds: runs for each row of the tables.
      epochs_at: fraction -> `max_epochs` there; elsewhere the base's.
      paper: a key of `paper.RESULTS` whose figures stand beside ours; empty for none.

    Raises:
      InputError: if a field is out of range or does not fit the others.
    """

    base: Mapping[str, str]
    methods: tuple[str, ...]
    learning_rates: tuple[float, ...]
    alphas: tuple[float, ...]
    dropout_rates: tuple[float, ...]
    fractions: tuple[float, ...]
    choosing_seeds: int
    final_seeds: int
    epochs_at: Mapping[float, int] = dataclasses.field(default_factory=dict)
    paper: str = ""

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown:
            raise InputError(f"unknown method {unknown[0]!r} (methods: {', '.join(METHODS)})")
        if not self.methods or self.methods[0] != BASELINE:
            raise InputError(f"the first of --methods must be {BASELINE}: all are compared with it")
        if not self.learning_rates:
            raise InputError("--learning_rates needs at least one value")
        if self.ssl_methods and not self.alphas:
            raise InputError("--alphas needs at least one value for the self-supervised methods")
        _check_distinct("methods", self.methods)
        _check_distinct("learning_rates", self.learning_rates)
        _check_distinct("alphas", self.alphas)
        _check_distinct("dropout_rates", self.dropout_rates)
        _check_distinct("fractions", self.fractions)
        if self.fractions[:1] != (1.0,) or list(self.fractions) != sorted(self.fractions)[::-1]:
            raise InputError(
                "--fractions must go from 1, all training pairs, down "
                f"(got {', '.join(f'{fraction:g}' for fraction in self.fractions)})"
            )
        if min(self.choosing_seeds, self.final_seeds) < 1:
            raise InputError(
                "--choosing_seeds and --final_seeds must be at least 1 "
                f"(got {self.choosing_seeds} and {self.final_seeds})"
            )
        strange = [value for value in self.epochs_at if value not in self.fractions]
        if strange:
            raise InputError(f"--max_epochs_at names {strange[0]:g}, which --fractions lacks")
        _check_base(self.base)

    @property
    def data_dir(self) -> str:
        """The dataset directory."""
        return self.base["data_dir"]

    @property
    def ssl_methods(self) -> tuple[str, ...]:
        """The methods that have an alpha."""
        return tuple(name for name in self.methods if METHODS[name])

    @property
    def curve_methods(self) -> tuple[str, ...]:
        """The methods whose dropout rate is swept, as in the paper: FD and DO."""
        return tuple(name for name in self.methods if name in (FEATURE_DROPOUT, DROPOUT_ONLY))

    @property
    def default_dropout_rate(self) -> float:
        """The dropout rate of all runs outside the curves."""
        return float(self.base.get("dropout_rate", "0.3"))


@dataclasses.dataclass(frozen=True)
class Setting:
    """One run's place in the grid.

    Attributes:
      method: a name of `config.METHODS`.
      learning_rate: Adagrad's.
      alpha: None for a method without self-supervised tasks.
      dropout_rate: None for a method without feature dropout.
      fraction: share of the training pairs.
      seed: seed of the run.
      split: what its metrics are computed on: `validation` where something is chosen, else `test`.
    """

    method: str
    learning_rate: float
    alpha: float | None
    dropout_rate: float | None
    fraction: float
    seed: int
    split: str

    @property
    def name(self) -> str:
        """The run's name, unique in its study."""
        parts = [self.method, f"lr{self.learning_rate:g}"]
        if self.alpha is not None:
            parts.append(f"a{self.alpha:g}")
        if self.dropout_rate is not None:
            parts.append(f"d{self.dropout_rate:g}")
        return "-".join([*parts, f"f{self.fraction:g}", f"s{self.seed}", self.split])

    def run(self, study: Study) -> Run:
        """The training run, with all its flags."""
        flag_values = dict(study.base)
        flag_values["method"] = self.method
        flag_values["learning_rate"] = f"{self.learning_rate:g}"
        if self.alpha is not None:
            flag_values["alpha"] = f"{self.alpha:g}"
        if self.dropout_rate is not None:
            flag_values["dropout_rate"] = f"{self.dropout_rate:g}"
        if self.fraction in study.epochs_at:
            flag_values["max_epochs"] = str(study.epochs_at[self.fraction])
        flag_values["train_fraction"] = f"{self.fraction:g}"
        flag_values["seed"] = str(self.seed)
        flag_values["eval_split"] = self.split
        return Run(self.name, flag_values)


def setting(
    study: Study,
    method: str,
    *,
    learning_rate: float,
    alpha: float | None,
    fraction: float,
    seed: int,
    split: str,
    dropout_rate: float | None = None,
) -> Setting:
    """A `Setting` without what the method does not use.

    Args:
      study: the study.
      method: a name of `config.METHODS`.
      learning_rate: Adagrad's.
      alpha: weight of the self-supervised losses.
      fraction: share of the training pairs.
      seed: seed of the run.
      split: `validation` or `test`.
      dropout_rate: None for the study's default.
    """
    tasks = METHODS[method]
    uses_dropout = FEATURE_DROPOUT in tasks or method == DROPOUT_ONLY
    rate = study.default_dropout_rate if dropout_rate is None else dropout_rate
    return Setting(
        method=method,
        learning_rate=learning_rate,
        alpha=alpha if tasks else None,
        dropout_rate=rate if uses_dropout else None,
        fraction=fraction,
        seed=seed,
        split=split,
    )


def read_base_flags(flagfile: str, overrides: Sequence[str]) -> dict[str, str]:
    """The training flags that all runs share, see `pipelines.runner.read_flags`."""
    # A config names one run's method and directory; a study has many.
    found = read_flags(flagfile, overrides)
    return {name: value for name, value in found.items() if name not in _OWN_FLAGS}


def _check_base(base: Mapping[str, str]) -> None:
    if not base.get("data_dir"):
        raise InputError("no dataset: give --data_dir, or a --base_flagfile that names one")
    own = [name for name in base if name in _OWN_FLAGS]
    if own:
        raise InputError(f"the study itself sets {own[0]}; leave it out of the base flags")


def _check_distinct(name: str, values: Sequence[object]) -> None:
    if len(set(values)) < len(values):
        raise InputError(f"--{name} names a value twice: {', '.join(map(str, values))}")
