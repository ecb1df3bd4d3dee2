"""Files and directories are whole or not there, whatever stops a command."""

import errno
import json
import os
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

from ssl_recsys import cli, files, schema
from ssl_recsys.errors import InputError, Stopped
from tests.ssl_recsys import commands

# As TensorFlow says it.
FULL = tf.errors.ResourceExhaustedError(
    None, None, "{{function_node x}} runs/x/ckpt_temp/part; No space left on device [Op:SaveV2]"
)


def test_a_failed_write_leaves_what_was_there(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a" / "file.txt"
    files.write_text(path, "old")

    def write() -> None:
        with files.write_atomically(path) as stream:
            stream.write(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file.txt"]


def make_directory(path: pathlib.Path, content: str) -> pathlib.Path:
    path.mkdir()
    (path / "file").write_text(content)
    return path


def test_a_directory_is_replaced(tmp_path: pathlib.Path) -> None:
    target = make_directory(tmp_path / "export", "old")
    files.replace_directory(make_directory(tmp_path / "new", "new"), target)
    assert (target / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["export"]


@pytest.mark.parametrize("stopped_after", [1, 2])
def test_a_replacement_that_was_stopped_is_recovered(
    stopped_after: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make_directory(tmp_path / "export", "old")
    new = make_directory(tmp_path / "new", "new")
    calls = []

    def rename(source: object, goal: object) -> None:
        os.replace(source, goal)  # type: ignore[arg-type]
        calls.append(source)
        if len(calls) == stopped_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        files.replace_directory(new, target)
    monkeypatch.undo()
    files.recover_directory(target)
    assert (target / "file").read_text() == ("old" if stopped_after == 1 else "new")
    assert not (tmp_path / "export.replaced").exists()


def test_a_directory_has_one_owner_until_it_dies(tmp_path: pathlib.Path) -> None:
    code = (
        "import pathlib, sys; from ssl_recsys import files\n"
        "with files.locked(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=commands.ROOT,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="in use by another process"), files.locked(tmp_path):
            pass
        owner.kill()
        owner.wait()
    with files.locked(tmp_path):
        pass


def test_a_file_system_without_locks_is_used_without(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with files.locked(tmp_path), files.locked(tmp_path):
        pass


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (OSError(28, "No space left on device", "runs/x"), 2, "error: [Errno 28] No space left"),
        (NotADirectoryError(20, "Not a directory", "a/b"), 2, "error: [Errno 20] Not a directory"),
        (FULL, 2, "error: runs/x/ckpt_temp/part; No space left on device\n"),
        (InputError("no such thing"), 2, "error: no such thing"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (Stopped("stopped by SIGTERM", 15), 143, "stopped by SIGTERM"),
    ],
)
def test_what_ends_a_command_is_one_line(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(argv: list[str]) -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        cli._guarded(command)([])
    assert ended.value.code == status
    shown = capsys.readouterr().err
    assert shown.startswith(line)
    assert shown.count("\n") == 1


def test_titles_cannot_act_on_a_terminal() -> None:
    assert cli.printable("\x1b[31mred\x07\n‮evil") == "�[31mred���evil"
    assert cli.printable("हिन्दी 👩‍💻 Ünïcode\u3000") == "हिन्दी 👩‍💻 Ünïcode\u3000"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_items": "3"}, 'num_items must be of type int .got "3".'),
        ({"num_items": True}, "num_items must be of type int"),
        ({"num_pairs": {"train": 1}}, "num_pairs: validation is missing"),
        ({"features": [{"name": "id"}]}, "feature 1: kind is missing"),
        ({"features": [7]}, "feature 1 must be an object"),
        ({"head": {"rule": 1, "fraction": 0}}, "head: rule must be of type str"),
        ({"head": {"rule": "in_training", "fraction": 0, "min_count": 0}}, "min_count must be at"),
        ({"counters": {"pairs": "3"}}, "counters: pairs must be of type int"),
        ({"sources": [7]}, "source 1 must be an object"),
        ({"colour": 1}, "unknown field 'colour'"),
    ],
)
def test_every_field_of_dataset_json_is_checked(
    change: dict, message: str, data_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    content = json.loads((data_dir / schema.DATASET_FILE).read_text())
    (tmp_path / schema.DATASET_FILE).write_text(json.dumps(content | change))
    with pytest.raises(InputError, match=f"damaged.*{message}"):
        schema.read_dataset_info(tmp_path)


def test_a_dataset_without_a_smallest_count_of_the_head(
    data_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    content = json.loads((data_dir / schema.DATASET_FILE).read_text())
    assert content["head"].pop("min_count") == 1
    (tmp_path / schema.DATASET_FILE).write_text(json.dumps(content))
    assert schema.read_dataset_info(tmp_path) == schema.read_dataset_info(data_dir)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "", "null", "[]", "{}"])
def test_dataset_json_that_is_none(text: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / schema.DATASET_FILE).write_text(text)
    with pytest.raises(InputError, match="damaged"):
        schema.read_dataset_info(tmp_path)
