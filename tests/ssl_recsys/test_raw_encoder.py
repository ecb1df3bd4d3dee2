"""Raw features in a graph give the ids and numbers that the data jobs wrote to the catalog."""

import json
import pathlib
import subprocess
import sys
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from data_prep import tables
from data_prep.installs import scales
from data_prep.installs.encoders import ItemFeature, make_encoder
from data_prep.synthetic.wiki_pages import ARTICLE, pages
from data_prep.synthetic.wiki_world import WikiWorld
from data_prep.synthetic.wiki_xml import write_dump
from pipelines import wikipedia
from ssl_recsys import schema
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.raw.encoder import RawEncoder
from ssl_recsys.raw.numbers import ApplyScale, ReadNumbers
from ssl_recsys.training.export import FEATURES, load_tower
from tests import install_data
from tests.ssl_recsys import commands

APPS = [
    {"key": "a", "maker": " Dev\n1 ", "tags": ["x|y", " z", "x|y", "t\r\nu"], "size": "1_000",
     "name": "Müller`s  ÄPFEL"},
    {"key": "b", "maker": None, "tags": [], "size": "N/A", "name": ["Zwei", "Äpfel"]},
    {"key": "c", "maker": "Dev 1", "tags": ["z", None], "size": 12.5, "name": "東京タワー"},
    {"key": "d", "tags": ["u", "t u"], "size": "-3e2", "name": "müllers tor"},
    {"key": "e", "maker": "\u00a0other\u3000", "tags": ["y", "x"], "size": "٣", "name": ""},
    {"key": "f", "maker": "Dev 1", "size": 7},
]  # fmt: skip
SPEC = {
    "items": {"key": "key", "title": "name"},
    "features": [
        {"name": "id", "kind": "categorical", "column": "key"},
        {"name": "maker", "kind": "categorical", "column": "maker"},
        {"name": "tags", "kind": "bag", "column": "tags", "max_values": 3},
        {"name": "words", "kind": "bag", "column": "name", "words": True, "ngrams": 2},
        {"name": "size", "kind": "dense", "column": "size"},
        {"name": "log_size", "kind": "dense", "column": "size", "normalize": "log"},
        {"name": "bare_size", "kind": "dense", "column": "size", "normalize": "none"},
        {"name": "popularity", "kind": "dense", "from_training": True, "normalize": "standard"},
    ],
}


@pytest.fixture(scope="module")
def installs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("raw")
    (directory / "apps.jsonl").write_text("".join(json.dumps(app) + "\n" for app in APPS))
    (directory / "spec.json").write_text(json.dumps(SPEC))
    given = install_data.write_input(directory)
    install_data.make(
        directory / "data",
        installs=given["installs"],
        apps=f"{directory}/apps.jsonl",
        features_spec=f"{directory}/spec.json",
    )
    return directory / "data"


def encoder(data_dir: pathlib.Path, scratch: pathlib.Path) -> RawEncoder:
    dataset = Dataset(data_dir)
    catalog = dataset.catalog(schema.ITEM)
    return RawEncoder(
        dataset.info.raw,
        dataset.info.features,
        data_dir,
        (catalog.keys, catalog.train_count),
        scratch,
    )


def tensors(columns: dict[str, list[Any]]) -> dict[str, tf.Tensor]:
    """Texts, or lists of texts filled up with empty ones."""
    given = {}
    for name, values in columns.items():
        if isinstance(values[0], list):
            width = max(map(len, values))
            values = [[*row, *[""] * (width - len(row))] for row in values]
        given[name] = tf.constant(values)
    return given


def app_columns(keys: list[str]) -> dict[str, list[Any]]:
    """The table's cells as texts; x is only in the log."""
    apps = {app["key"]: app for app in APPS}

    def text(key: str, name: str) -> str:
        value = apps.get(key, {}).get(name)
        value = " ".join(value) if isinstance(value, list) else value
        return "" if value is None else str(value)

    columns: dict[str, list[Any]] = {
        name: [text(key, name) for key in keys] for name in ("maker", "size", "name")
    }
    columns["key"] = [f" {key}" for key in keys]
    columns["tags"] = [
        [tag or "" for tag in apps.get(key, {}).get("tags", ())] or [""] for key in keys
    ]
    return columns


def assert_same(found: dict[str, tf.Tensor], dataset: Dataset) -> None:
    """Bit for bit; a catalog's bags may be narrower than their feature allows."""
    for spec in dataset.info.features:
        values = dataset.catalog(schema.ITEM).features[spec.name]
        wider = spec.max_values - values.shape[1]
        np.testing.assert_array_equal(
            found[spec.name].numpy(), np.pad(values, [(0, 0), (0, wider)]), spec.name
        )
        assert found[spec.name].dtype == values.dtype


