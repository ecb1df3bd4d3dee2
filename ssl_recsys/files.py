"""Files and directories that are either whole or not there, and locks that end with their owner."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from ssl_recsys import paths
from ssl_recsys.errors import InputError, InUseError

try:
    import fcntl
except ImportError:  # Windows, which has no such locks
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".lock"
MANIFEST_FILE = "manifest.json"

_TEMPORARY = re.compile(r".+\.\d+\.tmp")  # of `write_atomically`


@contextlib.contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a temporary file that replaces `path` once the block has ended without an error.

    Missing parent directories are made. A remote file is written on this machine, copied as
    `NAME.tmp`, and renamed there, as a whole.

    Raises:
      InputError: if `path` is a directory.
    """
    path = paths.as_path(path)
    if path.is_dir():
        raise InputError(f"{path} is a directory; name the file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    if paths.is_remote(path):
        with tempfile.TemporaryDirectory() as directory:
            copy = path.with_name(f"{path.name}.tmp")
            with (pathlib.Path(directory) / copy.name).open("wb") as stream:
                yield stream
            copy.unlink(missing_ok=True)
            paths.copy_files(pathlib.Path(directory), path.parent)
            copy.replace(path)
        return
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with naming(path), temporary.open("wb") as stream:
            yield stream
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Names `path` in what the system says of a file without its name, as of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a UTF-8 text file."""
    with write_atomically(path) as stream:
        stream.write(text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes a JSON file."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """The text of a JSON file, for people to read."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def new_directory(target: pathlib.Path) -> pathlib.Path:
    """An empty local directory to write what `replace_directory` then puts at `target`."""
    if paths.is_remote(target):
        return paths.temporary_directory()
    new = target.with_name(f"{target.name}.tmp")
    paths.remove_tree(new)
    new.mkdir(parents=True)
    return new


def replace_directory(new: pathlib.Path, target: pathlib.Path) -> None:
    """Renames `new` to `target`; a directory that is there is kept until the new one is.

    Stopped between the two renames, `recover_directory` brings the old one back.

    Object stores cannot rename a directory. There the old files are deleted, their manifest first,
    and the new ones are copied, their manifest last: without it a directory is not whole.
    """
    if paths.is_remote(target):
        (target / MANIFEST_FILE).unlink(missing_ok=True)
        paths.remove_tree(target)
        paths.copy_files(new, target, last=MANIFEST_FILE)
        paths.remove_tree(new)
        return
    old = _replaced(target)
    paths.remove_tree(old)
    if target.exists():
        os.rename(target, old)
    os.rename(new, target)
    paths.remove_tree(old)


def recover_directory(target: pathlib.Path) -> bool:
    """Ends what a stopped `replace_directory` left: the old directory comes back or goes.

    Returns:
      Whether there is a directory, and, if it is remote, a whole one.
    """
    if paths.is_remote(target):
        return (target / MANIFEST_FILE).is_file()
    old = _replaced(target)
    if old.is_dir():
        if target.exists():
            paths.remove_tree(old)
        else:
            os.rename(old, target)
    return target.is_dir()


def _replaced(target: pathlib.Path) -> pathlib.Path:
    return target.with_name(f"{target.name}.replaced")


@contextlib.contextmanager
def locked(directory: pathlib.Path) -> Iterator[None]:
    """Holds a directory for this process; the lock ends with the process, however that ends.

    What killed writers of files in it have left is removed, since there can be no other writer.
    Remote storage has no locks: there nothing is held.

    Raises:
      InUseError: if another process holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if paths.is_remote(directory):
        yield
        return
    with (directory / LOCK_FILE).open("a+") as file:
        if not try_lock(file.fileno()):
            raise InUseError(
                f"{directory} is in use by another process; wait for it or name another directory"
            )
        for path in directory.rglob("*.tmp"):
            if _TEMPORARY.fullmatch(path.name) and path.is_file():
                path.unlink()
        with naming(directory):
            yield


def try_lock(descriptor: int) -> bool:
    """Locks an open file or directory until it is closed; False if another process has it.

    Where the system or the file system has no locks, nothing is locked, and the answer is True.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system that has no locks
        return True
    return True


def check_types(
    what: str, content: Any, types: Mapping[str, type], optional: Collection[str] = ()
) -> None:
    """Checks a JSON object's fields.

    Args:
      what: the object, for the message.
      content: what was read.
      types: field -> its type; there are no others. A whole number will do for a float.
      optional: the fields that may be missing.

    Raises:
      InputError: for the first field that is missing, unknown or of a different type.
    """
    check_object(what, content)
    for name in content:
        if name not in types:
            raise InputError(f"{what}: unknown field {name!r} (there are {', '.join(types)})")
    for name, expected in types.items():
        if name not in content:
            if name in optional:
                continue
            raise InputError(f"{what}: {name} is missing")
        value = content[name]
        allowed = (int, float) if expected is float else expected
        if not isinstance(value, allowed) or isinstance(value, bool) != (expected is bool):
            raise InputError(
                f"{what}: {name} must be of type {expected.__name__} (got {_shown(value)})"
            )


def check_object(what: str, content: Any) -> None:
    """Raises InputError if JSON holds anything but an object."""
    if not isinstance(content, dict):
        raise InputError(f"{what} must be an object (got {_shown(content)})")


def _shown(value: Any) -> str:
    return json.dumps(value)[:80]


def read_json(path: str | os.PathLike[str], kind: type = dict) -> Any:
    """Reads a JSON file that one of our commands wrote.

    Args:
      path: the file.
      kind: the type of its content.

    Raises:
      InputError: if it is damaged.
    """
    try:
        content = parse_json(paths.as_path(path).read_bytes())
        if isinstance(content, kind):
            return content
        raise ValueError(f"expected a {kind.__name__}, got {_shown(content)}")
    except ValueError as error:
        raise InputError(
            f"{path} is damaged ({error}); restore it, or delete it and repeat the command that "
            "wrote it"
        ) from error


def parse_json(data: bytes) -> Any:
    """Parses JSON.

    Raises:
      ValueError: if it is none, nests too deep, names a field of an object twice, or holds half of
        a surrogate pair, which no file or terminal takes.
    """
    try:
        content = json.loads(data, object_pairs_hook=_object)
        json.dumps(content, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("brackets nest too deep") from error
    return content


def _object(fields: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(fields)
    if len(content) < len(fields):
        names = [name for name, _ in fields]
        repeated = next(name for name in content if names.count(name) > 1)
        raise ValueError(f"an object has the field {repeated!r} more than once")
    return content
