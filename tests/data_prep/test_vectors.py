"""Vectors of list columns and .npy files, at the rows that they belong to."""

import json
import pathlib
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from data_prep import tables, vectors
from data_prep.installs import vector_files
from data_prep.installs.encoders import ItemFeature
from ssl_recsys.errors import InputError

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
VECTORS = st.lists(st.none() | st.lists(FLOATS, min_size=3, max_size=3), min_size=1, max_size=8)


def read(path: pathlib.Path) -> pa.Array:
    pieces = [*tables.pieces(str(path))]
    assert len(pieces) == 1
    return tables.parse(pieces[0], ["v"], ["v"]).columns["v"]


def write_jsonl(path: pathlib.Path, column: list[Any]) -> pathlib.Path:
    path.write_text("".join(json.dumps({"v": value}) + "\n" for value in column))
    return path


def write_parquet(path: pathlib.Path, column: pa.Array) -> pathlib.Path:
    pa.parquet.write_table(pa.table({"v": column}), path)
    return path


@hypothesis.given(column=VECTORS, kind=st.sampled_from([pa.float32(), pa.float64()]))
@hypothesis.settings(max_examples=40, deadline=None)
def test_lists_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, column: list[Any], kind: pa.DataType
) -> None:
    directory = tmp_path_factory.mktemp("vectors")
    expected = np.array([value or [0, 0, 0] for value in column], np.float32)
    # Arrow itself reads no lists of fixed length from Parquet of which some are null.
    fixed = pa.array(expected.tolist(), pa.list_(kind, 3))
    for written in (
        write_jsonl(directory / "t.jsonl", column),
        write_parquet(directory / "t.parquet", pa.array(column, pa.list_(kind))),
        write_parquet(directory / "fixed.parquet", fixed),
    ):
        found, faults = vectors.of_column(read(written), "v", 3)
        assert not faults
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("column", "reasons"),
    [
        ([[1, 2], None, [], [3, 4, 5], [6]], {3: "has 3 numbers, not 2", 4: "has 1 numbers"}),
        ([[1, 1e39], [2, 3]], {0: "v holds '1e+39', which is no finite number of float32"}),
        ([["a", "2"], [4, 5]], {0: "v holds 'a', which"}),
        ([[float("nan"), 1], [2, 3]], {0: "has 1 numbers, not 2 (null and NaN do not count)"}),
        ([[float("-inf"), 1], [2, 3]], {0: "v holds '-Infinity'"}),
        (["1 2", None, ""], {0: "v is no list of 2 numbers: '1 2'"}),
        ([[1, 2], 7], {1: "has 1 numbers, not 2"}),
    ],
)
def test_what_is_no_vector_is_named_by_its_row(
    tmp_path: pathlib.Path, column: list[Any], reasons: dict[int, str]
) -> None:
    found, faults = vectors.of_column(read(write_jsonl(tmp_path / "t.jsonl", column)), "v", 2)
    assert faults.keys() == reasons.keys()
    for row, reason in reasons.items():
        assert reason in faults[row]
        assert not found[row].any()
    good = [row for row, value in enumerate(column) if value and row not in reasons]
    assert found[good].tolist() == [column[row] for row in good]


def test_parquet_knows_nan_and_null_in_lists(tmp_path: pathlib.Path) -> None:
    column = pa.array([[1, float("nan")], [None, 2], [3, 4]], pa.list_(pa.float64()))
    found, faults = vectors.of_column(read(write_parquet(tmp_path / "t.parquet", column)), "v", 2)
    assert {row: reason.split(",")[0] for row, reason in faults.items()} == {
        0: "v holds nan", 1: "v holds None",
    }  # fmt: skip
    np.testing.assert_array_equal(found, [[0, 0], [0, 0], [3, 4]])


def test_length_1() -> None:
    found = vectors.of_length_1(np.array([[3, 4], [0, 0], [1e-30, 0], [3e38, 3e38]], np.float32))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [1, 0], [0.5**0.5, 0.5**0.5]], rtol=1e-7)


def feature(**fields: Any) -> ItemFeature:
    return ItemFeature("text", "vector", **fields)


