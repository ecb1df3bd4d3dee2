"""The skeleton of a data job: options, input, build, check, counters, write, report.

A job is a `JobOptions` class with its flags, and a function that finds the input and makes a
`DataJob`; `run_command` makes a command of them.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from data_prep import encode, input_files, output_dir, probe, problems, spill, write
from data_prep.dataset_files import WrittenFile
from data_prep.facts import take_facts, write_facts
from data_prep.input_files import InputFile
from data_prep.job_options import MAX_SHARDS, JobOptions
from pipelines import beam_runner
from ssl_recsys import cli, schema
from ssl_recsys.errors import InputError
from ssl_recsys.features import FeatureSpec
from ssl_recsys.raw.rules import RawItem

# Their job server has options of its own, which only it can check.
_JOB_SERVER_RUNNERS = ("PortableRunner", "FlinkRunner", "SparkRunner")
# Bytes of text in a byte of a file, about, by kind of file.
_TEXT_BYTES = {"bz2": 4, "gz": 4, "xz": 5, "parquet": 5}

# Collections of (counter, problems.Found), for records that are counted and shown to the user.
Listed = Sequence[beam.PCollection]
AnyJobOptions = TypeVar("AnyJobOptions", bound=JobOptions)


class Outcome(NamedTuple):
    """The counts of a finished pipeline.

    Attributes:
      counters: its counters, and the numbers of listed records.
      num_pairs: numbers of pairs by split.
      listed: records to be shown to the user, by counter.
    """

    counters: dict[str, int]
    num_pairs: dict[str, int]
    listed: dict[str, problems.Found]


@dataclasses.dataclass(frozen=True)
class DataJob:
    """A run of a data job over its input, found and checked.

    Attributes:
      name: of the dataset.
      options: the flags, with the number of shards.
      files: the source files.
      build: adds the steps from the files to records: from the pipeline, the directory being
        written and a `Spill` to the dataset, and records to be listed.
      features: from sizes of vocabularies, id 0 counted, to the dataset's features.
      check: raises InputError for a dataset that nothing can be learnt or measured with.
      meanings: of the counters, in the order of the table at the end.
      train_flags: flag file to train with.
      raw: from the counters to the rules by which features are made of raw columns.
      warnings: by counters that the user is warned of.
      queries: from sizes of vocabularies, the counters and the number of queries to their catalog;
        None where a query is an item.
      pair_columns: the optional columns of its pairs, see `schema.DatasetInfo`.
    """

    name: str
    options: JobOptions
    files: Sequence[InputFile]
    build: Callable[[beam.Pipeline, str, spill.Spill], tuple[write.EncodedDataset, Listed]]
    features: Callable[[Mapping[str, int]], tuple[FeatureSpec, ...]]
    check: Callable[[Outcome], None]
    meanings: Mapping[str, str]
    train_flags: str
    raw: Callable[[Mapping[str, int]], RawItem | None]
    warnings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    queries: Callable[[Mapping[str, int], Mapping[str, int], int], schema.QueryCatalog] | None = (
        None
    )
    pair_columns: Mapping[str, int] = dataclasses.field(default_factory=dict)


def run_command(
    find: Callable[[AnyJobOptions], DataJob], options_class: type[AnyJobOptions]
) -> None:
    """Makes a command of a job: its flags, then options of Apache Beam."""
    beam_args: list[str] = []

    def parse(argv: Sequence[str]) -> list[str]:
        program, *rest = parse_flags(argv)
        beam_args.extend(rest)
        return [program]

    def main(options: AnyJobOptions) -> None:
        beam_runner.show_progress()
        started = time.monotonic()
        job = find_job(find, options, beam_args)
        info = make_dataset(job, beam_args)
        _report(job, info, time.monotonic() - started)

    cli.run(main, options_class, parse)


def parse_flags(argv: Sequence[str]) -> list[str]:
    """Parses absl flags and checks that Beam knows all that is left.

    Returns:
      The program's name and the options for Beam.

    Raises:
      InputError: for an option that neither knows, or a value that Beam refuses.
    """
    program, *rest = cli.parse_known_flags(argv)
    parser = _Parser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(cast(Any, parser))
    known, unknown = parser.parse_known_args(rest)
    if unknown and known.runner not in _JOB_SERVER_RUNNERS:
        raise InputError(
            f"unknown option {unknown[0]!r}: it is neither a flag of this job nor an option of "
            "Apache Beam (--help lists the flags)"
        )
    return [program, *rest]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise InputError(f"{message} (an option of Apache Beam)")


def find_job(
    find: Callable[[AnyJobOptions], DataJob],
    options: AnyJobOptions,
    beam_args: Sequence[str] = (),
) -> DataJob:
    """The job over its input, which is looked for with Beam's options for file systems.

    Beam itself would set them with the pipeline, which comes later.
    """
    FileSystems.set_options(PipelineOptions(list(beam_args)))
    return find(options)


def make_dataset(job: DataJob, beam_args: Sequence[str] = ()) -> schema.DatasetInfo:
    """Runs a job.

    Raises:
      InputError: if the input cannot be used or gives no dataset; nothing is written then.
    """
    options = job.options
    with output_dir.staged(options.output_dir, overwrite=options.overwrite) as staging:
        probe.leave(staging, job.files)
        try:
            with _spill(options.spill_dir, staging, beam_args) as shared:
                counters = beam_runner.run(
                    lambda pipeline: _build(job, pipeline, staging, shared), beam_args
                )
        except Exception as error:
            if message := problems.read_report(staging) or problems.unreported(error):
                raise InputError(message) from error
            raise
        probe.remove(staging)
        facts = take_facts(staging)
        listed = {name: tuple(found) for name, found in facts.get("listed", [])}
        counters |= {name: number for name, (number, _) in listed.items()}
        num_pairs = dict(zip(schema.PAIR_SPLITS, facts["num_pairs"][0], strict=True))
        outcome = Outcome(dict.fromkeys(job.meanings, 0) | counters, num_pairs, listed)
        job.check(outcome)
        sha256 = dict(facts["source"])
        files = [encode.FileStats(*file) for file in facts["file"]]
        vocabularies = [write.VocabularyStats(*file) for file in facts.get("vocabulary", [])]
        sizes = {file.feature: file.num_ids for file in vocabularies}
        queries = None
        if job.queries:
            queries = job.queries(sizes, outcome.counters, facts["num_queries"][0])
        info = schema.DatasetInfo(
            name=job.name,
            features=job.features(sizes),
            num_items=facts["num_items"][0],
            num_pairs=num_pairs,
            head=options.head_rule,
            split=dataclasses.asdict(options.split),
            counters=outcome.counters,
            sources=[
                {"path": file.path, "bytes": file.size, "sha256": sha256[file.path]}
                for file in job.files
            ],
            options=options.recorded(),
            raw=job.raw(outcome.counters),
            queries=queries,
            pair_columns=job.pair_columns,
        )
        scales = [WrittenFile(*file) for file in facts.get("scale", [])]
        write.write_info(staging, files, vocabularies, info, scales)
    return info


def _spill(
    directory: str, staging: str, beam_args: Sequence[str]
) -> contextlib.AbstractContextManager[spill.Spill]:
    """Where to keep what passes between steps, which only the local runner asks for."""
    if beam_runner.is_local(beam_args):
        return spill.opened(directory, staging)
    if directory:
        raise InputError(
            "--spill_dir is for the local runner; leave it out: clusters have such directories in "
            "their own settings"
        )
    return contextlib.nullcontext(spill.NO_SPILL)


def _build(
    job: DataJob,
    pipeline: beam.Pipeline,
    directory: str,
    shared: spill.Spill = spill.NO_SPILL,
) -> None:
    """Adds all steps: the job's own, and those that write its dataset."""
    encoded, listed = job.build(pipeline, directory, shared)
    facts = write.write_encoded(encoded, directory, job.options.split_seed, shared)
    facts["source"] = (
        pipeline
        | "Sources" >> beam.Create([file.path for file in job.files])
        | "SpreadSources" >> beam.Reshuffle()
        | "Sha256" >> beam.Map(_sha256, directory)
    )
    if listed:
        facts["listed"] = listed | "Listed" >> beam.Flatten()
    write_facts(facts, directory)


