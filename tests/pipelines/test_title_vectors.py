"""Vectors of titles, from tables to the catalog of the Wikipedia job."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf

from data_prep import spill
from data_prep.synthetic import wiki_sql
from data_prep.synthetic.wiki_pages import pages
from data_prep.synthetic.wiki_world import WikiWorld
from data_prep.wiki import sites, title_vectors
from pipelines import wikipedia
from ssl_recsys import schema
from ssl_recsys.errors import InputError
from ssl_recsys.features import Vector
from ssl_recsys.raw.encoder import RawEncoder
from ssl_recsys.raw.rules import RawFeature
from tests.pipelines.test_any_runner import flattened
from tests.pipelines.test_wikipedia import SMALL, TINY, contents, make, read

# Lengths 5, 2, 10 and 5. "Hop one" is a redirect, and no page can have the name "[[x".
LINES = [
    {"title": "apple", "vector": [3, 4]},
    {"title": "Cherry_&_Co", "vector": [0, -2.0]},
    {"title": "Banana", "vector": None},
    {"title": "Hop one", "vector": [1, 0]},
    {"title": "[[x", "vector": [1, 1]},
]
ROWS = {"title": ["Cafe\u0301", " Date ", "Fig: a story"], "vector": [[6, 8], [5, 0], []]}
UNIT = {"Apple": [0.6, 0.8], "Cherry & Co": [0, -1], "Café": [0.6, 0.8], "Date": [1, 0]}
COUNTERS = {
    "title_vectors_read": 8,
    "title_vectors_missing": 2,
    "title_vectors_invalid_title": 1,
    "title_vectors_of_no_item": 1,
    "items_without_title_vector": 3,
}


def write_lines(path, rows):
    path.write_text("\n".join(json.dumps(row) + "\n" for row in rows))  # with blank lines


def write(directory, lines=LINES):
    """The flag that names the tables."""
    write_lines(directory / "a.jsonl", lines)
    table = pa.table({"vector": pa.array(ROWS["vector"], pa.list_(pa.float64()))})
    table = table.append_column("title", pa.array(ROWS["title"]))
    pa.parquet.write_table(table, directory / "b.parquet")
    return f"{directory}/a.jsonl,{directory}/*.parquet"


def vectors_of(data_dir):
    return {item["key"].decode(): item["title_vector"].tolist() for item in read(data_dir)[0]}


def exact(vectors):
    return {title: np.array(vector, np.float32).tolist() for title, vector in vectors.items()}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    directory = tmp_path_factory.mktemp("vectors")
    return directory, write(directory)


@pytest.fixture(scope="module")
def data_dir(tables):
    make(tables[0] / "data", title_vectors=tables[1], num_shards=1)
    return tables[0] / "data"


def test_vectors_reach_the_catalog(data_dir):
    info = schema.read_dataset_info(data_dir)
    assert info.features[-1] == Vector("title_vector", max_values=2)
    assert {name: info.counters[name] for name in COUNTERS} == COUNTERS
    zeros = {title: [0, 0] for title in ("Banana", "Fig: a story", "Elder")}
    assert vectors_of(data_dir) == exact(UNIT | zeros)
    names = [source["path"].rpartition("/")[2] for source in info.sources]
    assert names == ["tiny_wiki.xml", "a.jsonl", "b.parquet"]
    assert info.raw.features[-1] == RawFeature("title_vector", "unit_vector", "title_vector")


def test_a_raw_vector_is_encoded_as_in_the_catalog(data_dir, tmp_path):
    info = schema.read_dataset_info(data_dir)
    encoder = RawEncoder(info.raw, info.features, data_dir, ((), np.zeros(0, np.int64)), tmp_path)
    assert encoder.signature()["title_vector"].shape == (None, 2)
    raw = {
        "title": tf.constant(["Apple", "Elder"]),
        "categories": tf.constant([["Obst"], [""]]),
        "title_vector": tf.constant([[3, 4], [0, 0]], tf.float32),
    }
    found = encoder.encode(raw)["title_vector"]
    assert found.numpy().tolist() == [vectors_of(data_dir)[title] for title in ("Apple", "Elder")]


def test_shards_and_workers_change_nothing(tables, data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(spill, "_SMALLEST", 0)  # all that passes between steps goes to disk
    workers = ("--direct_num_workers=2", "--direct_running_mode=multi_threading")
    # More shards than items: some have vectors alone.
    make(tmp_path / "data", TINY, workers, title_vectors=tables[1], num_shards=40)
    assert contents(tmp_path / "data") == contents(data_dir)


def test_nothing_else_changes(data_dir, tmp_path):
    info = make(tmp_path / "data")
    assert "title_vector" not in (tmp_path / "data" / schema.DATASET_FILE).read_text()
    with_vectors = schema.read_dataset_info(data_dir)
    assert with_vectors.features[:-1] == info.features
    assert with_vectors.options.keys() - info.options.keys() == {"title_vectors"}
    found, expected = contents(data_dir), contents(tmp_path / "data")
    same = [name for name in expected if name.startswith(("pairs/", "vocab/"))]
    assert len(same) > 4
    assert [found[name] for name in same] == [expected[name] for name in same]


def test_collections_that_are_joined_have_one_coder(tables):
    options = wikipedia.WikipediaOptions(dump=str(TINY), title_vectors=tables[1], **SMALL)
    found = flattened(wikipedia.find(options))
    assert {name: coders for name, coders in found.items() if len(coders) > 1} == {}
    assert any("GroupTitleVectors" in name for name in found)


def test_tables_of_sql_have_the_case_of_their_titles(tmp_path):
    world = list(pages(WikiWorld(40, seed=4)))
    wiki_sql.write_tables(tmp_path, world, wiki_sql.LAYOUT_2026)
    names = ("page", "pagelinks", "redirect", "linktarget", "categorylinks")
    files = {name: f"{tmp_path}/{name}.sql.gz" for name in names}
    articles = [
        page.title
        for page in world
        if page.redirect is None and page.title[0].isascii() and page.title[:2].istitle()
        and ":" not in page.title
    ][:3]  # fmt: skip
    lower = articles[2][0].lower() + articles[2][1:]
    given = {articles[0]: [1, 0], articles[1].replace(" ", "_"): [0, 1], lower: [1, 1]}
    rows = [{"title": title, "vector": vector} for title, vector in given.items()]
    write_lines(tmp_path / "a.jsonl", rows)
    options = wikipedia.WikipediaOptions(
        source="sql",
        output_dir=f"{tmp_path}/data",
        title_vectors=f"{tmp_path}/a.jsonl",
        **files,
        **SMALL,
    )
    info = wikipedia.make_dataset(options)
    found = {
        title: vector for title, vector in vectors_of(tmp_path / "data").items() if any(vector)
    }
    assert found == {articles[0]: [1, 0], articles[1]: [0, 1]}
    assert info.counters["title_vectors_of_no_item"] == 1
    assert info.counters["items_without_title_vector"] == info.num_items - 2


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (
            [LINES[0], {"title": "b", "vector": [1, 2, 3]}, {"title": "c", "vector": "1 2"}],
            r"--title_vectors: 2\n  \S*a\.jsonl:3: vector has 3 .*\n  \S*a\.jsonl:5: vector has 1 ",
        ),
        ([LINES[0], {"title": "b", "vector": ["x", 1]}], r"a\.jsonl:3: vector holds 'x', which"),
        (
            [*LINES[:2], {"title": "Apple", "vector": [1, 2]}],
            r"a\.jsonl:1 and \S*a\.jsonl:5 have the same title",
        ),
        ([LINES[0], {"title": "Date", "vector": [1, 2]}], r"a\.jsonl:3 and \S*b\.parquet:2 have"),
    ],
)
def test_what_is_no_vector_or_comes_twice_ends_the_job(tmp_path, lines, reason):
    with pytest.raises(InputError, match=reason):
        make(tmp_path / "data", title_vectors=write(tmp_path, lines))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("v.csv", "title,vector\na,1\n", "table of texts, which has no lists of numbers; give"),
        ("v.jsonl", '{"name": "a", "vector": [1]}\n', "no column 'title'; there are name, vector"),
        ("v.jsonl", '{"title": "a", "vector": null}\n', "no row of .* has a vector in column"),
        ("v.jsonl", '{"title": "a", "vector": "1"}\n', "holds no lists of numbers"),
        ("v.json", "", "is empty"),
    ],
)
def test_other_tables_are_refused_before_the_job_starts(tmp_path, name, text, reason):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"--title_vectors: .*{reason}"):
        title_vectors.find_vectors(f"{tmp_path}/{name}", sites.Site())


def test_titles_are_made_those_of_pages():
    turkish = sites.Site(language="tr")
    assert title_vectors.normal_title("istanbul_", turkish) == "İstanbul"
    assert title_vectors.normal_title("istanbul", title_vectors.as_stored(turkish)) == "istanbul"
    assert title_vectors.normal_title("a#b", turkish) == ""
