"""The contents of a dataset directory, read by TensorFlow Datasets."""

from ssl_recsys import schema


def read(data_dir):
    """Catalog records by key, and sorted pairs of keys by split."""
    items = list(_records(data_dir, schema.CATALOG_DIR, schema.CATALOG_SPLIT))
    assert [item["row"] for item in items] == list(range(len(items)))
    keys = [item["key"].decode() for item in items]
    pairs = {
        split: sorted(
            (keys[query], keys[item])
            for record in _records(data_dir, schema.PAIRS_DIR, split)
            for query, item in zip(record["query_row"], record["item_row"], strict=True)
        )
        for split in schema.PAIR_SPLITS
    }
    return dict(zip(keys, items, strict=True)), pairs


def weighted_pairs(data_dir):
    """Sorted (query key, item key, weight) by split; of pairs without weights all are 1."""
    keys = _keys(data_dir)
    return {
        split: sorted(
            (keys[schema.QUERY][query], keys[schema.ITEM][item], float(weight))
            for record in _records(data_dir, schema.PAIRS_DIR, split)
            for query, item, weight in zip(
                record["query_row"],
                record["item_row"],
                record.get("weight", [1.0] * len(record["item_row"])),
                strict=True,
            )
        )
        for split in schema.PAIR_SPLITS
    }


def negatives_of_pairs(data_dir):
    """Sorted (query key, item key, negatives' keys) by split; -1 is None."""
    keys = _keys(data_dir)
    items = {-1: None} | dict(enumerate(keys[schema.ITEM]))
    found = {split: [] for split in schema.PAIR_SPLITS}
    for split, pairs in found.items():
        for record in _records(data_dir, schema.PAIRS_DIR, split):
            shown = record[schema.NEGATIVES].reshape(len(record["item_row"]), -1)
            for query, item, negatives in zip(
                record["query_row"], record["item_row"], shown.tolist(), strict=True
            ):
                of_pair = tuple(items[row] for row in negatives)
                pairs.append((keys[schema.QUERY][query], keys[schema.ITEM][item], of_pair))
    return {split: sorted(pairs, key=str) for split, pairs in found.items()}


def _records(data_dir, folder, split):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(data_dir / folder)
    return tfds.as_numpy(builder.as_dataset(split=split))


def _keys(data_dir):
    """The keys of each side's catalog, by row."""
    info = schema.read_dataset_info(data_dir)
    return {
        side: [
            record["key"].decode()
            for record in _records(data_dir, info.catalog_dir(side), info.catalog_split(side))
        ]
        for side in schema.SIDES
    }
