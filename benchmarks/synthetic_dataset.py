"""Dataset directories of any size, written directly rather than by a data job.

The features are Wikipedia's: an id, title n-grams and categories, the bags holding three values on
average and up to sixteen. Items have topics, which show in their categories, in a part of their
titles and in what they are paired with, so that there is something to learn.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import numpy.typing as npt

from data_prep.encode import Item
from data_prep.write import write_arrays
from ssl_recsys import schema
from ssl_recsys.features import Bag, Categorical, FeatureSpec

_ITEMS_PER_TOPIC = 200
_CATEGORIES_PER_TOPIC = 4
_MAX_VALUES = 16
_MEAN_VALUES = 3.0
_POPULARITY_EXPONENT = 3.0
_SAME_TOPIC_SHARE = 0.8
_HELD_OUT_SHARE = 0.05

_IntArray = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large a dataset is to be.

    Attributes:
      num_items: items of the catalog.
      num_pairs: pairs of all splits.
      title_vocab: ids of `title_ngrams`; as many as items if 0.
      category_vocab: ids of `categories`; half as many as items if 0.
    """

    num_items: int
    num_pairs: int
    title_vocab: int = 0
    category_vocab: int = 0

    def specs(self) -> tuple[FeatureSpec, ...]:
        """The features; the ids count the missing value."""
        titles = self.title_vocab or max(100, self.num_items)
        categories = self.category_vocab or max(100, self.num_items // 2)
        return (
            Categorical("id", self.num_items + 1),
            Bag("title_ngrams", titles, _MAX_VALUES),
            Bag("categories", categories, _MAX_VALUES),
        )


def write(directory: pathlib.Path, sizes: Sizes, *, seed: int = 0) -> schema.DatasetInfo:
    """Writes a dataset directory, the same one for the same arguments."""
    rng = np.random.default_rng(seed)
    specs = sizes.specs()
    topics = np.sort(rng.integers(0, max(1, sizes.num_items // _ITEMS_PER_TOPIC), sizes.num_items))
    queries, items = _draw_pairs(rng, topics, sizes.num_pairs)
    split_of_item = rng.choice(
        3, sizes.num_items, p=(1 - 2 * _HELD_OUT_SHARE, _HELD_OUT_SHARE, _HELD_OUT_SHARE)
    )
    split_of_pair = np.maximum(split_of_item[queries], split_of_item[items])
    train_count = np.bincount(items[split_of_pair == 0], minlength=sizes.num_items)
    features = _draw_features(rng, topics, split_of_item, specs)
    catalog = [
        Item(f"Item {row}", f"Item {row}", count, {name: v[row] for name, v in features.items()})
        for row, count in enumerate(train_count.tolist())
    ]
    pairs = {
        split: (queries[split_of_pair == index], items[split_of_pair == index])
        for index, split in enumerate(schema.PAIR_SPLITS)
    }
    vocabularies = {
        spec.name: [f"{spec.name} {index}" for index in range(1, spec.vocab_size)] for spec in specs
    }
    return write_arrays(str(directory), "synthetic", catalog, pairs, specs, vocabularies)


def _draw_pairs(
    rng: np.random.Generator, topics: _IntArray, num_pairs: int
) -> tuple[_IntArray, _IntArray]:
    """Query and item rows; `topics` ascends, and the first rows of a topic are its popular ones."""
    num_items = len(topics)
    queries = rng.integers(0, num_items, num_pairs)
    skewed = rng.random(num_pairs) ** _POPULARITY_EXPONENT
    first = np.searchsorted(topics, topics[queries], side="left")
    last = np.searchsorted(topics, topics[queries], side="right")
    of_topic = first + (skewed * (last - first)).astype(np.int64)
    anywhere = rng.integers(0, num_items, num_pairs)
    items = np.where(rng.random(num_pairs) < _SAME_TOPIC_SHARE, of_topic, anywhere)
    items = np.where(items == queries, (items + 1) % num_items, items)
    order = rng.permutation(num_pairs)
    return queries[order], items[order]


def _draw_features(
    rng: np.random.Generator,
    topics: _IntArray,
    split_of_item: _IntArray,
    specs: tuple[FeatureSpec, ...],
) -> dict[str, list[list[int]]]:
    """Each feature's encoded values, by row."""
    num_items = len(topics)
    ids = np.where(split_of_item == 0, np.arange(1, num_items + 1), 0)
    found = {"id": [[row] for row in ids.tolist()]}
    for spec in specs[1:]:
        shape = (num_items, _MAX_VALUES)
        own = topics[:, None] * _CATEGORIES_PER_TOPIC + rng.integers(
            0, _CATEGORIES_PER_TOPIC, shape
        )
        other = rng.integers(0, spec.vocab_size - 1, shape)
        share = 0.8 if spec.name == "categories" else 0.4
        values = 1 + np.where(rng.random(shape) < share, own, other) % (spec.vocab_size - 1)
        lengths = rng.geometric(1 / _MEAN_VALUES, num_items).clip(max=_MAX_VALUES)
        found[spec.name] = [
            row[:length] for row, length in zip(values.tolist(), lengths.tolist(), strict=True)
        ]
    return found
