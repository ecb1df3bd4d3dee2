"""The data jobs over small input, here and on a cluster, and their results side by side."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ssl_recsys import files, schema
from tests.cluster.flink import ROOT

SHARED = pathlib.Path(os.environ.get("SSL_RECSYS_SHARED_DATA", ROOT.parent / "shared" / "data"))
# What dataset.json says of where the input lay.
_PATHS = ("sources", "options")


class Result(NamedTuple):
    """One comparison, for the table at the end."""

    run: str
    seconds: float
    outcome: str


RESULTS: list[Result] = []


def table() -> list[str]:
    """The lines of the table of all results."""
    width = max(len(result.run) for result in RESULTS)
    return [f"{run:<{width}}  {seconds:5.0f} s  {outcome}" for run, seconds, outcome in RESULTS]


def note(run: str, seconds: float, outcome: str) -> None:
    """Adds a line to the table, and shows it now."""
    RESULTS.append(Result(run, seconds, outcome))
    print(f"\n{table()[-1]}")


def command(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


def outcome(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        arguments, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )


def run(*arguments: str) -> None:
    """Runs a command to its end; its output is shown if it fails."""
    done = outcome(*arguments)
    assert done.returncode == 0, f"{arguments}\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"


def run_watched(arguments: Sequence[str], act: Callable[[], bool]) -> None:
    """As `run`; calls `act` again and again until it returns that it has acted."""
    acted, end = False, time.monotonic() + 600
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(arguments, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            while process.poll() is None and not acted:
                assert time.monotonic() < end, "the job does not come to the step"
                acted = act()
                time.sleep(0.02)
            process.wait(timeout=600)
        finally:
            process.kill()
        output.seek(0)
        assert process.returncode == 0, output.read()[-6000:]


def timed(action: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Seconds that a call takes, and what it returns."""
    started = time.monotonic()
    result = action(*arguments)
    return time.monotonic() - started, result


def wikipedia(dump: object, output: object, *more: object) -> list[str]:
    """The command of the Wikipedia job."""
    flags = (f"--dump={dump}", f"--output_dir={output}", "--split_by=link", "--num_shards=3")
    return command("pipelines.wikipedia", *flags, "--link_targets=all", *more)


def tables(directory: object, output: object, *more: object) -> list[str]:
    """The command of the Wikipedia job over the SQL tables of a directory."""
    names = ("page", "pagelinks", "redirect", "linktarget", "categorylinks", "page_props")
    flags = [f"--{name}={directory}/{name}.sql.gz" for name in names]
    flags += [f"--output_dir={output}", "--hidden_categories=drop", "--num_shards=3"]
    return command("pipelines.wikipedia", "--source=sql", *flags, *more)


def app_install(directory: object, output: object, *more: object) -> list[str]:
    """The command of the app-install job over the log and the table of a directory."""
    tables = (f"--installs={directory}/installs.csv.gz", f"--apps={directory}/apps.csv")
    flags = (*tables, f"--output_dir={output}", "--num_shards=3")
    return command("pipelines.app_install", *flags, *more)


def interactions(directory: object, output: object, *more: object) -> list[str]:
    """The command of the interactions job over the log and the table of a directory."""
    tables = (f"--events={directory}/installs.csv.gz", f"--items={directory}/apps.csv")
    flags = (*tables, f"--output_dir={output}", "--num_shards=3")
    return command("pipelines.interactions", *flags, *more)


def digests(directory: pathlib.Path) -> dict[str, str]:
    """Files by name, as sha256."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


def run_and_compare(
    label: str, arguments: Sequence[str], output: pathlib.Path, expected: pathlib.Path
) -> None:
    """Runs a job that writes to `output`, and checks that as `compare`."""
    seconds, _ = timed(run, *arguments)
    compare(label, seconds, expected, digests(output))


def compare(
    label: str,
    seconds: float,
    expected: pathlib.Path,
    found: Mapping[str, str],
    info: bytes | None = None,
) -> None:
    """Checks that a dataset is that of the local runner, and notes it for the table.

    Args:
      label: of the run.
      seconds: that it took.
      expected: the local runner's dataset.
      found: the files' digests by name.
      info: its dataset.json, if its input lay elsewhere, which that file may say.
    """
    right = digests(expected)
    different = sorted(n for n in right.keys() | found.keys() if right.get(n) != found.get(n))
    allowed = set()
    if info is not None:
        ours = json.loads((expected / schema.DATASET_FILE).read_bytes())
        keys = {key for key, value in json.loads(info).items() if ours[key] != value}
        # The manifest has the digest of dataset.json.
        allowed = {schema.DATASET_FILE, files.MANIFEST_FILE} if keys <= set(_PATHS) else set()
    outcome = f"{len(right) - len(different)} files equal"
    if different:
        outcome += f", different: {', '.join(different)}"
    if set(different) <= allowed and different:
        outcome += " (by the paths of the input)"
    note(label, seconds, outcome)
    assert set(different) <= allowed, f"{label}: {different}"
