"""TFRecord files of `tf.train.Example`, written without TensorFlow.

Importing TensorFlow takes longer than all records of a small dataset. The format is fixed: protocol
buffers, each with its length and CRC32C checksums of both.
https://www.tensorflow.org/tutorials/load_data/tfrecord
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ssl_recsys.features import Column

_PIECE_BYTES = 1 << 20
_PACKAGE = "tensorflow"
_Field = descriptor_pb2.FieldDescriptorProto


def example(columns: Sequence[Column], values: Iterable[Any]) -> bytes:
    """Serialises one `tf.train.Example`; each column's values are a sequence, even of one."""
    message = _example_class()()
    for column, column_values in zip(columns, values, strict=True):
        feature = message.features.feature[column.name]
        if column.dtype == "float32":
            feature.float_list.value.extend(column_values)
        elif column.dtype == "string":
            feature.bytes_list.value.extend(column_values)
        else:
            feature.int64_list.value.extend(column_values)
    return message.SerializeToString(deterministic=True)


@functools.cache
def _example_class() -> Any:
    """The class of `tf.train.Example`, in a pool of its own beside TensorFlow's."""
    file = descriptor_pb2.FileDescriptorProto(
        name="tf_records.proto", package=_PACKAGE, syntax="proto3"
    )
    lists = {
        "bytes_list": ("BytesList", _Field.TYPE_BYTES),
        "float_list": ("FloatList", _Field.TYPE_FLOAT),
        "int64_list": ("Int64List", _Field.TYPE_INT64),
    }
    feature = descriptor_pb2.DescriptorProto(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (field, (name, value_type)) in enumerate(lists.items(), start=1):
        _add(file.message_type.add(name=name), "value", 1, value_type, repeated=True)
        _add(feature, field, number, name).oneof_index = 0
    file.message_type.append(feature)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    _add(entry, "key", 1, _Field.TYPE_STRING)
    _add(entry, "value", 2, "Feature")
    _add(features, "feature", 1, "Features.FeatureEntry", repeated=True)
    _add(file.message_type.add(name="Example"), "features", 1, "Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Example"))


def _add(message: Any, name: str, number: int, kind: Any, *, repeated: bool = False) -> Any:
    """Adds a field of a scalar type or of a message, which `kind` names."""
    field = message.field.add(name=name, number=number)
    field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    if isinstance(kind, str):
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        field.type = kind
    return field


class Framed:
    """Records as the pieces of a TFRecord file, to be iterated over once.

    Attributes:
      num_records: how many there were so far.
      num_bytes: their size without the frames.
    """

    def __init__(self, records: Iterable[bytes]):
        self._records = records
        self.num_records = 0
        self.num_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yields pieces of about 1 MiB."""
        parts: list[bytes] = []
        written = 0
        for record in self._records:
            parts += _frame(record)
            self.num_records += 1
            self.num_bytes += len(record)
            if self.num_bytes - written >= _PIECE_BYTES:
                written = self.num_bytes
                yield b"".join(parts)
                parts = []
        if parts:
            yield b"".join(parts)


def _frame(record: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    length = struct.pack("<Q", len(record))
    return length, _masked_crc(length), record, _masked_crc(record)


def _masked_crc(data: bytes) -> bytes:
    """The checksum as TFRecord stores it: rotated, and a constant added."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
