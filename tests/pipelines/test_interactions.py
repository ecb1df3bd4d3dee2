"""The interactions job: queries, pairs and records by hand, divided in any way, and refusals."""

import json
import os
import pathlib
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from data_prep import splits
from data_prep.installs.log_spec import LogSpec
from data_prep.installs.logs import Events
from data_prep.interactions.counters import meanings
from data_prep.interactions.queries import histories, make_queries
from pipelines import interactions
from ssl_recsys import recommend, schema
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.errors import InputError
from ssl_recsys.serving.app import make_app
from ssl_recsys.serving.raw_items import Embedders
from ssl_recsys.serving.served import Models
from ssl_recsys.serving.server import Limits
from ssl_recsys.training.export import FEATURES, load_export, load_tower
from tests import command_line
from tests.install_data import FRACTIONS, write_input, write_lines
from tests.pipelines.test_app_install import contents
from tests.ssl_recsys import commands

ROOT = pathlib.Path(__file__).parents[2]
SHARED = pathlib.Path(os.environ.get("SSL_RECSYS_SHARED_DATA", ROOT.parent / "shared" / "data"))

USERS = [("user_id", "country", "age"), ("u1", "NL", "30"), ("u2", "DE", ""), ("u9", "NL", "5")]
SPEC = {
    "name": "viewings",
    "users": {"key": "user_id"},
    "user_features": [
        {"name": "country", "kind": "categorical", "column": "country"},
        {"name": "age", "kind": "dense", "column": "age", "normalize": "none"},
    ],
}


def inputs(directory, spec=SPEC):
    write_lines(directory / "users.csv", USERS)
    (directory / "spec.json").write_text(json.dumps(spec))
    files = write_input(directory)
    return {
        "events": files["installs"],
        "items": files["apps"],
        "users": f"{directory}/users.csv",
        "features_spec": f"{directory}/spec.json",
    }


def make(output_dir, **fields):
    options = interactions.InteractionsOptions(output_dir=str(output_dir), **(FRACTIONS | fields))
    return interactions.make_dataset(options)


def pairs_of(dataset):
    """(query key without the date, item key) by split."""
    queries, items = dataset.catalog(schema.QUERY).keys, dataset.catalog(schema.ITEM).keys
    return {
        split: sorted(
            (queries[query].replace(":00:00.000000Z", ""), items[item])
            for query, item in zip(*dataset.pairs(split), strict=True)
        )
        for split in schema.PAIR_SPLITS
    }


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    directory = tmp_path_factory.mktemp("both")
    info = make(directory / "data", **inputs(directory))
    return info, Dataset(directory / "data")


def test_pairs_are_moments_and_items(both):
    assert pairs_of(both[1]) == {
        "train": [
            ("u1@1970-01-01T00", "a"),
            ("u1@1970-01-01T01", "b"),
            ("u1@1970-01-02T06", "c"),
            ("u2@1970-01-01T00", "a"),
            ("u2@1970-01-01T02", "b"),
            ("u2@1970-01-01T03", "x"),
            ("u3@1970-01-03T00", "d"),
        ],
        # Twelve pairs: validation begins with the eighth, testing with the eleventh.
        "validation": [
            ("u3@1970-01-03T02", "a"),
            ("u3@1970-01-03T04", "b"),
            ("u4@1970-01-03T12", "c"),
        ],
        "test": [("u4@1970-01-03T13", "a"), ("u4@1970-01-03T22", "e")],
    }


def test_histories_and_features_of_users(both):
    info, dataset = both
    assert [spec.as_dict() for spec in info.queries.features] == [
        {"name": "history", "kind": "bag", "vocab_size": 6, "max_values": 50, "table": "id"},
        {"name": "user_id", "kind": "categorical", "vocab_size": 4, "max_values": 1},
        {"name": "country", "kind": "categorical", "vocab_size": 3, "max_values": 1},
        {"name": "age", "kind": "dense", "vocab_size": 0, "max_values": 2},
    ]
    # Ids by frequency in the training pairs: a and b 2, c, d and x 1; e has none.
    assert (dataset.data_dir / "vocab/id.txt").read_text().split() == ["a", "b", "c", "d", "x"]
    assert (dataset.data_dir / "vocab/user_id.txt").read_text().split() == ["u1", "u2", "u3"]
    queries = dataset.catalog(schema.QUERY)
    found = {
        key.replace(":00:00.000000Z", ""): (
            queries.titles[row],
            int(queries.train_count[row]),
            [number for number in queries.features["history"][row].tolist() if number],
            queries.features["user_id"][row].tolist(),
            queries.features["age"][row].tolist(),
        )
        for row, key in enumerate(queries.keys)
    }
    assert len(found) == 12
    # The latest first; u4 has no training pair, u2 no age, u3 no row in the table.
    assert found["u1@1970-01-02T06"] == ("u1", 3, [2, 1], [1], [30.0, 0.0])
    assert found["u2@1970-01-01T03"] == ("u2", 3, [2, 1], [2], [0.0, 1.0])
    assert found["u3@1970-01-03T04"] == ("u3", 1, [1, 4], [3], [0.0, 1.0])
    assert found["u4@1970-01-03T22"] == ("u4", 0, [1, 3], [0], [0.0, 1.0])
    assert found["u1@1970-01-01T00"][2] == []


