"""Logs to events and pairs: times and keys of the records, and an order that is no accident.

Everything works on columns of many events. Users and items are 64-bit digests of their names,
times are microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_prep import splits, tables
from data_prep.installs import times
from data_prep.installs.keys import unusable as unusable_keys
from data_prep.installs.log_spec import HISTORY, LogSpec
from data_prep.installs.negatives import first_negatives, read_listed, sort_keys
from data_prep.installs.weights import read_kinds, read_weights
from data_prep.shards import concatenate, take
from ssl_recsys.errors import InputError
from ssl_recsys.raw.rules import MAX_NUMBER

# What a split keeps together: pairs of the same time, of the same user, of the same two items, or
# of a held-out item.
BY_TIME, BY_USER, BY_PAIR, BY_ITEM = SPLITS = ("time", "user", "pair", "item")

USER = "user"  # a role in `read_events`

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d|w)")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Events(NamedTuple):
    """What users did, as columns `[events]`: digests uint64, time in microseconds int64.

    Attributes:
      user: who; 0 where the log does not tell.
      item: the item, in a landing-page log the candidate.
      time: when; 0 where the log does not tell.
      query: the seed; None in a history.
      weight: float32; None where all count alike.
      kind: int16 position among the kinds of the log's spec; None where it does not matter.
      negatives: `[events, max_negatives]` digests of items that were not chosen, see `negatives`;
        None where none are listed.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    query: np.ndarray | None = None
    weight: np.ndarray | None = None
    kind: np.ndarray | None = None
    negatives: np.ndarray | None = None


class Pairs(NamedTuple):
    """Ordered pairs as columns `[pairs]`.

    Attributes:
      query: digests of the seeds, uint64.
      item: digests of the candidates, uint64.
      divider: what the split goes by, int64: the time, or a digest of what stays together.
      weight: float32; None where all weigh alike.
      negatives: those of the event, see `Events`.
    """

    query: np.ndarray
    item: np.ndarray
    divider: np.ndarray
    weight: np.ndarray | None = None
    negatives: np.ndarray | None = None


class Keys(NamedTuple):
    """Distinct names `[keys]` and their digests, uint64."""

    names: list[str]
    digests: np.ndarray


def join(batches: Iterable[Pairs]) -> Pairs:
    """Joins columns of pairs; there may be none."""
    pairs = concatenate(Pairs, batches)
    return pairs._replace(divider=pairs.divider.astype(np.int64, copy=False))


def make_pairs(
    rule: splits.SplitRule,
    *,
    query: np.ndarray,
    item: np.ndarray,
    time: np.ndarray,
    user: np.ndarray,
    weight: np.ndarray | None = None,
    negatives: np.ndarray | None = None,
) -> Pairs:
    """Puts the divider of a split, one of `SPLITS`, to pairs; all columns `[pairs]`."""
    if rule.by == BY_TIME:
        return Pairs(query, item, time, weight, negatives)
    if rule.by == BY_USER:
        together = user
    elif rule.by == BY_ITEM:
        together = splits.later_of(query, item, rule)
    else:
        together = splits.pair_digests(query, item)
    return Pairs(query, item, together.view(np.int64), weight, negatives)


def number_pairs(pairs: Pairs) -> tuple[Pairs, np.ndarray]:
    """Sorts pairs, and gives each a digest of its own.

    Pairs of the same two items are told apart by how many of them come before, so that they
    are scattered like others where digests make a random order.

    Args:
      pairs: all pairs of some items, in any order.

    Returns:
      The pairs by seed, candidate, divider, weight and negatives, and digests `[pairs]` uint64.
    """
    last = sort_keys(pairs.negatives)
    last += [] if pairs.weight is None else [pairs.weight]
    pairs = take(pairs, np.lexsort((*last, pairs.divider, pairs.item, pairs.query)))
    same = splits.pair_digests(pairs.query, pairs.item)
    starts = run_starts(same)
    lengths = np.diff(np.append(starts, len(same)))
    nth = np.arange(len(same)) - np.repeat(starts, lengths)
    return pairs, splits.pair_digests(same, nth.astype(np.uint64))


def parse_duration(text: str) -> int:
    """Microseconds in a duration such as `1d`, `12h`, `30min`, `45s` or `1w`.

    Raises:
      InputError: for anything else, and for nothing.
    """
    match = _DURATION.fullmatch(text.strip())
    microseconds = round(float(match[1]) * _SECONDS[match[2]] * 1e6) if match else 0
    if microseconds <= 0 or microseconds > times.MAX_SECONDS * 1e6:
        raise InputError(
            f"a duration is a positive number with s, min, h, d or w, like 1d or 12h (got {text!r})"
        )
    return microseconds


