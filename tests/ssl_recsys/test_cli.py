import itertools
import pathlib

import pytest
from absl import flags

from pipelines.experiments import runner
from ssl_recsys import cli, options
from ssl_recsys.errors import InputError
from ssl_recsys.methods import METHODS
from ssl_recsys.training.train_options import TrainOptions

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
SEARCH_CONFIGS = sorted([*CONFIGS.glob("study_*.flags"), *CONFIGS.glob("tune_*.flags")])
TRAINING_CONFIGS = sorted(set(CONFIGS.glob("*.flags")) - set(SEARCH_CONFIGS))


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configs name each other from there."""
    monkeypatch.chdir(ROOT)


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


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.flags")), ids=lambda path: path.name)
def test_every_flag_file_is_well_formed(path: pathlib.Path) -> None:
    cli.check_flagfiles([f"--flagfile={path}"])
    assert path.read_text().startswith("# "), "a flag file begins with what it is for"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.flags")), ids=lambda path: path.name)
def test_every_config_states_command_time_and_result(path: pathlib.Path) -> None:
    header = list(
        itertools.takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    )
    for word in ("Command", "Time", "Result"):
        lines = [line for line in header if line.startswith(f"# {word}: ")]
        assert len(lines) == 1, f"one line of the header begins with {word}:"
    module = {"study": "pipelines.study", "tune": "pipelines.tune"}.get(
        path.stem.split("_")[0], "ssl_recsys.train"
    )
    command = f"# Command: python -m {module} --flagfile=configs/{path.name}"
    assert any(line.startswith(command) for line in header)


@pytest.mark.parametrize("path", TRAINING_CONFIGS, ids=lambda path: path.name)
def test_every_training_config_is_a_run(path: pathlib.Path) -> None:
    run = options.parse(TrainOptions, runner.read_flags(str(path), []))
    assert run.model_dir == f"runs/{path.stem}"
    if path.stem.removeprefix("wiki_").removeprefix("aai_") in METHODS:  # the paper's settings
        ssl = run.run.ssl
        assert ssl.method == path.stem.split("_", 1)[1]
        assert (run.run.loss.alpha, ssl.dropout_rate) == (1.0, 0.3)
        assert ssl.dropout_granularity == "feature"


@pytest.mark.parametrize("path", SEARCH_CONFIGS, ids=lambda path: path.name)
def test_the_base_flags_of_every_study_and_search_are_a_run(path: pathlib.Path) -> None:
    lines = flags.FlagValues().read_flags_from_files([f"--flagfile={path}"])
    (base,) = (line.split("=", 1)[1] for line in lines if line.startswith("--base_flagfile="))
    overrides = [line.split("=", 1)[1] for line in lines if line.startswith("--base_flag=")]
    options.parse(TrainOptions, runner.read_flags(base, overrides))
