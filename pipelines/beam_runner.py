"""Runs pipelines and shows their progress on the terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from data_prep import counting
from pipelines import beam_overhead, loopback
from ssl_recsys.errors import InputError

_LOCAL_RUNNERS = (None, "", "DirectRunner", "FnApiRunner")


def run(build: Callable[[beam.Pipeline], None], beam_args: Sequence[str]) -> dict[str, int]:
    """Builds and runs a pipeline, waits for it and returns its counters.

    No server of this process listens beyond 127.0.0.1 meanwhile.
    """
    options = beam_overhead.Options(list(beam_args))
    name = options.view_as(StandardOptions).runner
    runner = _local_runner(options) if _is_local(name) else name
    pipeline = beam.Pipeline(runner=runner, options=options)
    with loopback.only(), beam_overhead.signatures_once():
        build(pipeline)
        result = pipeline.run()
        result.wait_until_finish()
    return counting.read_counters(result)


def is_local(beam_args: Sequence[str]) -> bool:
    """Whether Beam's in-process runner is to run the pipeline."""
    return _is_local(beam_overhead.Options(list(beam_args)).view_as(StandardOptions).runner)


def _is_local(name: str | None) -> bool:
    return name in _LOCAL_RUNNERS


def _local_runner(options: PipelineOptions) -> Any:
    """Beam's in-process runner.

    `DirectRunner` would first try a different one, for which it downloads a program.
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
        root_handler.addFilter(_is_no_input_error)


def _is_no_input_error(record: logging.LogRecord) -> bool:
    """Leaves out Beam's traceback of an error that the command prints in a line."""
    kind = record.exc_info[0] if record.exc_info else None
    return not (isinstance(kind, type) and issubclass(kind, InputError))