def test_counters(both):
    counters = both[0].counters
    assert {name: counters[name] for name in meanings(LogSpec()) if counters[name]} == {
        "events": 13,
        "events_repeated": 1,
        "queries": 12,
        "pairs": 12,
        "user_rows": 3,
        "users_in_pairs": 4,
        "users_without_pair": 1,
        "users_without_metadata": 2,
        "users_without_id": 1,
        "item_rows": 6,
        "items": 7,
        "items_in_pairs": 6,
        "items_without_pair": 1,
        "items_without_metadata": 1,
        "items_without_id": 2,
    }


def test_the_dataset_does_not_depend_on_shards(both, tmp_path):
    make(tmp_path / "data", num_shards=5, **inputs(tmp_path))
    assert contents(tmp_path / "data") == contents(both[1].data_dir)


def test_histories_alone(tmp_path):
    files = inputs(tmp_path, {"name": "viewings"})
    info = make(tmp_path / "data", queries="histories", history=1, **files)
    dataset = Dataset(tmp_path / "data")
    assert [spec.name for spec in info.queries.features] == ["history"]
    assert info.counters["events_without_history"] == 4
    # Eight pairs: validation begins with the sixth, testing with the seventh.
    assert pairs_of(dataset)["test"] == [("u4@1970-01-03T13", "a"), ("u4@1970-01-03T22", "e")]
    assert dataset.catalog(schema.QUERY).features["history"].shape == (8, 1)


def test_the_last_moments_of_users_are_held_out(tmp_path):
    make(tmp_path / "data", split_by="last", **inputs(tmp_path))
    found = pairs_of(Dataset(tmp_path / "data"))
    assert found["test"] == [
        ("u1@1970-01-02T06", "c"),
        ("u2@1970-01-01T03", "x"),
        ("u3@1970-01-03T04", "b"),
        ("u4@1970-01-03T22", "e"),
    ]
    assert [query[:2] for query, _ in found["train"]] == ["u1", "u2", "u3", "u4"]


def test_users_alone(tmp_path):
    info = make(tmp_path / "data", queries="users", **inputs(tmp_path))
    dataset = Dataset(tmp_path / "data")
    assert [spec.name for spec in info.queries.features] == ["user_id", "country", "age"]
    assert dataset.catalog(schema.QUERY).keys.tolist() == sorted(
        ["u1", "u2", "u3", "u4"], key=splits.text_digest
    )
    assert ("u4", "e") in pairs_of(dataset)["test"]


def plain_queries(events, mode):
    """Query -> (history, items), a user or a user and moment, from a list of (user, item, time)."""
    first = {}
    for user, item, time in sorted(events, key=lambda event: (event[2], event[1])):
        first.setdefault((user, item), time)
    found = {}
    for (user, item), time in first.items():
        before = sorted(
            ((t, i) for (u, i), t in first.items() if u == user and t < time), reverse=True
        )
        if mode == "histories" and not before:
            continue
        key = user if mode == "users" else (user, time)
        history = [] if mode == "users" else [i for _, i in before]
        found.setdefault(key, (history, set()))[1].add(item)
    return found


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(0, 6)), max_size=40),
    st.sampled_from(["users", "histories", "both"]),
)
def test_queries_against_the_plain_form(events, mode):
    columns = np.array(events, np.int64).reshape(-1, 3)
    user, item, time = (columns[:, place] for place in range(3))
    queries, pairs = make_queries(
        Events(user.astype(np.uint64), item.astype(np.uint64), time),
        queries=mode,
        split_by="time",
        counters=Counter(),
    )
    of_queries = histories(queries, queries.event_item.astype(np.int64), most=100)
    found = {}
    for number, place in enumerate(queries.user.tolist()):
        owner = int(queries.users[place])
        key = owner if mode == "users" else (owner, int(queries.time[number]))
        found[key] = (of_queries[number], set(pairs.item[pairs.query == number].tolist()))
    assert found == plain_queries(events, mode)
    assert len(set(pairs.digest.tolist())) == len(pairs.digest)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(0, 6)), max_size=40))
