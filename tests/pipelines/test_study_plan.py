"""What a study runs, in which order, and what its choices rest on."""

import collections
import dataclasses

import pytest

from pipelines.experiments import runner
from pipelines.experiments.base_flags import RunsOptions
from pipelines.experiments.studies import plan, results
from pipelines.experiments.studies.settings import OWN_FLAGS, Study, parse_epochs
from pipelines.experiments.studies.store import Record
from ssl_recsys.config.method import SSLConfig
from ssl_recsys.errors import InputError
from ssl_recsys.methods import METHODS
from tests import study_runs


def test_stages_wait_for_the_choices_that_they_rest_on():
    study = study_runs.study()
    assert list(plan.stages(study, {})) == ["tune"]
    scores = {run: run.learning_rate for run in plan.tune_runs(study)}  # 0.1 is best
    found = plan.stages(study, scores)
    assert list(found) == ["tune", "alpha", "dropout"]
    assert {run.learning_rate for run in found["alpha"]} == {0.1}
    scores |= {run: -run.alpha for run in found["alpha"]}  # 0.1 is best
    final = plan.stages(study, scores)["final"]
    assert {run.alpha for run in final if run.method == "fd"} == {0.1}
    assert {run.alpha for run in final if run.method != "fd"} == {None}
    assert {run.fraction for run in final} == {1.0, 0.1}
    assert len(final) == 3 * 2 * 3  # methods, fractions, seeds


def test_sizes_are_those_of_the_stages():
    study = study_runs.study(methods=tuple(METHODS), alphas=(0.1, 1.0, 3.0))
    # 2 rates; 7 methods with 3 alphas; FD and DO at 3 rates, FD at 0.3 being there; 9 x 2 x 3.
    assert plan.stage_sizes(study) == {"tune": 2, "alpha": 21, "dropout": 5, "final": 54}
    scores = collections.defaultdict(float, dict.fromkeys(plan.tune_runs(study), 1.0))
    scores |= dict.fromkeys(plan.alpha_runs(study, 0.05), 0.0)
    found = plan.stages(study, scores)
    assert {stage: len(runs) for stage, runs in found.items()} == plan.stage_sizes(study)
    runs = [run for stage in found.values() for run in stage]
    assert len({run.name for run in runs}) == len(set(runs)) == len(runs)


def test_choosing_runs_read_no_test_pairs_and_share_no_seed_with_final_ones():
    study = study_runs.study()
    chosen = plan.Choices(0.05, {"fd": 1.0})
    choosing = plan.tune_runs(study) + plan.alpha_runs(study, 0.05) + plan.dropout_runs(study, 0.05)
    final = plan.final_runs(study, chosen)
    assert {run.training_run(study).flags["eval_split"] for run in choosing} == {"validation"}
    assert {run.training_run(study).flags["eval_split"] for run in final} == {"test"}
    assert not {run.seed for run in choosing} & {run.seed for run in final}


def test_choices_are_the_best_means_and_the_lower_of_equals():
    study = study_runs.study(choosing_seeds=2)
    low, low_too, high, high_too = plan.tune_runs(study)
    # Means 0.2 and 0.25; the best single run is at the lower rate.
    scores = {low: 0.4, low_too: 0.0, high: 0.25, high_too: 0.25}
    assert plan.choose_learning_rate(study, scores) == 0.1
    scores[low_too] = 0.1
    assert plan.choose_learning_rate(study, scores) == 0.05  # both 0.25
    del scores[low]
    assert plan.choose_learning_rate(study, scores) is None


def test_choices_never_see_test_metrics():
    study = study_runs.study()

    def record(run, value):
        metrics = {"split": run.split, "overall": {"recall@50": value}}
        return Record(run, metrics, (), {}, None, 0.0)

    tune = plan.tune_runs(study)
    records = {run: record(run, run.learning_rate) for run in tune}
    on_test = {
        dataclasses.replace(run, split="test"): record(
            dataclasses.replace(run, split="test"), 1 - run.learning_rate
        )
        for run in tune
    }
    scores = results.validation_scores(records | on_test)
    assert scores == {run: run.learning_rate for run in tune}
    # A validation run whose file turns out to be on test pairs is not a score either.
    misplaced = {tune[0]: dataclasses.replace(records[tune[0]], metrics={"split": "test"})}
    assert results.validation_scores(misplaced) == {}


def test_runs_have_the_base_flags_and_their_own():
    study = study_runs.study()
    chosen = plan.Choices(0.05, {"fd": 3.0})
    runs = {run.name: run.training_run(study) for run in plan.final_runs(study, chosen)}
    assert runs["fd-lr0.05-a3-d0.3-f0.1-s2-test"].flags == {
        "data_dir": "data/none",
        "max_epochs": "6",  # of this fraction
        "method": "fd",
        "learning_rate": "0.05",
        "alpha": "3",
        "dropout_rate": "0.3",
        "train_fraction": "0.1",
        "seed": "2",
        "eval_split": "test",
    }
    baseline = runs["baseline-lr0.05-f1-s0-test"].flags
    assert "alpha" not in baseline
    assert baseline["max_epochs"] == "3"


