"""Negatives of a log's events: items that were shown beside the chosen one and not chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_prep import splits, tables
from data_prep.counting import count
from data_prep.installs.keys import unusable as unusable_keys
from data_prep.installs.log_spec import LogSpec
from data_prep.text_format import CSV, TSV

# Stands where an event has fewer negatives than there is room for; as digest of a key as unlikely
# as any other.
NO_ITEM = np.uint64(0)


class Listed(NamedTuple):
    """The keys that a column lists, as columns `[keys]`, in the order of the rows and of the lists.

    Attributes:
      row: where each is listed, ascending.
      digest: of the key, uint64.
    """

    row: np.ndarray
    digest: np.ndarray


def read_listed(rows: tables.Rows, log: LogSpec) -> tuple[Listed, dict[int, str]]:
    """Reads the column of negatives.

    Args:
      rows: the log's records.
      log: what the columns mean.

    Returns:
      What is listed, blank entries left out; and by row why a value is no list of keys.
    """
    lists, reasons = _lists(rows, log)
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0), np.int64)
    texts = tables.texts(lists.flatten())
    is_key = np.asarray(pc.not_equal(texts, ""), bool)
    row = np.repeat(np.arange(len(lists)), lengths)[is_key]
    coded = pc.dictionary_encode(texts.filter(pa.array(is_key)))
    for place, reason in unusable_keys(coded, log.negatives).items():
        reasons.setdefault(int(row[place]), reason)
    distinct = splits.text_digests(tables.one_line(coded.dictionary).to_pylist())
    return Listed(row, distinct[np.asarray(coded.indices)]), reasons


def _lists(rows: tables.Rows, log: LogSpec) -> tuple[pa.Array, dict[int, str]]:
    """The column as lists of text, and by row why a value is none."""
    column = rows.columns[log.negatives]
    if pa.types.is_list(column.type):
        return column, {}
    if tables.table_format(rows.path) in (CSV, TSV):
        return pc.split_pattern(tables.texts(column), log.negatives_separator), {}
    texts = tables.texts(column).to_pylist()
    reasons = {
        row: f"{log.negatives} must be a list of items' keys: {tables.shown(text)}"
        for row, text in enumerate(texts)
        if text
    }
    return pa.array([[]] * len(texts), pa.list_(pa.string())), reasons


def first_negatives(
    listed: Listed, counts: np.ndarray, own: Sequence[np.ndarray], most: int
) -> np.ndarray:
    """The first negatives of each row, each once; what is dropped is counted.

    Args:
      listed: the keys of all rows.
      counts: `[rows]` bool, whether a row is an event that counts; others get no negative.
      own: digests `[rows]` of items that are no negatives of their row.
      most: how many a row has at most.

    Returns:
      `[rows, most]` digests, uint64, NO_ITEM where there are fewer.
    """
    row, digest = (column[counts[listed.row]] for column in listed)
    count("negatives", len(row))
    is_own = np.zeros(len(row), bool)
    for items in own:
        is_own |= digest == items[row]
    count("negatives_chosen", int(is_own.sum()))
    row, digest = row[~is_own], digest[~is_own]
    order = np.lexsort((digest, row))  # stable: of equal ones the first stays in front
    is_first = np.ones(len(row), bool)
    is_first[order[1:]] = (np.diff(row[order]) > 0) | (digest[order[1:]] != digest[order[:-1]])
    count("negatives_repeated", int((~is_first).sum()))
    row, digest = row[is_first], digest[is_first]
    nth = np.arange(len(row)) - np.searchsorted(row, row)
    count("negatives_over_limit", int((nth >= most).sum()))
    row, digest, nth = row[nth < most], digest[nth < most], nth[nth < most]
    found = np.full((len(counts), most), NO_ITEM)
    found[row, nth] = digest
    return found


def sort_keys(negatives: np.ndarray | None) -> list[np.ndarray]:
    """What `np.lexsort` sorts rows by: those with most negatives first, then by the digests.

    Args:
      negatives: `[rows, most]` digests; None: nothing to sort by.
    """
    if negatives is None:
        return []
    return [*negatives.T[::-1], -(negatives != NO_ITEM).sum(axis=1)]
