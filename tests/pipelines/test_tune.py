"""The search: what it may choose from, how it resumes, and that it cannot read test pairs."""

import json
import pathlib

import optuna
import pytest

from pipelines import tune
from pipelines.experiments import runner, search_space
from pipelines.experiments.search import Search, naming_database, possible_runs
from ssl_recsys import files
from ssl_recsys.errors import InputError
from tests import command_line, small_dataset
from tests.ssl_recsys import commands


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
        (["alpha=1|1"], r"must be unique \(repeated: 1\)"),
        (["alpha=1|2", "alpha=1..2"], r"must be unique \(repeated: alpha\)"),
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
            slices = {"overall": {"recall@50": recall}, "tail": {"map@10": -recall}}
            metrics = {"split": run.flags["eval_split"], **slices}
            (model_dir / "metrics.json").write_text(json.dumps(metrics))
            yield runner.Finished(run, model_dir, 1.0, "it broke" if self.fail else None)


def search(directory: pathlib.Path, **settings) -> Search:
    space = search_space.parse(["alpha=0.1..3:log"])
    return Search({"method": "fd"}, space, directory, **settings)


def test_search_finds_the_best_and_writes_its_flags(tmp_path):
    runs = FakeRunner(tmp_path / "runs")
    search(tmp_path, seeds=["0", "1"]).carry_out(20, runs)
    assert len(runs.taken) == 40
    assert {run.flags["eval_split"] for run in runs.taken} == {"validation"}
    best = (tmp_path / "best.flags").read_text()
    alpha = float(best.split("--alpha=")[1])
    alphas = [float(run.flags["alpha"]) for run in runs.taken]
    assert abs(alpha - 1) == min(abs(value - 1) for value in alphas)
    assert "--method=fd\n" in best
    assert f"{1 - abs(alpha - 1) + 0.05:.4f}" in best  # the mean over both seeds


@pytest.mark.parametrize("given", ["--metric=tail_map@10", "--base_flag=select_by=tail_map@10"])
def test_a_metric_of_a_slice_chooses_epochs_and_trials(given, tmp_path, data_dir, monkeypatch):
    runs = FakeRunner(tmp_path / "runs")
    monkeypatch.setattr(tune, "LocalRunner", lambda directory, parallel: runs)
    flags = (f"--data_dir={data_dir}", f"--output_dir={tmp_path}", "--base_flag=method=fd")
    searched = ("--search=alpha=0.5|1", "--try_first=alpha=0.5", "--try_first=alpha=1")
    tune.main(command_line.parse(tune.TuneOptions, *flags, *searched, "--num_trials=2", given))
    assert [run.flags["select_by"] for run in runs.taken] == ["tail_map@10"] * 2
    best = (tmp_path / "best.flags").read_text()
    # Recall is .5 and 1: by the fake runs' metric of the tail, the lower one is better.
    assert "tail_map@10 -0.5" in best
    assert "--alpha=0.5" in best
    assert "--select_by=tail_map@10" in best


def test_killed_search_goes_on(tmp_path):
    first = FakeRunner(tmp_path / "runs", stop_after=3)
    with pytest.raises(InterruptedSearchError):
        search(tmp_path).carry_out(6, first)
    second = FakeRunner(tmp_path / "runs")
    again = search(tmp_path)
    again.carry_out(6, second)
    # The interrupted fourth trial, then the two that are left.
    assert len(second.taken) == 3
    assert len({run.name for run in first.taken + second.taken}) == 6
    whole = FakeRunner(tmp_path / "whole" / "runs")
    search(tmp_path / "whole").carry_out(6, whole)
    assert [run.name for run in first.taken + second.taken] == [run.name for run in whole.taken]
    third = FakeRunner(tmp_path / "runs")
    search(tmp_path).carry_out(6, third)
    assert third.taken == []


@pytest.mark.parametrize("step", ["enqueue_trial", "set_user_attr", "tell"])
def test_a_search_killed_while_it_resumes_goes_on(tmp_path, monkeypatch, step):
    first = FakeRunner(tmp_path / "runs", stop_after=3)
    with pytest.raises(InterruptedSearchError):
        search(tmp_path).carry_out(5, first)

    def kill(*arguments, **named):
        raise InterruptedSearchError

    monkeypatch.setattr(optuna.study.Study, step, kill)
    with pytest.raises(InterruptedSearchError):
        search(tmp_path)
    monkeypatch.undo()
    second = FakeRunner(tmp_path / "runs")
    search(tmp_path).carry_out(5, second)
    assert len(second.taken) == 2
    assert len({run.name for run in first.taken + second.taken}) == 5


