"""Stable digests, and the train / validation / test splits made from them.

A digest depends on its text alone, so that splits and orders are the same on every runner,
with any number of workers. (Python's `hash()` differs between processes.)
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import numpy as np

TRAIN, VALIDATION, TEST = 0, 1, 2  # positions in schema.PAIR_SPLITS
# 2^64 over the golden ratio, the increment of SplitMix64.
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclasses.dataclass(frozen=True)
class SplitRule:
    """How pairs are divided between train, validation and test.

    Attributes:
      by: kept together by the split, in the words of the job: page, link, time, user, pair, item.
      seed: different seeds give different divisions.
      validation_fraction: share that is validation.
      test_fraction: share that is test.
    """

    by: str
    seed: int = 0
    validation_fraction: float = 0.05
    test_fraction: float = 0.05


def text_digest(text: str) -> int:
    """A 64-bit digest of `text`, in [0, 2^64)."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "big")


def text_digests(texts: list[str]) -> np.ndarray:
    """Digests of many texts, uint64 `[len(texts)]`."""
    return utf8_digests([text.encode("utf-8") for text in texts])


def utf8_digests(texts: list[bytes]) -> np.ndarray:
    """As `text_digests`, of texts that are encoded already."""
    digest = functools.partial(hashlib.blake2b, digest_size=8)
    joined = b"".join([digest(text).digest() for text in texts])
    return np.frombuffer(joined, ">u8").astype(np.uint64)


def scramble(values: np.ndarray) -> np.ndarray:
    """Maps uint64 `values` to uint64, one to one and with all bits mixed.

    The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
    """
    with np.errstate(over="ignore"):
        mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def mix64(values: np.ndarray, key: int) -> np.ndarray:
    """Maps uint64 `values` to uint64, one to one and as good as at random for each `key`."""
    with np.errstate(over="ignore"):
        return scramble(np.asarray(values, np.uint64) + GOLDEN * np.uint64(key % 2**64))


def pair_digests(query: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Digests of (query, item) pairs of digests, uint64; (a, b) and (b, a) differ."""
    return mix64(mix64(query, 1) ^ np.asarray(item, np.uint64), 1)


def order_keys(digests: np.ndarray, seed: int) -> np.ndarray:
    """Keys that put pairs with these digests in a stable random order, uint64."""
    return mix64(digests, 2 * seed + 2)


def split_of(digests: np.ndarray, rule: SplitRule) -> np.ndarray:
    """The split of each digest, uint8 with the values TRAIN, VALIDATION and TEST."""
    # Uniform in [0, 1); a float64 holds the top 53 bits.
    uniform = (mix64(digests, 2 * rule.seed + 1) >> np.uint64(11)) / 2.0**53
    splits = np.zeros(uniform.shape, np.uint8)
    splits[uniform < rule.test_fraction + rule.validation_fraction] = VALIDATION
    splits[uniform < rule.test_fraction] = TEST
    return splits


def later_of(query: np.ndarray, item: np.ndarray, rule: SplitRule) -> np.ndarray:
    """Of each pair of digests the one whose split is the later (TEST > VALIDATION > TRAIN).

    So pairs that are split by it are test pairs if they touch a test item, else validation pairs if
    they touch a validation item: no training pair has a held-out item on either side.

    Args:
      query: `[pairs]` uint64 digests.
      item: `[pairs]` uint64 digests.
      rule: its seed decides; the order of splits is the same for all fractions.

    Returns:
      `[pairs]` uint64.
    """
    # `split_of` gives the lowest values to TEST and the highest to TRAIN.
    key = 2 * rule.seed + 1
    return np.where(mix64(query, key) <= mix64(item, key), query, item)
