"""The metadata with which TFDS opens a folder of record files, written without TFDS.

`dataset_info.json` and `features.json` as TensorFlow Datasets 4.9 writes them, to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ssl_recsys.features import Column

INFO_FILE = "dataset_info.json"
FEATURES_FILE = "features.json"
_CLASSES = "tensorflow_datasets.core.features"


class Split(NamedTuple):
    """A split's name, the size of all its records, and the number of records in each file."""

    name: str
    num_bytes: int
    shard_lengths: Sequence[int]


def info_text(folder: str, splits: Iterable[Split]) -> str:
    """The contents of `dataset_info.json`."""
    return _json(
        {
            "description": f"The {folder} of a recommendation dataset.",
            "fileFormat": "tfrecord",
            "name": folder,
            "splits": [_split(split) for split in splits],
            "version": "1.0.0",
        },
        indent=2,
    )


def _split(split: Split) -> dict[str, Any]:
    fields = {
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        "name": split.name,
        "numBytes": str(split.num_bytes),
        "shardLengths": [str(length) for length in split.shard_lengths],
    }
    if not split.num_bytes:  # JSON of protocol buffers leaves zeros out
        del fields["numBytes"]
    return fields


def features_text(columns: Iterable[Column]) -> str:
    """The contents of `features.json`."""
    features = {column.name: _feature(column) for column in columns}
    content = {"featuresDict": {"features": features}}
    return _json(_described("features_dict.FeaturesDict", content), indent=4)


def _feature(column: Column) -> dict[str, Any]:
    one = (
        _described("text_feature.Text", {"text": {}})
        if column.dtype == "string"
        else _described("scalar.Scalar", _tensor(column.dtype, {}))
    )
    if not column.shape:
        return one
    if column.shape == (None,):
        content = {"sequence": {"feature": one, "length": "-1"}}
        return _described("sequence_feature.Sequence", content)
    shape = {"dimensions": [str(size) for size in column.shape]}
    return _described("tensor_feature.Tensor", _tensor(column.dtype, shape))


def _tensor(dtype: str, shape: dict[str, Any]) -> dict[str, Any]:
    return {"tensor": {"dtype": dtype, "encoding": "none", "shape": shape}}


def _described(name: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"pythonClassName": f"{_CLASSES}.{name}", **content}


def _json(content: Any, *, indent: int) -> str:
    return json.dumps(content, indent=indent, sort_keys=True)
