"""Makes a dataset whose queries are users, or their histories, of a log of what they did.

    python -m pipelines.interactions --events=FILE --items=FILE [--users=FILE] --output_dir=DIR

docs/your_own_data.md shows the flags at work, docs/dataset.md what is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import apache_beam as beam

from data_prep import problems
from data_prep.input_files import InputFile, find_files
from data_prep.installs.items import ItemOptions, ReadItems
from data_prep.installs.log_options import LogOptions
from data_prep.installs.pairs import PairOptions, ReadLog
from data_prep.installs.spec import check_columns
from data_prep.interactions import encoding
from data_prep.interactions.counters import (
    ITEM_RECORDS_BAD,
    ITEM_ROWS_REPEATED,
    LOG_RECORDS_BAD,
    USER_RECORDS_BAD,
    USER_ROWS_REPEATED,
    meanings,
)
from data_prep.interactions.dataset import NumberQueries, QueryOptions, SplitQueryPairs
from data_prep.interactions.queries import BY_TIME, SPLITS
from data_prep.interactions.spec import BOTH, QUERIES, InteractionsSpec, make
from data_prep.job_options import HEAD_MEANING
from data_prep.spill import Spill
from data_prep.write import EncodedDataset
from pipelines import beam_job, log_job
from ssl_recsys import schema
from ssl_recsys.errors import InputError
from ssl_recsys.options import option

_BAD = (LOG_RECORDS_BAD, ITEM_RECORDS_BAD, USER_RECORDS_BAD)


@dataclasses.dataclass(frozen=True)
class InteractionsOptions(LogOptions):
    """The job's flags."""

    events: str = option(
        "",
        "Log: .csv, .tsv, .jsonl or .parquet, each also .gz; a comma list or a glob.",
        required="name the log's file, a comma list or a glob",
    )
    items: str = option(
        "",
        "Table of the items, in the same formats.",
        required="name the item table's file, a comma list or a glob",
    )
    users: str = option("", "Table of the users, in the same formats; may be left out.")
    output_dir: str = option(
        "data/interactions", "Directory of the dataset; it must not hold anything yet."
    )
    queries: str = option(
        BOTH,
        "What a query is. users: a user, with an id and the features of the user table. histories: "
        "a user at a moment, by the items that the user had before. both: the same with the user's "
        "id and features, which also serves users without a history.",
        choices=QUERIES,
    )
    history: int = option(50, "Most items of a history, the latest ones.", at_least=1)
    split_by: str = option(
        BY_TIME,
        "time: the latest pairs of all are for testing, those before for validation. last: of "
        "users with at least three moments the last is for testing, the one before for validation.",
        choices=SPLITS,
    )
    validation_fraction: float = option(
        0.1, "Share of the pairs for validation, with --split_by=time.", above=0, below=1
    )
    test_fraction: float = option(
        0.1, "Share of the pairs for testing, with --split_by=time.", above=0, below=1
    )
    head: str = option(schema.HEAD_TOP_FRACTION, HEAD_MEANING, choices=schema.HEAD_RULES)
    duplicates: str = option(
        log_job.ERROR,
        "error: refuse tables with two rows of a key. first: keep the first row.",
        choices=log_job.DUPLICATES,
    )

    def spec(self) -> InteractionsSpec:
        """What the columns mean: the spec file or the defaults, changed by the flags."""
        return make(
            self.features_spec,
            queries=self.queries,
            history=self.history,
            has_table=bool(self.users),
            change=self.changed,
        )

    def recorded(self) -> dict[str, Any]:
        """With the spec."""
        return {**super().recorded(), "spec": self.spec().recorded()}


def find(options: InteractionsOptions) -> beam_job.DataJob:
    """The job over a log and tables."""
    spec = options.spec()
    events = find_files(options.events, "--events")
    items = find_files(options.items, "--items")
    users = find_files(options.users, "--users") if options.users else []
    check_columns(events, _log_columns(spec), "log", spec.items, options.text)
    check_columns(items, spec.items.item_columns(), "item table", spec.items, options.text)
    check_columns(users, spec.users.item_columns(), "user table", spec.users, options.text)
    spec = spec.located([file.path for file in items], [file.path for file in users], options.text)
    specs = [spec.items, spec.users]
    vectors = [file for one in specs for file in log_job.vector_files(one)]
    options = log_job.with_shards(options, events, specs, [*items, *users, *vectors])
    return beam_job.DataJob(
        name=spec.items.name,
        options=options,
        files=[*events, *items, *users, *vectors],
        build=lambda pipeline, directory, spill: _build(
            pipeline, options, spec, (events, items, users), directory, spill
        ),
        features=spec.items.encoded,
        check=lambda outcome: _check(outcome, options, spec),
        meanings=meanings(spec.items.log),
        raw=spec.items.raw,
        train_flags="configs/your_own_users.flags",
        queries=spec.catalog,
        pair_columns=spec.items.log.pair_columns,
    )


