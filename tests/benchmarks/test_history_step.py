import pytest

from benchmarks import history_step


def test_histories_are_a_multiple_of_items():
    options = history_step.Options(
        methods=("fd",),
        history=3,
        vocab_size=100,
        title_words=2,
        categories=2,
        batch_size=16,
        embedding_dim=8,
        hidden_layers=(16, 8),
        repetitions=2,
    )
    rows = {row.name: row for row in history_step.measure(options).rows}
    of_items, of_histories = (rows[f"fd, queries are {kind}"] for kind in ("items", "histories"))
    ratio = rows["fd, histories over items"]
    assert of_items.value > 0
    assert ratio.value == pytest.approx(of_histories.value / of_items.value)
    assert (ratio.target, ratio.at_most) == (1.5, True)
