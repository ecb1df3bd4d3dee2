"""Files of a dataset that is being written, on any of Beam's file systems.

A cluster may run a piece of work twice, and a worker that it gave up may still write. So each
attempt writes to a name of its own and renames the whole file into place; contents depend on the
data alone, so that it does not matter which attempt is last.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from ssl_recsys import files
from ssl_recsys.errors import InputError

_ATTEMPT = ".attempt"


class WriteError(InputError):
    """A file cannot be written, so that a report of it could not be, either."""


class WrittenFile(NamedTuple):
    """A file that was written: its name in the dataset directory, its size and SHA-256 digest."""

    name: str
    size: int
    sha256: str


def create(path: str) -> Any:
    """Opens `path` for writing; never compressed."""
    if "://" not in path:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    return FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED)


def write_file(directory: str, name: str, pieces: Iterable[bytes]) -> WrittenFile:
    """Writes a file that is either whole or not there.

    Args:
      directory: the dataset directory being written.
      name: of the file in it.
      pieces: the contents.
    """
    path = _path(directory, name)
    attempt = f"{path}.{uuid.uuid4().hex}{_ATTEMPT}"
    digest, size = hashlib.sha256(), 0
    try:
        with opened(attempt, shown=path) as write:
            for piece in pieces:
                write(piece)
                digest.update(piece)
                size += len(piece)
        with _named(path):
            _move(attempt, path)
    except BaseException:
        _remove(attempt)
        raise
    return WrittenFile(name, size, digest.hexdigest())


@contextlib.contextmanager
def opened(path: str, *, shown: str | None = None) -> Iterator[Callable[[bytes], None]]:
    """Opens `path` for writing; gives a function that writes.

    Args:
      path: of the file.
      shown: the path that an error names, if it is another one.

    Raises:
      WriteError: for what the system says of the file.
    """
    shown = shown or path

    def write(piece: bytes) -> None:
        with _named(shown):
            file.write(piece)

    with _named(shown):
        file = create(path)
    try:
        yield write
    except BaseException:
        with contextlib.suppress(BeamIOError, OSError):
            file.close()
        raise
    with _named(shown):
        file.close()


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except (BeamIOError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WriteError(f"cannot write {path}: {reason}") from error


def write_text(directory: str, name: str, text: str) -> WrittenFile:
    """Writes a UTF-8 text file, as `write_file`."""
    return write_file(directory, name, [text.encode("utf-8")])


def _path(directory: str, name: str) -> str:
    return FileSystems.join(directory, *name.split("/"))


def _move(attempt: str, path: str) -> None:
    try:
        FileSystems.rename([attempt], [path])
    except BeamIOError:
        # Where renaming does not replace (HDFS), the file of an earlier attempt is as good.
        if not FileSystems.exists(path):
            raise
        _remove(attempt)


def _remove(path: str) -> None:
    try:
        if FileSystems.exists(path):
            FileSystems.delete([path])
    except (BeamIOError, OSError):
        pass  # the command removes what is left


def check_written(directory: str, written: Iterable[WrittenFile]) -> None:
    """Checks that the files that workers wrote are there.

    Raises:
      InputError: if one is missing, or has another size than was written.
    """
    sizes = _sizes(directory)
    written = list(written)
    missing = [file for file in written if file.name not in sizes]
    if missing:
        raise InputError(
            f"{len(missing)} of the {len(written)} files that the workers wrote are not in "
            f"{directory} (the first: {missing[0].name}): they were removed, or the workers do "
            "not share a disk with this command; name an --output_dir that all of them can reach"
        )
    for file in written:
        if sizes[file.name] != file.size:
            raise InputError(
                f"{_path(directory, file.name)} has {sizes[file.name]:,} bytes, not the "
                f"{file.size:,} that a worker wrote; run the job again"
            )


def remove_attempts(directory: str) -> None:
    """Removes what attempts that did not end have left."""
    for name in _sizes(directory):
        if name.endswith(_ATTEMPT):
            _remove(_path(directory, name))


def write_manifest(directory: str, written: Iterable[WrittenFile]) -> None:
    """Writes the manifest that `manifest.check` checks; the last file to write."""
    described = {file.name: {"bytes": file.size, "sha256": file.sha256} for file in sorted(written)}
    write_text(directory, files.MANIFEST_FILE, files.json_text({"files": described}))


def _sizes(directory: str) -> dict[str, int]:
    """Sizes of all files by name."""
    if "://" in directory:
        found = FileSystems.match([FileSystems.join(directory, "**")])[0].metadata_list
        return {file.path[len(directory) + 1 :]: file.size_in_bytes for file in found}
    # Beam's patterns cannot quote a bracket in a directory's name.
    paths = [path for path in pathlib.Path(directory).rglob("*") if path.is_file()]
    return {path.relative_to(directory).as_posix(): path.stat().st_size for path in paths}
