"""The Wikipedia job and its parser against bzip2 decoding, which limits them, and against peers.

    python -m benchmarks.data_prep --dump=DUMP.xml.bz2 --output=FILE.json

The first megabytes of the dump's text are decoded, parsed by us and, a smaller part, by the peers,
in turn on one core each. The whole job runs on a quarter, a half and the whole of the file. Speed
is by processor time (user and system), which other work on the machine changes least; what says so
is by the clock.
"""

from __future__ import annotations

import bz2
import dataclasses
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks import harness, processes, wikitext_peers
from data_prep.wiki import bzip2_blocks, dump_files, sites
from data_prep.wiki.wikitext import MalformedPageError, PageParser
from ssl_recsys.errors import InputError
from ssl_recsys.options import option

_PAGE_END = b"</page>"
_SIZES = {"1x": 0.25, "2x": 0.5, "4x": 1.0}
_PROCESSES = "4x in several processes"


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    """The command's flags."""

    dump: str = option("", "Wikipedia dump, .xml.bz2; empty: a synthetic one.")
    num_items: int = option(40_000, "Articles of the synthetic dump.", at_least=100)
    sample_mb: int = option(20, "MB of text for decoding alone and parsing alone.", at_least=1)
    peer_sample_mb: int = option(2, "MB of text for the peers, which are slow.", at_least=1)
    repetitions: int = option(5, "Timed calls on the samples.", at_least=1)
    job_repetitions: int = option(3, "Timed jobs of each size.", at_least=1)
    cores: int = option(2, "Cores that the job and the decoding beside it may use.", at_least=1)


def measure(options: Options) -> harness.Report:
    """Measures the parts on samples, then the job."""
    with tempfile.TemporaryDirectory(prefix="data_prep") as name:
        scratch = pathlib.Path(name)
        dump = pathlib.Path(options.dump) if options.dump else synthetic_dump(scratch, options)
        with dump.open("rb") as file:
            if file.read(3) != b"BZh":
                raise InputError(f"--dump must be a bzip2 file, whose decoding limits ({dump})")
        rows = measure_parts(dump, scratch, options)
        jobs = _run_jobs(dump, scratch, options)
    usages = {name: [usage._asdict() for usage in found] for name, found in jobs.usages.items()}
    details = {
        "megabytes": jobs.megabytes,
        "jobs": usages,
        "decoding_seconds": jobs.decoding,
        "decoding_cpu_seconds": jobs.decoding_cpu,
    }
    return harness.Report("data_prep", [*rows, *job_rows(jobs)], details)


def synthetic_dump(scratch: pathlib.Path, options: Options) -> pathlib.Path:
    """Writes the dump to `scratch` that is used where none is named."""
    path = scratch / "synthetic.xml.bz2"
    arguments = (f"--num_items={options.num_items}", f"--output={path}")
    processes.run(processes.module("pipelines.synthetic", "--kind=wikipedia", *arguments))
    return path


def measure_parts(dump: pathlib.Path, scratch: pathlib.Path, options: Options) -> list[harness.Row]:
    """MB of XML per second on one core: decoding, our parser, the peers."""
    size = options.sample_mb * 1_000_000
    text = _decode(dump, size)
    peer_text = text[: text.rfind(_PAGE_END, 0, options.peer_sample_mb * 1_000_000)] + _PAGE_END
    sample = scratch / "sample.xml"
    sample.write_bytes(text)
    peers = wikitext_peers.installed(peer_text)
    candidates: dict[str, Callable[[], Any]] = {
        "bzip2 decoding": lambda: _decode(dump, size),
        "our parser": lambda: _parse(sample),
        **peers,
    }
    megabytes = dict.fromkeys(candidates, len(text) / 1e6)
    megabytes.update(dict.fromkeys(peers, len(peer_text) / 1e6))
    timings = harness.interleave(
        candidates, options.repetitions, warmups=1, clock=time.process_time
    )
    rows = [
        harness.Row(f"{name}, one core", timing.rate(megabytes[name]), "MB/s", spread=timing.spread)
        for name, timing in timings.items()
    ]
    rates = {name: timing.rate(megabytes[name]) for name, timing in timings.items()}
    rows += wikitext_peers.missing()
    rows += [
        harness.Row(f"our parser over {name}", rates["our parser"] / rates[name], "x", target)
        for name, target in {"bzip2 decoding": 1, **dict.fromkeys(peers)}.items()
    ]
    return rows


def _decode(dump: pathlib.Path, size: int) -> bytes:
    """The first `size` bytes of text."""
    with bz2.open(dump, "rb") as file:
        return file.read(size)


