"""Text of tables: encodings, line ends, quoting, compression, and input without end."""

import bz2
import codecs
import gzip
import json
import subprocess
import sys

import pytest

from data_prep import tables
from data_prep.tables import TextFormat
from ssl_recsys.errors import InputError

LINES = "id,name\n1,Zoë\n2,Weiß\n"
ROWS = [("1", "Zoë"), ("2", "Weiß")]


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    return str(path)


def read(path, columns, text=tables.DEFAULT_TEXT):
    """Rows as tuples, their lines, and the bad records as text."""
    rows, lines, bad = [], [], []
    for piece in tables.pieces(path, text):
        part = tables.parse(piece, columns)
        values = [tables.texts(part.columns[name]).to_pylist() for name in columns]
        rows += zip(*values, strict=True)
        lines += part.lines.tolist()
        bad += [f"{record.line}: {record.reason}" for record in part.bad]
    return rows, lines, bad


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (LINES.encode(), ""),
        (codecs.BOM_UTF8 + LINES.encode(), ""),
        (LINES.encode("utf-16"), ""),  # with a byte order mark
        (codecs.BOM_UTF16_BE + LINES.encode("utf-16-be"), ""),
        (LINES.encode("utf-32"), ""),
        (LINES.encode("utf-16-le"), "utf-16-le"),
        (LINES.encode("latin-1"), "latin-1"),
        (codecs.BOM_UTF8 + LINES.encode(), "latin-1"),  # the mark says more than the flag
    ],
)
def test_encodings(tmp_path, monkeypatch, content, encoding):
    text = TextFormat(encoding)
    for piece_bytes in (5, 1 << 20):
        monkeypatch.setattr(tables, "_PIECE_BYTES", piece_bytes)
        path = write(tmp_path, "t.csv", content)
        assert tables.column_names(path, text) == ["id", "name"]
        assert read(path, ["id", "name"], text)[0] == ROWS


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_text_in_another_encoding_is_refused_with_its_place(tmp_path, name):
    lines = {
        "t.csv": "id,name\n1,a\n2,Weiß\n",
        "t.tsv": "id\tname\n1\ta\n2\tWeiß\n",
        "t.jsonl": '{"id": 1}\n{"id": 2}\n{"ä": 3}\n',
    }[name]
    path = write(tmp_path, name, lines.encode("latin-1"))
    column = {"t.jsonl": 3}.get(name, 6)
    with pytest.raises(InputError, match=rf":3: byte 0x.., byte {column} of the line, is not "):
        read(path, ["id"])
    with pytest.raises(InputError, match="--encoding=latin-1"):
        read(path, ["id"])
    assert len(read(path, ["id"], TextFormat("latin-1"))[0]) in (2, 3)


def test_a_header_in_another_encoding_is_refused(tmp_path):
    path = write(tmp_path, "t.csv", b"id,n\xe4me\n1,2\n")
    with pytest.raises(InputError, match=":1: byte 0xe4, byte 5 of the line"):
        tables.column_names(path)
    with pytest.raises(InputError, match=r"NUL character.*--encoding=utf-16-le"):
        tables.column_names(write(tmp_path, "u.csv", "id,name\n".encode("utf-16-le")))


def test_a_wrong_encoding_is_refused_with_its_line(tmp_path):
    path = write(tmp_path, "t.csv", b"id,name\n1,a\n2,\x81\n")
    with pytest.raises(InputError, match=r":3: byte 0x81, byte 3 of the line, is not windows-1252"):
        read(path, ["id"], TextFormat("windows-1252"))


@pytest.mark.parametrize("name", ["utf-9", "rot13", "base64", "a\0", "undefined"])
def test_encodings_that_are_none(name):
    with pytest.raises(InputError, match="--encoding must name a text encoding"):
        TextFormat(name)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("piece_bytes", [1, 9, 1 << 20])
