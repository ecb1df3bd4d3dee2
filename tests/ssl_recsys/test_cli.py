import pathlib

import pytest

from ssl_recsys import cli
from ssl_recsys.errors import InputError

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def write(directory: pathlib.Path, text: str) -> str:
    path = directory / "test.flags"
    path.write_text(text)
    return f"--flagfile={path}"


def test_good_flagfile(tmp_path: pathlib.Path) -> None:
    cli.check_flagfiles([write(tmp_path, "# what it is for\n\n--alpha=1\n--query=C#\n")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--alpha=1  # strong\n", r"test\.flags:1: the comment would become part of the flag"),
        ("--alpha=1\n  # indented\n", r"test\.flags:2: a comment must start at column 0"),
        ("alpha=1\n", r"test\.flags:1: expected --flag=value or # comment"),
        ("--flagfile=/nowhere.flags\n", "no flag file /nowhere.flags"),
    ],
)
def test_flagfile_that_absl_would_misread(text: str, message: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match=message):
        cli.check_flagfiles([write(tmp_path, text)])


def test_flagfile_that_includes_itself(tmp_path: pathlib.Path) -> None:
    argument = write(tmp_path, "--alpha=1\n")
    write(tmp_path, argument + "\n")
    with pytest.raises(InputError, match="includes itself"):
        cli.check_flagfiles([argument])


def test_flagfile_as_a_separate_argument(tmp_path: pathlib.Path) -> None:
    argument = write(tmp_path, "x\n")
    with pytest.raises(InputError, match="expected --flag"):
        cli.check_flagfiles(argument.split("="))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.flags")), ids=lambda path: path.name)
def test_every_config_is_well_formed(path: pathlib.Path) -> None:
    cli.check_flagfiles([f"--flagfile={path}"])
    assert path.read_text().startswith("# "), "a config says what it reproduces and its cost"