def test_each_kind_of_feature(installs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    dataset = Dataset(installs)
    assert dataset.info.raw[2].lists
    keys = dataset.catalog(schema.ITEM).keys.tolist()
    assert {*keys} == {*"abcdefx"}
    raw = encoder(installs, tmp_path)
    assert {name: spec.shape.rank for name, spec in raw.signature().items()} == {
        "key": 1, "maker": 1, "tags": 2, "name": 1, "size": 1
    }  # fmt: skip
    found = raw.encode(tensors(app_columns(keys)))
    assert_same(found, dataset)
    # Not trivially so: tags of a, cut at three, and a number in another script's digits.
    assert np.count_nonzero(found["tags"][keys.index("a")]) == 3
    assert found["bare_size"][keys.index("e")].numpy().tolist() == [3, 0]
    new = app_columns(["new"])
    assert raw.encode(tensors(new | {"size": ["1e39"]}))["size"].numpy().tolist() == [[0, 1]]


def test_a_text_is_divided_at_the_separator(tmp_path: pathlib.Path) -> None:
    install_data.make(tmp_path / "data", **install_data.write_input(tmp_path))
    dataset = Dataset(tmp_path / "data")
    names, *rows = install_data.APPS
    cells = {row[0]: dict(zip(names, row, strict=True)) for row in rows}
    keys = dataset.catalog(schema.ITEM).keys.tolist()
    columns = {
        name: [cells.get(key, {"app_id": key}).get(name, "") for key in keys] for name in names
    }
    columns["categories"] = [[value] for value in columns["categories"]]
    assert_same(encoder(tmp_path / "data", tmp_path).encode(tensors(columns)), dataset)


def test_a_wiki(tmp_path: pathlib.Path) -> None:
    wiki = list(pages(WikiWorld(200, seed=5)))
    write_dump(tmp_path / "wiki.xml.bz2", wiki)
    wikipedia.make_dataset(
        wikipedia.WikipediaOptions(
            dump=str(tmp_path / "wiki.xml.bz2"), output_dir=str(tmp_path / "data")
        )
    )
    dataset = Dataset(tmp_path / "data")
    of_title = {page.title: page for page in wiki if page.namespace == ARTICLE}
    keys = dataset.catalog(schema.ITEM).keys.tolist()
    categories = [[*of_title[key].categories] or [""] for key in keys]
    columns = {"title": keys, "categories": categories}
    assert_same(encoder(tmp_path / "data", tmp_path).encode(tensors(columns)), dataset)


NUMBERS = st.one_of(
    st.text("0123456789.eE+-_ ٣१infa\u00a0", max_size=8),
    st.floats(width=32).map(str),
    st.integers(-(10**12), 10**12).map(lambda number: f"{number:_}"),
)
READ = tf.function(ReadNumbers(), input_signature=[tf.TensorSpec([None], tf.string)])


@hypothesis.settings(max_examples=30, derandomize=True)
@hypothesis.given(st.lists(NUMBERS, min_size=1, max_size=50))
def test_numbers_are_read_as_by_the_job(texts: list[str]) -> None:
    feature = ItemFeature("f", "dense", "c")
    rows = tables.Rows("t.csv", np.arange(len(texts)), {"c": pa.array(texts)})
    expected, _ = make_encoder(feature, "key").read(rows)
    stripped = [text.strip() for text in texts]
    np.testing.assert_array_equal(READ(tf.constant(stripped)).numpy(), expected)


@pytest.mark.parametrize("normalize", ["log", "quantile", "standard", "none"])
def test_scales_are_the_jobs(normalize: str) -> None:
    rng = np.random.default_rng(0)
    values = np.round(rng.lognormal(3, 2, 500), 1)
    scale = scales.learn_scale(normalize, values)
    given = np.concatenate([values, rng.normal(0, 1e3, 500), [0.0, np.nan, 3e38]])
    in_graph = tf.function(ApplyScale(scale), autograph=False)(tf.constant(given))
    np.testing.assert_array_equal(in_graph.numpy(), scales.encode(scale, given))


ALONE = """
import json, sys
import tensorflow as tf
tower = tf.saved_model.load(sys.argv[1])
columns = {name: tf.constant(values) for name, values in json.loads(sys.argv[2]).items()}
print(json.dumps(tower.signatures["serving_default"](**columns)["embedding"].numpy().tolist()))
assert "ssl_recsys" not in sys.modules
"""


def test_a_process_without_the_package_embeds_raw_texts(
    installs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = tmp_path / "run"
    commands.train(*commands.small_run(installs, run, "--max_epochs=1", "--eval_split=none"))
    for name in ("vocab/maker.txt", "scales/size.json"):
        assert (run / "export" / name).read_bytes() == (installs / name).read_bytes()
    keys = Dataset(installs).catalog(schema.ITEM).keys.tolist()
    columns = app_columns(keys)
    width = max(map(len, columns["tags"]))
    columns["tags"] = [[*tags, *[""] * (width - len(tags))] for tags in columns["tags"]]
    alone = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, run / "export" / "item_tower", json.dumps(columns)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    embeddings = np.load(run / "export" / "item_embeddings.npy")
    np.testing.assert_allclose(json.loads(alone.stdout), embeddings, atol=1e-6)
    tower = load_tower(run / "export", schema.QUERY)
    assert_same(tower[FEATURES](tensors(columns)), Dataset(installs))
