"""Logs with weights and kinds: datasets of both jobs, a training batch, and a kind to ask for."""

import collections
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from data_prep.installs.logs import Events
from data_prep.interactions.queries import histories, make_queries
from pipelines import interactions
from ssl_recsys import recommend, schema
from ssl_recsys.config.loss import LossConfig
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.errors import InputError
from ssl_recsys.model.main_task import Candidates, main_loss
from ssl_recsys.model.replicas import ReplicaBatch
from ssl_recsys.training.export import load_export
from tests import command_line
from tests.dataset_dir import weighted_pairs
from tests.install_data import APPS, FRACTIONS, HOUR, make, write_lines
from tests.ssl_recsys import commands

HEADER = ("user_id", "app_id", "timestamp", "what", "times")
KINDS = {"install": 1.0, "view": 0.25}
LOG = [
    ("u1", "a", 0, "install", 2), ("u1", "b", 1, "view", 2), ("u1", "b", 2, "install", 1),
    ("u1", "c", 3, "removal", 1), ("u2", "a", 0, "view", 4), ("u2", "c", 5, "install", 3),
    ("u2", "d", 5, "view", 8), ("u3", "c", 7, "install", 1), ("u3", "a", 8, "install", 6),
    ("u3", "e", 9, "view", 1), ("u4", "b", 9, "install", 1), ("u4", "c", 10, "view", 4),
    ("u4", "d", 11, "install", 5),
]  # fmt: skip


def write(directory: pathlib.Path, log: list = LOG) -> dict[str, str]:
    rows = [(user, item, hour * HOUR, *more) for user, item, hour, *more in log]
    write_lines(directory / "log.csv", [HEADER, *rows])
    write_lines(directory / "apps.csv", APPS)
    return {"installs": f"{directory}/log.csv", "apps": f"{directory}/apps.csv"}


def write_spec(directory: pathlib.Path, **log: object) -> dict[str, str]:
    (directory / "spec.json").write_text(json.dumps({"log": log}))
    return {"features_spec": f"{directory}/spec.json"}


