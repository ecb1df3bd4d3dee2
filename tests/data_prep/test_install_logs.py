"""Times, histories to pairs by a window (against plain Python), numbered pairs, splits."""

import collections
import itertools
import random

import numpy as np
import pyarrow as pa
import pytest

from data_prep import splits, tables
from data_prep.installs import histories, logs, times
from data_prep.installs.dataset import time_cuts
from data_prep.installs.log_spec import LANDING_PAGE, LogSpec
from data_prep.installs.logs import BY_PAIR, BY_TIME, BY_USER, Events, Pairs
from data_prep.sampling import SampleByDigest
from ssl_recsys.errors import InputError

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1d", 86400), ("12h", 43200), ("30min", 1800), ("45s", 45), ("1w", 604800), ("0.5 h", 1800)],
)
def test_durations(text, seconds):
    assert logs.parse_duration(text) == seconds * SECOND


@pytest.mark.parametrize("text", ["", "1", "d", "-1d", "0d", "1 month", "99999999999d"])
def test_durations_that_are_none(text):
    with pytest.raises(InputError, match="like 1d or 12h"):
        logs.parse_duration(text)


def test_timestamps():
    column = pa.array(
        ["1.5", "-2", "2e3", "1970-01-02", "1970-01-01 00:00:03", "1970-01-01T01:00:00+01:00",
         "1970-01-01T00:00:01Z", "", None, "soon", "1e300", "nan", "2020-13-01"]
    )  # fmt: skip
    micros, usable = times.timestamps(column, "s")
    assert usable.tolist() == [True] * 7 + [False] * 6
    assert (micros[:7] / SECOND).tolist() == [1.5, -2, 2000, 86400, 3, 0, 1]
    assert times.timestamps(pa.array(["7"]), "ms")[0].tolist() == [7000]


def test_timestamps_of_arrow_types():
    moments = pa.array([1500, None], pa.timestamp("ms"))
    micros, usable = times.timestamps(moments, "d")
    assert micros[0] == 1_500_000
    assert usable.tolist() == [True, False]
    assert times.timestamps(pa.array([3], pa.int32()), "min")[0].tolist() == [180 * SECOND]


def plain_pairs(events, window):
    """Ordered pairs with the candidate's time, by the definition."""
    first = {}
    for user, item, time in events:
        if (user, item) not in first or time < first[user, item]:
            first[user, item] = time
    found = collections.Counter()
    for (one, seed), (two, candidate) in itertools.product(first, repeat=2):
        gap = first[two, candidate] - first[one, seed]
        if one == two and 0 < gap <= window:
            found[seed, candidate, first[two, candidate]] += 1
    return found


def as_events(events):
    user, item, time = (np.array(column) for column in zip(*events, strict=True))
    return Events(user.astype(np.uint64), item.astype(np.uint64), time.astype(np.int64))


def windowed(events, window, cap=0, split_by=BY_TIME):
    counters = collections.Counter()
    parts = histories.history_pairs(
        as_events(events), window=window, max_pairs_per_user=cap, rule=splits.SplitRule(split_by),
        counters=counters,
    )  # fmt: skip
    return logs.join(parts), counters


