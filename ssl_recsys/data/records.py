"""Access to a dataset directory's TFDS folders, with errors that name the file."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from ssl_recsys import files, paths
from ssl_recsys.errors import InputError
from ssl_recsys.features import Column

_FEATURE_CLASSES = frozenset(
    f"tensorflow_datasets.core.features.{name}"
    for name in (
        "features_dict.FeaturesDict",
        "scalar.Scalar",
        "sequence_feature.Sequence",
        "tensor_feature.Tensor",
        "text_feature.Text",
    )
)
# A type, an encoding, a length: a module's class has a dot in its name, JSON in text has a quote.
_PLAIN_WORD = re.compile(r"-?[a-z0-9]*")


def open_builder(data_dir: str | os.PathLike[str], folder: str) -> tfds.core.DatasetBuilder:
    """Opens a TFDS folder of the dataset directory.

    Raises:
      InputError: if it is not one, or if it would have TFDS import a module or read elsewhere.
    """
    path = paths.as_path(data_dir) / folder
    _check_features(path / "features.json")
    try:
        builder = tfds.builder_from_directory(str(path))
        read = [file for split in builder.info.splits.values() for file in split.filepaths]
    except Exception as error:
        raise InputError(
            f"{path} is no readable TFDS folder ({error}); make the dataset again"
        ) from error
    for file in map(str, read):
        if os.path.dirname(paths.absolute(file)) != paths.absolute(path):
            raise InputError(
                f"{path} names a record file outside itself ({file}); load only datasets that you "
                "trust, or make it again"
            )
    return builder


def _check_features(path: pathlib.Path) -> None:
    """Refuses words that no data job writes: TFDS imports the modules that the file names.

    Raises:
      InputError: for such a word, or a file that cannot be read.
    """
    if not path.is_file():
        raise InputError(f"{path.parent} is no readable TFDS folder: it has no {path.name}")
    for text in _texts(files.read_json(path)):
        if text not in _FEATURE_CLASSES and not _PLAIN_WORD.fullmatch(text):
            raise InputError(
                f"{path} names {text[:80]!r}, which no data job writes and TFDS could import; load "
                "only datasets that you trust, or make it again"
            )


def _texts(value: Any) -> Iterator[str]:
    """The strings in a JSON value, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def record_files(data_dir: str | os.PathLike[str], folder: str, split: str) -> list[str]:
    """Paths of a split's record files, in order."""
    builder = open_builder(data_dir, folder)
    return [str(path) for path in builder.info.splits[split].filepaths]


def parsing(columns: Sequence[Column]) -> dict[str, Any]:
    """How `tf.io.parse_example` parses records of these columns."""
    dtypes = {"int64": tf.int64, "float32": tf.float32, "string": tf.string}
    return {
        column.name: tf.io.RaggedFeature(dtypes[column.dtype])
        if column.shape == (None,)
        else tf.io.FixedLenFeature(column.shape, dtypes[column.dtype])
        for column in columns
    }


def read_all(
    dataset: tf.data.Dataset, data_dir: str | os.PathLike[str], folder: str
) -> Iterator[Any]:
    """Elements of `dataset` as NumPy arrays.

    Args:
      dataset: reads records of `folder`.
      data_dir: the dataset directory.
      folder: the TFDS folder in it.

    Raises:
      InputError: for a corrupt record, with the name of its file, or one of another layout.
    """
    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.NotFoundError as error:
        raise InputError(
            f"a record file is missing ({error.message}); restore it or make the dataset again"
        ) from error
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        directory = paths.as_path(data_dir) / folder
        for path in sorted(directory.glob("*.tfrecord*")):
            count = 0
            try:
                for _ in tf.data.TFRecordDataset(str(path)):
                    count += 1
            except tf.errors.DataLossError:
                raise InputError(
                    f"{path} is corrupt behind its first {count} records; restore the file or "
                    "make the dataset again"
                ) from error
        raise InputError(
            f"{directory} holds a record of another layout ({error.message}); make the dataset "
            "again with this program's data job"
        ) from error