def _log_columns(spec: InteractionsSpec) -> list[str]:
    return spec.items.log_columns(needs_time=True, needs_user=True)


def _build(
    pipeline: beam.Pipeline,
    options: InteractionsOptions,
    spec: InteractionsSpec,
    inputs: Sequence[Sequence[InputFile]],
    directory: str,
    spill: Spill,
) -> tuple[EncodedDataset, beam_job.Listed]:
    events, items, users = ([file.path for file in found] for found in inputs)
    log_options = PairOptions(
        log=spec.items.log,
        columns=tuple(_log_columns(spec)),
        window=0,
        max_pairs_per_user=0,
        rule=options.split,
        num_shards=options.num_shards,
        text=options.text,
        named_users=True,
    )
    of_items = ItemOptions(
        spec.items, tuple(items), options.num_shards, options.text, options.vocabulary
    )
    of_users = ItemOptions(spec.users, tuple(users), options.num_shards, options.text)
    query_options = QueryOptions(spec.queries, options.split_by, of_users, of_items)
    log = pipeline | "Logs" >> beam.Create(events) | "ReadLog" >> ReadLog(log_options, directory)
    rows = {
        name: pipeline
        | f"{name}Tables" >> beam.Create(list(enumerate(table.paths)))
        | f"Read{name}" >> ReadItems(table, directory)
        for name, table in (("Items", of_items), ("Users", of_users))
    }
    bad = (log.bad, rows["Items"].bad, rows["Users"].bad)
    checked = bad | "CheckBadRecords" >> log_job.CheckBadRecords(
        _BAD, options.max_bad_records, directory
    )
    numbered = {
        "events": log.events,
        "users": log.users,
        "user_rows": rows["Users"].rows,
        "names": log.names,
        "item_rows": rows["Items"].rows,
    } | "NumberQueries" >> NumberQueries(query_options, checked.may_continue)
    repeated = (
        numbered.repeated
        | "Repeated" >> beam.Flatten()
        | "ShowRepeated" >> beam.CombinePerKey(problems.CountAndShow())
    )
    pairs = numbered.pairs | "Split" >> SplitQueryPairs(options.split)
    return encoding.encode(numbered, pairs, spec, query_options, spill), (checked.bad, repeated)


def _check(outcome: beam_job.Outcome, options: InteractionsOptions, spec: InteractionsSpec) -> None:
    """Refuses tables that do not fit each other, or give no pairs for a split."""
    number = outcome.counters
    log_job.check_read(number, options.events, options.items)
    if not number["pairs"]:
        raise InputError(
            f"{number['events']:,} events in {options.events} give no pair: no user has two "
            "moments; take --queries=users or both, and see whether --timestamp_unit is "
            f"{spec.items.log.timestamp_unit}"
        )
    log_job.check_joined(number, "items", options.events, options.items, spec.items.key)
    if options.users:
        log_job.check_joined(number, "users", options.events, options.users, spec.users.key)
    remedy = (
        "change --validation_fraction and --test_fraction; pairs of the same moment stay together"
        if options.split_by == BY_TIME
        else "it needs users with three moments; take --split_by=time"
    )
    beam_job.check_splits(outcome, options.split_by, remedy)
    if options.duplicates == log_job.ERROR:
        log_job.check_repeated(outcome, ITEM_ROWS_REPEATED, "item", "duplicates")
        log_job.check_repeated(outcome, USER_ROWS_REPEATED, "user", "duplicates")


def make_dataset(options: InteractionsOptions, beam_args: Sequence[str] = ()) -> schema.DatasetInfo:
    """Runs the job, see `beam_job.make_dataset`."""
    return beam_job.make_dataset(beam_job.find_job(find, options, beam_args), beam_args)


if __name__ == "__main__":
    beam_job.run_command(find, InteractionsOptions)
