"""`python -m pipelines.synthetic`: files, determinism, and refusals with status 2."""

import bz2
import gzip
import lzma
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from pipelines import synthetic
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.errors import InputError


def _run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pipelines.synthetic", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_dumps_open_and_hold_the_same_wiki(tmp_path):
    contents = set()
    for name, opener in (("a.xml", open), ("b.bz2", bz2.open), ("c.gz", gzip.open)):
        done = _run("--num_items=60", f"--output={tmp_path / name}", "--seed=4")
        assert done.returncode == 0, done.stderr
        assert "60 of them articles" in done.stdout
        with opener(tmp_path / name, "rb") as stream:
            contents.add(stream.read())
    assert len(contents) == 1
    other = _run("--num_items=60", f"--output={tmp_path / 'd.xz'}", "--seed=5")
    assert other.returncode == 0
    with lzma.open(tmp_path / "d.xz", "rb") as stream:
        different = stream.read()
    assert different not in contents
    ElementTree.fromstring(different)


def test_installs(tmp_path):
    done = _run("--kind=app_install", "--num_items=50", f"--output={tmp_path / 'new'}")
    assert done.returncode == 0, done.stderr
    assert "1,000 installs of 50 apps" in done.stdout
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "apps.csv", "installs.csv.gz"
    ]  # fmt: skip


def test_tables(tmp_path):
    done = _run("--kind=wikipedia_sql", "--num_items=20", f"--output={tmp_path}", "--layout=2024")
    assert done.returncode == 0, done.stderr
    assert "20 articles in the layout of 2024" in done.stdout
    with gzip.open(tmp_path / "pagelinks.sql.gz", "rt", encoding="utf-8") as stream:
        text = stream.read()
    assert "  `pl_title` varbinary(255),\n" in text
    assert text.endswith("-- Dump completed on 2026-01-01 12:00:00\n")


def test_a_dataset_has_topics_popularity_and_held_out_items(tmp_path):
    options = synthetic.SyntheticOptions(
        kind="dataset", num_items=2000, num_pairs=40_000, output=str(tmp_path / "data"), seed=1
    )
    synthetic.main(options)
    dataset = Dataset(tmp_path / "data")
    assert sum(dataset.info.num_pairs.values()) == 40_000
    pairs, catalog = dataset.pairs("train"), dataset.catalog("item")
    np.testing.assert_array_equal(np.bincount(pairs.item_row, minlength=2000), catalog.train_count)
    held_out = np.concatenate([dataset.pairs(split).query_row for split in ("validation", "test")])
    assert set(pairs.query_row.tolist()).isdisjoint(np.flatnonzero(catalog.features["id"] == 0))
    assert len(held_out) == pytest.approx(0.19 * 40_000, rel=0.2)  # 1 - 0.9 * 0.9
    # Ten topics of some 200 items; four pairs of five stay within theirs, and a tenth of the rest.
    distance = np.abs(pairs.query_row - pairs.item_row)
    assert (distance < 240).mean() > 0.8
    # Of a topic's 200 ranks, with a density of rank ** -0.75, the first tenth has
    # (21 ** 0.25 - 1) / (201 ** 0.25 - 1) = 0.41; items without popularity had 0.13.
    counts = np.sort(catalog.train_count)[::-1]
    assert counts[:200].sum() / counts.sum() == pytest.approx(0.41, abs=0.06)
    with pytest.raises(InputError, match="in use"):
        synthetic.main(options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output=x.zip"], "must end in one of"),
        ([], "--output is missing"),
        (["--output=x.xml", "--num_items=3"], "at least 10"),
        (["--output=x.xml", "--kind=books"], "--kind must be one of wikipedia, app_install"),
        (["--output=x.xml", "--num_events=3"], "--num_events is for --kind=app_install"),
        (["--output=x.xml", "--num_pairs=3"], "--num_pairs is for --kind=dataset"),
        (["--output=x.xml", "more"], "unexpected argument 'more'"),
    ],
)
def test_bad_flags_are_refused(tmp_path, arguments, message):
    arguments = [argument.replace("=x.", f"={tmp_path}/x.") for argument in arguments]
    done = _run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
