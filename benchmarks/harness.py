"""The frame of every benchmark: interleaved timing, its command, the report.

@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
num_items: int = option(200_000, "Items in the corpus.", at_least=1)
repetitions: int = option(5, "Timed calls of each candidate.", at_least=1)

def measure(options: Options) -> harness.Report:
timings = harness.interleave({"ours": ours, "peer": peer}, options.repetitions)
speedup = timings["ours"].times_as_fast_as(timings["peer"])
return harness.Report("example", [harness.Row("ours over peer", speedup, "x", target=3)])

if __name__ == "__main__":
harness.main(Options, measure)
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pipelines.experiments.machine import memory_gb, processor
from pipelines.experiments.runner import available_cores
from ssl_recsys import cli, files
from ssl_recsys.errors import InputError
from ssl_recsys.options import Options, option

_PACKAGES = (
    "numpy", "tensorflow", "tf-keras", "tensorflow-recommenders", "scann", "apache-beam",
    "mwparserfromhell", "wikitextparser", "gensim",
)  # fmt: skip
_SIGNIFICANT_DIGITS = 6


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions(Options):
    """The flag that every benchmark has."""

    _: dataclasses.KW_ONLY
    output: str = option("", "JSON file for the figures; empty: none.")


AnyOptions = TypeVar("AnyOptions", bound=BenchmarkOptions)


@dataclasses.dataclass(frozen=True)
class Timing:
    """The durations of a candidate's timed calls.

    Attributes:
      seconds: one value for each repetition, in order.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median seconds of a call."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Distance of the quartiles as a share of the median, 0 for a single call."""
        if len(self.seconds) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return (high - low) / self.median

    def rate(self, amount: float) -> float:
        """`amount`, the work of one call, per second."""
        return amount / self.median

    def times_as_fast_as(self, other: Timing) -> float:
        """Ratio of the medians, above 1 where this candidate is the faster one."""
        return other.median / self.median


def interleave(
    candidates: Mapping[str, Callable[[], Any]],
    repetitions: int,
    *,
    warmups: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Times the candidates in turn: A, B, C, A, B, C, and so on.

    Other work of the machine then slows all of them alike.

    Args:
      candidates: name -> what to call; its result is ignored.
      repetitions: timed calls of each.
      warmups: calls of each before those, not timed, in turn as well.
      clock: seconds, `time.process_time` for the processor's instead of the wall's.

    Raises:
      InputError: if `repetitions` is below 1.
    """
    if repetitions < 1:
        raise InputError(f"repetitions must be at least 1 (got {repetitions})")
    for _ in range(warmups):
        for call in candidates.values():
            call()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repetitions):
        for name, call in candidates.items():
            start = clock()
            call()
            seconds[name].append(clock() - start)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


@dataclasses.dataclass(frozen=True)
class Row:
    """A figure of a report.

    Attributes:
      name: what was measured.
      value: None where it could not be, with the reason in `note`.
      unit: of the value, `x` for a ratio.
      target: what the value should reach, if anything.
      at_most: whether the target is a value not to be exceeded.
      spread: `Timing.spread` of the timing that the value comes from.
      note: for the reader.
    """

    name: str
    value: float | None
    unit: str = ""
    target: float | None = None
    at_most: bool = False
    spread: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is no target or no value."""
        if self.value is None or self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target


@dataclasses.dataclass(frozen=True)
class Report:
    """The results of a benchmark.

    Attributes:
      name: of the benchmark, its module's.
      rows: the lines of its table.
      details: further fields of its JSON file.
    """

    name: str
    rows: Sequence[Row]
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def missing_peer(name: str, package: str) -> Row:
    """The row of a peer that is not installed."""
    return Row(name, None, note=f"not installed: pip install {package}")


def main(options_class: type[AnyOptions], measure: Callable[[AnyOptions], Report]) -> None:
    """A benchmark's command: measures, prints the table, writes `--output`.

    Args:
      options_class: its flags.
      measure: takes its options to its report.
    """

    def command(options: AnyOptions) -> None:
        load = os.getloadavg()[0]
        fields = to_fields(measure(options), options, load)
        if options.output:
            write_json(options.output, fields)
        print(format_table([fields]))

    cli.run(command, options_class)


def machine() -> dict[str, Any]:
    """The processor, how many of its cores are open to this process, memory, system."""
    return {
        "processor": processor(),
        "cores": len(available_cores()),
        "memory_gb": memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the measured packages that are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def to_fields(report: Report, options: BenchmarkOptions, load_average: float) -> dict[str, Any]:
    """The contents of a benchmark's JSON file.

    Args:
      report: its results.
      options: its options.
      load_average: of the machine before the benchmark began, over a minute.
    """
    return {
        "benchmark": report.name,
        "settings": {
            # Directories of this machine mean nothing to others.
            name: os.path.basename(value) if isinstance(value, str) else value
            for name, value in dataclasses.asdict(options).items()
            if name != "output"
        },
        "machine": {**machine(), "load_average_before": load_average},
        "versions": versions(),
        "rows": [{**dataclasses.asdict(row), "met": row.met} for row in report.rows],
        **report.details,
    }


def write_json(path: str | os.PathLike[str], fields: Mapping[str, Any]) -> None:
    """Writes `fields` with numbers rounded to six digits."""
    files.write_json(path, _rounded(fields))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
    if isinstance(value, Mapping):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    return value


def format_table(results: Sequence[Mapping[str, Any]]) -> str:
    """One aligned table of several benchmarks' results, the contents of their JSON files."""
    lines: list[tuple[str, ...]] = [("", "value", "", "spread", "target", "", "")]
    for result in results:
        lines.append((result["benchmark"], *[""] * 6))
        lines += [_cells(row) for row in result["rows"]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rights = {1, 3, 4}  # numbers
    aligned = [
        "  ".join(
            cell.rjust(width) if column in rights else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    machines = dict.fromkeys(_machine_line(result["machine"]) for result in results)
    return "\n".join([*machines, *aligned])


def _machine_line(found: Mapping[str, Any]) -> str:
    return f"{found['processor']}, {found['cores']} cores, {found['memory_gb']} GB"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    target = row["target"]
    sign = "<=" if row["at_most"] else ">="
    return (
        f"  {row['name']}",
        "-" if row["value"] is None else _number(row["value"]),
        row["unit"],
        "" if row["spread"] is None else f"{row['spread']:.0%}",
        "" if target is None else f"{sign} {_number(target)}",
        {None: "", True: "met", False: "missed"}[row["met"]],
        row["note"],
    )


def _number(value: float) -> str:
    """Three digits or more: 0.0123, 6.62, 1,234."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
