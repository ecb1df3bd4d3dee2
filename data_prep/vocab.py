"""Vocabularies: which token has which id.

Ids go by descending frequency, ties by token, and start at 1: id 0 is the missing or
out-of-vocabulary value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import apache_beam as beam

from data_prep.splits import text_digest

NUM_TOKEN_SHARDS = 64

TokenCounts = tuple[Sequence[str], Sequence[int]]


def ordered_tokens(counts: Iterable[tuple[str, int]], min_count: int, max_size: int) -> list[str]:
    """The tokens of a vocabulary in the order of their ids.

    Args:
      counts: each token, once, with its training frequency.
      min_count: rarer tokens are left out.
      max_size: how many tokens are kept, the most frequent ones.
    """
    kept = ((-count, token) for token, count in counts if count >= max(1, min_count))
    return [token for _, token in sorted(kept)[:max_size]]


class Vocabulary:
    """Maps tokens to ids; line i (from 1) of the vocabulary file is the token of id i."""

    def __init__(self, tokens: Sequence[str]):
        self.tokens = tokens
        self._ids = {token: index for index, token in enumerate(tokens, start=1)}

    @property
    def size(self) -> int:
        """Number of ids, id 0 counted."""
        return len(self.tokens) + 1

    def id_of(self, token: str) -> int:
        """The token's id, 0 if it has none."""
        return self._ids.get(token, 0)

    def ids_of(self, tokens: Iterable[str], max_values: int) -> tuple[list[int], int, int]:
        """Encodes a bag.

        Returns:
          The first `max_values` ids, how many tokens were out of vocabulary, and how many known
          ones there was no room for.
        """
        tokens = list(tokens)
        ids = [self._ids[token] for token in tokens if token in self._ids]
        return ids[:max_values], len(tokens) - len(ids), max(0, len(ids) - max_values)


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


class BuildVocabulary(beam.PTransform):
    """Turns partial token counts into one vocabulary.

    Takes a PCollection of `(tokens, counts)`, two sequences of the same length; a token may
    occur in many of them. Gives a PCollection with one element: the tokens in id order. Counting
    is spread over workers; only the vocabulary itself, at most `max_size` tokens, is ever in one
    worker's memory.
    """

    def __init__(self, *, min_count: int, max_size: int):
        super().__init__()
        self._min_count = min_count
        self._max_size = max_size

    def expand(self, counts: beam.PCollection) -> beam.PCollection:
        """Counts by token shard, then merges the shards' most frequent tokens."""
        pipeline = counts.pipeline
        tops = (
            counts
            | "ShardTokens" >> beam.FlatMap(_shard_tokens)
            | "GroupTokens" >> beam.GroupByKey()
            | "CountTokens"
            >> beam.Map(_top_tokens, min_count=self._min_count, max_size=self._max_size)
        )
        # A one-element collection with the shards as a side input, so that there is a
        # vocabulary, an empty one, even where no token was counted.
        return (
            pipeline
            | "OneVocabulary" >> beam.Create([None])
            | "MergeShards" >> beam.Map(_merge_tops, beam.pvalue.AsIter(tops), self._max_size)
        )


class BuildVocabularies(beam.PTransform):
    """Turns partial token counts of several features into their vocabularies.

    Takes a PCollection of `(feature, (tokens, counts))`, as `BuildVocabulary` takes for one. Gives
    `(feature, tokens in id order)` for each feature that occurs, be it without tokens. Its steps
    are as many as those for one feature.

    Args:
      limits: `(min_count, max_size)` by feature.
    """

    def __init__(self, limits: Mapping[str, tuple[int, int]]):
        super().__init__()
        self._limits = dict(limits)

    def expand(self, counts: beam.PCollection) -> beam.PCollection:
        """Counts by feature and token shard, then merges the shards' most frequent tokens."""
        return (
            counts
            | "ShardTokens" >> beam.FlatMap(_shard_tokens_of_feature)
            | "GroupTokens" >> beam.GroupByKey()
            | "CountTokens" >> beam.Map(_top_tokens_of_feature, self._limits)
            | "GroupShards" >> beam.GroupByKey()
            | "MergeShards" >> beam.Map(_merge_tops_of_feature, self._limits)
        )


def _shard_tokens_of_feature(
    element: tuple[str, TokenCounts],
) -> Iterator[tuple[tuple[str, int], dict[str, int]]]:
    feature, counts = element
    yield (feature, 0), {}  # so that a feature without tokens has a vocabulary
    for shard, part in _shard_tokens(counts):
        yield (feature, shard), part


def _top_tokens_of_feature(
    element: tuple[tuple[str, int], Iterable[Mapping[str, int]]],
    limits: Mapping[str, tuple[int, int]],
) -> tuple[str, list[tuple[str, int]]]:
    (feature, shard), parts = element
    min_count, max_size = limits[feature]
    return feature, _top_tokens((shard, parts), min_count, max_size)


def _merge_tops_of_feature(
    element: tuple[str, Iterable[Sequence[tuple[str, int]]]],
    limits: Mapping[str, tuple[int, int]],
) -> tuple[str, list[str]]:
    feature, tops = element
    return feature, _merge_tops(None, tops, limits[feature][1])


def _shard_tokens(counts: TokenCounts) -> Iterator[tuple[int, dict[str, int]]]:
    shards: dict[int, dict[str, int]] = {}
    for token, count in zip(*counts, strict=True):
        shard = shards.setdefault(text_digest(token) % NUM_TOKEN_SHARDS, {})
        shard[token] = shard.get(token, 0) + int(count)
    yield from shards.items()


def _top_tokens(
    shard: tuple[int, Iterable[Mapping[str, int]]], min_count: int, max_size: int
) -> list[tuple[str, int]]:
    _, parts = shard
    totals: dict[str, int] = {}
    for part in parts:
        for token, count in part.items():
            totals[token] = totals.get(token, 0) + count
    tokens = ordered_tokens(totals.items(), min_count, max_size)
    return [(token, totals[token]) for token in tokens]


def _merge_tops(
    unused_none: None, tops: Iterable[Sequence[tuple[str, int]]], max_size: int
) -> list[str]:
    return ordered_tokens((pair for top in tops for pair in top), 1, max_size)