@pytest.fixture(scope="module")
def weighted(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("weighted")
    spec = write_spec(directory, weight="times", kind_column="what", kinds=KINDS)
    make(directory / "data", split_by="pair", split_seed=3, **write(directory), **spec)
    return directory / "data"


def recount(kinds: dict[str, float]) -> collections.Counter:
    """(seed, candidate, weight) of the log, pair by pair: earlier items of a user within a day."""
    had: dict[str, dict[str, tuple]] = collections.defaultdict(dict)
    for user, item, hour, what, times in LOG:
        if what in kinds:
            had[user].setdefault(item, (hour, times * kinds[what]))
    return collections.Counter(
        (seed, candidate, weight)
        for items in had.values()
        for candidate, (hour, weight) in items.items()
        for seed, (before, _) in items.items()
        if before < hour
    )


def test_pairs_weigh_what_a_recount_says(weighted: pathlib.Path) -> None:
    found = [pair for pairs in weighted_pairs(weighted).values() for pair in pairs]
    assert collections.Counter(found) == recount(KINDS)
    info = schema.read_dataset_info(weighted)
    assert info.pair_columns == {"weight": 1}
    assert (info.counters["events"], info.counters["events_of_other_kinds"]) == (13, 1)
    assert info.counters["events_repeated"] == 1
    assert info.options["spec"]["log"]["kinds"] == KINDS


def test_flags_say_the_same_as_the_spec(weighted: pathlib.Path, tmp_path: pathlib.Path) -> None:
    flags = {"weight_column": "times", "kind_column": "what"}
    flags |= {"kinds": (("install", 1.0), ("view", 0.25)), "num_shards": 3}
    make(tmp_path / "data", split_by="pair", split_seed=3, **write(tmp_path), **flags)
    assert weighted_pairs(tmp_path / "data") == weighted_pairs(weighted)


def test_a_filter_leaves_no_trace_of_what_it_leaves_out(tmp_path: pathlib.Path) -> None:
    spec = write_spec(tmp_path, kind_column="what", kinds={"install": 1})
    for name, more in (
        ("all", {"log": LOG}),
        ("kept", {"log": [e for e in LOG if e[3] == "install"]}),
    ):
        info = make(
            tmp_path / name, split_by="pair", split_seed=4, **write(tmp_path, **more), **spec
        )
        assert not info.pair_columns
    files = [path for path in (tmp_path / "kept").rglob("*.tfrecord*") if path.is_file()]
    assert files
    for path in files:
        other = tmp_path / "all" / path.relative_to(tmp_path / "kept")
        assert path.read_bytes() == other.read_bytes()


def test_logs_of_pairs_have_weights(tmp_path: pathlib.Path) -> None:
    pairs = [("a", "b", "depends", 1), ("a", "c", "suggests", 1), ("b", "c", "depends", 2)] * 4
    write_lines(tmp_path / "log.csv", [("seed", "candidate", "what", "times"), *pairs])
    write_lines(tmp_path / "apps.csv", APPS)
    spec = write_spec(
        tmp_path,
        kind="landing_page",
        weight="times",
        kind_column="what",
        kinds={"depends": 3, "suggests": 0.5},
    )
    files = {"installs": f"{tmp_path}/log.csv", "apps": f"{tmp_path}/apps.csv"}
    fractions = {"validation_fraction": 0.4, "test_fraction": 0.3}
    make(tmp_path / "data", split_by="pair", split_seed=3, **files, **spec, **fractions)
    found = [pair for of in weighted_pairs(tmp_path / "data").values() for pair in of]
    expected = {("a", "b", 3.0): 4, ("a", "c", 0.5): 4, ("b", "c", 6.0): 4}
    assert collections.Counter(found) == expected


@pytest.mark.parametrize(
    ("log", "more", "message"),
    [
        (
            [*LOG, ("u9", "a", 1, "view", -2)],
            {},
            r"log.csv:15: times must be a number of at least 0",
        ),
        (LOG, {"kinds": (("sale", 1.0),)}, "none of the 13 events .* of a kind that is listed"),
        (LOG, {"kind_column": "how"}, "no column 'how'"),
        (LOG, {"kind_feature": True}, "pipelines.interactions"),
    ],
)
def test_what_cannot_be_weighed(
    tmp_path: pathlib.Path, log: list, more: dict, message: str
) -> None:
    flags = {
        "weight_column": "times",
        "kind_column": "what",
        "kinds": (("install", 1.0), ("view", 0.5)),
    }
    with pytest.raises(InputError, match=message):
        make(tmp_path / "data", split_by="pair", **write(tmp_path, log), **(flags | more))
    if "-2" in str(log):
        info = make(
            tmp_path / "data",
            split_by="pair",
            split_seed=3,
            max_bad_records=1,
            **write(tmp_path, log),
            **flags,
        )
        assert info.counters["log_records_bad"] == 1


def test_a_batch_weighs_as_by_hand(weighted: pathlib.Path, tmp_path: pathlib.Path) -> None:
    dataset = Dataset(weighted)
    train = weighted_pairs(weighted)["train"]
    batch = next(iter(dataset.training_pairs(batch_size=len(train), seed=0).epoch(0)))
    rng = np.random.default_rng(0)
    queries, items = (
        tf.math.l2_normalize(tf.constant(rng.normal(size=(len(train), 4)), tf.float32), axis=1)
        for _ in range(2)
    )

    def loss(weights: tf.Tensor | None) -> float:
        place = ReplicaBatch(len(train), 1, 0)
        candidates = [Candidates(items, batch.item_row, batch.item_log_q, place)]
        return float(
            main_loss(
                LossConfig(), queries, candidates, place, weights=weights, gradient_dtype=tf.float32
            )
        )

    # The item's rows tell which pair is which up to equal ones; the mean weight divides all.
    keys = dataset.catalog(schema.ITEM).keys
    of_items = collections.defaultdict(set)
    for _, item, weight in train:
        of_items[item].add(weight)
    mean = np.mean([weight for *_, weight in train])
    logits = (queries @ tf.transpose(items)).numpy() / 0.07
    losses = np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)
    by_hand = batch.columns["weight"].numpy() * mean
    for row, weight in zip(batch.item_row.numpy(), by_hand, strict=True):
        assert any(weight == pytest.approx(one) for one in of_items[keys[row]])
    assert sorted(by_hand.tolist()) == pytest.approx(sorted(weight for *_, weight in train))
    expected = (by_hand * losses).sum() / by_hand.sum()  # one batch has all the pairs
    assert loss(batch.columns["weight"]) == pytest.approx(expected, rel=1e-4)
    assert loss(None) == pytest.approx(losses.mean(), rel=1e-4)


def make_users(directory: pathlib.Path, output: str, **fields: object) -> schema.DatasetInfo:
    files = write(directory)
    options = interactions.InteractionsOptions(
        output_dir=str(directory / output),
        events=files["installs"],
        items=files["apps"],
        **(FRACTIONS | {"kind_column": "what", "kinds": tuple(KINDS.items())} | fields),  # type: ignore[arg-type]
    )
    return interactions.make_dataset(options)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("asked")
    make_users(directory, "data", kind_feature=True, num_shards=3)
    return directory / "data"


def test_a_query_asks_for_a_kind(asked: pathlib.Path) -> None:
    dataset = Dataset(asked)
    assert [spec.name for spec in dataset.features(schema.QUERY)] == ["history", "kind", "user_id"]
    assert (asked / "vocab/kind.txt").read_text().split() == ["install", "view"]
    raw = dataset.info.raw_of(schema.QUERY)
    assert [(rule.name, rule.rule, rule.column) for rule in raw.features][1] == (
        "kind",
        "token",
        "kind",
    )
    queries = dataset.catalog(schema.QUERY)
    found = {
        (query.replace(":00:00.000000Z", ""), item, weight)
        for pairs in weighted_pairs(asked).values()
        for query, item, weight in pairs
    }
    u1 = {one for one in found if one[0].startswith("u1")}
    # The view of b and its install are pairs of their own; the removal of c is left out.
    assert u1 == {
        ("u1@1970-01-01T00/install", "a", 1.0),
        ("u1@1970-01-01T01/view", "b", 0.25),
        ("u1@1970-01-01T02/install", "b", 1.0),
    }
    # c and d came at one moment, which two queries ask about.
    assert {("u2@1970-01-01T05/install", "c", 1.0), ("u2@1970-01-01T05/view", "d", 0.25)} <= found
    for key, kind in zip(queries.keys, queries.features["kind"][:, 0], strict=True):
        assert ["install", "view"][kind - 1] == key.rpartition("/")[2]


