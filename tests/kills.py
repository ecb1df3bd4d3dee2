"""Kills a command at random moments, starts it again, and compares what it leaves.

    python -m tests.kills train --count=20 --seed=0 --work=/tmp/kills

A round starts the command in an empty directory, kills it (SIGKILL) at a random moment of the time
that an undisturbed run took, and starts it again until it ends. What it has then written must be
what the undisturbed run wrote, without left-overs, and no process may be left. Every second kill
is of the first process alone: those that it started must end by themselves.

Input and the undisturbed run are kept in --work and used again, so that many kills can be made in
several calls with different seeds. A round that differs stays there, to be looked at.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ssl_recsys import files
from tests import small_dataset
from tests.ssl_recsys import commands

_SECONDS_FOR_ORPHANS = 30
_TOLERANCE = 2e-3  # of metrics: sums on several threads have no fixed order
_TIMES = {"seconds", "steps_per_second", "training_seconds"}


@dataclasses.dataclass(frozen=True)
class Subject:
    """A command that is killed.

    Attributes:
      arguments: module and flags; it runs in a directory beside `input` and writes to `out`.
      make_input: writes the input.
      result: what must be the same, of the directory `out`.
      most_a_round: kills of a round at most; long commands are killed several times.
      appears_whole: whether `out` is finished once it is there, and then refused.
    """

    arguments: Sequence[str]
    make_input: Callable[[pathlib.Path], object]
    result: Callable[[pathlib.Path], Any]
    most_a_round: int = 1
    appears_whole: bool = False


def digests(directory: pathlib.Path) -> dict[str, str]:
    """File name -> SHA-256 of all files of a directory."""
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def names(directory: pathlib.Path) -> list[str]:
    """All files and directories but TensorBoard's, which every start adds to."""
    found = (path.relative_to(directory).as_posix() for path in directory.rglob("*"))
    return sorted(name for name in found if not re.search(r"(^|/)logs/", name))


def run_results(directory: pathlib.Path) -> dict[str, Any]:
    """What training leaves: names, metrics and the metrics of every epoch, without times."""
    history = json.loads((directory / "history.json").read_text())
    metrics = json.loads((directory / "metrics.json").read_text())
    return {
        "names": names(directory),
        # Losses are of the last call of the compiled steps, which a stop divides differently.
        "history": [
            {
                name: value
                for name, value in epoch.items()
                if name.startswith(("val", "epo", "step"))
            }
            for epoch in history
        ],
        "metrics": {name: value for name, value in metrics.items() if name not in _TIMES},
    }


def study_results(directory: pathlib.Path) -> dict[str, Any]:
    """What a study leaves: names, results and report, without times and provenance."""
    results = json.loads((directory / "results.json").read_text())
    timed = set(results.pop("timings"))
    parts = re.split(r"^(?=### )", (directory / "report.md").read_text(), flags=re.MULTILINE)
    kept = [part for part in parts if not part.startswith(("### Training sp", "### Provenance"))]
    return {"names": names(directory), "results": results, "timed": sorted(timed), "report": kept}


def search_results(directory: pathlib.Path) -> dict[str, Any]:
    """What a search leaves: names, the best flags and the metrics of every run."""
    runs = sorted(directory.glob("runs/*/metrics.json"))
    return {
        "names": names(directory),
        "best": (directory / "best.flags").read_text(),
        "runs": [json.loads(path.read_text())["overall"] for path in runs],
    }


def _synthetic(*arguments: str) -> Callable[[pathlib.Path], None]:
    def make(directory: pathlib.Path) -> None:
        flags = (one.format(directory) for one in arguments)
        done = commands.run("pipelines.synthetic", *flags)
        if done.returncode:
            raise RuntimeError(done.stderr)

    return make


_MODEL = ("embedding_dim=8", "hidden_layers=16,8", "batch_size=64", "max_epochs=6")
_BASE = tuple(f"--base_flag={flag}" for flag in _MODEL)
SUBJECTS = {
    "data_wikipedia": Subject(
        ("pipelines.wikipedia", "--dump=../input/dump.xml.bz2", "--output_dir=out"),
        _synthetic("--kind=wikipedia", "--num_items=1000", "--output={0}/dump.xml.bz2"),
        digests,
        appears_whole=True,
    ),
    "data_installs": Subject(
        (
            "pipelines.app_install",
            "--installs=../input/installs.csv.gz",
            "--apps=../input/apps.csv",
            "--output_dir=out",
        ),
        _synthetic("--kind=app_install", "--num_items=1000", "--output={0}"),
        digests,
        appears_whole=True,
    ),
    "train": Subject(
        (
            "ssl_recsys.train",
            "--data_dir=../input",
            "--model_dir=out",
            "--method=fd",
            "--learning_rate=0.1",
            "--checkpoint_minutes=1e-6",
            *(f"--{flag}" for flag in _MODEL),
        ),
        small_dataset.write,
        run_results,
    ),
    "study": Subject(
        (
            "pipelines.study",
            "--data_dir=../input",
            "--output_dir=out",
            *_BASE,
            "--methods=baseline,fd",
            "--learning_rates=0.1",
            "--alphas=1",
            "--dropout_rates=0.9",
            "--final_seeds=1",
        ),
        small_dataset.write,
        study_results,
        most_a_round=4,
    ),
    "tune": Subject(
        (
            "pipelines.tune",
            "--data_dir=../input",
            "--output_dir=out",
            *_BASE,
            "--search=learning_rate=0.01..0.2:log",
            "--num_trials=4",
            "--parallel=1",
        ),
        small_dataset.write,
        search_results,
        most_a_round=4,
    ),
}


