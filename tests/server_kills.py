"""Kills a server while its index changes, starts it again, and looks whether all is there.

    python -m tests.server_kills --model_dir=runs/demo_fd --work=/tmp/server_kills --count=20

A round starts the server, adds, changes and removes items one after the other, builds the index
anew in between as the command does, and kills the server (SIGKILL) at a random moment. The version
that is then the current one must be whole, and have every change that was answered; so must the
answers of the next start.
"""

from __future__ import annotations

import argparse
import pathlib
import shutil
import sys
import threading
import time
import urllib.parse

import httpx
import numpy as np

from benchmarks.server_process import ServerProcess
from ssl_recsys.errors import InputError
from ssl_recsys.search import EXACT
from ssl_recsys.serving import index_files
from ssl_recsys.serving.versions import Store
from ssl_recsys.training.export import Exported, load_export

ITEMS = 20
LONGEST_SECONDS = 3.0


class Changes(threading.Thread):
    """Changes of items by one client, until the server is gone.

    Attributes:
      state: key -> whether the item must be there; None where the last change was not answered.
      answered: number of changes.
    """

    def __init__(self, url: str, state: dict[str, bool | None], seed: int):
        super().__init__()
        self._url, self._seed = url, seed
        self.state, self.answered = state, 0

    def run(self) -> None:
        rng = np.random.default_rng(self._seed)
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while True:
                key = f"killed/ {rng.integers(ITEMS)}"
                path = f"/v1/items/{urllib.parse.quote(key, safe='')}"
                is_put = self.state.get(key) is not True or rng.random() < 0.5
                before, self.state[key] = self.state.get(key), None
                try:
                    if is_put:
                        status = client.put(path, json={"columns": {}}).status_code
                    else:
                        status = client.delete(path).status_code
                except httpx.TransportError:
                    return
                if status == 503:
                    self.state[key] = before
                    continue
                assert status in (200, 201), status
                self.state[key] = is_put
                self.answered += 1


class Builds(threading.Thread):
    """Builds the index anew, again and again, as the command does."""

    def __init__(self, store: Store, exported: Exported):
        super().__init__()
        self._store, self._exported = store, exported
        self.stop = threading.Event()
        self.built = 0

    def run(self) -> None:
        while not self.stop.wait(0.2):
            try:
                with self._store.locked():
                    old = index_files.load(self._store, self._exported)
                    index_files.build(self._store, self._exported, old, EXACT)
                    self.built += 1
            except InputError:  # the server holds it
                continue


def check(store: Store, exported: Exported, state: dict[str, bool | None]) -> int:
    """The current version, once it is found to be whole; settles what was not answered.

    Raises:
      AssertionError: if an answered change is not there.
    """
    index = index_files.load(store, exported)
    assert index is not None
    for key, expected in state.items():
        is_there = index.row(key) is not None
        assert expected in (None, is_there), f"{key}: there {is_there}, expected {expected}"
        state[key] = is_there
    return index.version


def kill_and_check(model_dir: pathlib.Path, work: pathlib.Path, count: int, seed: int) -> None:
    """Makes the kills, each reported in a line.

    Raises:
      AssertionError: if something answered is lost.
      RuntimeError: if the server does not start again.
    """
    copy = work / "model"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(model_dir, copy, ignore=shutil.ignore_patterns("index"))
    exported, store = load_export(copy), Store(copy)
    state: dict[str, bool | None] = {}
    rng = np.random.default_rng(seed)
    with (work / "serve.log").open("ab") as log:
        server = ServerProcess([copy], log, "--keep_versions=5", "--log_level=warning")
        for number in range(1, count + 1):
            server.start()
            with httpx.Client(base_url=server.url, timeout=60) as client:
                for key, is_there in state.items():
                    path = f"/v1/items/{urllib.parse.quote(key, safe='')}"
                    assert client.get(path).is_success == is_there, key
            changes = Changes(server.url, state, seed + number)
            builds = Builds(store, exported)
            changes.start()
            builds.start()
            while not changes.answered and changes.is_alive():
                time.sleep(0.001)
            time.sleep(LONGEST_SECONDS * rng.random())
            server.kill()
            builds.stop.set()
            changes.join()
            builds.join()
            version = check(store, exported, state)
            print(
                f"kill {number} of {count}: after {changes.answered} changes and {builds.built} "
                f"builds, version {version} is whole",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model_dir", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True, help="directory, kept")
    parser.add_argument("--count", type=int, default=20, help="number of kills")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        kill_and_check(options.model_dir, options.work, options.count, options.seed)
    except (AssertionError, RuntimeError) as error:
        sys.exit(f"LOST: {error} (its directory: {options.work})")
    print(f"{options.count} kills: every answered change is there, each start was whole")


if __name__ == "__main__":
    main()
