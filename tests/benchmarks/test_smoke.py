"""Each benchmark at a tiny size: that it runs and what it tells, never how fast anything is."""

import bz2
import sys

import pytest

from benchmarks import (
    app_install_scale,
    data_prep,
    end_to_end,
    exact_search,
    harness,
    input_pipeline,
    memory,
    processes,
    scann_search,
    sql_tables,
    table_rows,
    wikipedia_scale,
)
from data_prep.synthetic import wiki_pages, wiki_sql, wiki_world
from ssl_recsys.errors import InputError


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
    # What peers find is compared with ours in `measure`, which fails if it is not the same.
    assert {"search", "ranks", "BruteForce", "Streaming, items by 128"} <= set(found)
    assert found["ranks over FactorizedTopK, items by 128"] == pytest.approx(
        found["ranks"] / found["FactorizedTopK, items by 128"]
    )
    assert found["search, share of that matmul's FLOP/s"] == pytest.approx(
        found["search"] * 2 * 2000 * 16 / 1e9 / found["matmul that gives the scores"]
    )


@pytest.mark.skipif(sys.platform != "linux", reason="ScaNN is made for Linux")
def test_scann_search(monkeypatch):
    monkeypatch.setattr("ssl_recsys.search.scann_params.MAX_BRUTE_FORCE_ITEMS", 1500)
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


def test_input_pipeline():
    options = input_pipeline.Options(num_items=200, num_pairs=5000, batch_size=64, repetitions=1)
    found = values(input_pipeline.measure(options))
    assert found["pairs on one core"] > 0
    assert 2 < found["bytes a pair on disk"] < 20


def test_data_prep_on_samples(tmp_path):
    options = data_prep.Options(num_items=300, sample_mb=1, peer_sample_mb=1, repetitions=1)
    dump = data_prep.synthetic_dump(tmp_path, options)
    rows = data_prep.measure_parts(dump, tmp_path, options)
    found = values(harness.Report("parts", rows))
    assert found["our parser over bzip2 decoding"] > 0
    assert "mwparserfromhell, one core" in found


def test_data_prep_counts_what_it_decodes(tmp_path):
    path = tmp_path / "some.bz2"
    path.write_bytes(bz2.compress(b"0123456789" * 200_000))
    assert data_prep.decoded_megabytes(path, threads=2) == 2.0


def test_figures_of_the_whole_job():
    def usage(cpu_seconds):
        return processes.Usage(40.0, cpu_seconds, peak_bytes=10**9, output="")

    jobs = data_prep.Jobs(
        megabytes={"1x": 25.0, "2x": 50.0, "4x": 100.0, "4x in several processes": 100.0},
        usages={
            "1x": [usage(10.0)],
            "2x": [usage(15.0)],
            "4x": [usage(24.0), usage(26.0)],
            "4x in several processes": [usage(20.0)],
        },
        decoding=[8.0, 10.0, 12.0],
        decoding_cpu=[4.0, 6.0],
    )
    found = values(harness.Report("jobs", data_prep.job_rows(jobs)))
    assert found["decoding alone, same cores"] == 20.0  # 100 MB in 5 s
    assert found["whole job, 4x"] == 4.0  # 100 MB in 25 s
    assert found["whole job over decoding alone"] == 0.2
    assert found["whole job over decoding alone, a further MB"] == 0.25  # 75 MB in 15 s
    assert found["whole job over decoding alone, by the clock"] == 0.25
    assert found["time of 4x over 1x"] == 2.5


def test_end_to_end():
    options = end_to_end.Options(
        num_items=600,
        num_pairs=6000,
        embedding_dim=8,
        hidden_layers=(16, 8),
        batch_size=64,
        learning_rate=0.5,
        timed_steps=2,
        quality_steps=100,
        repetitions=1,
    )
    found = values(end_to_end.measure(options))
    # By chance it were 50 of 600.
    assert found["ours, validation Recall@50"] > 0.12
    assert found["tutorial, validation Recall@50"] > 0.12


