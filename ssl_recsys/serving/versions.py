"""An index as files: builds, versions of a few changes on them, and a pointer to the current one.

```
index/
  builds/N/      what takes long, never changed: item embeddings, keys, titles, a ScaNN index
  versions/N/    the number of a build, items added to it and keys removed from it
  CURRENT        the number of a version
```

Every directory has a manifest, is written under another name and renamed; `CURRENT` is replaced
by renaming. So whatever is stopped when, `CURRENT` names a whole version, and an earlier one can
be switched back to.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator

from ssl_recsys import files, manifest, paths
from ssl_recsys.errors import InputError

INDEX_DIR = "index"
_CURRENT = "CURRENT"
BUILDS, VERSIONS = "builds", "versions"


class Store:
    """The directory of a model's indexes.

    Args:
      model_dir: the model directory.
    """

    def __init__(self, model_dir: str | os.PathLike[str]):
        self._is_remote = paths.is_remote(model_dir)
        self.path = pathlib.Path(model_dir) / INDEX_DIR

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory for changes; removes what killed writers have left.

        Raises:
          InputError: if another process holds it, or the model is not on this machine's disks.
        """
        if self._is_remote:
            raise InputError(
                "an index is kept on this machine's disks, where a version can be switched in one "
                "step; copy the model directory to one"
            )
        with files.locked(self.path):
            for kind in (BUILDS, VERSIONS):
                for path in (self.path / kind).glob("*.tmp"):
                    shutil.rmtree(path)
            yield

    def current(self) -> int | None:
        """The number of the current version; None where there is no index.

        Raises:
          InputError: if the pointer is damaged.
        """
        path = self.path / _CURRENT
        if self._is_remote or not path.is_file():
            return None
        text = path.read_text(encoding="utf-8").strip()
        if not text.isdecimal():
            raise InputError(f"{path} is damaged; choose a version with ssl_recsys.index")
        return int(text)

    def versions(self) -> list[int]:
        """The numbers of all versions, ascending."""
        return self._numbers(VERSIONS)

    def _numbers(self, kind: str) -> list[int]:
        names = (path.name for path in (self.path / kind).glob("*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def directory(self, kind: str, number: int, *, verify: bool = True) -> pathlib.Path:
        """The directory of a build or version.

        Args:
          kind: `BUILDS` or `VERSIONS`.
          number: its number.
          verify: compare its files with its manifest.

        Raises:
          InputError: if there is none, or it is damaged.
        """
        path = self.path / kind / str(number)
        if not path.is_dir():
            there = ", ".join(map(str, self._numbers(kind))) or "none"
            raise InputError(f"there is no {path} (there are {there})")
        if verify:
            manifest.check(path)
        return path

    def add(self, kind: str, write: Callable[[pathlib.Path], None]) -> int:
        """Adds a build or version; returns its number.

        Args:
          kind: `BUILDS` or `VERSIONS`.
          write: writes its files to a directory that is there.
        """
        number = max(self._numbers(kind), default=0) + 1
        target = self.path / kind / str(number)
        temporary = target.with_name(f"{number}.tmp")
        temporary.mkdir(parents=True)
        write(temporary)
        manifest.write(temporary)
        temporary.rename(target)
        return number

    def use(self, version: int) -> None:
        """Makes a version the current one, in one step.

        Raises:
          InputError: if there is no such version, or it is damaged.
        """
        self.directory(VERSIONS, version)
        files.write_text(self.path / _CURRENT, f"{version}\n")

    def remove(self, kind: str, number: int) -> None:
        """Removes a build or version that is not in use; stopped in between, `locked` ends it."""
        target = self.path / kind / str(number)
        temporary = target.with_name(f"{number}.tmp")
        target.rename(temporary)
        shutil.rmtree(temporary)
        manifest.forget(target)
