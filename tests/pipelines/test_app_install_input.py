"""The app-install job on input of unusual form: what it takes, and what it says."""

import json
import re

import pytest

from data_prep.installs import counters
from pipelines import beam_job
from ssl_recsys.errors import InputError
from tests.install_data import APPS, LOG, make, write_input, write_lines


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
    table = beam_job.counter_table(info.counters, counters.meanings("landing_page"))
    assert re.search(r"^  events +9  pairs in the log$", table, re.MULTILINE)
    assert "user" not in table
    assert not any("user" in name for name in info.counters)
