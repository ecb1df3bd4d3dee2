"""The model directory: what a run writes where, and whether a command may resume it."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from ssl_recsys import files, paths, schema
from ssl_recsys.config.run import RunConfig
from ssl_recsys.errors import InputError
from ssl_recsys.search import EXACT

CONFIG_FILE = "config.json"
AUTO_FILE = "auto.json"
METRICS_FILE = "metrics.json"
HISTORY_FILE = "history.json"
FINISHED_FILE = "finished.json"
CHECKPOINT_DIR = "checkpoints"
BEST_DIR = "best"
LOG_DIR = "logs"
EXPORT_DIR = "export"
EMBEDDINGS_FILE = "item_embeddings.npy"  # in EXPORT_DIR

# What a write that was killed leaves, see `files.write_atomically`.
_TEMPORARY = "*.tmp"

# A run may be resumed with other values of these: they decide how long it trains and how often
# it saves, not what a step does.
LENGTH_SETTINGS = ("max_epochs", "max_steps", "patience")
_MAY_CHANGE = (*LENGTH_SETTINGS, "checkpoint_minutes", "strategy", "shard_tables")


def open_run(
    model_dir: str | os.PathLike[str],
    config: RunConfig,
    data_dir: str | os.PathLike[str],
    info: schema.DatasetInfo,
    *,
    resume: bool,
) -> pathlib.Path:
    """Makes a model directory, or checks that the one that is there holds the same run.

    Args:
      model_dir: the directory; it need not exist.
      config: the run's configuration.
      data_dir: the dataset directory that it trains on.
      info: what that holds.
      resume: whether a run that is already there may be resumed.

    Returns:
      The directory.

    Raises:
      InputError: if the directory holds other files, another run, or a run while `resume` is
        off.
    """
    path = paths.as_path(model_dir)
    described = _describe(config, data_dir, info)
    check_directory(path, resume=resume)
    if (path / CONFIG_FILE).is_file():
        check_same_run(path, config, data_dir, info)
    path.mkdir(parents=True, exist_ok=True)
    files.write_json(path / CONFIG_FILE, described)
    return path


def check_directory(path: pathlib.Path, *, resume: bool) -> None:
    """Checks that a run may write to a directory, if it holds one at all that is resumed.

    Raises:
      InputError: if the directory holds other files, or a run while `resume` is off.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"--model_dir={path} is a file; name a directory")
    if (path / CONFIG_FILE).is_file():
        if not resume:
            raise InputError(
                f"--model_dir={path} already holds a run and --resume is off; choose another "
                "directory or delete this one"
            )
    elif path.exists() and {*path.iterdir()} - {*path.glob(_TEMPORARY), path / files.LOCK_FILE}:
        raise InputError(
            f"--model_dir={path} is not empty and holds no run; choose another directory"
        )


def metrics_file(retrieval: str) -> str:
    """Name of the metrics' file: exact metrics are never replaced by approximate ones."""
    return METRICS_FILE if retrieval == EXACT else f"metrics_{retrieval}.json"


def _describe(
    config: RunConfig, data_dir: str | os.PathLike[str], info: schema.DatasetInfo
) -> dict[str, Any]:
    return {
        "data_dir": paths.absolute(data_dir),
        "dataset": {
            "name": info.name,
            "num_items": info.num_items,
            "num_pairs": dict(info.num_pairs),
            "sources": [source.get("sha256") for source in info.sources],
            "features": [spec.as_dict() for spec in info.features],
        },
        "config": dataclasses.asdict(config),
    }


def check_same_run(
    path: pathlib.Path,
    config: RunConfig,
    data_dir: str | os.PathLike[str],
    info: schema.DatasetInfo,
) -> None:
    """Checks that a model directory holds a run of these settings on this dataset.

    Raises:
      InputError: if it holds another.
    """
    there = files.read_json(path / CONFIG_FILE)
    # Tuples become lists, as in the file.
    wanted = json.loads(json.dumps(_describe(config, data_dir, info)))
    if there.get("dataset") != wanted["dataset"]:
        raise InputError(
            f"--model_dir={path} holds a run on another dataset; choose another directory"
        )
    types = {name: type(value) for name, value in wanted.items()}
    files.check_types(str(path / CONFIG_FILE), there, types)
    before, now = _flatten(there["config"]), _flatten(wanted["config"])
    changed = [
        f"{name}: {before.get(name)!r} there, {now.get(name)!r} now"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name) and name not in _MAY_CHANGE
    ]
    if changed:
        raise InputError(
            f"--model_dir={path} holds a run with other settings ({'; '.join(changed)}); choose "
            "another directory or the same settings"
        )


def _flatten(config: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    for name, section in config.items():
        files.check_object(f"{CONFIG_FILE}: {name}", section)
    return {name: value for section in config.values() for name, value in section.items()}


def finished_run(model_dir: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the export directory of a run that trained to its end.

    Raises:
      FileNotFoundError: if there is none.
    """
    path = paths.as_path(model_dir) / EXPORT_DIR
    if not files.recover_directory(path):
        raise FileNotFoundError(
            f"{model_dir} holds no trained model; train one first: python -m ssl_recsys.train "
            f"--flagfile=configs/wiki_fd.flags --model_dir={model_dir}"
        )
    return path
