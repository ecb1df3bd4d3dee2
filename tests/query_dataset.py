"""A small dataset directory whose queries are users' histories, written without Beam."""

from __future__ import annotations

import pathlib

import numpy as np

from data_prep.encode import Item
from data_prep.write_arrays import write_arrays
from ssl_recsys import schema
from ssl_recsys.features import Bag, Categorical
from tests import small_dataset

NUM_ITEMS = 60
NUM_USERS = 40
EVENTS_OF_USER = 8
HISTORY = 5

ITEM_SPECS = (
    Categorical("id", vocab_size=NUM_ITEMS - 9),  # the last ten have no id of their own
    Bag("words", vocab_size=41, max_values=6),
)
QUERY_SPECS = (
    Bag("history", vocab_size=NUM_ITEMS - 9, max_values=HISTORY, table="id"),
    Categorical("country", vocab_size=5),
)


def write(directory: pathlib.Path, seed: int = 0) -> schema.DatasetInfo:
    """Writes users who like one topic each; the last two events of a user are held out."""
    rng = np.random.default_rng(seed)
    topics = np.arange(NUM_ITEMS) % small_dataset.NUM_TOPICS
    queries: list[Item] = []
    pairs: dict[str, list[tuple[int, int]]] = {split: [] for split in schema.PAIR_SPLITS}
    for user in range(NUM_USERS):
        liked = np.flatnonzero(topics == user % small_dataset.NUM_TOPICS)
        events = rng.permutation(liked)[:EVENTS_OF_USER]
        splits = [schema.TRAIN] * (len(events) - 3) + [schema.VALIDATION, schema.TEST]
        for place, split in enumerate(splits, start=1):
            known = [int(item) + 1 for item in events[:place][::-1] if item < NUM_ITEMS - 10]
            values = {"history": known[:HISTORY], "country": [user % 5]}
            pairs[split].append((len(queries), int(events[place])))
            queries.append(Item(f"user {user}@{place}", f"user {user}", len(events) - 3, values))
    columns = {split: tuple(np.array(of_split).T) for split, of_split in pairs.items()}
    train_count = np.bincount(columns[schema.TRAIN][1], minlength=NUM_ITEMS)
    items = [
        Item(
            f"item {row}",
            f"Item {row} of topic {topics[row]}",
            int(train_count[row]),
            {
                "id": [row + 1 if row < NUM_ITEMS - 10 else 0],
                "words": (1 + (topics[row] * 5 + rng.integers(0, 5, 3)) % 40).tolist(),
            },
        )
        for row in range(NUM_ITEMS)
    ]
    return write_arrays(
        str(directory), "histories", items, columns, ITEM_SPECS, queries=(queries, QUERY_SPECS)
    )
