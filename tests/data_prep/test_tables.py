"""Tables: pieces of files, columns, line numbers and bad records in each format."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from data_prep import csv_records, tables
from data_prep.tables import BadRecord
from ssl_recsys.errors import InputError


def read_all(path, columns):
    """Rows as tuples, their lines, and the bad records of a whole file."""
    rows, lines, bad = [], [], []
    for piece in tables.pieces(str(path)):
        part = tables.parse(piece, columns)
        values = [part.columns[name].to_pylist() for name in columns]
        rows += list(zip(*values, strict=True))
        lines += part.lines.tolist()
        bad += part.bad
    return rows, lines, bad


def test_csv_with_everything(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(
        b"\xef\xbb\xbfid, name,when\r\n"  # a byte order mark, a blank in the header
        b'1,"a, ""b""\nc",x\r\n'  # lines 2 and 3
        b"\r\n"
        b"2,d\r\n"  # line 5: too few
        b"3,e,f,g\r\n"  # line 6: too many
        b"4,\xc3\xa9,z"  # no line break at the end
    )
    assert tables.column_names(str(path)) == ["id", "name", "when"]
    rows, lines, bad = read_all(path, ["when", "id", "name"])
    assert rows == [("x", "1", 'a, "b"\nc'), ("z", "4", "é")]
    assert lines == [2, 7]
    assert bad == [
        BadRecord(str(path), 5, "expected 3 columns, got 2"),
        BadRecord(str(path), 6, "expected 3 columns, got 4"),
    ]
    assert str(bad[0]) == f"{path}:5: expected 3 columns, got 2"


def test_a_row_of_empty_values_is_no_blank_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n,\n\n1,2\n")
    assert read_all(path, ["a", "b"])[:2] == ([("", ""), ("1", "2")], [2, 4])


@pytest.mark.parametrize("piece_bytes", [1, 7, 64, 1 << 20])
def test_pieces_of_any_size_give_the_same_rows(tmp_path, monkeypatch, piece_bytes):
    path = tmp_path / "t.csv"
    lines = [f'{i},"{i}\n""{i}""",{"x" * (i % 9)}\n' for i in range(40)]
    path.write_text("a,b,c\n" + "".join(lines))
    monkeypatch.setattr(tables, "_PIECE_BYTES", piece_bytes)
    rows, numbers, bad = read_all(path, ["a", "b", "c"])
    assert rows == [(str(i), f'{i}\n"{i}"', "x" * (i % 9)) for i in range(40)]
    assert numbers == [2 + 2 * i for i in range(40)]
    assert not bad


def test_a_stray_quotation_mark_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_PIECE_BYTES", 100)
    monkeypatch.setattr(tables, "_MAX_RECORD_BYTES", 300)
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n" + '3,"4\n' + "5,6\n" * 200)
    with pytest.raises(InputError, match=r"t\.csv:3: a quotation mark opens a value"):
        list(tables.pieces(str(path)))


def test_json_lines(tmp_path):
    path = tmp_path / "t.jsonl"
    records = [
        {"id": 1, "tags": ["x", "y"], "length": 1.50},
        {"id": "é", "length": None, "more": {}},
        {"id": True, "tags": "z", "length": 12345678901234567890},
    ]
    text = "\n".join(json.dumps(record) for record in records)
    path.write_text(text + "\n\n{broken\n[1]\n", encoding="utf-8")
    assert tables.column_names(str(path)) == ["id", "tags", "length", "more"]
    rows, lines, bad = read_all(path, ["id", "tags", "length"])
    assert rows == [
        ("1", ["x", "y"], "1.5"),
        ("é", [], None),
        ("true", ["z"], "12345678901234567890"),
    ]
    assert lines == [1, 2, 3]
    assert [record.line for record in bad] == [5, 6]
    assert "expected a JSON object" in bad[0].reason


