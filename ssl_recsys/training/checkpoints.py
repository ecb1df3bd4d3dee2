"""Resuming from the newest checkpoint that is whole."""

from __future__ import annotations

import pathlib
import re

import tensorflow as tf

from ssl_recsys import paths
from ssl_recsys.errors import InputError

_UNFINISHED = re.compile(r"\.tempstate\d+$|_temp$|^checkpoint\.tmp[0-9a-f]+$")


def restore_newest(manager: tf.train.CheckpointManager) -> str | None:
    """Restores the newest checkpoint that can be read, and reports those that cannot.

    Args:
      manager: the checkpoints. Its own list of them is not trusted, since that file may be the one
        that is damaged.

    Returns:
      The checkpoint's path; None if there is none at all.

    Raises:
      InputError: if there are checkpoints and none of them can be read.
    """
    directory = paths.as_path(manager.directory)
    remove_unfinished(directory)
    indices = directory.glob("*.index")
    found = sorted((path.with_suffix("") for path in indices), key=_step, reverse=True)
    for path in found:
        try:
            manager.checkpoint.restore(str(path))
        except Exception as error:  # TensorFlow raises many kinds for damaged files
            reason = str(error).splitlines()[0]
            print(f"checkpoint {path} is damaged ({reason}); trying the one before", flush=True)
        else:
            _forget_unlisted(manager, path)
            return str(path)
    if found:
        raise InputError(
            f"every checkpoint in {manager.directory} is damaged; restore one, or delete the model "
            "directory and train again"
        )
    return None


def remove_unfinished(directory: pathlib.Path) -> None:
    """Removes what TensorFlow leaves if it is killed while it writes a checkpoint."""
    for path in directory.glob("*"):
        if _UNFINISHED.search(path.name):
            paths.remove_tree(path) if path.is_dir() else path.unlink()


def _forget_unlisted(manager: tf.train.CheckpointManager, restored: pathlib.Path) -> None:
    """Leaves what the manager lists, which it deletes in time; a kill may come before it lists."""

    def listed() -> set[str]:
        return {pathlib.Path(path).name for path in manager.checkpoints}

    if restored.name not in listed():
        manager.save(_step(restored))
    for path in paths.as_path(manager.directory).glob("*-*.*"):
        if path.name.partition(".")[0] not in listed():
            path.unlink()


def _step(path: pathlib.Path) -> int:
    """The number behind the last dash of `ckpt-120`."""
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1
