"""Each benchmark at a tiny size: that it runs and what it tells, never how fast anything is."""

from benchmarks import app_install_scale, exact_search, harness


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


def test_app_install_scale():
    report = app_install_scale.measure(app_install_scale.Options((2000,), num_items=50))
    assert report.details["runs"][0]["num_pairs"] > 0
    assert values(report)["2,000 events, peak memory"] > 0
