"""How long the Wikipedia job takes and how much memory, stage by stage, by the size of the dump.

    python -m benchmarks.wikipedia_scale --num_articles=300000,600000 --output=FILE.json
    python -m benchmarks.wikipedia_scale --num_articles=306000 --copies=1,2,4,8 --output=FILE.json

makes synthetic dumps and runs the job on each in a process of its own; further flags of the job
go into `--job_flags`. Making a dump takes as long as reading it. So larger ones can be put together
of copies of one, whose titles begin with a word of their own: wikis side by side, that share most
words and no page.
"""

from __future__ import annotations

import bz2
import dataclasses
import itertools
import os
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks import harness, processes
from data_prep.compressed import write_compressed
from ssl_recsys import schema
from ssl_recsys.options import option

# What the job says at the end of a piece of work, and the stage that the piece belongs to.
_STAGES = {
    "read part": "reading pages",
    "resolved the links": "following redirects",
    "numbered the links": "numbering links",
    "made the vocabulary": "making vocabularies",
    "encoded the items": "encoding items",
}
_WRITING = "writing files"
_INTERVAL = 0.1
# Up to the first letters of links to articles, and of titles.
_LINK = re.compile(rb"\[\[[ _]*+([^\[\]|#:])(?=[^\[\]|#:]*+[\]|#])")
_TITLE = re.compile(rb"(<title>|<redirect title=\")(?=[^:<\"]++[<\"])")
_COPIED_BYTES = 8 << 20


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    """The command's flags."""

    num_articles: tuple[int, ...] = option(
        (40_000, 80_000, 160_000), "Sizes of dumps; 310,000 articles are a GB.", at_least=100
    )
    copies: tuple[int, ...] = option(
        (1,), "How many copies of each dump the job reads at once.", at_least=1
    )
    compressed: bool = option(False, "Make .xml.bz2 dumps instead of .xml.")
    directory: str | None = option(None, "Where to write dumps; the system's by default.")
    job_flags: tuple[str, ...] = option((), "Flags of the job and of Beam, with commas between.")


def measure(options: Options) -> harness.Report:
    """Runs the job on a dump of each size."""
    runs = []
    for num_articles in options.num_articles:
        with tempfile.TemporaryDirectory(prefix="wikipedia_scale", dir=options.directory) as path:
            runs += _runs(num_articles, options, Path(path))
    rows = []
    for run in runs:
        name = f"{run['text_mb']:,.0f} MB"
        rows.append(harness.Row(f"{name}, time", run["seconds"], "s"))
        rows.append(harness.Row(f"{name}, processor time", run["cpu_seconds"], "s"))
        for stage, peak in run["peak_gb"].items():
            rows.append(harness.Row(f"{name}, peak memory, {stage}", peak, "GB"))
    for small, large in itertools.pairwise(runs):
        further = large["text_mb"] - small["text_mb"]
        rows.append(
            harness.Row(
                f"from {small['text_mb']:,.0f} to {large['text_mb']:,.0f} MB, a further MB",
                1e3 * (large["cpu_seconds"] - small["cpu_seconds"]) / further,
                "ms",
                note="processor time; the same at all sizes where growth is linear",
            )
        )
    return harness.Report("wikipedia_scale", rows, {"runs": runs})


def _runs(num_articles: int, options: Options, directory: Path) -> list[dict[str, Any]]:
    """Makes a dump, and runs the job on as many copies as are asked for."""
    dump = directory / f"dump.xml{'.bz2' if options.compressed else ''}"
    flags = (f"--num_items={num_articles}", f"--output={dump}")
    processes.run(processes.module("pipelines.synthetic", "--kind=wikipedia", *flags))
    runs, dumps = [], [dump]
    for copies in sorted(options.copies):
        for number in range(len(dumps), copies):
            dumps.append(directory / f"copy{number}{''.join(dump.suffixes)}")
            write_copy(dump, number, dumps[-1])
        runs.append(_run(dumps, options, directory / "data"))
    return runs


def write_copy(dump: Path, number: int, output: Path) -> None:
    """Writes a copy of a dump whose titles, and the links to them, begin with a word of its own."""
    word = b"Copy%d " % number
    read = bz2.open if dump.suffix == ".bz2" else open

    def link(found: re.Match[bytes]) -> bytes:
        return b"[[" + word + found[1].upper()

    with read(dump, "rb") as source, write_compressed(output) as copy:
        rest = b""
        while text := source.read(_COPIED_BYTES):
            text = rest + text
            end = text.rfind(b"</page>") + 1
            rest = text[end:]
            copy.write(_TITLE.sub(rb"\1" + word, _LINK.sub(link, text[:end])))
        copy.write(rest)


def _run(dumps: list[Path], options: Options, data: Path) -> dict[str, Any]:
    """Runs the job, and takes its time and memory."""
    named = ",".join(map(str, dumps))
    command = processes.module(
        "pipelines.wikipedia",
        f"--dump={named}",
        f"--output_dir={data}",
        "--overwrite",
        *options.job_flags,
    )
    used = _watch(command)
    info = schema.read_dataset_info(data)
    files = [path for path in data.rglob("*") if path.is_file()]
    return {
        "num_items": info.num_items,
        "text_mb": sum(_text_bytes(dump, options) for dump in dumps) / 1e6,
        "num_pairs": sum(info.num_pairs.values()),
        "links_found": info.counters.get("links_found", 0),
        "dataset_mb": sum(path.stat().st_size for path in files) / 1e6,
        **used,
    }


def _text_bytes(dump: Path, options: Options) -> float:
    if not options.compressed:
        return dump.stat().st_size
    from benchmarks.data_prep import decoded_megabytes

    return 1e6 * decoded_megabytes(dump, 2)


def _watch(command: list[str]) -> dict[str, Any]:
    """Runs a command; gives its time, and its peak memory in each of the job's stages.

    A stage begins when the one before has said its last word; memory is that of the command and
    the processes below it.

    Raises:
      RuntimeError: if it fails.
    """
    start = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    samples: list[tuple[float, int]] = []
    said: list[tuple[float, str]] = []

    def listen() -> None:
        for line in process.stderr or ():
            said.append((time.monotonic() - start, line))

    listener = threading.Thread(target=listen)
    listener.start()
    while True:
        samples.append((time.monotonic() - start, _tree_bytes(process.pid)))
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        time.sleep(_INTERVAL)
    listener.join()
    if status:
        raise RuntimeError("".join(line for _, line in said[-20:]))
    return {
        "seconds": time.monotonic() - start,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gb": stage_peaks(samples, said),
    }


def stage_peaks(
    samples: list[tuple[float, int]], said: list[tuple[float, str]]
) -> dict[str, float]:
    """The largest sample, in GB, of each stage.

    Args:
      samples: seconds and bytes.
      said: seconds and lines of the job's notes.
    """
    ends = dict.fromkeys(_STAGES.values(), 0.0)
    for seconds, line in said:
        for words, stage in _STAGES.items():
            if words in line:
                ends[stage] = seconds
    peaks: dict[str, float] = {}
    for seconds, held in samples:
        stage = next((name for name, end in ends.items() if seconds <= end), _WRITING)
        peaks[stage] = max(peaks.get(stage, 0.0), held / 1e9)
    return peaks


def _tree_bytes(pid: int) -> int:
    """Resident memory of a process and of those below it, on Linux."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return 0
    own = int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
    return own + sum(_tree_bytes(int(child)) for child in children)


if __name__ == "__main__":
    harness.main(Options, measure)
