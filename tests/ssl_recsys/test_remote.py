"""Datasets and model directories in remote storage, for which TensorFlow's `ram://` stands in."""

import contextlib
import json
import pathlib
import re
from collections.abc import Iterator

import pytest
import tensorflow as tf

from ssl_recsys import (
    baselines,
    calibrate,
    cli,
    evaluate,
    files,
    manifest,
    paths,
    recommend,
    schema,
)
from ssl_recsys.errors import InputError, Stopped
from ssl_recsys.training.trainer import Trainer
from tests import command_line
from tests.ssl_recsys import commands

BUCKET = "ram://bucket"


@pytest.fixture
def eager() -> Iterator[None]:
    """To trace the steps would take most of the time."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def remote_data(data_dir: pathlib.Path) -> str:
    paths.copy_files(data_dir, paths.as_path(f"{BUCKET}/data"))
    return f"{BUCKET}/data"


def run(name: str, *arguments: str) -> None:
    modules = (evaluate, recommend, baselines, calibrate)
    (module,) = (one for one in modules if one.__name__ == f"ssl_recsys.{name}")
    options_class = getattr(module, f"{name.title()}Options")
    module.main(command_line.parse(options_class, *arguments))


def read(path: str | pathlib.Path) -> dict:
    return files.read_json(path)


def test_paths_of_every_scheme() -> None:
    for text in ("gs://bucket/a/b.txt", "s3://bucket/a/b.txt", "ram://bucket/a/b.txt"):
        path = paths.as_path(text)
        assert str(path) == str(paths.as_path(path)) == paths.absolute(text) == text
        assert str(path.parent / "c") == text.replace("b.txt", "c")
        assert path.relative_to(path.parent.parent).as_posix() == "a/b.txt"
        assert str(path.with_name("d")) == text.replace("b.txt", "d")
        assert paths.is_remote(path)
    assert isinstance(paths.as_path("a/b"), pathlib.Path)


def test_a_run_in_a_bucket_equals_one_on_disk(
    eager: None,
    data_dir: pathlib.Path,
    remote_data: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ("--max_epochs=2", "--batch_size=256")
    local, remote = tmp_path / "run", f"{BUCKET}/runs/one"
    commands.train(*commands.small_run(data_dir, local, *arguments))
    end_epoch = Trainer._end_epoch

    def stop(trainer: Trainer, progress: object) -> None:
        end_epoch(trainer, progress)
        raise Stopped("stopped", 15)

    monkeypatch.setattr(Trainer, "_end_epoch", stop)
    with pytest.raises(Stopped):
        commands.train(*commands.small_run(remote_data, remote, *arguments))
    monkeypatch.setattr(Trainer, "_end_epoch", end_epoch)
    commands.train(*commands.small_run(remote_data, remote, *arguments))
    assert "resuming from step 7 of 14" in capsys.readouterr().out
    assert not [*paths.as_path(f"{remote}/checkpoints").glob("*.index")]
    assert [*paths.as_path(f"{remote}/logs").glob("events*")]
    metrics, there = read(local / "metrics.json"), read(f"{remote}/metrics.json")
    assert there["overall"] == pytest.approx(metrics["overall"], abs=0.002)

    run("evaluate", f"--model_dir={remote}")
    assert read(f"{remote}/metrics.json")["overall"] == there["overall"]
    for scale, same in (("0.5", False), ("1", True)):
        run("calibrate", f"--model_dir={remote}", f"--scale={scale}")
        run("evaluate", f"--model_dir={remote}")  # compares all files with their manifest
        assert (read(f"{remote}/metrics.json")["overall"] == there["overall"]) == same
    arguments = ("--query=item 5", "--k=3", "--format=json", f"--output={remote}/found.jsonl")
    run("recommend", f"--model_dir={remote}", *arguments, "--exclude_known")
    (line,) = paths.as_path(f"{remote}/found.jsonl").read_text().splitlines()
    assert json.loads(line)["query"] == "item 5"
    arguments = (
        f"--data_dir={remote_data}",
        "--methods=tfidf",
        "--settings=few",
        f"--output={remote}/b.json",
    )
    run("baselines", f"--model_dir={remote}", *arguments)
    assert read(f"{remote}/b.json").keys() == {"tfidf", "one"}

    commands.train(*commands.small_run(remote_data, remote, "--max_epochs=2", "--batch_size=256"))
    assert "is finished after 14 steps" in capsys.readouterr().out
    export = paths.as_path(f"{remote}/export")
    damaged = (export / "keys.txt").read_text()[::-1]
    (export / "keys.txt").write_text(damaged)
    with pytest.raises(InputError, match=f"{remote}/export/keys.txt is damaged"):
        run("evaluate", f"--model_dir={remote}")
    # What a stop in the middle of copying leaves is no export.
    (export / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=f"{remote} holds no trained model"):
        run("evaluate", f"--model_dir={remote}", "--noverify")


def test_a_directory_is_replaced_manifest_last(tmp_path: pathlib.Path) -> None:
    target = paths.as_path(f"{BUCKET}/replaced/export")
    for number in (1, 2):
        new = files.new_directory(target)
        (new / "a").mkdir()
        (new / "a" / f"{number}.txt").write_text("x")
        manifest.write(new)
        files.replace_directory(new, target)
        assert not new.exists()
    assert [str(path.relative_to(target)) for path in paths.walk_files(target)] == [
        "a/2.txt",
        "manifest.json",
    ]
    manifest.check(target)
    (target / "a" / "2.txt").write_text("y")
    with pytest.raises(InputError, match=f"{target}/a/2.txt is damaged"):
        manifest.check(target)


def test_a_file_is_written_whole_or_not(tmp_path: pathlib.Path) -> None:
    path = paths.as_path(f"{BUCKET}/whole/a.json")
    files.write_json(path, {"a": 1})
    with contextlib.suppress(RuntimeError), files.write_atomically(path) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert read(path) == {"a": 1}
    with files.locked(path.parent), files.locked(path.parent):
        pass  # no locks


@pytest.mark.parametrize(
    ("directory", "said"),
    [
        ("s3://bucket/data", "not implemented.*give a path without s3://"),
        ("ram://bucket/nothing", "ram://bucket/nothing is not a dataset directory"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(
    directory: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = cli._guarded(lambda argv: schema.read_dataset_info(directory))
    with pytest.raises(SystemExit) as stop:
        command([])
    assert stop.value.code == cli.USAGE_STATUS
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(said, error)


def test_errors_of_a_graph_are_no_errors_of_storage() -> None:
    for text in ("Graph execution error: x", "TPU at grpc://10.0.0.1:8470 is gone"):
        assert paths.what_storage_says(tf.errors.UnavailableError(None, None, text)) is None
    denied = tf.errors.PermissionDeniedError(None, None, "403 when\n reading gs://b/a")
    assert paths.what_storage_says(denied).startswith("403 when reading gs://b/a; check the")
    assert paths.what_storage_says(ValueError("gs://b")) is None
