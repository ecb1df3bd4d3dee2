"""Dump files: which there are, how they divide into ranges, and the pages of one range.

A page belongs to the range in which its `<page>` begins; the reader goes on behind the range's
end up to that page's `</page>`. So the ranges of a file have each of its pages once, wherever
they are cut.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any, NamedTuple

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from data_prep.input_files import match_files
from data_prep.wiki import bzip2_blocks
from data_prep.wiki.decompress import (
    BZIP2,
    GZIP,
    XML,
    XZ,
    DamagedError,
    TruncatedError,
    decompress,
)
from data_prep.wiki.page_splitter import PageSplitter
from ssl_recsys.errors import InputError

_SIGNATURES = {b"BZh": BZIP2, b"\x1f\x8b": GZIP, b"\xfd7zXZ\0": XZ}
_OTHER_SIGNATURES = {b"7z\xbc\xaf": "7z", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd"}
_CHUNK_BYTES = 1 << 20
_HEAD_BYTES = 1 << 20
# A whole dump ends with this tag and white space.
_ROOT_END = b"</mediawiki>"
_TAIL_BYTES = 1 << 10
_TAIL_BLOCKS_BYTES = 3 << 20
_HOW_TO = "give a pages-articles dump (.xml, .bz2, .gz or .xz), as on https://dumps.wikimedia.org"


class Source(NamedTuple):
    """One dump file."""

    path: str
    size: int
    kind: str


class Range(NamedTuple):
    """Part of a dump file: bytes [start, end); of all `total` ranges it is `number`, from 0."""

    source: Source
    start: int
    end: int
    number: int
    total: int


def find_sources(dump: str) -> list[tuple[Source, bytes]]:
    """Finds the files that `dump`, a comma list of paths and globs, names.

    Returns:
      The files, each once, in the order named (a glob's by name), and the head of each one's
      text.

    Raises:
      InputError: if there is no such file, or a file is empty or no dump.
    """
    found = match_files(dump, after=f"; {_HOW_TO}")
    if not found:
        raise InputError(f"--dump names no file; {_HOW_TO}")
    return [_check_source(*file) for file in found]


def plan_ranges(sources: list[Source], range_bytes: int) -> list[Range]:
    """Divides files into ranges; gzip and xz files can be read from their start only."""
    bounds = []
    for source in sources:
        step = range_bytes if source.kind in (XML, BZIP2) else max(1, source.size)
        bounds += [
            (source, start, min(start + step, source.size)) for start in range(0, source.size, step)
        ]
    return [Range(*bound, index, len(bounds)) for index, bound in enumerate(bounds)]


def _check_source(path: str, size: int) -> tuple[Source, bytes]:
    source, head = read_head(path, size, _HOW_TO)
    if not re.search(rb"<mediawiki\b|<page>", head):
        shown = head[:40].decode("utf-8", "replace")
        raise InputError(
            f"{path} is not a MediaWiki XML dump: it has no <mediawiki> or <page> tag near its "
            f"beginning, {shown!r}; {_HOW_TO}"
        )
    return source, head


def read_head(path: str, size: int, how_to: str) -> tuple[Source, bytes]:
    """The kind of a file, by its content, and the beginning of its text.

    Args:
      path: the file.
      size: its bytes.
      how_to: which files are wanted, the remedy of errors.

    Raises:
      InputError: if it is empty, or cannot be read or decompressed.
    """
    if size == 0:
        raise InputError(f"{path} is empty; {how_to}")
    try:
        with open_stored(path) as file:
            raw = file.read(2 * _HEAD_BYTES)
    except IsADirectoryError as error:
        raise InputError(f"{path} is a directory; {how_to}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    for signature, name in _OTHER_SIGNATURES.items():
        if raw.startswith(signature):
            raise InputError(f"{path} is a {name} file, which cannot be read in parts; {how_to}")
    kind = next((kind for mark, kind in _SIGNATURES.items() if raw.startswith(mark)), XML)
    try:
        head = _decompress_head(raw, kind)
    except DamagedError as error:
        raise InputError(
            f"the beginning of {path} cannot be decompressed ({error}); fetch the file again"
        ) from error
    return Source(path, size, kind), head


def _decompress_head(raw: bytes, kind: str) -> bytes:
    if kind == XML:
        return raw[:_HEAD_BYTES]
    head = b""
    try:
        for text in decompress([raw], kind):
            head += text
            if len(head) >= _HEAD_BYTES:
                break
    except TruncatedError:
        pass  # only the file's beginning was read
    except DamagedError:
        if not head:
            raise
        # Damage behind the beginning is the reader's to count.
    return head


def open_stored(path: str) -> Any:
    """Opens a file as it is stored."""
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


class _Chunk(NamedTuple):
    """A piece of a dump's text; None stands for a piece that is lost."""

    text: bytes | None
    is_owned: bool = True


class PageReader:
    """Reads the pages of ranges.

    Attributes:
      counters: what was damaged, by kind; the caller takes them away.
    """

    def __init__(self, executor: Executor, num_threads: int):
        self._executor = executor
        self._depth = num_threads
        self.counters: Counter[str] = Counter()

    def pages(self, part: Range) -> Iterator[bytes]:
        """Yields the pages that begin in `part`, each from `<page>` up to `</page>`.

        Of a page with a long history only the newest revision may be left.
        """
        splitter = PageSplitter(self.counters)
        with open_stored(part.source.path) as file:
            readers = {BZIP2: self._bzip2, XML: self._xml, GZIP: self._stream, XZ: self._stream}
            for text, is_owned in readers[part.source.kind](file, part):
                if text is None:
                    splitter.lose(is_owned=is_owned)
                else:
                    yield from splitter.feed(text, is_owned=is_owned)
                if splitter.is_done:
                    break
        splitter.finish()

    def _xml(self, file: Any, part: Range) -> Iterator[_Chunk]:
        if part.end == part.source.size:
            file.seek(max(0, part.end - _TAIL_BYTES))
            self._check_end(file.read(_TAIL_BYTES))
        file.seek(part.start)
        position = part.start
        while text := file.read(_CHUNK_BYTES):
            owned = max(0, part.end - position)
            if owned:
                yield _Chunk(text[:owned])
            if owned < len(text):
                yield _Chunk(text[owned:], is_owned=False)
            position += len(text)

    def _bzip2(self, file: Any, part: Range) -> Iterator[_Chunk]:
        def read_at(offset: int, size: int) -> bytes:
            file.seek(offset)
            return file.read(size)

        blocks = bzip2_blocks.read_blocks(
            read_at,
            part.start,
            part.source.size,
            self._executor,
            depth=self._depth,
            ahead_until=part.end,
        )
        tail: bytes | None = b""
        is_owned = False
        for block in blocks:
            is_owned = block.bit < 8 * part.end
            tail = None if block.text is None else _tail(tail or b"", block.text)
            if block.text is None and is_owned:
                self.counters["input_truncated" if block.cut else "blocks_damaged"] += 1
            if block.cut:
                break  # what is open is cut off, not damaged
            yield _Chunk(block.text, is_owned)
        # The range that holds the last block knows how the dump ends. A block that is damaged
        # hides it, one that is cut off shows it.
        if is_owned and block.cut:
            self._check_end(b"")
        elif is_owned and tail is not None:
            if len(tail) < _TAIL_BYTES and _ROOT_END not in tail:
                tail = self._last_text(read_at, part.source.size)
            self._check_end(tail)

    def _last_text(self, read_at: bzip2_blocks.ReadAt, size: int) -> bytes:
        """The end of a bzip2 file's text, where the last block has too little of it."""
        start = max(0, size - _TAIL_BLOCKS_BYTES)
        blocks = bzip2_blocks.read_blocks(
            read_at, start, size, self._executor, depth=0, ahead_until=start
        )
        tail = b""
        for block in blocks:
            tail = _tail(tail, block.text or b"")
        return tail

    def _stream(self, file: Any, part: Range) -> Iterator[_Chunk]:
        tail = b""
        raw = iter(lambda: file.read(_CHUNK_BYTES), b"")
        try:
            for text in decompress(raw, part.source.kind):
                tail = _tail(tail, text)
                yield _Chunk(text)
        except DamagedError:
            self.counters["input_damaged"] += 1
            yield _Chunk(None)
            return
        except TruncatedError:
            self.counters["input_truncated"] += 1
        self._check_end(tail)

    def _check_end(self, tail: bytes) -> None:
        """Counts a file whose text, of which `tail` is the last part, is no whole dump."""
        self.counters["dump_unfinished"] += _ROOT_END not in tail


def _tail(before: bytes, text: bytes) -> bytes:
    """The last bytes of `before` and `text` together."""
    return (before + text[-_TAIL_BYTES:])[-_TAIL_BYTES:]
