"""The app-install job: a dataset by hand, in every format and division, and its refusals."""

import gzip
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from data_prep import tables
from pipelines.app_install import AppInstallOptions
from ssl_recsys import manifest, schema
from ssl_recsys.errors import InputError
from ssl_recsys.files import MANIFEST_FILE
from ssl_recsys.tokens import fingerprint64
from tests import listening
from tests.dataset_dir import read
from tests.install_data import APPS, FRACTIONS, LOG, PAIRS, make, write_input, write_lines

ROOT = pathlib.Path(__file__).parents[2]
SHARED = pathlib.Path(os.environ.get("SSL_RECSYS_SHARED_DATA", ROOT.parent / "shared" / "data"))
MYKET = SHARED / "myket"
NEEDS_MYKET = pytest.mark.skipif(
    not MYKET.is_dir(), reason="no real install log; SSL_RECSYS_SHARED_DATA names its directory"
)


def contents(directory):
    """The files that the model reads; `dataset.json` depends on the form of the input, too."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in (schema.DATASET_FILE, MANIFEST_FILE)
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    directory = tmp_path_factory.mktemp("small")
    return make(directory / "data", **write_input(directory)), directory / "data"


def test_pairs(small):
    info, directory = small
    items, pairs = read(directory)
    assert pairs == PAIRS
    assert info.num_pairs == {split: len(pairs) for split, pairs in PAIRS.items()}
    assert sorted(items) == ["a", "b", "c", "d", "e", "f", "x"]
    assert {key: item["train_count"] for key, item in items.items() if item["train_count"]} == {
        "a": 1, "b": 2, "x": 2
    }  # fmt: skip
    assert info.head == schema.HeadRule(schema.HEAD_TOP_FRACTION, 0.1)
    assert schema.to_json(schema.read_dataset_info(directory)) == schema.to_json(info)
    assert info.split == {
        "by": "time", "seed": 0, "validation_fraction": 0.2, "test_fraction": 0.2
    }  # fmt: skip


def test_counters(small):
    assert {name: count for name, count in small[0].counters.items() if count} == {
        "events": 13,
        "events_repeated": 1,
        "users": 4,
        "pairs": 10,
        "item_rows": 6,
        "items": 7,
        "items_in_pairs": 6,
        "items_without_pair": 1,  # f
        "items_without_metadata": 1,  # x
        "items_without_id": 3,  # c, e, f
        "developer_name_missing": 1,
        "developer_name_out_of_vocabulary": 2,  # dev3 twice
        "categories_missing": 1,
        "categories_out_of_vocabulary": 2,  # G3, G4
        "title_unigram_missing": 1,
        "title_unigram_out_of_vocabulary": 5,  # beta, gamma, delta, epsilon, phi
        "popularity_missing": 2,  # d, x
        "quality_missing": 2,  # b, x
    }


def test_features(small):
    info, directory = small
    items, _ = read(directory)
    vocab = {
        name: schema.vocab_path(directory, name).read_text().splitlines()
        for name in ("id", "developer_name", "categories", "title_unigram")
    }
    assert vocab == {
        "id": ["a", "b", "x", "d"],  # in 4, 3, 2 and 1 training pairs
        "developer_name": ["dev1", "dev2"],  # of a and b, of d
        "categories": ["G1", "G2"],
        "title_unigram": ["alpha", "game"],  # those that two training items have
    }
    assert [spec.vocab_size for spec in info.features] == [5, 3, 3, 3, 0, 0]
    assert {key: item["id"] for key, item in items.items()} == {
        "a": 1, "b": 2, "x": 3, "d": 4, "c": 0, "e": 0, "f": 0
    }  # fmt: skip
    assert items["a"]["title"] == b"Alpha game"
    assert items["a"]["categories"].tolist() == [1, 2]
    assert items["f"]["title_unigram"].tolist() == [2]
    assert items["x"]["title"] == b""
    assert items["x"]["categories"].tolist() == []
    assert items["c"]["developer_name"] == 2
    # Training values 100 and 10 (d has none): one deviation over and under the logarithms' mean.
    np.testing.assert_allclose(items["a"]["popularity"], [1, 0], atol=1e-6)
    np.testing.assert_allclose(items["b"]["popularity"], [-1, 0], atol=1e-6)
    np.testing.assert_allclose(items["d"]["popularity"], [0, 1])
    # Training values 0.9 and 0.1: c's 0.5 has half of them below.
    np.testing.assert_allclose(items["c"]["quality"], [0, 0])
    np.testing.assert_allclose(items["a"]["quality"], [0.5, 0])


def test_hash_buckets_of_a_spec(small, tmp_path):
    buckets = {"id": 2, "developer_name": 3, "categories": 5, "title_unigram": 4}
    fields = [
        {"name": "id", "kind": "categorical", "column": "app_id"},
        {"name": "developer_name", "kind": "categorical", "column": "developer_name"},
        {"name": "categories", "kind": "bag", "column": "categories"},
        {"name": "title_unigram", "kind": "bag", "column": "title", "words": True, "min_count": 2},
    ]
    spec = [field | {"hash_buckets": buckets[field["name"]]} for field in fields]
    (tmp_path / "spec.json").write_text(json.dumps({"features": spec}))
    info = make(
        tmp_path / "data", features_spec=str(tmp_path / "spec.json"), **write_input(tmp_path)
    )
    assert [(s.vocab_size, s.hash_buckets) for s in info.features] == [
        (5 + 2, 2), (3 + 3, 3), (3 + 5, 5), (3 + 4, 4)
    ]  # fmt: skip
    items, _ = read(tmp_path / "data")
    before, _ = read(small[1])

    def bucket(token, count):
        return fingerprint64(token.encode()) % count

    assert items["a"]["id"] == before["a"]["id"]
    assert items["c"]["id"] == 5 + bucket("c", 2)
    assert items["e"]["developer_name"] == 3 + bucket("dev3", 3)
    assert items["x"]["developer_name"] == 0  # of x nothing is known
    assert items["c"]["categories"].tolist() == [3 + bucket("G3", 5)]
    assert items["f"]["title_unigram"].tolist() == [3 + bucket("phi", 4), 2]
    assert info.counters == before_counters(small)


def before_counters(small):
    """Without the two features that the spec leaves out."""
    gone = ("popularity_missing", "quality_missing")
    return {name: count for name, count in small[0].counters.items() if name not in gone}


def test_vocabulary_of_the_catalog(small, tmp_path):
    info = make(tmp_path / "data", vocabulary="catalog", **write_input(tmp_path))
    vocab = {
        name: schema.vocab_path(tmp_path / "data", name).read_text().splitlines()
        for name in ("id", "developer_name", "categories", "title_unigram")
    }
    assert vocab["id"] == ["a", "b", "x", "d"]  # of training pairs, as before
    assert sorted(vocab["developer_name"]) == ["dev1", "dev2", "dev3"]
    assert sorted(vocab["categories"]) == ["G1", "G2", "G3", "G4"]
    assert vocab["title_unigram"][0] == "game"  # the only other word that two items have
    assert set(vocab["title_unigram"]) == {"alpha", "game"}
    for name in ("developer_name", "categories"):
        assert info.counters.get(f"{name}_out_of_vocabulary", 0) == 0
    items, pairs = read(tmp_path / "data")
    before, pairs_before = read(small[1])
    assert pairs == pairs_before
    for key, item in items.items():
        assert item["id"] == before[key]["id"]
        # Scales are learned from training items alone.
        np.testing.assert_array_equal(item["popularity"], before[key]["popularity"])
        np.testing.assert_array_equal(item["quality"], before[key]["quality"])
    assert info.options["vocabulary"] == "catalog"


def test_popularity_from_training(small, tmp_path):
    info = make(tmp_path / "data", popularity_from_training=True, **write_input(tmp_path))
    items, _ = read(tmp_path / "data")
    # log(1 + count) of the training items a 1, b 2, x 2, d 0.
    logs = np.log1p([1, 2, 2, 0])
    expected = (logs - logs.mean()) / logs.std()
    found = [items[key]["popularity"].tolist() for key in "abxd"]
    np.testing.assert_allclose(found, [[value, 0] for value in expected], atol=1e-6)
    assert items["c"]["popularity"].tolist() == items["d"]["popularity"].tolist()
    assert "popularity_missing" not in info.counters


def write_jsonl(path, rows):
    names, *values = rows
    lines = []
    for row in values:
        record = {name: value for name, value in zip(names, row, strict=True) if value != ""}
        if "categories" in record:
            record["categories"] = record["categories"].split("|")
        lines.append(json.dumps(record) + "\n")
    data = "".join(lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_parquet(path, rows):
    names, *values = rows
    columns = dict(zip(names, zip(*values, strict=True), strict=True))
    for name in ("popularity", "quality"):
        if name in columns:
            columns[name] = [float(value) if value else None for value in columns[name]]
    if "timestamp" in columns:
        columns["timestamp"] = pa.array(
            [value * 1000 for value in columns["timestamp"]], pa.timestamp("ms")
        )
    pa.parquet.write_table(pa.table(columns), path, row_group_size=4)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(path.read_bytes()))


@pytest.mark.parametrize(
    ("log_ending", "apps_ending"),
    [("csv.gz", "jsonl"), ("tsv", "parquet.gz"), ("jsonl.gz", "parquet"), ("parquet", "tsv")],
)
def test_every_format_gives_the_same_dataset(small, tmp_path, log_ending, apps_ending):
    log, apps = [("user_id", "app_id", "timestamp"), *LOG], APPS
    paths = tmp_path / f"log.{log_ending}", tmp_path / f"apps.{apps_ending}"
    for path, rows in zip(paths, (log, apps), strict=True):
        if "jsonl" in path.name:
            write_jsonl(path, rows)
        elif "parquet" in path.name:
            write_parquet(path, rows)
        else:
            write_lines(path, rows, "\t" if "tsv" in path.name else ",")
    make(tmp_path / "data", installs=str(paths[0]), apps=str(paths[1]))
    assert contents(tmp_path / "data") == contents(small[1])


def test_landing_pages_give_the_same_dataset(small, tmp_path):
    times = {pair: time for time, pair in ((70, ("a", "e")), (70, ("c", "e")), (61, ("c", "a")))}
    late = [(*pair, time) for pair, time in times.items()]
    early = [("a", "b", 1), ("a", "b", 2), ("a", "x", 3), ("b", "x", 3), ("d", "a", 50)]
    rows = [*late, ("d", "b", 52), ("a", "b", 52), ("e", "e", 1), *early]
    fields = write_input(tmp_path)
    header = ("from", "to", "hours")
    write_lines(tmp_path / "log.csv", [header, *((q, i, t * 60) for q, i, t in rows)])
    info = make(
        tmp_path / "data",
        log_kind="landing_page",
        seed_column="from",
        candidate_column="to",
        timestamp_column="hours",
        timestamp_unit="min",
        **fields,
    )
    assert contents(tmp_path / "data") == contents(small[1])
    assert info.counters["pairs_with_itself"] == 1


@pytest.mark.parametrize(
    ("fields", "beam_args"),
    [
        ({"num_shards": 5}, ()),
        ({"num_shards": 3}, ("--direct_num_workers=2", "--direct_running_mode=multi_processing")),
    ],
)
def test_shards_pieces_and_workers_change_nothing(small, tmp_path, monkeypatch, fields, beam_args):
    monkeypatch.setattr(tables, "_PIECE_BYTES", 40)
    with listening.watched() as addresses:
        make(tmp_path / "data", beam_args, **write_input(tmp_path, log=LOG[::-1]), **fields)
    assert addresses <= {"127.0.0.1"}
    assert addresses or not beam_args
    assert contents(tmp_path / "data") == contents(small[1])


def test_several_files(small, tmp_path):
    fields = write_input(tmp_path, log=LOG[:6])
    header = ("timestamp", "other", "user_id", "app_id")  # another order of columns
    write_lines(tmp_path / "log2.csv", [header, *((t, "", u, i) for u, i, t in LOG[6:])])
    make(tmp_path / "data", **(fields | {"installs": f"{tmp_path}/log*.csv"}))
    assert contents(tmp_path / "data") == contents(small[1])


@pytest.mark.parametrize(
    ("by", "seed", "expected"),
    [
        # All three (a, b) fall together.
        (
            "pair",
            0,
            {
                "train": [("a", "b")] * 3 + [("a", "e"), ("a", "x"), ("c", "e")],
                "validation": [("d", "a"), ("d", "b")],
                "test": [("b", "x"), ("c", "a")],
            },
        ),
        # u1; u3; u2 and u4.
        (
            "user",
            2,
            {
                "train": [("a", "b")],
                "validation": [("a", "b"), ("d", "a"), ("d", "b")],
                "test": [("a", "b"), ("a", "e"), ("a", "x"), ("b", "x"), ("c", "a"), ("c", "e")],
            },
        ),
    ],
)
def test_other_splits(tmp_path, by, seed, expected):
    make(tmp_path / "data", split_by=by, split_seed=seed, **write_input(tmp_path))
    assert read(tmp_path / "data")[1] == expected


@pytest.mark.parametrize("log_kind", ["history", "landing_page"])
def test_no_training_pair_touches_a_held_out_item(tmp_path, log_kind):
    names = [f"app{number}" for number in range(40)]
    apps = [APPS[0], *((name, "dev", "", name, "", "") for name in names)]
    rng = np.random.default_rng(0)
    chosen = [rng.choice(names, 2, replace=False) for _ in range(300)]
    columns = {}
    if log_kind == "history":
        log = [(f"u{u}", app, t) for u, both in enumerate(chosen) for t, app in enumerate(both)]
    else:
        log = [(*both, 0) for both in chosen]
        columns = {"seed_column": "user_id", "candidate_column": "app_id"}
    fields = write_input(tmp_path, log, apps) | columns
    info = make(tmp_path / "data", split_by="item", log_kind=log_kind, **fields)
    assert sum(info.num_pairs.values()) == 300
    _, pairs = read(tmp_path / "data")
    items = {split: {name for pair in pairs[split] for name in pair} for split in pairs}
    # Each test pair has an item of which there is no pair elsewhere; so have validation pairs.
    only_test = items["test"] - items["train"] - items["validation"]
    assert all(only_test & {*pair} for pair in pairs["test"])
    held_out = items["validation"] - items["train"]
    assert all(held_out & {*pair} for pair in pairs["validation"])
    assert min(map(len, pairs.values())) > 10


def test_bad_records_are_left_out_up_to_a_number(small, tmp_path):
    bad = [("u1", "a", "yesterday"), ("u1", "", 5), ("u9", "b")]
    apps = [*APPS, ("", "dev1", "", "No key", "", ""), ("g", "dev1", "", "G", "many", "")]
    fields = write_input(tmp_path, [*LOG[:3], *bad, *LOG[3:]], apps)
    with pytest.raises(InputError) as caught:
        make(tmp_path / "data", max_bad_records=4, **fields)
    assert str(caught.value).splitlines() == [
        "bad records: 5, more than --max_bad_records=4 allows:",
        f"  {tmp_path}/log.csv:5: timestamp is no time: 'yesterday'",
        f"  {tmp_path}/log.csv:6: app_id is empty",
        f"  {tmp_path}/log.csv:7: expected 3 columns, got 2",
        f"  {tmp_path}/apps.csv:8: app_id is empty",
        f"  {tmp_path}/apps.csv:9: popularity is no number: 'many'",
        "Mend them, or raise --max_bad_records to leave them out.",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["apps.csv", "log.csv"]
    info = make(tmp_path / "data", max_bad_records=5, **fields)
    assert info.counters["log_records_bad"] == 3
    assert info.counters["item_records_bad"] == 2
    items, pairs = read(tmp_path / "data")
    assert pairs == PAIRS
    assert items["g"]["popularity"].tolist() == [0, 1]


def test_repeated_rows_of_the_item_table(small, tmp_path):
    fields = write_input(tmp_path, apps=[*APPS, ("a", "dev9", "", "Again", "", "")])
    with pytest.raises(InputError, match=r"1 rows .*\n.*apps\.csv:8: 'a'\n.*items=first"):
        make(tmp_path / "data", **fields)
    info = make(tmp_path / "data", duplicate_items="first", **fields)
    assert info.counters["item_rows_repeated"] == 1
    assert contents(tmp_path / "data") == contents(small[1])


@pytest.mark.parametrize(
    ("log", "apps", "fields", "message"),
    [
        ([], APPS, {}, "no usable event in"),
        (LOG, APPS[:1], {}, "no row with a key in"),
        (LOG, [APPS[0], ("q", *APPS[1][1:])], {}, "none of the 6 items in .* is in .*'app_id'"),
        (LOG, APPS, {"window": "1min"}, "no user has two items within --window=1min"),
        (LOG, APPS, {"timestamp_unit": "d", "window": "1h"}, "whether --timestamp_unit is d"),
        (LOG[:3], APPS, {}, "the split by time leaves no pairs for train.* of the same moment"),
        (LOG, APPS, {"item_column": "app"}, r"no column 'app', .* are user_id, app_id, timestamp"),
        (
            LOG,
            APPS,
            {"title_column": "name"},
            "apps.csv has no column 'name', which the item table",
        ),
        (LOG, APPS, {"split_by": "user", "log_kind": "landing_page"}, "'seed', 'candidate'"),
    ],
)
def test_input_that_gives_no_dataset(tmp_path, log, apps, fields, message):
    with pytest.raises(InputError, match=message):
        make(tmp_path / "data", **write_input(tmp_path, log, apps), **fields)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["apps.csv", "log.csv"]


def test_landing_page_log_without_the_flag(tmp_path):
    fields = write_input(tmp_path)
    write_lines(tmp_path / "log.csv", [("seed", "candidate", "timestamp"), ("a", "b", 1)])
    with pytest.raises(InputError, match="add --log_kind=landing_page"):
        make(tmp_path / "data", **fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"installs": ""}, "--installs is missing"),
        ({"apps": ""}, "--apps is missing"),
        ({"split_by": "day"}, "time, user, pair, item"),
        ({"duplicate_items": "last"}, "error, first"),
        ({"window": "soon"}, "like 1d or 12h"),
        ({"max_bad_records": -1}, r"--max_bad_records must be at least 0 \(got -1\)"),
        ({"head_fraction": 1.0}, "--head_fraction must be in"),
        ({"head_min_count": 0}, "--head_min_count must be at least 1"),
        ({"head": "most"}, "--head must be one of in_training, top_fraction"),
        ({"test_fraction": 0.9, "validation_fraction": 0.2}, "must be below 1"),
        ({"num_shards": 5000}, "--num_shards must be in"),
    ],
)
def test_bad_options(fields, message):
    with pytest.raises(InputError, match=message):
        AppInstallOptions(**({"installs": "x", "apps": "y"} | fields))


def test_head_rules():
    fields = {"installs": "x", "apps": "y", "head_fraction": 0.2, "head_min_count": 5}
    assert AppInstallOptions(**fields).head_rule == schema.HeadRule("top_fraction", 0.2, 5)
    in_training = AppInstallOptions(**fields, head="in_training").head_rule
    assert in_training == schema.HeadRule("in_training", min_count=5)


def plain_pairs(path, window):
    """(seed, candidate, when) of a log, one by one, with the times as they are written."""
    first = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            user, app, when = line.rstrip("\n").split(",")
            if (user, app) not in first or float(when) < float(first[user, app]):
                first[user, app] = when
    histories = {}
    for (user, app), when in first.items():
        histories.setdefault(user, []).append((float(when), app, when))
    for history in histories.values():
        for later, candidate, when in history:
            for earlier, seed, _ in history:
                if 0 < later - earlier <= window:
                    yield seed, candidate, when


@NEEDS_MYKET
def test_a_real_log_and_its_pairs_as_landing_pages(tmp_path):
    log, apps = MYKET / "installs.csv.gz", str(MYKET / "apps.csv")
    info = make(tmp_path / "history", installs=str(log), apps=apps, item_column="app_name")
    pairs = list(plain_pairs(log, 86400))
    assert info.counters["pairs"] == sum(info.num_pairs.values()) == len(pairs) == 216_984
    assert info.counters["events"] == 138_751
    assert info.counters["users"] == 8224
    assert info.counters["item_rows"] == 7606
    assert info.num_pairs["train"] == pytest.approx(0.6 * len(pairs), rel=1e-3)

    landing = write_lines(tmp_path / "pairs.csv", [("seed", "candidate", "timestamp"), *pairs])
    make(tmp_path / "landing", installs=str(landing), apps=apps, log_kind="landing_page")
    assert contents(tmp_path / "landing") == contents(tmp_path / "history")


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "pipelines.app_install", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_command(tmp_path):
    fields = write_input(tmp_path) | FRACTIONS
    flags = [f"--{name}={value}" for name, value in fields.items()]
    done = command(*flags, f"--output_dir={tmp_path}/data", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    assert "data_prep.tf_records" in done.stderr  # the modules that were loaded
    assert "tensorflow" not in done.stderr
    assert re.search(r"^  items_without_metadata +1  items that the log has", done.stdout, re.M)
    assert "Wrote 7 items and 10 pairs (5 train, 3 validation, 2 test)" in done.stdout
    assert f"--flagfile=configs/aai_best.flags --data_dir={tmp_path}/data" in done.stdout
    manifest.check(tmp_path / "data")
    again = command(*flags, f"--output_dir={tmp_path}/data")
    assert again.returncode == 2
    assert "is in use" in again.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"installs": "/nonexistent.csv"}, "error: --installs: no file /nonexistent.csv"),
        ({"user_column": "who"}, "error: {}/log.csv has no column 'who', which the log needs"),
        ({"apps": "{}/cut.csv.gz"}, "error: {}/cut.csv.gz cannot be decompressed"),
        ({"timestamp_column": "app_id"}, "error: bad records: 13, more than --max_bad_records=0"),
    ],
)
def test_command_errors(tmp_path, change, message):
    fields = write_input(tmp_path) | {"output_dir": f"{tmp_path}/data"} | change
    write_lines(tmp_path / "cut.csv.gz", APPS * 50)
    (tmp_path / "cut.csv.gz").write_bytes((tmp_path / "cut.csv.gz").read_bytes()[:-9])
    arguments = [f"--{name}={value}".replace("{}", str(tmp_path)) for name, value in fields.items()]
    done = command(*arguments)
    assert done.returncode == 2
    assert message.replace("{}", str(tmp_path)) in done.stderr
    assert "Traceback" not in done.stderr
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["apps.csv", "cut.csv.gz", "log.csv"]
