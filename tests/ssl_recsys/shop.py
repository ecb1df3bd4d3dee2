"""A small catalogue of things of four kinds, its log, and a server of models trained on them."""

from __future__ import annotations

import contextlib
import pathlib
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import uvicorn

from ssl_recsys.serving.app import make_app
from ssl_recsys.serving.served import Models
from ssl_recsys.serving.server import Limits
from tests import install_data
from tests.ssl_recsys import commands

KINDS = ("Puzzle", "Race", "Photo", "Music")
EACH = 12
# Titles are data: this is one.
MARKUP = '<img src=x onerror="document.title=1"><b>Puzzle</b>'
COLUMNS = ("app_id", "developer_name", "categories", "title", "popularity", "quality")


def items() -> list[tuple[str, ...]]:
    """Rows of the item table: `puzzle0` is the one whose title is markup."""
    return [
        (
            f"{kind.lower()}{number}",
            f"dev{number % 3}",
            f"{kind}|Level {number % 6}",
            MARKUP if (kind, number) == ("Puzzle", 0) else f"{kind} {number}",
            str(10 * number),
            f"0.{number}" if number < 10 else "",
        )
        for kind in KINDS
        for number in range(EACH)
    ]


def log() -> list[tuple[str, str, int]]:
    """Installs: every user has some things of one kind, the first ones most often."""
    rng = np.random.default_rng(0)
    shares = np.arange(EACH, 0, -1) / np.arange(1, EACH + 1).sum()
    rows = []
    for user in range(160):
        chosen = rng.choice(EACH, size=4, replace=False, p=shares)
        for place, number in enumerate(chosen.tolist()):
            name = f"{KINDS[user % len(KINDS)].lower()}{number}"
            rows.append((f"u{user}", name, 100 * user + place))
    return rows


def train(directory: pathlib.Path) -> list[pathlib.Path]:
    """A baseline and FD over the catalogue; their model directories."""
    data = directory / "data"
    install_data.make(data, **install_data.write_input(directory, log(), [COLUMNS, *items()]))
    runs = [directory / method for method in ("baseline", "fd")]
    for run in runs:
        commands.train(*commands.small_run(data, run, f"--method={run.name}"))
    return runs


@contextlib.contextmanager
def served(model_dirs: Sequence[pathlib.Path]) -> Iterator[str]:
    """The address of a server of models, in a thread of this process."""
    models = Models.load([*map(str, model_dirs)], verify=True, keep_versions=0)
    app = make_app(models, Limits())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join()
