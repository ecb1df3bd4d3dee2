"""`evaluate`: what is shown, slices of a user's own, models compared."""

import json
import pathlib
import re
import shutil

import numpy as np
import pytest

from ssl_recsys import evaluate
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation.table import format_table
from tests import command_line
from tests.ssl_recsys import commands


@pytest.fixture(scope="module")
def runs(data_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A trained run `one`, and `other`, which is the same with its items in another order."""
    path = tmp_path_factory.mktemp("runs")
    commands.train(*commands.small_run(data_dir, path / "one", "--max_epochs=2"))
    shutil.copytree(path / "one", path / "other")
    file = path / "other" / "export" / "item_embeddings.npy"
    np.save(file, np.random.default_rng(0).permutation(np.load(file)))
    return path


def run(*arguments: str) -> None:
    evaluate.main(command_line.parse(evaluate.EvaluateOptions, "--noverify", *arguments))


def test_models_are_compared_on_their_pairs(
    runs: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (f"--model_dir={runs / 'one'},{runs / 'other'}", "--compare", "--show=recall")
    run(*arguments, f"--compare_output={tmp_path / 'found.json'}", "--slice=tags=")
    shown = capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["first"] == str(runs / "one")
    recall = found["others"][str(runs / "other")]["overall"]["recall@10"]
    metrics = {name: json.loads((runs / name / "metrics.json").read_text()) for name in DIRS}
    values = [metrics[name]["overall"]["recall@10"] for name in DIRS]
    assert [recall["first"], recall["second"]] == pytest.approx(values)
    # Items in a wrong order are found by chance.
    assert values[1] < values[0] - 0.1
    assert recall["low"] < recall["difference"] < recall["high"] < 0
    assert recall["p_value"] == 1e-4  # no swap of 9,999 is as large
    line = re.search(r"^overall +R@10 .*$", shown, re.MULTILINE)
    assert line is not None
    assert line[0].endswith("p 0.0001")
    assert "tags=" in found["others"][str(runs / "other")]


DIRS = ("one", "other")


def test_sections_are_shown_on_request(
    runs: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(f"--model_dir={runs / 'one'}", "--show=ndcg,hit_rate,intervals,frequency,recommended")
    lines = capsys.readouterr().out.splitlines()
    result = json.loads((runs / "one" / "metrics.json").read_text())
    assert lines[2].split(" | ")[1].split() == ["NDCG@10", "NDCG@50", "HR@10", "HR@50"]
    low, high = result["intervals"]["overall"]["ndcg@10"]
    start = f"one: 95% interval, overall: NDCG@10 [{low:.4f}, {high:.4f}]  NDCG@50 ["
    assert any(line.startswith(start) for line in lines)
    assert low < result["overall"]["ndcg@10"] < high
    first = result["by_frequency"][0]
    line = f"one: items with 0 training pairs ({first['num_pairs']:,})  R@50 "
    assert any(text.startswith(line) for text in lines)
    coverage = result["recommended"]["coverage@10"]
    assert f"coverage@10 {coverage:.4f}" in lines[-1]
    # Without a request the table is all there is.
    assert len(format_table({"one": result}).splitlines()) == 6


def test_an_own_slice_has_the_pairs_of_its_items(
    runs: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(f"--model_dir={runs / 'one'}", "--slice=tags=")
    result = json.loads((runs / "one" / "metrics.json").read_text())
    _, items = np.load(runs / "one" / "export" / "pairs_test.npy")
    # Every tenth item has no tags.
    assert result["slices"]["tags="]["num_pairs"] == np.sum(items % 10 == 0) > 0
    assert f"one: tags= ({np.sum(items % 10 == 0)})  R@10 " in capsys.readouterr().out
    with pytest.raises(InputError, match="no feature 'colour'"):
        run(f"--model_dir={runs / 'one'}", "--slice=colour=red")


def test_what_cannot_be_compared_is_refused(runs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match="at least two directories"):
        run(f"--model_dir={runs / 'one'}", "--compare")
    with pytest.raises(InputError, match="--compare only"):
        run(f"--model_dir={runs / 'one'}", "--compare_output=x.json")
    with pytest.raises(InputError, match="must be unique"):
        run(f"--model_dir={runs / 'one'},{runs / 'one'}", "--compare")
    shutil.copytree(runs / "one", tmp_path / "run")
    settings = tmp_path / "run" / "export" / "settings.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"exclude_query": True}))
    arguments = (f"--model_dir={runs / 'one'},{tmp_path / 'run'}", "--compare")
    with pytest.raises(InputError, match="give --exclude_query or --noexclude_query"):
        run(*arguments)
    file = tmp_path / "run" / "export" / "pairs_test.npy"
    np.save(file, np.load(file)[:, ::-1])
    with pytest.raises(InputError, match="models of different datasets"):
        run(*arguments)
