"""How a run ends: the best weights, their metric, no checkpoints; and the same command again."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from ssl_recsys.data import statistics
from ssl_recsys.errors import InputError
from ssl_recsys.training import run
from ssl_recsys.training.export import load_export
from ssl_recsys.training.trainer import Trainer
from tests.ssl_recsys import commands


def embeddings(model_dir: pathlib.Path) -> np.ndarray:
    return np.load(model_dir / "export" / "item_embeddings.npy")


def read(path: pathlib.Path) -> dict:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def kept(data_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two epochs, whose first validated best, with a mark that hardly any item has."""
    model_dir = tmp_path_factory.mktemp("kept") / "run"
    arguments = ("--max_epochs=2", "--keep_checkpoints", "--select_by=tail_map@10")
    keep_if_best = Trainer._keep_if_best

    def once(trainer: Trainer, value: float) -> None:
        if trainer._read("best") < 0:
            keep_if_best(trainer, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_keep_if_best", once)
        patch.setattr(statistics, "MIN_MISSING_SHARE", 0.9)  # of `quality` a third is missing
        commands.train(*commands.small_run(data_dir, model_dir, *arguments))
    return model_dir


@pytest.fixture
def copied(kept: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(kept, tmp_path / "run"))


def again(data_dir: pathlib.Path, model_dir: pathlib.Path, *more: str) -> None:
    arguments = ("--max_epochs=2", "--select_by=tail_map@10", *more)
    commands.train(*commands.small_run(data_dir, model_dir, *arguments))


def test_history_has_every_slice_and_the_metric_chooses(kept: pathlib.Path) -> None:
    history = json.loads((kept / "history.json").read_text())
    names = [name for name in history[0] if name.startswith("validation_")]
    assert names == [
        f"validation_{part}{metric}@{k}"
        for part in ("", "head_", "tail_")
        for metric in ("recall", "map")
        for k in (10, 50)
    ]
    metrics = read(kept / "metrics.json")
    assert metrics["head"]["num_pairs"] > 0
    assert metrics["tail"]["num_pairs"] > 0
    first = history[0]
    # A mean over all pairs lies between those of its parts.
    parts = sorted([first["validation_head_map@10"], first["validation_tail_map@10"]])
    assert parts[0] <= first["validation_map@10"] <= parts[1]


def test_the_export_leaves_a_rare_mark_out(kept: pathlib.Path) -> None:
    assert read(kept / "export" / "settings.json")["unread_marks"] == ["quality"]
    exported = load_export(kept)
    features = exported.catalog("query").rows(np.arange(2))
    found = [
        exported.query_tower(features | {"quality": np.array([[0, mark]] * 2, np.float32)}).numpy()
        for mark in (0, 1)
    ]
    np.testing.assert_array_equal(*found)


def test_the_same_command_again_has_nothing_to_do(
    data_dir: pathlib.Path,
    copied: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "training_pairs", None)  # not even read
    before = {path: path.stat().st_mtime_ns for path in (copied / "export").rglob("*")}
    again(data_dir, copied, "--keep_checkpoints")
    assert f"{copied} is finished after 62 steps; there is nothing to do" in capsys.readouterr().out
    assert list((copied / "checkpoints").glob("*.index"))
    again(data_dir, copied)  # no longer kept
    assert read(copied / "finished.json")["checkpoints"] == "dropped"
    assert not (copied / "checkpoints").exists()
    assert not (copied / "best").exists()
    again(data_dir, copied, "--eval_split=none")  # asks for less
    again(data_dir, copied, "--keep_checkpoints")
    assert {path: path.stat().st_mtime_ns for path in (copied / "export").rglob("*")} == before
    # Without checkpoints there is no more to be had.
    for more, named in (
        ("--max_epochs=3", "max_epochs: 2 there, 3 now"),
        ("--eval_split=validation", "eval_split: 'test' there, 'validation' now"),
    ):
        with pytest.raises(InputError, match=f"{named}.*were dropped.*another directory, with --k"):
            again(data_dir, copied, more)
    with pytest.raises(InputError, match="a run with other settings"):
        again(data_dir, copied, "--alpha=2")
    shutil.rmtree(copied / "export")
    with pytest.raises(InputError, match=r"export is gone.*were dropped"):
        again(data_dir, copied)


def test_the_best_weights_are_found_without_the_list_of_checkpoints(
    data_dir: pathlib.Path,
    copied: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statistics, "MIN_MISSING_SHARE", 0.9)
    best = embeddings(copied)
    (copied / "best" / "checkpoint").write_bytes(b"\x00damaged")
    asked = ("--patience=9", "--keep_checkpoints")  # asks for something else: it is exported again
    (copied / "export" / "item_embeddings.npy").unlink()
    again(data_dir, copied, *asked)
    assert "resuming from step 62 of 62" in capsys.readouterr().out
    np.testing.assert_allclose(embeddings(copied), best, atol=1e-6)
    for damaged, message in (("", "every checkpoint in .*best is damaged"), (None, "are gone")):
        for path in [*(copied / "best").iterdir()]:
            if damaged is None:
                path.unlink()
            elif ".data" in path.name:
                path.write_text(damaged)
        with pytest.raises(InputError, match=message):
            again(data_dir, copied, "--patience=8", "--keep_checkpoints")
    np.testing.assert_allclose(embeddings(copied), best, atol=1e-6)  # what was there is kept


def test_a_slice_without_validation_pairs_cannot_choose(
    data_dir: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ssl_recsys.evaluation.metrics.head_items", lambda head, counts: np.ones(len(counts), bool)
    )
    with pytest.raises(InputError, match=r"--select_by=tail_map@10, but no validation pair is of"):
        again(data_dir, tmp_path / "run")
