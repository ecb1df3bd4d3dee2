"""Files that are compressed by the ending of their names."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import pathlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from ssl_recsys import files


@contextlib.contextmanager
def write_compressed(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """As `files.write_atomically`; compressed if the name ends in .bz2, .gz or .xz.

    The same content gives the same bytes: no time and no name is stored.

    Raises:
      InputError: if `path` is a directory.
    """
    with (
        files.write_atomically(path) as raw,
        _compressor(raw, pathlib.Path(path).suffix) as stream,
    ):
        yield stream


@contextlib.contextmanager
def _compressor(raw: BinaryIO, ending: str) -> Iterator[BinaryIO]:
    if ending == ".bz2":
        with bz2.BZ2File(raw, "wb") as bzip2:
            yield cast(BinaryIO, bzip2)
    elif ending == ".gz":
        with gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as gz:
            yield cast(BinaryIO, gz)
    elif ending == ".xz":
        with lzma.LZMAFile(raw, "wb", preset=1) as xz:
            yield cast(BinaryIO, xz)
    else:
        yield raw
