"""Rows of tokens: FarmHash as TensorFlow computes it, and the rule itself."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from data_prep import vocab
from ssl_recsys.raw import encoder
from ssl_recsys.tokens import fingerprint64, unknown_row


def test_fingerprints_are_tensorflows() -> None:
    rng = np.random.default_rng(0)
    texts = [bytes(rng.integers(0, 256, size, np.uint8)) for size in [*range(200), 255, 256, 257]]
    texts += ["Þingvellir", "音樂", "a" * 1000]
    data = [text.encode() if isinstance(text, str) else text for text in texts]
    for buckets in (7, 1_000_003, 2**62 + 1):
        expected = tf.strings.to_hash_bucket_fast(data, buckets).numpy()
        found = [fingerprint64(each) % buckets for each in data]
        np.testing.assert_array_equal(found, expected)


def test_unknown_tokens_have_rows_behind_the_vocabulary() -> None:
    bucket = int(tf.strings.to_hash_bucket_fast("Zürich", 5))
    assert unknown_row("Zürich", 10, 5) == 11 + bucket
    assert unknown_row("Zürich", 0, 5) == 1 + bucket
    assert unknown_row("Zürich", 10, 0) == 0
    assert unknown_row("", 10, 5) == 0


@pytest.mark.parametrize("known", [[], ["often", "rare"]])
def test_data_jobs_and_graphs_give_the_same_rows(known: list[str], tmp_path: pathlib.Path) -> None:
    (tmp_path / "vocab.txt").write_text(vocab.vocabulary_text(known))
    tokens = ["rare", "future", "", "often", "Zürich", "音樂"]
    in_graph = encoder.Vocabulary(tmp_path / "vocab.txt", len(known), hash_buckets=3)
    found = tf.function(in_graph.ids)(tf.constant(tokens)).numpy().tolist()
    of_job = vocab.Vocabulary(known, hash_buckets=3)
    assert found == [of_job.id_of(token) for token in tokens]
    # A bag has an id once: at most three are shared by so many tokens.
    ids, num_unknown, num_cut = of_job.ids_of([f"token {n}" for n in range(50)], 10)
    assert sorted(ids) == [len(known) + 1 + bucket for bucket in range(3)]
    assert (num_unknown, num_cut) == (50, 0)