def _sha256(path: str, directory: str) -> tuple[str, str]:
    with problems.reported(directory):
        return input_files.sha256(path)


def with_shards(
    options: AnyJobOptions, files: Iterable[tuple[str, int]], bytes_per_shard: int
) -> AnyJobOptions:
    """The options with a number of shards, if they leave it open.

    Args:
      options: the flags.
      files: kind (xml, bz2, gz, ...) and size of each file that the shards divide.
      bytes_per_shard: text of a shard that fits a worker's memory.
    """
    text_bytes = sum(size * _TEXT_BYTES.get(kind, 1) for kind, size in files)
    num_shards = max(1, min(MAX_SHARDS, -(-text_bytes // bytes_per_shard)))
    return dataclasses.replace(options, num_shards=options.num_shards or num_shards)


def check_splits(outcome: Outcome, split_by: str, remedy: str) -> None:
    """Raises InputError, which ends in `remedy`, for a split without pairs."""
    empty = [split for split, pairs in outcome.num_pairs.items() if not pairs]
    if empty:
        raise InputError(
            f"the split by {split_by} leaves no pairs for {' and '.join(empty)} "
            f"(of {sum(outcome.num_pairs.values()):,} in all): {remedy}"
        )


def _report(job: DataJob, info: schema.DatasetInfo, seconds: float) -> None:
    directory = job.options.output_dir
    print(f"\n{counter_table(info.counters, job.meanings)}\n")
    for name, warning in job.warnings.items():
        if info.counters.get(name):
            print(f"warning: {warning} ({name}: {info.counters[name]})", file=sys.stderr)
    pairs = ", ".join(f"{count:,} {split}" for split, count in info.num_pairs.items())
    print(
        f"Wrote {info.num_items:,} items and {sum(info.num_pairs.values()):,} pairs ({pairs}) to "
        f"{directory} in {seconds:.0f} s.\n"
        f"Train on it: python -m ssl_recsys.train --flagfile={job.train_flags} "
        f"--data_dir={directory}"
    )


def counter_table(counters: Mapping[str, int], meanings: Mapping[str, str]) -> str:
    """An aligned table: first the counters of `meanings` in its order, then the others."""
    names = [*meanings, *sorted(set(counters) - set(meanings))]
    width = max(len(name) for name in names)
    digits = max(len(f"{counters.get(name, 0):,}") for name in names)
    return "\n".join(
        f"  {name:<{width}}  {counters.get(name, 0):>{digits},}  {meanings.get(name, '')}".rstrip()
        for name in names
    )