def test_line_ends(tmp_path, monkeypatch, end, piece_bytes):
    monkeypatch.setattr(tables, "_PIECE_BYTES", piece_bytes)
    lines = ["id,name", "1,a", "", "2,b", "3", '4,"x', 'y"', "5,c"]
    path = write(tmp_path, "t.csv", end.join(lines).encode())
    assert tables.column_names(path) == ["id", "name"]
    rows, numbers, bad = read(path, ["id", "name"])
    assert rows == [("1", "a"), ("2", "b"), ("4", f"x{end}y"), ("5", "c")]
    assert numbers == [2, 4, 6, 8]
    assert bad == ["5: expected 2 columns, got 1"]
    records = [{"id": 1}, {"id": 2}]
    path = write(tmp_path, "t.jsonl", end.join(map(json.dumps, records)).encode())
    assert read(path, ["id"])[:2] == ([("1",), ("2",)], [1, 2])


def test_mixed_line_ends(tmp_path):
    path = write(tmp_path, "t.csv", b"a,b\n1,2\r3,4\r\n5,6\n")
    assert read(path, ["a"])[:2] == ([("1",), ("3",), ("5",)], [2, 3, 4])


TSV = 'id\tname\n1\t"Heroes\n2\t"Weird Al" Yankovic\n3\tc"\n4\t""\n'


def test_tsv_has_no_quoting(tmp_path):
    path = write(tmp_path, "t.tsv", TSV.encode())
    rows, lines, bad = read(path, ["id", "name"])
    assert rows == [("1", '"Heroes'), ("2", '"Weird Al" Yankovic'), ("3", 'c"'), ("4", '""')]
    assert lines == [2, 3, 4, 5]
    assert not bad


def test_quoting_can_be_chosen(tmp_path):
    path = write(tmp_path, "t.tsv", b'id\tname\n1\t"a\tb"\n2\t"say ""hi"""\n')
    rows, _, bad = read(path, ["id", "name"])
    assert rows == [("2", '"say ""hi"""')]
    assert bad == [
        "2: expected 2 columns, got 3 (if quotation marks enclose values, add --quoting=minimal)"
    ]
    rows = read(path, ["id", "name"], TextFormat(quoting="minimal"))[0]
    assert rows == [("1", "a\tb"), ("2", 'say "hi"')]
    path = write(tmp_path, "t.csv", b'id,name\n1,"a\n2,b"\n')
    assert read(path, ["id", "name"], TextFormat(quoting="none"))[0] == [("1", '"a'), ("2", 'b"')]
    with pytest.raises(InputError, match="--quoting must be one of auto, minimal, none"):
        TextFormat(quoting="all")


def test_a_row_of_tabs_is_no_blank_line(tmp_path):
    path = write(tmp_path, "t.tsv", b"a\tb\n\t\n\n1\t2\n")
    assert read(path, ["a", "b"])[:2] == ([("", ""), ("1", "2")], [2, 4])


def test_a_quoted_header(tmp_path):
    path = write(tmp_path, "t.csv", b'"a\nb","c,d"\n1,2\n')
    assert tables.column_names(path) == ["a\nb", "c,d"]
    assert read(path, ["c,d"])[:2] == ([("2",)], [3])
    path = write(tmp_path, "t.csv", b'"' + b"a" * 140_000 + b'",b\n1,2\n')
    with pytest.raises(InputError, match=":1: the header cannot be read"):
        tables.column_names(path)


def test_long_values_and_nul(tmp_path):
    path = write(tmp_path, "t.csv", b"a,b\n1," + b"x" * 200_000 + b"\n2,\0y\n")
    assert read(path, ["a", "b"])[0] == [("1", "x" * 200_000), ("2", "\0y")]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.csv.bz2"])
