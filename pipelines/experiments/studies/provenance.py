"""Provenance of a study: command, commit, versions, hardware."""

from __future__ import annotations

import importlib.metadata
import pathlib
import platform
import subprocess
from collections.abc import Sequence
from typing import Any

from pipelines.experiments.machine import memory_gb, processor
from pipelines.experiments.runner import available_cores
from ssl_recsys import files

FILE = "provenance.json"
_PACKAGES = ("tensorflow", "tf-keras", "tensorflow-recommenders", "numpy", "scipy", "matplotlib")


def note_start(directory: pathlib.Path, arguments: Sequence[str]) -> None:
    """Adds this start of the study to its file, unless it is the same as the last one."""
    starts = read(directory)
    now = {
        "command": " ".join(["python -m pipelines.study", *arguments]),
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "system": platform.system(),
        "processor": processor(),
        "cores": len(available_cores()),
        "memory_gb": memory_gb(),
    }
    if not starts or starts[-1] != now:
        files.write_json(directory / FILE, [*starts, now])


def read(directory: pathlib.Path) -> list[dict[str, Any]]:
    """The starts so far that differed from the one before."""
    path = directory / FILE
    return files.read_json(path, list) if path.is_file() else []


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The checkout's commit, with a mark where files differ from it."""
    root = pathlib.Path(__file__).parents[3]
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        return commit + (" with changes" if _git(root, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown (not a git checkout)"


def _git(root: pathlib.Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()