def test_window_by_hand():
    # User 1: item 7 at 0 and again at 50, 8 at 10, 9 at 10, 6 at 20. User 2 has the same times.
    events = [(1, 7, 0), (1, 8, 10), (1, 7, 50), (1, 9, 10), (1, 6, 20), (2, 5, 0), (2, 4, 11)]
    pairs, counters = windowed(events, window=10)
    # 8 and 9 come at the same moment, so neither is the other's seed; 6 is 20 behind 7.
    expected = {(7, 8, 10), (7, 9, 10), (8, 6, 20), (9, 6, 20)}
    assert set(zip(*(column.tolist() for column in pairs[:3]), strict=True)) == expected
    assert len(pairs.item) == 4
    assert counters == {
        "events_repeated": 1, "users": 2, "users_over_cap": 0, "pairs_over_user_cap": 0
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_window_against_plain_python(monkeypatch, seed):
    monkeypatch.setattr(histories, "_EXPANDED_AT_ONCE", 30)  # several parts
    rng = random.Random(seed)
    events = [
        (rng.randrange(6), rng.randrange(25), rng.randrange(100)) for _ in range(rng.randrange(200))
    ] or [(0, 0, 0)]
    for window in (1, 13, 1000):
        pairs, _ = windowed(events, window)
        found = collections.Counter(zip(*(column.tolist() for column in pairs[:3]), strict=True))
        assert found == plain_pairs(events, window)


def test_cap_is_even_and_ignores_the_order_of_events():
    events = [(1, item, item) for item in range(60)] + [(2, 1, 0), (2, 2, 1)]
    every, _ = windowed(events, 1000)
    assert len(every.item) == 60 * 59 // 2 + 1
    capped, counters = windowed(events, 1000, cap=100)
    assert len(capped.item) == 101
    assert counters["users_over_cap"] == 1
    assert counters["pairs_over_user_cap"] == 1770 - 100
    pairs = set(zip(capped.query.tolist(), capped.item.tolist(), strict=True))
    assert len(pairs) == 101
    assert pairs <= set(zip(every.query.tolist(), every.item.tolist(), strict=True))
    # Half of a growing history's pairs have a candidate among the last 30 %.
    assert 45 <= (capped.divider > 42).sum() <= 55
    again, _ = windowed(events[::-1], 1000, cap=100)
    assert sorted(zip(*again[:3], strict=True)) == sorted(zip(*capped[:3], strict=True))


def test_dividers():
    events = [(8, 1, 10), (8, 2, 20), (9, 1, 30), (9, 2, 40)]
    assert windowed(events, 99, split_by=BY_TIME)[0].divider.tolist() == [20, 40]
    assert windowed(events, 99, split_by=BY_USER)[0].divider.tolist() == [8, 9]
    together = windowed(events, 99, split_by=BY_PAIR)[0].divider
    assert together[0] == together[1]


def test_equal_pairs_get_digests_of_their_own_whatever_their_order():
    query = np.array([5, 5, 6, 5], np.uint64)
    item = np.array([7, 7, 7, 7], np.uint64)
    times = np.array([3, 1, 2, 1], np.int64)
    pairs, digests = logs.number_pairs(Pairs(query, item, times))
    assert pairs.query.tolist() == [5, 5, 5, 6]
    assert pairs.divider.tolist() == [1, 1, 3, 2]
    assert len(set(digests.tolist())) == 4
    back = logs.number_pairs(Pairs(query[::-1], item[::-1], times[::-1]))
    assert np.array_equal(back[1], digests)
    empty, none = logs.number_pairs(logs.join([]))
    assert len(empty.item) == len(none) == 0


def rows_of(**columns):
    size = len(next(iter(columns.values())))
    arrays = {name: pa.array(values) for name, values in columns.items()}
    return tables.Rows("log.csv", np.arange(2, 2 + size), arrays)


def test_read_history():
    rows = rows_of(
        user_id=["u", "v", "", "u"], app_id=["a", "b", "c", " a"], timestamp=["1", "x", "3", "4"]
    )
    events, keys, bad = logs.read_events(rows, LogSpec())
    assert events.query is None
    assert events.item.tolist() == [splits.text_digest("a")] * 2
    assert events.user.tolist() == [splits.text_digest("u")] * 2
    assert events.time.tolist() == [SECOND, 4 * SECOND]
    assert [str(record) for record in bad] == [
        "log.csv:4: user_id is empty",
        "log.csv:3: timestamp is no time: 'x'",
    ]
    assert set(keys["item"].names) == {"a", "b", "c"}


def test_read_landing_pages_without_users_or_times():
    rows = rows_of(seed=["a", "b"], candidate=["b", ""])
    events, keys, bad = logs.read_events(rows, LogSpec(kind=LANDING_PAGE))
    assert events.query.tolist() == [splits.text_digest("a")]
    assert events.item.tolist() == [splits.text_digest("b")]
    assert events.time.tolist() == events.user.tolist() == [0]
    assert [*keys] == ["query", "item"]
    assert [record.reason for record in bad] == ["candidate is empty"]


def test_time_cuts():
    rule = splits.SplitRule(by="pair", validation_fraction=0.2, test_fraction=0.3)
    times = np.arange(100)[::-1] * 7
    assert time_cuts(times, rule) == (350, 490)
    assert time_cuts(np.zeros(0), rule) == (0, 0)
    assert time_cuts(np.array([5]), rule) == (5, 5)


def test_sample_does_not_depend_on_how_the_data_is_divided():
    rng = np.random.default_rng(0)
    digests = rng.integers(0, 2**63, 1000).astype(np.uint64)
    values = np.arange(1000)
    whole = SampleByDigest(100)
    expected = whole.extract_output(whole.add_input(whole.create_accumulator(), (digests, values)))
    assert expected[0].tolist() == sorted(digests.tolist())[:100]
    parts = [
        whole.add_input(whole.create_accumulator(), (digests[i::7], values[i::7])) for i in range(7)
    ]
    merged = whole.extract_output(whole.merge_accumulators([*parts, whole.create_accumulator()]))
    assert np.array_equal(merged[0], expected[0])
    assert np.array_equal(merged[1], expected[1])
    assert merged[1].dtype == values.dtype
    few = whole.extract_output((digests[:5], values[:5]))
    assert sorted(few[1].tolist()) == [0, 1, 2, 3, 4]
