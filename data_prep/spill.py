"""Columns on disk while a runner passes references to them from step to step.

Beam's local runner keeps all that passes between steps in memory, several times over. With a
`Spill` the steps hand it references of a few bytes instead, and only the columns of the shard that
is being worked on are in memory. Runners of clusters shuffle on disk by themselves; for them a
`Spill` without a directory hands everything on as it is.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

from data_prep.dataset_files import WriteError
from ssl_recsys.errors import InputError

_FOLDER = "spill"
# Less is not worth a reference.
_SMALLEST = 1 << 14


class Stored(NamedTuple):
    """Where something lies on disk: a file, the first byte in it, and their number."""

    path: str
    start: int
    size: int


class Spill:
    """Puts what passes between steps on disk.

    Every copy of it, of which each step in each worker has one, writes a file of its own, so that
    a repeated piece of work changes nothing that another has written.

    Args:
      directory: where to write, on a disk that all workers share; empty: hand everything on.
    """

    def __init__(self, directory: str = ""):
        self._directory = directory
        self._file: BinaryIO | None = None

    def __reduce__(self) -> tuple[type[Spill], tuple[str]]:
        return Spill, (self._directory,)

    def put(self, value: Any) -> Any:
        """The value itself, or a `Stored` in place of it if it is large; for `get`.

        Raises:
          WriteError: if it cannot be written.
        """
        if not self._directory:
            return value
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        if len(data) < _SMALLEST:
            return value
        try:
            if self._file is None:
                self._file = _create(self._directory)
            start = self._file.tell()
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise WriteError(
                f"cannot write what passes between steps to {self._directory}: {error.strerror}; "
                "name a directory with more room by --spill_dir"
            ) from error
        return Stored(self._file.name, start, len(data))

    def put_all(self, keyed: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
        """Puts the value of each (key, value)."""
        for key, value in keyed:
            yield key, self.put(value)


# For runners that keep on disk what passes between steps.
NO_SPILL = Spill()


def get(value: Any) -> Any:
    """What `Spill.put` was given."""
    if not isinstance(value, Stored):
        return value
    with open(value.path, "rb", buffering=0) as file:
        return pickle.loads(_read(file, value.start, value.size))


def _create(directory: str) -> BinaryIO:
    return open(os.path.join(directory, uuid.uuid4().hex), "xb")


def _read(file: Any, start: int, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    file.seek(start)
    while view and (count := file.readinto(view)):
        view = view[count:]
    return data


def first(groups: Mapping[str, Iterable[Any]], name: str, default: Any = None) -> Any:
    """The first, often the only, value of a collection's group, `default` if there is none."""
    for value in groups[name]:
        return get(value)
    return default


@contextlib.contextmanager
def opened(directory: str, staging: str) -> Iterator[Spill]:
    """A `Spill` whose files are removed at the end.

    Args:
      directory: below which to write; empty: `staging`, or the system's temporary directory if
        that is not on a local file system.
      staging: the dataset directory being written.

    Raises:
      InputError: if there is no such directory, or nothing can be written there.
    """
    if not directory and "://" not in staging:
        path = os.path.join(staging, _FOLDER)
        os.mkdir(path, mode=0o700)
    else:
        try:
            path = tempfile.mkdtemp(prefix="ssl_recsys_", dir=directory or None)
        except OSError as error:
            raise InputError(
                f"cannot write to --spill_dir={directory}: {error.strerror}; name a directory on "
                "a local disk"
            ) from error
    try:
        yield Spill(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)
