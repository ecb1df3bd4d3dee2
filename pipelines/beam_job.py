"""What the Beam jobs share: options, the runner, counters and the report at the end."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from data_prep import counting, encode, input_files, vocab
from ssl_recsys import cli, schema
from ssl_recsys.errors import InputError

_LOCAL_RUNNERS = (None, "", "DirectRunner", "FnApiRunner")
# Their job server has options of its own, which only it can check.
_JOB_SERVER_RUNNERS = ("PortableRunner", "FlinkRunner", "SparkRunner")
_FACTS_FILE = "facts.json"


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


def run(
    build: Callable[[beam.Pipeline], None], beam_args: Sequence[str]
) -> tuple[dict[str, int], str]:
    """Builds and runs a pipeline and waits for it.

    Returns:
      The pipeline's counters, and the name of the runner.
    """
    options = PipelineOptions(list(beam_args))
    name = options.view_as(StandardOptions).runner
    runner = _local_runner(options) if name in _LOCAL_RUNNERS else name
    pipeline = beam.Pipeline(runner=runner, options=options)
    build(pipeline)
    result = pipeline.run()
    result.wait_until_finish()
    return counting.read_counters(result), name or "DirectRunner"


def _local_runner(options: PipelineOptions) -> Any:
    """Beam's in-process runner.

    `DirectRunner` would first try another one, for which it downloads a program.
    """
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners.portability.fn_api_runner import fn_runner
    from apache_beam.runners.portability.portable_runner import JobServiceHandle

    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    return fn_runner.FnApiRunner(
        provision_info=fn_runner.ExtendedProvisionInfo(
            beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
        )
    )


def show_progress() -> None:
    """Shows the stages' notes on the terminal."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("data_prep")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    for root_handler in logging.getLogger().handlers:
        root_handler.addFilter(_tells_no_input_error)


def _tells_no_input_error(record: logging.LogRecord) -> bool:
    """Leaves out Beam's traceback of an error that the command prints in a line."""
    kind = record.exc_info[0] if record.exc_info else None
    return not (isinstance(kind, type) and issubclass(kind, InputError))


def write_dataset(
    encoded: encode.EncodedDataset, directory: str, sources: Sequence[str], *, seed: int
) -> list[beam.PCollection]:
    """Adds the steps that write a dataset, all but what the driver writes at the end.

    Args:
      encoded: the dataset.
      directory: the dataset directory being written.
      sources: paths of the source files, whose digests are taken.
      seed: of the order of the pairs.

    Returns:
      Facts for `write_facts`: `file`, `num_items`, `num_pairs`, `source` and `vocab_size`.
    """
    files = (
        encoded.items | "WriteCatalog" >> encode.WriteCatalog(directory, encoded.num_items),
        encoded.pairs | "WritePairs" >> encode.WritePairs(directory, encoded.num_pairs, seed=seed),
    )
    facts = {
        "file": files | "Files" >> beam.Flatten(),
        "num_items": encoded.num_items,
        "num_pairs": encoded.num_pairs,
        "source": source_digests(encoded.items.pipeline, sources),
    }
    named = [values | f"Fact_{kind}" >> beam.Map(_fact, kind) for kind, values in facts.items()]
    return [*named, write_vocabularies(encoded.vocabularies, directory)]


def _fact(value: Any, kind: str) -> tuple[str, Any]:
    return kind, value


def write_vocabularies(vocabularies: beam.PCollection, directory: str) -> beam.PCollection:
    """Writes vocabulary files; gives `("vocab_size", (feature, ids))`, id 0 counted."""
    return vocabularies | "WriteVocabularies" >> beam.Map(_write_vocabulary, directory)


def _write_vocabulary(
    vocabulary: tuple[str, Sequence[str]], directory: str
) -> tuple[str, tuple[str, int]]:
    feature, tokens = vocabulary
    path = FileSystems.join(directory, schema.VOCAB_DIR, f"{feature}.txt")
    with encode.create(path) as file:
        file.write(vocab.vocabulary_text(tokens).encode("utf-8"))
    return "vocab_size", (feature, len(tokens) + 1)


def source_digests(pipeline: beam.Pipeline, paths: Sequence[str]) -> beam.PCollection:
    """`(path, sha256)` of each source file."""
    return (
        pipeline
        | "Sources" >> beam.Create(list(paths))
        | "SpreadSources" >> beam.Reshuffle()
        | "Sha256" >> beam.Map(input_files.sha256)
    )


def write_facts(facts: Iterable[beam.PCollection], directory: str) -> None:
    """Writes what the driver must know of a run: `(kind, value)` elements, small and few."""
    path = FileSystems.join(directory, _FACTS_FILE)
    _ = (
        list(facts)
        | "Facts" >> beam.Flatten()
        | "GatherFacts" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
        | "WriteFacts" >> beam.Map(_write_json, path)
    )


def _write_json(value: Any, path: str) -> None:
    with encode.create(path) as file:
        file.write(json.dumps(value).encode("utf-8"))


def take_facts(directory: str) -> dict[str, list[Any]]:
    """Reads and removes what `write_facts` wrote: values by kind, sorted."""
    path = FileSystems.join(directory, _FACTS_FILE)
    with FileSystems.open(path) as file:
        pairs = json.loads(file.read())
    FileSystems.delete([path])
    found: dict[str, list[Any]] = {}
    for kind, value in sorted(pairs):
        found.setdefault(kind, []).append(value)
    return found


def write_dataset_json(directory: str, info: schema.DatasetInfo) -> None:
    """Writes `dataset.json`, the last file of a dataset."""
    with encode.create(FileSystems.join(directory, schema.DATASET_FILE)) as file:
        file.write(schema.to_json(info).encode("utf-8"))


def counter_table(counters: Mapping[str, int], meanings: Mapping[str, str]) -> str:
    """An aligned table: first the counters of `meanings` in its order, then the others."""
    names = [*meanings, *sorted(set(counters) - set(meanings))]
    width = max(len(name) for name in names)
    digits = max(len(f"{counters.get(name, 0):,}") for name in names)
    return "\n".join(
        f"  {name:<{width}}  {counters.get(name, 0):>{digits},}  {meanings.get(name, '')}".rstrip()
        for name in names
    )
