"""Settings that choose themselves: sizes, probes, the record, resume."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from ssl_recsys.errors import InputError
from ssl_recsys.training import auto, probes
from ssl_recsys.training.probes import Probe, better
from tests.ssl_recsys import commands


@pytest.mark.parametrize(
    ("num_pairs", "batch"),
    [(2, 2), (50, 50), (700, 64), (43_000, 256), (71_000, 256), (173_000, 512), (10**8, 8192)],
)
def test_batches_grow_with_the_root_of_the_pairs(num_pairs: int, batch: int) -> None:
    assert auto.by_size(num_pairs)["batch_size"] == batch


@pytest.mark.parametrize("num_pairs", [2, 3, 63, 700, 11_008, 71_000, 10**6, 10**8])
def test_lengths_are_steps_on_any_catalogue(num_pairs: int) -> None:
    chosen = auto.by_size(num_pairs)
    steps = max(1, num_pairs * chosen["passes_per_epoch"] // chosen["batch_size"])
    assert steps >= auto.EPOCH_STEPS
    epochs = chosen["max_epochs"]
    is_long = epochs == auto.LEAST_EPOCHS
    assert is_long or auto.MOST_STEPS <= epochs * steps < auto.MOST_STEPS + steps
    assert chosen["patience"] * steps >= auto.PATIENCE_STEPS
    assert chosen["patience"] <= max(auto.PATIENCE_EPOCHS, auto.PATIENCE_STEPS // steps + 1)


def probe(alpha: float, num_found: int) -> Probe:
    return Probe(alpha, 0.1, np.where(np.arange(100) < num_found, 1, 99).astype(np.int32))


def test_another_value_must_be_better_beyond_the_noise() -> None:
    queries = np.arange(100)
    usual = probe(0.1, 50)
    # One pair more: the difference .01 has the standard error sqrt(.01 * .99) / 10 = .00995.
    assert better(usual, [probe(1.0, 51)], queries).alpha == 1.0
    # Five pairs of one query: .05, and as an error sqrt(100) * 5 / 100 * std of one in 100.
    clustered = queries.copy()
    clustered[50:55] = 50
    assert better(usual, [probe(1.0, 55), probe(0.0, 50)], clustered).alpha == 1.0
    # Better for 6 pairs, worse for 5: noise.
    mixed = Probe(0.0, 0.1, usual.ranks.copy())
    mixed.ranks[50:56], mixed.ranks[:5] = 1, 99
    assert mixed.recall > usual.recall
    assert better(usual, [mixed], queries) is usual
    assert better(usual, [], queries) is usual


def test_a_probe_that_was_given_up_is_never_better() -> None:
    ahead = dataclasses.replace(probe(1.0, 90), is_given_up=True)
    assert better(probe(0.1, 50), [ahead, probe(0.0, 50)], np.arange(100)).alpha == 0.1


def test_a_probe_is_hopeless_beyond_four_standard_errors() -> None:
    queries = np.arange(100)
    usual = dataclasses.replace(probe(0.1, 60), halfway=probe(0.1, 50).ranks)
    # d pairs fewer are d / 100, and their error sqrt(d / 100 (1 - d / 100)) / 10: 4.20 of them
    # for 15, 3.87 for 13.
    assert probes.is_hopeless(usual, probe(1.0, 50 - 15).ranks, queries)
    assert not probes.is_hopeless(usual, probe(1.0, 50 - 13).ranks, queries)
    assert not probes.is_hopeless(usual, probe(1.0, 60).ranks, queries)
    assert not probes.is_hopeless(None, probe(1.0, 0).ranks, queries)
    assert not probes.is_hopeless(probe(0.1, 60), probe(1.0, 0).ranks, queries)


def arguments(data_dir: pathlib.Path, model_dir: pathlib.Path, *more: str) -> list[str]:
    given = commands.small_run(data_dir, model_dir, "--auto", "--method=fd", *more)
    chosen = ("--batch_size", "--learning_rate", "--max_epochs")
    return [flag for flag in given if not flag.startswith(chosen)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve steps an epoch, two epochs, two steps a probe."""
    for name, value in (
        ("LEAST_BATCH", 256),
        ("EPOCH_STEPS", 6),
        ("MOST_STEPS", 12),
        ("LEAST_EPOCHS", 2),
        ("PROBE_SHARE", 1 / 6),
        ("LEARNING_RATES", (0.2,)),
    ):
        monkeypatch.setattr(auto, name, value)


