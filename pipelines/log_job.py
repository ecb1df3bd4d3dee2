"""What jobs over a log and tables do alike: the number of shards, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import apache_beam as beam
from apache_beam.pvalue import AsDict

from data_prep import problems
from data_prep.input_files import InputFile, match_files
from data_prep.installs.counters import EVENTS_OF_OTHER_KINDS
from data_prep.installs.spec import InstallSpec
from pipelines import beam_job
from ssl_recsys.errors import InputError

# What to do about rows of a table with the key of an earlier one.
ERROR, FIRST = DUPLICATES = ("error", "first")
_TEXT_BYTES_PER_SHARD = 16 << 20


def with_shards(
    options: beam_job.AnyJobOptions,
    events: Iterable[InputFile],
    specs: Iterable[InstallSpec],
    tables: Iterable[InputFile],
) -> beam_job.AnyJobOptions:
    """The options with a number of shards for their input, if they leave it open.

    Args:
      options: the flags.
      events: the files of the log.
      specs: what tables mean.
      tables: their files, which count where they have vectors.
    """
    has_vectors = any(spec.vector_columns or spec.vector_files for spec in specs)
    inputs = [*events, *(tables if has_vectors else ())]
    kinds = [(file.kind, file.size) for file in inputs]
    return beam_job.with_shards(options, kinds, _TEXT_BYTES_PER_SHARD)


def vector_files(spec: InstallSpec) -> list[InputFile]:
    """The .npy files of a spec that is located."""
    return [file for path in spec.vector_files for file in match_files(path)]


class Checked(NamedTuple):
    """Bad records, counted.

    Attributes:
      bad: (counter, problems.Found).
      may_continue: one element, there once they are known not to be too many.
    """

    bad: beam.PCollection
    may_continue: beam.PCollection


class CheckBadRecords(beam.PTransform):
    """Ends the job if there are more bad records than allowed.

    Takes PCollections of (counter, bad record).

    Args:
      kinds: the counters; records of the first are shown first.
      max_bad_records: how many there may be in all.
      directory: the dataset directory being written.
    """

    def __init__(self, kinds: Sequence[str], max_bad_records: int, directory: str):
        super().__init__()
        self._kinds = kinds
        self._max_bad_records = max_bad_records
        self._directory = directory

    def expand(self, records: Sequence[beam.PCollection]) -> Checked:
        """Counts them, and checks the counts together."""
        bad = (
            records
            | "BadRecords" >> beam.Flatten()
            | "ShowBad" >> beam.CombinePerKey(problems.CountAndShow())
        )
        may_continue = (
            bad.pipeline
            | "OneCheck" >> beam.Create([None])
            | "Check"
            >> beam.Map(
                _check_bad, AsDict(bad), self._kinds, self._max_bad_records, self._directory
            )
        )
        return Checked(bad, may_continue)


def _check_bad(
    unused_none: None,
    found: Mapping[str, problems.Found],
    kinds: Sequence[str],
    limit: int,
    directory: str,
) -> None:
    problems.check_bad(
        problems.add(found[kind] for kind in kinds if kind in found), limit, directory
    )


def check_read(counters: Mapping[str, int], log: str, items: str) -> None:
    """Raises InputError for a log without events that count, or a table of items without rows."""
    if not counters["events"]:
        raise InputError(f"there is no usable event in {log}; is the log empty?")
    if counters["events"] == counters.get(EVENTS_OF_OTHER_KINDS):
        raise InputError(
            f"none of the {counters['events']:,} events in {log} is of a kind that is listed; see "
            "whether --kind_column is the right one and --kinds writes the kinds as the log does"
        )
    if not counters["item_rows"]:
        raise InputError(f"there is no row with a key in {items}; is the table empty?")


def check_joined(counters: Mapping[str, int], what: str, log: str, table: str, key: str) -> None:
    """Raises InputError for a table that has none of the log's items, or of its users.

    Args:
      counters: of the job.
      what: `items` or `users`.
      log: the log's files.
      table: the table's files.
      key: its column of keys.
    """
    in_pairs = counters[f"{what}_in_pairs"]
    if counters[f"{what}_without_metadata"] == in_pairs:
        raise InputError(
            f"none of the {in_pairs:,} {what} in {log} is in {table}; see whether its column "
            f"{key!r} holds the names that the log uses"
        )


def check_repeated(outcome: beam_job.Outcome, counter: str, what: str, flag: str) -> None:
    """Raises InputError, whose remedy is the flag, for rows with the key of an earlier one.

    Args:
      outcome: of the job.
      counter: of those rows.
      what: `item` or `user`.
      flag: name of the flag that allows them.
    """
    if repeated := outcome.listed.get(counter):
        raise InputError(
            f"{repeated[0]:,} rows of the {what} table have the key of an earlier row:\n"
            f"{problems.listing(repeated)}\n"
            f"Remove them, or keep the first row of each with --{flag}={FIRST}."
        )
