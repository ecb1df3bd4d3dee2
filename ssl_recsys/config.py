"""What a training run is told: frozen dataclasses and every check between their fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ssl_recsys.errors import InputError
from ssl_recsys.schema import FeatureSpec

FEATURE_DROPOUT = "fd"
FEATURE_MASKING = "fm"
SPREAD_OUT = "so"

# Method name -> self-supervised tasks added to the main task. DO adds none: it applies feature
# dropout to the item tower in the main task (paper, section 4.2).
METHODS: dict[str, tuple[str, ...]] = {
    "baseline": (),
    "do": (),
    "so": (SPREAD_OUT,),
    "fd": (FEATURE_DROPOUT,),
    "fm": (FEATURE_MASKING,),
    "fd_so": (FEATURE_DROPOUT, SPREAD_OUT),
    "fm_so": (FEATURE_MASKING, SPREAD_OUT),
    "fd_fm": (FEATURE_DROPOUT, FEATURE_MASKING),
    "fd_fm_so": (FEATURE_DROPOUT, FEATURE_MASKING, SPREAD_OUT),
}
STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")
DROPOUT_GRANULARITIES = ("feature", "value")
POOLINGS = ("mean", "sqrtn")
SPREAD_OUT_LOSSES = ("softmax", "squared")
SIDES = ("item", "query", "both")
SSL_ITEMS = ("batch", "catalog")

REST_OF_FEATURES = "*"


@dataclasses.dataclass(frozen=True)
class TowerConfig:
    """The two towers; their embedding tables are shared.

    Attributes:
      embedding_dim: width of every embedding table.
      hidden_layers: sizes of the dense layers, the last being that of the output embedding;
        empty for matrix factorization (the normalised concatenation of the features).
      pooling: how a bag's n values become one vector: their sum over n (`mean`), as in the
        paper, or over the square root of n (`sqrtn`), which keeps the vector's length where
        values are independent.
    """

    embedding_dim: int = 120
    hidden_layers: tuple[int, ...] = (1024, 128)
    pooling: str = "mean"

    def __post_init__(self) -> None:
        _check(self.embedding_dim >= 1, "embedding_dim", "at least 1", self.embedding_dim)
        _check_layers("hidden_layers", self.hidden_layers)
        _check_choice("pooling", self.pooling, POOLINGS)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The main task and what the self-supervised tasks share with it.

    Attributes:
      temperature: tau of Eqs. (3) and (5); cosine similarities are divided by it.
      alpha: weight of every self-supervised loss, Eq. (4).
      logq_correction: subtract the log of each in-batch candidate's sampling probability from
        the main task's logits (Yi et al. 2019).
      remove_accidental_hits: leave other occurrences of the positive item in the batch out of
        the main task's negatives.
    """

    temperature: float = 0.07
    alpha: float = 1.0
    logq_correction: bool = False
    remove_accidental_hits: bool = False

    def __post_init__(self) -> None:
        _check(self.temperature > 0, "temperature", "greater than 0", self.temperature)
        _check(self.alpha >= 0, "alpha", "at least 0", self.alpha)


