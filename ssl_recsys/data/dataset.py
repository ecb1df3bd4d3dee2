"""A dataset directory, opened once: what everything else asks for its parts."""

from __future__ import annotations

import functools
import os
import pathlib

import numpy as np
import numpy.typing as npt

from ssl_recsys import schema
from ssl_recsys.data.catalog import Catalog, load_catalog
from ssl_recsys.data.input_pipeline import TrainingPairs
from ssl_recsys.data.pairs import Pairs, load_pairs
from ssl_recsys.features import FeatureSpec


class Dataset:
    """A dataset directory.

    This class alone knows that a query is an item: both sides of an item-to-item dataset are the
    same catalog. Others ask for the catalog and the features of a side.

    Args:
      data_dir: the directory.

    Attributes:
      data_dir: the directory.
      info: the contents of its `dataset.json`.

    Raises:
      FileNotFoundError: if it is no dataset directory.
      InputError: if its `dataset.json` is damaged.
    """

    def __init__(self, data_dir: str | os.PathLike[str]):
        self.data_dir = pathlib.Path(data_dir)
        self.info = schema.read_dataset_info(data_dir)

    def features(self, side: str) -> tuple[FeatureSpec, ...]:
        """The features of a side, in the order in which its tower concatenates them."""
        return features_of_side(self.info, side)

    def catalog(self, side: str) -> Catalog:
        """The catalog of a side, read at the first call.

        Raises:
          InputError: if it is damaged.
        """
        del side  # a query is an item
        return self._catalog

    @functools.cached_property
    def _catalog(self) -> Catalog:
        return load_catalog(self.data_dir, self.info)

    def pairs(self, split: str) -> Pairs:
        """All pairs of a split.

        Raises:
          InputError: for an unknown split or a damaged file.
        """
        return load_pairs(self.data_dir, split)

    def training_pairs(
        self, *, batch_size: int, seed: int, fraction: float = 1.0, ssl_sides: tuple[str, ...] = ()
    ) -> TrainingPairs:
        """The training pairs in batches, see `TrainingPairs`.

        Raises:
          InputError: if there are none.
        """
        return TrainingPairs(
            self.data_dir,
            {side: self.catalog(side) for side in schema.SIDES},
            batch_size=batch_size,
            seed=seed,
            fraction=fraction,
            ssl_sides=ssl_sides,
        )


def features_of_side(info: schema.DatasetInfo, side: str) -> tuple[FeatureSpec, ...]:
    """The features of a side of the dataset that `info` describes."""
    del side  # a query is an item
    return info.features


def own_item_rows(
    info: schema.DatasetInfo, query_row: npt.NDArray[np.integer]
) -> npt.NDArray[np.integer] | None:
    """The item row that each query itself has, of a dataset that `info` describes.

    Returns:
      `[n]` rows of the item side's catalog; None where queries are no items.
    """
    del info  # a query is an item
    return query_row
