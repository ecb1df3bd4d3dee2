"""The skeleton of a data job: options, input, build, check, counters, write, report.

A job is a `JobOptions` class with its flags and a `DataJob` with its steps; `run_command` makes a
command of them.
"""

from __future__ import annotations

import abc
import dataclasses
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import apache_beam as beam

from data_prep import encode, input_files, output_dir, problems, write
from data_prep.facts import take_facts, write_facts
from data_prep.input_files import InputFile
from data_prep.splits import SplitRule
from pipelines import beam_runner
from ssl_recsys import cli, schema
from ssl_recsys.errors import InputError
from ssl_recsys.features import FeatureSpec
from ssl_recsys.options import Options, option

_MAX_SHARDS = 4096
# Bytes of text in a byte of a file, about, by kind of file.
_TEXT_BYTES = {"bz2": 4, "gz": 4, "xz": 5, "parquet": 5}


@dataclasses.dataclass(frozen=True)
class JobOptions(Options):
    """The flags that all data jobs have."""

    output_dir: str = option("", "Directory of the dataset; it must not hold anything yet.")
    overwrite: bool = option(
        False, "Replace the dataset at --output_dir, once the new one is whole."
    )
    split_by: str = option("", "How pairs are divided.")
    split_seed: int = option(0, "Different seeds give different divisions and orders of the pairs.")
    validation_fraction: float = option(0.05, "Share for validation.", above=0, below=1)
    test_fraction: float = option(0.05, "Share for testing.", above=0, below=1)
    num_shards: int = option(
        0,
        "Parts that collections are joined in; 0 chooses by the input's size. The dataset does "
        "not depend on it.",
        at_least=0,
        at_most=_MAX_SHARDS,
    )

    # Settings that the dataset does not depend on.
    unrecorded: ClassVar[tuple[str, ...]] = ("output_dir", "overwrite", "num_shards")

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.split  # checks the seed and the sum of the fractions

    @property
    def split(self) -> SplitRule:
        """How pairs are divided."""
        return SplitRule(
            self.split_by, self.split_seed, self.validation_fraction, self.test_fraction
        )

    def recorded(self) -> dict[str, Any]:
        """The options that the dataset depends on, for `dataset.json`."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if name not in self.unrecorded}


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


AnyJobOptions = TypeVar("AnyJobOptions", bound=JobOptions)


class DataJob(abc.ABC, Generic[AnyJobOptions]):
    """One run of a data job.

    Attributes:
      meanings: of the counters, in the order of the table at the end.
      warnings: counters that a user should hear of, with the warning.
      train_flags: flag file to train with.
      bytes_per_shard: text of a shard that fits a worker's memory.
      options: the flags.
      files: the source files.
    """

    meanings: ClassVar[Mapping[str, str]]
    warnings: ClassVar[Mapping[str, str]] = {}
    train_flags: ClassVar[str]
    bytes_per_shard: ClassVar[int]

    files: Sequence[InputFile]

    def __init__(self, options: AnyJobOptions):
        """Finds and checks the input."""
        self.options = options

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Name of the dataset."""

    @property
    def head(self) -> schema.HeadRule:
        """Which items are the head."""
        return schema.HeadRule()

    def kinds(self) -> Iterable[tuple[str, int]]:
        """Kind (xml, bz2, gz, ...) and size of each file that the shards divide."""
        return [(file.path.rpartition(".")[2], file.size) for file in self.files]

    @abc.abstractmethod
    def build(
        self, pipeline: beam.Pipeline, num_shards: int, directory: str
    ) -> tuple[write.EncodedDataset, Sequence[beam.PCollection]]:
        """Adds the steps from the files to records.

        Returns:
          The dataset, and collections of (counter, problems.Found) to be listed.
        """

    @abc.abstractmethod
    def features(self, vocab_sizes: Mapping[str, int]) -> tuple[FeatureSpec, ...]:
        """The dataset's features; `vocab_sizes` counts id 0."""

    @abc.abstractmethod
    def check(self, outcome: Outcome) -> None:
        """Raises InputError for a dataset that nothing can be learnt or measured with."""

    def check_splits(self, outcome: Outcome, remedy: str) -> None:
        """Raises InputError, which ends in `remedy`, for a split without pairs."""
        empty = [split for split, pairs in outcome.num_pairs.items() if not pairs]
        if empty:
            raise InputError(
                f"the split by {self.options.split_by} leaves no pairs for {' and '.join(empty)} "
                f"(of {sum(outcome.num_pairs.values()):,} in all): {remedy}"
            )


