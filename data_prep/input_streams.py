"""Reading files in chunks: decompressed by what they contain, text made UTF-8.

No call reads more than a chunk, so a file that decompresses to terabytes takes no more memory
than a small one.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import itertools
import zlib
from collections.abc import Generator, Iterable, Iterator
from typing import BinaryIO, cast

import numpy as np
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from ssl_recsys.errors import InputError

UTF_8 = "utf-8"
# A byte order mark says more than a flag that holds for several files. Longer marks come first.
_MARKS = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_GZIP, _BZIP2 = b"\x1f\x8b", b"BZh"
# A block of bzip2, or its end; "BZh" alone could begin a column's name.
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
_OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive",
    b"\xfd7zXZ\x00": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x04\x22\x4d\x18": "compressed by lz4",
}
_PARQUET = b"PAR1\x15"
# What opening and decompression raise.
_DAMAGES = (OSError, EOFError, zlib.error, BeamIOError)


def check_encoding(name: str) -> None:
    """Checks the name of a text encoding.

    Raises:
      InputError: if Python knows no text encoding of that name.
    """
    try:
        known = codecs.lookup(name)
        known.incrementaldecoder("strict").decode(b"", True)
        fits = known._is_text_encoding  # type: ignore[attr-defined]
    except Exception:  # some codecs have no decoder, others refuse whatever they get
        fits = False
    if not fits:
        raise InputError(
            "--encoding must name a text encoding, such as utf-8, latin-1, windows-1252, gb18030 "
            f"or utf-16-le (got {name!r})"
        )


def is_compressed(path: str) -> bool:
    """Whether a file is compressed as a whole, by its content.

    Raises:
      InputError: if it cannot be opened, or is compressed in a way that is not read here.
    """
    with _stored(path) as stored:
        return _compression(path, stored) != b""


@contextlib.contextmanager
def open_binary(path: str) -> Iterator[BinaryIO]:
    """Opens a file for reading, decompressed.

    Not by Beam, which takes a gzip file that is cut off for a whole one.

    Raises:
      InputError: if it cannot be opened, or is compressed in a way that is not read here.
    """
    with _stored(path) as stored:
        compression = _compression(path, stored)
        if compression == _GZIP:
            with gzip.GzipFile(fileobj=stored) as stream:
                yield cast(BinaryIO, stream)
        elif compression == _BZIP2:
            with bz2.BZ2File(stored) as stream:
                yield cast(BinaryIO, stream)
        else:
            yield stored


@contextlib.contextmanager
def _stored(path: str) -> Iterator[BinaryIO]:
    try:
        stored = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    except (BeamIOError, OSError) as error:
        raise InputError(f"{path} cannot be opened ({error})") from error
    with stored:
        yield stored


def _compression(path: str, stored: BinaryIO) -> bytes:
    """The mark of the compression, empty for none; `stored` is left at its start."""
    try:
        head = stored.read(16)
        stored.seek(0)
    except _DAMAGES as error:
        raise InputError(f"{path} cannot be read ({error})") from error
    for mark, what in _OTHER_FORMATS.items():
        if head.startswith(mark):
            raise InputError(f"{path} is {what}; unpack it, or compress it with gzip or bzip2")
    if head.startswith(_GZIP):
        return _GZIP
    if head.startswith(_BZIP2) and head[4:10] in _BZIP2_BLOCKS:
        return _BZIP2
    if head and path.endswith((".gz", ".bz2")):
        raise InputError(
            f"{path} cannot be decompressed (it is neither gzip nor bzip2); is it whole? If it is "
            "not compressed, take the ending off its name"
        )
    return b""


def read_chunk(stream: BinaryIO, path: str, size: int) -> bytes:
    """Reads up to `size` bytes.

    Raises:
      InputError: if they cannot be decompressed.
    """
    try:
        return stream.read(size)
    except _DAMAGES as error:
        raise InputError(f"{path} cannot be decompressed ({error}); is it whole?") from error


def utf8_chunks(path: str, encoding: str, size: int) -> Generator[bytes]:
    """The text of a file in UTF-8, without a byte order mark, in chunks of about `size` bytes.

    What is UTF-8 already is not checked here: see `decode`, which knows the lines.

    Args:
      path: the file.
      encoding: of its text if it has no byte order mark; empty for UTF-8.
      size: how many bytes are read at once.

    Raises:
      InputError: if the file is no text, cannot be decompressed, or is not in its encoding.
    """
    with open_binary(path) as stream:
        first = read_chunk(stream, path, size)
        if first.startswith(_PARQUET):
            raise InputError(f"{path} is a Parquet file; its name must end in .parquet")
        mark, encoding = next(
            ((mark, name) for mark, name in _MARKS if first.startswith(mark)),
            (b"", encoding or UTF_8),
        )
        chunks = _chunks(first[len(mark) :], stream, path, size)
        if codecs.lookup(encoding).name == UTF_8:
            yield from chunks
        else:
            yield from _to_utf8(chunks, path, encoding)


def _chunks(first: bytes, stream: BinaryIO, path: str, size: int) -> Iterator[bytes]:
    while first:
        yield first
        first = read_chunk(stream, path, size)


def _to_utf8(chunks: Iterable[bytes], path: str, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    line = 1
    for chunk in itertools.chain(chunks, [b""]):
        try:
            text = decoder.decode(chunk, final=not chunk).encode(UTF_8)
        except UnicodeError as error:
            raise _not_in(path, line, encoding, error) from error
        yield text
        line += count_lines(text)


def decode(data: bytes, path: str, line: int) -> str:
    """UTF-8 to text.

    Args:
      data: the bytes.
      path: the file they come from.
      line: the number of the line that they begin with.

    Raises:
      InputError: with file, line and byte, if they are not UTF-8.
    """
    try:
        return data.decode(UTF_8)
    except UnicodeDecodeError as error:
        raise _not_in(path, line, UTF_8, error) from error


def count_lines(data: bytes) -> int:
    """How many line breaks there are: LF, CR LF, or CR alone."""
    # Several times as fast as bytes.count, which looks for each anew.
    count = int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")))
    return count + data.count(b"\r") - data.count(b"\r\n") if b"\r" in data else count


def _not_in(path: str, line: int, encoding: str, error: UnicodeError) -> InputError:
    """The error for text that is not in its encoding; `line` is where the decoded part begins."""
    what = ""
    if isinstance(error, UnicodeDecodeError):
        before = error.object[: error.start].decode(encoding, "replace").encode(UTF_8, "replace")
        line += count_lines(before)
        column = len(before) - max(before.rfind(b"\n"), before.rfind(b"\r"))
        what = f"byte 0x{error.object[error.start]:02x}, byte {column} of the line, "
    return InputError(
        f"{path}:{line}: {what}is not {encoding} ({getattr(error, 'reason', error)}); name the "
        "encoding that the file has, such as --encoding=latin-1 or --encoding=windows-1252"
    )
