"""Dump files: which there are, how they divide into ranges, and the pages of one range.

A page belongs to the range in which its `<page>` begins; the reader goes on behind the range's
end up to that page's `</page>`. So the ranges of a file have each of its pages once, wherever
they are cut.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any, NamedTuple

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from data_prep.input_files import match_files
from data_prep.wiki import bzip2_blocks
from ssl_recsys.errors import InputError

XML, BZIP2, GZIP, XZ = "xml", "bz2", "gz", "xz"
_SIGNATURES = {b"BZh": BZIP2, b"\x1f\x8b": GZIP, b"\xfd7zXZ\0": XZ}
_OTHER_SIGNATURES = {b"7z\xbc\xaf": "7z", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd"}
_CHUNK_BYTES = 1 << 20
_HEAD_BYTES = 1 << 20
_HEAD_CHUNK_BYTES = 1 << 15
_MAX_PAGE_BYTES = 1 << 26
_PAGE, _PAGE_END = b"<page>", b"</page>"
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
    if size == 0:
        raise InputError(f"{path} is empty; {_HOW_TO}")
    try:
        with _open(path) as file:
            raw = file.read(2 * _HEAD_BYTES)
    except IsADirectoryError as error:
        raise InputError(f"{path} is a directory; {_HOW_TO}") from error
    for signature, name in _OTHER_SIGNATURES.items():
        if raw.startswith(signature):
            raise InputError(f"{path} is a {name} file, which cannot be read in parts; {_HOW_TO}")
    kind = next((kind for mark, kind in _SIGNATURES.items() if raw.startswith(mark)), XML)
    try:
        head = _decompress_head(raw, kind)
    except (OSError, zlib.error, lzma.LZMAError) as error:
        raise InputError(
            f"the beginning of {path} cannot be decompressed ({error}); fetch the file again"
        ) from error
    if not re.search(rb"<mediawiki\b|<page>", head):
        shown = head[:40].decode("utf-8", "replace")
        raise InputError(
            f"{path} is not a MediaWiki XML dump: it has no <mediawiki> or <page> tag near its "
            f"beginning, {shown!r}; {_HOW_TO}"
        )
    return Source(path, size, kind), head


def _decompress_head(raw: bytes, kind: str) -> bytes:
    if kind == XML:
        return raw[:_HEAD_BYTES]
    decompressor: Any = {
        BZIP2: bz2.BZ2Decompressor,
        GZIP: lambda: zlib.decompressobj(wbits=31),
        XZ: lzma.LZMADecompressor,
    }[kind]()
    head = b""
    for start in range(0, len(raw), _HEAD_CHUNK_BYTES):
        try:
            head += decompressor.decompress(raw[start : start + _HEAD_CHUNK_BYTES])
        except (OSError, zlib.error, lzma.LZMAError):
            if not head:
                raise
            break  # damage behind the beginning is the reader's to count
        if decompressor.eof or len(head) >= _HEAD_BYTES:
            break
    return head


def _open(path: str) -> Any:
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
        """Yields the pages that begin in `part`, each from `<page>` up to `</page>`."""
        with _open(part.source.path) as file:
            chunks = {BZIP2: self._bzip2, XML: self._xml, GZIP: self._gzip, XZ: self._xz}
            yield from self._split(chunks[part.source.kind](file, part))

    def _split(self, chunks: Iterator[_Chunk]) -> Iterator[bytes]:
        buffer = b""
        limit: int | None = None  # pages that begin here or behind belong to the next range
        for text, is_owned in chunks:
            if text is None:
                self.counters["pages_damaged"] += _open_page(buffer, 0, limit) is not None
                if limit is not None or not is_owned:
                    return
                buffer = b""
                continue
            if limit is None and not is_owned:
                limit = len(buffer)
            buffer += text
            position = 0
            while (start := _open_page(buffer, position, limit)) is not None:
                end = buffer.find(_PAGE_END, start)
                if end < 0 and len(buffer) - start <= _MAX_PAGE_BYTES:
                    break
                page, position = self._page(buffer, start, end, limit)
                if page:
                    yield page
            if start is None:
                if limit is not None and len(buffer) - max(limit, position) >= len(_PAGE):
                    return
                start = max(position, len(buffer) - len(_PAGE) + 1)
            buffer = buffer[start:]
            limit = None if limit is None else max(0, limit - start)
        self.counters["page_cut_off"] += _open_page(buffer, 0, limit) is not None

    def _page(self, buffer: bytes, start: int, end: int, limit: int | None) -> tuple[bytes, int]:
        """The page at `start` and where to go on; empty if another page begins inside it."""
        if end < 0:
            self.counters["pages_malformed"] += 1
            return b"", start + len(_PAGE)
        inner = buffer.find(_PAGE, start + len(_PAGE), end)
        if inner >= 0:
            self.counters["pages_malformed"] += 1
            return b"", inner
        return buffer[start:end], end + len(_PAGE_END)

    def _xml(self, file: Any, part: Range) -> Iterator[_Chunk]:
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
        for block in blocks:
            is_owned = block.bit < 8 * part.end
            if block.text is None:
                if is_owned:
                    self.counters["input_truncated" if block.cut else "blocks_damaged"] += 1
                if block.cut:
                    return  # what is open is cut off, not damaged
            yield _Chunk(block.text, is_owned)

    def _gzip(self, file: Any, unused_part: Range) -> Iterator[_Chunk]:
        return self._stream(file, lambda: zlib.decompressobj(wbits=31))

    def _xz(self, file: Any, unused_part: Range) -> Iterator[_Chunk]:
        return self._stream(file, lzma.LZMADecompressor)

    def _stream(self, file: Any, new_decompressor: Any) -> Iterator[_Chunk]:
        decompressor = None
        while raw := file.read(_CHUNK_BYTES):
            while raw:
                if decompressor is None:
                    raw = raw.lstrip(b"\0")  # padding between streams
                    if not raw:
                        break
                    decompressor = new_decompressor()
                try:
                    text = decompressor.decompress(raw)
                except (zlib.error, lzma.LZMAError):
                    self.counters["input_damaged"] += 1
                    yield _Chunk(None)
                    return
                if text:
                    yield _Chunk(text)
                raw = b""
                if decompressor.eof:
                    raw, decompressor = decompressor.unused_data, None
        self.counters["input_truncated"] += decompressor is not None


def _open_page(buffer: bytes, position: int, limit: int | None) -> int | None:
    """Where the next page of this range begins in `buffer`, None if none does."""
    start = buffer.find(_PAGE, position)
    return None if start < 0 or (limit is not None and start >= limit) else start
