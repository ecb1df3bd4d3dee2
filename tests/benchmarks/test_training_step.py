import pytest

from benchmarks import training_step

SMALL = {
    "vocab_size": 100,
    "values_per_bag": 3,
    "batch_size": 16,
    "embedding_dim": 8,
    "first_layer": 16,
    "last_layer": 8,
    "matmul_size": 64,
    "repetitions": 2,
}


def test_every_method_is_a_share_of_the_baseline():
    methods = ("so", "fd_fm_so")
    report = training_step.measure(training_step.Options(methods=methods, **SMALL))
    found = report.details["methods"]
    assert set(found) == {"baseline", *methods}
    assert found["baseline"]["share_of_baseline"] == 1.0
    for method in methods:
        expected = found[method]["steps_per_second"] / found["baseline"]["steps_per_second"]
        assert found[method]["share_of_baseline"] == pytest.approx(expected)
    assert found["fd_fm_so"]["paper_share_of_baseline"] == 0.33
    assert report.details["baseline_share_of_matmul_peak"] > 0
    assert [row.target for row in report.rows if row.name.startswith("so")] == [0.93]


def test_operations_of_a_baseline_step_by_hand():
    # Each tower 24 x 16 + 16 x 8 = 512 products a row, the logits 16 x 8 = 128; three times as
    # many with the gradient's, two operations each, 16 rows.
    options = training_step.Options(**SMALL)
    assert training_step.baseline_flops(options) == 3 * 2 * 16 * (2 * 512 + 128)
