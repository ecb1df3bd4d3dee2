"""A new kind of feature is one spec and one encoder: vectors, through the job to the catalog."""

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

VECTOR = "vector"


@dataclasses.dataclass(frozen=True)
class Vector(features.FeatureSpec):
    """`max_values` floats, zeros if missing."""

    kind: ClassVar[str] = VECTOR
    is_embedded: ClassVar[bool] = False

    @property
    def column(self) -> features.Column:
        return features.Column(self.name, "float32", (self.max_values,))

    def _fits(self, values: Sequence[Any]) -> bool:
        return len(values) == self.max_values and bool(np.isfinite(values).all())

    def fault(self, array: np.ndarray) -> str | None:
        return None if np.isfinite(array).all() else "finite"


class VectorEncoder(Encoder):
    """Lists of `max_values` numbers."""

    def read(self, rows: tables.Rows) -> tuple[Column, list[tables.BadRecord]]:
        width, column = self.feature.max_values, self.feature.column
        vectors, bad = np.zeros((len(rows.lines), width), np.float32), []
        for row, values in enumerate(rows.columns[column].to_pylist()):
            if values and len(values) == width:
                vectors[row] = values
            elif values:
                reason = f"{column} is not {width} numbers: {values!r}"
                bad.append(tables.BadRecord(rows.path, int(rows.lines[row]), reason))
        return vectors, bad

    def missing(self, keys: pa.Array) -> Column:
        return np.zeros((len(keys), self.feature.max_values), np.float32)

    def encode(
        self, column: Column, uses: Uses, learned: Any, counters: Counter[str]
    ) -> Sequence[Values]:
        counters[f"{self.feature.name}_missing"] += int((~column.any(axis=1)).sum())
        return column.tolist()

    def spec(self, vocab_size: int) -> features.FeatureSpec:
        return Vector(self.feature.name, max_values=self.feature.max_values)


@pytest.fixture
def fields(tmp_path, monkeypatch):
    """Flags of the job; the item table has a list of two numbers for some apps."""
    monkeypatch.setitem(features.KINDS, VECTOR, Vector)
    monkeypatch.setitem(encoders.ENCODERS, VECTOR, VectorEncoder)
    flags = write_input(tmp_path)
    spec = {
        "items": {"key": "app_id"},
        "features": [
            {"name": "id", "kind": "categorical", "column": "app_id"},
            {"name": "text", "kind": VECTOR, "column": "embedding", "max_values": 2},
        ],
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    return flags | {"features_spec": f"{tmp_path}/spec.json", "apps": f"{tmp_path}/apps.jsonl"}


def write_apps(path, embeddings):
    apps = [{"app_id": row[0]} for row in APPS[1:]]
    for app in apps:
        if app["app_id"] in embeddings:
            app["embedding"] = embeddings[app["app_id"]]
    path.write_text("".join(json.dumps(app) + "\n" for app in apps))


def test_vectors_reach_the_catalog(tmp_path, fields):
    write_apps(tmp_path / "apps.jsonl", {"a": [0.5, -1.0], "b": [2, 3], "f": [0.25, 0]})
    info = make(tmp_path / "data", num_shards=3, **fields)
    assert info.features[1] == Vector("text", max_values=2)
    assert info.counters["text_missing"] == 4  # c, d, e, and x, which has no row
    read = schema.read_dataset_info(tmp_path / "data")
    assert read.features == info.features
    catalog = Dataset(tmp_path / "data").catalog(schema.ITEM)
    found = dict(zip(catalog.keys, catalog.features["text"].tolist(), strict=True))
    assert found == {
        "a": [0.5, -1], "b": [2, 3], "c": [0, 0], "d": [0, 0], "e": [0, 0], "f": [0.25, 0],
        "x": [0, 0],
    }  # fmt: skip
    assert catalog.features["text"].dtype == np.float32


def test_bad_vectors_are_listed(tmp_path, fields):
    write_apps(tmp_path / "apps.jsonl", {"b": [2, 3, 4]})
    with pytest.raises(InputError, match=r"apps\.jsonl:2: embedding is not 2 numbers"):
        make(tmp_path / "data", **fields)
