"""The search: what it may choose from, how it resumes, and that it cannot read test pairs."""

import json
import pathlib
import subprocess
import sys

import pytest

from pipelines import tune
from pipelines.experiments import runner, search_space
from ssl_recsys.errors import InputError
from tests import small_dataset


def test_search_space_forms():
    space = search_space.parse(
        ["learning_rate=0.01..0.2:log", "dropout_rate=0.1..0.5", "batch_size=8..64:int"]
    )
    assert space == (
        search_space.Range("learning_rate", 0.01, 0.2, "log"),
        search_space.Range("dropout_rate", 0.1, 0.5),
        search_space.Range("batch_size", 8, 64, "int"),
    )
    assert search_space.parse(["pooling=mean|sqrtn"]) == (
        search_space.Choice("pooling", ("mean", "sqrtn")),
    )
    assert search_space.parse_values(
        "pooling=sqrtn", search_space.parse(["pooling=mean|sqrtn"])
    ) == {"pooling": "sqrtn"}


def test_values_to_try_may_have_commas():
    space = search_space.parse(["hidden_layers=8|16,8", "alpha=0.1..3"])
    values = search_space.parse_values("hidden_layers=16,8,alpha=1", space)
    assert values == {"hidden_layers": "16,8", "alpha": 1.0}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["pooling"], "is none of name=low"),
        (["alpha=3..1"], "the lower bound comes first"),
        (["alpha=0..1:log"], "above 0"),
        (["alpha=a..b"], "numbers"),
        (["batch_size=1..2.5:int"], "whole numbers"),
        (["alpha=1|1"], "more than once"),
        (["alpha=1|2", "alpha=1..2"], "alpha more than once"),
    ],
)
def test_bad_search_space(lines, message):
    with pytest.raises(InputError, match=message):
        search_space.parse(lines)


@pytest.mark.parametrize(
    ("line", "message"),
    [("alpha=9", "not between"), ("alpha=x", "no number"), ("tau=1", "a value to each of alpha")],
)
def test_bad_values_to_try(line, message):
    with pytest.raises(InputError, match=message):
        search_space.parse_values(line, search_space.parse(["alpha=0.1..3"]))


class InterruptedSearchError(Exception):
    """A kill."""


class FakeRunner:
    """Runs whose Recall@50 is best at alpha 1; stops after some."""

    def __init__(self, directory: pathlib.Path, *, stop_after: int = 1000, fail: bool = False):
        self.directory, self.stop_after, self.fail = directory, stop_after, fail
        self.taken: list[runner.Run] = []

    def run_all(self, runs):
        for run in runs:
            if len(self.taken) == self.stop_after:
                raise InterruptedSearchError
            self.taken.append(run)
            model_dir = self.directory / run.name
            model_dir.mkdir(parents=True, exist_ok=True)
            recall = 1 - abs(float(run.flags["alpha"]) - 1) + 0.1 * int(run.flags["seed"])
            metrics = {"split": run.flags["eval_split"], "overall": {"recall@50": recall}}
            (model_dir / "metrics.json").write_text(json.dumps(metrics))
            yield runner.Finished(run, model_dir, 1.0, "it broke" if self.fail else None)


def search(directory: pathlib.Path, **settings) -> tune.Search:
    space = search_space.parse(["alpha=0.1..3:log"])
    return tune.Search({"method": "fd"}, space, directory, **settings)


def test_search_finds_the_best_and_writes_its_flags(tmp_path):
    runs = FakeRunner(tmp_path / "runs")
    search(tmp_path, seeds=["0", "1"]).run(20, runs)
    assert len(runs.taken) == 40
    assert {run.flags["eval_split"] for run in runs.taken} == {"validation"}
    best = (tmp_path / "best.flags").read_text()
    alpha = float(best.split("--alpha=")[1])
    alphas = [float(run.flags["alpha"]) for run in runs.taken]
    assert abs(alpha - 1) == min(abs(value - 1) for value in alphas)
    assert "--method=fd\n" in best
    assert f"{1 - abs(alpha - 1) + 0.05:.4f}" in best  # the mean over both seeds


def test_killed_search_goes_on(tmp_path):
    first = FakeRunner(tmp_path / "runs", stop_after=3)
    with pytest.raises(InterruptedSearchError):
        search(tmp_path).run(6, first)
    second = FakeRunner(tmp_path / "runs")
    again = search(tmp_path)
    again.run(6, second)
    # The interrupted fourth trial, then the two that are left.
    assert len(second.taken) == 3
    assert len({run.name for run in first.taken + second.taken}) == 6
    third = FakeRunner(tmp_path / "runs")
    search(tmp_path).run(6, third)
    assert third.taken == []


def test_search_with_other_settings_is_refused(tmp_path):
    search(tmp_path)
    with pytest.raises(InputError, match="another seeds"):
        search(tmp_path, seeds=["5"])


def test_a_search_whose_runs_all_fail_tells_why(tmp_path):
    with pytest.raises(InputError, match="it broke"):
        search(tmp_path).run(3, FakeRunner(tmp_path / "runs", fail=True))


def command(data_dir: pathlib.Path, output_dir: pathlib.Path, *more: str) -> list[str]:
    small = ("hidden_layers=8", "embedding_dim=4", "batch_size=64", "max_steps=4", "method=fd")
    return [
        sys.executable,
        "-m",
        "pipelines.tune",
        f"--data_dir={data_dir}",
        f"--output_dir={output_dir}",
        *(f"--base_flag={flag}" for flag in small),
        "--search=learning_rate=0.01..0.1:log",
        "--num_trials=2",
        *more,
    ]


def test_search_cannot_read_the_test_split(tmp_path):
    data_dir = tmp_path / "data"
    small_dataset.write(data_dir)
    removed = list((data_dir / "pairs").rglob("*test*"))
    assert removed
    for path in removed:
        path.unlink()
    done = subprocess.run(
        command(data_dir, tmp_path / "search", "--try_first=learning_rate=0.05"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "trial 0" in done.stdout
    assert "--learning_rate=0.05" in done.stdout
    runs = [path for path in (tmp_path / "search" / "runs").iterdir() if path.is_dir()]
    assert len(runs) == 2
    for run in runs:
        assert json.loads((run / "metrics.json").read_text())["split"] == "validation"
    best = tmp_path / "search" / "best.flags"
    arguments = [f"--flagfile={best}", f"--model_dir={tmp_path / 'best'}"]
    test = subprocess.run(
        [sys.executable, "-m", "ssl_recsys.train", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert test.returncode != 0  # the test pairs are gone indeed
    assert "test" in test.stderr


@pytest.mark.parametrize("flag", ["--base_flag=eval_split=test", "--search=eval_split=test|none"])
def test_search_cannot_be_told_to_read_the_test_split(tmp_path, flag):
    done = subprocess.run(
        command(tmp_path, tmp_path / "search", flag), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "eval_split" in done.stderr
