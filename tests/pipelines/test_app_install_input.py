"""The app-install job on input of unusual form: what it takes, and what it says."""

import datetime
import gzip
import json
import re

import pyarrow as pa
import pyarrow.parquet
import pytest

from data_prep.installs import counters
from data_prep.installs.log_spec import LogSpec
from pipelines import beam_job
from ssl_recsys import schema
from ssl_recsys.errors import InputError
from tests.dataset_dir import read
from tests.install_data import APPS, LOG, PAIRS, make, write_input, write_lines


def test_dense_features_alone(tmp_path):
    spec = {
        "items": {"key": "app_id"},
        "features": [{"name": "quality", "kind": "dense", "column": "quality"}],
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    info = make(tmp_path / "data", features_spec=f"{tmp_path}/spec.json", **write_input(tmp_path))
    assert [(f.name, f.kind) for f in info.features] == [("quality", "dense")]
    assert info.num_items == 7


def test_encoding_and_quoting(tmp_path):
    log = [(f"ü{user}" if user == "u1" else f"ö{user}", *rest) for user, *rest in LOG]
    paths = write_input(tmp_path, log)
    (tmp_path / "log.csv").write_bytes((tmp_path / "log.csv").read_text().encode("latin-1"))
    apps = [(*row[:3], f'"{row[3]}', *row[4:]) for row in APPS[1:]]
    paths["apps"] = str(write_lines(tmp_path / "apps.tsv", [APPS[0], *apps], "\t"))
    with pytest.raises(InputError, match=r"log\.csv:2: byte 0xfc.*--encoding=latin-1"):
        make(tmp_path / "data", **paths)
    info = make(tmp_path / "data", encoding="latin-1", **paths)
    assert info.counters["users"] == 4
    assert info.counters["item_rows"] == 6


def test_pairs_need_no_time_unless_they_are_split_by_it(tmp_path):
    paths = write_input(tmp_path)
    pairs = [("seed", "candidate"), *(("a", item) for item in "bcdef"), *(("b", i) for i in "cdef")]
    write_lines(tmp_path / "log.csv", pairs)
    with pytest.raises(InputError, match=r"no column 'timestamp'.*--split_by=pair"):
        make(tmp_path / "data", log_kind="landing_page", **paths)
    info = make(tmp_path / "data", log_kind="landing_page", split_by="pair", split_seed=1, **paths)
    assert sum(info.num_pairs.values()) == 9
    assert info.counters["events"] == info.counters["pairs"] == 9
    table = beam_job.counter_table(info.counters, counters.meanings(LogSpec(kind="landing_page")))
    assert re.search(r"^  events +9  pairs in the log$", table, re.MULTILINE)
    assert "user" not in table
    assert not any("user" in name for name in info.counters)


TIME_FORMS = (
    "%Y-%m-%dT%H:%M:%S.250000001Z",
    "%Y-%m-%dT%H:%M:%S.2500000Z",
    '"%Y-%m-%dT%H:%M:%S,25Z"',
    "%Y%m%dT%H%M%SZ",
    "%Y-%m-%dt%H:%M:%Sz",
    "%Y-%m-%d %H:%M:%S UTC",
    "%Y-%m-%d %H:%M:%S +0000",
)


def test_every_form_of_time_gives_the_same_pairs(tmp_path):
    """One form in each file, of which one has no line feeds, and one is packed without saying."""
    paths = write_input(tmp_path)
    for number, form in enumerate(TIME_FORMS):
        rows = [
            (user, item, datetime.datetime.fromtimestamp(time, datetime.timezone.utc))
            for user, item, time in LOG[number :: len(TIME_FORMS)]
        ]
        header = ("user_id", "app_id", "timestamp")
        log = [header, *((user, item, time.strftime(form)) for user, item, time in rows)]
        path = write_lines(tmp_path / f"form{number}.csv", log)
        if number == 0:
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r"))
        if number == 1:
            path.write_bytes(gzip.compress(path.read_bytes()))
    info = make(tmp_path / "data", **(paths | {"installs": f"{tmp_path}/form*.csv"}))
    assert info.counters["events"] == 13
    assert read(tmp_path / "data")[1] == PAIRS


SPEC = {
    "items": {"key": "item", "title": "name"},
    "log": {"user": "user", "item": "item", "timestamp": "ts"},
    "features": [
        {"name": "words", "kind": "bag", "column": "name", "words": True},
        {"name": "tags", "kind": "bag", "column": "tags"},
        {"name": "price", "kind": "dense", "column": "price"},
    ],
}
COLUMNS = ("item", "name", "tags", "price")


def write_mixed(directory):
    """Logs in Parquet and JSON with NaN for users, and an item table in three formats."""
    nan = float("nan")
    (directory / "spec.json").write_text(json.dumps(SPEC))
    events = [(1.0, "a", 0), (1.0, "b", 1), (2.0, "a", 0), (nan, "c", 2), (nan, "d", 3)]
    users, items, hours = zip(*events, strict=True)
    times = [hour * 3600 for hour in hours]
    log = pa.table({"user": pa.array(users, pa.float64()), "item": items, "ts": times})
    pa.parquet.write_table(log, directory / "log.parquet")
    events = [(1, "c", 2), (nan, "e", 0), (2, "d", 1), (nan, "f", 1), (3, "e", 0), (3, "f", 1)]
    records = [{"user": u, "item": i, "ts": hour * 3600} for u, i, hour in events]
    (directory / "log.jsonl").write_text("\n".join(map(json.dumps, records)))
    rows = [("a", "हिन्दी தமிழ்", "t", 1), ("b", "தமிழ் हिन्दी", "t", 2), ("c", "x\ud83d", "t", 3)]
    records = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    (directory / "items.jsonl").write_text("\n".join(map(json.dumps, records)))
    table = {"item": ["d"], "name": ["Delta"], "price": [float("inf")]}
    table["tags"] = pa.array([["t1", "t2"]], pa.list_(pa.string(), 2))
    pa.parquet.write_table(pa.table(table), directory / "items.parquet")
    rows = [("e", '"Heroes', "t", 4), ("f", 'Twelve" mix', "t", 5)]
    write_lines(directory / "items.tsv", [COLUMNS, *rows], "\t")
    return {
        "installs": f"{directory}/log.*",
        "apps": f"{directory}/items.*",
        "features_spec": f"{directory}/spec.json",
        "split_by": "pair",
        "split_seed": 1,
    }


def test_values_that_are_none(tmp_path):
    fields = write_mixed(tmp_path)
    with pytest.raises(InputError) as caught:
        make(tmp_path / "data", **fields)
    message = str(caught.value)
    assert message.startswith("bad records: 6, more than --max_bad_records=0")
    for line in ("log.jsonl:2", "log.jsonl:4", "log.parquet:4", "log.parquet:5"):
        assert f"{line}: user is empty" in message
    assert "items.jsonl:3: name has half of a surrogate pair" in message

    info = make(tmp_path / "data", max_bad_records=6, **fields)
    items, pairs = read(tmp_path / "data")
    # No NaN is a user: it would have made (c, d) and (e, f) once more.
    assert info.counters["users"] == 3
    together = sorted(pair for split in pairs.values() for pair in split)
    assert together == [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("e", "f")]
    assert info.counters["items_without_metadata"] == 1  # c
    assert items["e"]["title"].decode() == '"Heroes'
    assert items["f"]["title"].decode() == 'Twelve" mix'
    assert info.counters["item_records_bad"] == 2  # half of a pair of surrogates, infinity
    assert items["d"]["price"].tolist() == [0, 1]
    vocab = schema.vocab_path(tmp_path / "data", "words").read_text().splitlines()
    assert {"हिन्दी", "தமிழ்"} <= {*vocab} <= {"हिन्दी", "தமிழ்", "delta", "heroes", "twelve", "mix"}


@pytest.mark.parametrize(
    ("name", "column", "values", "message"),
    [
        ("log", "user_id", pa.array([{"x": 1}] * 13), "'user_id' is of type struct<"),
        ("log", "user_id", pa.array([b"\xff"] * 13), "'user_id' .* not UTF-8"),
        ("apps", "title", pa.array([[("k", 1)]] * 6, pa.map_("string", "int64")), "type map<"),
    ],
)
def test_columns_that_hold_no_values(tmp_path, name, column, values, message):
    fields = write_input(tmp_path)
    names, *rows = [("user_id", "app_id", "timestamp"), *LOG] if name == "log" else APPS
    table = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) | {column: values}
    pa.parquet.write_table(pa.table(table), tmp_path / f"{name}.parquet")
    fields["installs" if name == "log" else "apps"] = f"{tmp_path}/{name}.parquet"
    with pytest.raises(InputError, match=rf"{name}\.parquet.*{message}"):
        make(tmp_path / "data", **fields)
    assert not (tmp_path / "data").exists()
