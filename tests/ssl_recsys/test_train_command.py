"""`train`, `evaluate` and `recommend` end to end, and after a kill in the middle."""

import json
import pathlib
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from ssl_recsys.data.dataset import Dataset
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation.metrics import top_popular_ranks
from ssl_recsys.schema import ITEM
from ssl_recsys.training.export import load_export
from tests.ssl_recsys import commands

ARGUMENTS = ("--method=fd_fm_so", "--dropout_granularity=value", "--logq_correction")


@pytest.fixture(scope="module")
def trained(data_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    model_dir = tmp_path_factory.mktemp("trained") / "run"
    done = commands.run("ssl_recsys.train", *commands.small_run(data_dir, model_dir, *ARGUMENTS))
    assert done.returncode == 0, done.stderr
    assert "overall" in done.stdout
    return model_dir


def test_metrics_file_has_the_documented_form(trained: pathlib.Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["split"] == "test"
    assert metrics["retrieval"] == "exact"
    assert metrics["num_items"] == 120
    for part in ("overall", "head", "tail"):
        assert {"num_pairs", "recall@10", "recall@50", "map@10", "map@50"} <= set(metrics[part])
        assert part in metrics["baselines"]["top_popular"]
    pairs = metrics["head"]["num_pairs"] + metrics["tail"]["num_pairs"]
    assert pairs == metrics["overall"]["num_pairs"] == metrics["num_pairs"]
    # 120 items of 8 topics: a guess puts an item among 50 in 42% of the cases.
    assert metrics["overall"]["recall@50"] > 0.7


def test_top_popular_counts_the_runs_own_pairs(
    data_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    arguments = ("--train_fraction=0.2", "--max_epochs=1")
    commands.train(*commands.small_run(data_dir, tmp_path / "run", *arguments))
    dataset = Dataset(data_dir)
    items = dataset.pairs("test").item_row
    pairs = dataset.training_pairs(batch_size=64, seed=0, fraction=0.2)
    recall = {
        name: np.mean(top_popular_ranks(counts, items) <= 10)
        for name, counts in (("own", pairs.item_counts), ("all", dataset.catalog(ITEM).train_count))
    }
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found["baselines"]["top_popular"]["overall"]["recall@10"] == pytest.approx(recall["own"])
    assert recall["own"] != recall["all"]


def test_run_directory_holds_what_serving_needs(trained: pathlib.Path) -> None:
    history = json.loads((trained / "history.json").read_text())
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert all(0 <= record["validation_recall@50"] <= 1 for record in history)
    assert list((trained / "logs").glob("events*"))
    embeddings = np.load(trained / "export" / "item_embeddings.npy")
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, rtol=1e-5)


def test_evaluate_and_recommend_need_only_the_run(
    trained: pathlib.Path, data_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    before = json.loads((trained / "metrics.json").read_text())
    moved = tmp_path / "moved"
    (trained / "export").rename(moved)
    try:
        (tmp_path / "run").mkdir()
        moved.rename(tmp_path / "run" / "export")
        done = commands.run(
            "ssl_recsys.evaluate", f"--model_dir={tmp_path / 'run'}", "--retrieval=scann"
        )
        assert done.returncode == 0, done.stderr
        # Exact metrics are not replaced.
        assert not (tmp_path / "run" / "metrics.json").exists()
        metrics = json.loads((tmp_path / "run" / "metrics_scann.json").read_text())
        assert metrics["retrieval"] == "scann"
        assert metrics["scann"]["recall@10_vs_exact"] >= 0.97
        assert metrics["overall"]["recall@50"] == pytest.approx(
            before["overall"]["recall@50"], abs=0.01
        )
        shown = commands.run(
            "ssl_recsys.recommend", f"--model_dir={tmp_path / 'run'}", "--query=item 5", "--k=3"
        )
    finally:
        (tmp_path / "run" / "export").rename(trained / "export")
    assert shown.returncode == 0, shown.stderr
    lines = [line for line in shown.stdout.splitlines() if line.strip()]
    assert lines[0].startswith("item 5  Item 5 of topic")
    assert len(lines) == 4
    assert not any("item 5  " in line for line in lines[1:])


def test_an_export_of_another_version_is_refused(
    trained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(trained / "export", tmp_path / "run" / "export")
    path = tmp_path / "run" / "export" / "catalog.npz"
    with np.load(path) as arrays:
        np.savez(path, **{name: array for name, array in arrays.items() if name != "item_counts"})
    with pytest.raises(InputError, match=r"catalog.npz lacks item_counts.*train the run again"):
        load_export(tmp_path / "run", verify=False)
    with pytest.raises(InputError, match=r"catalog.npz is damaged"):
        load_export(tmp_path / "run")


def test_damage_of_any_file_of_an_export_is_named(
    trained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    export = tmp_path / "run" / "export"
    shutil.copytree(trained / "export", export)
    paths = [path for path in export.rglob("*") if path.is_file() and path.name != "manifest.json"]
    assert len(paths) > 8
    for path in paths:
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if whole else b"x")
        with pytest.raises(InputError, match=f"{path.name} is damaged"):
            load_export(tmp_path / "run")
        path.write_bytes(whole)
    (export / "keys.txt").rename(export / "keys2.txt")
    with pytest.raises(InputError, match=r"keys.txt is missing"):
        load_export(tmp_path / "run")
    (export / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"no manifest.json: it is not complete, or an earlier"):
        load_export(tmp_path / "run")


def test_other_settings_are_refused_in_the_same_directory(
    trained: pathlib.Path, data_dir: pathlib.Path
) -> None:
    arguments = commands.small_run(data_dir, trained, *ARGUMENTS, "--alpha=0.1")
    with pytest.raises(InputError, match=r"alpha: 1\.0 there, 0\.1 now"):
        commands.train(*arguments)


def test_diverging_run_stops_with_advice(data_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    arguments = commands.small_run(data_dir, tmp_path / "run", "--learning_rate=1e38")
    with pytest.raises(InputError, match=r"the loss stopped being finite.*Lower --learning_rate"):
        commands.train(*arguments)
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_early_stopping(data_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    # Steps too small to change a ranking: nothing after the first epoch is a gain.
    arguments = commands.small_run(
        data_dir, tmp_path / "run", "--learning_rate=1e-20", "--patience=2", "--max_epochs=9"
    )
    commands.train(*arguments)
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert [record["epoch"] for record in history] == [1, 2, 3]


def test_killed_run_resumes_to_the_same_metrics(
    trained: pathlib.Path, data_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    model_dir = tmp_path / "killed"
    arguments = commands.small_run(data_dir, model_dir, *ARGUMENTS, "--checkpoint_minutes=1e-6")
    process = subprocess.Popen(
        commands.command("ssl_recsys.train", *arguments),
        cwd=commands.ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait_for_checkpoint(process, model_dir)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (model_dir / "metrics.json").exists()
    done = commands.run("ssl_recsys.train", *arguments)
    assert done.returncode == 0, done.stderr
    assert "resuming from step" in done.stdout
    resumed, straight = (
        json.loads((path / "metrics.json").read_text()) for path in (model_dir, trained)
    )
    for part in ("overall", "head", "tail"):
        assert resumed[part] == pytest.approx(straight[part], abs=2e-3), part
    np.testing.assert_allclose(
        np.load(model_dir / "export" / "item_embeddings.npy"),
        np.load(trained / "export" / "item_embeddings.npy"),
        atol=2e-3,
    )


def test_a_signal_leaves_a_checkpoint_and_a_line(
    data_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    model_dir = tmp_path / "stopped"
    arguments = commands.small_run(data_dir, model_dir, "--max_epochs=2000")
    with subprocess.Popen(
        commands.command("ssl_recsys.train", *arguments),
        cwd=commands.ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        _wait_for_checkpoint(process, model_dir)
        done = commands.run("ssl_recsys.train", *arguments)  # a second owner
        assert done.returncode == 2
        assert f"{model_dir} is in use by another process" in done.stderr
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        last_line = process.stderr.read().splitlines()[-1]
        assert process.wait() == 128 + signal.SIGTERM
    assert re.fullmatch(
        r"stopped by SIGTERM at step \d+; a checkpoint is written; run the same command again to "
        "resume",
        last_line,
    )
    step = int(re.findall(r"step (\d+)", last_line)[0])
    commands.train(*arguments, f"--max_steps={step + 1}")
    history = json.loads((model_dir / "history.json").read_text())
    assert history[-1]["step"] == step + 1


def test_a_damaged_newest_checkpoint_falls_back_on_the_one_before(
    data_dir: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = commands.small_run(data_dir, tmp_path / "run", "--keep_checkpoints")
    commands.train(*arguments, "--max_epochs=2")
    checkpoints = tmp_path / "run" / "checkpoints"
    newest = sorted(checkpoints.glob("*.data*"), key=lambda path: path.stat().st_mtime)[-1]
    newest.write_bytes(newest.read_bytes()[:-200])
    (checkpoints / "checkpoint").write_bytes(b"\x00damaged")
    commands.train(*arguments, "--max_epochs=3")
    shown = capsys.readouterr().out
    assert "is damaged" in shown
    assert "resuming from step 31 of 93" in shown
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert [record["epoch"] for record in history] == [1, 2, 3]
    for path in checkpoints.glob("*.data*"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="every checkpoint in"):
        commands.train(*arguments, "--max_epochs=4")


def test_a_first_write_that_was_killed_does_not_refuse_the_run(
    data_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "config.json.123.tmp").write_text("{")
    commands.train(*commands.small_run(data_dir, tmp_path, "--max_epochs=1"))
    assert (tmp_path / "metrics.json").is_file()
    assert not list(tmp_path.glob("*.tmp"))


def test_a_kill_while_a_checkpoint_was_written_leaves_nothing_behind(
    data_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    arguments = commands.small_run(
        data_dir, tmp_path / "run", "--eval_split=none", "--keep_checkpoints"
    )
    commands.train(*arguments, "--max_epochs=1")
    checkpoints, best = tmp_path / "run" / "checkpoints", tmp_path / "run" / "best"
    state = (checkpoints / "checkpoint").read_bytes()
    commands.train(*arguments, "--max_epochs=2")
    (checkpoints / "checkpoint").write_bytes(state)  # the newest checkpoint is not listed yet
    for directory in (checkpoints, best):
        (directory / "ckpt-70_temp").mkdir()
        (directory / "ckpt-70_temp" / "part-00000-of-00001.index").touch()
        (directory / "ckpt-70.index.tempstate123").touch()
        (directory / "checkpoint.tmp0af3").touch()
    commands.train(*arguments, "--max_epochs=4")
    steps = {
        directory.name: sorted(path.name for path in directory.iterdir())
        for directory in (checkpoints, best)
    }
    kept = [
        f"ckpt-{step}.{part}" for step in (124, 93) for part in ("data-00000-of-00001", "index")
    ]
    assert steps["checkpoints"] == sorted(["checkpoint", *kept])
    assert len(steps["best"]) == 3


def _wait_for_checkpoint(process: subprocess.Popen, model_dir: pathlib.Path) -> None:
    """Until there is a checkpoint from the middle of the run."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if (model_dir / "checkpoints" / "checkpoint").is_file():  # written last
            return
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    raise AssertionError("no checkpoint was written in time")
