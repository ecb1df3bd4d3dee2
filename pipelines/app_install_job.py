"""The app-install job: its steps, and what it checks before and after."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsDict

from data_prep import encode, output_dir, problems, tables
from data_prep.input_files import InputFile, find_files
from data_prep.installs.dataset import Numbered, NumberItems, SplitPairs
from data_prep.installs.encoding import encode_items
from data_prep.installs.items import ITEM_RECORDS_BAD, ITEM_ROWS_REPEATED, ItemOptions, ReadItems
from data_prep.installs.logs import BY_TIME, BY_USER, parse_duration
from data_prep.installs.pairs import LOG_RECORDS_BAD, MakePairs, PairOptions, ReadLog
from data_prep.installs.spec import HISTORY, InstallSpec
from pipelines import beam_job
from pipelines.app_install_options import ERROR, AppInstallOptions
from ssl_recsys import schema
from ssl_recsys.errors import InputError

_BYTES_PER_SHARD = 16 << 20
_MAX_SHARDS = 1024
_COMPRESSION = 5

# In the order of the table at the end.
COUNTERS = {
    LOG_RECORDS_BAD: "dropped: records of the log that cannot be read",
    "events": "events in the log",
    "events_repeated": "dropped: the user had the item before",
    "users": "users with a history",
    "users_over_cap": "of these, over --max_pairs_per_user",
    "pairs_over_user_cap": "dropped: over --max_pairs_per_user",
    "pairs_with_itself": "dropped: seed and candidate are the same item",
    "pairs": "ordered (seed, candidate) pairs",
    ITEM_RECORDS_BAD: "rows or values of the item table that cannot be read",
    "item_rows": "rows of the item table",
    ITEM_ROWS_REPEATED: "dropped: an earlier row has the key",
    "items": "records of the catalog",
    "items_in_pairs": "items that occur in pairs",
    "items_without_pair": "items that occur in no pair",
    "items_without_metadata": "items that the log has and the item table has not",
    "items_without_id": "items with id 0: in no training pair, or rare there",
}


def make_dataset(options: AppInstallOptions, beam_args: Sequence[str] = ()) -> schema.DatasetInfo:
    """Runs the job.

    Raises:
      InputError: if the input cannot be used or gives no dataset; nothing is written then.
    """
    output_dir.check_free(options.output_dir, overwrite=options.overwrite)
    spec = options.spec()
    logs = find_files(options.installs, "--installs")
    apps = find_files(options.apps, "--apps")
    log_columns = spec.log_columns(
        needs_time=options.split_by == BY_TIME,
        needs_user=options.split_by == BY_USER,
    )
    _check_columns(logs, log_columns, "log", spec, options.text)
    _check_columns(apps, spec.item_columns(), "item table", spec, options.text)
    with output_dir.staged(options.output_dir, overwrite=options.overwrite) as staging:
        job = _Job(options, spec, tuple(log_columns), logs, apps, staging)
        try:
            counters, _ = beam_job.run(job.build, beam_args)
        except Exception as error:
            if message := problems.stopped_with(staging):
                raise InputError(message) from error
            raise
        facts = beam_job.take_facts(staging)
        info = _dataset_info(options, spec, [*logs, *apps], counters, facts)
        encode.write_metadata(staging, [tuple(file) for file in facts["file"]], info.features)
        beam_job.write_dataset_json(staging, info)
    return info


def _check_columns(
    files: Sequence[InputFile],
    wanted: Sequence[str],
    what: str,
    spec: InstallSpec,
    text: tables.TextFormat,
) -> None:
    for file in files:
        names = tables.column_names(file.path, text)
        missing = [name for name in wanted if name not in names]
        if not missing:
            continue
        hint = "name the right ones with --features_spec or the --..._column flags"
        if what == "log" and spec.log.kind == HISTORY and {"seed", "candidate"} <= {*names}:
            hint = "for a log of seeds and candidates add --log_kind=landing_page"
        if what == "log" and spec.log.kind != HISTORY and missing == [spec.log.timestamp]:
            hint = (
                "only a split by time needs it: name the column with --timestamp_column, or add "
                "--split_by=pair"
            )
        raise InputError(
            f"{file.path} has no column {', '.join(map(repr, missing))}, which the {what} needs; "
            f"its columns are {', '.join(names)}; {hint}"
        )


@dataclasses.dataclass(frozen=True)
class _Job:
    """The pipeline's inputs."""

    options: AppInstallOptions
    spec: InstallSpec
    log_columns: tuple[str, ...]
    logs: Sequence[InputFile]
    apps: Sequence[InputFile]
    staging: str

    def build(self, pipeline: beam.Pipeline) -> None:
        """Adds all steps."""
        num_shards = self.options.num_shards or _auto_shards(self.logs)
        pair_options = PairOptions(
            log=self.spec.log,
            columns=self.log_columns,
            window=parse_duration(self.options.window),
            max_pairs_per_user=self.options.max_pairs_per_user,
            split_by=self.options.split_by,
            num_shards=num_shards,
            text=self.options.text,
        )
        tables_of_items = tuple(file.path for file in self.apps)
        item_options = ItemOptions(self.spec, tables_of_items, num_shards, self.options.text)
        log = (
            pipeline
            | "Logs" >> beam.Create([file.path for file in self.logs])
            | "ReadLog" >> ReadLog(pair_options, self.staging)
        )
        items = (
            pipeline
            | "ItemTables" >> beam.Create(list(enumerate(tables_of_items)))
            | "ReadItems" >> ReadItems(item_options, self.staging)
        )
        bad = (
            (log.bad, items.bad)
            | "BadRecords" >> beam.Flatten()
            | "ShowBad" >> beam.CombinePerKey(problems.CountAndShow())
        )
        may_go_on = (
            pipeline
            | "OneCheck" >> beam.Create([None])
            | "CheckBadRecords"
            >> beam.Map(_check_bad, AsDict(bad), self.options.max_bad_records, self.staging)
        )
        numbered = {
            "pairs": log.events | "MakePairs" >> MakePairs(pair_options),
            "names": log.names,
            "rows": items.rows,
        } | "NumberItems" >> NumberItems(item_options, may_go_on)
        repeated = numbered.repeated | "ShowRepeated" >> beam.CombinePerKey(problems.CountAndShow())
        self._write(numbered, item_options, [bad, repeated])

    def _write(
        self,
        numbered: Numbered,
        item_options: ItemOptions,
        found: Sequence[beam.PCollection],
    ) -> None:
        """Adds the steps from numbered items and pairs to files; `found` are facts already."""
        pairs = numbered.pairs | "SplitPairs" >> SplitPairs(self.options.split)
        encoded = encode_items(numbered.items, numbered.item_counts, pairs, item_options)
        paths = [file.path for file in (*self.logs, *self.apps)]
        facts = beam_job.write_dataset(encoded, self.staging, paths, seed=self.options.split_seed)
        beam_job.write_facts([*facts, *found], self.staging)


