"""The process that `benchmarks.input_pipeline` measures.

    python -m benchmarks.input_epochs DATA_DIR BATCH_SIZE REPETITIONS

prints the pairs of an epoch and the seconds that each repetition took; the first epoch, in which
files come into the page cache, is not among them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from benchmarks import harness


def main(data_dir: str, batch_size: int, repetitions: int) -> None:
    """Takes every batch of an epoch, once for each repetition."""
    import tensorflow as tf

    from ssl_recsys.data.dataset import Dataset

    pairs = Dataset(data_dir).training_pairs(batch_size=batch_size, seed=0)
    epochs = iter(range(repetitions + 1))

    @tf.function
    def take_all(batches: Iterator[Any]) -> tf.Tensor:
        """Takes the epoch as a compiled training loop does, without a step."""
        total = tf.constant(0)
        for _ in tf.range(pairs.steps_per_epoch):
            total += next(batches).item_row[0]
        return total

    def one_epoch() -> None:
        take_all(iter(pairs.epoch(next(epochs)))).numpy()

    timing = harness.interleave({"epoch": one_epoch}, repetitions)["epoch"]
    print(pairs.steps_per_epoch * pairs.batch_size, *timing.seconds)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
