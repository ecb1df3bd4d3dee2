"""Columns of every Arrow type: text, numbers, lists of text, or a plain refusal."""

import decimal
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from data_prep import arrow_columns, parquet_records, tables
from data_prep.installs.encoders import BagEncoder
from data_prep.installs.spec import ItemFeature
from ssl_recsys.errors import InputError

S = pa.string()
ID = uuid.UUID(int=5)


def written(tmp_path, table, **options):
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(table, path, **options)
    return str(path)


def parse(path, columns):
    return [tables.parse(piece, columns) for piece in tables.pieces(path)]


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pa.array([12.0, float("nan"), None, 1.5, 123456789012.0, -3.0]),
         ["12", "", "", "1.5", "123456789012", "-3"]),
        (pa.array([12.0, None], pa.float32()), ["12", ""]),
        (pa.array([np.float16(12), np.float16(np.nan)]), ["12", ""]),
        (pa.array([decimal.Decimal("12.00"), decimal.Decimal("1.50")]), ["12", "1.50"]),
        (pa.array(["a", None], pa.large_string()), ["a", ""]),
        (pa.array(["a", None], pa.string_view()), ["a", ""]),
        (pa.array(["a", None]).dictionary_encode(), ["a", ""]),
        (pa.array([b"a", None], pa.binary()), ["a", ""]),
        (pa.array([b"ab", None], pa.binary(2)), ["ab", ""]),
        (pa.array([ID.bytes, None], pa.uuid()), [str(ID), ""]),
        (pa.array([True, None]), ["true", ""]),
        (pa.nulls(2), ["", ""]),
        (pa.array([1, None], pa.timestamp("ms", "No/Zone")), ["1970-01-01 00:00:00.001", ""]),
        (pa.array([1, None], pa.time32("ms")), ["00:00:00.001", ""]),
    ],
)  # fmt: skip
def test_scalars(tmp_path, column, text):
    assert tables.texts(column).to_pylist() == text
    rows = parse(written(tmp_path, pa.table({"a": column})), ["a"])
    assert tables.texts(rows[0].columns["a"]).to_pylist() == text


@pytest.mark.parametrize(
    ("kind", "values", "lists"),
    [
        (pa.list_(S), [["a", "b"], None, [], ["c", None]], [["a", "b"], None, [], ["c", None]]),
        (pa.large_list(S), [["a"], None], [["a"], None]),
        (pa.list_(S, 2), [["a", "b"], ["c", None]], [["a", "b"], ["c", None]]),
        (pa.list_view(S), [["a", "b"], None, ["c"]], [["a", "b"], None, ["c"]]),
        (pa.large_list_view(S), [["a"], [], None], [["a"], [], None]),
        (pa.list_(pa.float64()), [[12.0, float("nan"), 1.5]], [["12", None, "1.5"]]),
        (pa.list_(pa.dictionary(pa.int8(), S)), [["a", "b"]], [["a", "b"]]),
    ],
)
def test_lists_of_every_kind(tmp_path, kind, values, lists):
    column = pa.array(values, kind)
    assert arrow_columns.simple(column).to_pylist() == lists
    assert arrow_columns.simple(column.slice(1)).to_pylist() == lists[1:]
    rows = parse(written(tmp_path, pa.table({"a": column})), ["a"])[0]
    bags = BagEncoder(ItemFeature("f", "bag", "a")).read(rows)[0]
    assert bags.to_pylist() == [[v for v in one or () if v is not None] for one in lists]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"x": 1}]),
        pa.array([[("k", 1)]], pa.map_(S, pa.int64())),
        pa.array([[{"x": 1}]]),
        pa.array([[["x"]]]),
    ],
)
def test_types_that_are_no_values(tmp_path, column):
    path = written(tmp_path, pa.table({"a": column, "b": ["x"]}))
    with pytest.raises(InputError, match=r"t\.parquet: column 'a' is of type (struct|map|list)<"):
        parse(path, ["a"])
    assert len(parse(path, ["b"])[0].lines) == 1


def test_bytes_that_are_no_text(tmp_path):
    values = ["a"] * 70_000 + [b"\xff"]
    buffers = pa.array([value if isinstance(value, bytes) else value.encode() for value in values])
    for column in (buffers, pa.Array.from_buffers(S, len(buffers), buffers.buffers())):
        path = written(tmp_path, pa.table({"a": column}))
        with pytest.raises(InputError, match=r"t\.parquet:70001: column 'a' .* not UTF-8"):
            parse(path, ["a"])


def test_repeated_and_missing_columns(tmp_path):
    path = written(tmp_path, pa.table([pa.array(["a"]), pa.array(["b"])], ["x", "x"]))
    with pytest.raises(InputError, match="the columns repeat 'x'"):
        tables.column_names(path)
    path = written(tmp_path, pa.table({"x": ["a"]}))
    with pytest.raises(InputError, match="has no column 'y'; there are x"):
        parse(path, ["y"])


@pytest.mark.parametrize("group", [7, 100])
def test_large_row_groups_are_cut(tmp_path, monkeypatch, group):
    monkeypatch.setattr(parquet_records, "_PIECE_ROWS", 10)
    monkeypatch.setattr(parquet_records, "_BATCH_ROWS", 4)
    path = written(tmp_path, pa.table({"a": range(35)}), row_group_size=group)
    parts = parse(path, ["a"])
    assert [value for part in parts for value in part.columns["a"].to_pylist()] == [*range(35)]
    assert [line for part in parts for line in part.lines.tolist()] == [*range(1, 36)]
    assert max(len(part.lines) for part in parts) <= 10