def test_compression_is_known_by_content(tmp_path, compress, name):
    path = write(tmp_path, name, compress(LINES.encode()))
    assert read(path, ["id", "name"])[0] == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"PK\x03\x04rest", "is a zip archive; unpack it"),
        ("t.csv.gz", b"\x28\xb5\x2f\xfdrest", "compressed by zstd"),
        ("t.csv.bz2", b"a,b\n1,2\n", "cannot be decompressed"),
        ("t.csv", b"PAR1\x15rest", r"its name must end in \.parquet"),
    ],
)
def test_what_is_no_text(tmp_path, name, content, message):
    with pytest.raises(InputError, match=message):
        tables.column_names(write(tmp_path, name, content))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_cut_off_anywhere(tmp_path, compress, name):
    lines = [json.dumps({"id": i}) if name == "t.jsonl" else f"{i}" for i in range(300)]
    whole = compress(("\n".join(["id", *lines]) + "\n").encode())
    for size in range(12, len(whole), 1 + len(whole) // 40):
        with pytest.raises(InputError):
            read(write(tmp_path, name, whole[:size]), ["id"])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (r'"\ud800"', r"name has half of a surrogate pair, '\ud800'"),
        (r'["a", "\udc00b"]', r"name has half of a surrogate pair, '\udc00'"),
        ('{"a": 1}', "name must be a text, a number or a list of them, got an object"),
        ("[[1]]", "name must be a text, a number or a list of them, got a list in a list"),
        ("[" * 100_000, "expected a JSON object ("),
        ('{"a":' * 100_000, "expected a JSON object ("),
        ("1" * (5 << 20), "expected a JSON object of up to 4 MiB, got"),
    ],
)
def test_json_lines_that_cannot_be_used_are_listed(tmp_path, value, reason):
    first = '{"id": 1, "name": "\\ud83d\\ude00"}\n'
    text = f'{first}{{"id": 2, "name": {value}}}\n{{"id": 3}}\n'
    path = write(tmp_path, "t.jsonl", text.encode())
    rows, lines, bad = read(path, ["id", "name"])
    assert rows == [("1", "😀"), ("3", "")]
    assert lines == [1, 3]
    assert len(bad) == 1
    assert bad[0].startswith(f"2: {reason}")
    assert tables.column_names(path) == ["id", "name"]


def test_json_numbers(tmp_path):
    values = [
        "NaN",
        "null",
        "12.0",
        "12",
        "1.50",
        "-3.00",
        "1e3",
        "1.0e3",
        "9" * 5000,
        "[1.0, NaN]",
    ]
    text = "".join(f'{{"id": {value}}}\n' for value in values)
    rows = read(write(tmp_path, "t.jsonl", text.encode()), ["id"])[0]
    expected = ["", "", "12", "12", "1.50", "-3", "1e3", "1.0e3", "9" * 5000, "1"]
    assert [row[0] for row in rows] == expected


LIMITED = """
import resource, sys
from data_prep import tables
from ssl_recsys.errors import InputError
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    names = tables.column_names(sys.argv[1])
    for piece in tables.pieces(sys.argv[1]):
        tables.parse(piece, names)
except InputError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) >> 10)
"""


@pytest.mark.parametrize(
    ("name", "head", "block"),
    [
        ("t.csv.gz", b"a,b\n1,", b"0"),
        ("t.csv.gz", b'a,b\n1,"', b"\n"),
        ("t.tsv.gz", b"a\tb\n1\t", b"0"),
        ("t.csv.gz", b"", b"0"),
        ("t.csv.gz", b"a,b\n", b"\n"),
        ("t.jsonl.gz", b'{"a": 1}\n{"a": "', b"0"),
        ("t.jsonl.gz", b'{"a": 1}\n', b"\n"),
        ("t.parquet.gz", b"", b"\0"),
    ],
)
def test_a_bomb_takes_little_memory(tmp_path, name, head, block):
    path = tmp_path / name
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(head)
        for _ in range(60 if block != b"\n" else 3):
            stream.write(block * (4 << 20))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True
    )
    *message, mebibytes = done.stdout.splitlines()
    assert int(mebibytes) < 200
    assert bool(message) == (block != b"\n" or b'"' in head[-1:])
