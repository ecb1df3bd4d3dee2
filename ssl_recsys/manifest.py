"""A directory's manifest: sizes and digests of its files, by which damage is noticed."""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping
from concurrent import futures
from typing import Any

from absl import logging

from ssl_recsys import files, paths
from ssl_recsys.errors import InputError

# Help of the flag by which commands compare a dataset with its manifest.
VERIFY_DATASET = "Compare the dataset's files with their manifest, which reads all of them."

_MAX_HASHED_AT_ONCE = 8


def write(directory: pathlib.Path) -> None:
    """Writes the sizes and SHA-256 digests of all files of a directory; the last file to write."""
    found = _list_files(directory)
    described = {
        name: {"bytes": _size(found[name]), "sha256": digest} for name, digest in _digests(found)
    }
    files.write_json(directory / files.MANIFEST_FILE, {"files": described})


def check(directory: pathlib.Path) -> None:
    """Compares a directory with its manifest: names and sizes first, then digests.

    A directory that this process has compared before, and whose files have not changed since, is
    not read again.

    Raises:
      InputError: for a file that is damaged, missing or not listed, or without a manifest.
    """
    path = directory / files.MANIFEST_FILE
    if not path.is_file():
        raise InputError(
            f"{paths.named(directory)} has no {files.MANIFEST_FILE}: it is not complete, or an "
            "earlier version wrote it; repeat the command that wrote it"
        )
    state, key = _state(directory), paths.absolute(directory)
    if _compared.get(key) == state:
        return
    content = files.read_json(path)
    files.check_types(str(path), content, {"files": dict})
    announced, there = content["files"], _list_files(directory)
    for name in sorted(there.keys() | announced.keys()):
        if name not in there:
            raise _differs(directory, name, "missing")
        if name not in announced:
            raise _differs(directory, name, "unknown")
        files.check_types(f"{path}: {name}", announced[name], {"bytes": int, "sha256": str})
        if _size(there[name]) != announced[name]["bytes"]:
            raise _differs(directory, name, "damaged")
    for name, digest in _digests(there):
        if digest != announced[name]["sha256"]:
            raise _differs(directory, name, "damaged")
    _compared[key] = state


def check_if_any(directory: pathlib.Path, shown_by: str) -> None:
    """Compares a directory with its manifest; warns once if it has none.

    Args:
      directory: the directory.
      shown_by: name of the file that tells that there is anything to compare.

    Raises:
      InputError: as `check`.
    """
    if (directory / files.MANIFEST_FILE).is_file():
        check(directory)
    elif (directory / shown_by).is_file() and directory not in _unverified:
        _unverified.add(directory)
        logging.warning(
            "%s has no %s, since an earlier version made it: its files are read without a check "
            "of their digests",
            directory,
            files.MANIFEST_FILE,
        )


def forget(directory: pathlib.Path) -> None:
    """Forgets that a directory, which is removed, was compared."""
    _compared.pop(paths.absolute(directory), None)


_unverified: set[pathlib.Path] = set()  # directories that a warning was given for

# Directory -> its state when it was found to be as its manifest says.
_compared: dict[str, tuple] = {}


def _differs(directory: pathlib.Path, name: str, what: str) -> InputError:
    directory = paths.named(directory)
    return InputError(
        f"{directory / name} is {what} ({directory / files.MANIFEST_FILE} has the files' sizes and "
        "digests); restore the file, or repeat the command that wrote it"
    )


def _state(directory: pathlib.Path) -> tuple:
    """What changes when any file of the directory does."""
    found = {str(path): path.stat() for path in paths.walk_files(directory)}
    if paths.is_remote(directory):
        return tuple((name, stat.length, stat.mtime) for name, stat in found.items())  # type: ignore[attr-defined]
    return tuple((name, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in found.items())


def _size(path: pathlib.Path) -> int:
    stat: Any = path.stat()
    return stat.length if paths.is_remote(path) else stat.st_size


def _list_files(directory: pathlib.Path) -> dict[str, pathlib.Path]:
    """All files of a directory but its manifest, by name in order."""
    found = {path.relative_to(directory).as_posix(): path for path in paths.walk_files(directory)}
    return {name: path for name, path in found.items() if name != files.MANIFEST_FILE}


def _digests(named: Mapping[str, pathlib.Path]) -> Iterator[tuple[str, str]]:
    """Names and SHA-256 digests, several files at a time."""
    with futures.ThreadPoolExecutor(min(os.cpu_count() or 1, _MAX_HASHED_AT_ONCE)) as pool:
        yield from zip(named, pool.map(_sha256, named.values()), strict=True)


def _sha256(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
