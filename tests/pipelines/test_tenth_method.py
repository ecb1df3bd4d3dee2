"""A method that is not the paper's goes through train, study and report."""

import json
import pathlib

import pytest

from pipelines.experiments.studies import figures, process, verdicts
from pipelines.experiments.studies.results import Results
from pipelines.experiments.studies.store import Store
from pipelines.study import StudyOptions
from ssl_recsys.methods import METHODS, Method
from tests import command_line, small_dataset, study_in_process, study_runs

NAME = "fd_do"


@pytest.fixture(name="_method", autouse=True)
def _tenth_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, NAME, Method(("fd",), drops_in_main_task=True))


def test_train_study_and_report(tmp_path: pathlib.Path) -> None:
    small_dataset.write(tmp_path / "data")
    options = command_line.parse(
        StudyOptions,
        f"--data_dir={tmp_path / 'data'}",
        *("--base_flag=embedding_dim=4", "--base_flag=hidden_layers=4"),
        *("--base_flag=batch_size=512", "--base_flag=max_epochs=1"),
        *(f"--methods=baseline,{NAME}", "--learning_rates=0.1", "--alphas=1", "--final_seeds=1"),
        *("--fractions=1,0.5", "--max_epochs_at=0.5:2"),
        "--paper=wikipedia",
    )
    study_in_process.carry_out(options.study(), tmp_path / "study")
    results = json.loads((tmp_path / "study" / "results.json").read_text())
    assert [run["name"] for run in results["runs"]] == [
        "baseline-lr0.1-f0.5-s0-test",
        "baseline-lr0.1-f1-s0-test",
        "baseline-lr0.1-f1-s1000-validation",
        "fd_do-lr0.1-a1-d0.3-f0.5-s0-test",
        "fd_do-lr0.1-a1-d0.3-f1-s0-test",
        "fd_do-lr0.1-a1-d0.3-f1-s1000-validation",
    ]
    assert {run["fraction"]: len(run["curve"]) for run in results["runs"]} == {1.0: 1, 0.5: 2}
    config = json.loads(
        (tmp_path / "study/runs/fd_do-lr0.1-a1-d0.3-f1-s0-test/config.json").read_text()
    )
    assert config["config"]["ssl"]["method"] == NAME
    assert "| DO+FD |" in (tmp_path / "study" / "report.md").read_text()


def test_report_beside_the_papers_methods(tmp_path: pathlib.Path) -> None:
    study = study_runs.study(methods=("baseline", "fd", NAME))
    store = Store(tmp_path)
    process.carry_out(study, store, study_runs.FormulaRunner(store.runs_dir))
    results = Results(study, process.finished_records(study, store))
    drawn = {one.name: figures.to_svg(one) for one in figures.drawings(results, None)}
    for name in ("alpha", "training", "embeddings"):
        assert b"DO+FD" in drawn[name]
    assert b"DO+FD" not in drawn["dropout"]  # the curves are of dropout alone
    assert len({figures._style(name) for name in METHODS}) == len(METHODS)
    assert "DO+FD" in "".join(one.ours for one in verdicts.verdicts(results))
