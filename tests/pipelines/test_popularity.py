"""The CDF of item frequency: numbers by hand, the plot, refusals."""

import json
import subprocess
import sys

import pytest

from pipelines.experiments import item_frequency
from ssl_recsys.errors import InputError
from tests.install_data import make, write_input

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


def test_command(data_dir, tmp_path):
    command = [sys.executable, "-m", "pipelines.popularity", f"--data_dir={data_dir},{data_dir}"]
    done = subprocess.run(
        [*command, f"--output={tmp_path}/cdf.png"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "app_install: 7 items, 3 of them in 5 training pairs" in done.stdout
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
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.popularity", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr


def test_matplotlib_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match="pip install matplotlib"):
        item_frequency.draw([], tmp_path / "cdf.png")
