"""Mutates tables through the readers and reports whatever is not an InputError.

    python -m tests.fuzz.tables --seconds=600 --seed=0

Each case is made of its number alone, so `--case=N` runs one again. A case fails if a reader
raises anything but InputError, runs for longer than a limit, ends the process, or gives other
rows where the file is cut into other pieces.
"""

from __future__ import annotations

import argparse
import bz2
import faulthandler
import gzip
import multiprocessing
import pathlib
import tempfile
import time
import traceback
from typing import Any

import numpy as np

from data_prep import tables, text_format
from data_prep.installs import encoders, logs
from data_prep.installs.log_spec import LogSpec
from data_prep.installs.spec import ItemFeature
from ssl_recsys.errors import InputError
from tests.fuzz import table_files

_LIMIT_SECONDS = 60
_FEATURES = (
    ItemFeature("a", "categorical", "c"),
    ItemFeature("b", "bag", "c"),
    ItemFeature("c", "bag", "c", words=True, ngrams=2),
    ItemFeature("d", "dense", "c"),
)
_TEXTS = (
    tables.DEFAULT_TEXT,
    tables.TextFormat(quoting=text_format.MINIMAL),
    tables.TextFormat(quoting=text_format.UNQUOTED),
    tables.TextFormat("latin-1"),
    tables.TextFormat("utf-16-le"),
    tables.TextFormat("gb18030"),
)


def run_case(case: int, directory: pathlib.Path) -> str:
    """Makes a file and reads it.

    Returns:
      `read` or `refused`.

    Raises:
      Exception: if a reader has a defect.
    """
    rng = np.random.default_rng(case)
    ending = table_files.ENDINGS[case % len(table_files.ENDINGS)]
    data = table_files.make(ending, rng)
    small = int(rng.integers(1, 300)) + len(data) // 20
    if rng.random() < 0.15:
        data = [gzip.compress, bz2.compress][rng.integers(2)](data)
        if rng.random() < 0.5:
            data = table_files.mutate_bytes(data, rng)
    text = _TEXTS[rng.integers(len(_TEXTS))] if rng.random() < 0.4 else tables.DEFAULT_TEXT
    return check_file(data, directory / f"case{ending}", text, small)


def check_file(data: bytes, path: pathlib.Path, text: tables.TextFormat, small: int) -> str:
    """Reads a file in one piece, and in pieces of `small` bytes, as `run_case`."""
    path.write_bytes(data)
    outcomes = [_read(str(path), text, size) for size in (8 << 20, small)]
    whole, cut = outcomes
    if whole is None or cut is None:
        return "refused"
    if whole != cut:
        raise AssertionError(f"other pieces give other rows: {whole!r:.2000} and {cut!r:.2000}")
    return "read"


def _read(path: str, text: tables.TextFormat, piece_bytes: int) -> list[Any] | None:
    """Rows and bad records of a file, after all that jobs do with them; None if it is refused."""
    tables._PIECE_BYTES = piece_bytes
    try:
        names = tables.column_names(path, text)
        rows: list[Any] = []
        bad: list[str] = []
        for piece in tables.pieces(path, text):
            part = tables.parse(piece, names)
            values = [tables.texts(part.columns[name]).to_pylist() for name in names]
            rows += zip(part.lines.tolist(), *values, strict=True)
            bad += map(str, part.bad)
            _use(part, names)
        return [names, rows, sorted(bad)]
    except InputError as error:
        str(error).encode("utf-8")
        return None


def _use(rows: tables.Rows, names: list[str]) -> None:
    """Reads events and features of each column."""
    for name in names:
        log = LogSpec(user=names[0], item=names[-1], timestamp=name)
        for record in logs.read_events(rows, log)[2]:
            str(record).encode("utf-8")
        column = tables.Rows(rows.path, rows.lines, {"c": rows.columns[name]})
        for feature in _FEATURES:
            encoders.ENCODERS[feature.kind](feature).read(column)


def _run_many(first: int, until: float, state: Any, failures: Any) -> None:
    """Runs cases from `first` on; `state` is case and counts."""
    faulthandler.enable()
    with tempfile.TemporaryDirectory() as directory:
        case = first
        while time.time() < until:
            state[0] = case
            faulthandler.dump_traceback_later(_LIMIT_SECONDS, exit=True)
            try:
                state[1 if run_case(case, pathlib.Path(directory)) == "read" else 2] += 1
            except Exception:
                failures.put((f"case {case}", traceback.format_exc()))
            faulthandler.cancel_dump_traceback_later()
            case += 1


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int)
    options = parser.parse_args()
    if options.case is not None:
        with tempfile.TemporaryDirectory() as directory:
            print(run_case(options.case, pathlib.Path(directory)))
        return
    until = time.time() + options.seconds
    context = multiprocessing.get_context("spawn")
    state, failures = context.Array("q", 3), context.SimpleQueue()
    first, failed = options.seed * 10**9, 0
    state[0] = first - 1
    while time.time() < until:
        process = context.Process(target=_run_many, args=(state[0] + 1, until, state, failures))
        process.start()
        while process.is_alive():
            process.join(1)
            while not failures.empty():
                failed += 1
                print(*failures.get(), sep="\n", flush=True)
        if process.exitcode:
            failed += 1
            print(f"case {state[0]}: a hang or crash, status {process.exitcode}", flush=True)
    print(f"{state[1]:,} files read, {state[2]:,} refused, {failed:,} failed")
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main()
