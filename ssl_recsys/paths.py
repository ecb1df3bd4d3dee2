"""Where a path leads: to this machine's disks, or to storage that TensorFlow's file layer reads.

`as_path` alone decides. A path without a scheme is a `pathlib.Path`, and nothing is different from
a program that knows no other. `gs://…` and every other `scheme://…` is an `etils.epath` path, with
the same methods, over `tf.io.gfile`; TensorFlow is loaded when it is first touched.
"""

from __future__ import annotations

import atexit
import errno
import functools
import os
import pathlib
import re
import shutil
import tempfile
from typing import Any

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# TensorFlow says of a file: "{{node X}} PATH; No space left on device [Op:SaveV2]".
_OF_A_LOCAL_FILE = re.compile(
    rf"(?:^|\s)(\S+; (?:{'|'.join(re.escape(os.strerror(code)) for code in errno.errorcode)}))"
)


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path names storage by a scheme, such as `gs://`."""
    return _SCHEME.match(os.fspath(path)) is not None


def as_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """The path as an object with the methods of `pathlib.Path`, wherever it leads."""
    scheme = _SCHEME.match(os.fspath(path))
    if scheme is None:
        return pathlib.Path(path)
    return _remote_class(scheme.group())(os.fspath(path))


@functools.cache
def _remote_class(scheme: str) -> Any:
    """The class of a scheme's paths.

    epath knows the schemes of object stores. For others that TensorFlow has, such as `ram://`, its
    class is told how they are written, and made known to epath, through which TFDS reads.
    """
    from etils import epath
    from etils.epath import backend, gpath

    try:
        epath.Path(scheme)
        return epath.Path
    except KeyError:
        pass

    class GFilePath(gpath.PosixGPath):
        @property
        def _path_str(self) -> str:
            first, *rest = self.parts or (".",)
            is_whole = f"{first}//" == scheme  # not one relative to another
            return (
                f"{scheme}{'/'.join(rest)}" if is_whole else str(pathlib.PurePosixPath(*self.parts))
            )

        @property
        def _backend(self) -> Any:
            return backend.tf_backend

        def resolve(self, strict: bool = False) -> GFilePath:
            del strict
            return self

    return epath.register_path_cls(scheme)(GFilePath)


def absolute(path: str | os.PathLike[str]) -> str:
    """The path in a form that does not depend on the working directory."""
    return os.fspath(path) if is_remote(path) else os.path.abspath(path)


def walk_files(directory: pathlib.Path) -> list[pathlib.Path]:
    """All files below a directory, in order of their names."""
    if not is_remote(directory):
        return [path for path in sorted(directory.rglob("*")) if path.is_file()]
    found = directory.walk() if directory.is_dir() else ()  # type: ignore[attr-defined]
    return sorted(root / name for root, _, names in found for name in names if name)


def remove_tree(directory: pathlib.Path) -> None:
    """Removes a directory with all that is in it, if it is there."""
    if is_remote(directory):
        directory.rmtree(missing_ok=True)  # type: ignore[attr-defined]
    else:
        shutil.rmtree(directory, ignore_errors=True)


def copy_files(source: pathlib.Path, target: pathlib.Path, *, last: str = "") -> None:
    """Copies all files of a directory, to or from remote storage, each as a whole.

    Args:
      source: a directory.
      target: where to; missing directories are made.
      last: name of the file to copy after all others.
    """
    remote = _SCHEME.match(os.fspath(source if is_remote(source) else target))
    assert remote is not None
    as_remote = _remote_class(remote.group())
    paths = sorted(walk_files(source), key=lambda path: path == source / last)
    for path in paths:
        copy = target / path.relative_to(source).as_posix()
        copy.parent.mkdir(parents=True, exist_ok=True)
        as_remote(os.fspath(path)).copy(os.fspath(copy), overwrite=True)


def temporary_directory() -> pathlib.Path:
    """A new directory on this machine that is removed when this process ends by itself."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="ssl_recsys-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


# Copy on this machine -> the directory that it was copied from.
_copied_from: dict[pathlib.Path, pathlib.Path] = {}


def local_copy(directory: pathlib.Path) -> pathlib.Path:
    """The directory itself where it is local; else a copy of it, for the life of this process.

    For readers that map files into memory or know local files only.
    """
    if not is_remote(directory):
        return directory
    copy = temporary_directory()
    copy_files(directory, copy)
    _copied_from[copy] = directory
    return copy


def named(directory: pathlib.Path) -> pathlib.Path:
    """A directory as the user knows it: what it is a local copy of, or itself."""
    return _copied_from.get(directory, directory)


def what_storage_says(error: Exception) -> str | None:
    """What TensorFlow's file layer reports of a file or a bucket, in a line; None for other errors.

    Its errors are no OSErrors but of the classes that a graph's errors are of; they name a path.
    """
    if not type(error).__module__.startswith("tensorflow.") or not hasattr(error, "error_code"):
        return None
    text = " ".join(str(error).split())
    scheme = re.search(rf"(?<![A-Za-z0-9+.-])(?!grpc:){_SCHEME.pattern}", text)
    if scheme is None:
        local = _OF_A_LOCAL_FILE.search(text)
        return local[1] if local else None
    remedy = "check the bucket's name, the credentials and the network"
    if "not implemented" in text:
        remedy = (
            "TensorFlow has no file layer for it: mount or copy it, and give a path without "
            f"{scheme.group()}"
        )
    return f"{text}; {remedy}"
