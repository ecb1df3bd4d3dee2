"""How fast the SQL tables of a wiki are read, table by table.

    python -m benchmarks.sql_tables --output=FILE.json
    python -m benchmarks.sql_tables --tables=DIRECTORY --output=FILE.json

MB of SQL a processor second on one core, without decompression: rows found; besides, the values
taken out that the job reads; and all of a worker's work up to the shuffle. Small tables are read
many times over: their rows are written again and again to a file of `--megabytes`.
"""

from __future__ import annotations

import dataclasses
import gzip
import pathlib
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks import harness
from data_prep import probe
from data_prep.spill import NO_SPILL
from data_prep.synthetic import wiki_sql
from data_prep.synthetic.wiki_pages import pages
from data_prep.synthetic.wiki_world import WikiWorld
from data_prep.wiki import sql_dump
from data_prep.wiki.read_tables import ReadTable
from data_prep.wiki.sql_dump import TableFile
from data_prep.wiki.sql_tables import LAYOUTS
from ssl_recsys.errors import InputError
from ssl_recsys.options import option

_PARSED = 100  # MB/s
_NUM_SHARDS = 8
_TEXTS = ("page_title", "pl_title", "rd_title", "lt_title", "cl_to", "pp_propname")
# From the first row's statement to the end of the last.
_INSERTS = re.compile(rb"^INSERT INTO .*;\n", re.DOTALL | re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    """The command's flags."""

    tables: str = option(
        "",
        "Directory with tables of a wiki, WIKI-DATE-page.sql.gz and others; empty: synthetic ones.",
    )
    num_items: int = option(10_000, "Articles of the synthetic tables.", at_least=100)
    layout: str = option(
        wiki_sql.LAYOUT_2026,
        "Which year's dumps the synthetic tables are like.",
        choices=wiki_sql.LAYOUTS,
    )
    megabytes: int = option(30, "MB of SQL of each table, at least.", at_least=1)
    repetitions: int = option(5, "Times that each table is read.", at_least=1)


def measure(options: Options) -> harness.Report:
    """Reads all tables in turn, each in three depths."""
    with tempfile.TemporaryDirectory(prefix="sql_tables") as name:
        scratch = pathlib.Path(name)
        probe.leave(str(scratch), [])
        directory = pathlib.Path(options.tables or scratch / "tables")
        if not options.tables:
            world = WikiWorld(options.num_items, seed=0)
            wiki_sql.write_tables(directory, pages(world), options.layout)
        files = [enlarged(file, scratch, options.megabytes) for file in find_tables(directory)]
        candidates: dict[str, Callable[[], Any]] = {}
        for file in files:
            candidates |= _depths(file, str(scratch))
        timings = harness.interleave(
            candidates, options.repetitions, warmups=0, clock=time.process_time
        )
        sizes = {file.table: file.source.size / 1e6 for file in files}
    rows = []
    for name, timing in timings.items():
        table, depth = name.split(", ")
        rate = timing.rate(sizes[table])
        target = _PARSED if depth == "parsed" else None
        rows.append(harness.Row(name, rate, "MB/s", target, spread=timing.spread))
    return harness.Report("sql_tables", rows, {"megabytes": sizes})


def find_tables(directory: pathlib.Path) -> list[TableFile]:
    """The tables in a directory, of each its largest file.

    Raises:
      InputError: if there is none, or one of them is not the table of its name.
    """
    found = []
    for table, layouts in LAYOUTS.items():
        # As page.sql.gz or enwiki-20260101-page.sql.gz.
        paths = [path for path in directory.glob("*.sql*") if _table_of(path) == table]
        if paths:
            largest = max(paths, key=lambda path: path.stat().st_size)
            found += sql_dump.find_files(str(largest), table, *layouts)
    if not found:
        raise InputError(f"--tables: {directory} has no files as WIKI-DATE-page.sql.gz")
    return found


def _table_of(path: pathlib.Path) -> str:
    return path.name.split(".")[0].split("-")[-1]


def enlarged(file: TableFile, scratch: pathlib.Path, megabytes: int) -> TableFile:
    """The same table without compression, its rows as often as it takes to be so large.

    Raises:
      InputError: if it has no rows.
    """
    path = pathlib.Path(file.source.path)
    read = gzip.open if path.suffix == ".gz" else open
    with read(path, "rb") as stream:
        text = stream.read()
    inserts = _INSERTS.search(text)
    if inserts is None:
        raise InputError(f"{path} has no rows")
    times = -(-megabytes * 1_000_000 // len(inserts[0]))
    copy = scratch / f"{file.table}.sql"
    with copy.open("wb") as output:
        output.write(text[: inserts.start()])
        for _ in range(times):
            output.write(inserts[0])
        output.write(text[inserts.end() :])
    return sql_dump.find_files(str(copy), file.table, ())[0]


def _depths(file: TableFile, directory: str) -> dict[str, Callable[[], Any]]:
    """What is timed of a table."""
    columns = next(layout for layout in LAYOUTS[file.table] if set(layout) <= set(file.columns))
    step = ReadTable(
        _NUM_SHARDS,
        NO_SPILL,
        keep_titles=False,
        has_targets=True,
        find_hidden=True,
        directory=directory,
    )
    return {
        f"{file.table}, rows found": lambda: count_rows(file),
        f"{file.table}, parsed": lambda: count_rows(file, columns),
        f"{file.table}, read": lambda: sum(1 for _ in step.process(file)),
    }


def count_rows(file: TableFile, columns: tuple[str, ...] = ()) -> int:
    """Number of rows; the values of `columns` are taken out."""
    count = 0
    for rows in sql_dump.read_rows(file, Counter()):
        count += len(rows.bounds)
        for name in columns:
            (rows.strings if name in _TEXTS else rows.integers)(name)
    return count


if __name__ == "__main__":
    harness.main(Options, measure)
