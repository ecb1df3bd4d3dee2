"""Arrow columns of any type made text, lists of text, or one of few simple types."""

from __future__ import annotations

import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ssl_recsys.raw import rules

_WHOLE_FRACTION = r"^(-?\d+)\.0+$"
# Whole floats below this are written with all their digits.
_MAX_WHOLE = 2.0**63

TEXT_LIST = pa.list_(pa.string())


def texts(column: pa.Array) -> pa.Array:
    """A column as text without surrounding blanks, `""` for null and NaN; `[rows]`.

    Lists are joined by blanks, and whole numbers have no fraction, be they floats or decimals.
    """
    column = column if pa.types.is_string(column.type) else simple(column)
    if pa.types.is_list(column.type):
        column = pa.array(
            [" ".join(_present(values)) for values in column.to_pylist()], pa.string()
        )
    return pc.utf8_trim_whitespace(pc.fill_null(_text(column), ""))


def one_line(text: pa.Array) -> pa.Array:
    """Text with each run of line breaks made a blank."""
    return pc.replace_substring_regex(text, rules.LINE_BREAKS, " ")


def _present(values: list[str | None] | None) -> list[str]:
    return [value for value in values or () if value is not None]


def simple(column: pa.Array) -> pa.Array:
    """A column as text, numbers, booleans, times, or lists of text.

    NaN becomes null; lists of every kind become lists of text; dictionaries are decoded; binary
    values, UUIDs, decimals and times of day become text.

    Raises:
      TypeError: for a type that is none of these, such as a struct or a map.
      UnicodeDecodeError: for text or binary values that are not UTF-8; `object` is the value.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return simple(column.dictionary_decode())
    if pa.types.is_run_end_encoded(kind):
        return simple(pc.run_end_decode(column))
    if isinstance(kind, pa.BaseExtensionType):
        return _uuids(column) if isinstance(kind, pa.UuidType) else simple(column.storage)
    if _is_list(kind):
        return _text_lists(column)
    if pa.types.is_floating(kind):
        return _without_nan(column)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return column
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return column
    if _is_bytes(kind):
        return _checked_text(column)
    if pa.types.is_decimal(kind) and kind.scale < 0:
        column = pc.cast(column, pa.decimal256(76, 0))
    if pa.types.is_nested(kind) or pa.types.is_interval(kind):
        raise TypeError(kind)
    return _text(column)


def number_lists(column: pa.Array) -> pa.Array:
    """Lists of numbers as lists of float32, or float64 where the file has more than that.

    Any other column as `simple`, with its errors.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return number_lists(column.dictionary_decode())
    if isinstance(kind, pa.BaseExtensionType):
        return number_lists(column.storage)
    if not _is_list(kind) or not (
        pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
    ):
        return simple(column)
    is_narrow = kind.value_type in (pa.float16(), pa.float32())
    numbers = pc.cast(column.flatten(), pa.float32() if is_narrow else pa.float64(), safe=False)
    return _lists_like(column, numbers)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
    )


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )


def _checked_text(column: pa.Array) -> pa.Array:
    """Bytes as text; Arrow does not check those that a file calls text."""
    try:
        if pa.types.is_string(column.type):
            column.validate(full=True)
            return column
        return pc.cast(pc.cast(column, pa.binary()), pa.string())
    except pa.ArrowInvalid:
        for value in pc.cast(column, pa.binary()).to_pylist():
            if value is not None:
                value.decode("utf-8")
        raise


def _without_nan(column: pa.Array) -> pa.Array:
    if pa.types.is_float16(column.type):
        column = pc.cast(column, pa.float32())
    is_nan = pc.fill_null(pc.is_nan(column), False)
    return pc.if_else(is_nan, pa.scalar(None, column.type), column)


def _text(column: pa.Array) -> pa.Array:
    """The text of a column that has no nested type."""
    kind = column.type
    if pa.types.is_floating(kind):
        return _float_text(column)
    if pa.types.is_timestamp(kind) and kind.tz:
        # In UTC: the zone of a column need not be one that this computer knows.
        column = pc.cast(column.cast(pa.int64()), pa.timestamp(kind.unit))
    text = pc.cast(column, pa.string())
    if pa.types.is_decimal(kind):
        return pc.replace_substring_regex(text, _WHOLE_FRACTION, r"\1")
    return text


def _float_text(column: pa.Array) -> pa.Array:
    """Floats as text; ids that became floats since some are missing read as the ids they were."""
    is_whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), _MAX_WHOLE))
    is_whole = pc.fill_null(is_whole, False)
    whole = pc.if_else(is_whole, pc.cast(column, pa.float64()), 0.0)
    digits = pc.cast(pc.cast(whole, pa.int64(), safe=False), pa.string())
    return pc.if_else(is_whole, digits, pc.cast(column, pa.string()))


def _uuids(column: pa.Array) -> pa.Array:
    values = column.storage.to_pylist()
    names = [None if value is None else str(uuid.UUID(bytes=value)) for value in values]
    return pa.array(names, pa.string())


def _text_lists(column: pa.Array) -> pa.Array:
    """A list of any kind, of anything but lists, as a list of text."""
    values = simple(column.flatten())
    if pa.types.is_nested(values.type):
        raise TypeError(column.type)
    return _lists_like(column, _text(values))


def _lists_like(column: pa.Array, values: pa.Array) -> pa.Array:
    """Lists of the lengths of those in `column`, which together hold `values`."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0), np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=column.is_null())
