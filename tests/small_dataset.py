"""A small dataset directory with structure to learn, written without Beam."""

from __future__ import annotations

import pathlib

import numpy as np

from data_prep import encode
from ssl_recsys import features, schema

NUM_TOPICS = 8
NUM_HELD_OUT = 20

SPECS = (
    features.feature_spec("id", features.CATEGORICAL, vocab_size=101),
    features.feature_spec("words", features.BAG, vocab_size=41, max_values=6),
    features.feature_spec("tags", features.BAG, vocab_size=17, max_values=4),
    features.feature_spec("quality", features.DENSE, max_values=2),
)


def write(directory: pathlib.Path, *, num_pairs: int = 3000, seed: int = 0) -> schema.DatasetInfo:
    """Writes 120 items of 8 topics; pairs join items of one topic; the last 20 are held out."""
    rng = np.random.default_rng(seed)
    num_items = 100 + NUM_HELD_OUT
    topics = rng.integers(0, NUM_TOPICS, num_items)
    queries, items = _pairs(rng, topics, num_pairs)
    held_out = np.maximum(queries, items) >= 100
    in_validation = rng.random(num_pairs) < 0.5
    masks = {
        "train": ~held_out,
        "validation": held_out & in_validation,
        "test": held_out & ~in_validation,
    }
    train_count = np.bincount(items[masks["train"]], minlength=num_items)
    files = []
    for split, mask in masks.items():
        path = directory / encode.file_name(schema.PAIRS_DIR, split, 0, 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        records = encode.pair_records(queries[mask], items[mask])
        files.append((schema.PAIRS_DIR, split, 0, *encode.write_records(str(path), records)))
    path = directory / encode.file_name(schema.CATALOG_DIR, schema.CATALOG_SPLIT, 0, 1)
    records = [_record(rng, row, topics[row], int(train_count[row])) for row in range(num_items)]
    stats = encode.write_records(str(path), records)
    files.append((schema.CATALOG_DIR, schema.CATALOG_SPLIT, 0, *stats))
    encode.write_metadata(str(directory), files, SPECS)
    info = schema.DatasetInfo(
        name="small",
        features=SPECS,
        num_items=num_items,
        num_pairs={split: int(mask.sum()) for split, mask in masks.items()},
    )
    schema.write_dataset_info(directory, info)
    return info


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


def _record(rng: np.random.Generator, row: int, topic: int, train_count: int) -> bytes:
    words = 1 + (topic * 5 + rng.integers(0, 5, rng.integers(1, 5))) % 40
    tags = np.array([], int) if row % 10 == 0 else np.array([1 + topic * 2, 2 + topic * 2])
    return encode.item_record(
        row=row,
        key=f"item {row}",
        title=f"Item {row} of topic {topic}",
        train_count=train_count,
        values={
            "id": [row + 1 if row < 100 else 0],
            "words": words.tolist(),
            "tags": tags.tolist(),
            "quality": [float(rng.normal()), 0.0] if row % 3 else [0.0, 1.0],
        },
        features=SPECS,
    )
