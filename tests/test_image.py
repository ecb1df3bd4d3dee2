"""What the Dockerfile says of itself, and its entry point; tools/check_image.sh tries the image."""

import os
import pathlib
import re
import subprocess

import pytest

from tests.flags_page import COMMANDS
from tools import check_libtpu

ROOT = pathlib.Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
ENTRYPOINT = ROOT / "tools/image_entrypoint.sh"


@pytest.fixture
def enter(tmp_path):
    """Runs the entry point with a python that prints its arguments."""
    (tmp_path / "python").write_text('#!/bin/sh\necho python "$@"\n')
    (tmp_path / "python").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [str(ENTRYPOINT), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def test_first_argument_chooses_what_runs(enter):
    expected = {
        ("--flagfile=a b",): "python -m ssl_recsys.train --flagfile=a b",
        (): "python -m ssl_recsys.train",
        ("pipelines.wikipedia", "--dump=x"): "python -m pipelines.wikipedia --dump=x",
        ("python", "-m", "ssl_recsys.train", "--help"): "python -m ssl_recsys.train --help",
        ("echo", "hello"): "hello",
    }
    for module in COMMANDS:
        expected[module.rpartition(".")[2], "--help"] = f"python -m {module} --help"
    assert {words: enter(*words).stdout.rstrip("\n") for words in expected} == expected
    refused = enter("no_such_command")
    assert refused.returncode == 2
    assert all(module.rpartition(".")[2] in refused.stderr for module in COMMANDS)


def test_without_the_boot_program_a_worker_says_how_to_have_it(enter):
    if pathlib.Path("/opt/apache/beam/boot").exists():
        pytest.skip("a Beam boot program is installed here")
    for arguments in (["--worker_pool"], ["--id=1", "--provision_endpoint=localhost:1"]):
        done = enter(*arguments)
        assert done.returncode == 2
        assert "--build-arg BEAM_SDK=apache/beam_python3.11_sdk:" in done.stderr


def test_dockerfile_names_the_pinned_beam_and_copies_what_there_is():
    pinned = (ROOT / "constraints/python3.11.txt").read_text(encoding="utf-8")
    beam = re.search(r"^apache-beam==(\S+)", pinned, re.MULTILINE).group(1)
    assert re.findall(r"beam_python3\.11_sdk:([\d.]+)", DOCKERFILE) == [beam]
    sources = []
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        sources += line.split()
    assert {"setup.py", "constraints", "ssl_recsys", "data_prep", "pipelines"} <= {*sources}
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert all((ROOT / source).exists() and source not in ignored for source in sources)
    # The source comes after what installs the dependencies.
    assert DOCKERFILE.index("--require-hashes") < DOCKERFILE.index("COPY ssl_recsys")


@pytest.mark.parametrize(
    ("looked_up", "status", "said"),
    [
        (["malloc", "free"], 0, "has all 3 symbols"),
        (["malloc", "Tpu_NoSuch"], 1, "lacks 1 of 3 symbols"),
        ([], 2, "looks up nothing in libtpu.so"),
    ],
)
def test_libtpu_is_compared_with_what_tensorflow_looks_up(
    tmp_path, monkeypatch, capsys, looked_up, status, said
):
    monkeypatch.setattr(check_libtpu, "_ENTRY", "calloc")
    texts = [f"{name} not available in this library." for name in looked_up]
    (tmp_path / "libtensorflow_cc.so.2").write_bytes("\0".join(["\x7fELF", *texts, ""]).encode())
    libc = next(
        line.split()[-1]
        for line in pathlib.Path("/proc/self/maps").read_text().splitlines()
        if re.search(r"/libc[.-].*so", line)
    )
    (tmp_path / "libtpu.so").symlink_to(libc)
    arguments = [f"--tensorflow={tmp_path}", f"--libtpu={tmp_path}"]
    assert check_libtpu.main(arguments) == status
    printed = capsys.readouterr()
    assert said in printed.out + printed.err
    assert ("Tpu_NoSuch first" in printed.err) == (status == 1)