def test_table_rows():
    options = table_rows.Options(
        rows=(100, 1000), batch_size=8, embedding_dim=4, hidden_layers=(8, 4), repetitions=2
    )
    found = values(table_rows.measure(options))
    assert sum(spec.vocab_size for spec in table_rows.specs(1003, 3)) == 1003
    assert found["largest over smallest"] == pytest.approx(
        found["step, 1,000 rows"] / found["step, 100 rows"]
    )


def test_memory(monkeypatch):
    peaks = {10: 2e9, 100: 2e9 + 90 * 1000, 1000: 2e9 + 990 * 1000}
    commands = []

    def run(command):
        commands.append(command[2])
        return processes.Usage(1.0, 1.0, int(next(order)), "")

    order = iter([peak for peak in peaks.values() for _ in range(2)])
    monkeypatch.setattr(memory.processes, "run", run)
    monkeypatch.setattr(memory.synthetic_dataset, "write", lambda *arguments: None)
    options = memory.Options(num_items=tuple(peaks), planned_items=10_000)
    found = values(memory.measure(options))
    assert commands == ["ssl_recsys.train", "ssl_recsys.evaluate"] * 3
    # 1000 bytes an item, and what is left of 2e9 at 10 items.
    assert found["training, for each item"] == pytest.approx(1000)
    assert found["training, constant"] == pytest.approx(2 - 1e-5)
    assert found["evaluation, plan for 10,000 items"] == pytest.approx(2 - 1e-5 + 0.01)
    assert found["evaluation, distance from the line"] == pytest.approx(0, abs=1e-6)


def test_app_install_scale():
    report = app_install_scale.measure(app_install_scale.Options(num_events=(2000,), num_items=50))
    assert report.details["runs"][0]["num_pairs"] > 0
    assert values(report)["2,000 events, peak memory"] > 0


def test_peaks_of_the_wikipedia_jobs_stages():
    samples = [(0.0, 10**9), (1.0, 3 * 10**9), (2.0, 2 * 10**9), (5.0, 4 * 10**9), (7.0, 10**9)]
    said = [
        (0.5, "12:00:00 read part 1 of 2: 3 pages"),
        (1.5, "12:00:01 read part 2 of 2: 3 pages"),
        (2.5, "12:00:02 resolved the links to shard 1 of 1"),
        (6.0, "12:00:06 encoded the items of shard 1 of 1"),
    ]
    assert wikipedia_scale.stage_peaks(samples, said) == {
        "reading pages": 3.0,
        "following redirects": 2.0,
        "encoding items": 4.0,
        "writing files": 1.0,
    }


def test_memory_of_a_command_and_its_children():
    child = "import time; held = bytearray(50_000_000); print('read part 1'); time.sleep(0.5)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    used = wikipedia_scale._watch([sys.executable, "-c", code])
    assert max(used["peak_gb"].values()) > 0.05
    assert used["cpu_seconds"] > 0
    with pytest.raises(RuntimeError, match="on purpose"):
        wikipedia_scale._watch([sys.executable, "-c", "raise SystemExit('on purpose')"])


def test_sql_tables(tmp_path):
    options = sql_tables.Options(num_items=100, megabytes=1, repetitions=1)
    report = sql_tables.measure(options)
    found = values(report)
    tables = ("page", "pagelinks", "redirect", "linktarget", "categorylinks", "page_props")
    depths = ("rows found", "parsed", "read")
    assert set(found) == {f"{table}, {depth}" for table in tables for depth in depths}
    assert all(1 <= size < 1.1 for size in report.details["megabytes"].values())
    with pytest.raises(InputError, match="no files as WIKI-DATE-page"):
        sql_tables.find_tables(tmp_path)


def test_sql_tables_are_the_same_rows_again(tmp_path):
    world = wiki_world.WikiWorld(100, seed=0)
    wiki_sql.write_tables(tmp_path, wiki_pages.pages(world), wiki_sql.LAYOUT_2024)
    for file in sql_tables.find_tables(tmp_path):
        large = sql_tables.enlarged(file, tmp_path, 1)
        few, many = sql_tables.count_rows(file), sql_tables.count_rows(large, large.columns[:1])
        assert many > few > 0
        assert many % few == 0
