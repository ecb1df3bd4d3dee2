"""The command: a study of real runs, killed twice, beside one that ran through."""

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from tests import small_dataset

ROOT = pathlib.Path(__file__).parents[2]
# tests/study_in_process.py has the same study.
STUDY = [
    "--base_flag=batch_size=256",
    "--base_flag=embedding_dim=4",
    "--base_flag=hidden_layers=8,4",
    "--base_flag=max_epochs=2",
    "--methods=baseline,fd",
    "--learning_rates=0.05,0.1",
    "--alphas=0.3,1",
    "--dropout_rates=0.3,0.9",
    "--fractions=1,0.5",
    "--max_epochs_at=0.5:3",
    "--final_seeds=1",
]
NUM_RUNS = 9


def command(*arguments):
    return [sys.executable, "-m", "pipelines.study", *arguments]


def finished(directory):
    return sorted(directory.glob("runs/*/metrics.json"))


def kill_once(process, directory, num_finished, seconds):
    """Kills it some time after it has finished so many runs."""
    while len(finished(directory)) < num_finished and process.poll() is None:
        time.sleep(0.05)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()


def comparable(directory):
    """The results without speeds, and the report without speeds and command."""
    results = json.loads((directory / "results.json").read_text())
    assert set(results.pop("timings")) == {run["name"] for run in results["runs"]}
    parts = re.split(r"^(?=### )", (directory / "report.md").read_text(), flags=re.MULTILINE)
    return results, [
        part for part in parts if not part.startswith(("### Training speed", "### Provenance"))
    ]


@pytest.mark.skipif(os.name != "posix", reason="kills as only POSIX does")
def test_a_study_killed_twice_gives_the_report_of_one_that_ran_through(tmp_path):
    small_dataset.write(tmp_path / "data")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(
        [sys.executable, "-m", "tests.study_in_process", str(tmp_path / "data"), str(whole)],
        check=True,
        cwd=ROOT,
        capture_output=True,
    )
    assert len(finished(whole)) == NUM_RUNS
    arguments = [*STUDY, f"--data_dir={tmp_path / 'data'}", f"--output_dir={killed}"]
    chance = random.Random()
    times = {}
    for num_finished in (chance.randint(0, 3), chance.randint(4, 7)):
        seconds = chance.uniform(0.0, 4.0)
        print(f"killed {seconds:.2f} s after {num_finished} runs")  # shown when the test fails
        with subprocess.Popen(
            command(*arguments), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            kill_once(process, killed, num_finished, seconds)
        assert not (killed / "report.html").exists()
        times |= {path: path.stat().st_mtime_ns for path in finished(killed)}
    done = subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in times} == times  # nothing twice
    assert len(finished(killed)) == NUM_RUNS
    results, text = comparable(killed)
    expected_results, expected_text = comparable(whole)
    assert results == expected_results
    assert text == expected_text
    assert len(list(killed.glob("runs/*.log"))) == len(list(killed.glob("runs/*.flags"))) == 9


def test_dry_run_needs_no_dataset():
    done = subprocess.run(
        command("--flagfile=configs/study_wiki.flags", "--dry_run"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^tune +8 runs .*\nalpha +56 runs .*\ndropout +34 runs", done.stdout)


@pytest.mark.parametrize("name", ["smoke", "wiki", "aai"])
def test_configs_say_how_many_runs_they_have(name):
    path = ROOT / "configs" / f"study_{name}.flags"
    done = subprocess.run(
        command(f"--flagfile={path}", "--dry_run"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    total = re.search(r"in all +(\d+) runs", done.stdout)
    assert f"# {total[1]} runs" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no dataset: give --data_dir"),
        (["--data_dir=x"], "--output_dir is missing"),
        (["--data_dir=/nonexistent", "--output_dir=x"], "is not a dataset directory"),
        (["--data_dir=x", "--alphas=high"], "--alphas must be numbers"),
        (["--data_dir=x", "--max_epochs_at=0.1"], "must be fraction:epochs"),
    ],
)
def test_errors(arguments, message):
    done = subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr
