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
VALUE_WEIGHTS = ("none", "idf", "learned")
VIEW_MASKINGS = ("none", "random", "correlated")
LOGQ_ESTIMATORS = ("counts", "streaming")
DENSE_OPTIMIZERS = ("adagrad", "adam")
LEARNING_RATE_SCHEDULES = ("constant", "linear")
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
      value_weights: weights of a bag's values: `none`; `idf`, the inverse document frequency in
        the catalog; `learned`, trained from 1.
      shared: one tower for queries and items, a siamese network.
      shared_projection: weight of a linear projection of the features, the same for both sides,
        that is added to the towers' outputs before they are normalised; 0 for none. Items that
        share values with the query are near it from the start, as by TF-IDF cosine, and the
        layers learn what differs.
    """

    embedding_dim: int = 120
    hidden_layers: tuple[int, ...] = (1024, 128)
    pooling: str = "mean"
    value_weights: str = "none"
    shared: bool = False
    shared_projection: float = 0.0

    def __post_init__(self) -> None:
        _check(self.embedding_dim >= 1, "embedding_dim", "at least 1", self.embedding_dim)
        _check_layers("hidden_layers", self.hidden_layers)
        _check_choice("pooling", self.pooling, POOLINGS)
        _check_choice("value_weights", self.value_weights, VALUE_WEIGHTS)
        _check(
            self.shared_projection >= 0, "shared_projection", "at least 0", self.shared_projection
        )
        if self.shared_projection and not self.hidden_layers:
            raise InputError("shared_projection needs hidden_layers to add to (got none)")


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The main task and what the self-supervised tasks share with it.

    Attributes:
      temperature: tau of Eqs. (3) and (5); cosine similarities are divided by it.
      ssl_temperature: tau of Eq. (3) alone; 0 stands for `temperature`.
      learned_temperature: train the temperatures, the main task's and the self-supervised
        tasks' apart, from these values (as CLIP, Radford et al. 2021).
      alpha: weight of every self-supervised loss, Eq. (4).
      logq_correction: subtract the log of each in-batch candidate's sampling probability from
        the main task's logits (Yi et al. 2019).
      logq_estimator: `counts` of the training pairs, or the `streaming` estimate of Yi et al.
        2019, Algorithm 2, which needs no pass over the data beforehand and follows its drift.
      symmetric: add the softmax of each item over the batch's queries (as CLIP); it has no logQ
        correction.
      negative_queue: number of earlier steps' item embeddings that are negatives, too (cross-batch
        negative sampling, Wang et al. 2021); 0 for none.
      remove_accidental_hits: leave other occurrences of the positive item in the batch out of
        the main task's negatives.
    """

    temperature: float = 0.07
    alpha: float = 1.0
    logq_correction: bool = False
    remove_accidental_hits: bool = False
    ssl_temperature: float = 0.0
    learned_temperature: bool = False
    logq_estimator: str = "counts"
    symmetric: bool = False
    negative_queue: int = 0

    def __post_init__(self) -> None:
        _check(self.temperature > 0, "temperature", "greater than 0", self.temperature)
        _check(self.alpha >= 0, "alpha", "at least 0", self.alpha)
        _check(self.ssl_temperature >= 0, "ssl_temperature", "at least 0", self.ssl_temperature)
        _check_choice("logq_estimator", self.logq_estimator, LOGQ_ESTIMATORS)
        _check(self.negative_queue >= 0, "negative_queue", "at least 0", self.negative_queue)


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
      view_masking: FD's views see complementary halves of the features, which then go through
        dropout (paper v4): `none`, a `random` half, or the half `correlated` with a random
        feature. A new half in every step.
      main_dropout_rate: features (or values) of both towers dropped in the main task (DropoutNet,
        Volkovs et al. 2017), besides DO.
    """

    method: str = "baseline"
    dropout_rate: float = 0.3
    dropout_granularity: str = "feature"
    fm_groups: tuple[tuple[str, ...], ...] = (("id",), (REST_OF_FEATURES,))
    fm_hidden_layers: tuple[int, ...] = (128,)
    spread_out: str = "softmax"
    side: str = "item"
    items: str = "batch"
    view_masking: str = "none"
    main_dropout_rate: float = 0.0

    def __post_init__(self) -> None:
        _check_choice("method", self.method, tuple(METHODS))
        _check(0.0 <= self.dropout_rate < 1.0, "dropout_rate", "in [0, 1)", self.dropout_rate)
        _check_choice("dropout_granularity", self.dropout_granularity, DROPOUT_GRANULARITIES)
        _check_layers("fm_hidden_layers", self.fm_hidden_layers)
        _check_choice("spread_out", self.spread_out, SPREAD_OUT_LOSSES)
        _check_choice("ssl_side", self.side, SIDES)
        _check_choice("ssl_items", self.items, SSL_ITEMS)
        _check_choice("view_masking", self.view_masking, VIEW_MASKINGS)
        _check(
            0.0 <= self.main_dropout_rate < 1.0,
            "main_dropout_rate",
            "in [0, 1)",
            self.main_dropout_rate,
        )
        if self.view_masking != "none" and FEATURE_DROPOUT not in self.tasks:
            raise InputError("view_masking masks FD's views; choose a method with fd")
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
      learning_rate: of Adagrad, for the embedding tables and, by default, all else.
      learning_rate_schedule: `constant`, or `linear`: falling to zero at the last step of
        `max_epochs` (or `max_steps`).
      dense_optimizer: of all but the embedding tables: `adagrad` or `adam`.
      dense_learning_rate: its learning rate; 0 stands for `learning_rate`.
      max_epochs: passes over the training pairs.
      pretrain_epochs: of these, the first so many train on the self-supervised losses alone, and
        the rest on the joint loss (the paper's future work; alpha 0 is its plain fine-tuning).
      max_steps: stop after this many steps; 0 for no limit.
      train_fraction: share of the training pairs to use, a TFDS slice.
      seed: of initial weights, the order of pairs, and all random views.
      patience: stop after this many validations without a better Recall@50; 0 never stops.
      strategy: one of `STRATEGIES`.
      mixed_precision: compute dense layers in bfloat16, with float32 weights and losses.
      jit_compile: compile the training step with XLA.
      checkpoint_minutes: write a checkpoint this often within an epoch, besides one after each.
      exclude_query: leave each query's own item out of its ranking, in validation and at the end;
        off, the whole corpus is ranked, as in the paper.
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
    exclude_query: bool = False
    learning_rate_schedule: str = "constant"
    dense_optimizer: str = "adagrad"
    dense_learning_rate: float = 0.0
    pretrain_epochs: int = 0

    def __post_init__(self) -> None:
        _check(self.batch_size >= 2, "batch_size", "at least 2", self.batch_size)
        _check(self.learning_rate > 0, "learning_rate", "greater than 0", self.learning_rate)
        _check_choice(
            "learning_rate_schedule", self.learning_rate_schedule, LEARNING_RATE_SCHEDULES
        )
        _check_choice("dense_optimizer", self.dense_optimizer, DENSE_OPTIMIZERS)
        _check(
            self.dense_learning_rate >= 0,
            "dense_learning_rate",
            "at least 0",
            self.dense_learning_rate,
        )
        _check(self.max_epochs >= 1, "max_epochs", "at least 1", self.max_epochs)
        _check(self.pretrain_epochs >= 0, "pretrain_epochs", "at least 0", self.pretrain_epochs)
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

    def __post_init__(self) -> None:
        if self.training.pretrain_epochs and not self.ssl.tasks:
            raise InputError(
                f"pretrain_epochs needs a method with self-supervised tasks (got {self.ssl.method})"
            )
        if 0 < self.loss.negative_queue < self.training.batch_size:
            raise InputError(
                "negative_queue must be 0 or at least batch_size "
                f"(got {self.loss.negative_queue} and {self.training.batch_size})"
            )


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
