"""The runner of training runs: parallel, bounded, its failures reported with their log."""

import pathlib

import pytest

from pipelines.experiments import runner
from ssl_recsys import manifest, schema
from ssl_recsys.errors import InputError
from tests import small_dataset


@pytest.fixture(name="dataset", scope="module")
def _dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runner") / "data"
    small_dataset.write(directory)
    manifest.write(directory)
    with (directory / schema.DATASET_FILE).open("a") as file:
        file.write(" ")  # runs do not verify: who starts them does, once
    return directory


def _run(name: str, dataset: pathlib.Path, **flags: str) -> runner.Run:
    small = {"hidden_layers": "8", "embedding_dim": "4", "batch_size": "64", "max_steps": "2"}
    return runner.Run(name, {"data_dir": str(dataset), **small, **flags})


def test_runs_write_their_models_and_logs_and_failures_are_reported(tmp_path, dataset):
    runs = [
        _run("bad", dataset, temperature="-1"),
        _run("good", dataset),
        _run("last", dataset, temperature="-1"),
    ]
    finished = {one.run.name: one for one in runner.LocalRunner(tmp_path, parallel=2).run_all(runs)}
    assert set(finished) == {"good", "bad", "last"}
    assert finished["good"].error is None
    assert (tmp_path / "good" / "metrics.json").is_file()
    assert "overall" in (tmp_path / "good.log").read_text()
    runner.check(finished["good"])
    for name in ("bad", "last"):
        with pytest.raises(
            InputError, match=rf"run {name} failed .*{name}.log(.|\n)*temperature must be"
        ):
            runner.check(finished[name])


def test_the_next_run_is_taken_only_when_there_is_room(tmp_path, dataset):
    taken = []

    def runs():
        for number in range(3):
            taken.append(number)
            yield _run(f"run{number}", dataset, temperature="-1")  # ends at once

    results = runner.LocalRunner(tmp_path, parallel=1).run_all(runs())
    assert not taken
    next(results)
    assert taken == [0]
    assert len(list(results)) == 2


def test_a_stopped_runner_ends_its_processes(tmp_path, dataset):
    runs = [_run("bad", dataset, temperature="-1"), _run("long", dataset, max_steps="1000000")]
    running = []
    results = runner.LocalRunner(tmp_path, parallel=2).run_all(runs)
    original = runner._Process

    class Recorded(original):
        def __init__(self, *args):
            super().__init__(*args)
            running.append(self)

    runner._Process = Recorded
    try:
        assert next(results).run.name == "bad"
        results.close()
    finally:
        runner._Process = original
    assert all(process.has_ended() for process in running)


def test_flags_are_read_from_a_file_and_overridden(tmp_path):
    path = tmp_path / "a.flags"
    path.write_text("# A comment\n--seed=3\n--logq_correction\n--nosymmetric_loss\n--alpha=1\n")
    assert runner.read_flags(str(path), ["alpha=2", "--pooling=mean"]) == {
        "seed": "3",
        "logq_correction": "true",
        "symmetric_loss": "false",
        "alpha": "2",
        "pooling": "mean",
    }
    with pytest.raises(InputError, match="no flag file"):
        runner.read_flags(str(tmp_path / "other.flags"), [])
    with pytest.raises(InputError, match="name=value"):
        runner.read_flags("", ["learning rate=1"])


@pytest.mark.parametrize(
    ("cores", "parallel", "expected"),
    [
        ([0, 1], 2, [[0], [1]]),
        ([0, 1, 2, 3], 2, [[0, 1], [2, 3]]),
        ([4, 5], 1, [[4, 5]]),
        ([0, 1], 3, [[0], [1], [0]]),
    ],
)
def test_cores_are_shared(cores, parallel, expected):
    assert runner._share(cores, parallel) == expected