def _auto_shards(logs: Sequence[InputFile]) -> int:
    text_bytes = sum(
        file.size * (_COMPRESSION if file.path.endswith((".gz", ".parquet")) else 1)
        for file in logs
    )
    return min(_MAX_SHARDS, -(-text_bytes // _BYTES_PER_SHARD))


def _check_bad(
    unused_none: None, found: Mapping[str, problems.Found], limit: int, directory: str
) -> None:
    kinds = (LOG_RECORDS_BAD, ITEM_RECORDS_BAD)
    problems.check_bad(
        problems.add(found[kind] for kind in kinds if kind in found), limit, directory
    )


def _dataset_info(
    options: AppInstallOptions,
    spec: InstallSpec,
    files: Sequence[InputFile],
    counters: Mapping[str, int],
    facts: Mapping[str, Any],
) -> schema.DatasetInfo:
    """Puts `dataset.json` together.

    Raises:
      InputError: for a dataset that nothing can be learnt or measured with.
    """
    listed = (LOG_RECORDS_BAD, ITEM_RECORDS_BAD, ITEM_ROWS_REPEATED)
    found = {name: facts.get(name, [(0, [])])[0] for name in listed}
    counters = {**counters, **{name: number for name, (number, _) in found.items()}}
    num_pairs = dict(zip(schema.PAIR_SPLITS, facts["num_pairs"][0], strict=True))
    _check_result(counters, num_pairs, options, spec)
    if options.duplicate_items == ERROR and found[ITEM_ROWS_REPEATED][0]:
        raise InputError(
            f"{found[ITEM_ROWS_REPEATED][0]:,} rows of the item table have the key of an earlier "
            f"row:\n{problems.listing(found[ITEM_ROWS_REPEATED])}\n"
            "Remove them, or keep the first row of each with --duplicate_items=first."
        )
    sizes = dict(facts.get("vocab_size", []))  # none if all features are dense
    digests = dict(facts["source"])
    return schema.DatasetInfo(
        name=spec.name,
        features=tuple(feature.encoded(sizes.get(feature.name, 0)) for feature in spec.features),
        num_items=facts["num_items"][0],
        num_pairs=num_pairs,
        head=options.head,
        split={**options.split.fractions.as_dict(), "by": options.split_by},
        counters=dict.fromkeys(COUNTERS, 0) | dict(counters),
        sources=[
            {"path": file.path, "bytes": file.size, "sha256": digests[file.path]} for file in files
        ],
        options=options.recorded(),
    )


def _check_result(
    counters: Mapping[str, int],
    num_pairs: Mapping[str, int],
    options: AppInstallOptions,
    spec: InstallSpec,
) -> None:
    number = {name: counters.get(name, 0) for name in COUNTERS}
    if not number["events"]:
        raise InputError(f"there is no usable event in {options.installs}; is the log empty?")
    if not number["item_rows"]:
        raise InputError(f"there is no row with a key in {options.apps}; is the table empty?")
    if not number["pairs"]:
        raise InputError(
            f"{number['events']:,} events in {options.installs} give no pair: no user has two "
            f"items within --window={options.window}; make it longer, and see whether "
            f"--timestamp_unit is {spec.log.timestamp_unit}"
            if spec.log.kind == HISTORY
            else f"in all {number['events']:,} events of {options.installs} the seed is the "
            "candidate; see whether the columns are the right ones"
        )
    if number["items_without_metadata"] == number["items_in_pairs"]:
        raise InputError(
            f"none of the {number['items_in_pairs']:,} items in {options.installs} is in "
            f"{options.apps}; see whether its column {spec.key!r} holds the names that the log uses"
        )
    empty = [name for name, pairs in num_pairs.items() if not pairs]
    if empty:
        raise InputError(
            f"the split by {options.split_by} leaves no pairs for {' and '.join(empty)} (of "
            f"{number['pairs']:,} in all): change --validation_fraction and --test_fraction"
            + (
                "; pairs of the same moment stay together"
                if options.split_by == BY_TIME
                else ", or --split_seed"
            )
        )
