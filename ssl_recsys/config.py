"""What a training run is told: each setting on one line, and every check between settings."""

from __future__ import annotations

import dataclasses

from ssl_recsys import schema
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation.metrics import SELECTABLE, VALIDATION_METRIC
from ssl_recsys.methods import (
    BASELINE,
    FEATURE_DROPOUT,
    FEATURE_MASKING,
    METHODS,
    REST_OF_FEATURES,
    FMGroups,
    check_fm_groups,
    parse_fm_groups,
    show_fm_groups,
)
from ssl_recsys.options import Options, option

MEAN, SQRTN = POOLINGS = ("mean", "sqrtn")
FLOAT32, BFLOAT16 = TABLE_DTYPES = ("float32", "bfloat16")
NO_WEIGHTS, IDF = VALUE_WEIGHTS = ("none", "idf")
DROPOUTS = ("feature", "value")
NO_MASK = "none"
MASKS = ("random", "correlated")
BATCH_ITEMS, CATALOG_ITEMS = SSL_ITEMS = ("batch", "catalog")
SOFTMAX, SQUARED = SPREAD_OUT_LOSSES = ("softmax", "squared")
STANDARD, CORRECTED = LOGQ_FORMS = ("standard", "corrected")
BOTH_SIDES = "both"
STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")