def test_the_last_moments_are_held_out_and_in_no_training_history(events):
    columns = np.array(events, np.int64).reshape(-1, 3)
    user, item, time = (columns[:, place] for place in range(3))
    queries, pairs = make_queries(
        Events(user.astype(np.uint64), item.astype(np.uint64), time),
        queries="both",
        split_by="last",
        counters=Counter(),
    )
    of_queries = histories(queries, queries.event_item.astype(np.int64), most=100)
    for owner in range(len(queries.users)):
        moments = np.flatnonzero(queries.user == owner).tolist()
        held_out = {moments[-1]: splits.TEST, moments[-2]: 1} if len(moments) > 2 else {}
        hidden = set()
        for moment in moments:
            mine = pairs.query == moment
            assert set(pairs.divider[mine]) == {held_out.get(moment, splits.TRAIN)}
            hidden |= set(pairs.item[mine].tolist()) if moment in held_out else set()
        for moment in set(moments) - set(held_out):
            assert not hidden & set(of_queries[moment])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"user_features": [{"name": "id", "kind": "categorical", "column": "x"}]},
            "names of item",
        ),
        ({"log": {"kind": "landing_page"}}, "users, items and times"),
        ({"users": {"name": "u"}}, "users"),
        ({"features": [{"name": "d", "kind": "dense", "column": "quality"}]}, "a history needs"),
        ({"user_features": [{"name": "c", "kind": "categorical", "column": "?"}]}, "no column '?'"),
    ],
)
def test_specs_that_cannot_be_are_refused(tmp_path, change, message):
    files = inputs(tmp_path, SPEC | change)
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        make(tmp_path / "data", **files)
    assert not (tmp_path / "data").exists()


def test_features_of_users_need_their_table(tmp_path):
    files = inputs(tmp_path) | {"users": ""}
    with pytest.raises(InputError, match="name its file with --users"):
        make(tmp_path / "data", **files)


def test_two_rows_of_a_user_are_refused(tmp_path):
    files = inputs(tmp_path)
    write_lines(tmp_path / "users.csv", [*USERS, USERS[1]])
    with pytest.raises(InputError, match="rows of the user table have the key"):
        make(tmp_path / "data", **files)
    make(tmp_path / "data", duplicates="first", **files)


@pytest.mark.skipif(
    not (SHARED / "myket").is_dir(),
    reason="no real install log; SSL_RECSYS_SHARED_DATA names its directory",
)
def test_no_test_event_is_in_a_training_history_of_a_real_log(tmp_path):
    make(
        tmp_path / "data",
        events=str(SHARED / "myket/installs.csv.gz"),
        items=str(SHARED / "myket/apps.csv"),
        item_column="app_name",
    )
    dataset = Dataset(tmp_path / "data")
    queries, items = dataset.catalog(schema.QUERY), dataset.catalog(schema.ITEM)
    test, train = dataset.pairs(schema.TEST), dataset.pairs(schema.TRAIN)
    events = {
        (queries.titles[query], items.features["id"][item, 0])
        for query, item in zip(*test, strict=True)
    }
    assert len(events) > 10_000
    for query in np.unique(train.query_row).tolist():
        history = queries.features["history"][query].tolist()
        assert not events & {(queries.titles[query], number) for number in history if number}
    moments = np.array([key.rpartition("@")[2] for key in queries.keys])
    assert max(moments[train.query_row].tolist()) < min(moments[test.query_row].tolist())


@pytest.fixture(scope="module")
def trained(both, tmp_path_factory):
    model_dir = tmp_path_factory.mktemp("run") / "model"
    options = ("--max_epochs=1", "--batch_size=4", "--eval_split=none", "--recency_half_life=2")
    commands.train(*commands.small_run(both[1].data_dir, model_dir), *options)
    return model_dir