@dataclasses.dataclass(frozen=True)
class SSLConfig:
    """The self-supervised tasks' views.

    Attributes:
      method: a key of `METHODS`.
      dropout_rate: probability of dropping a feature (or value), for FD and DO.
      dropout_granularity: `feature` drops whole categorical and bag features, as the paper;
        `value` drops a bag's values one by one.
      fm_groups: groups of feature names, each the content of one FM view; `*` stands for all
        the features that no other group names. k groups give k(k-1)/2 losses.
      fm_hidden_layers: dense layers of each FM encoder.
      spread_out: `softmax`, Eq. (3) with identical views, or `squared` (Zhang et al. 2017).
      side: towers that the tasks apply to.
      items: what they apply to: the pairs of the `batch` or rows drawn uniformly from the whole
        `catalog`.
    """

    method: str = "baseline"
    dropout_rate: float = 0.3
    dropout_granularity: str = "feature"
    fm_groups: tuple[tuple[str, ...], ...] = (("id",), (REST_OF_FEATURES,))
    fm_hidden_layers: tuple[int, ...] = (128,)
    spread_out: str = "softmax"
    side: str = "item"
    items: str = "batch"

    def __post_init__(self) -> None:
        _check_choice("method", self.method, tuple(METHODS))
        _check(0.0 <= self.dropout_rate < 1.0, "dropout_rate", "in [0, 1)", self.dropout_rate)
        _check_choice("dropout_granularity", self.dropout_granularity, DROPOUT_GRANULARITIES)
        _check_layers("fm_hidden_layers", self.fm_hidden_layers)
        _check_choice("spread_out", self.spread_out, SPREAD_OUT_LOSSES)
        _check_choice("ssl_side", self.side, SIDES)
        _check_choice("ssl_items", self.items, SSL_ITEMS)
        if FEATURE_MASKING in self.tasks:
            _check_fm_groups(self.fm_groups)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the self-supervised tasks, in order."""
        return METHODS[self.method]

    @property
    def drops_in_main_task(self) -> bool:
        """Whether the main task's item tower drops features (DO)."""
        return self.method == "do"


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How the model is trained.

    Attributes:
      batch_size: pairs in a global batch, over all replicas.
      learning_rate: of Adagrad.
      max_epochs: passes over the training pairs.
      max_steps: stop after this many steps; 0 for no limit.
      train_fraction: share of the training pairs to use, a TFDS slice.
      seed: of initial weights, the order of pairs, and all random views.
      patience: stop after this many validations without a better Recall@50; 0 never stops.
      strategy: one of `STRATEGIES`.
      mixed_precision: compute dense layers in bfloat16, with float32 weights and losses.
      jit_compile: compile the training step with XLA.
      checkpoint_minutes: write a checkpoint this often within an epoch, besides one after each.
      max_validation_queries: validate on a seeded sample of this many queries; 0 takes all.
    """

    batch_size: int = 1024
    learning_rate: float = 0.01
    max_epochs: int = 40
    max_steps: int = 0
    train_fraction: float = 1.0
    seed: int = 0
    patience: int = 0
    strategy: str = "auto"
    mixed_precision: bool = False
    jit_compile: bool = False
    checkpoint_minutes: float = 10.0
    max_validation_queries: int = 10_000

    def __post_init__(self) -> None:
        _check(self.batch_size >= 2, "batch_size", "at least 2", self.batch_size)
        _check(self.learning_rate > 0, "learning_rate", "greater than 0", self.learning_rate)
        _check(self.max_epochs >= 1, "max_epochs", "at least 1", self.max_epochs)
        _check(self.max_steps >= 0, "max_steps", "at least 0", self.max_steps)
        _check(0.0 < self.train_fraction <= 1.0, "train_fraction", "in (0, 1]", self.train_fraction)
        _check(self.patience >= 0, "patience", "at least 0", self.patience)
        _check_choice("strategy", self.strategy, STRATEGIES)
        _check(
            self.checkpoint_minutes > 0,
            "checkpoint_minutes",
            "greater than 0",
            self.checkpoint_minutes,
        )
        _check(
            self.max_validation_queries >= 0,
            "max_validation_queries",
            "at least 0",
            self.max_validation_queries,
        )


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's result, the dataset apart."""

    tower: TowerConfig = dataclasses.field(default_factory=TowerConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    ssl: SSLConfig = dataclasses.field(default_factory=SSLConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)


def parse_fm_groups(text: str) -> tuple[tuple[str, ...], ...]:
    """Groups from `id;title_ngrams,categories`: ';' between groups, ',' between features."""
    return tuple(
        tuple(name.strip() for name in group.split(",") if name.strip())
        for group in text.split(";")
    )


def resolve_fm_groups(
    groups: Sequence[Sequence[str]], features: Sequence[FeatureSpec]
) -> tuple[tuple[str, ...], ...]:
    """Returns the groups with `*` replaced by the features that no group names.

    Raises:
      InputError: for a feature that the dataset lacks, or a `*` that stands for nothing.
    """
    known = [spec.name for spec in features]
    named = {name for group in groups for name in group if name != REST_OF_FEATURES}
    for name in sorted(named):
        if name not in known:
            raise InputError(
                f"fm_groups names the feature {name!r}, which the dataset lacks "
                f"(features: {', '.join(known)})"
            )
    rest = [name for name in known if name not in named]
    resolved = []
    for group in groups:
        names = [
            name for entry in group for name in (rest if entry == REST_OF_FEATURES else [entry])
        ]
        if not names:
            raise InputError(
                f"fm_groups: {REST_OF_FEATURES!r} stands for no feature, since the other groups "
                f"name all of them ({', '.join(known)})"
            )
        resolved.append(tuple(names))
    return tuple(resolved)


def _check(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise InputError(f"{name} must be {expected} (got {got})")


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    _check(value in choices, name, f"one of {', '.join(choices)}", repr(value))


def _check_layers(name: str, layers: Sequence[int]) -> None:
    _check(all(size >= 1 for size in layers), name, "sizes of at least 1", list(layers))


def _check_fm_groups(groups: Sequence[Sequence[str]]) -> None:
    if len(groups) < 2:
        raise InputError(
            "fm_groups needs at least two groups of features, such as "
            f"'id;title_ngrams,categories' or 'id;*' (got {len(groups)})"
        )
    names = [name for group in groups for name in group]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"fm_groups names {', '.join(repeated)} more than once")
    if not all(groups):
        raise InputError("fm_groups has an empty group; groups are separated by one ';'")
