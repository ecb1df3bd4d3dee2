import dataclasses
import itertools
import json
import os
import subprocess
import sys

import pytest

from benchmarks import harness
from ssl_recsys.errors import InputError
from ssl_recsys.options import option


def test_median_spread_and_rate():
    timing = harness.Timing((4.0, 1.0, 2.0, 3.0, 5.0))
    assert timing.median == 3.0
    # Quartiles of 1 .. 5 are 2 and 4.
    assert timing.spread == pytest.approx(2 / 3)
    assert timing.rate(12) == 4.0
    assert timing.times_as_fast_as(harness.Timing((6.0,))) == 2.0
    assert harness.Timing((1.0,)).spread == 0.0


def test_candidates_are_called_in_turn():
    calls = []
    candidates = {name: lambda name=name: calls.append(name) for name in "abc"}
    ticks = itertools.count()
    timings = harness.interleave(candidates, 2, warmups=1, clock=lambda: next(ticks))
    assert "".join(calls) == "abc" * 3
    # Each call takes one tick; warm-ups are not timed.
    assert timings == {name: harness.Timing((1, 1)) for name in "abc"}


def test_no_repetition_is_refused():
    with pytest.raises(InputError, match="repetitions must be at least 1"):
        harness.interleave({}, 0)


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (harness.Row("a", 3.0, target=3), True),
        (harness.Row("a", 2.9, target=3), False),
        (harness.Row("a", 3.1, target=3, at_most=True), False),
        (harness.Row("a", 3.0, target=3, at_most=True), True),
        (harness.Row("a", 3.0), None),
        (harness.missing_peer("a", "gensim"), None),
    ],
)
def test_met(row, met):
    assert row.met is met


@dataclasses.dataclass(frozen=True)
class Options(harness.BenchmarkOptions):
    size: int = option(3, "Size.", at_least=1)
    sizes: tuple[int, ...] = option((1, 2), "Sizes.", at_least=1)
    dump: str = option("some/where/dump.xml", "File.")


def test_json_is_written_atomically(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "found.json"
    harness.write_json(path, {"old": 1})
    monkeypatch.setattr(os, "replace", _fail)
    with pytest.raises(OSError, match="disk"):
        harness.write_json(path, {"new": 1})
    assert json.loads(path.read_text()) == {"old": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["found.json"]


def _fail(*_):
    raise OSError("disk")


def test_contents_of_the_file(tmp_path):
    report = harness.Report("name", [harness.Row("a", 1 / 3, "x", target=1)], {"more": {"b": 2}})
    path = tmp_path / "found.json"
    harness.write_json(path, harness.to_fields(report, Options(), 0.5))
    fields = json.loads(path.read_text())
    assert fields["benchmark"] == "name"
    assert fields["settings"] == {"size": 3, "sizes": [1, 2], "dump": "dump.xml"}
    assert fields["machine"]["cores"] >= 1
    assert fields["machine"]["memory_gb"] > 0
    assert fields["machine"]["load_average_before"] == 0.5
    assert fields["versions"]["python"].startswith("3.")
    assert "tensorflow" in fields["versions"]
    assert fields["rows"][0]["value"] == 0.333333
    assert fields["rows"][0]["met"] is False
    assert fields["more"] == {"b": 2}


def test_table():
    rows = [
        harness.Row("speed", 1234.5, "pairs/s", spread=0.04),
        harness.Row("long name", 0.5, "x", target=0.6),
        harness.missing_peer("peer", "gensim"),
    ]
    results = [
        harness.to_fields(harness.Report(name, part), Options(), 0.0)
        for name, part in (("first", rows), ("second", [harness.Row("b", 2.0, target=10)]))
    ]
    machine, *lines = harness.format_table(results).splitlines()
    assert f"{results[0]['machine']['cores']} cores" in machine
    assert lines == [
        "             value           spread  target",
        "first",
        "  speed      1,234  pairs/s      4%",
        "  long name    0.5  x                >= 0.6  missed",
        "  peer           -                                   not installed: pip install gensim",
        "second",
        "  b              2                    >= 10  missed",
    ]


_COMMAND = """
import dataclasses
from benchmarks import harness
from tests.benchmarks.test_harness import Options

def measure(options):
    return harness.Report("tiny", [harness.Row("sum", sum(options.sizes) + options.size)])

harness.main(Options, measure)
"""


def _run(*arguments):
    command = [sys.executable, "-c", _COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_options_are_flags(tmp_path):
    done = _run("--size=4", "--sizes=10,20", f"--output={tmp_path / 'found.json'}")
    assert done.returncode == 0, done.stderr
    assert "sum     34" in done.stdout
    fields = json.loads((tmp_path / "found.json").read_text())
    assert fields["settings"] == {"size": 4, "sizes": [10, 20], "dump": "dump.xml"}


@pytest.mark.parametrize("bad", ["--size=0", "--sizes=1,x", "--nothing=1"])
def test_bad_flags_are_refused(bad):
    done = _run(bad)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
