"""What a finished run leaves for evaluation and serving.

```
export/
  query_tower/, item_tower/   SavedModels: features -> {"embedding": [batch, dim]}
  item_embeddings.npy         [num_items, dim] float32, L2-normalised, in row order
  catalog.npz                 train_count, item_counts and the encoded features
  keys.txt, titles.txt        one item a line, in row order
  pairs_<split>.npy           [2, num_pairs] int32: query rows, item rows
  dataset.json                the dataset's description
```

`evaluate` and `recommend` read nothing but this directory.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ssl_recsys import schema
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.errors import InputError
from ssl_recsys.model.embedding import Embedder, embed_rows
from ssl_recsys.model.two_tower import ITEM, QUERY, TwoTowerModel
from ssl_recsys.training import run_dir

_EMBEDDINGS = "item_embeddings.npy"
_CATALOG = "catalog.npz"
_FEATURE_PREFIX = "feature_"


class _Serving(tf.Module):
    """One tower with the tables that it reads, under a serving signature."""

    def __init__(self, model: TwoTowerModel, side: str):
        super().__init__(name=f"{side}_tower")
        # The module tracks what it saves through these.
        self.feature_embeddings = model.feature_embeddings
        self.tower = model.towers[side]

    def embed(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"embedding": self.tower(self.feature_embeddings(features).activations)}


@dataclasses.dataclass(frozen=True)
class Exported:
    """A finished run, loaded.

    Attributes:
      info: the dataset's description.
      catalog: all items.
      item_counts: `[num_items]` int64, pairs that the model was trained on, by their item; with
        `train_fraction` fewer than the catalog's `train_count`.
      item_embeddings: `[num_items, dim]` float32.
      query_tower: embeds queries.
      path: the export directory.
    """

    info: schema.DatasetInfo
    catalog: Catalog
    item_counts: np.ndarray
    item_embeddings: np.ndarray
    query_tower: Embedder
    path: pathlib.Path

    def pairs(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """`(query_rows, item_rows)` of a held-out split.

        Raises:
          InputError: if the run kept no pairs of that split.
        """
        path = self.path / f"pairs_{split}.npy"
        if not path.is_file():
            raise InputError(f"{self.path} has no pairs of split {split!r} (validation, test)")
        query_rows, item_rows = np.load(path)
        return query_rows, item_rows


def export_run(
    model: TwoTowerModel,
    catalog: Catalog,
    info: schema.DatasetInfo,
    item_counts: np.ndarray,
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]],
    model_dir: str | os.PathLike[str],
) -> pathlib.Path:
    """Writes the export directory aside and renames it into place.

    Args:
      model: the trained model.
      catalog: all items.
      info: the dataset's description.
      item_counts: `[num_items]` int64, training pairs by their item.
      pairs: held-out pairs by split.
      model_dir: the run's directory.

    Returns:
      The export directory.
    """
    target = pathlib.Path(model_dir) / run_dir.EXPORT_DIR
    aside = target.with_name(target.name + ".tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for side in (QUERY, ITEM):
        _save_tower(model, side, info, catalog, aside / f"{side}_tower")
    embeddings = embed_rows(lambda features: model.embed(ITEM, features), catalog)
    np.save(aside / _EMBEDDINGS, embeddings)
    arrays = {f"{_FEATURE_PREFIX}{name}": array for name, array in catalog.features.items()}
    arrays["train_count"] = catalog.train_count
    arrays["item_counts"] = item_counts
    with (aside / _CATALOG).open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    _write_lines(aside / "keys.txt", catalog.keys)
    _write_lines(aside / "titles.txt", catalog.titles)
    for split, (query_rows, item_rows) in pairs.items():
        np.save(aside / f"pairs_{split}.npy", np.stack([query_rows, item_rows]))
    schema.write_dataset_info(aside, info)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(aside, target)
    return target


def load_export(model_dir: str | os.PathLike[str]) -> Exported:
    """Loads what `export_run` wrote.

    Raises:
      FileNotFoundError: if the run is not finished.
      InputError: if its files do not fit each other, or another version wrote them.
    """
    path = run_dir.finished_run(model_dir)
    info = schema.read_dataset_info(path)
    with np.load(path / _CATALOG) as file:
        arrays = dict(file)
    feature_names = [_FEATURE_PREFIX + spec.name for spec in info.features]
    missing = {"train_count", "item_counts", *feature_names} - arrays.keys()
    if missing:
        raise InputError(
            f"{path / _CATALOG} lacks {', '.join(sorted(missing))}: it is damaged, or another "
            "version wrote it; train the run again"
        )
    catalog = Catalog(
        keys=_read_lines(path / "keys.txt"),
        titles=_read_lines(path / "titles.txt"),
        train_count=arrays["train_count"],
        features={name.removeprefix(_FEATURE_PREFIX): arrays[name] for name in feature_names},
    )
    embeddings = np.load(path / _EMBEDDINGS)
    if not len(embeddings) == catalog.num_items == info.num_items:
        raise InputError(f"{path} is damaged: its files disagree on the number of items")
    saved = tf.saved_model.load(str(path / f"{QUERY}_tower"))
    signature = saved.signatures["serving_default"]

    # The signature keeps no reference to the variables that it reads; `saved` does.
    query_tower = functools.partial(_call_signature, saved, signature)
    return Exported(info, catalog, arrays["item_counts"], embeddings, query_tower, path)


def _call_signature(
    saved: Any, signature: Callable[..., Mapping[str, tf.Tensor]], features: Mapping[str, tf.Tensor]
) -> tf.Tensor:
    del saved
    return signature(**features)["embedding"]


def _save_tower(
    model: TwoTowerModel,
    side: str,
    info: schema.DatasetInfo,
    catalog: Catalog,
    path: pathlib.Path,
) -> None:
    module = _Serving(model, side)
    signature = {
        spec.name: tf.TensorSpec(
            [None, catalog.features[spec.name].shape[1]],
            tf.int32 if spec.is_embedded else tf.float32,
            name=spec.name,
        )
        for spec in info.features
    }
    function = tf.function(module.embed, input_signature=[signature])
    tf.saved_model.save(module, str(path), signatures=function.get_concrete_function())


def _write_lines(path: pathlib.Path, values: np.ndarray) -> None:
    """One value a line; line breaks within a value become spaces."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for value in values:
            file.write(" ".join(value.splitlines()) + "\n")


def _read_lines(path: pathlib.Path) -> np.ndarray:
    return np.array(path.read_text(encoding="utf-8").split("\n")[:-1], dtype=object)
