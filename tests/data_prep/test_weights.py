"""Weights and kinds of events, and the pairs that are made of them."""

import collections
import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep import splits, tables
from data_prep.installs import histories, logs, weights
from data_prep.installs.log_spec import LogSpec
from data_prep.installs.logs import BY_TIME, Events
from ssl_recsys.errors import InputError

KINDS = {"install": 1.0, "view": 0.25}
SPEC = LogSpec(kind_column="what", kinds=KINDS, weight="times")


def test_kinds_of_a_flag() -> None:
    kinds = weights.parse_kinds("purchase, view:0.2,http://x:3")
    assert kinds == (("purchase", 1.0), ("view", 0.2), ("http://x", 3.0))
    assert weights.parse_kinds(weights.show_kinds(kinds)) == kinds
    assert weights.parse_kinds("") == ()


@pytest.mark.parametrize("kinds", [{"a": -1}, {"a": "1"}, {"a": True}, {"a": float("nan")}])
def test_kinds_weigh_numbers(kinds: dict) -> None:
    with pytest.raises(InputError, match="the weight of 'a' must be a number of at least 0"):
        LogSpec(kind_column="what", kinds=kinds)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kinds": {"": 1}, "kind_column": "what"}, "'' is no kind"),
        ({"kinds": {"view ": 1}, "kind_column": "what"}, "'view ' is no kind"),
        ({"kinds": {"view": 1}}, "--kind_column"),
        ({"kind_feature": True, "kind_column": "what"}, "list them in log.kinds or --kinds"),
    ],
)
def test_specs_of_kinds_that_cannot_be(fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LogSpec(**fields).check()


def test_a_filter_alone_gives_no_weights() -> None:
    assert not LogSpec(kind_column="what", kinds={"view": 1}).pair_columns
    assert LogSpec(kind_column="what", kinds={"view": 2}).pair_columns == {"weight": 1}
    assert LogSpec(weight="w").pair_columns == {"weight": 1}


def read(*, what: list, times: list, **more: list) -> tuple[Events, list[str]]:
    size = len(what)
    columns = {"user_id": ["u"] * size, "app_id": [f"a{n}" for n in range(size)]}
    columns |= {"timestamp": [*range(size)], "what": what, "times": times, **more}
    arrays = {name: pa.array(values) for name, values in columns.items()}
    rows = tables.Rows("log.csv", np.arange(2, 2 + size), arrays)
    events, _, bad = logs.read_events(rows, SPEC)
    return logs.of_listed_kinds(events, SPEC), [str(record) for record in bad]


def test_events_weigh_their_number_times_that_of_their_kind() -> None:
    events, bad = read(
        what=["install", "view", "removal", "view", None, "Install"],
        times=["3", " 8 ", "1", "0", "1", "1"],
    )
    assert events.weight is not None
    assert events.weight.tolist() == [3.0, 2.0, 0.0]
    assert events.weight.dtype == np.float32
    assert [time // 1_000_000 for time in events.time.tolist()] == [0, 1, 3]
    assert events.kind is None  # no query asks for one
    assert not bad


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e39", "much", "", None])
def test_bad_weights_are_listed(value: str | None) -> None:
    events, bad = read(what=["install", "view"], times=[value, "1"])
    shown = tables.shown("" if value is None else value)
    assert bad == [f"log.csv:2: times must be a number of at least 0: {shown}"]
    assert len(events.item) == 1


@pytest.mark.parametrize("values", [pa.array([2, 3]), pa.array([2.0, 3.0], pa.float32())])
def test_weights_of_any_type_of_number(values: pa.Array) -> None:
    assert weights.read_weights(values, "w")[0].tolist() == [2.0, 3.0]


def plain_pairs(events: list, window: int) -> collections.Counter:
    """(seed, candidate, time, weight) -> how often, from (user, item, time, weight)."""
    first: dict = {}
    for user, item, time, weight in sorted(events, key=lambda event: (event[2], -event[3])):
        first.setdefault((user, item), (time, weight))
    found: collections.Counter = collections.Counter()
    for ((one, seed), (before, _)), ((two, candidate), (time, weight)) in itertools.product(
        first.items(), repeat=2
    ):
        if one == two and 0 < time - before <= window:
            found[seed, candidate, time, weight] += 1
    return found


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(1, 6), st.integers(0, 9), st.sampled_from([0, 1, 2.5])
        ),
        max_size=40,
    ),
    st.randoms(use_true_random=False),
)
def test_pairs_of_histories_have_the_weight_of_their_candidate(events: list, random) -> None:
    expected = plain_pairs(events, window=4)
    found = []
    for _ in range(2):
        random.shuffle(events)  # the order of the input never shows
        columns = np.array(events, np.float64).reshape(-1, 4)
        parts = histories.history_pairs(
            Events(
                columns[:, 0].astype(np.uint64),
                columns[:, 1].astype(np.uint64),
                columns[:, 2].astype(np.int64),
                weight=columns[:, 3].astype(np.float32),
            ),
            window=4,
            max_pairs_per_user=0,
            rule=splits.SplitRule(BY_TIME),
            counters=collections.Counter(),
        )
        pairs, digests = logs.number_pairs(logs.join(parts))
        of_pairs = [column.tolist() for column in pairs if column is not None]
        found.append((of_pairs, digests.tolist()))
        if expected:
            assert collections.Counter(zip(*of_pairs, strict=True)) == expected
        else:
            assert not digests.size
    assert found[0] == found[1]