def test_a_damaged_database_is_named(tmp_path):
    (tmp_path / "study.db").write_text("no database " * 100)
    with (
        pytest.raises(InputError, match=r"study\.db: file is not a database$"),
        naming_database(tmp_path),
    ):
        Search({}, [], tmp_path)


def test_search_with_other_settings_is_refused(tmp_path):
    search(tmp_path)
    with pytest.raises(InputError, match="other seeds"):
        search(tmp_path, seeds=["5"])


def test_a_search_whose_runs_all_fail_tells_why(tmp_path):
    with pytest.raises(InputError, match="it broke"):
        search(tmp_path).carry_out(3, FakeRunner(tmp_path / "runs", fail=True))


def test_possible_runs_have_every_choice_and_the_bounds_of_ranges():
    space = search_space.parse(["alpha=0.1..3:log", "method=fd|fm", "batch_size=8..64:int"])
    flags = [run.flags for run in possible_runs({"data_dir": "x"}, space, ["0"])]
    assert {one["data_dir"] for one in flags} == {"x"}
    assert [(one["alpha"], one["method"], one["batch_size"]) for one in flags] == [
        ("0.1", "fd", "8"),
        ("0.1", "fm", "8"),
        ("3", "fd", "64"),
        ("3", "fm", "64"),
    ]


@pytest.fixture(name="data_dir", scope="module")
def _data_dir(tmp_path_factory):
    """A dataset without test pairs, and without a manifest that would miss them."""
    data_dir = tmp_path_factory.mktemp("tune") / "data"
    small_dataset.write(data_dir)
    removed = list((data_dir / "pairs").rglob("*test*"))
    assert removed
    for path in removed:
        path.unlink()
    (data_dir / files.MANIFEST_FILE).unlink(missing_ok=True)
    return data_dir


def arguments(data_dir: pathlib.Path, output_dir: pathlib.Path, *more: str) -> list[str]:
    small = ("hidden_layers=8", "embedding_dim=4", "batch_size=64", "max_steps=4", "method=fd")
    return [
        f"--data_dir={data_dir}",
        f"--output_dir={output_dir}",
        *(f"--base_flag={flag}" for flag in small),
        "--search=learning_rate=0.01..0.1:log",
        "--num_trials=2",
        *more,
    ]


def test_search_cannot_read_the_test_split(tmp_path, data_dir):
    done = commands.run(
        "pipelines.tune",
        *arguments(data_dir, tmp_path / "search", "--try_first=learning_rate=0.05"),
    )
    assert done.returncode == 0, done.stderr
    assert "trial 0" in done.stdout
    assert "--learning_rate=0.05" in done.stdout
    runs = [path for path in (tmp_path / "search" / "runs").iterdir() if path.is_dir()]
    assert len(runs) == 2
    for run in runs:
        assert json.loads((run / "metrics.json").read_text())["split"] == "validation"
    best = tmp_path / "search" / "best.flags"
    with pytest.raises(InputError, match="test"):  # the test pairs are gone indeed
        commands.train(f"--flagfile={best}", f"--model_dir={tmp_path / 'best'}")


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--base_flag=eval_split=test", "eval_split is not for --base_flag or --search"),
        ("--search=eval_split=test|none", "eval_split is not for --base_flag or --search"),
        ("--base_flag=alhpa=1", "there is no flag --alhpa"),
        ("--search=alhpa=1..2", "there is no flag --alhpa"),
        ("--search=dropout_rate=0.5..1.5", r"--dropout_rate must be in \[0, 1\)"),
        ("--search=pooling=mean|max", "--pooling must be one of mean, sqrtn"),
        ("--search=fm_groups=id;words|id;colour", "'colour', which the dataset lacks"),
        ("--seeds=0,x", "seed"),
        ("--output_dir=", "--output_dir is missing"),
        ("--data_dir=/nonexistent", "is not a dataset directory"),
    ],
)
def test_a_search_checks_its_flags_before_the_first_run(tmp_path, data_dir, flag, message):
    given = arguments(data_dir, tmp_path / "search", "--base_flag=method=fd_fm", flag)
    with pytest.raises((InputError, FileNotFoundError), match=message):
        tune.main(command_line.parse(tune.TuneOptions, *given))
    assert not (tmp_path / "search").exists()


def test_a_search_has_its_directory_alone(tmp_path, data_dir):
    given = arguments(data_dir, tmp_path, "--base_flag=method=fd")
    with files.locked(tmp_path), pytest.raises(InputError, match="in use by another process"):
        tune.main(command_line.parse(tune.TuneOptions, *given))
    assert [path.name for path in tmp_path.iterdir()] == [files.LOCK_FILE]


def test_a_search_needs_something_to_search():
    with pytest.raises(InputError, match="--search is missing"):
        command_line.parse(tune.TuneOptions, "--data_dir=x")
