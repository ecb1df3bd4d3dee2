"""A dataset directory, opened once: what everything else asks for its parts."""

from __future__ import annotations

import os

from ssl_recsys import paths, schema
from ssl_recsys.data.catalog import Catalog, load_catalog
from ssl_recsys.data.input_pipeline import TrainingPairs
from ssl_recsys.data.pairs import Pairs, load_pairs
from ssl_recsys.errors import InputError
from ssl_recsys.features import FeatureSpec


class Dataset:
    """A dataset directory.

    Args:
      data_dir: the directory.
      verify: compare its files with their manifest, which reads all of them; see
        `schema.read_dataset_info`.

    Attributes:
      data_dir: the directory.
      info: the contents of its `dataset.json`.

    Raises:
      FileNotFoundError: if it is no dataset directory.
      InputError: if its `dataset.json` is damaged, or, with `verify`, any of its files.
    """

    def __init__(self, data_dir: str | os.PathLike[str], *, verify: bool = True):
        self.data_dir = paths.as_path(data_dir)
        self.info = schema.read_dataset_info(data_dir, verify=verify)
        self._catalogs: dict[str, Catalog] = {}

    def features(self, side: str) -> tuple[FeatureSpec, ...]:
        """The features of a side, in the order in which its tower concatenates them."""
        return self.info.features_of(side)

    def catalog(self, side: str) -> Catalog:
        """The catalog of a side, read once; one object where both sides have the same.

        Raises:
          InputError: if it is damaged.
        """
        folder = self.info.catalog_dir(side)
        if folder not in self._catalogs:
            self._catalogs[folder] = load_catalog(self.data_dir, self.info, side)
        return self._catalogs[folder]

    def pairs(self, split: str) -> Pairs:
        """All pairs of a split.

        Raises:
          InputError: for an unknown split, a damaged file, or fewer pairs than announced.
        """
        pairs = load_pairs(self.data_dir, split)
        self._check_count(split, len(pairs.item_row))
        return pairs

    def training_pairs(
        self,
        *,
        batch_size: int,
        seed: int,
        fraction: float = 1.0,
        ssl_sides: tuple[str, ...] = (),
        passes_per_epoch: int = 1,
        mixed_negatives: int = 0,
        hard_negatives: int = 0,
    ) -> TrainingPairs:
        """The training pairs in batches, see `TrainingPairs`.

        Raises:
          InputError: if there are none, or fewer negatives to a pair than wanted.
        """
        pairs = TrainingPairs(
            self.data_dir,
            {side: self.catalog(side) for side in schema.SIDES},
            batch_size=batch_size,
            seed=seed,
            fraction=fraction,
            ssl_sides=ssl_sides,
            passes_per_epoch=passes_per_epoch,
            mixed_negatives=mixed_negatives,
            hard_negatives=hard_negatives,
            pair_columns=self.info.pair_columns,
        )
        if fraction == 1.0:
            self._check_count(schema.TRAIN, pairs.num_pairs)
        return pairs

    def _check_count(self, split: str, found: int) -> None:
        """Refuses a split that is not as large as dataset.json says, such as a file cut short."""
        announced = self.info.num_pairs.get(split, 0)
        if found != announced:
            raise InputError(
                f"{self.data_dir / schema.PAIRS_DIR} holds {found:,} {split} pairs, and "
                f"{schema.DATASET_FILE} announces {announced:,}: a file is damaged; restore it or "
                "make the dataset again"
            )
