"""What a finished run leaves for evaluation and serving.

```
export/
  query_tower/, item_tower/   SavedModels: features -> {"embedding": [batch, dim]}
  item_embeddings.npy         [num_items, dim] float32, in row order: L2-normalised, and those of
                              trained items times their scale
  sample_queries.npy          [up to 4,096, dim] float32, queries spread over their catalog
  catalog.npz                 train_count, item_counts and the encoded features
  keys.txt, titles.txt        one item a line, in row order
  queries.npz, query_keys.txt, query_titles.txt
                              the same of the queries, where they are no items
  pairs_<split>.npy           [2, num_pairs] int32: query_row, item_row
  vocab/, scales/             the dataset's vocabularies, and how its numbers are scaled
  dataset.json                the dataset's description
  settings.json               the run's settings that evaluation needs
  manifest.json               sizes and SHA-256 digests of all other files
```

Every command reads nothing but this directory, and a tower needs nothing beside its own. A tower's
signatures take raw features as texts (`serving_default`, and `features`, which gives the encoded
ones) or encoded features (`encoded`). Where the dataset does not say how its features are made of
raw ones, `serving_default` is `encoded`.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ssl_recsys import files, manifest, paths, schema
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.errors import InputError
from ssl_recsys.model.embedding import Embedder, embed_rows
from ssl_recsys.model.look_up import FeatureEmbeddings
from ssl_recsys.model.two_tower import TwoTowerModel
from ssl_recsys.raw.encoder import RawEncoder
from ssl_recsys.schema import ITEM, QUERY, SIDES
from ssl_recsys.training import run_dir
from ssl_recsys.training.export_catalog import read_catalog, write_catalog

_ITEM_COUNTS = "item_counts"
SETTINGS_FILE = "settings.json"
TRAINED_ITEM_SCALE = "trained_item_scale"  # in it
_SAMPLE_QUERIES, _MAX_SAMPLE_QUERIES = "sample_queries.npy", 4096
EMBEDDING = "embedding"

# Signatures of a tower: raw features to embeddings, encoded ones to embeddings, raw to encoded.
_DEFAULT, ENCODED, FEATURES = "serving_default", "encoded", "features"
RAW = _DEFAULT

# A signature's inputs by name, to its outputs by name.
Signature = Callable[[Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]]


class _Serving(tf.Module):
    """One tower with the tables that it reads, under a serving signature."""

    def __init__(
        self, model: TwoTowerModel, look_up: FeatureEmbeddings, side: str, raw: RawEncoder | None
    ):
        super().__init__(name=f"{side}_tower")
        self.raw_encoder = raw
        if raw is not None:
            # One function for both signatures that need it, since functions take long to load, and
            # a concrete one, which is not traced again when it is saved.
            encode = tf.function(raw.encode, input_signature=[raw.signature()], autograph=False)
            self.encode = encode.get_concrete_function()
        # The module tracks what it saves through these.
        self.feature_embeddings = look_up
        self.tower = model.towers[side]

        self._side = side

    def embed(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        (looked_up,) = self.feature_embeddings([(self._side, features)])
        return {"embedding": self.tower(looked_up.activations)}

    def embed_raw(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return self.embed(self.encode(columns))


@dataclasses.dataclass(frozen=True)
class Exported:
    """A finished run, loaded.

    Attributes:
      info: the dataset's description.
      item_counts: `[num_items]` int64, pairs that the model was trained on, by their item; with
        `train_fraction` fewer than the catalog's `train_count`.
      item_embeddings: `[num_items, dim]` float32, those of trained items times their scale.
      query_tower: embeds queries, of encoded features; loaded when it is first called, since it
        holds the tables.
      exclude_query: whether the model was validated with each query's own item left out.
      path: the export directory.
      trained_item_scale: what embeddings of trained items are the item tower's times.
    """

    info: schema.DatasetInfo
    item_counts: np.ndarray
    item_embeddings: np.ndarray
    query_tower: Embedder
    exclude_query: bool
    path: pathlib.Path
    _catalogs: Mapping[str, Catalog]
    trained_item_scale: float = 1.0

    def catalog(self, side: str) -> Catalog:
        """The catalog of a side, as `Dataset.catalog`."""
        return self._catalogs[self.info.catalog_dir(side)]

    def query_embeddings(self, rows: np.ndarray, only: Collection[str] = ()) -> np.ndarray:
        """`[n, dim]` float32 embeddings of `[n]` rows of the query side's catalog.

        Args:
          rows: the rows.
          only: features that are known of them, the others being missing; none: all are known.
        """
        hidden = [s for s in self.info.features_of(QUERY) if only and s.name not in only]

        def embed(features: Mapping[str, Any]) -> tf.Tensor:
            missing = {spec.name: spec.missing_like(features[spec.name]) for spec in hidden}
            return self.query_tower({**features, **missing})

        return embed_rows(embed, self.catalog(QUERY), rows)

    def scales(self, keys: Sequence[str]) -> np.ndarray:
        """`[keys, 1]` float32, what an item tower's embeddings of these items are multiplied by."""
        row_of, counts = self._row_of, self.item_counts
        trained = [key in row_of and counts[row_of[key]] > 0 for key in keys]
        return np.where(trained, self.trained_item_scale, 1).astype(np.float32)[:, np.newaxis]

    @functools.cached_property
    def _row_of(self) -> dict[str, int]:
        return {key: row for row, key in enumerate(self.catalog(ITEM).keys)}

    def sample_queries(self) -> np.ndarray:
        """`[up to 4,096, dim]` float32 embeddings of queries, spread evenly over their catalog."""
        path = self.path / _SAMPLE_QUERIES
        if path.is_file():
            return np.load(path)
        return self.query_embeddings(_sample(self.catalog(QUERY)))  # of an earlier revision

    def pairs(self, split: str) -> Pairs:
        """The pairs of a held-out split.

        Raises:
          InputError: if the run kept no pairs of that split.
        """
        path = self.path / f"pairs_{split}.npy"
        if not path.is_file():
            raise InputError(f"{self.path} has no {split} pairs; train with --eval_split={split}")
        return Pairs(*np.load(path))