def test_a_run_chooses_its_settings_once(
    quick: None,
    data_dir: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model_dir = tmp_path / "run"
    commands.train(*arguments(data_dir, model_dir))
    shown = capsys.readouterr().out
    record = json.loads((model_dir / "auto.json").read_text())
    config = json.loads((model_dir / "config.json").read_text())["config"]
    names = ("mixed_negatives", "alpha", "learning_rate")
    tried = [tuple(one[name] for name in names) for one in record["probes"]]
    drawn = record["chosen"]["mixed_negatives"]
    assert tried[:2] == [(0, 0.1, 0.1), (64, 0.1, 0.1)]
    alpha = record["chosen"]["alpha"]
    alphas = [0.3] if alpha == 0.3 else [0.3, 0.0]  # 0 is not tried where .3 is better
    assert tried[2:] == [*((drawn, one, 0.1) for one in alphas), (drawn, alpha, 0.2)]
    recalls = [one["validation_recall@50"] for one in record["probes"]]
    assert len(set(recalls)) > 1  # alpha and rate reach the compiled step
    assert record["chosen"].keys() == record["why"].keys() | {"method"} & record["chosen"].keys()
    for section in ("training", "loss"):
        for name, value in record["chosen"].items():
            assert config[section].get(name, value) == value
    assert config["training"]["batch_size"] == 256
    assert f"auto: --batch_size=256  ({record['why']['batch_size']})" in shown
    # The same command again has nothing to do, and nothing to choose.
    monkeypatch.setattr(auto, "choose", None)
    commands.train(*arguments(data_dir, model_dir))
    assert "there is nothing to do" in capsys.readouterr().out
    with pytest.raises(InputError, match="temperature"):
        commands.train(*arguments(data_dir, model_dir, "--temperature=0.2"))


def test_a_probe_far_behind_is_given_up_halfway(
    quick: None,
    data_dir: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(auto, "PROBE_SHARE", 2)  # 28 steps, in calls of 7
    monkeypatch.setattr(probes, "HOPELESS", -np.inf)
    commands.train(*arguments(data_dir, tmp_path / "run", "--eval_split=none"))
    record = json.loads((tmp_path / "run" / "auto.json").read_text())
    steps = [one["steps"] for one in record["probes"]]
    # The usual probe, mixed negatives before it; then both alphas and the rate against it.
    assert (steps[:2], set(steps[2:])) == ([28, 28], {14})
    assert record["chosen"]["alpha"] == 0.1
    assert "given up after 14" in record["why"]["learning_rate"]
    assert "validation Recall@50" in capsys.readouterr().out


def test_ids_of_few_pairs_are_probed_where_items_have_ids(
    quick: None, apps_dir: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "ID_MIN_COUNT", 3)
    commands.train(*arguments(apps_dir, tmp_path / "run"))
    record = json.loads((tmp_path / "run" / "auto.json").read_text())
    names = ("mixed_negatives", "id_min_count", "alpha", "learning_rate")
    tried = [tuple(one[name] for name in names) for one in record["probes"]]
    drawn, least = (record["chosen"][name] for name in names[:2])
    assert tried[:3] == [(0, 0, 0.1, 0.1), (1, 0, 0.1, 0.1), (drawn, 3, 0.1, 0.1)]
    assert {(one[0], one[1]) for one in tried[3:]} == {(drawn, least)}
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert config["tower"]["id_min_count"] == least


def test_what_is_chosen_is_not_given(data_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match="--auto chooses --batch_size; leave out one"):
        commands.train(*arguments(data_dir, tmp_path / "run"), "--batch_size=8")
    assert not (tmp_path / "run").exists()
