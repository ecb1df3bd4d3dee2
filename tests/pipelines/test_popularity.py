"""The CDF of item frequency: numbers by hand, the plot, refusals."""

import json
import sys

import pytest

from pipelines import popularity
from pipelines.experiments import item_frequency
from ssl_recsys.errors import InputError
from tests import command_line
from tests.install_data import make, write_input
from tests.ssl_recsys import commands

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("popularity")
    fields = write_input(directory)
    make(directory / "data", **fields)
    return directory / "data"


def test_numbers(data_dir):
    # Training pairs lead to b twice, x twice, a once; seven items in all.
    found = item_frequency.measure(str(data_dir), "validation")
    assert found["num_train_pairs"] == 5
    assert found["num_items_in_training"] == 3
    assert found["curve"]["k"] == [1, 2, 3, 4, 5, 6, 7]
    assert found["curve"]["train"] == pytest.approx([0.4, 0.8, 1, 1, 1, 1, 1])
    # Validation pairs lead to b twice and a once: a is third, and b first or second.
    recall = found["curve"]["recall"]
    assert recall[0] in (pytest.approx(2 / 3), 0)
    assert recall[1:] == pytest.approx([2 / 3, 1, 1, 1, 1, 1])
    assert found["top_popular"] == {"recall@1": recall[0]}  # there are no ten items


def main(*arguments):
    popularity.main(command_line.parse(popularity.PopularityOptions, *arguments))


def test_command(data_dir, tmp_path, capsys):
    main(f"--data_dir={data_dir},{data_dir}", f"--output={tmp_path}/cdf.png")
    shown = capsys.readouterr().out
    assert "app_install: 7 items, 3 of them in 5 training pairs" in shown
    assert (tmp_path / "cdf.png").read_bytes().startswith(b"\x89PNG")
    numbers = json.loads((tmp_path / "cdf.json").read_text())
    assert numbers == [item_frequency.measure(str(data_dir), "test")] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--data_dir is missing"),
        (["--data_dir=/nonexistent"], "is not a dataset directory"),
        (["--data_dir=x", "--output=cdf.jpg"], "must end in one of .png, .svg, .pdf"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises((InputError, FileNotFoundError), match=message):
        main(*arguments)


def test_bad_input_ends_the_command_with_status_2():
    done = commands.run("pipelines.popularity", "--data_dir=/nonexistent")
    assert done.returncode == 2
    assert "is not a dataset directory" in done.stderr


def test_the_checkout_stays_clean():
    assert popularity.PopularityOptions(data_dir=("x",)).output.startswith("runs/")


def test_matplotlib_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match="pip install matplotlib"):
        item_frequency.draw([], (6.4, 4.0))