class Started:
    """A command in a process group of its own."""

    def __init__(self, subject: Subject, directory: pathlib.Path, log: pathlib.Path):
        module, *flags = subject.arguments
        self._log = log
        environment = os.environ | {"PYTHONPATH": str(commands.ROOT), "CUDA_VISIBLE_DEVICES": ""}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *flags],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ends_within(self, seconds: float | None) -> bool:
        """Waits; whether it ended by itself.

        Raises:
          AssertionError: if it failed.
        """
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        if status:
            end = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
            raise AssertionError(f"it ended with status {status}:\n{end}")
        self._check_alone()
        return True

    def kill(self, *, alone: bool) -> None:
        """Kills it, or with it all processes of its group.

        Raises:
          AssertionError: if one of them is still there after a while.
        """
        kill = os.kill if alone else os.killpg
        kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._check_alone()

    def _check_alone(self) -> None:
        deadline = time.monotonic() + _SECONDS_FOR_ORPHANS
        while True:
            try:
                os.killpg(self._process.pid, 0)
            except ProcessLookupError:
                return
            if time.monotonic() > deadline:
                os.killpg(self._process.pid, signal.SIGKILL)
                raise AssertionError("a process that it had started is left")
            time.sleep(0.05)


def undisturbed(subject: Subject, work: pathlib.Path) -> float:
    """Makes the input and runs the command once, unless both are there; its seconds."""
    whole, times = work / "whole", work / "seconds.json"
    if not times.is_file():
        shutil.rmtree(work / "input", ignore_errors=True)
        shutil.rmtree(whole, ignore_errors=True)
        (work / "input").mkdir(parents=True)
        whole.mkdir()
        subject.make_input(work / "input")
        begin = time.monotonic()
        Started(subject, whole, work / "whole.log").ends_within(None)
        files.write_json(times, time.monotonic() - begin)
    return float(files.read_json(times, float))


def check(subject: Subject, directory: pathlib.Path, whole: pathlib.Path) -> None:
    """Raises AssertionError for the first difference from the undisturbed run."""
    compare("names", sorted(os.listdir(directory)), sorted(os.listdir(whole)))
    compare("", subject.result(directory / "out"), subject.result(whole / "out"))


def compare(where: str, found: Any, expected: Any) -> None:
    """Raises AssertionError where two JSON values differ, numbers by more than a tolerance."""
    if isinstance(expected, dict) and isinstance(found, dict) and found.keys() == expected.keys():
        for name in expected:
            compare(f"{where}/{name}", found[name], expected[name])
    elif isinstance(expected, list) and isinstance(found, list) and _are_pairs(found, expected):
        for number, pair in enumerate(zip(found, expected, strict=True)):
            compare(f"{where}/{number}", *pair)
    elif isinstance(expected, float) and isinstance(found, float):
        assert abs(found - expected) <= _TOLERANCE, f"{where}: {found}, not {expected}"
    elif isinstance(expected, list) and isinstance(found, list) and found != expected:
        more = [one for one in found if one not in expected]
        less = [one for one in expected if one not in found]
        raise AssertionError(f"{where}: has {more!r:.500}, lacks {less!r:.500}")
    else:
        assert found == expected, f"{where}: {found!r:.300}, not {expected!r:.300}"


def _are_pairs(found: list[Any], expected: list[Any]) -> bool:
    """Whether two lists are compared one by one, which for names would tell little."""
    return len(found) == len(expected) and not any(isinstance(one, str) for one in expected)


def kill_and_compare(name: str, count: int, seed: int, work: pathlib.Path) -> None:
    """Makes the kills, each reported in a line.

    Raises:
      AssertionError: for a result that differs, a left-over, or a process that is left.
    """
    subject = SUBJECTS[name]
    seconds = undisturbed(subject, work)
    print(f"{name}: an undisturbed run takes {seconds:.1f} s", flush=True)
    rng = np.random.default_rng(seed)
    # One in each part of the run's length, in random order.
    moments = seconds * (rng.permutation(count) + rng.random(count)) / count
    kills = rounds = 0
    while kills < count:
        rounds += 1
        directory = work / f"round-{seed}-{rounds}"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        log = directory.with_suffix(".log")
        has_ended = False
        for _ in range(min(subject.most_a_round, count - kills)):
            process, after = Started(subject, directory, log), moments[kills]
            has_ended = process.ends_within(after)
            if has_ended:  # sooner than the undisturbed run; another moment for the next one
                moments[kills] = rng.uniform(0, after)
                break
            process.kill(alone=kills % 2 == 1)
            kills += 1
            print(f"kill {kills} of {count}: after {after:.1f} s", flush=True)
        begin = time.monotonic()
        if not has_ended and not (subject.appears_whole and (directory / "out").exists()):
            Started(subject, directory, log).ends_within(None)
        check(subject, directory, work / "whole")
        print(f"  round {rounds}: ended in {time.monotonic() - begin:.1f} s, the same", flush=True)
        shutil.rmtree(directory)
        log.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=SUBJECTS)
    parser.add_argument("--count", type=int, default=20, help="number of kills")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--work", type=pathlib.Path, help="directory, kept; by default a new one")
    options = parser.parse_args()
    work = options.work or pathlib.Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        kill_and_compare(options.command, options.count, options.seed, work / options.command)
    except AssertionError as error:
        sys.exit(f"DIFFERS: {error}\n(its directory: {work / options.command})")
    print(f"{options.count} kills: the same result each time, nothing left over")
    if options.work is None:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
