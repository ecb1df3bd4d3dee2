"""A bounded random sample that is the same however the data is divided."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam
import numpy as np

Sample = tuple[np.ndarray, np.ndarray]


class SampleByDigest(beam.CombineFn):
    """Keeps the values with the lowest digests: all of them where there are few.

    Elements, accumulators and the outcome are `(digests [n] uint64, values [n])`; the outcome is
    sorted by digest. With digests as good as random it is a uniform sample without replacement.

    Args:
      size: how many values are kept.
    """

    def __init__(self, size: int):
        self._size = size

    def create_accumulator(self) -> Sample:
        """Nothing yet."""
        return np.zeros(0, np.uint64), np.zeros(0)

    def add_input(self, accumulator: Sample, element: Sample) -> Sample:
        """Adds columns."""
        return self.merge_accumulators([accumulator, element])

    def merge_accumulators(self, accumulators: Iterable[Sample]) -> Sample:
        """Joins columns and keeps the lowest digests."""
        # An empty column of floats must not turn integers into floats.
        parts = [part for part in accumulators if len(part[0])]
        if not parts:
            return self.create_accumulator()
        digests, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        if len(digests) > self._size:
            lowest = np.argpartition(digests, self._size - 1)[: self._size]
            digests, values = digests[lowest], values[lowest]
        return digests, values

    def extract_output(self, accumulator: Sample) -> Sample:
        """Sorts by digest."""
        order = np.lexsort((accumulator[1], accumulator[0]))
        return accumulator[0][order], accumulator[1][order]