def test_base_flags_come_from_a_file_and_overrides(tmp_path):
    path = tmp_path / "base.flags"
    path.write_text(
        "# a comment\n--method=fd\n--model_dir=runs/x\n--data_dir=data/x\n--logq_correction\n"
        "--nojit_compile\n--hidden_layers=8,4\n--batch_size=64\n"
    )
    runs = RunsOptions(str(path), ("batch_size=32", "learning_rate=1"))
    assert runs.shared(OWN_FLAGS) == {
        "data_dir": "data/x",
        "logq_correction": "true",
        "jit_compile": "false",
        "hidden_layers": "8,4",
        "batch_size": "32",
    }
    with pytest.raises(InputError, match=r"no flag file .*missing\.flags"):
        RunsOptions(str(tmp_path / "missing.flags")).shared(OWN_FLAGS)
    with pytest.raises(InputError, match="as name=value, got '--batch size=3'"):
        RunsOptions(base_flag=("batch size=3",)).shared(OWN_FLAGS)
    with pytest.raises(InputError, match="no dataset: give --data_dir"):
        RunsOptions().shared(OWN_FLAGS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"methods": ("fd",)}, "first of --methods must be baseline"),
        ({"methods": ("baseline", "xx")}, r"methods must be one of baseline, .* \(got 'xx'\)"),
        ({"alphas": ()}, "--alphas needs"),
        ({"learning_rates": ()}, "--learning_rates is missing: give at least one"),
        ({"fractions": (1.0, 0.01, 0.1)}, "must go from 1, all training pairs, down"),
        ({"fractions": (0.1,), "max_epochs_at": ()}, r"must go from 1.* \(got 0.1\)"),
        ({"fractions": (), "max_epochs_at": ()}, "must go from 1"),
        ({"fractions": (1.0, 1.0)}, r"--fractions must be unique \(repeated: 1.0\)"),
        ({"final_seeds": 0}, r"--final_seeds must be at least 1 \(got 0\)"),
        ({"max_epochs_at": ((0.5, 3),)}, "names 0.5, which --fractions lacks"),
        ({"base": {}}, "--data_dir is missing"),
        ({"base": {"data_dir": "x", "alhpa": "1"}}, r"no flag --alhpa \(similar: --alpha"),
        ({"base": {"data_dir": "x", "temperature": "-1"}}, "--temperature must be greater than 0"),
        ({"base": {"data_dir": "x", "seed": "1"}}, "sets seed"),
    ],
)
def test_studies_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        study_runs.study(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [  # each value comes to light in the flags of some run
        ({"alphas": (1.0, -1.0)}, r"--alpha must be at least 0 \(got -1.0\)"),
        ({"learning_rates": (0.1, 0.0)}, "--learning_rate must be greater than 0"),
        ({"dropout_rates": (1.0,)}, r"--dropout_rate must be in \[0, 1\)"),
        ({"max_epochs_at": ((0.1, 0),)}, "--max_epochs must be at least 1"),
        (
            {
                "methods": ("baseline", "fm"),
                "base": {"data_dir": "x", "fm_groups": "id;colour"},
            },
            "'colour', which the dataset lacks",
        ),
    ],
)
def test_the_flags_of_every_run_are_checked_before_the_first(fields, message):
    study = study_runs.study(**fields)
    runs = [run for stage in plan.expected_stages(study).values() for run in stage]
    with pytest.raises(InputError, match=message):
        runner.check_flags((run.training_run(study) for run in runs), study_runs.INFO)


def test_the_default_dropout_rate_is_that_of_the_training_flags():
    base = {"data_dir": "x"}
    default = SSLConfig().dropout_rate
    runs = plan.alpha_runs(study_runs.study(base=base), 0.05)
    assert {run.dropout_rate for run in runs} == {default}
    runs = plan.alpha_runs(study_runs.study(base=base | {"dropout_rate": "0.45"}), 0.05)
    assert {run.dropout_rate for run in runs} == {0.45}


def test_epochs_of_fractions():
    assert parse_epochs("0.1:20, 0.01:60") == ((0.1, 20), (0.01, 60))
    assert parse_epochs("") == ()


def test_methods_without_tasks_need_no_alpha():
    study = study_runs.study(methods=("baseline", "do"), alphas=())
    assert isinstance(study, Study)
    assert plan.stage_sizes(study)["alpha"] == 0
