"""Vectors of titles, which another model made: from tables to rows by shard, joined with items.

A row is a title and its vector. Titles are normalised as those of links are; redirects are not
followed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np

from data_prep import problems, tables, vectors
from data_prep.counting import count
from data_prep.input_files import InputFile, find_files
from data_prep.rows import place_of, places
from data_prep.shards import Keyed, by_shard, concatenate, find, take
from data_prep.spill import Spill
from data_prep.splits import text_digests
from data_prep.wiki.sites import ARTICLE, Site
from data_prep.wiki.titles import clean_title, is_legal
from ssl_recsys.errors import InputError

COLUMNS = TITLE, VECTOR = "title", "vector"
_FLAG = "--title_vectors"


class VectorRows(NamedTuple):
    """Rows of tables as columns.

    Attributes:
      digests: of the titles, uint64.
      places: see `rows.places`.
      vectors: `[rows, size]` float32.
    """

    digests: np.ndarray
    places: np.ndarray
    vectors: np.ndarray


@dataclasses.dataclass(frozen=True)
class TitleVectors:
    """Tables of titles and vectors, looked into.

    Attributes:
      files: the tables.
      size: numbers of a vector.
      site: the title rules of the wiki.
    """

    files: tuple[InputFile, ...]
    size: int
    site: Site


def find_vectors(named: str, site: Site) -> TitleVectors | None:
    """The tables that a comma list of paths and globs names, None if it is empty.

    Raises:
      InputError: if there are none, or one is not in Parquet or JSON lines, lacks a column, or
        holds no vector.
    """
    if not named:
        return None
    files = find_files(named, _FLAG)
    paths = [file.path for file in files]
    vectors.check_formats(_FLAG, paths, "give the vectors in JSON lines or Parquet")
    for path in paths:
        names = tables.column_names(path)
        for column in COLUMNS:
            if column not in names:
                raise InputError(
                    f"{_FLAG}: {path} has no column {column!r}; there are {', '.join(names)}. Name "
                    f"the columns {' and '.join(COLUMNS)}"
                )
    size = vectors.size_of_column(_FLAG, VECTOR, paths, tables.DEFAULT_TEXT)
    return TitleVectors(tuple(files), size, site)


class ReadVectors(beam.PTransform):
    """Reads the tables to (shard of the title, VectorRows), vectors being of length 1.

    Applied to a pipeline.

    Args:
      found: the tables.
      num_shards: how many shards the digests divide into.
      spill: takes the columns.
      directory: the dataset directory being written, see `problems`.
    """

    def __init__(self, found: TitleVectors, num_shards: int, spill: Spill, directory: str):
        super().__init__()
        self._found = found
        self._num_shards = num_shards
        self._spill = spill
        self._directory = directory

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Cuts the files, spreads the pieces over the workers, parses each."""
        paths = [file.path for file in self._found.files]
        return (
            pipeline
            | "VectorFiles" >> beam.Create(list(enumerate(paths)))
            | "CutVectors" >> beam.FlatMap(_numbered_pieces, self._directory)
            | "SpreadVectors" >> beam.Reshuffle()
            | "ParseVectors"
            >> beam.FlatMap(_read_rows, self._found, self._num_shards, self._spill, self._directory)
        )


def _numbered_pieces(
    numbered: tuple[int, str], directory: str
) -> Iterator[tuple[int, tables.Piece]]:
    number, path = numbered
    for piece in problems.pieces(path, directory, tables.DEFAULT_TEXT):
        yield number, piece


def _read_rows(
    numbered: tuple[int, tables.Piece],
    found: TitleVectors,
    num_shards: int,
    spill: Spill,
    directory: str,
) -> Iterator[Keyed]:
    number, piece = numbered
    with problems.reported(directory):
        rows = tables.parse(piece, COLUMNS, [VECTOR])
        values, faults = vectors.of_column(rows.columns[VECTOR], VECTOR, found.size)
        _refuse_bad(rows, faults)
    titles = [
        normal_title(title, found.site) for title in tables.texts(rows.columns[TITLE]).to_pylist()
    ]
    has_vector = values.any(axis=1)
    has_title = np.array([bool(title) for title in titles], bool)
    count("title_vectors_read", len(titles))
    count("title_vectors_missing", (~has_vector).sum())
    count("title_vectors_invalid_title", (has_vector & ~has_title).sum())
    columns = VectorRows(
        text_digests(titles),
        places(number, rows.lines),
        vectors.of_length_1(values),
    )
    columns = take(columns, has_vector & has_title)
    return spill.put_all(by_shard(columns.digests, num_shards, columns))


def normal_title(text: str, site: Site) -> str:
    """An article's title in the form that pages have, empty if no article can have it."""
    title = clean_title(text)
    return site.fix_case(title) if is_legal(title) else ""


def as_stored(site: Site) -> Site:
    """The rules where titles have their case already, as in SQL tables."""
    return dataclasses.replace(site, case_sensitive=site.case_sensitive | {ARTICLE})


def _refuse_bad(rows: tables.Rows, faults: vectors.Faults) -> None:
    bad = [*rows.bad, *rows.bad_records(faults)]
    if bad:
        shown = problems.CountAndShow()
        found = shown.extract_output(shown.merge_accumulators([(len(bad), bad)]))
        raise InputError(
            f"bad records of {_FLAG}: {len(bad):,}\n{problems.listing(found)}\n"
            "Mend them, or leave them out; items without a vector get zeros."
        )


def join(
    batches: Iterable[Any], digests: np.ndarray, found: TitleVectors, directory: str
) -> np.ndarray:
    """The vectors of a shard's items, `[items, size]` float32, zeros for items without one.

    Args:
      batches: the shard's VectorRows, or what a `Spill` gave for them.
      digests: of the items' titles, `[items]`, ascending and each once.
      found: the tables.
      directory: the dataset directory being written, see `problems`.

    Raises:
      InputError: if a title comes twice.
    """
    joined = np.zeros((len(digests), found.size), np.float32)
    batches = list(batches)
    if not batches:
        count("items_without_title_vector", len(digests))
        return joined
    rows = concatenate(VectorRows, batches)
    order = np.lexsort((rows.places, rows.digests))
    ordered = rows.digests[order]
    repeated = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(repeated):
        paths = [file.path for file in found.files]
        first, second = (
            "{}:{}".format(*place_of(int(rows.places[at]), paths))
            for at in order[repeated[0] : repeated[0] + 2]
        )
        with problems.reported(directory):
            raise InputError(
                f"{_FLAG}: {first} and {second} have "
                "the same title (underscores, spaces and the first letter's case make no "
                "difference); leave out one"
            )
    position, has_item = find(rows.digests, digests)
    joined[position[has_item]] = rows.vectors[has_item]
    count("title_vectors_of_no_item", (~has_item).sum())
    count("items_without_title_vector", len(digests) - has_item.sum())
    return joined
