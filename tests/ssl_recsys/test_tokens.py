"""Rows of tokens: FarmHash as TensorFlow computes it, and the rule itself."""

import numpy as np
import tensorflow as tf

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
