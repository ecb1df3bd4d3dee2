"""Makes a dataset of a log of installs (or views, or purchases) and a table of items.

    python -m pipelines.app_install --installs=FILE --apps=FILE --output_dir=DIR [Beam options]

docs/your_own_data.md shows the flags at work, docs/dataset.md what is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import apache_beam as beam

from data_prep import problems
from data_prep.input_files import InputFile, find_files
from data_prep.installs import counters, logs
from data_prep.installs.counters import ITEM_RECORDS_BAD, ITEM_ROWS_REPEATED, LOG_RECORDS_BAD
from data_prep.installs.dataset import NumberItems, SplitPairs
from data_prep.installs.encoding import encode_items
from data_prep.installs.items import ItemOptions, ReadItems
from data_prep.installs.log_options import LogOptions
from data_prep.installs.log_spec import HISTORY
from data_prep.installs.logs import BY_TIME, BY_USER
from data_prep.installs.pairs import MakePairs, PairOptions, ReadLog
from data_prep.installs.spec import InstallSpec, check_columns, read_spec
from data_prep.job_options import HEAD_MEANING
from data_prep.spill import Spill
from data_prep.write import EncodedDataset
from pipelines import beam_job, log_job
from ssl_recsys import schema
from ssl_recsys.errors import InputError
from ssl_recsys.options import option

_BAD = (LOG_RECORDS_BAD, ITEM_RECORDS_BAD)


@dataclasses.dataclass(frozen=True)
class AppInstallOptions(LogOptions):
    """The job's flags."""

    installs: str = option(
        "",
        "Log: .csv, .tsv, .jsonl or .parquet, each also .gz; a comma list or a glob.",
        required="name the log's file, a comma list or a glob",
    )
    apps: str = option(
        "",
        "Table of the items, in the same formats.",
        required="name the item table's file, a comma list or a glob",
    )
    output_dir: str = option(
        "data/app_install", "Directory of the dataset; it must not hold anything yet."
    )
    log_kind: str = option(
        "",
        "history: the log has user, item, timestamp, and pairs are made by --window. landing_page: "
        "it has seed, candidate, timestamp, and is taken as it is.",
    )
    seed_column: str = option("", "Column of a landing-page log with the seed (seed).")
    candidate_column: str = option(
        "", "Column of a landing-page log with the candidate (candidate)."
    )
    window: str = option("1d", "How much earlier a user must have had the seed: 1d, 12h, 30min.")
    max_pairs_per_user: int = option(
        20_000,
        "Most pairs of one user, taken evenly from the history; 0: no limit.",
        at_least=0,
    )
    split_by: str = option(
        BY_TIME,
        "time: the latest pairs are for testing, those before for validation. user: a user's pairs "
        "stay together. pair: equal pairs stay together. item: pairs that touch a test item are "
        "for testing, so that whole items are held out.",
        choices=logs.SPLITS,
    )
    validation_fraction: float = option(
        0.1, "Share of the pairs (or users, or items) for validation.", above=0, below=1
    )
    test_fraction: float = option(
        0.1, "Share of the pairs (or users, or items) for testing.", above=0, below=1
    )
    head: str = option(
        schema.HEAD_TOP_FRACTION,
        HEAD_MEANING,
        choices=schema.HEAD_RULES,
    )
    popularity_from_training: bool = option(
        False,
        "Make the feature popularity the number of training pairs that lead to the item; published "
        "counts may know the future.",
    )
    duplicate_items: str = option(
        log_job.ERROR,
        "error: refuse an item table with two rows of a key. first: keep the first row.",
        choices=log_job.DUPLICATES,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        logs.parse_duration(self.window)

    def spec(self) -> InstallSpec:
        """What the columns mean: the spec file or the defaults, changed by the flags."""
        spec = read_spec(self.features_spec) if self.features_spec else InstallSpec()
        spec = self.changed(
            spec, kind=self.log_kind, seed=self.seed_column, candidate=self.candidate_column
        )
        if spec.log.kind_feature:
            raise InputError(
                "kind_feature is for queries that are users, and here they are items: make the "
                "dataset with pipelines.interactions, or leave the field out"
            )
        return spec.with_popularity_from_training() if self.popularity_from_training else spec

    def recorded(self) -> dict[str, Any]:
        """With the spec."""
        return {**super().recorded(), "spec": self.spec().recorded()}


def find(options: AppInstallOptions) -> beam_job.DataJob:
    """The job over logs and item tables."""
    spec = options.spec()
    events = find_files(options.installs, "--installs")
    apps = find_files(options.apps, "--apps")
    check_columns(events, _log_columns(options, spec), "log", spec, options.text)
    check_columns(apps, spec.item_columns(), "item table", spec, options.text)
    spec = spec.located([file.path for file in apps], options.text)
    vectors = log_job.vector_files(spec)
    options = log_job.with_shards(options, events, [spec], [*apps, *vectors])
    return beam_job.DataJob(
        name=spec.name,
        options=options,
        files=[*events, *apps, *vectors],
        build=lambda pipeline, directory, spill: _build(
            pipeline, options, spec, events, apps, directory, spill
        ),
        features=spec.encoded,
        check=lambda outcome: _check(outcome, options, spec),
        meanings=counters.meanings(spec.log),
        raw=spec.raw,
        train_flags="configs/your_own.flags" if options.features_spec else "configs/aai_best.flags",
        pair_columns=spec.log.pair_columns,
    )


def _log_columns(options: AppInstallOptions, spec: InstallSpec) -> list[str]:
    return spec.log_columns(
        needs_time=options.split_by == BY_TIME, needs_user=options.split_by == BY_USER
    )


def _build(
    pipeline: beam.Pipeline,
    options: AppInstallOptions,
    spec: InstallSpec,
    events: Sequence[InputFile],
    apps: Sequence[InputFile],
    directory: str,
    spill: Spill,
) -> tuple[EncodedDataset, beam_job.Listed]:
    pair_options = PairOptions(
        log=spec.log,
        columns=tuple(_log_columns(options, spec)),
        window=logs.parse_duration(options.window),
        max_pairs_per_user=options.max_pairs_per_user,
        rule=options.split,
        num_shards=options.num_shards,
        text=options.text,
    )
    paths = tuple(file.path for file in apps)
    item_options = ItemOptions(spec, paths, options.num_shards, options.text, options.vocabulary)
    log = (
        pipeline
        | "Logs" >> beam.Create([file.path for file in events])
        | "ReadLog" >> ReadLog(pair_options, directory)
    )
    items = (
        pipeline
        | "ItemTables" >> beam.Create(list(enumerate(paths)))
        | "ReadItems" >> ReadItems(item_options, directory)
    )
    checked = (log.bad, items.bad) | "CheckBadRecords" >> log_job.CheckBadRecords(
        _BAD, options.max_bad_records, directory
    )
    numbered = {
        "pairs": log.events | "MakePairs" >> MakePairs(pair_options),
        "names": log.names,
        "rows": items.rows,
    } | "NumberItems" >> NumberItems(item_options, checked.may_continue)
    repeated = numbered.repeated | "ShowRepeated" >> beam.CombinePerKey(problems.CountAndShow())
    pairs = numbered.pairs | "SplitPairs" >> SplitPairs(options.split)
    encoded, _ = encode_items(numbered.items, numbered.item_counts, pairs, item_options, spill)
    return encoded, (checked.bad, repeated)


def _check(outcome: beam_job.Outcome, options: AppInstallOptions, spec: InstallSpec) -> None:
    """Refuses tables that do not fit each other, or give no pairs for a split."""
    number = outcome.counters
    log_job.check_read(number, options.installs, options.apps)
    if not number["pairs"]:
        raise InputError(
            f"{number['events']:,} events in {options.installs} give no pair: no user has two "
            f"items within --window={options.window}; make it longer, and see whether "
            f"--timestamp_unit is {spec.log.timestamp_unit}"
            if spec.log.kind == HISTORY
            else f"in all {number['events']:,} pairs of {options.installs} the seed is the "
            "candidate; see whether the columns are the right ones"
        )
    log_job.check_joined(number, "items", options.installs, options.apps, spec.key)
    remedy = "change --validation_fraction and --test_fraction"
    by_time = "; pairs of the same moment stay together"
    beam_job.check_splits(
        outcome,
        options.split_by,
        remedy + (by_time if options.split_by == BY_TIME else ", or --split_seed"),
    )
    if options.duplicate_items == log_job.ERROR:
        log_job.check_repeated(outcome, ITEM_ROWS_REPEATED, "item", "duplicate_items")


def make_dataset(options: AppInstallOptions, beam_args: Sequence[str] = ()) -> schema.DatasetInfo:
    """Runs the job, see `beam_job.make_dataset`."""
    return beam_job.make_dataset(beam_job.find_job(find, options, beam_args), beam_args)


if __name__ == "__main__":
    beam_job.run_command(find, AppInstallOptions)
