"""The command: a study of real runs, killed, beside one that ran through."""

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import time
import types

import pytest

from pipelines import study
from pipelines.experiments import runner
from ssl_recsys import cli, features, files, schema
from ssl_recsys.errors import InputError
from tests import command_line, small_dataset, study_in_process, study_runs
from tests.ssl_recsys import commands
from tests.study_in_process import ARGUMENTS, NUM_RUNS

ROOT = commands.ROOT


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
def test_a_study_that_was_killed_gives_the_report_of_one_that_ran_through(tmp_path):
    # `python -m tests.kills study` kills more often.
    small_dataset.write(tmp_path / "data")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    arguments = [*ARGUMENTS, f"--data_dir={tmp_path / 'data'}", f"--output_dir={killed}"]
    study_in_process.carry_out(command_line.parse(study.StudyOptions, *arguments).study(), whole)
    assert len(finished(whole)) == NUM_RUNS
    chance = random.Random(20_070_128)
    num_finished, seconds = chance.randint(1, 3), chance.uniform(0.0, 4.0)
    print(f"killed {seconds:.2f} s after {num_finished} runs")  # shown when the test fails
    with subprocess.Popen(
        commands.command("pipelines.study", *arguments),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        kill_once(process, killed, num_finished, seconds)
    assert not (killed / "report.html").exists()
    times = {path: path.stat().st_mtime_ns for path in finished(killed)}
    done = commands.run("pipelines.study", *arguments)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in times} == times  # nothing twice
    assert len(finished(killed)) == NUM_RUNS
    results, text = comparable(killed)
    expected_results, expected_text = comparable(whole)
    assert results == expected_results
    assert text == expected_text
    assert (
        len(list(killed.glob("runs/*.log"))) == len(list(killed.glob("runs/*.flags"))) == NUM_RUNS
    )


@pytest.mark.parametrize("name", ["smoke", "wiki", "aai"])
def test_configs_say_how_many_runs_they_have(name, tmp_path, capsys):
    # Of any dataset, by features that each of the configs' groups may name.
    names = ("id", "developer_name", "title_ngrams", "categories")
    specs = tuple(features.Categorical(one, vocab_size=2) for one in names)
    sizes = dict.fromkeys(schema.PAIR_SPLITS, 1)
    schema.write_dataset_info(tmp_path, schema.DatasetInfo("any", specs, 1, sizes))
    path = ROOT / "configs" / f"study_{name}.flags"
    arguments = (f"--flagfile={path}", f"--data_dir={tmp_path}", "--dry_run")
    study.main(command_line.parse(study.StudyOptions, *arguments))
    shown = capsys.readouterr().out
    assert re.search(r"^tune +\d+ runs .*\nalpha +\d+ runs .*\ndropout +\d+ runs", shown)
    total = re.search(r"in all +(\d+) runs", shown)
    assert int(total[1]) == {"smoke": 19, "wiki": 188, "aai": 175}[name]
    assert f"# {total[1]} runs" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no dataset: give --data_dir"),
        (["--data_dir=x"], "--output_dir is missing"),
        (["--data_dir=/nonexistent", "--output_dir=x"], "is not a dataset directory"),
        (["--data_dir=/nonexistent", "--dry_run"], "is not a dataset directory"),
        (["--data_dir=x", "--alphas=high"], "--alphas must be numbers"),
        (["--data_dir=x", "--max_epochs_at=0.1"], "must be fraction:epochs"),
        (["--data_dir=x", "--base_flag=alhpa=1"], "there is no flag --alhpa"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises((InputError, FileNotFoundError), match=message):
        study.main(command_line.parse(study.StudyOptions, *arguments))


def test_the_cluster_example_of_the_docs_carries_a_study_out(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]

    def submit(arguments):
        flags = dict(argument.removeprefix("--").split("=", 1) for argument in arguments)
        model_dir = pathlib.Path(flags.pop("model_dir"))
        study_runs.write_run(runner.Run(model_dir.name, flags), model_dir)
        return types.SimpleNamespace(seconds=1.0)

    commands_run = []
    monkeypatch.setattr(cli, "run", lambda main, kind: commands_run.append((main, kind)))
    exec(example, {"submit": submit, "wait": lambda job: None})
    ((main, kind),) = commands_run
    main(command_line.parse(kind, *ARGUMENTS, "--data_dir=x", f"--output_dir={tmp_path}"))
    assert len(finished(tmp_path)) == NUM_RUNS


def test_a_study_has_its_directory_alone(tmp_path):
    data_dir, output_dir = tmp_path / "data", tmp_path / "study"
    small_dataset.write(data_dir)
    given = [*ARGUMENTS, f"--data_dir={data_dir}", f"--output_dir={output_dir}"]
    with files.locked(output_dir):
        with pytest.raises(InputError, match="in use by another process"):
            study.main(command_line.parse(study.StudyOptions, *given))
        assert [path.name for path in output_dir.iterdir()] == [files.LOCK_FILE]
        # What is finished may be read meanwhile.
        study.main(command_line.parse(study.StudyOptions, *given, "--report_only"))
    assert "INCOMPLETE: 0 of 5" in (output_dir / "report.md").read_text()


def test_the_command_names_a_wrong_feature_before_it_runs(tmp_path):
    small_dataset.write(tmp_path / "data")
    done = commands.run(
        "pipelines.study",
        f"--data_dir={tmp_path / 'data'}",
        "--base_flag=fm_groups=id;colour",
        "--dry_run",
    )
    assert done.returncode == 2
    assert "names the feature 'colour', which the dataset lacks" in done.stderr
