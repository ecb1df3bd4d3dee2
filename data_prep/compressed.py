"""Text files that may be compressed, by the ending of their names."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import pathlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from ssl_recsys.errors import InputError


@contextlib.contextmanager
def write_aside(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens `path` for writing, under its name only once the block has ended well.

    The content is compressed when the name ends in .bz2, .gz or .xz. The same content gives the
    same bytes: no time and no name is stored. Missing parent directories are made.

    Raises:
      InputError: if `path` is a directory.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a directory; name the file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as raw, _compressor(raw, path.suffix) as stream:
            yield stream
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


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
