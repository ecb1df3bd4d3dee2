"""The models of a server: the version that answers now, reloads, and changes of items.

Whoever reads takes `Served.live` once. Reloads and changes of items come one after the other and
replace it in one step, so that no request sees half of one.
"""

from __future__ import annotations

import pathlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from ssl_recsys import files, schema
from ssl_recsys.errors import InputError, InUseError
from ssl_recsys.search import EXACT
from ssl_recsys.serving import index_files, live_model
from ssl_recsys.serving.index import Added, Index, no_items
from ssl_recsys.serving.live_model import LiveModel, UnknownItemError
from ssl_recsys.serving.raw_items import RawItems, RawValue, item_columns
from ssl_recsys.serving.versions import Store
from ssl_recsys.training import run_dir

# How long a change waits for a command that holds the index.
_PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.05

Value = TypeVar("Value")


class UnknownModelError(InputError):
    """A name that no model of the server has."""


class ItemExistsError(InputError):
    """A key that was to be new and is an item's."""


class Served:
    """One model.

    Args:
      name: as requests have it.
      model_dir: its directory.
      verify: compare files with their manifests when they are loaded.
      keep_versions: versions of the index that changes of items leave, the newest; 0: all.
    """

    def __init__(self, name: str, model_dir: pathlib.Path, *, verify: bool, keep_versions: int):
        self.name = name
        self._model_dir, self._verify, self._keep_versions = model_dir, verify, keep_versions
        self._store = Store(model_dir)
        self._changing = threading.Lock()
        run_dir.finished_run(model_dir)
        self._seen = self._state() or ((), None)
        self.live: LiveModel = live_model.load(name, model_dir, verify=verify)
        self._loaded_export = self._seen[0]

    def has_changed(self) -> bool:
        """Whether there is another model or version of the index than was last looked at."""
        return self._state() not in (self._seen, None)

    def reload(self) -> bool:
        """Switches to the newest model and version of its index; whether there was another one.

        Raises:
          InputError: if it cannot be used; what was served before still is.
        """
        with self._changing:
            return self._reload()

    def put(self, key: str, given: Mapping[str, RawValue], *, only_new: bool = False) -> bool:
        """Adds an item, or changes the one with the key; whether there was none.

        Args:
          key: the item's.
          given: its raw features by column.
          only_new: change no item.

        Raises:
          ItemExistsError: if there is an item with the key, and `only_new`.
          InUseError: if a command holds the index for longer than a change waits.
          InputError: if the model takes no raw features, or there is no such column.
        """
        with self._changing:
            if self.has_changed():
                self._reload()
            live, was_new = self.live, self.live.index.row(key) is None
            if only_new and not was_new:
                raise ItemExistsError(f"there is an item {key!r} in model {self.name!r} already")
            columns = with_key(live, key, given)
            embedders = live.embedders()
            title = columns.get(embedders.raw.title) or key
            item = RawItems(
                [key],
                [title if isinstance(title, str) else " ".join(map(str, title))],
                {name: [value] for name, value in columns.items()},
            )
            self._change(embedders.added(item), ())
            return was_new

    def remove(self, key: str) -> None:
        """Removes an item.

        Raises:
          UnknownItemError: if there is none with this key.
          InUseError: if a command holds the index for longer than a change waits.
        """
        with self._changing:
            if self.has_changed():
                self._reload()
            self.live.row(key)
            self._change(no_items(self.live.index.build.embeddings.shape[1]), (key,))

    def _change(self, added: Added, removed: Collection[str]) -> None:
        def change() -> Index | None:
            with self._store.locked():
                exported, now = self.live.trained.exported, self._load_index()
                if now is None:
                    index_files.build(self._store, exported, None, EXACT)
                    now = self._load_index()
                assert now is not None, "a version was made the current one"
                for key in removed:
                    if now.row(key) is None:
                        raise UnknownItemError(f"there is no item {key!r} in model {self.name!r}")
                index_files.change(self._store, now, added, [*removed])
                if self._keep_versions:
                    index_files.prune(self._store, self._keep_versions)
                return self._load_index(now)

        index = _patiently(change)
        assert index is not None, "a version was made the current one"
        self.live = self.live.with_index(index)
        self._seen = (self._seen[0], index.version)

    def _load_index(self, now: Index | None = None) -> Index | None:
        return index_files.load(
            self._store,
            self.live.trained.exported,
            verify=self._verify,
            loaded=(now or self.live.index).build,
        )

    def _reload(self) -> bool:
        state = self._state()
        if state is None:
            return False
        if state == (self._loaded_export, self.live.index.version or None):
            self._seen = state
            return False
        # Noted before it is tried: what cannot be loaded is not tried again until it changes.
        self._seen = state
        if state[0] != self._loaded_export:
            self.live = live_model.load(self.name, self._model_dir, verify=self._verify)
            self._loaded_export = state[0]
            return True
        index = self._load_index()
        if index is None:
            raise InputError(f"{self._store.path} has no current version any more; build it again")
        self.live = self.live.with_index(index)
        return True

    def _state(self) -> tuple[tuple[int, ...], int | None] | None:
        """What tells the newest model and version of its index; None while it is replaced."""
        path = self._model_dir / run_dir.EXPORT_DIR / files.MANIFEST_FILE
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_size), self._store.current()


class Models:
    """The models of a server, by name; the first is the default."""

    def __init__(self, served: Sequence[Served]):
        self._by_name = {one.name: one for one in served}

    def __iter__(self) -> Iterator[Served]:
        return iter(self._by_name.values())

    def __getitem__(self, name: str | None) -> Served:
        """The model with a name.

        Raises:
          UnknownModelError: if there is none.
        """
        if name is None:
            return next(iter(self))
        if name not in self._by_name:
            there = ", ".join(self._by_name)
            raise UnknownModelError(f"there is no model {name!r} (there are {there})")
        return self._by_name[name]

    @classmethod
    def load(cls, model_dirs: Sequence[str], *, verify: bool, keep_versions: int) -> Models:
        """Loads models, whose names are the last parts of their directories."""
        paths = [pathlib.Path(one) for one in model_dirs]
        named = zip(distinct_names(paths), paths, strict=True)
        return cls(
            [Served(name, path, verify=verify, keep_versions=keep_versions) for name, path in named]
        )


def distinct_names(paths: Sequence[pathlib.Path]) -> list[str]:
    """The last part of each path, with a number where an earlier one has the same."""
    names: list[str] = []
    for path in paths:
        base = name = path.absolute().name
        number = 2
        while name in names:
            name, number = f"{base}-{number}", number + 1
        names.append(name)
    return names


def with_key(
    live: LiveModel, key: str, given: Mapping[str, RawValue]
) -> dict[str, str | list[str] | list[float]]:
    """An item's columns, that of its key included.

    Raises:
      InputError: if the column of the key holds something else, or there is no such column.
    """
    embedders = live.embedders()
    name = embedders.raw.key
    if given.get(name) not in (None, "", key):
        raise InputError(f"column {name!r} holds the key: leave it out, or give {key!r} there")
    return item_columns(embedders.raw, {**given, name: key}, embedders.sizes_of(schema.ITEM))


def _patiently(change: Callable[[], Value]) -> Value:
    """Tries again for a while where another process holds the index."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return change()
        except InUseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
