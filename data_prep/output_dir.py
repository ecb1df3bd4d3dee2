"""Writes a dataset to a temporary directory, which is renamed when it is whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator

from apache_beam.io.filesystems import FileSystems

from ssl_recsys import schema
from ssl_recsys.errors import InputError


@contextlib.contextmanager
def staged(output_dir: str, *, overwrite: bool) -> Iterator[str]:
    """A temporary directory that becomes `output_dir` when the block ends without an error.

    After an error nothing is left behind, and the dataset at `output_dir` stays.

    Raises:
      InputError: if `output_dir` is in use and `overwrite` is not set.
    """
    output_dir = output_dir.rstrip("/")
    if not output_dir:
        raise InputError("--output_dir must name a directory")
    check_free(output_dir, overwrite=overwrite)
    is_local = "://" not in output_dir
    if is_local:
        output_dir = os.path.abspath(output_dir)
    staging = f"{output_dir}.incomplete-{uuid.uuid4().hex[:8]}"
    try:
        if is_local:
            os.makedirs(staging)
        yield staging
        _rename_local(staging, output_dir) if is_local else _rename_remote(staging, output_dir)
    finally:
        _remove(staging)


def check_free(output_dir: str, *, overwrite: bool) -> None:
    """Checks that a dataset can be written to `output_dir`.

    Raises:
      InputError: if it is a file, or if it holds something and `overwrite` is not set, or
        something that is no dataset even so.
    """
    is_local = "://" not in output_dir
    if is_local and os.path.exists(output_dir) and not os.path.isdir(output_dir):
        raise InputError(f"--output_dir={output_dir} is a file; name a directory")
    files = (
        [os.path.join(output_dir, name) for name in os.listdir(output_dir)]
        if (is_local and os.path.isdir(output_dir))
        else ([] if is_local else _remote_files(output_dir))
    )
    if not files:
        return
    if not overwrite:
        raise InputError(
            f"--output_dir={output_dir} is in use (it holds {len(files)} entries); name a "
            "different directory or add --overwrite"
        )
    if not any(path.endswith("/" + schema.DATASET_FILE) for path in files):
        raise InputError(
            f"--overwrite replaces datasets only, and --output_dir={output_dir} holds other "
            f"files and no {schema.DATASET_FILE}; name a different directory"
        )


def _rename_local(staging: str, output_dir: str) -> None:
    if os.path.isdir(output_dir):
        replaced = f"{staging}.replaced"
        os.rename(output_dir, replaced)
        os.rename(staging, output_dir)
        shutil.rmtree(replaced)
    else:
        os.rename(staging, output_dir)


def _rename_remote(staging: str, output_dir: str) -> None:
    if _remote_files(output_dir):
        FileSystems.delete([output_dir + "/"])
    files = _remote_files(staging)
    # dataset.json last: a directory without it is not a dataset.
    files.sort(key=lambda path: path.endswith("/" + schema.DATASET_FILE))
    for path in files:
        FileSystems.rename([path], [output_dir + path[len(staging) :]])


def _remote_files(directory: str) -> list[str]:
    metadata = FileSystems.match([directory + "/**"])[0].metadata_list
    return [match.path for match in metadata]


def _remove(staging: str) -> None:
    if "://" not in staging:
        shutil.rmtree(staging, ignore_errors=True)
    elif _remote_files(staging):
        FileSystems.delete([staging + "/"])