def digests(coded: pa.DictionaryArray) -> tuple[np.ndarray, Keys]:
    """Digests of a column of text, uint64 `[rows]`, and the distinct names in it."""
    names = tables.one_line(coded.dictionary).to_pylist()
    distinct = splits.text_digests(names)
    return distinct[np.asarray(coded.indices)], Keys(names, distinct)


def read_events(
    rows: tables.Rows, log: LogSpec
) -> tuple[Events, dict[str, Keys], list[tables.BadRecord]]:
    """Reads a piece of a log.

    Args:
      rows: the log's records, with the columns that are wanted.
      log: what the columns mean.

    Returns:
      The events, the names of their items and users by role, and the records that are no events.
    """
    is_history = log.kind == HISTORY
    named = {"item": log.item} if is_history else {"query": log.seed, "item": log.candidate}
    named |= {USER: log.user}
    size = len(rows.lines)
    usable = np.ones(size, bool)
    bad = list(rows.bad)

    def refuse(reasons: Mapping[int, str]) -> None:
        bad.extend(rows.bad_records({row: why for row, why in reasons.items() if usable[row]}))
        usable[list(reasons)] = False

    columns = {USER: np.zeros(size, np.uint64), "time": np.zeros(size, np.int64)}
    keys = {}
    for role, column in named.items():
        if column not in rows.columns:
            continue
        coded = pc.dictionary_encode(tables.texts(rows.columns[column]))
        refuse(unusable_keys(coded, column))
        columns[role], keys[role] = digests(coded)
    if log.timestamp in rows.columns:
        moments = rows.columns[log.timestamp]
        columns["time"], is_time = times.timestamps(moments, log.timestamp_unit)
        refuse(_no_times(moments, np.flatnonzero(~is_time), log.timestamp))
    if log.kinds:
        columns["kind"] = read_kinds(rows.columns[log.kind_column], list(log.kinds))
    if log.has_weights:
        weight = np.ones(size)
        if log.weight:
            weight, no_weights = read_weights(rows.columns[log.weight], log.weight)
            refuse(no_weights)
        if log.kinds:
            # A kind that is not listed has position -1; its weight does not matter.
            weight = weight * np.array([*log.kinds.values(), 0.0])[columns["kind"]]
        columns["weight"] = np.minimum(weight, MAX_NUMBER).astype(np.float32)
    if log.negatives:
        listed, no_lists = read_listed(rows, log)
        refuse(no_lists)
        is_listed = usable & (columns["kind"] >= 0) if log.kinds else usable
        own = [columns[role] for role in ("item", "query") if role in columns]
        columns["negatives"] = first_negatives(listed, is_listed, own, log.max_negatives)
    return Events(**{role: column[usable] for role, column in columns.items()}), keys, bad


def of_listed_kinds(events: Events, log: LogSpec) -> Events:
    """The events that count; those of other kinds are left out."""
    if events.kind is None:
        return events
    events = take(events, events.kind >= 0)
    return events if log.kind_feature else events._replace(kind=None)


def _no_times(column: pa.Array, rows: np.ndarray, name: str) -> dict[int, str]:
    """Why values of a time column cannot be used, by row; `rows` are theirs."""
    values = tables.texts(column.take(pa.array(rows))).to_pylist()
    return {
        row: f"{name} is no time: {tables.shown(value)}"
        for row, value in zip(rows.tolist(), values, strict=True)
    }


def first_events(events: Events) -> Events:
    """Each user's first event with each item, or of each kind with it, by user and time.

    Of several at one moment the heaviest counts, of equally heavy ones that with most negatives,
    then by the digests of these.
    """
    last = sort_keys(events.negatives)
    last += [] if events.weight is None else [-events.weight]
    kinds = [] if events.kind is None else [events.kind]
    order = np.lexsort((*last, events.time, *kinds, events.item, events.user))
    events = take(events, order)
    first = np.ones(len(events.user), bool)
    first[1:] = (events.user[1:] != events.user[:-1]) | (events.item[1:] != events.item[:-1])
    if events.kind is not None:
        first[1:] |= events.kind[1:] != events.kind[:-1]
    events = take(events, first)
    # Items of the same moment go by digest, so that the order of the input never shows.
    kinds = [] if events.kind is None else [events.kind]
    return take(events, np.lexsort((*kinds, events.item, events.time, events.user)))


def run_starts(values: np.ndarray) -> np.ndarray:
    """Where runs of equal values start, `[runs]`."""
    changes = np.ones(len(values), bool)
    changes[1:] = values[1:] != values[:-1]
    return np.flatnonzero(changes)
