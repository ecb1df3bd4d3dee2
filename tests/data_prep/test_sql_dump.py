"""Rows of SQL dumps, against a reader of one byte at a time, however the text is cut."""

import bz2
import gzip
import itertools
import random
from collections import Counter

import hypothesis
import hypothesis.strategies as st
import pytest

from data_prep.wiki import sites, sql_dump, sql_rows, sql_tokens
from data_prep.wiki.sql_tokens import SqlError
from ssl_recsys.errors import InputError
from tests.data_prep import plain_sql

CREATE = b"CREATE TABLE `t` (\n  `a` int,\n  `b` blob,\n  `c` int,\n  PRIMARY KEY (`a`,`b`)\n);\n"
END = b"-- Dump completed on 2026-01-01\n"


def read(text, cuts=(), columns=("a", "b", "c")):
    """All rows of a text that is cut into pieces, and the counters."""
    counters = Counter()
    reader = sql_dump.RowReader("t", columns, counters)
    bounds = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    found = []
    for start, end in itertools.pairwise(bounds):
        for rows in reader.feed(text[start:end]):
            values = [rows.strings(name) for name in columns]
            check_equal(rows, columns[0], values[0])
            found += zip(*values, strict=True)
    list(reader.finish())
    return [list(row) for row in found], {name: n for name, n in counters.items() if n}


def check_equal(rows, name, values):
    """That each value is found where it stands, and so is its beginning, which may be nowhere."""
    wanted = {part for value in values if value for part in (value, value[:-1]) if part}
    for value in wanted:
        assert rows.equal(name, value).tolist() == [other == value for other in values]


def test_the_forms_of_constants():
    text = (
        rb"""INSERT INTO `t` VALUES (1,'a\'b\\',-2),(2,'it''s',NULL),(3,'\0\n\r\t\b\Z\"\%\_\x',4)"""
        rb""",(4,_binary 'x\'),(',5),(5,0x4a4B,6),(6,x'00ff',7) , (7,"it's ""so"" now",8),"""
        b"(8,/* ','( */ 'c' -- it's\n ,9),(9,N'',1.5e-3),(b'101',TRUE,+7);"
    )
    rows, counters = read(CREATE + text + END)
    assert rows == [
        [b"1", b"a'b\\", b"-2"],
        [b"2", b"it's", None],
        [b"3", b'\0\n\r\t\b\x1a"\\%\\_x', b"4"],
        [b"4", b"x'),(", b"5"],
        [b"5", b"JK", b"6"],
        [b"6", b"\x00\xff", b"7"],
        [b"7", b'it\'s "so" now', b"8"],
        [b"8", b"c", b"9"],
        [b"9", b"", b"1.5e-3"],
        [b"\x05", b"1", b"+7"],
    ]
    assert counters == {}


def test_statements_between_the_rows():
    text = (
        CREATE
        + b"-- it's; INSERT INTO `t` VALUES (0,'0',0);\n/*!40000 ALTER TABLE `t` '; */;\n"
        + b"INSERT INTO `u` VALUES (0,'INSERT INTO `t` VALUES (1)',0);\nLOCK TABLES `t;` WRITE;\n"
        + b"insert ignore into `db`.t (`c`, `a`, b) values\n(3,1,'two'),\n(6,4,'five');\n"
        + b"REPLACE INTO t VALUES (7,'8',9);\nUNLOCK TABLES;\n"
    )
    rows, counters = read(text)
    assert sorted(rows) == [[b"1", b"two", b"3"], [b"4", b"five", b"6"], [b"7", b"8", b"9"]]
    assert counters == {"dump_unfinished": 1}


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 300),
    st.binary(max_size=12),
    st.lists(st.sampled_from(list(b"'\"\\,();-/*#`n0Z \n\x00a\xc3\xa9")), max_size=14).map(bytes),
    st.sampled_from([b"),(", b"');", b";\n", b"-- ", b"_binary ", b"NULL"]),
)


