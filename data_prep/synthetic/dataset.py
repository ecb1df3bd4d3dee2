"""Dataset directories of any size, written directly rather than by a data job.

The features are Wikipedia's: an id, title n-grams and categories, the bags holding three values on
average and up to sixteen. Items have topics, which show in their categories, in a part of their
titles and in what they are paired with, so that there is something to learn. Popularity falls as
a power of the rank, within a topic and over the whole catalog.

Everything is drawn in pieces, each from a seed of its own; of the whole dataset only the pairs (9
bytes each, twice that while they are divided among the splits) and the tokens of one vocabulary are
in memory.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from data_prep.encode import ITEMS_PER_FILE, Item
from data_prep.synthetic.draws import zipf_ranks
from data_prep.write_arrays import write_arrays
from ssl_recsys import schema
from ssl_recsys.features import Bag, Categorical, FeatureSpec

_ITEMS_PER_TOPIC = 200
_CATEGORIES_PER_TOPIC = 4
_MAX_VALUES = 16
_MEAN_VALUES = 3.0
# Of the number of pairs by an item's rank.
_POPULARITY_EXPONENT = 0.75
_SAME_TOPIC_SHARE = 0.8
_HELD_OUT_SHARE = 0.05
_PAIRS_AT_ONCE = 1 << 20

# What a generator's seed begins with, beside the dataset's.
_OF_ITEMS, _OF_PAIRS, _OF_FEATURES = range(3)

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


def write(directory: str | os.PathLike[str], sizes: Sizes, *, seed: int = 0) -> schema.DatasetInfo:
    """Writes a dataset directory, the same one for the same arguments."""
    world = _World(sizes, seed)
    query_row, item_row, split = world.all_pairs()
    pairs = {
        name: (query_row[split == index], item_row[split == index])
        for index, name in enumerate(schema.PAIR_SPLITS)
    }
    del query_row, item_row, split
    train_count = np.bincount(pairs[schema.TRAIN][1], minlength=sizes.num_items)
    vocabularies = {spec.name: _Tokens(spec) for spec in sizes.specs()}
    catalog = _Catalog(world, train_count)
    return write_arrays(str(directory), "synthetic", catalog, pairs, sizes.specs(), vocabularies)


class _World:
    """Topics, popularity and splits of the items, `[num_items]` each; pairs are drawn of them."""

    def __init__(self, sizes: Sizes, seed: int):
        self.sizes = sizes
        self.seed = seed
        rng = self.rng(_OF_ITEMS)
        num_topics = max(1, sizes.num_items // _ITEMS_PER_TOPIC)
        # Ascending: the rows of a topic are consecutive, its popular items first.
        self.topics = np.sort(rng.integers(0, num_topics, sizes.num_items, np.int32))
        self._starts = np.searchsorted(self.topics, np.arange(num_topics + 1))
        self._by_popularity = rng.permutation(sizes.num_items).astype(np.int32)
        held_out = rng.random(sizes.num_items, np.float32) < 2 * _HELD_OUT_SHARE
        self.splits = np.where(held_out, rng.integers(1, 3, sizes.num_items), 0).astype(np.uint8)

    def rng(self, *coordinates: int) -> np.random.Generator:
        """A generator of its own for each coordinates."""
        return np.random.default_rng([self.seed, *coordinates])

    def all_pairs(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray]:
        """`[num_pairs]` query rows, item rows and positions in `schema.PAIR_SPLITS`."""
        count = self.sizes.num_pairs
        query_row, item_row = np.empty(count, np.int32), np.empty(count, np.int32)
        split = np.empty(count, np.uint8)
        for first in range(0, count, _PAIRS_AT_ONCE):
            part = slice(first, min(first + _PAIRS_AT_ONCE, count))
            queries, items = self._draw_pairs(self.rng(_OF_PAIRS, first), part.stop - first)
            query_row[part], item_row[part] = queries, items
            split[part] = np.maximum(self.splits[queries], self.splits[items])
        return query_row, item_row, split

    def _draw_pairs(self, rng: np.random.Generator, count: int) -> tuple[_IntArray, _IntArray]:
        num_items = self.sizes.num_items
        queries = rng.integers(0, num_items, count)
        first, last = (self._starts[self.topics[queries] + more] for more in (0, 1))
        of_topic = first + zipf_ranks(rng.random(count), last - first, _POPULARITY_EXPONENT)
        ranks = zipf_ranks(rng.random(count), num_items, _POPULARITY_EXPONENT)
        is_same = rng.random(count) < _SAME_TOPIC_SHARE
        items = np.where(is_same, of_topic, self._by_popularity[ranks])
        return queries, np.where(items == queries, (items + 1) % num_items, items)

    def draw_features(self, first: int, stop: int) -> dict[str, list[list[int]]]:
        """Each feature's encoded values of the rows `first` to `stop`."""
        rng = self.rng(_OF_FEATURES, first)
        ids = np.where(self.splits[first:stop] == 0, np.arange(first + 1, stop + 1), 0)
        found = {"id": [[row] for row in ids.tolist()]}
        topics, shape = self.topics[first:stop, np.newaxis], (stop - first, _MAX_VALUES)
        for spec in self.sizes.specs()[1:]:
            own = topics * _CATEGORIES_PER_TOPIC + rng.integers(0, _CATEGORIES_PER_TOPIC, shape)
            other = rng.integers(0, spec.vocab_size - 1, shape)
            share = 0.8 if spec.name == "categories" else 0.4
            values = 1 + np.where(rng.random(shape) < share, own, other) % (spec.vocab_size - 1)
            lengths = rng.geometric(1 / _MEAN_VALUES, len(values)).clip(max=_MAX_VALUES)
            found[spec.name] = [
                row[:length] for row, length in zip(values.tolist(), lengths.tolist(), strict=True)
            ]
        return found


class _Catalog(Sequence[Item]):
    """The items, made when a record file's slice of them is asked for."""

    def __init__(self, world: _World, train_count: _IntArray):
        self._world = world
        self._train_count = train_count

    def __len__(self) -> int:
        return self._world.sizes.num_items

    @overload
    def __getitem__(self, rows: int) -> Item: ...

    @overload
    def __getitem__(self, rows: slice) -> list[Item]: ...

    def __getitem__(self, rows: int | slice) -> Item | list[Item]:
        if not isinstance(rows, slice):
            first = rows - rows % ITEMS_PER_FILE
            return self[first : min(first + ITEMS_PER_FILE, len(self))][rows - first]
        first, stop, _ = rows.indices(len(self))
        features = self._world.draw_features(first, stop)
        counts = self._train_count[first:stop].tolist()
        return [
            Item(f"Item {row}", f"Item {row}", count, dict(zip(features, values, strict=True)))
            for row, count, *values in zip(
                range(first, stop), counts, *features.values(), strict=True
            )
        ]


class _Tokens(Sequence[str]):
    """The tokens of a vocabulary in the order of their ids, made one by one."""

    def __init__(self, spec: FeatureSpec):
        self._spec = spec

    def __len__(self) -> int:
        return self._spec.vocab_size - 1

    def __getitem__(self, index: int) -> str:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return f"{self._spec.name} {index + 1}"

    def __iter__(self) -> Iterator[str]:
        return (f"{self._spec.name} {number}" for number in range(1, self._spec.vocab_size))
