"""Times in every form of ISO 8601 and of Arrow, and keys that cannot be used."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from data_prep import tables
from data_prep.installs import keys, logs, times
from data_prep.installs.log_spec import LogSpec

MOMENT = datetime.datetime(2020, 9, 13, 12, 26, 40, 250_000, datetime.timezone.utc)
MICROS = round(MOMENT.timestamp()) * 1_000_000 + 250_000


@pytest.mark.parametrize(
    "text",
    [
        "2020-09-13T12:26:40.25Z",
        "2020-09-13T12:26:40.250000001Z",
        "2020-09-13T12:26:40.2500000Z",  # .NET
        "2020-09-13T12:26:40,250Z",
        "20200913T122640.25Z",
        "20200913T122640,25",
        "2020-09-13t12:26:40.25z",
        "2020-09-13 12:26:40.25 UTC",  # BigQuery
        "2020-09-13 12:26:40.250000+00",  # PostgreSQL
        "2020-09-13 12:26:40.25 +0000",
        "2020-09-13 14:26:40.25 +02:00",
        "2020-09-13T07:56:40.25-0430",
        "2020-W37-7T12:26:40.25Z",
        "2020W377T122640.25",
        "2020-257T12:26:40.25",
        " 2020-09-13T12:26:40.25 ",
    ],
)
def test_forms_of_a_moment(text):
    micros, usable = times.timestamps(pa.array([text, "0"]), "s")
    assert micros.tolist() == [MICROS, 0]
    assert usable.all()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86400),
        ("1970-01-01T24:00", 86400),
        ("1970-01-01T01", 3600),
        ("1970-01-01T01:30.5", 5430),  # half a minute
        ("1969-12-31T23:59:60", 0),  # a leap second is the one after
        ("1970-W01-1", -3 * 86400),
        ("1970-001", 0),
        ("1972-02-29", 789 * 86400),
        ("1972-366", 1095 * 86400),
    ],
)
def test_other_moments(text, seconds):
    micros, usable = times.timestamps(pa.array([text]), "s")
    assert usable.tolist() == [True]
    assert micros.tolist() == [seconds * 1_000_000]


@pytest.mark.parametrize(
    "text",
    ["", "2020-02-30", "2021-02-29", "2020-13-01", "2020-00-01", "2020-09-13T25:00", "2020-0913",
     "2020-09-13T12:60", "2020-09-13T1226:40", "2020-09-13T12:26:40+25:00", "2021-W53-1",
     "2021-366", "2020-09-13T24:00:01", "soon", "2020-09-13T12:26:40.25 CET", "1e999", "9" * 400,
     "nan", "inf"],
)  # fmt: skip
def test_what_is_no_time(text):
    assert times.timestamps(pa.array([text]), "s")[1].tolist() == [False]


def test_arrow_times():
    zone = pa.timestamp("s", "Nowhere/Unknown")
    assert times.timestamps(pa.array([5, None], zone), "s")[0].tolist() == [5_000_000, 0]
    nanos = pa.array([-1, 2**62], pa.timestamp("ns"))
    assert times.timestamps(nanos, "s")[0].tolist() == [-1, 2**62 // 1000]
    days = pa.array([-1, 2**31 - 1], pa.date32())
    micros, usable = times.timestamps(days, "s")
    assert micros.tolist() == [-86_400_000_000, 0]
    assert usable.tolist() == [True, False]
    # More than 64-bit microseconds hold.
    assert not times.timestamps(pa.array([2**62], pa.timestamp("s")), "s")[1].any()


def test_keys_that_cannot_be_used():
    limit = keys.MAX_KEY_BYTES
    text = pa.array(["a", "", "é" * (limit // 2), "é" * (limit // 2) + "x", "b\0", ""])
    assert keys.unusable(text.dictionary_encode(), "id") == {
        1: "id is empty",
        3: "id must have at most 4,096 bytes in UTF-8 (got 4,097)",
        4: "id has a NUL character",
        5: "id is empty",
    }
    assert keys.unusable(pa.array(["a"]).dictionary_encode(), "id") == {}


def test_missing_users_are_no_user():
    columns = {
        "user_id": pa.array([12.0, float("nan"), None]),
        "app_id": pa.array(["a", "b", "c"]),
        "timestamp": pa.array([1, 2, 3]),
    }
    events, _, bad = logs.read_events(tables.Rows("t", np.arange(1, 4), columns), LogSpec())
    assert [str(record) for record in bad] == ["t:2: user_id is empty", "t:3: user_id is empty"]
    assert events.user.tolist() == logs.digests(pa.array(["12"]).dictionary_encode())[0].tolist()


def test_long_values_are_cut_in_messages():
    columns = {name: pa.array(["a"]) for name in ("user_id", "app_id")}
    columns["timestamp"] = pa.array(["x" * 1_000_000])
    bad = logs.read_events(tables.Rows("t", np.arange(1, 2), columns), LogSpec())[2]
    assert len(str(bad[0])) < 200
