"""Vocabularies: which token has which id.

Ids go by descending frequency, ties by token, and start at 1. `ssl_recsys.tokens` has the rule for
all others: id 0 is the missing value, and an out-of-vocabulary one where there are no hash buckets.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np

from data_prep.shards import concatenate, find
from data_prep.spill import NO_SPILL, Spill, get
from data_prep.splits import text_digest, text_digests
from ssl_recsys.tokens import unknown_row

_NUM_TOKEN_SHARDS = 64

_log = logging.getLogger(__name__)


class TokenCounts(NamedTuple):
    """Tokens and how often each was seen, two columns of one length."""

    tokens: Sequence[str]
    counts: Sequence[int] | np.ndarray


def ordered_tokens(found: TokenCounts, min_count: int, max_size: int) -> TokenCounts:
    """The tokens of a vocabulary in the order of their ids.

    Args:
      found: each token, once, with its training frequency.
      min_count: rarer tokens are left out.
      max_size: how many tokens are kept, the most frequent ones.
    """
    counts = np.asarray(found.counts, np.int64)
    kept = np.flatnonzero(counts >= max(1, min_count))
    kept = kept[np.argsort(-counts[kept], kind="stable")]
    counts = counts[kept]
    tokens = [found.tokens[index] for index in kept.tolist()]
    bounds = [0, *(np.flatnonzero(np.diff(counts)) + 1).tolist(), len(tokens)]
    for start, stop in itertools.pairwise(bounds):
        tokens[start:stop] = sorted(tokens[start:stop])
    return TokenCounts(tokens[:max_size], counts[:max_size])


class Vocabulary:
    """Maps tokens to ids; line i (from 1) of the vocabulary file is the token of id i.

    Args:
      tokens: in id order.
      hash_buckets: ids behind theirs, which all other tokens share.
    """

    def __init__(self, tokens: Sequence[str], hash_buckets: int = 0):
        self.tokens = tokens
        self._hash_buckets = hash_buckets
        self._ids = {token: index for index, token in enumerate(tokens, start=1)}

    @property
    def size(self) -> int:
        """Number of ids, id 0 counted and hash buckets not."""
        return len(self.tokens) + 1

    def id_of(self, token: str) -> int:
        """The token's id, 0 if it has none."""
        return self._ids.get(token) or self._unknown(token)

    def _unknown(self, token: str) -> int:
        return unknown_row(token, len(self.tokens), self._hash_buckets)

    def ids_of(self, tokens: Iterable[str], max_values: int) -> tuple[list[int], int, int]:
        """Encodes a bag, in which an id comes once, also one that several tokens share.

        Returns:
          The first `max_values` ids, how many tokens were out of vocabulary, and how many that
          have an id there was no room for.
        """
        found = [(token in self._ids, self.id_of(token)) for token in tokens]
        ids = list(dict.fromkeys(number for _, number in found if number))
        num_unknown = sum(not is_known for is_known, _ in found)
        return ids[:max_values], num_unknown, max(0, len(ids) - max_values)


class IdTable(NamedTuple):
    """Ids of tokens by digest, far smaller than a dict of strings.

    Attributes:
      digests: `[tokens]` uint64, ascending.
      ids: `[tokens]` int64, the ids of their tokens.
      hash_buckets: ids behind those, which all other tokens share.
    """

    digests: np.ndarray
    ids: np.ndarray
    hash_buckets: int = 0

    @classmethod
    def of(cls, tokens: Sequence[str], hash_buckets: int = 0) -> IdTable:
        """The table of tokens in id order."""
        digests = text_digests(list(tokens))
        order = np.argsort(digests)
        return cls(digests[order], order + 1, hash_buckets)

    @property
    def size(self) -> int:
        """Number of ids, id 0 counted and hash buckets not."""
        return len(self.ids) + 1

    def ids_of(self, digests: np.ndarray, tokens: Sequence[str] = ()) -> tuple[np.ndarray, int]:
        """The ids of tokens with these digests.

        Args:
          digests: `[n]` uint64.
          tokens: the `n` tokens themselves, which hash buckets need.

        Returns:
          `[n]` int64 ids, 0 for tokens without one; how many were out of vocabulary.
        """
        position, is_known = find(digests, self.digests)
        ids = np.where(is_known, self.ids[position] if len(self.ids) else 0, 0)
        unknown = np.flatnonzero(~is_known)
        if self.hash_buckets:
            for place in unknown.tolist():
                ids[place] = unknown_row(tokens[place], len(self.ids), self.hash_buckets)
        return ids, len(unknown)


def vocabulary_text(tokens: Iterable[str]) -> str:
    """Contents of a vocabulary file.

    Raises:
      ValueError: if a token holds a line break, which would shift all ids behind it.
    """
    lines = []
    for token in tokens:
        if "\n" in token or "\r" in token:
            raise ValueError(f"a vocabulary token must be one line (got {token!r})")
        lines.append(token + "\n")
    return "".join(lines)


class BuildVocabularies(beam.PTransform):
    """Turns partial token counts of several features into their vocabularies.

    Takes a PCollection of `(feature, TokenCounts)`; a token may occur in many of them. Gives
    `(feature, tokens in id order)` for each feature that occurs, even without a token. Counting
    is spread over workers; only a vocabulary itself, at most `max_size` tokens, is ever in one
    worker's memory. There are as many steps as for one feature.

    Args:
      limits: `(min_count, max_size)` by feature.
      spill: takes counts.
    """

    def __init__(self, limits: Mapping[str, tuple[int, int]], spill: Spill = NO_SPILL):
        super().__init__()
        self._limits = dict(limits)
        self._spill = spill

    def expand(self, counts: beam.PCollection) -> beam.PCollection:
        """Counts by feature and token shard, then merges the shards' most frequent tokens."""
        return (
            counts
            | "ShardTokens" >> beam.FlatMap(_shard_tokens, self._spill)
            | "GroupTokens" >> beam.GroupByKey()
            | "CountTokens" >> beam.Map(_top_tokens, self._limits, self._spill)
            | "GroupShards" >> beam.GroupByKey()
            | "MergeShards"
            >> beam.Map(_merge_tops, self._limits).with_output_types(tuple[str, Any])
        )


def _shard_tokens(
    element: tuple[str, TokenCounts], spill: Spill
) -> Iterator[tuple[tuple[str, int], Any]]:
    feature, counts = element
    shards: dict[int, dict[str, int]] = {0: {}}  # so that a feature without tokens occurs
    for token, count in zip(*counts, strict=True):
        shard = shards.setdefault(text_digest(token) % _NUM_TOKEN_SHARDS, {})
        shard[token] = shard.get(token, 0) + int(count)
    for index, shard in shards.items():
        yield (feature, index), spill.put(shard)


def _top_tokens(
    element: tuple[tuple[str, int], Iterable[Any]],
    limits: Mapping[str, tuple[int, int]],
    spill: Spill,
) -> tuple[str, Any]:
    (feature, _), parts = element
    totals: dict[str, int] = {}
    for part in parts:
        for token, count in get(part).items():
            totals[token] = totals.get(token, 0) + count
    found = TokenCounts(list(totals), list(totals.values()))
    return feature, spill.put(ordered_tokens(found, *limits[feature]))


def _merge_tops(
    element: tuple[str, Iterable[Any]], limits: Mapping[str, tuple[int, int]]
) -> tuple[str, Sequence[str]]:
    feature, tops = element
    found = concatenate(TokenCounts, tops)
    tokens = ordered_tokens(found, 1, limits[feature][1]).tokens
    _log.info("made the vocabulary of %s: %d tokens", feature, len(tokens))
    return feature, tokens
