"""Logs to pairs, in Beam: from files to ordered pairs with a digest each.

Elements are columns of many events (see `shards`). The outcome does not depend on how the files
are cut into pieces, on the number of shards, or on the order in which elements arrive.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import TaggedOutput

from data_prep import problems, splits, tables
from data_prep.counting import count, count_all
from data_prep.installs import histories, logs
from data_prep.installs.counters import EVENTS_OF_OTHER_KINDS, LOG_RECORDS_BAD
from data_prep.installs.log_spec import HISTORY, LogSpec
from data_prep.installs.logs import USER, Events, Keys
from data_prep.shards import Keyed, by_shard, concatenate, take


@dataclasses.dataclass(frozen=True)
class PairOptions:
    """How a log becomes pairs.

    Attributes:
      log: the log's columns.
      columns: those that are read.
      window: microseconds that a seed may be earlier, for histories.
      max_pairs_per_user: 0 for no limit, for histories.
      rule: how the pairs will be split.
      num_shards: how many shards the digests divide into.
      text: how text files are read.
      named_users: give the names of users, too.
    """

    log: LogSpec
    columns: tuple[str, ...]
    window: int
    max_pairs_per_user: int
    rule: splits.SplitRule
    num_shards: int
    text: tables.TextFormat = tables.DEFAULT_TEXT
    named_users: bool = False


class Log(NamedTuple):
    """What `ReadLog` gives.

    Attributes:
      events: of histories (shard of the user, Events), else (shard of the item, Pairs).
      names: (shard of the digest, Keys), the items that the log names; a name may repeat.
      bad: (LOG_RECORDS_BAD, tables.BadRecord) elements.
      users: as `names`, of users; without elements unless they are wanted.
    """

    events: beam.PCollection
    names: beam.PCollection
    bad: beam.PCollection
    users: beam.PCollection


class ReadLog(beam.PTransform):
    """Reads log files, a PCollection of paths, to a `Log`.

    Args:
      options: the columns, and how pairs are made.
      directory: the dataset directory being written, see `problems`.
    """

    def __init__(self, options: PairOptions, directory: str):
        super().__init__()
        self._options = options
        self._directory = directory

    def expand(self, paths: beam.PCollection) -> Log:
        """Cuts the files, spreads the pieces over the workers, parses each."""
        parsed = (
            paths
            | "CutLog" >> beam.FlatMap(problems.pieces, self._directory, self._options.text)
            | "SpreadLog" >> beam.Reshuffle()
            | "ParseLog" >> beam.ParDo(_ReadEvents(self._options, self._directory)).with_outputs()
        )
        return Log(parsed.events, parsed.names, parsed.bad, parsed.users)


class _ReadEvents(beam.DoFn):
    """Parses pieces of a log."""

    def __init__(self, options: PairOptions, directory: str):
        self._options = options
        self._directory = directory

    def start_bundle(self) -> None:
        """Forgets which names have been given out."""
        self._seen: set[int] = set()
        self._seen_users: set[int] = set()

    def process(self, piece: tables.Piece) -> Iterator[TaggedOutput]:
        """Yields the tagged columns of one piece."""
        options = self._options
        lists = (options.log.negatives,) if options.log.negatives else ()
        rows = problems.parse(piece, options.columns, self._directory, lists)
        events, keys, bad = logs.read_events(rows, options.log)
        count("events", len(events.item))
        listed = logs.of_listed_kinds(events, options.log)
        if options.log.kinds:
            count(EVENTS_OF_OTHER_KINDS, len(events.item) - len(listed.item))
        for shard, columns in self._by_shard(listed):
            yield TaggedOutput("events", (shard, columns))
        users = keys.pop(USER, None)
        if users and options.named_users:
            for keyed in self._new_names(users, self._seen_users):
                yield TaggedOutput("users", keyed)
        for names in keys.values():
            for keyed in self._new_names(names, self._seen):
                yield TaggedOutput("names", keyed)
        for record in bad:
            yield TaggedOutput("bad", (LOG_RECORDS_BAD, record))

    def _by_shard(self, events: Events) -> Iterator[Keyed]:
        """The Events of histories by user, or the Pairs of landing pages by item."""
        options = self._options
        if events.query is None:
            yield from by_shard(events.user, options.num_shards, events)
            return
        differ = events.query != events.item
        count("pairs_with_itself", len(differ) - differ.sum())
        events = take(events, differ)
        assert events.query is not None
        pairs = logs.make_pairs(
            options.rule,
            query=events.query,
            item=events.item,
            time=events.time,
            user=events.user,
            weight=events.weight,
            negatives=events.negatives,
        )
        yield from by_shard(pairs.item, options.num_shards, pairs)

    def _new_names(self, keys: Keys, seen: set[int]) -> Iterator[Keyed]:
        """Names that this bundle has not given out yet, by shard."""
        is_new = np.array([digest not in seen for digest in keys.digests.tolist()], bool)
        new = take(keys, is_new)
        seen.update(new.digests.tolist())
        yield from by_shard(new.digests, self._options.num_shards, new)


class MakePairs(beam.PTransform):
    """Turns a log's events to (shard of the item, Pairs) elements."""

    def __init__(self, options: PairOptions):
        super().__init__()
        self._options = options

    def expand(self, events: beam.PCollection) -> beam.PCollection:
        """Groups histories by user; the events of a landing-page log are pairs already."""
        if self._options.log.kind != HISTORY:
            return events
        return (
            events
            | "GroupByUser" >> beam.GroupByKey()
            | "PairHistories" >> beam.FlatMap(_pair_histories, self._options)
        )


def _pair_histories(element: Keyed, options: PairOptions) -> Iterator[Keyed]:
    counters: Counter[str] = Counter()
    parts = histories.history_pairs(
        concatenate(Events, element[1]),
        window=options.window,
        max_pairs_per_user=options.max_pairs_per_user,
        rule=options.rule,
        counters=counters,
    )
    for pairs in parts:
        yield from by_shard(pairs.item, options.num_shards, pairs)
    count_all(counters)
