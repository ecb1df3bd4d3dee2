import os
import pathlib
import re
import subprocess
import sys

import pytest

from data_prep import spill
from pipelines import wikipedia
from ssl_recsys import schema
from ssl_recsys.errors import InputError
from tests import listening

ROOT = pathlib.Path(__file__).parents[2]
TINY = ROOT / "tests" / "testdata" / "tiny_wiki.xml"
SHARED = pathlib.Path(os.environ.get("SSL_RECSYS_SHARED_DATA", ROOT.parent / "shared" / "data"))
WIKIPEDIA = SHARED / "wikipedia"
NEEDS_DUMPS = pytest.mark.skipif(
    not WIKIPEDIA.is_dir(), reason="no real dumps; SSL_RECSYS_SHARED_DATA names their directory"
)
# So small a wiki needs a large share, and this seed, for no split to be empty.
SMALL = {"validation_fraction": 0.3, "test_fraction": 0.3, "split_by": "link", "split_seed": 1}


def make(output_dir, dump=TINY, beam_args=(), **fields):
    options = wikipedia.WikipediaOptions(
        dump=str(dump), output_dir=str(output_dir), **(SMALL | fields)
    )
    return wikipedia.make_dataset(options, beam_args)


def read(data_dir):
    """Catalog records, and pairs of keys by split."""
    import tensorflow_datasets as tfds

    def load(folder, split):
        builder = tfds.builder_from_directory(data_dir / folder)
        return list(tfds.as_numpy(builder.as_dataset(split=split)))

    items = load(schema.CATALOG_DIR, schema.CATALOG_SPLIT)
    keys = [item["key"].decode() for item in items]
    pairs = {
        split: [
            (keys[query], keys[item])
            for record in load(schema.PAIRS_DIR, split)
            for query, item in zip(record["query_row"], record["item_row"], strict=True)
        ]
        for split in schema.PAIR_SPLITS
    }
    return items, pairs


