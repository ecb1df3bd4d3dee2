"""Negatives that a log lists: what is read, which are kept, and what does not depend on order."""

import collections
import dataclasses
import json
import pathlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep import splits, tables
from data_prep.installs import histories, logs, negatives
from data_prep.installs.log_spec import LANDING_PAGE, LogSpec
from data_prep.installs.logs import BY_TIME, Events
from data_prep.installs.negatives import NO_ITEM, Listed
from data_prep.installs.spec import InstallSpec, spec_of
from pipelines import app_install
from ssl_recsys.errors import InputError

SPEC = LogSpec(negatives="shown", max_negatives=3)


def digest(*keys: str) -> list[int]:
    return splits.text_digests([*keys]).tolist()


def read(path: str, shown: pa.Array, spec: LogSpec = SPEC) -> tuple[Events, list[str]]:
    size = len(shown)
    columns = {
        name: pa.array([key] * size)
        for name, key in (("user_id", "u"), ("app_id", "a"), ("seed", "s"), ("candidate", "a"))
    }
    columns |= {"timestamp": pa.array(range(size)), "shown": shown}
    events, _, bad = logs.read_events(tables.Rows(path, np.arange(2, 2 + size), columns), spec)
    return events, [str(record) for record in bad]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("log.csv", pa.array(["b|c", " b | |a|c|b|d|e", "", None])),
        ("log.tsv.gz", pa.array(["b|c", "b|a|c|b|d|e", "", None])),
        ("log.jsonl", pa.array([["b", "c"], ["b", " a", "", "c", "b", "d", "e"], [], None])),
        ("log.parquet", pa.array([["b", "c"], ["b", None, "c", "d", "e"], [], None])),
    ],
)
def test_the_first_of_each_list_are_kept(path: str, shown: pa.Array) -> None:
    events, bad = read(path, shown)
    assert events.negatives is not None
    b, c, d = digest("b", "c", "d")
    assert events.negatives.tolist() == [[b, c, 0], [b, c, d], [0, 0, 0], [0, 0, 0]]
    assert not bad


def test_the_seed_of_a_record_is_no_negative() -> None:
    spec = LogSpec(kind=LANDING_PAGE, negatives="shown", negatives_separator=";", max_negatives=1)
    events, _ = read("log.csv", pa.array(["s;a;b|c;d"]), spec)
    assert events.negatives is not None
    assert events.negatives.tolist() == [digest("b|c")]


def test_numbers_are_keys_as_elsewhere() -> None:
    events, bad = read("log.parquet", pa.array([[12.0, None], [7.0, 8.0]]))
    assert events.negatives is not None
    assert events.negatives[:, 0].tolist() == digest("12", "7")
    assert not bad


@pytest.mark.parametrize(
    ("path", "shown", "message"),
    [
        ("log.parquet", pa.array(["b|c", None]), "shown must be a list of items' keys: 'b|c'"),
        ("log.parquet", pa.array([12, None]), "shown must be a list of items' keys: '12'"),
        ("log.csv", pa.array(["b|c\0", "b"]), "shown has a NUL character"),
        ("log.csv", pa.array(["b|" + "c" * 5000, "b"]), "shown must have at most 4,096 bytes"),
    ],
)
def test_values_that_list_no_keys_are_bad_records(path: str, shown: pa.Array, message: str) -> None:
    events, (bad,) = read(path, shown)
    assert f"{path}:2: {message}" in bad
    assert len(events.item) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"negatives": "shown", "max_negatives": 0}, r"max_negatives must be in \[1, 1000\]"),
        ({"max_negatives": 2}, "log.negatives or --negatives_column"),
        ({"negatives": "app_id"}, "a column of its own"),
        ({"negatives": "shown", "negatives_separator": ""}, "must not be empty"),
    ],
)
def test_specs_of_negatives_that_cannot_be(fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LogSpec(**fields).check()


def test_a_flag_may_name_the_column_of_a_spec(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"log": {"max_negatives": 2, "kinds": {"view": 2}}}))
    named = {"negatives_column": "shown", "kind_column": "what"}
    options = app_install.AppInstallOptions(
        installs="log.csv", apps="apps.csv", features_spec=str(path), **named
    )
    assert options.spec().log.pair_columns == {"negatives": 2, "weight": 1}
    for name in named:
        with pytest.raises(InputError, match=f"--{name}"):
            dataclasses.replace(options, **{name: ""}).spec()


def test_a_spec_without_them_is_recorded_as_before() -> None:
    assert not any("negatives" in name for name in InstallSpec().recorded()["log"])
    recorded = spec_of({"log": {"negatives": "shown"}}).recorded()["log"]
    assert (recorded["negatives"], recorded["max_negatives"]) == ("shown", 4)


LISTS = st.lists(st.lists(st.integers(1, 6), max_size=8), max_size=8)


@given(LISTS, st.integers(1, 4))
def test_first_negatives_against_the_plain_form(lists: list, most: int) -> None:
    row = np.array([row for row, keys in enumerate(lists) for _ in keys], np.int64)
    keys = np.array([key for keys in lists for key in keys], np.uint64)
    counts = np.arange(len(lists)) % 3 != 1
    own = np.full(len(lists), 6, np.uint64), np.arange(len(lists), dtype=np.uint64)
    found = negatives.first_negatives(Listed(row, keys), counts, own, most)
    for number, keys_of in enumerate(lists):
        kept = [key for key in dict.fromkeys(keys_of) if key not in (6, number)][:most]
        kept = kept if counts[number] else []
        assert found[number].tolist() == kept + [0] * (most - len(kept))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.integers(1, 4), st.integers(0, 4),
            st.lists(st.integers(1, 9), max_size=3, unique=True),
        ),
        max_size=30,
    ),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_pairs_of_histories_have_the_negatives_of_their_candidate(events: list, random) -> None:
    first: dict = {}
    # Of events of one moment that with most negatives, then with those of the lowest digests.
    for user, item, time, shown in sorted(events, key=lambda e: (e[2], -len(e[3]), e[3])):
        first.setdefault((user, item), (time, shown))
    expected = collections.Counter(
        (seed, candidate, time, *shown, *[0] * (3 - len(shown)))
        for (one, seed), (before, _) in first.items()
        for (two, candidate), (time, shown) in first.items()
        if one == two and 0 < time - before <= 3
    )
    digests = []
    for _ in range(2):
        random.shuffle(events)
        columns = np.array([event[:3] for event in events], np.uint64).reshape(-1, 3)
        shown = np.full((len(events), 3), NO_ITEM)
        for number, event in enumerate(events):
            shown[number, : len(event[3])] = event[3]
        parts = histories.history_pairs(
            Events(columns[:, 0], columns[:, 1], columns[:, 2].astype(np.int64), negatives=shown),
            window=3,
            max_pairs_per_user=0,
            rule=splits.SplitRule(BY_TIME),
            counters=collections.Counter(),
        )
        pairs, of_pairs = logs.number_pairs(logs.join(parts))
        if expected:
            assert pairs.negatives is not None
            rows = np.column_stack([pairs.query, pairs.item, pairs.divider, pairs.negatives])
            assert collections.Counter(map(tuple, rows.astype(np.int64).tolist())) == expected
            digests.append((rows.tolist(), of_pairs.tolist()))
    assert digests[:1] == digests[1:]