# Five records, the second of which is bad: it has three values. One has a line break.
CSV = 'key,name\na,one\nb,two,x\nc,"th\nree"\n\nd,four\ne,five\n'


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_rows_of_a_file_belong_to_records(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, dtype: Any
) -> None:
    monkeypatch.setattr(tables, "_PIECE_BYTES", 1)  # pieces of a record or two
    (tmp_path / "t.csv").write_text(CSV)
    np.save(tmp_path / "v.npy", np.array([[i, -i] for i in range(5)], dtype))
    table = f"{tmp_path}/t.csv"
    (one,) = vector_files.located([feature(file="v.npy")], [table], tables.DEFAULT_TEXT)
    assert (one.size, one.file) == (2, f"{tmp_path}/v.npy")
    pieces = [*vector_files.numbered(tables.pieces(table), "key", [one.file])]
    assert len(pieces) > 1
    found = {}
    for piece in pieces:
        rows = tables.parse(piece, ["key"])
        values, faults = vector_files.of_file(one.file, one.size, rows)
        assert not faults
        found |= dict(zip(rows.columns["key"].to_pylist(), values.tolist(), strict=True))
    assert found == {"a": [0, 0], "c": [2, -2], "d": [3, -3], "e": [4, -4]}


@pytest.mark.parametrize(("rows", "reason"), [(4, "has 4 rows, and"), (6, "has 6 rows, and")])
def test_a_file_has_as_many_rows_as_the_table(
    tmp_path: pathlib.Path, rows: int, reason: str
) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    path = f"{tmp_path}/v.npy"
    np.save(path, np.zeros((rows, 2), np.float32))
    with pytest.raises(InputError, match=rf"v\.npy {reason} .*t\.csv has 5; row i"):
        list(vector_files.numbered(tables.pieces(f"{tmp_path}/t.csv"), "key", [path]))


def test_numbers_that_are_none_are_named_by_their_row(tmp_path: pathlib.Path) -> None:
    (tmp_path / "t.csv").write_text("key\na\nb\nc\n")
    np.save(tmp_path / "v.npy", np.array([[1, 2], [3, np.inf], [5, 6]]))
    rows = tables.parse(next(tables.pieces(f"{tmp_path}/t.csv")), ["key"])
    found, faults = vector_files.of_file(f"{tmp_path}/v.npy", 2, rows)
    np.testing.assert_array_equal(found, [[1, 2], [0, 0], [5, 6]])
    assert faults == {1: "v.npy holds inf in row 1, which is no finite number of float32"}


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(4), r"one array \[rows, size\] .* it holds \[4\] of float64"),
        (np.zeros((2, 2), np.int64), "of int64"),
        (np.asfortranarray(np.zeros((3, 2))), "in Fortran order"),
        (np.zeros((2, 0)), "expected rows of 1 to 65,536 numbers"),
    ],
)
def test_other_arrays_are_refused(tmp_path: pathlib.Path, array: np.ndarray, reason: str) -> None:
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(InputError, match=reason):
        vector_files.located([feature(file="v.npy")], [f"{tmp_path}/t.csv"], tables.DEFAULT_TEXT)


@pytest.mark.parametrize(
    ("name", "text", "fields", "reason"),
    [
        ("t.csv", "v\n1\n", {"column": "v"}, "no lists of numbers; give the vectors in JSON"),
        ("t.jsonl", '{"v": null}\n', {"column": "v"}, "no row of .* has a vector in column 'v'"),
        ("t.jsonl", '{"v": "1 2"}\n', {"column": "v"}, "holds no lists of numbers"),
        ("v.npy", "text", {"file": "v.npy"}, "is no .npy file"),
        ("t.csv", "v\n", {"file": "v.npy"}, "v.npy cannot be read"),
    ],
)
def test_tables_without_vectors_are_refused(
    tmp_path: pathlib.Path, name: str, text: str, fields: dict[str, str], reason: str
) -> None:
    (tmp_path / name).write_text(text)
    table = f"{tmp_path}/t.csv" if name == "v.npy" else f"{tmp_path}/{name}"
    with pytest.raises(InputError, match=reason):
        vector_files.located([feature(**fields)], [table], tables.DEFAULT_TEXT)


def test_a_file_goes_with_one_table() -> None:
    with pytest.raises(InputError, match="are those of one table"):
        vector_files.located([feature(file="v.npy")], ["a.csv", "b.csv"], tables.DEFAULT_TEXT)


def test_wide_rows_of_parquet_are_cut_into_smaller_pieces(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = np.arange(40, dtype=np.float32).reshape(10, 4)
    column = pa.array(numbers.tolist(), pa.list_(pa.float32()))
    path = write_parquet(tmp_path / "t.parquet", column)
    monkeypatch.setattr("data_prep.parquet_records._PIECE_BYTES", 64)
    pieces = [*tables.pieces(str(path))]
    assert len(pieces) > 1
    found = [
        vectors.of_column(tables.parse(piece, ["v"], ["v"]).columns["v"], "v", 4)[0]
        for piece in pieces
    ]
    np.testing.assert_array_equal(np.concatenate(found), numbers)
