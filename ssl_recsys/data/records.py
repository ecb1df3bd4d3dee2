"""Access to a dataset directory's TFDS folders, with errors that name the file."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from ssl_recsys.errors import InputError
from ssl_recsys.features import Column


def open_builder(data_dir: str | os.PathLike[str], folder: str) -> tfds.core.DatasetBuilder:
    """Opens a TFDS folder of the dataset directory.

    Raises:
      InputError: if it is not one.
    """
    path = pathlib.Path(data_dir) / folder
    try:
        return tfds.builder_from_directory(str(path))
    except Exception as error:
        raise InputError(
            f"{path} is no readable TFDS folder ({error}); make the dataset again"
        ) from error


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
        directory = pathlib.Path(data_dir) / folder
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
