"""A small dataset directory with structure to learn, written without Beam."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np

from data_prep.encode import Item
from data_prep.write_arrays import write_arrays
from ssl_recsys import schema
from ssl_recsys.features import Bag, Categorical, Dense

NUM_TOPICS = 8
NUM_HELD_OUT = 20

SPECS = (
    Categorical("id", vocab_size=101),
    Bag("words", vocab_size=41, max_values=6),
    Bag("tags", vocab_size=17, max_values=4),
    Dense("quality", max_values=2),
)


def write(
    directory: pathlib.Path,
    *,
    num_pairs: int = 3000,
    seed: int = 0,
    weight: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    negatives: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> schema.DatasetInfo:
    """Writes 120 items of 8 topics; pairs join items of one topic; the last 20 are held out.

    Pairs of query and item rows may have weights and negatives.
    """
    rng = np.random.default_rng(seed)
    num_items = 100 + NUM_HELD_OUT
    topics = rng.integers(0, NUM_TOPICS, num_items)
    queries, items = _pairs(rng, topics, num_pairs)
    held_out = np.maximum(queries, items) >= 100
    in_validation = rng.random(num_pairs) < 0.5
    masks = {
        schema.TRAIN: ~held_out,
        schema.VALIDATION: held_out & in_validation,
        schema.TEST: held_out & ~in_validation,
    }
    pairs = {split: (queries[mask], items[mask]) for split, mask in masks.items()}
    train_count = np.bincount(pairs[schema.TRAIN][1], minlength=num_items)
    catalog = [_item(rng, row, topics[row], int(train_count[row])) for row in range(num_items)]
    made = {schema.WEIGHT: weight, schema.NEGATIVES: negatives}
    columns = {
        split: {name: of_rows(*rows) for name, of_rows in made.items() if of_rows}
        for split, rows in pairs.items()
    }
    return write_arrays(str(directory), "small", catalog, pairs, SPECS, pair_columns=columns)


def negatives(query: np.ndarray, item: np.ndarray) -> np.ndarray:
    """`[pairs, 3]` rows of other items that depend on the pair's, of which it has 0 to 3."""
    others = (item[:, np.newaxis] + query[:, np.newaxis] % 7 + [1, 2, 3]) % 100
    count = (query + item) % 4
    return np.where(np.arange(3) < count[:, np.newaxis], others, -1)


def _pairs(
    rng: np.random.Generator, topics: np.ndarray, num_pairs: int
) -> tuple[np.ndarray, np.ndarray]:
    weights = 1.0 / (1.0 + np.arange(len(topics)) % 25)
    queries = rng.integers(0, len(topics), num_pairs)
    items = np.empty_like(queries)
    for index, query in enumerate(queries):
        mates = np.flatnonzero((topics == topics[query]) & (np.arange(len(topics)) != query))
        items[index] = rng.choice(mates, p=weights[mates] / weights[mates].sum())
    return queries, items


def _item(rng: np.random.Generator, row: int, topic: int, train_count: int) -> Item:
    words = 1 + (topic * 5 + rng.integers(0, 5, rng.integers(1, 5))) % 40
    tags = np.array([], int) if row % 10 == 0 else np.array([1 + topic * 2, 2 + topic * 2])
    values = {
        "id": [row + 1 if row < 100 else 0],
        "words": words.tolist(),
        "tags": tags.tolist(),
        "quality": [float(rng.normal()), 0.0] if row % 3 else [0.0, 1.0],
    }
    return Item(f"item {row}", f"Item {row} of topic {topic}", train_count, values)