def written(value, style):
    """A constant in one of the forms that dumps have."""
    if value is None or isinstance(value, int):
        return b"NULL" if value is None else str(value).encode()
    if style == 1 and value:
        return b"0x" + value.hex().encode()
    if style == 2:
        return b"_binary '%b'" % value.replace(b"\\", b"\\\\").replace(b"'", b"''")
    if style == 3:
        return b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return sql_tokens.quoted(value) + (b" " if style == 6 else b"")


@hypothesis.settings(max_examples=30, deadline=None, derandomize=True)
@hypothesis.given(
    st.lists(st.tuples(VALUES, VALUES, VALUES, st.integers(0, 11)), min_size=1, max_size=12),
    st.lists(st.integers(0, 10_000), max_size=6),
    st.sampled_from([0, 1 << 12]),
)
def test_any_values_cut_anywhere(rows, cuts, short_bytes):
    text = CREATE
    is_open = False
    for *values, style in rows:
        text += (b",\n" if style == 4 else b",") if is_open else b"INSERT INTO `t` VALUES "
        text += b"(%b)" % b",".join(written(value, style) for value in values)
        is_open = style != 5
        text += b"" if is_open else b";\n"
    text += (b";\n" if is_open else b"") + END
    expected = [
        [str(value).encode() if isinstance(value, int) else value for value in values]
        for *values, _ in rows
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql_dump, "_SHORT_BYTES", short_bytes)  # 0: never rewritten for its length
        found, counters = read(text, cuts)
    assert sorted(found, key=repr) == sorted(expected, key=repr)
    assert counters == {}


TOKENS = [
    b"(", b")", b",", b";", b"'", b"''", b"\\", b"\\'", b'"', b"`", b"#", b"-- ", b"--", b"-",
    b"/*", b"*/", b"\n", b" ", b"1", b"23", b"NULL", b"_binary ", b"0x41", b"a", b"\xff",
    b"),(", b"('a','b'),", b"(1,'x'),", b"(2,NULL);", b"('a' ,'b'),", b"('a'1,'b'),",
]  # fmt: skip


def check_soup(text):
    """Whether the fast splitter took rows for what they are; fails if it misread any."""
    expected, is_end, is_sound = plain_sql.rows(text)
    expected = [tuple(row) for row in expected]
    try:
        plain = sql_tokens.rewrite_rows(text, 0, 2)
    except SqlError:
        assert not is_sound or {len(row) for row in expected} != {2}
    else:
        again, _, _ = plain_sql.rows(plain.text)
        assert [tuple(row) for row in again] == expected
        assert plain.is_end == is_end
        found, _ = read(b"INSERT INTO t VALUES" + text, columns=("a", "b"))
        assert sorted(map(repr, found)) == sorted(map(repr, map(list, expected)))
    split = sql_rows.split_rows(sql_rows.concatenate([text]), ("a", "b"))
    if split is None:
        return False
    try:
        found = list(zip(split.rows.strings("a"), split.rows.strings("b"), strict=True))
    except SqlError:
        assert not is_sound
        return False
    assert found == expected[: len(found)]
    assert split.is_end == (is_end and len(found) == len(expected))
    return True


def test_nothing_is_misread():
    draws = random.Random(0)
    taken = 0
    for _ in range(1000):
        tokens = [b"(1,'x'),", *draws.choices(TOKENS, k=draws.randrange(12))]
        taken += check_soup(b"".join(tokens))
    assert 100 < taken < 900  # both ways are tried


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (b"0,7,12345678", [0, 7, 12345678]),
        (b"123456789,9999999999999999,99999999", [123456789, 9999999999999999, 99999999]),
        (b"9223372036854775807,-1,NULL", [2**63 - 1, -1, -5]),
        (b"00000000000000000042,'17', 3 ", [42, 17, 3]),
    ],
)
def test_whole_numbers(numbers, expected):
    text = sql_rows.concatenate([b"(%b);" % numbers])
    split = sql_rows.split_rows(text, ("a", "b", "c"))
    assert [split.rows.integers(name, null=-5).tolist() for name in "abc"] == [
        [n] for n in expected
    ]


