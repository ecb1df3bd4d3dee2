"""The two towers and their embedding tables."""

from __future__ import annotations

import dataclasses

from ssl_recsys.errors import InputError
from ssl_recsys.options import Options, option

MEAN, SQRTN = POOLINGS = ("mean", "sqrtn")
FLOAT32, BFLOAT16 = TABLE_DTYPES = ("float32", "bfloat16")
NO_WEIGHTS, IDF = VALUE_WEIGHTS = ("none", "idf")


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
