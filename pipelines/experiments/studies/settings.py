"""A study's settings, and the settings of each of its runs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from pipelines.experiments.runner import Run
from pipelines.experiments.studies import paper
from ssl_recsys import options, schema
from ssl_recsys.config.run import RunConfig
from ssl_recsys.errors import InputError
from ssl_recsys.methods import BASELINE, METHODS
from ssl_recsys.options import Options, check_distinct, option
from ssl_recsys.training.train_options import TrainOptions

# Choosing runs have seeds of their own, so that no final run is one that a choice rests on.
FIRST_CHOOSING_SEED = 1000
# The paper sweeps the dropout rate at this weight.
DROPOUT_CURVE_ALPHA = 1.0

# Flags of a run that the study itself sets.
OWN_FLAGS = (
    "method",
    "model_dir",
    "learning_rate",
    "alpha",
    "train_fraction",
    "seed",
    "eval_split",
    "flagfile",
)

_Epochs = tuple[tuple[float, int], ...]


def parse_epochs(text: str) -> _Epochs:
    """Epochs by fraction from `0.1:20,0.01:60`.

    Raises:
      InputError: for any other form.
    """
    try:
        pairs = [part.split(":") for part in text.split(",") if part.strip()]
        return tuple((float(fraction), int(epochs)) for fraction, epochs in pairs)
    except ValueError as error:
        raise InputError(
            f"--max_epochs_at must be fraction:epochs, such as 0.1:60 (got {text!r})"
        ) from error


def _show_epochs(epochs: _Epochs) -> str:
    return ",".join(f"{fraction:g}:{number}" for fraction, number in epochs)


@dataclasses.dataclass(frozen=True)
class Grid(Options):
    """What a study varies."""

    methods: tuple[str, ...] = option(
        tuple(METHODS), "Methods, the baseline first.", choices=METHODS
    )
    learning_rates: tuple[float, ...] = option(
        (0.01,), "Learning rates that the baseline is tuned over.", required="give at least one"
    )
    alphas: tuple[float, ...] = option(
        (0.1, 0.3, 1.0, 3.0), "Values that each self-supervised method's alpha is chosen from."
    )
    dropout_rates: tuple[float, ...] = option(
        (), "Dropout rates of the curves of FD and DO; empty for no curves."
    )
    fractions: tuple[float, ...] = option(
        (1.0,), "Shares of the training pairs that the final runs have, from 1 down."
    )
    max_epochs_at: _Epochs = option(
        (),
        "fraction:epochs where a fraction has a different --max_epochs.",
        parse=parse_epochs,
        show=_show_epochs,
    )
    choosing_seeds: int = option(
        1, "Seeds of the runs that choices and curves are made from.", at_least=1
    )
    final_seeds: int = option(5, "Seeds of the tables.", at_least=1)
    paper: str = option(
        "",
        "Dataset of the paper whose figures are shown beside ours; empty for none.",
        choices=("", *paper.RESULTS),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.methods or self.methods[0] != BASELINE:
            raise InputError(f"the first of --methods must be {BASELINE}: all are compared with it")
        if self.ssl_methods and not self.alphas:
            raise InputError("--alphas needs at least one value for the self-supervised methods")
        for name in ("methods", "learning_rates", "alphas", "dropout_rates", "fractions"):
            check_distinct(f"--{name}", getattr(self, name))
        if self.fractions[:1] != (1.0,) or list(self.fractions) != sorted(self.fractions)[::-1]:
            raise InputError(
                "--fractions must go from 1, all training pairs, down "
                f"(got {', '.join(f'{fraction:g}' for fraction in self.fractions)})"
            )
        for fraction, _ in self.max_epochs_at:
            if fraction not in self.fractions:
                raise InputError(f"--max_epochs_at names {fraction:g}, which --fractions lacks")

    @property
    def ssl_methods(self) -> tuple[str, ...]:
        """The methods that have an alpha."""
        return tuple(name for name in self.methods if METHODS[name].tasks)

    @property
    def curve_methods(self) -> tuple[str, ...]:
        """The methods that are dropout and nothing else: the paper's FD and DO."""
        found = {name: METHODS[name] for name in self.methods if METHODS[name].uses_dropout}
        return tuple(
            name for name, one in found.items() if len(one.tasks) + one.drops_in_main_task == 1
        )


@dataclasses.dataclass(frozen=True)
class Study(Grid):
    """A grid of runs over one dataset.

    Attributes:
      base: flags of `ssl_recsys.train` that all runs share, `data_dir` among them.

    Raises:
      InputError: if a field is out of range or does not fit the others.
    """

    base: Mapping[str, str] = dataclasses.field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        own = [name for name in self.base if name in OWN_FLAGS]
        if own:
            raise InputError(f"the study itself sets {own[0]}; leave it out of the base flags")
        _ = self.base_config  # which checks the flags

    @property
    def data_dir(self) -> str:
        """The dataset directory."""
        return self.base["data_dir"]

    @functools.cached_property
    def base_config(self) -> RunConfig:
        """The configuration of a run with the base flags alone, by the baseline."""
        return options.parse(TrainOptions, {**self.base, "model_dir": "runs"}).run

    def max_epochs(self, fraction: float) -> int | None:
        """The epochs of a fraction's runs, where they are not the base's."""
        return dict(self.max_epochs_at).get(fraction)


@dataclasses.dataclass(frozen=True)
class Setting:
    """One run's settings in the grid.

    Attributes:
      method: a name of `METHODS`.
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

    def training_run(self, study: Study) -> Run:
        """The training run, with all its flags."""
        own = {
            "method": self.method,
            "learning_rate": f"{self.learning_rate:g}",
            "alpha": None if self.alpha is None else f"{self.alpha:g}",
            "dropout_rate": None if self.dropout_rate is None else f"{self.dropout_rate:g}",
            "max_epochs": study.max_epochs(self.fraction),
            "train_fraction": f"{self.fraction:g}",
            "seed": self.seed,
            "eval_split": self.split,
        }
        given = {name: str(value) for name, value in own.items() if value is not None}
        return Run(self.name, {**study.base, **given})


def setting(
    study: Study,
    method: str,
    *,
    learning_rate: float,
    alpha: float | None,
    fraction: float = 1.0,
    seed: int,
    split: str = schema.VALIDATION,
    dropout_rate: float | None = None,
) -> Setting:
    """A `Setting` with the values that its method uses, and the base's dropout rate by default."""
    rate = study.base_config.ssl.dropout_rate if dropout_rate is None else dropout_rate
    return Setting(
        method=method,
        learning_rate=learning_rate,
        alpha=alpha if METHODS[method].tasks else None,
        dropout_rate=rate if METHODS[method].uses_dropout else None,
        fraction=fraction,
        seed=seed,
        split=split,
    )