def run_command(job_class: type[DataJob], options_class: type[JobOptions]) -> None:
    """Makes a command of a job: its flags, then options of Apache Beam."""
    beam_args: list[str] = []

    def parse(argv: Sequence[str]) -> list[str]:
        program, *rest = beam_runner.parse_flags(argv)
        beam_args.extend(rest)
        return [program]

    def main(options: JobOptions) -> None:
        beam_runner.show_progress()
        started = time.monotonic()
        info = make_dataset(job_class, options, beam_args)
        _report(job_class, info, options.output_dir, time.monotonic() - started)

    cli.run(main, options_class, parse)


def make_dataset(
    job_class: type[DataJob], options: JobOptions, beam_args: Sequence[str] = ()
) -> schema.DatasetInfo:
    """Runs a job.

    Raises:
      InputError: if the input cannot be used or gives no dataset; nothing is written then.
    """
    output_dir.check_free(options.output_dir, overwrite=options.overwrite)
    job = job_class(options)
    with output_dir.staged(options.output_dir, overwrite=options.overwrite) as staging:
        try:
            counters = beam_runner.run(lambda pipeline: _build(job, pipeline, staging), beam_args)
        except Exception as error:
            if message := problems.read_report(staging):
                raise InputError(message) from error
            raise
        facts = take_facts(staging)
        listed = {name: tuple(found) for name, found in facts.get("listed", [])}
        num_pairs = dict(zip(schema.PAIR_SPLITS, facts["num_pairs"][0], strict=True))
        counters |= {name: number for name, (number, _) in listed.items()}
        outcome = Outcome(dict.fromkeys(job.meanings, 0) | counters, num_pairs, listed)
        job.check(outcome)
        info = schema.DatasetInfo(
            name=job.name,
            features=job.features(dict(facts["vocab_size"])),
            num_items=facts["num_items"][0],
            num_pairs=num_pairs,
            head=job.head,
            split=dataclasses.asdict(options.split),
            counters=outcome.counters,
            sources=_sources(job.files, dict(facts["source"])),
            options=options.recorded(),
        )
        files = [encode.FileStats(*file) for file in facts["file"]]
        write.write_info(staging, files, info)
    return info


def _sources(files: Sequence[InputFile], sha256: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"path": file.path, "bytes": file.size, "sha256": sha256[file.path]} for file in files]


def auto_shards(kinds: Iterable[tuple[str, int]], bytes_per_shard: int) -> int:
    """How many shards files of these kinds and sizes are joined in."""
    text_bytes = sum(size * _TEXT_BYTES.get(kind, 1) for kind, size in kinds)
    return max(1, min(_MAX_SHARDS, -(-text_bytes // bytes_per_shard)))


def _build(job: DataJob, pipeline: beam.Pipeline, directory: str) -> None:
    """Adds all steps: the job's own, and those that write its dataset."""
    options = job.options
    num_shards = options.num_shards or auto_shards(job.kinds(), job.bytes_per_shard)
    encoded, listed = job.build(pipeline, num_shards, directory)
    write_pairs = write.WritePairs(directory, encoded.num_pairs, seed=options.split_seed)
    files = (
        encoded.items | "WriteCatalog" >> write.WriteCatalog(directory, encoded.num_items),
        encoded.pairs | "WritePairs" >> write_pairs,
    )
    sources = (
        pipeline
        | "Sources" >> beam.Create([file.path for file in job.files])
        | "SpreadSources" >> beam.Reshuffle()
        | "Sha256" >> beam.Map(input_files.sha256)
    )
    facts = {
        "file": files | "Files" >> beam.Flatten(),
        "num_items": encoded.num_items,
        "num_pairs": encoded.num_pairs,
        "source": sources,
        "vocab_size": encoded.vocabularies
        | "WriteVocabularies" >> beam.Map(write.write_vocabulary, directory),
    }
    if listed:
        facts["listed"] = listed | "Listed" >> beam.Flatten()
    write_facts(facts, directory)


def _report(
    job_class: type[DataJob], info: schema.DatasetInfo, directory: str, seconds: float
) -> None:
    print(f"\n{counter_table(info.counters, job_class.meanings)}\n")
    for name, warning in job_class.warnings.items():
        if info.counters.get(name):
            print(f"warning: {warning} ({name}: {info.counters[name]})", file=sys.stderr)
    pairs = ", ".join(f"{count:,} {split}" for split, count in info.num_pairs.items())
    print(
        f"Wrote {info.num_items:,} items and {sum(info.num_pairs.values()):,} pairs ({pairs}) to "
        f"{directory} in {seconds:.0f} s.\n"
        f"Train on it: python -m ssl_recsys.train --flagfile={job_class.train_flags} "
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
