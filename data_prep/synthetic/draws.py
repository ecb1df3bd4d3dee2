"""Random numbers without state, and made-up words: the same coordinates give the same values.

Everything synthetic is a function of the seed and of its coordinates (page 17, link 3), so it
can be made in any order and amount without holding earlier parts in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from data_prep.splits import GOLDEN, scramble

_ONSETS = "bdfghjklmnprstvz"
_VOWELS = "aeiou"
_SYLLABLES = tuple(onset + vowel for onset in _ONSETS for vowel in _VOWELS)
_CODAS = "nrslmk"


class Draws:
    """Uniform numbers named by a stream and integer coordinates.

    Attributes:
      seed: non-negative integer; different seeds give unrelated numbers.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def uniform(self, stream: str, *coordinates: np.ndarray | int) -> np.ndarray:
        """Uniform numbers in [0, 1), one for each element of the broadcast coordinates.

        Args:
          stream: name of the quantity drawn; streams are independent of each other.
          *coordinates: `[...]` non-negative integers that broadcast against each other.
        """
        start = zlib.crc32(stream.encode()) + (self.seed << 32)
        state = scramble(np.asarray([start % 2**64], np.uint64))
        for coordinate in coordinates:
            number = np.atleast_1d(coordinate).astype(np.uint64)
            state = scramble(state + (number + np.uint64(1)) * GOLDEN)
        return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def integers(
        self, stream: str, bound: np.ndarray | int, *coordinates: np.ndarray | int
    ) -> np.ndarray:
        """Uniform integers in [0, bound), broadcast as in `uniform`; `[...]` int64."""
        return (self.uniform(stream, *coordinates) * bound).astype(np.int64)

    def normal(self, stream: str, *coordinates: np.ndarray | int) -> np.ndarray:
        """Standard normal numbers, broadcast as in `uniform` (Box and Muller)."""
        radius = np.sqrt(-2.0 * np.log1p(-self.uniform(stream + "/radius", *coordinates)))
        return radius * np.cos(2.0 * np.pi * self.uniform(stream + "/angle", *coordinates))


def zipf_ranks(uniform: np.ndarray, size: np.ndarray | int, exponent: float) -> np.ndarray:
    """Ranks in [0, size) with probability falling as `(rank + 1) ** -exponent`.

    The continuous law is inverted, so no table of `size` entries is needed.

    Args:
      uniform: `[...]` numbers in [0, 1).
      size: `[...]` or scalar, number of ranks, at least 1.
      exponent: positive and not 1.
    """
    power = 1.0 - exponent
    top = (np.asarray(size) + 1.0) ** power
    ranks = (1.0 + uniform * (top - 1.0)) ** (1.0 / power) - 1.0
    return np.minimum(ranks.astype(np.int64), np.asarray(size) - 1)


def choose(uniform: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """Indices into `weights`, drawn in proportion to them; `[...]` int64 for `[...]` uniforms."""
    cumulative = np.cumsum(np.asarray(weights, np.float64))
    return np.searchsorted(cumulative / cumulative[-1], uniform, side="right")


def stem(number: int, *, syllables: int = 2) -> str:
    """Pronounceable lower-case stem, a different one for every number and least length.

    Args:
      number: non-negative.
      syllables: least number of syllables; large numbers take more.
    """
    parts: list[str] = []
    while number or len(parts) < syllables:
        number, digit = divmod(number, len(_SYLLABLES))
        parts.append(_SYLLABLES[digit])
    return "".join(parts)


def proper_name(number: int, universe: int) -> str:
    """Capitalised made-up name, a different one for every number in [0, universe).

    Names end in one consonant after syllables that end in vowels, so that no `stem` with a
    suffix of a different shape equals one.
    """
    size = len(_CODAS)
    capacity = size * len(_SYLLABLES) ** 2
    while capacity < universe:
        capacity *= len(_SYLLABLES)
    # Any multiplier without a factor of 2, 3 or 5 permutes the range (2, 3 and 5 are the only
    # prime factors of the capacity): neighbouring numbers get names that do not look alike.
    scattered = (number * 7_368_787 + 1_299_709) % capacity
    number, coda = divmod(scattered, size)
    return stem(number).capitalize() + _CODAS[coda]
