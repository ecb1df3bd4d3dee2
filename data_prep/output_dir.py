"""Writes a dataset to a temporary directory, which is renamed when it is whole."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import shutil
import uuid
from collections.abc import Iterator

from apache_beam.io.filesystems import FileSystems

from ssl_recsys import files, schema
from ssl_recsys.errors import InputError

_INCOMPLETE = ".incomplete-"
_REPLACED = ".replaced"

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def staged(output_dir: str, *, overwrite: bool) -> Iterator[str]:
    """A temporary directory that becomes `output_dir` when the block ends without an error.

    After an error nothing is left behind, and the dataset at `output_dir` stays. What killed jobs
    left is removed, or restored, first.

    Raises:
      InputError: if `output_dir` is in use and `overwrite` is not set, at the start or at the end;
        in the latter case the finished dataset stays in its temporary directory.
    """
    output_dir = output_dir.rstrip("/")
    if not output_dir:
        raise InputError("--output_dir must name a directory")
    is_local = "://" not in output_dir
    if is_local:
        _recover(os.path.abspath(output_dir))
    check_free(output_dir, overwrite=overwrite)
    if is_local:
        output_dir = os.path.abspath(output_dir)
    staging = f"{output_dir}{_INCOMPLETE}{uuid.uuid4().hex[:8]}"
    is_whole = False
    try:
        with _owned(staging) if is_local else contextlib.nullcontext():
            yield staging
            is_whole = True
            _check_still_free(staging, output_dir, overwrite=overwrite)
            _rename_local(staging, output_dir) if is_local else _rename_remote(staging, output_dir)
    finally:
        if not is_whole:
            _remove(staging)


@contextlib.contextmanager
def _owned(staging: str) -> Iterator[None]:
    """Makes a local temporary directory and locks it until this process ends."""
    os.makedirs(staging)
    directory = os.open(staging, os.O_RDONLY)
    try:
        files.try_lock(directory)
        yield
    finally:
        os.close(directory)


def _is_owned(staging: str) -> bool:
    """Whether a job that still runs writes to the directory."""
    try:
        directory = os.open(staging, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not files.try_lock(directory)
    finally:
        os.close(directory)


def _recover(output_dir: str) -> None:
    """Removes what killed jobs left beside `output_dir`; restores a dataset they had moved away."""
    for path in sorted(glob.glob(glob.escape(output_dir) + _INCOMPLETE + "*")):
        if _is_owned(path.removesuffix(_REPLACED)):
            continue
        if path.endswith(_REPLACED) and not os.path.exists(output_dir):
            os.rename(path, output_dir)
            _log.warning("restored %s, which a job that was killed had moved", output_dir)
        else:
            shutil.rmtree(path, ignore_errors=True)
            _log.warning("removed %s, which a job that was killed had left", path)


def _check_still_free(staging: str, output_dir: str, *, overwrite: bool) -> None:
    try:
        check_free(output_dir, overwrite=overwrite)
    except InputError as error:
        raise InputError(
            f"while the job ran, something else was written there: {error}. The finished dataset "
            f"is {staging}; rename it"
        ) from error


def check_free(output_dir: str, *, overwrite: bool) -> None:
    """Checks that a dataset can be written to `output_dir`.

    Raises:
      InputError: if it is a file, or if it holds something and `overwrite` is not set, or
        something that is no dataset even so.
    """
    is_local = "://" not in output_dir
    if is_local and os.path.exists(output_dir) and not os.path.isdir(output_dir):
        raise InputError(f"--output_dir={output_dir} is a file; name a directory")
    found = (
        [os.path.join(output_dir, name) for name in os.listdir(output_dir)]
        if (is_local and os.path.isdir(output_dir))
        else ([] if is_local else _remote_files(output_dir))
    )
    if not found:
        return
    if not overwrite:
        raise InputError(
            f"--output_dir={output_dir} is in use (it holds {len(found)} entries); name a "
            "different directory or add --overwrite"
        )
    if not any(path.endswith("/" + schema.DATASET_FILE) for path in found):
        raise InputError(
            f"--overwrite replaces datasets only, and --output_dir={output_dir} holds other "
            f"files and no {schema.DATASET_FILE}; name a different directory"
        )


def _rename_local(staging: str, output_dir: str) -> None:
    if os.path.isdir(output_dir):
        replaced = staging + _REPLACED
        os.rename(output_dir, replaced)
        os.rename(staging, output_dir)
        shutil.rmtree(replaced)
    else:
        os.rename(staging, output_dir)


def _rename_remote(staging: str, output_dir: str) -> None:
    if _remote_files(output_dir):
        FileSystems.delete([output_dir + "/"])
    paths = _remote_files(staging)
    # dataset.json last: a directory without it is not a dataset.
    paths.sort(key=lambda path: path.endswith("/" + schema.DATASET_FILE))
    for path in paths:
        FileSystems.rename([path], [output_dir + path[len(staging) :]])


def _remote_files(directory: str) -> list[str]:
    metadata = FileSystems.match([directory + "/**"])[0].metadata_list
    return [match.path for match in metadata]


def _remove(staging: str) -> None:
    if "://" not in staging:
        shutil.rmtree(staging, ignore_errors=True)
    elif _remote_files(staging):
        FileSystems.delete([staging + "/"])
