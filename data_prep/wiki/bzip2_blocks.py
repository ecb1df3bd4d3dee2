"""Blocks of a bzip2 file, found and decompressed one by one.

A bzip2 stream is a row of blocks of at most 900 kB of text, each beginning with the same 48-bit
number at any bit offset and holding its own checksum. A block, shifted to a byte boundary and
given a header and a trailer, is a stream of its own. So any .bz2 file, of one stream or many, can
be read from the middle and by many workers, with no index.
"""

from __future__ import annotations

import bz2
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import NamedTuple

BLOCK_MAGIC = 0x314159265359
END_MAGIC = 0x177245385090
_MAGIC_BITS = 48
_HEADER = b"BZh9"
# A block of 900 kB that does not compress at all takes little more than 900 kB.
_MAX_BLOCK_BYTES = 1_200_000
# A block has at least its magic number, checksum, origin, symbol map and one Huffman table.
_MIN_BLOCK_BITS = 160
# Letters that repeat are packed before a block's 900 kB are counted, so that it may hold 46 MB of
# text. Blocks with more than this are decompressed piece by piece.
_MAX_TEXT_BYTES = 1 << 22
_CHUNK_BYTES = 1 << 20

_MAX_TRIES = 3
_DAMAGE = (OSError, EOFError, ValueError, MemoryError)  # what bz2 raises for it

ReadAt = Callable[[int, int], bytes]
_Decoded = Future[tuple[bytes | None, bool]]
_Bits = tuple[bytes, int, int]  # bytes, and the first and the last bit of a block in them


class Mark(NamedTuple):
    """Where a 48-bit magic number stands: bit offset in the file, and which of the two it is."""

    bit: int
    is_block: bool


class Block(NamedTuple):
    """One decompressed block, or a piece of a long one; `text` is None if the block is damaged.

    `bit` is where it starts in the file, `cut` says that the file ends inside it.
    """

    bit: int
    text: bytes | None
    cut: bool = False


def _patterns() -> list[tuple[int, bool, bytes]]:
    """(shift, is_block, the five bytes that lie wholly inside the shifted magic number)."""
    found = []
    for magic, is_block in ((BLOCK_MAGIC, True), (END_MAGIC, False)):
        for shift in range(8):
            shifted = (magic << (8 - shift)).to_bytes(7, "big")
            found.append((shift, is_block, shifted[1:6]))
    return found


_PATTERNS = _patterns()


def find_marks(data: bytes, first_bit: int = 0) -> list[Mark]:
    """All magic numbers in `data`, in order; `first_bit` is the bit offset of `data[0]`."""
    marks = []
    for shift, is_block, pattern in _PATTERNS:
        magic = BLOCK_MAGIC if is_block else END_MAGIC
        at = data.find(pattern, 1)
        while at >= 0:
            window = int.from_bytes(data[at - 1 : at + 6].ljust(7, b"\0"), "big")
            # 7 bytes: `shift` bits, 48 bits of magic, 8 - shift bits.
            is_whole = at + 5 + (shift > 0) <= len(data)
            if is_whole and (window >> (8 - shift)) & ((1 << _MAGIC_BITS) - 1) == magic:
                marks.append(Mark(first_bit + 8 * (at - 1) + shift, is_block))
            at = data.find(pattern, at + 1)
    return sorted(marks)


def decode_block(data: bytes, start_bit: int, end_bit: int) -> tuple[bytes | None, bool]:
    """Decompresses the block in bits [start_bit, end_bit) of `data`.

    Returns:
      Its text, None if it is damaged or has over 4 MiB; and whether it has.
    """
    stream = _stream(data, start_bit, end_bit)
    if stream is None:
        return None, False
    decompressor = bz2.BZ2Decompressor()
    try:
        text = decompressor.decompress(stream, _MAX_TEXT_BYTES + 1)
    except _DAMAGE:
        return None, False
    if len(text) > _MAX_TEXT_BYTES:
        return None, True
    return (text if decompressor.eof else None), False


