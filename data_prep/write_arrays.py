"""Writes dataset directories from arrays in memory, without Beam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from data_prep import encode
from data_prep.encode import FileStats, Item, num_files
from data_prep.write import write_info, write_vocabulary
from ssl_recsys import schema
from ssl_recsys.features import FeatureSpec


def write_arrays(
    directory: str,
    name: str,
    items: Sequence[Item],
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]],
    features: Sequence[FeatureSpec],
    vocabularies: Mapping[str, Sequence[str]] | None = None,
    queries: tuple[Sequence[Item], Sequence[FeatureSpec]] | None = None,
    pair_columns: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> schema.DatasetInfo:
    """Writes a dataset that is in memory, without Beam.

    Args:
      directory: the dataset directory.
      name: of the dataset.
      items: in row order.
      pairs: query rows and item rows by split, in the order of the files.
      features: the specs.
      vocabularies: tokens in id order by feature, if there are any.
      queries: in row order, and their features; None: a query is an item.
      pair_columns: optional columns of the pairs, `[pairs]` or `[pairs, n]`, by split and then by
        name (`schema.OPTIONAL_PAIR_COLUMNS`); every split has the same ones.
    """
    optional = {split: (pair_columns or {}).get(split, {}) for split in pairs}
    info = schema.DatasetInfo(
        name=name,
        features=tuple(features),
        num_items=len(items),
        num_pairs={split: len(query_row) for split, (query_row, _) in pairs.items()},
        queries=schema.QueryCatalog(len(queries[0]), tuple(queries[1])) if queries else None,
        pair_columns={
            name: values.size // len(values) if len(values) else 1
            for name, values in optional.get(schema.TRAIN, {}).items()
        },
    )
    files = _write_catalog(directory, info, schema.ITEM, items)
    if queries:
        files += _write_catalog(directory, info, schema.QUERY, queries[0])
    for split, (query_row, item_row) in pairs.items():
        count = num_files(len(query_row), encode.PAIRS_PER_FILE)
        for index, part in enumerate(_parts(len(query_row), encode.PAIRS_PER_FILE)):
            columns = {name: values[part] for name, values in optional[split].items()}
            records = encode.pair_records(query_row[part], item_row[part], **columns)
            files.append(
                encode.write_records(directory, schema.PAIRS_DIR, split, index, count, records)
            )
    written = [write_vocabulary(each, directory) for each in (vocabularies or {}).items()]
    write_info(directory, files, written, info)
    return info


def _write_catalog(
    directory: str, info: schema.DatasetInfo, side: str, items: Sequence[Item]
) -> list[FileStats]:
    """Writes the catalog of a side."""
    count = num_files(len(items), encode.ITEMS_PER_FILE)
    place = directory, info.catalog_dir(side), info.catalog_split(side)
    parts = enumerate(_parts(len(items), encode.ITEMS_PER_FILE))
    return [
        encode.write_records(
            *place,
            index,
            count,
            encode.item_records(items[rows], rows.start, info.features_of(side)),
        )
        for index, rows in parts
    ]


def _parts(count: int, size: int) -> list[slice]:
    """Slices of up to `size` entries; a single empty one where there are none."""
    return [slice(start, min(start + size, count)) for start in range(0, max(count, 1), size)]