def export_run(
    model: TwoTowerModel,
    dataset: Dataset,
    item_counts: np.ndarray,
    pairs: Mapping[str, Pairs],
    model_dir: pathlib.Path,
    *,
    exclude_query: bool,
    unread_marks: Collection[str] = (),
) -> pathlib.Path:
    """Writes the export directory under a temporary name and renames it.

    Args:
      model: the trained model.
      dataset: what it was trained on.
      item_counts: `[num_items]` int64, training pairs by their item.
      pairs: held-out pairs by split.
      model_dir: the run's directory.
      exclude_query: whether each query's own item is left out of its ranking.
      unread_marks: dense features whose mark of a missing value the towers take for 0.

    Returns:
      The export directory.
    """
    catalog = dataset.catalog(ITEM)
    target = model_dir / run_dir.EXPORT_DIR
    temporary = files.new_directory(target)
    for folder in (schema.VOCAB_DIR, schema.SCALES_DIR):
        if (dataset.data_dir / folder).is_dir():
            shutil.copytree(paths.local_copy(dataset.data_dir / folder), temporary / folder)
    look_up = model.whole_feature_embeddings()
    with tempfile.TemporaryDirectory() as scratch:
        for side in SIDES:
            raw = _raw_encoder(dataset, side, temporary, pathlib.Path(scratch))
            serving = _Serving(model, look_up, side, raw)
            _save_tower(serving, side, dataset, temporary / f"{side}_tower")
    del look_up, serving  # copies of sharded tables
    embeddings = embed_rows(lambda features: model.embed(ITEM, features), catalog)
    np.save(temporary / run_dir.EMBEDDINGS_FILE, embeddings)
    queries = dataset.catalog(QUERY)
    sample = embed_rows(lambda features: model.embed(QUERY, features), queries, _sample(queries))
    np.save(temporary / _SAMPLE_QUERIES, sample)
    for side in SIDES:
        counts = {_ITEM_COUNTS: item_counts} if side == ITEM else {}
        if side == ITEM or dataset.info.queries:
            write_catalog(temporary, dataset.catalog(side), side, counts)
    for split, columns in pairs.items():
        np.save(temporary / f"pairs_{split}.npy", np.stack(columns))
    schema.write_dataset_info(temporary, dataset.info)
    settings = {
        "exclude_query": exclude_query,
        "unread_marks": sorted(unread_marks),
        TRAINED_ITEM_SCALE: 1.0,
    }
    files.write_json(temporary / SETTINGS_FILE, settings)
    manifest.write(temporary)
    files.replace_directory(temporary, target)
    return target


