"""A new kind of feature is one spec and one encoder: intervals, through the job to the catalog."""

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from data_prep import tables
from data_prep.encode import Values
from data_prep.installs import encoders
from data_prep.installs.encoder import Column, Encoder
from data_prep.installs.uses import Uses
from ssl_recsys import features, schema
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.errors import InputError
from tests.install_data import APPS, make, write_input

INTERVAL = "interval"


@dataclasses.dataclass(frozen=True)
class Interval(features.FeatureSpec):
    """The ends of an interval, zeros if missing."""

    kind: ClassVar[str] = INTERVAL
    is_embedded: ClassVar[bool] = False

    @property
    def column(self) -> features.Column:
        return features.Column(self.name, "float32", (self.max_values,))

    def _fits(self, values: Sequence[Any]) -> bool:
        return len(values) == self.max_values and values[0] <= values[1]

    def fault(self, array: np.ndarray) -> str | None:
        return None if (array[:, 0] <= array[:, 1]).all() else "ascending"


class IntervalEncoder(Encoder):
    """Texts such as 2..5."""

    has_vocabulary = False

    def read(self, rows: tables.Rows) -> tuple[Column, list[tables.BadRecord]]:
        column = self.feature.column
        ends, bad = np.zeros((len(rows.lines), 2), np.float32), []
        for row, text in enumerate(tables.texts(rows.columns[column]).to_pylist()):
            low, dots, high = text.partition("..")
            if dots:
                ends[row] = float(low), float(high)
            elif text:
                reason = f"{column} is no interval: {text!r}"
                bad.append(tables.BadRecord(rows.path, int(rows.lines[row]), reason))
        return ends, bad

    def missing(self, keys: pa.Array) -> Column:
        return np.zeros((len(keys), 2), np.float32)

    def encode(
        self, column: Column, uses: Uses, learned: Any, counters: Counter[str]
    ) -> Sequence[Values]:
        counters[f"{self.feature.name}_missing"] += int((~column.any(axis=1)).sum())
        return column.tolist()

    def spec(self, vocab_size: int) -> features.FeatureSpec:
        return Interval(self.feature.name, max_values=2)


@pytest.fixture
def fields(tmp_path, monkeypatch):
    """Flags of the job; the item table has ages for some apps."""
    monkeypatch.setitem(features.KINDS, INTERVAL, Interval)
    monkeypatch.setitem(encoders.ENCODERS, INTERVAL, IntervalEncoder)
    flags = write_input(tmp_path)
    spec = {
        "items": {"key": "app_id"},
        "features": [
            {"name": "id", "kind": "categorical", "column": "app_id"},
            {"name": "ages", "kind": INTERVAL, "column": "ages"},
        ],
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    return flags | {"features_spec": f"{tmp_path}/spec.json", "apps": f"{tmp_path}/apps.jsonl"}


def write_apps(path, ages):
    apps = [{"app_id": row[0], "ages": ages.get(row[0])} for row in APPS[1:]]
    path.write_text("".join(json.dumps(app) + "\n" for app in apps))


def test_intervals_reach_the_catalog(tmp_path, fields):
    write_apps(tmp_path / "apps.jsonl", {"a": "3..99", "b": "12..18", "f": "0..2.5"})
    info = make(tmp_path / "data", num_shards=3, **fields)
    assert info.features[1] == Interval("ages", max_values=2)
    assert info.raw is None  # no rule: the towers take the encoded numbers
    assert info.counters["ages_missing"] == 4  # c, d, e, and x, which has no row
    read = schema.read_dataset_info(tmp_path / "data")
    assert read.features == info.features
    catalog = Dataset(tmp_path / "data").catalog(schema.ITEM)
    found = dict(zip(catalog.keys, catalog.features["ages"].tolist(), strict=True))
    assert found == {
        "a": [3, 99], "b": [12, 18], "c": [0, 0], "d": [0, 0], "e": [0, 0], "f": [0, 2.5],
        "x": [0, 0],
    }  # fmt: skip
    assert catalog.features["ages"].dtype == np.float32


def test_bad_intervals_are_listed(tmp_path, fields):
    write_apps(tmp_path / "apps.jsonl", {"b": "twelve"})
    with pytest.raises(InputError, match=r"apps\.jsonl:2: ages is no interval: 'twelve'"):
        make(tmp_path / "data", **fields)
