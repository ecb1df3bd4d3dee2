"""Files of SQL dumps: which table each one holds, in which columns, and its rows."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from data_prep.input_files import match_files
from data_prep.wiki.decompress import XML, DamagedError, TruncatedError, decompress
from data_prep.wiki.dump_files import Source, open_stored, read_head
from data_prep.wiki.sql_rows import PADDING, Rows, Split, concatenate, split_rows
from data_prep.wiki.sql_tokens import SqlError, find_insert, find_table, is_blank, rewrite_rows
from ssl_recsys.errors import InputError

# Text that is split at once: its arrays stay in a core's cache.
_BLOCK_BYTES = 1 << 17
# Shorter statements, of a row or a few, are rewritten and split together.
_SHORT_BYTES = 1 << 12
# A statement that is no INSERT, or a row, may have this many bytes.
_MAX_PENDING_BYTES = 1 << 24
_CHUNK_BYTES = 1 << 20
_TAIL_BYTES = 1 << 10
_END_OF_DUMP = b"-- Dump completed"
_DATABASE = re.compile(rb"^-- Host: .*?Database: (\w+)", re.MULTILINE)


class TableFile(NamedTuple):
    """A file with rows of a table.

    Attributes:
      source: the file.
      table: name of the table.
      columns: its columns, in the order of the rows.
      database: name of the wiki's database, empty if the file does not say.
    """

    source: Source
    table: str
    columns: tuple[str, ...]
    database: str


def find_files(named: str, table: str, *layouts: tuple[str, ...]) -> list[TableFile]:
    """Finds the files that a comma list of paths and globs, the flag of a table, names.

    Args:
      named: the list; none if it is empty.
      table: name of the table and of the flag.
      *layouts: sets of columns, one of which the table must have.

    Raises:
      InputError: if there is no such file, or a file does not have that table, or it lacks columns.
    """
    how_to = f"--{table} takes the {table} table of a wiki (WIKI-DATE-{table}.sql.gz), as on "
    how_to += "https://dumps.wikimedia.org"
    found = [_find_file(*file, table, how_to) for file in match_files(named, after=f"; {how_to}")]
    for file in found:
        if not any(set(layout) <= set(file.columns) for layout in layouts):
            raise InputError(
                f"{file.source.path}: the table {table} has the columns {', '.join(file.columns)}, "
                f"but {' or '.join(', '.join(layout) for layout in layouts)} are needed; {how_to}"
            )
    return found


def _find_file(path: str, size: int, table: str, how_to: str) -> TableFile:
    source, head = read_head(path, size, how_to)
    created = find_table(head)
    if created is None:
        raise InputError(
            f"{path} is not an SQL dump of a table: it has no CREATE TABLE statement near its "
            f"beginning; {how_to}"
        )
    if created.name != table:
        raise InputError(f"{path} is a dump of the table {created.name}, not {table}; {how_to}")
    database = _DATABASE.search(head)
    return TableFile(source, table, created.columns, database[1].decode() if database else "")


def read_rows(file: TableFile, counters: Counter[str]) -> Iterator[Rows]:
    """Yields the rows of a file, many at a time.

    Args:
      file: the file.
      counters: takes up what is cut off or damaged.

    Raises:
      InputError: with file and position, for text that is not a dump's SQL.
    """
    reader = RowReader(file.table, file.columns, counters)
    try:
        for piece in itertools.chain(_pieces(file.source, counters), [None]):
            yield from reader.feed(piece) if piece is not None else reader.finish()
    except SqlError as error:
        raise InputError(
            f"{file.source.path}: {error}, in the rows behind byte {reader.position:,} of its "
            "text; is it a dump as mysqldump writes it? If so, fetch it again"
        ) from error


def _pieces(source: Source, counters: Counter[str]) -> Iterator[bytes]:
    """The text of a file, in pieces of about 1 MiB, up to where it is cut off or damaged."""
    with open_stored(source.path) as file:
        raw = iter(lambda: file.read(_CHUNK_BYTES), b"")
        try:
            yield from raw if source.kind == XML else decompress(raw, source.kind)
        except DamagedError:
            counters["input_damaged"] += 1
        except TruncatedError:
            counters["input_truncated"] += 1


class RowReader:
    """Takes the text of a dump in pieces, cut anywhere, and gives the rows of a table.

    Attributes:
      position: in the text, of the first byte that no row was made of yet.

    Args:
      table: its name.
      columns: its columns, for statements that do not name them.
      counters: takes up `row_cut_off` and `dump_unfinished`.
    """

    def __init__(self, table: str, columns: tuple[str, ...], counters: Counter[str]):
        self._table = table
        self._all_columns = columns
        self._counters = counters
        self._columns: tuple[str, ...] | None = None  # of the statement that is being read
        self._text = b""
        self._tail = b""
        self.position = 0

    def feed(self, piece: bytes) -> Iterator[Rows]:
        """Yields the rows that a piece completes.

        Raises:
          SqlError: for text that is no SQL.
        """
        self._tail = (self._tail + piece[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        for start in range(0, len(piece), _BLOCK_BYTES):
            self._text += piece[start : start + _BLOCK_BYTES]
            yield from self._read()
            if len(self._text) > _MAX_PENDING_BYTES:
                raise SqlError(
                    f"there is no end of a row or statement in {len(self._text):,} bytes"
                )

    def finish(self) -> Iterator[Rows]:
        """Ends the text.

        Raises:
          SqlError: if it ends in a row that is none.
        """
        yield from self._read(is_end=True)
        if self._columns is not None:
            self._counters["row_cut_off"] += not is_blank(self._text)
        if self._columns is not None or _END_OF_DUMP not in self._tail:
            self._counters["dump_unfinished"] += 1

    def _read(self, *, is_end: bool = False) -> Iterator[Rows]:
        """Takes the rows off the text that are complete; `is_end` if no more text follows."""
        text, start = self._text, 0
        rewritten: dict[tuple[str, ...], list[bytes]] = {}
        while True:
            if self._columns is None:
                found = find_insert(text, start, self._table)
                if isinstance(found, int):
                    start = found
                    break
                self._columns, start = found.columns or self._all_columns, found.end
            if not is_end and text.find(b")", start) < 0:
                break  # the beginning of a row
            split = _split(text, start, self._columns)
            before = start
            if split is None:
                plain = rewrite_rows(text, start, len(self._columns))
                rewritten.setdefault(self._columns, []).append(plain.text)
                start, ends = plain.end, plain.is_end
            else:
                yield split.rows
                start, ends = start + split.end - len(PADDING), split.is_end
            if ends:
                self._columns = None
            elif start == before:
                break
        for columns, parts in rewritten.items():
            split = split_rows(concatenate(parts), columns)
            if split is None:
                raise SqlError("rows that cannot be read")
            yield split.rows
        self._text = text[start:]
        self.position += start


def _split(text: bytes, start: int, columns: tuple[str, ...]) -> Split | None:
    """The rows from `start` on, up to the statement's end at most; None if they must be rewritten.

    So are rows that cannot be found at all: a quote in a comment may hide them.
    """
    stop = _find_end(text, start)
    if 0 <= stop < start + _SHORT_BYTES:
        return None
    split = split_rows(
        concatenate([text[start : stop + 1] if stop >= 0 else text[start:]]), columns
    )
    return split if split is not None and len(split.rows.bounds) else None


def _find_end(text: bytes, start: int) -> int:
    """The next semicolon at a line's end, or -1.

    Strings hold no line breaks as they are, so that the next one is mostly that, and found faster.
    """
    line_end = text.find(b"\n", start)
    while line_end >= 0:
        if line_end > start and text[line_end - 1] == ord(";"):
            return line_end - 1
        line_end = text.find(b"\n", line_end + 1)
    return -1