def test_without_the_feature_the_first_event_of_the_kept_kinds_counts(
    tmp_path: pathlib.Path,
) -> None:
    info = make_users(tmp_path, "data")
    assert [spec.name for spec in info.features_of(schema.QUERY)] == ["history", "user_id"]
    found = {pair for pairs in weighted_pairs(tmp_path / "data").values() for pair in pairs}
    u1 = {(query[11:13], item, weight) for query, item, weight in found if query[:2] == "u1"}
    assert {(item, weight) for _, item, weight in u1} == {("a", 1.0), ("b", 0.25)}
    assert info.counters["events_of_other_kinds"] == 1


def test_recommendations_for_a_kind(asked: pathlib.Path, tmp_path: pathlib.Path) -> None:
    options = ("--max_epochs=2", "--batch_size=4", "--eval_split=none")
    commands.train(*commands.small_run(asked, tmp_path / "run"), *options)

    def scores(*more: str) -> list[float]:
        arguments = [f"--model_dir={tmp_path / 'run'}", "--history=a", "--k=3", *more]
        output = f"--output={tmp_path / 'found.jsonl'}"
        recommend.main(
            command_line.parse(recommend.RecommendOptions, *arguments, "--format=json", output)
        )
        (ranking,) = map(json.loads, (tmp_path / "found.jsonl").read_text().splitlines())
        return [item["score"] for item in ranking["items"]]

    nothing, install, view = (
        scores(),
        scores("--query_feature=kind=install"),
        scores("--query_feature=kind=view"),
    )
    assert install != view
    assert nothing not in (install, view)
    # As of the catalog's query that knows the same: the user is unknown here.
    exported = load_export(tmp_path / "run")
    row = exported.catalog(schema.QUERY).keys.tolist().index("u1@1970-01-01T01:00:00.000000Z/view")
    (embedding,) = exported.query_embeddings(np.array([row]), only=("history", "kind"))
    best = sorted(exported.item_embeddings @ embedding, reverse=True)
    assert view[0] in [pytest.approx(float(score), abs=1e-5) for score in best]
    for wrong, message in (
        ("colour=red", "kind, user_id"),
        ("history=b", "is nothing that is known"),
    ):
        with pytest.raises(InputError, match=message):
            scores(f"--query_feature={wrong}")
    with pytest.raises(InputError, match="kind takes one value"):
        scores("--query_feature=kind=view", "--query_feature=kind=install")


def plain_queries(events: list, mode: str) -> dict:
    """(user, moment or nothing, kind) -> (history, items), from (user, item, time, kind)."""
    first: dict = {}
    for user, item, time, kind in sorted(events, key=lambda event: event[2]):
        first.setdefault((user, item, kind), time)
    found: dict = {}
    for (user, item, kind), time in first.items():
        had = collections.defaultdict(list)
        for (owner, thing, _), before in first.items():
            if owner == user and before < time:
                had[thing].append(before)
        if mode == "histories" and not had:
            continue
        key = (user, 0 if mode == "users" else time, kind)
        history = {} if mode == "users" else {thing: min(times) for thing, times in had.items()}
        found.setdefault(key, (history, set()))[1].add(item)
    return found


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 6), st.integers(0, 6), st.integers(0, 2)),
        max_size=40,
    ),
    st.sampled_from(["users", "histories", "both"]),
)
def test_queries_of_kinds_against_the_plain_form(events: list, mode: str) -> None:
    columns = np.array(events, np.int64).reshape(-1, 4)
    queries, pairs = make_queries(
        Events(
            columns[:, 0].astype(np.uint64),
            columns[:, 1].astype(np.uint64),
            columns[:, 2],
            kind=columns[:, 3].astype(np.int16),
        ),
        queries=mode,
        split_by="time",
        counters=collections.Counter(),
    )
    of_queries = histories(queries, queries.event_item.astype(np.int64), most=100)
    expected = plain_queries(events, mode)
    found = {}
    for number, place in enumerate(queries.user.tolist()):
        key = (int(queries.users[place]), int(queries.time[number]), int(queries.kind[number]))
        found[key] = of_queries[number], set(pairs.item[pairs.query == number].tolist())
    assert found.keys() == expected.keys()
    for key, (history, items) in found.items():
        times, wanted = expected[key]
        assert items == wanted
        assert sorted(history) == sorted(times)  # each item once
        assert [times[thing] for thing in history] == sorted(times.values(), reverse=True)
    assert len(set(pairs.digest.tolist())) == len(pairs.digest)