@dataclasses.dataclass(frozen=True)
class TowerConfig(Options):
    """The two towers; their embedding tables are shared."""

    embedding_dim: int = option(120, "Width of every embedding table.", at_least=1)
    hidden_layers: tuple[int, ...] = option(
        (1024, 128),
        "Sizes of the towers' dense layers, the last being the embedding's; empty for matrix "
        "factorization (the normalised concatenation of the features).",
        at_least=1,
    )
    pooling: str = option(
        MEAN,
        "How a bag's n values become one vector: their sum over n (mean, as in the paper), or over "
        "the root of n (sqrtn), which keeps the vector's length where values are independent.",
        choices=POOLINGS,
    )
    value_weights: str = option(
        NO_WEIGHTS,
        "Weights of a bag's values: none, or idf, the inverse document frequency in the catalog.",
        choices=VALUE_WEIGHTS,
    )
    recency_half_life: float = option(
        0.0,
        "Weigh the items of a query's history by recency: the latest by 1, and half as much after "
        "every so many items. 0: all alike.",
        at_least=0,
    )
    shared_projection: float = option(
        0.0,
        "Weight of a linear projection of the features, the same for both sides, that is added to "
        "the towers' outputs: items that share values with the query begin near it, as by TF-IDF "
        "cosine, and the layers learn what differs. 0: none.",
        at_least=0,
    )
    sub_towers: int = option(
        1,
        "Towers of each side, over the same tables but with layers of their own (Lee et al. 2015). "
        "Every loss trains each of them for itself; their embeddings side by side are the side's: "
        "one index, whose cosine is the mean of theirs.",
        at_least=1,
    )
    id_min_count: int = option(
        0,
        "Training pairs that an item (or user) needs for its id to count; 0: all ids do.",
        at_least=0,
    )
    vector_delta: float = option(
        0.0,
        "Largest length of a trained vector of each item's own that is added to its features of "
        "kind vector (Pembek et al. 2025), which stay as they are. Items without an id have none. "
        "0: off.",
        at_least=0,
    )
    table_dtype: str = option(
        FLOAT32,
        "What embedding tables are kept in. bfloat16 halves them; an updated row is rounded "
        "up or down at random, so that on average small updates are not lost.",
        choices=TABLE_DTYPES,
    )
    table_column_multiple: int = option(
        1,
        "Pad embedding tables with columns of zeros to a multiple of this, which changes no "
        "result; 128 keeps a TPU from copying whole tables in every step.",
        at_least=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shared_projection and not self.hidden_layers:
            raise InputError("--shared_projection needs --hidden_layers to add to (got none)")
        if self.sub_towers > 1 and not self.hidden_layers:
            raise InputError("--sub_towers differ by their --hidden_layers (got none)")


@dataclasses.dataclass(frozen=True)
class LossConfig(Options):
    """The main task, and the weight of the self-supervised ones."""

    temperature: float = option(
        0.07, "Softmax temperature tau of Eqs. (3) and (5), which divides cosines.", above=0
    )
    alpha: float = option(1.0, "Weight of every self-supervised loss, Eq. (4).", at_least=0)
    logq_correction: bool = option(
        False,
        "Subtract the log of each in-batch item's frequency in the training pairs from the main "
        "task's logits (Yi et al. 2019).",
    )
    logq_form: str = option(
        STANDARD,
        "Form of --logq_correction: standard, or corrected (Khrylchenko et al. 2025), which treats "
        "the positive as what it is, certain and not sampled, and leaves its other occurrences out "
        "of the negatives.",
        choices=LOGQ_FORMS,
    )
    remove_accidental_hits: bool = option(
        False, "Leave the positive item's other occurrences in the batch out of the negatives."
    )
    mixed_negatives: int = option(
        0,
        "Catalog items drawn uniformly in every step, for all queries alike, as further candidates "
        "of the main task (Yang et al. 2020); --logq_correction takes them into account. 0: none.",
        at_least=0,
    )
    hard_negatives: int = option(
        0,
        "Of the items that were shown beside each pair's and not chosen, the first so many are "
        "candidates of that query alone (Huang et al. 2020, Karpukhin et al. 2020). 0: none.",
        at_least=0,
    )
    hard_negative_weight: float = option(
        1.0,
        "As how many items each of --hard_negatives counts; with --logq_correction of the catalog.",
        above=0,
    )
    symmetric_loss: bool = option(
        False,
        "Add the softmax of each item over the batch's queries to the main loss (as CLIP, Radford "
        "et al. 2021); it has no logQ correction.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.logq_form == CORRECTED and not self.logq_correction:
            raise InputError("--logq_form=corrected needs --logq_correction")


@dataclasses.dataclass(frozen=True)
class SSLConfig(Options):
    """The method: its self-supervised tasks, their views, and what the main task drops."""

    method: str = option(BASELINE, "Training method.", choices=METHODS)
    dropout_rate: float = option(
        0.3, "Probability of dropping a feature (or value) in FD and DO.", at_least=0, below=1
    )
    dropout_granularity: str = option(
        "feature",
        "Drop whole features, as the paper, or single values of bags (paper v4).",
        choices=DROPOUTS,
    )
    main_dropout_rate: float = option(
        0.0,
        "Probability of dropping a feature (or value) in the main task, so that it sees items with "
        "as little as a new one has (DropoutNet, Volkovs et al. 2017).",
        at_least=0,
        below=1,
    )
    main_dropout_side: str = option(
        BOTH_SIDES,
        "Sides whose features --main_dropout_rate drops. query: queries become as little known as "
        "new ones, and items keep what tells them apart.",
        choices=(schema.ITEM, schema.QUERY, BOTH_SIDES),
    )
    view_masking: str = option(
        NO_MASK,
        "FD's two views see complementary halves of the features, new ones in every step: a random "
        "half, or a random feature with those that share most information with it (paper v4).",
        choices=(NO_MASK, *MASKS),
    )
    fm_groups: FMGroups = option(
        (("id",), (REST_OF_FEATURES,)),
        "FM's groups: features separated by ',', groups by ';', * for all others; k groups give "
        "k(k-1)/2 losses.",
        parse=parse_fm_groups,
        show=show_fm_groups,
    )
    fm_hidden_layers: tuple[int, ...] = option(
        (128,), "Sizes of the dense layers of each FM encoder.", at_least=1
    )
    spread_out: str = option(
        SOFTMAX,
        "Form of SO: softmax, Eq. (3) with identical views, or squared (Zhang et al. 2017).",
        choices=SPREAD_OUT_LOSSES,
    )
    ssl_side: str = option(
        schema.ITEM,
        "Towers that the self-supervised tasks apply to.",
        choices=(schema.ITEM, schema.QUERY, BOTH_SIDES),
    )
    ssl_items: str = option(
        BATCH_ITEMS,
        "Items that they apply to: the batch's, or rows drawn uniformly of the catalog (paper v4).",
        choices=SSL_ITEMS,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.view_masking != NO_MASK and FEATURE_DROPOUT not in self.tasks:
            raise InputError("--view_masking masks FD's views; choose a method with fd")
        if FEATURE_MASKING in self.tasks:
            check_fm_groups(self.fm_groups)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the self-supervised tasks, in order."""
        return METHODS[self.method].tasks

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that they apply to; none without a task."""
        if not self.tasks:
            return ()
        return schema.SIDES if self.ssl_side == BOTH_SIDES else (self.ssl_side,)

    @property
    def draws_from_catalog(self) -> bool:
        """Whether the tasks work on items of their own."""
        return self.ssl_items == CATALOG_ITEMS and bool(self.tasks)

    def main_rate(self, side: str) -> float:
        """Dropout rate of a side's features in the main task."""
        if side == schema.ITEM and METHODS[self.method].drops_in_main_task:
            return self.dropout_rate
        return self.main_dropout_rate if self.main_dropout_side in (side, BOTH_SIDES) else 0.0


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Options):
    """How the model is trained and validated."""

    batch_size: int = option(1024, "Pairs in a global batch, over all replicas.", at_least=2)
    learning_rate: float = option(0.01, "Adagrad's learning rate.", above=0)
    row_wise_adagrad: bool = option(
        False,
        "One accumulator for each row of an embedding table instead of one for each element, which "
        "halves the memory of tables in training.",
    )
    shard_tables: bool = option(
        False,
        "Split the rows of embedding tables over the replicas, each of which holds and updates its "
        "part; changes no result. Not for several worker processes.",
    )
    max_epochs: int = option(40, "Epochs: passes over the training pairs.", at_least=1)
    weight_averaging: float = option(
        0.0,
        "Validate and export an average of the weights at the ends of epochs (Izmailov et al. "
        "2018): after each, the share of it that stays (0.5: about the last three). It takes the "
        "weights' memory once, twice while validating. 0: off.",
        at_least=0,
        below=1,
    )
    passes_per_epoch: int = option(
        1,
        "Passes over the training pairs that make an epoch, at whose end is one validation and one "
        "checkpoint; more than one where pairs are so few that these take most of the time.",
        at_least=1,
    )
    max_steps: int = option(0, "Stop after this many steps; 0: no limit.", at_least=0)
    init_from: str = option(
        "",
        "Directory of a finished run to begin with, of an earlier dataset, the same features and "
        "layers: tables are carried by token, accumulators if it has --keep_checkpoints.",
    )
    pretrain_epochs: int = option(
        0,
        "Of the epochs, the first so many train on the self-supervised losses alone (the paper's "
        "future work; --alpha=0 leaves plain fine-tuning for the rest).",
        at_least=0,
    )
    patience: int = option(
        0,
        "Stop after this many epochs without a better validation metric (--select_by); 0: never.",
        at_least=0,
    )
    select_by: str = option(
        VALIDATION_METRIC, "Validation metric that chooses the best epoch.", choices=SELECTABLE
    )
    train_fraction: float = option(
        1.0, "Share of the training pairs to use (a TFDS slice).", above=0, at_most=1
    )
    seed: int = option(0, "Seed of initial weights, order of pairs and random views.")
    strategy: str = option(
        "auto",
        "Where to train; auto takes a TPU if TPU_NAME is set, a cluster if TF_CONFIG is, all GPUs "
        "if there are several, else the one device.",
        choices=STRATEGIES,
    )
    mixed_precision: bool = option(
        False, "Dense layers and the losses' gradients in bfloat16, weights and losses in float32."
    )
    jit_compile: bool = option(False, "Compile the training step with XLA (a TPU always does).")
    checkpoint_minutes: float = option(
        10.0, "Minutes between checkpoints within an epoch; there is one after each epoch.", above=0
    )
    exclude_query: bool = option(
        False,
        "Leave each query's own item out of its ranking, in validation and at the end; off: rank "
        "the whole corpus, as the paper.",
    )
    max_validation_queries: int = option(
        10_000, "Validate on a seeded sample of this many queries; 0: on all.", at_least=0
    )


@dataclasses.dataclass(frozen=True)
class RunConfig(Options):
    """Everything that decides what a training run learns."""

    tower: TowerConfig = dataclasses.field(default_factory=TowerConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    ssl: SSLConfig = dataclasses.field(default_factory=SSLConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if self.tower.vector_delta and (self.training.shard_tables or self.training.init_from):
            other = "shard_tables" if self.training.shard_tables else "init_from"
            raise InputError(
                f"--vector_delta does not go with --{other}, which knows only the tables of ids; "
                "leave one of the two off"
            )
        if self.training.pretrain_epochs and not self.ssl.tasks:
            raise InputError(
                "--pretrain_epochs needs a --method with self-supervised tasks (got "
                f"{self.ssl.method})"
            )