def contents(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tiny") / "data"
    return make(directory, title_min_count=1, category_min_count=1), directory


def test_hash_buckets_are_what_tensorflow_looks_up(tiny, tmp_path):
    import tensorflow as tf

    counters = make(
        tmp_path / "data",
        id_min_count=3,
        title_min_count=2,
        category_min_count=1,
        id_hash_buckets=3,
        title_hash_buckets=4,
    ).counters
    info = schema.read_dataset_info(tmp_path / "data")
    all_items, _ = read(tiny[1])
    items, _ = read(tmp_path / "data")
    tokens = {
        name: schema.vocab_path(tmp_path / "data", name).read_text().splitlines()
        for name in ("id", "title_ngrams")
    }
    every_ngram = schema.vocab_path(tiny[1], "title_ngrams").read_text().splitlines()

    def row(name, token):
        known, spec = tokens[name], info.feature(name)
        assert spec.vocab_size == len(known) + 1 + spec.hash_buckets
        bucket = int(tf.strings.to_hash_bucket_fast(token, spec.hash_buckets))
        return known.index(token) + 1 if token in known else len(known) + 1 + bucket

    num_unknown = 0
    for item, before in zip(items, all_items, strict=True):
        key = item["key"].decode()
        assert item["id"] == row("id", key)
        num_unknown += key not in tokens["id"]
        # Without a minimum all n-grams of training titles have an id, which names them.
        known = [row("title_ngrams", every_ngram[number - 1]) for number in before["title_ngrams"]]
        found = item["title_ngrams"].tolist()
        assert set(known) <= set(found)
        assert len(set(found)) == len(found)  # also where several tokens share a row
    assert counters["items_without_id"] == num_unknown > 0
    assert "hash_buckets" not in (tiny[1] / "dataset.json").read_text().split('"options"')[0]


# By hand from tests/testdata/tiny_wiki.xml. "hop one" goes through two redirects, Chain 1 through
# four; Chain 0 would need five.
TINY_LINKS = {
    ("Apple", "Banana"),
    ("Apple", "Cherry & Co"),
    ("Apple", "Fig: a story"),
    ("Banana", "Date"),
    ("Banana", "Café"),
    ("Cherry & Co", "Apple"),
    ("Fig: a story", "Elder"),
    ("Fig: a story", "Apple"),
    ("Café", "Cherry & Co"),
    ("Elder", "Apple"),
}


def test_tiny_graph(tiny):
    info, directory = tiny
    items, pairs = read(directory)
    assert {item["key"].decode() for item in items} == {
        "Apple", "Banana", "Cherry & Co", "Date", "Fig: a story", "Café", "Elder"
    }  # fmt: skip
    assert [item["row"] for item in items] == list(range(7))
    together = [pair for split in pairs.values() for pair in split]
    assert len(together) == 10
    assert set(together) == TINY_LINKS
    assert info.num_pairs == {split: len(pairs[split]) for split in schema.PAIR_SPLITS}
    assert schema.read_dataset_info(directory) == info


def test_tiny_counters(tiny):
    counters = {name: count for name, count in tiny[0].counters.items() if count}
    for name in ("items_without_id", "categories_out_of_vocabulary"):
        counters.pop(name, None)  # these depend on the split
    assert counters == {
        "pages_read": 21,
        "pages_other_namespace": 1,
        "pages_malformed": 2,  # no </text>, no <title>
        "page_cut_off": 1,
        "dump_unfinished": 1,
        "pages_duplicate": 1,
        "redirects": 10,
        "articles": 7,
        "items": 7,
        # Apple 16, Banana 6, Cherry 2, Fig 2, Café 2, the second Apple 1, Elder 2
        "links_found": 31,
        "category_links": 4,
        "categories_assigned": 3,
        "links_file": 1,
        "links_interwiki": 1,
        "links_other_namespace": 2,
        "links_section": 1,
        "links_self": 2,
        "links_duplicate": 4,
        "links_of_duplicate_page": 1,
        "links_to_missing_page": 2,
        "links_redirect_loop": 2,  # Loop A, and Chain 0
        "links_redirect_no_article": 1,
        "links_through_redirect": 6,
        "links": 10,
    }


def test_tiny_features(tiny):
    info, directory = tiny
    items, pairs = read(directory)
    vocab = {
        spec.name: schema.vocab_path(directory, spec.name).read_text().splitlines()
        for spec in info.features
    }
    assert vocab["categories"] == ["Obst", "Red things"]  # of 2 pages, of 1
    assert vocab["title_ngrams"][:2] == ["a", "a story"]  # each once, so by token
    used = {key for pair in pairs["train"] for key in pair}
    assert set(vocab["id"]) == used
    for item in items:
        key = item["key"].decode()
        names = [vocab["categories"][index - 1] for index in item["categories"]]
        assert names == {"Apple": ["Obst", "Red things"], "Cherry & Co": ["Obst"]}.get(key, [])
        assert item["train_count"] == sum(target == key for _, target in pairs["train"])
        if key in used:
            assert vocab["id"][item["id"] - 1] == key
        else:
            assert item["id"] == 0
        if key == "Cherry & Co":
            ngrams = [vocab["title_ngrams"][index - 1] for index in item["title_ngrams"]]
            assert ngrams == ["cherry", "co", "cherry co"]


def test_link_targets_all(tmp_path):
    info = make(tmp_path / "data", link_targets="all", min_in_links=2)
    items, pairs = read(tmp_path / "data")
    added = [item for item in items if item["key"] == b"Nowhere"]
    assert len(items) == 8
    assert added[0]["categories"].tolist() == []
    links = {pair for split in pairs.values() for pair in split}
    assert links == TINY_LINKS | {("Apple", "Nowhere"), ("Banana", "Nowhere")}
    assert info.counters["items_without_page"] == 1
    assert info.counters["links_to_missing_page"] == 0


def test_split_by_page(tmp_path):
    fields = {"split_by": "page", "title_min_count": 1, "category_min_count": 1}
    for seed in range(40):
        try:
            make(tmp_path / "data", split_seed=seed, **fields)
            break
        except InputError as error:
            assert "the split by page leaves no pairs for" in str(error)  # noqa: PT017
            assert list(tmp_path.iterdir()) == []
    _, pairs = read(tmp_path / "data")
    pages = {split: {key for pair in pairs[split] for key in pair} for split in pairs}
    # Each test pair has an end that no training or validation pair has.
    seen = pages["train"] | pages["validation"]
    assert all(not {query, item} <= seen for query, item in pairs["test"])
    assert all(not {query, item} <= pages["train"] for query, item in pairs["validation"])

    # The catalog's vocabulary has every token; ids, pairs and splits are the same.
    info = make(tmp_path / "catalog", split_seed=seed, vocabulary="catalog", **fields)
    names = ("title_ngrams", "categories")
    training, catalog = (
        {name: schema.vocab_path(tmp_path / folder, name).read_text().splitlines()
         for name in ("id", *names)}
        for folder in ("data", "catalog")
    )  # fmt: skip
    assert catalog["id"] == training["id"]
    assert read(tmp_path / "catalog")[1] == pairs
    assert all(set(catalog[name]) >= set(training[name]) for name in names)
    assert len(catalog["title_ngrams"]) > len(training["title_ngrams"])
    assert sorted(catalog["categories"]) == ["Obst", "Red things"]
    assert not any(info.counters[f"{name}_out_of_vocabulary"] for name in names)
    assert info.options["vocabulary"] == "catalog"


@pytest.mark.parametrize(
    ("fields", "beam_args"),
    [
        ({"num_shards": 5, "range_mib": 1, "decode_threads": 1}, ()),
        ({"num_shards": 3}, ("--direct_num_workers=2", "--direct_running_mode=multi_threading")),
        ({"num_shards": 2}, ("--direct_num_workers=2", "--direct_running_mode=multi_processing")),
    ],
)
@NEEDS_DUMPS
def test_workers_and_shards_change_nothing(enwiki_2016, tmp_path, monkeypatch, fields, beam_args):
    monkeypatch.setattr(spill, "_SMALLEST", 0)  # all that passes between steps goes to disk
    dump, expected = enwiki_2016
    with listening.watched() as addresses:
        make(tmp_path / "data", dump, beam_args, split_by="page", **fields)
    assert addresses <= {"127.0.0.1"}
    assert addresses or not beam_args
    assert contents(tmp_path / "data") == expected


@pytest.fixture(scope="module")
def enwiki_2016(tmp_path_factory):
    dump = WIKIPEDIA / "xml_fixtures" / "enwiki-2016-206pages.xml.bz2"
    directory = tmp_path_factory.mktemp("enwiki") / "data"
    make(directory, dump, split_by="page")
    return dump, contents(directory)


@NEEDS_DUMPS
@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        (
            "tinywiki-latest-pages-articles.xml",
            "the split by link leaves no pairs for train and test",
        ),
        ("ukwiki-truncated-100k.xml.xz", (500, 532)),
        ("zhwiki-test-pages.xml", (20, 30)),
        ("zhwiki-broken-1.xml", "there is no article"),
        ("zhwiki-broken-2.xml", "no two of the 1 items"),
        ("zhwiki-broken-3.xml", "there is no article"),
        ("zhwiki-broken-4.xml", "no two of the 1 items"),
    ],
)
def test_every_fixture_gives_a_dataset_or_says_why(tmp_path, name, outcome):
    dump = WIKIPEDIA / "xml_fixtures" / name
    if isinstance(outcome, str):
        with pytest.raises(InputError, match=outcome):
            make(tmp_path / "data", dump)
        assert list(tmp_path.iterdir()) == []
    else:
        info = make(tmp_path / "data", dump)
        assert outcome[0] < info.counters["articles"] < outcome[1]


