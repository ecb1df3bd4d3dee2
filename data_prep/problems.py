"""Reports unusable input that is only discovered inside a worker.

A worker cannot hand an exception to the command that started the job on every runner, so it
leaves the message in the directory that is being written, and fails.
"""

from __future__ import annotations

import contextlib
import heapq
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from data_prep import dataset_files, probe
from ssl_recsys.errors import InputError

if TYPE_CHECKING:
    from data_prep import tables

_FILE = "problem.txt"
_SHOWN = 5
# Beam adds the step to the message; a runner in Java shows it in the middle of others.
_UNREPORTED = re.compile(r"(?:UnseenError|WriteError): (.+?)(?= \[while running|\s*\n|\\n|$)")

# How many there are, and a few of them.
Found = tuple[int, list[str]]


@contextlib.contextmanager
def reported(directory: str) -> Iterator[None]:
    """Reports an InputError of the block to the command whose job writes to `directory`.

    The first time in a process it is checked that this worker sees the command's files.
    """
    try:
        probe.check(directory)
        yield
    except (probe.UnseenError, dataset_files.WriteError):
        raise  # a report could not be seen, or not be written
    except InputError as error:
        with dataset_files.opened(FileSystems.join(directory, _FILE)) as write:
            write(str(error).encode("utf-8"))
        raise


def read_report(directory: str) -> str | None:
    """The message of an InputError in a worker, None if there was none."""
    path = FileSystems.join(directory, _FILE)
    if not FileSystems.exists(path):
        return None
    with FileSystems.open(path) as file:
        return file.read().decode("utf-8")


def unreported(error: BaseException) -> str | None:
    """The message of an error without a report in what a runner raised, if there is one."""
    found = _UNREPORTED.search(f"{type(error).__name__}: {error}")
    return found[1] if found else None


def pieces(path: str, directory: str, text: tables.TextFormat) -> Iterator[tables.Piece]:
    """As `tables.pieces`, with errors reported."""
    from data_prep import tables  # and Arrow, which not every job needs

    with reported(directory):
        yield from tables.pieces(path, text)


def parse(
    piece: tables.Piece, columns: Sequence[str], directory: str, lists: Sequence[str] = ()
) -> tables.Rows:
    """As `tables.parse`, with errors reported."""
    from data_prep import tables

    with reported(directory):
        return tables.parse(piece, columns, lists=lists)


def check_bad(found: Found, max_bad_records: int, directory: str) -> None:
    """Ends the job if there are more bad records than allowed.

    Args:
      found: outcome of `CountAndShow`.
      max_bad_records: how many there may be.
      directory: the dataset directory being written.
    """
    if found[0] > max_bad_records:
        with reported(directory):
            raise InputError(
                f"bad records: {found[0]:,}, more than --max_bad_records={max_bad_records} "
                f"allows:\n{listing(found)}\n"
                "Mend them, or raise --max_bad_records to leave them out."
            )


class CountAndShow(beam.CombineFn):
    """Counts elements and keeps the few smallest, as text, to be shown."""

    def create_accumulator(self) -> tuple[int, list[Any]]:
        """Nothing so far."""
        return 0, []

    def add_input(self, accumulator: tuple[int, list[Any]], element: Any) -> tuple[int, list[Any]]:
        """Adds one."""
        return self.merge_accumulators([accumulator, (1, [element])])

    def merge_accumulators(
        self, accumulators: Iterable[tuple[int, list[Any]]]
    ) -> tuple[int, list[Any]]:
        """Adds up counts and keeps the smallest."""
        parts = list(accumulators)
        shown = heapq.nsmallest(_SHOWN, (element for _, few in parts for element in few))
        return sum(number for number, _ in parts), shown

    def extract_output(self, accumulator: tuple[int, list[Any]]) -> Found:
        """The count, and the few as text."""
        return accumulator[0], [str(element) for element in accumulator[1]]


def add(parts: Iterable[Found]) -> Found:
    """Puts findings together; those of the first part are shown first."""
    parts = list(parts)
    shown = [element for _, few in parts for element in few]
    return sum(number for number, _ in parts), shown[:_SHOWN]


def listing(found: Found) -> str:
    """A few elements, one a line, and how many more there are."""
    number, shown = found
    more = [f"  and {number - len(shown):,} more"] if number > len(shown) else []
    return "\n".join([*(f"  {element}" for element in shown), *more])
