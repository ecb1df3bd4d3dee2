"""Each benchmark at a tiny size: that it runs and what it tells, never how fast anything is."""

import sys

import pytest

from benchmarks import app_install_scale, exact_search, harness, scann_search


def values(report: harness.Report) -> dict[str, float]:
    assert all(row.value is not None or row.note for row in report.rows)
    return {row.name: row.value for row in report.rows if row.value is not None}


def test_exact_search():
    options = exact_search.Options(
        num_items=2000,
        dim=16,
        num_queries=64,
        peer_queries=32,
        peer_batch=16,
        large_batch=500,
        k=5,
        square=64,
        repetitions=1,
    )
    found = values(exact_search.measure(options))
    assert all(value > 0 for value in found.values())
    assert found["ranks over FactorizedTopK, items by 128"] == (
        found["ranks"] / found["FactorizedTopK, items by 128"]
    )


@pytest.mark.skipif(sys.platform != "linux", reason="ScaNN is made for Linux")
def test_scann_search(monkeypatch):
    monkeypatch.setattr("ssl_recsys.scann_params._MAX_BRUTE_FORCE_ITEMS", 1500)
    options = scann_search.Options(
        trained_items=1000,
        training_steps=2,
        synthetic_items=2000,
        dim=16,
        num_queries=50,
        repetitions=1,
    )
    report = scann_search.measure(options)
    found = values(report)
    assert "1,000 trained items: brute force" in found
    assert found["1,000 trained items: chosen, recall@10"] > 0.99
    assert found["2,000 synthetic items: chosen, recall@10"] > 0.9
    points = report.details["curves"]["synthetic"]["points"]
    assert [point["search"] for point in points if point["chosen"]]


def test_app_install_scale():
    report = app_install_scale.measure(app_install_scale.Options((2000,), num_items=50))
    assert report.details["runs"][0]["num_pairs"] > 0
    assert values(report)["2,000 events, peak memory"] > 0