def _parse(path: pathlib.Path) -> int:
    """Parses all pages of a plain XML file as the job does; returns the number of links."""
    found = dump_files.find_sources(str(path))
    parser = PageParser(sites.parse_site(found[0][1]) or sites.Site())
    links = 0
    with ThreadPoolExecutor(1) as executor:
        reader = dump_files.PageReader(executor, 1)
        for part in dump_files.plan_ranges([found[0][0]], path.stat().st_size):
            for raw in reader.pages(part):
                try:
                    links += len(parser.parse(raw).link_titles)
                except MalformedPageError:
                    continue
    return links


@dataclasses.dataclass(frozen=True)
class Jobs:
    """What the runs of the whole job took.

    Attributes:
      megabytes: MB of text of each input.
      usages: the runs on each input.
      decoding: seconds of decoding the whole file alone, on the same cores.
      decoding_cpu: processor seconds of that.
    """

    megabytes: dict[str, float]
    usages: dict[str, list[processes.Usage]]
    decoding: list[float]
    decoding_cpu: list[float]


def _run_jobs(dump: pathlib.Path, scratch: pathlib.Path, options: Options) -> Jobs:
    """The whole job on three sizes of input, and decoding alone, in turn."""
    cores = min(options.cores, len(os.sched_getaffinity(0)))
    files = {name: _cut(dump, share, scratch / f"{name}.xml.bz2") for name, share in _SIZES.items()}
    megabytes = {name: decoded_megabytes(path, cores) for name, path in files.items()}
    files[_PROCESSES], megabytes[_PROCESSES] = dump, megabytes["4x"]
    beam_options = {_PROCESSES: _processes_options(cores)}
    jobs = Jobs(megabytes, {name: [] for name in files}, [], [])
    for repetition in range(options.job_repetitions):
        for name, path in files.items():
            output = scratch / f"{name}-{repetition}"
            command = processes.module(
                "pipelines.wikipedia",
                f"--dump={path}",
                f"--output_dir={output}",
                *beam_options.get(name, ()),
            )
            usage = processes.run(command, cores=cores)
            jobs.usages[name].append(usage._replace(output=""))
        started, cpu = time.perf_counter(), time.process_time()
        decoded_megabytes(dump, cores)
        jobs.decoding.append(time.perf_counter() - started)
        jobs.decoding_cpu.append(time.process_time() - cpu)
    return jobs


def job_rows(jobs: Jobs) -> list[harness.Row]:
    """The figures of the whole job."""
    megabytes, usages = jobs.megabytes, jobs.usages
    limit = harness.Timing(tuple(jobs.decoding_cpu)).rate(megabytes["4x"])
    seconds = {
        name: harness.Timing(tuple(usage.cpu_seconds for usage in usages[name])) for name in usages
    }
    rates = {name: timing.rate(megabytes[name]) for name, timing in seconds.items()}
    further = (megabytes["4x"] - megabytes["1x"]) / (seconds["4x"].median - seconds["1x"].median)
    peak = max(usage.peak_bytes for usage in usages["4x"])
    growth = {name: seconds["1x"].times_as_fast_as(seconds[name]) for name in ("2x", "4x")}
    by_clock = statistics.median(usage.seconds for usage in usages["4x"])
    return [
        harness.Row("decoding alone, same cores", limit, "MB/s"),
        *(
            harness.Row(f"whole job, {name}", rates[name], "MB/s", spread=seconds[name].spread)
            for name in usages
        ),
        harness.Row("whole job over decoding alone", rates["4x"] / limit, target=0.5),
        harness.Row(
            "whole job over decoding alone, a further MB",
            further / limit,
            target=0.6,
            note="without what every job takes to start",
        ),
        harness.Row(
            "whole job over decoding alone, by the clock",
            statistics.median(jobs.decoding) / by_clock,
        ),
        harness.Row("time of 2x over 1x", growth["2x"], "x"),
        harness.Row("time of 4x over 1x", growth["4x"], "x", target=4.4, at_most=True),
        harness.Row("whole job, peak memory", peak / 1e9, "GB", note="in one process"),
    ]


def _processes_options(workers: int) -> tuple[str, ...]:
    return "--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"


def _cut(dump: pathlib.Path, share: float, path: pathlib.Path) -> pathlib.Path:
    """The first part of the dump; a job takes a file that ends in the middle of a page."""
    if share == 1.0:
        return dump
    data = dump.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def decoded_megabytes(path: pathlib.Path, threads: int) -> float:
    """Decodes a bzip2 file's blocks in threads, as the job does, and gives the MB of text."""
    size = path.stat().st_size
    with path.open("rb") as file, ThreadPoolExecutor(threads) as executor:

        def read_at(offset: int, count: int) -> bytes:
            file.seek(offset)
            return file.read(count)

        blocks = bzip2_blocks.read_blocks(
            read_at, 0, size, executor, depth=threads, ahead_until=size
        )
        return sum(len(block.text or b"") for block in blocks) / 1e6


if __name__ == "__main__":
    harness.main(Options, measure)