@pytest.mark.parametrize("ending", [".parquet", ".parquet.gz"])
def test_parquet(tmp_path, ending):
    table = pa.table(
        {"a": range(10), "b": [["x"]] * 10, "c": pa.array(["q"] * 10).dictionary_encode()}
    )
    plain = tmp_path / "plain.parquet"
    pa.parquet.write_table(table, plain, row_group_size=4)
    path = tmp_path / f"t{ending}"
    data = plain.read_bytes()
    path.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    assert tables.column_names(str(path)) == ["a", "b", "c"]
    assert len(list(tables.pieces(str(path)))) == (1 if ending.endswith("gz") else 3)
    rows, lines, _ = read_all(path, ["a", "b", "c"])
    assert rows == [(i, ["x"], "q") for i in range(10)]
    assert lines == list(range(1, 11))


def test_gzip_is_seen_through_and_cut_off_is_told(tmp_path):
    path = tmp_path / "t.csv.gz"
    content = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(5000)))
    path.write_bytes(content)
    assert len(read_all(path, ["b"])[0]) == 5000
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="is it whole"):
        read_all(path, ["b"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.txt", b"a\n", "the name must end in one of .csv, .tsv, .jsonl, .ndjson, .parquet"),
        ("t.csv", b"", "is empty"),
        ("t.csv", b"a,b,a\n", "repeats 'a'"),
        ("t.jsonl", b"\n", "holds no JSON objects"),
        ("t.parquet", b"PAR1nothing", "is not a whole Parquet file"),
        ("t.csv.gz", b"no gzip", "cannot be decompressed"),
    ],
)
def test_files_that_are_no_tables(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        tables.column_names(str(path))


def test_texts_of_any_type():
    assert tables.texts(pa.array([" a ", None])).to_pylist() == ["a", ""]
    assert tables.texts(pa.array([1, None])).to_pylist() == ["1", ""]
    assert tables.texts(pa.array([1.5, None])).to_pylist() == ["1.5", ""]
    assert tables.texts(pa.array([["a", "b"], None])).to_pylist() == ["a b", ""]


CSV = csv_records.Dialect(",", True)


def test_where_records_begin():
    found = csv_records.records(b'a\n"b\nc"\nd', CSV)
    assert found.lines.tolist() == [0, 1, 3]
    assert found.starts.tolist() == [0, 2, 8]
    assert csv_records.whole_records(b'a\n"b\n', CSV) == 2
    assert csv_records.whole_records(b"a", CSV) == 0
    assert csv_records.records(b"", CSV).lines.tolist() == [0]
    # All lines have an even number of marks, but the first two are one record.
    assert csv_records.records(b'5" a,"x\ny" 5"\nz', CSV).lines.tolist() == [0, 2]
    # CR alone ends a line too; at the end LF may yet follow.
    assert csv_records.records(b'a\rb\r\n"c\r\nd"\re', CSV).lines.tolist() == [0, 1, 2, 4]
    assert csv_records.whole_records(b"a\rb\r", CSV) == csv_records.whole_lines(b"a\rb\r") == 2
    unquoted = csv_records.Dialect("\t", False)
    assert csv_records.records(b'"a\nb"\n', unquoted).lines.tolist() == [0, 1, 2]


def test_marks_inside_plain_values(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a,b\n27" screen,1\n5" disk,"x\ny"\n"say ""hi,"" \n",3"\nz,4\n')
    rows, lines, bad = read_all(path, ["a", "b"])
    assert rows == [('27" screen', "1"), ('5" disk', "x\ny"), ('say "hi," \n', '3"'), ("z", "4")]
    assert lines == [2, 3, 5, 7]
    assert not bad


def test_a_value_that_never_ends_is_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,2\n3,"4\n5,6\n')
    with pytest.raises(InputError, match=r"t\.csv:3: a quotation mark opens a value"):
        list(tables.pieces(str(path)))


def test_a_damaged_parquet_page_is_told(tmp_path):
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(pa.table({"a": [f"{i}" * 20 for i in range(1000)]}), path)
    data = bytearray(path.read_bytes())
    data[20:2000] = bytes(1980)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"t\.parquet:1: what begins here cannot be read"):
        read_all(path, ["a"])