@NEEDS_DUMPS
def test_the_first_100_mb_of_the_english_wikipedia(tmp_path):
    dump = WIKIPEDIA / "enwiki-20060303-first100MB.xml.bz2"
    info = make(tmp_path / "data", dump, split_by="page", split_seed=0)
    assert info.counters["articles"] == pytest.approx(8587, abs=10)
    assert info.counters["redirects"] == pytest.approx(3649, abs=5)
    assert sum(info.num_pairs.values()) == pytest.approx(85_900, rel=0.01)
    assert info.counters["page_cut_off"] == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dump": ""}, "--dump is missing"),
        ({"link_targets": "some"}, "in_dump, all"),
        ({"split_by": "user"}, "page, link"),
        ({"test_fraction": 1.5}, "test_fraction must be in"),
        ({"max_categories": 0}, "--max_categories must be at least 1"),
        ({"num_shards": -1}, "--num_shards must be in"),
    ],
)
def test_bad_options(fields, message):
    with pytest.raises(InputError, match=message):
        wikipedia.WikipediaOptions(**({"dump": "x"} | fields))


def test_a_dump_without_pages(tmp_path):
    (tmp_path / "dump.xml").write_text("<mediawiki></mediawiki>")
    with pytest.raises(InputError, match="no complete page"):
        make(tmp_path / "data", tmp_path / "dump.xml")
    assert [path.name for path in tmp_path.iterdir()] == ["dump.xml"]


def test_dumps_of_two_wikis(tmp_path):
    other = tmp_path / "other.xml"
    other.write_text(TINY.read_text().replace("tinywiki", "otherwiki"))
    with pytest.raises(InputError, match="different wikis"):
        make(tmp_path / "data", f"{TINY},{other}")


def test_the_same_dump_twice_is_one_dump(tiny, tmp_path):
    copy = tmp_path / "copy.xml"
    copy.write_bytes(TINY.read_bytes())
    make(tmp_path / "data", f"{TINY},{copy}", title_min_count=1, category_min_count=1)
    twice, once = contents(tmp_path / "data"), contents(tiny[1])
    for name in ("dataset.json", "manifest.json"):
        assert twice.pop(name) != once.pop(name)
    assert twice == once


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "pipelines.wikipedia", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_command(tmp_path):
    flags = [f"--{name}={value}" for name, value in SMALL.items()]
    output = f"--output_dir={tmp_path}/data"
    done = command(f"--dump={TINY}", output, *flags, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    assert "data_prep.tf_records" in done.stderr  # the modules that were loaded
    assert "tensorflow" not in done.stderr
    assert re.search(r"^  links_redirect_loop +2  dropped: a loop", done.stdout, re.MULTILINE)
    assert "Wrote 7 items and 10 pairs" in done.stdout
    assert f"--flagfile=configs/wiki_best.flags --data_dir={tmp_path}/data" in done.stdout
    assert "warning: the dump ends in the middle of a page" in done.stderr
    assert "read part 1 of 1" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dump=/nonexistent.xml"], "error: no file /nonexistent.xml"),
        ([f"--dump={TINY}", "--ouput_dir=x"], "error: unknown option '--ouput_dir=x'"),
        ([f"--dump={TINY}", "--direct_num_workers=two"], "error: argument --direct_num_workers"),
        ([f"--dump={TINY}", "--output_dir=tests"], "error: --output_dir=tests is in use"),
    ],
)
def test_command_errors(arguments, message):
    done = command(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