def _stream(data: bytes, start_bit: int, end_bit: int) -> bytes | None:
    """A bzip2 stream of one block; None if there are too few bits."""
    first, last = start_bit // 8, -(-end_bit // 8)
    num_bits = end_bit - start_bit
    if num_bits < _MIN_BLOCK_BITS:
        return None
    bits = int.from_bytes(data[first:last], "big") >> (8 * last - end_bit)
    bits &= (1 << num_bits) - 1
    # The block's checksum follows its magic number; with one block it is also the stream's.
    checksum = (bits >> (num_bits - _MAGIC_BITS - 32)) & 0xFFFFFFFF
    bits = (((bits << _MAGIC_BITS) | END_MAGIC) << 32) | checksum
    num_bits += _MAGIC_BITS + 32
    padding = -num_bits % 8
    return _HEADER + (bits << padding).to_bytes((num_bits + padding) // 8, "big")


def _long_block(data: bytes, start_bit: int, end_bit: int) -> Iterator[bytes]:
    """The text of a long block in pieces; nothing if it is damaged.

    The checksum is known behind the last piece only, so the block is decompressed twice.
    """
    stream = _stream(data, start_bit, end_bit)
    if stream is None:
        return
    try:
        for _ in _text_pieces(stream):
            pass
    except _DAMAGE:
        return
    yield from _text_pieces(stream)


def _text_pieces(stream: bytes) -> Iterator[bytes]:
    decompressor = bz2.BZ2Decompressor()
    while not decompressor.eof:
        text = decompressor.decompress(stream, _MAX_TEXT_BYTES)
        stream = b""
        if decompressor.needs_input and not decompressor.eof:
            raise EOFError("the block ends too early")
        yield text


class _MarkReader:
    """The marks from a byte offset on, read as they are asked for, and the bytes between them."""

    def __init__(self, read_at: ReadAt, start: int, size: int):
        self._read_at = read_at
        self._size = size
        self._start = start  # offset of _data[0]
        self._data = b""
        self._scanned = start
        self._marks: deque[Mark] = deque()
        self._last_bit = -1

    def mark(self, index: int, until: int | None = None) -> Mark | None:
        """The mark `index` places ahead; None at the end of the file, or if byte `until` is read.

        Bytes are kept from the first mark on, so memory is bounded where `until` is given for all
        marks but the first.
        """
        while len(self._marks) <= index:
            end = self._start + len(self._data)
            if self.is_at_end() or (until is not None and end >= until):
                return None
            if not self._marks:
                self._keep_from(max(self._start, end - 8))
            self._data += self._read_at(end, min(_CHUNK_BYTES, self._size - end))
            # Marks that straddle the chunks' border are found again: keep new ones only.
            begin = max(self._start, self._scanned - 8)
            for mark in find_marks(self._data[begin - self._start :], 8 * begin):
                if mark.bit > self._last_bit:
                    self._marks.append(mark)
                    self._last_bit = mark.bit
            self._scanned = self._start + len(self._data)
        return self._marks[index]

    def is_at_end(self) -> bool:
        """Whether the file was read to its end."""
        return self._start + len(self._data) >= self._size

    def drop(self) -> None:
        """Forgets the first mark and the bytes before it."""
        mark = self._marks.popleft()
        self._keep_from(mark.bit // 8)

    def _keep_from(self, position: int) -> None:
        self._data = self._data[position - self._start :]
        self._start = position

    def bits(self, mark: Mark, end_bit: int) -> tuple[bytes, int, int]:
        """Bytes that hold the bits from `mark` to `end_bit`, and both offsets in them."""
        first, last = mark.bit // 8, -(-end_bit // 8)
        data = self._data[first - self._start : last - self._start]
        return data, mark.bit - 8 * first, end_bit - 8 * first


def read_blocks(
    read_at: ReadAt, start: int, size: int, executor: Executor, *, depth: int, ahead_until: int
) -> Iterator[Block]:
    """Decompresses the blocks that start at or behind byte `start`, in order.

    Args:
      read_at: reads (offset, number of bytes) of the file.
      start: first byte.
      size: the file's size.
      executor: threads to decompress in; the standard library's bz2 releases the lock.
      depth: how many blocks are decompressed ahead of the one that is used.
      ahead_until: byte behind which this is not done, because few blocks there are needed.
    """
    marks = _MarkReader(read_at, start, size)
    pending: deque[tuple[Mark, list[_Bits], bool, _Decoded]] = deque()
    skip_before = 0
    while True:
        while len(pending) <= depth and (mark := marks.mark(0)) is not None:
            if mark.is_block:
                if pending and mark.bit >= 8 * ahead_until:
                    break
                tries, cut = _candidates(marks, mark, size)
                future = executor.submit(decode_block, *tries[0])
                pending.append((mark, tries, cut, future))
            marks.drop()
        if not pending:
            return
        mark, tries, cut, future = pending.popleft()
        if mark.bit < skip_before:
            continue
        is_valid = False
        for text, num_bits in _first_valid(tries, future):
            is_valid = True
            skip_before = mark.bit + num_bits
            yield Block(mark.bit, text)
        if not is_valid:
            yield Block(mark.bit, None, cut)


def _first_valid(tries: list[_Bits], future: _Decoded) -> Iterator[tuple[bytes, int]]:
    """The pieces of text of the first of `tries` that is a block, each with its size in bits.

    A magic number may occur inside a block by chance, so the first try may end too early.
    `future` is the first one's text.
    """
    for index, bits in enumerate(tries):
        num_bits = bits[2] - bits[1]
        text, is_long = future.result() if index == 0 else decode_block(*bits)
        if text is not None:
            yield text, num_bits
            return
        is_valid = False
        for text in _long_block(*bits) if is_long else ():
            is_valid = True
            yield text, num_bits
        if is_valid:
            return


def _candidates(marks: _MarkReader, mark: Mark, size: int) -> tuple[list[_Bits], bool]:
    """Where the block at `mark` may end, likeliest first, and whether the file may cut it."""
    limit = mark.bit + 8 * _MAX_BLOCK_BYTES
    until = limit // 8 + _MAGIC_BITS
    ends: list[int] = []
    while len(ends) < _MAX_TRIES and (following := marks.mark(len(ends) + 1, until)) is not None:
        if following.bit > limit:
            break
        ends.append(following.bit)
    if ends:
        return [marks.bits(mark, end) for end in ends], False
    end = min(8 * size, limit)
    return [marks.bits(mark, end)], end == 8 * size