@pytest.mark.parametrize(
    "number", [b"1.5", b"abc", b"''", b"9223372036854775808", b"1e3", b"1 2", b""]
)
def test_what_is_no_whole_number(number):
    split = sql_rows.split_rows(sql_rows.concatenate([b"(%b,1);" % number]), ("a", "b"))
    with pytest.raises(SqlError):
        split.rows.integers("a")


BODY = CREATE + b"INSERT INTO `t` VALUES (1,'x',2),(3,'y',4);\n" + END
# Longer than what is looked at before the job begins.
LONG = BODY.replace(b"(3,", b"(2,'%b',2),(3," % (b"long" * 300_000))
DAMAGED = {"input_damaged": 1, "row_cut_off": 1, "dump_unfinished": 1}


def count_rows(path, counters):
    [file] = sql_dump.find_files(str(path), "t", ("a", "b"))
    return sum(len(part.bounds) for part in sql_dump.read_rows(file, counters))


@pytest.mark.parametrize(
    ("content", "ending", "rows", "counters"),
    [
        (BODY, ".sql", 2, {}),
        (gzip.compress(BODY), ".sql.gz", 2, {}),
        (bz2.compress(BODY), ".sql.bz2", 2, {}),
        (BODY[: BODY.index(b",4)")], ".sql", 1, {"row_cut_off": 1, "dump_unfinished": 1}),
        (BODY[: -len(END)], ".sql", 2, {"dump_unfinished": 1}),
        (gzip.compress(BODY)[:-9], ".gz", 2, {"input_truncated": 1}),
        (gzip.compress(LONG)[:-8] + b"damaged!", ".gz", 1, DAMAGED),
    ],
)
def test_whole_and_cut_files(tmp_path, content, ending, rows, counters):
    path = tmp_path / f"t{ending}"
    path.write_bytes(content)
    found = Counter()
    assert count_rows(path, found) == rows
    assert {name: n for name, n in found.items() if n} == counters


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; --t takes the t table"),
        (b"<mediawiki>", "is not an SQL dump of a table: it has no CREATE TABLE"),
        (CREATE.replace(b"`t`", b"`u`"), "is a dump of the table u, not t; --t takes the t table"),
        (CREATE.replace(b"`b`", b"`d`"), "has the columns a, d, c, but a, b are needed"),
        (CREATE + b"INSERT INTO `t` VALUES (1,'x');\n", "a row has 2 values for 3 columns"),
        (CREATE + b"INSERT INTO `t` VALUES (1,x=2,3);\n", "'x' is no constant"),
        (CREATE + b"INSERT INTO `t` VALUES (NOW(),2,3);\n", "is no constant"),
        (
            CREATE + b"INSERT INTO `t` VALUES (1,'x',2),\n(3,y=4,",
            "'y' is no constant, .* behind byte 113 ",
        ),
    ],
)
def test_what_is_no_dump_of_the_table(tmp_path, content, message):
    path = tmp_path / "dump.sql"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        count_rows(path, Counter())
    assert str(path) in str(caught.value)


def test_columns_of_a_table_in_any_layout():
    text = b"create table if not exists db.T (id INT(8) unsigned NOT NULL default '),', `key` "
    text += b"enum('a','b') COMMENT 'it''s' /* , x int */, UNIQUE KEY `id` (`id`,`key`), "
    text += b"price decimal(10,2));"
    assert sql_tokens.find_table(text) == ("t", ("id", "key", "price"))
    assert sql_tokens.find_table(text[:100]) is None


def test_the_language_of_a_database():
    names = ("trwiki", "zh_min_nanwiki", "enwiktionary", "commonswiki", "")
    assert list(map(sites.language_of, names)) == ["tr", "zh-min-nan", "", "", ""]
