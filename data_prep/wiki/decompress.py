"""Decompression in pieces of bounded size, whatever a file unpacks to."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

XML, BZIP2, GZIP, XZ = "xml", "bz2", "gz", "xz"
_PIECE_BYTES = 1 << 20
# Behind the end of a stream the rest of the input is copied: little of it is given at a time.
_INPUT_BYTES = 1 << 14
# xz files state how much memory they take: 65 MiB at xz's highest level.
_XZ_MEMORY_BYTES = 160 << 20
# What the libraries raise for input that is not theirs or damaged.
_DAMAGE = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, MemoryError)


class DamagedError(ValueError):
    """Compressed data that cannot be decompressed."""


class TruncatedError(ValueError):
    """Compressed data that ends too early."""


def decompress(raw: Iterable[bytes], kind: str) -> Iterator[bytes]:
    """Yields the text of one compressed file, of one stream or many, in pieces of up to 1 MiB.

    Args:
      raw: the file's bytes, in pieces.
      kind: BZIP2, GZIP or XZ.

    Raises:
      DamagedError: where the data is damaged, behind the pieces before the damage.
      TruncatedError: if the last stream has no end.
    """
    decompressor = None
    for chunk in raw:
        for start in range(0, len(chunk), _INPUT_BYTES):
            data = chunk[start : start + _INPUT_BYTES]
            while data:
                if decompressor is None:
                    data = data.lstrip(b"\0")  # padding between streams
                    if not data:
                        break
                    decompressor = _new(kind)
                yield from _feed(decompressor, data)
                data = b""
                if decompressor.eof:
                    data, decompressor = decompressor.unused_data, None
    if decompressor is not None:
        raise TruncatedError("the compressed data ends too early")


def _new(kind: str) -> Any:
    if kind == BZIP2:
        return bz2.BZ2Decompressor()
    if kind == GZIP:
        return zlib.decompressobj(wbits=31)
    return lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES)


def _feed(decompressor: Any, data: bytes) -> Iterator[bytes]:
    """What `data` decompresses to; the decompressor is asked until it needs more."""
    while True:
        try:
            text = decompressor.decompress(data, _PIECE_BYTES)
        except _DAMAGE as error:
            raise DamagedError(str(error) or type(error).__name__) from error
        if text:
            yield text
        if decompressor.eof:
            return
        if hasattr(decompressor, "unconsumed_tail"):  # zlib keeps the rest of the input outside
            data = decompressor.unconsumed_tail
            if not data and len(text) < _PIECE_BYTES:
                return
        elif decompressor.needs_input:
            return
        else:
            data = b""
