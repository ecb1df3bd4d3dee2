"""What a run shows: a line for each epoch, or a bar on a terminal."""

import sys

import pytest

from ssl_recsys.training.progress import Progress

VALUES = {
    "recall@10": 0.125,
    "recall@50": 0.25,
    "head_recall@10": 0.5,
    "head_recall@50": 0.75,
    "tail_recall@10": None,
    "tail_recall@50": None,
    "tail_map@10": 0.0625,
}


def two_epochs(selected_by: str = "recall@50") -> None:
    with Progress("fd", total_steps=2000, step=0, total_epochs=2) as progress:
        progress.tracing()
        progress.steps(1, 500, 2.5)
        progress.saved(1)
        progress.steps(1, 500, 2.25)
        progress.epoch(1, VALUES, selected_by)
        progress.steps(2, 1000, 2.0)
        progress.epoch(2, {}, selected_by)


def test_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    two_epochs()
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert lines[:2] == [
        "tracing the training step, which takes some seconds …",
        "epoch 1/2  step 500/2,000  loss 2.5000  checkpoint written",
    ]
    # Seconds come last.
    assert [line.rpartition("  ")[0] for line in lines[2:]] == [
        "epoch 1/2  step 1,000/2,000  loss 2.2500  validation recall@10/50 0.1250 / 0.2500  "
        "head 0.5000 / 0.7500  tail - / -",
        "epoch 2/2  step 2,000/2,000  loss 2.0000",
    ]
    assert all(line.endswith(" s") for line in lines[2:])
    assert "\r" not in shown.err


def test_another_metric_that_chooses_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    two_epochs("tail_map@10")
    assert "tail - / -  tail_map@10 0.0625  " in capsys.readouterr().err


def test_a_bar_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    two_epochs()
    shown = capsys.readouterr().err
    assert "tracing the training step" in shown
    assert "\rtrain fd epoch 2 loss 2.0000: 100%" in shown
    assert "validation recall@50 0.2500" in shown
    assert "epoch 1/2" not in shown
