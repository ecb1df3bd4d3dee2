"""Another scale of trained items in an export: its item embeddings are written anew."""

from __future__ import annotations

import os
import pathlib
import shutil

import numpy as np

from ssl_recsys import files, manifest
from ssl_recsys.evaluation import calibration
from ssl_recsys.training import run_dir
from ssl_recsys.training.export import SETTINGS_FILE, TRAINED_ITEM_SCALE, Exported


def rescale(exported: Exported, model_dir: pathlib.Path, scale: float) -> None:
    """Replaces an export by one whose trained items have another scale; the towers stay.

    Stopped in the middle, the export is the old one.

    Args:
      exported: what was loaded from the directory.
      model_dir: the run's directory; the caller holds its lock.
      scale: what embeddings of trained items are the item tower's times.
    """
    target = model_dir / run_dir.EXPORT_DIR
    new = files.new_directory(target)
    written = (run_dir.EMBEDDINGS_FILE, SETTINGS_FILE, files.MANIFEST_FILE)
    anew = shutil.ignore_patterns(*written)
    shutil.copytree(exported.path, new, ignore=anew, copy_function=_link, dirs_exist_ok=True)
    items = calibration.scaled(
        exported.item_embeddings, exported.item_counts, scale / exported.trained_item_scale
    )
    np.save(new / run_dir.EMBEDDINGS_FILE, items)
    settings = files.read_json(exported.path / SETTINGS_FILE)
    files.write_json(new / SETTINGS_FILE, settings | {TRAINED_ITEM_SCALE: scale})
    manifest.write(new)
    files.replace_directory(new, target)


def _link(source: str, target: str) -> None:
    """The same file under another name, or a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