def test_the_query_tower_takes_raw_features(both, trained):
    _, dataset = both
    queries, items = dataset.catalog(schema.QUERY), dataset.catalog(schema.ITEM)
    names = {number: key for key, (number,) in zip(items.keys, items.features["id"], strict=True)}
    table = {row[0]: row[1:] for row in USERS[1:]}
    histories_of = [
        [names[number] for number in row if number] for row in queries.features["history"]
    ]
    width = max(map(len, histories_of))
    columns = {
        "history": [[*row, *[""] * (width - len(row))] for row in histories_of],
        "user_id": queries.titles.tolist(),
        "country": [table.get(user, ("", ""))[0] for user in queries.titles],
        "age": [table.get(user, ("", ""))[1] for user in queries.titles],
    }
    tower = load_tower(trained / "export", schema.QUERY)
    found = tower[FEATURES]({name: tf.constant(values) for name, values in columns.items()})
    for name, values in queries.features.items():
        width = values.shape[1]
        np.testing.assert_array_equal(found[name].numpy()[:, :width], values)
        assert not found[name].numpy()[:, width:].any()
    exported = load_export(trained)
    embedded = Embedders(exported).embed(schema.QUERY, columns)
    rows = np.arange(len(queries.keys))
    np.testing.assert_allclose(embedded, exported.query_embeddings(rows), atol=1e-6)


def test_recommendations_for_a_history_that_no_catalog_has(trained, tmp_path):
    output = tmp_path / "found.jsonl"
    arguments = [f"--model_dir={trained}", "--history=b", "--history=Alpha game", "--k=3"]
    recommend.main(
        command_line.parse(
            recommend.RecommendOptions, *arguments, "--format=json", f"--output={output}"
        )
    )
    (ranking,) = map(json.loads, output.read_text().splitlines())
    assert ranking["query"] == "b, a"
    assert len(ranking["items"]) == 3
    assert not {"a", "b"} & {item["key"] for item in ranking["items"]}


def test_words_are_no_query_of_users(trained):
    options = command_line.parse(
        recommend.RecommendOptions, f"--model_dir={trained}", "--text=alpha"
    )
    with pytest.raises(InputError, match="free text needs a query feature that is made of words"):
        recommend.main(options)


@pytest.fixture(scope="module")
def client(trained):
    models = Models.load([str(trained)], verify=True, keep_versions=0)
    limits = Limits(hosts=("testserver",), poll_seconds=1000.0)
    with TestClient(make_app(models, limits)) as client:
        yield client


def test_a_server_takes_histories_and_users(client, trained, tmp_path):
    (model,) = client.get("/v1/models").json()["models"]
    assert model["queries"] == "users"
    answer = client.post("/v1/recommend", json={"history": ["b", "a"], "k": 3}).json()
    output = tmp_path / "found.jsonl"
    arguments = [f"--model_dir={trained}", "--history=b", "--history=a", "--k=3"]
    recommend.main(
        command_line.parse(
            recommend.RecommendOptions, *arguments, "--format=json", f"--output={output}"
        )
    )
    (expected,) = map(json.loads, output.read_text().splitlines())
    assert [item["key"] for item in answer["items"]] == [item["key"] for item in expected["items"]]
    asked = {"item": {"user_id": "u1", "country": "NL", "history": ["b"]}, "k": 7}
    assert len(client.post("/v1/recommend", json=asked).json()["items"]) == 7


@pytest.mark.parametrize(
    ("path", "request_", "said"),
    [
        ("recommend", {"key": "a"}, "an item is no query of model"),
        ("recommend", {"text": "alpha"}, "made of words"),
        ("recommend", {"history": []}, "history"),
        ("recommend", {"history": ["a"], "text": "alpha"}, "give one of key"),
        ("recommend", {"item": {"title": "x"}}, "there is no column 'title'"),
        ("explain", {"query": "a", "item": "b"}, "where both are items"),
    ],
)
def test_what_is_no_query_of_users_is_refused(client, path, request_, said):
    answer = client.post(f"/v1/{path}", json=request_)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_items_come_and_go_beside_users(client):
    assert client.put("/v1/items/new", json={"columns": {"title": "Alpha"}}).status_code == 201
    found = client.post("/v1/recommend", json={"history": ["b"], "k": 20}).json()["items"]
    assert "new" in {item["key"] for item in found}
    assert client.delete("/v1/items/new").status_code == 200
