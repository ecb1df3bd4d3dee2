"""The tokens of SQL as MySQL and MariaDB take them: constants, comments, statements.

One regular expression match at a time: for what stands between the rows, and for rows that are not
as mysqldump writes them, which are rewritten so. `sql_rows` reads the others.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_STRING = rb"""'(?:[^'\\]++|\\.|'')*+'|"(?:[^"\\]++|\\.|"")*+\""""
_NAME = rb"`(?:[^`]|``)*+`"
_BLANK = rb"[\s\x00]++|/\*.*?\*/|--(?:[ \t\r\f\v\x00][^\n]*+)?\n|\#[^\n]*+\n"
_NUMBER = rb"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?"

# A string may have its character set before it: _binary 'x', N'x'.
_CONSTANT = re.compile(
    rb"""[\s\x00]*(?:(?P<null>NULL)|(?P<number>%b)|(?P<truth>TRUE|FALSE)|(?P<bits>b'[01]+'|0b[01]+)
    |(?:_\w+\s*|N)?(?P<string>%b)|(?:_\w+\s*)?(?:0x|x')(?P<hex>[0-9a-f]*)'?)[\s\x00]*"""
    % (_NUMBER, _STRING),
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
_TOKEN = re.compile(
    rb"""(?P<blank>%b)|(?P<mark>[(),;])
    |(?P<value>(?:_\w++[ \t\r\n]*+|[NnXxBb])?(?:%b)
    |(?:_\w++[ \t\r\n]*+|(?!_)[-+]?[.\w]++(?:(?<=[eE])[-+]\d+)?)(?!['"]))"""
    % (_BLANK, _STRING),
    re.DOTALL | re.VERBOSE,
)
_TOKEN_STARTS = frozenset(b"\"'(),;+-./#_ \t\r\n\f\v\0") | frozenset(
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
_BLANKS = re.compile(rb"(?:%b)*+" % _BLANK, re.DOTALL)
# "/" and "-" count where the next byte shows that they begin no comment.
_STATEMENT = re.compile(
    rb"(?:[^;'\"`#/-]++|%b|%b|%b|/(?=[^*])|-(?=[^-]|-[^\s\x00]))*+;" % (_STRING, _NAME, _BLANK),
    re.DOTALL,
)
_INSERT = re.compile(
    rb"(?:INSERT|REPLACE)\s+(?:IGNORE\s+)?(?:INTO\s+)?(?:`?\w+`?\s*\.\s*)?`?(?P<table>\w+)`?\s*"
    rb"(?:\((?P<columns>[^()]*)\)\s*)?VALUES?\s*(?=\()",
    re.IGNORECASE,
)
_LONGEST_INSERT_HEAD = 1 << 14
_CREATE = re.compile(
    rb"^CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:`?\w+`?\s*\.\s*)?`?(?P<table>\w+)`?\s*\(",
    re.IGNORECASE | re.MULTILINE,
)
_DEFINITION = re.compile(
    rb"""(?P<blank>%b)|(?:%b)|(?P<name>%b)|(?P<mark>[(),;])|(?P<word>[^\s'"`(),;\#/-]++)|[/-]"""
    % (_BLANK, _STRING, _NAME),
    re.DOTALL | re.VERBOSE,
)
_NO_COLUMNS = (b"PRIMARY", b"UNIQUE", b"KEY", b"INDEX", b"FULLTEXT", b"SPATIAL", b"CONSTRAINT",
               b"FOREIGN", b"CHECK", b"PERIOD")  # fmt: skip
_ESCAPES = {
    b"'": re.compile(rb"\\(.)|''", re.DOTALL),
    b'"': re.compile(rb'\\(.)|""', re.DOTALL),
}
_ESCAPED = {
    b"0": b"\0", b"b": b"\b", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"Z": b"\x1a",
    b"%": b"\\%", b"_": b"\\_",
}  # fmt: skip
_WRITTEN = ((b"\\", b"\\\\"), (b"'", b"\\'"), (b'"', b'\\"'), (b"\0", b"\\0"), (b"\n", b"\\n"),
            (b"\r", b"\\r"), (b"\x1a", b"\\Z"))  # fmt: skip


class SqlError(ValueError):
    """Text that is not the SQL of a dump."""


def constant(token: bytes) -> bytes | None:
    """The value of a constant: the bytes of a string, the digits of a number, None for NULL.

    Raises:
      SqlError: if it is none.
    """
    found = _CONSTANT.fullmatch(token)
    if found is None:
        raise SqlError(f"{shown(token)} is no constant")
    kind = found.lastgroup or ""
    text: bytes = found[kind]
    if kind == "string":
        return _unescape(text)
    if kind == "null":
        return None
    if kind == "number":
        return text
    if kind == "truth":
        return b"1" if text.upper() == b"TRUE" else b"0"
    if kind == "bits":
        digits = text.strip(b"'")[2:] if text[:1] == b"0" else text[2:-1]
        return int(digits, 2).to_bytes(-(-len(digits) // 8), "big")
    return bytes.fromhex("0" * (len(text) % 2) + text.decode())


def _unescape(quoted: bytes) -> bytes:
    quote, text = quoted[:1], quoted[1:-1]
    if b"\\" not in text and quote not in text:
        return text

    def plain(found: re.Match[bytes]) -> bytes:
        return quote if found[1] is None else _ESCAPED.get(found[1], found[1])

    return _ESCAPES[quote].sub(plain, text)


def quoted(value: bytes | None) -> bytes:
    """A value as mysqldump writes it: NULL, or a string with its escapes."""
    if value is None:
        return b"NULL"
    for plain, escaped in _WRITTEN:
        value = value.replace(plain, escaped)
    return b"'%b'" % value


def shown(value: bytes | None) -> str:
    """The beginning of a value, for messages."""
    return repr((value or b"")[:40].decode("utf-8", "replace"))


class PlainRows(NamedTuple):
    """Rows as mysqldump writes them, a comma behind each.

    Attributes:
      text: the rows.
      end: where the next row begins in the text that was read.
      is_end: whether the statement ends there.
    """

    text: bytes
    end: int
    is_end: bool


# By what was read last, what may come next and what is expected then.
_NEXT = {
    "row": {b"(": "value"},
    "value": {b"": "mark"},
    "mark": {b",": "value", b")": "behind"},
    "behind": {b",": "row", b";": "end"},
}


def rewrite_rows(text: bytes, start: int, num_columns: int) -> PlainRows:
    """Rewrites the complete rows from `start` on; a row is complete with the mark behind it.

    Raises:
      SqlError: for text that cannot be rows, or a row with another number of values.
    """
    rows: list[bytes] = []
    values: list[bytes] = []
    state, position, end = "row", start, start
    while state != "end" and position < len(text):
        token = _TOKEN.match(text, position)
        if token is None and text[position] not in _TOKEN_STARTS:
            raise SqlError(f"no SQL constant begins with {shown(text[position:])}")
        if token is None or (token.end() == len(text) and token["mark"] is None):
            break  # it may go on behind the text
        position = token.end()
        if token["blank"] is not None:
            continue
        mark = token["mark"] or b""
        if mark not in _NEXT[state]:
            raise SqlError(f"unexpected {shown(token[0])} in a row")
        state = _NEXT[state][mark]
        if state == "mark":
            values.append(_plain(token[0]))
        elif state in ("row", "end"):
            if len(values) != num_columns:
                raise SqlError(f"a row has {len(values)} values for {num_columns} columns")
            rows.append(b"(%b)," % b",".join(values))
            values, end = [], position
    return PlainRows(b"".join(rows), end, state == "end")


def _plain(token: bytes) -> bytes:
    return token if token.isdigit() else quoted(constant(token))


class Table(NamedTuple):
    """A table's name and its columns in order."""

    name: str
    columns: tuple[str, ...]


def find_table(text: bytes) -> Table | None:
    """The table of the first CREATE TABLE statement, None if there is no whole one."""
    created = _CREATE.search(text)
    if created is None:
        return None
    columns: list[str] = []
    depth, is_first, position = 1, True, created.end()
    while depth and (token := _DEFINITION.match(text, position)) is not None:
        position = token.end()
        if token["blank"] is not None:
            continue
        if token["mark"] is not None:
            depth += {b"(": 1, b")": -1}.get(token["mark"], 0)
        elif is_first and (token["name"] or (token["word"] or b"").upper() not in _NO_COLUMNS):
            columns.append(_name(token[0]))
        is_first = depth == 1 and token["mark"] == b","
    return None if depth else Table(_name(created["table"]), tuple(columns))


class Insert(NamedTuple):
    """The head of an INSERT statement: the columns, if it names them, and where it ends."""

    columns: tuple[str, ...] | None
    end: int


def find_insert(text: bytes, start: int, table: str) -> Insert | int:
    """The next INSERT into a table from `start` on, a statement's beginning.

    Returns:
      The INSERT; or, if there is none, the position from which more text must be seen.
    """
    while True:
        blanks = _BLANKS.match(text, start)
        start = blanks.end() if blanks else start
        insert = _INSERT.match(text, start)
        if insert is not None and _name(insert["table"]) == table:
            names = insert["columns"]
            columns = None if names is None else tuple(map(_name, names.split(b",")))
            return Insert(columns, insert.end())
        head = text[start : start + _LONGEST_INSERT_HEAD]
        is_insert = head[:7].upper() in (b"INSERT ", b"REPLACE") and insert is None
        if is_insert and len(head) < _LONGEST_INSERT_HEAD and b"(" not in head:
            return start  # its head may go on
        statement = _STATEMENT.match(text, start)
        if statement is None:
            return start
        start = statement.end()


def is_blank(text: bytes) -> bool:
    """Whether the end of a dump holds nothing but space and comments."""
    text += b"\n"
    found = _BLANKS.match(text)
    return found is not None and found.end() == len(text)


def _name(raw: bytes) -> str:
    return raw.strip(b' \t\r\n`"').decode("utf-8", "replace").lower()