def load_export(model_dir: str | os.PathLike[str], *, verify: bool = True) -> Exported:
    """Loads what `export_run` wrote.

    Args:
      model_dir: the run's directory.
      verify: compare every file with the manifest, which reads all of them.

    Raises:
      FileNotFoundError: if the run is not finished.
      InputError: if a file is damaged, or another version wrote them.
    """
    # Embeddings are mapped into memory, which only a local file can be.
    path = paths.local_copy(run_dir.finished_run(model_dir))
    if verify:
        manifest.check(path)
    info = schema.read_dataset_info(path)
    catalog, (item_counts,) = read_catalog(path, info, ITEM, [_ITEM_COUNTS])
    catalogs = {info.catalog_dir(ITEM): catalog}
    if info.queries:
        catalogs[info.catalog_dir(QUERY)], _ = read_catalog(path, info, QUERY, [])
    # Mapped: pages come as they are searched, and no copy is made (see ExactSearch).
    embeddings = np.load(path / run_dir.EMBEDDINGS_FILE, mmap_mode="c")
    if not len(embeddings) == catalog.num_items == info.num_items:
        raise InputError(f"{path} is damaged: its files disagree on the number of items")
    query_tower = functools.cache(lambda: load_tower(path, QUERY)[ENCODED])
    settings = files.read_json(path / SETTINGS_FILE)
    files.check_types(
        str(path / SETTINGS_FILE),
        settings,
        {"exclude_query": bool, "unread_marks": list, TRAINED_ITEM_SCALE: float},
        optional=(TRAINED_ITEM_SCALE,),  # earlier revisions had no scale
    )
    return Exported(
        info,
        item_counts,
        embeddings,
        lambda features: query_tower()(features)[EMBEDDING],
        settings["exclude_query"],
        path,
        catalogs,
        settings.get(TRAINED_ITEM_SCALE, 1.0),
    )


def _sample(catalog: Catalog) -> np.ndarray:
    """Rows spread evenly over a catalog."""
    count = min(catalog.num_items, _MAX_SAMPLE_QUERIES)
    return np.arange(count) * catalog.num_items // count


def load_tower(path: pathlib.Path, side: str) -> dict[str, Signature]:
    """The signatures of a tower in an export directory, by name.

    Raises:
      InputError: if another version wrote it.
    """
    saved = tf.saved_model.load(str(path / f"{side}_tower"))
    if ENCODED not in saved.signatures:
        raise InputError(
            f"{path} has no signature {ENCODED!r}: another version wrote it; train the run again"
        )
    # A signature keeps no reference to the variables that it reads; `saved` does.
    return {
        name: functools.partial(_call_signature, saved, signature)
        for name, signature in saved.signatures.items()
    }


def _call_signature(
    saved: Any, signature: Callable[..., Mapping[str, tf.Tensor]], features: Mapping[str, tf.Tensor]
) -> Mapping[str, tf.Tensor]:
    del saved
    return signature(**features)


def _raw_encoder(
    dataset: Dataset, side: str, data_dir: pathlib.Path, scratch: pathlib.Path
) -> RawEncoder | None:
    """What encodes a side's raw features; None where the dataset does not say how."""
    raw = dataset.info.raw_of(side)
    if not raw:
        return None
    catalog = dataset.catalog(ITEM)
    return RawEncoder(
        raw,
        dataset.features(side),
        data_dir,
        (catalog.keys, catalog.train_count),
        scratch,
    )


def _save_tower(module: _Serving, side: str, dataset: Dataset, path: pathlib.Path) -> None:
    # A bag may be wider than any of the dataset: a new item can have more values.
    signature = {
        s.name: tf.TensorSpec([None, None if s.is_pooled else s.max_values], s.array_dtype, s.name)
        for s in dataset.features(side)
    }
    embed = tf.function(module.embed, input_signature=[signature], autograph=False)
    encoded = embed.get_concrete_function()
    signatures = {_DEFAULT: encoded, ENCODED: encoded}
    if module.raw_encoder is not None:
        raw = module.raw_encoder.signature()
        embed_raw = tf.function(module.embed_raw, input_signature=[raw], autograph=False)
        signatures[_DEFAULT] = embed_raw.get_concrete_function()
        signatures[FEATURES] = module.encode
    tf.saved_model.save(module, str(path), signatures=signatures)
