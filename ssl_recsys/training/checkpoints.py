"""Resuming from the newest checkpoint that is whole."""

from __future__ import annotations

import pathlib

import tensorflow as tf

from ssl_recsys.errors import InputError


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
    indices = pathlib.Path(manager.directory).glob("*.index")
    paths = sorted((path.with_suffix("") for path in indices), key=_step, reverse=True)
    for path in paths:
        try:
            manager.checkpoint.restore(str(path))
            return str(path)
        except Exception as error:  # TensorFlow raises many kinds for damaged files
            reason = str(error).splitlines()[0]
            print(f"checkpoint {path} is damaged ({reason}); trying the one before", flush=True)
    if paths:
        raise InputError(
            f"every checkpoint in {manager.directory} is damaged; restore one, or delete the model "
            "directory and train again"
        )
    return None


def _step(path: pathlib.Path) -> int:
    """The number behind the last dash of `ckpt-120`."""
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1
