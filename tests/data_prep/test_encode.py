import apache_beam as beam
import numpy as np
import pytest

from data_prep import encode, probe
from data_prep.write import PairBatch, WriteCatalog, WritePairs
from data_prep.write_arrays import write_arrays
from ssl_recsys import manifest, schema
from ssl_recsys.features import Bag, Categorical, Dense

FEATURES = (
    Categorical("name", vocab_size=5),
    Bag("words", vocab_size=9, max_values=3),
    Dense("quality", max_values=2),
)
INFO = schema.DatasetInfo("test", FEATURES, 10, {}, pair_columns={"weight": 1})
GOOD = {"name": [4], "words": [1, 8], "quality": [0.5, 1.0]}


def record(row=0, **values):
    return encode.item_record(
        row=row,
        key=f"k{row}",
        title=f"Títle {row}",
        train_count=row * 2,
        values=GOOD | values,
        features=FEATURES,
    )


@pytest.mark.parametrize(
    "values",
    [
        {"name": [5]},
        {"name": []},
        {"words": [0]},
        {"words": [1, 2, 3, 4]},
        {"quality": [0.5]},
        {"quality": [0.5, float("nan")]},
    ],
)
def test_values_must_fit_the_spec(values):
    with pytest.raises(ValueError, match="do not fit"):
        record(**values)


def weights(query, item):
    return (query + item / 16).astype(np.float32)


def write(directory, monkeypatch, *, reverse=False):
    """A dataset of 10 items and 900 pairs, in files of 4 items and 300 pairs."""
    monkeypatch.setattr(encode, "ITEMS_PER_FILE", 4)
    monkeypatch.setattr(encode, "PAIRS_PER_FILE", 300)
    rng = np.random.default_rng(0)
    split = np.repeat([0, 1, 2], [700, 100, 100]).astype(np.uint8)
    digest = rng.integers(0, 2**63, 900).astype(np.uint64) * np.uint64(2)
    query, item = rng.integers(0, 10, 900), rng.integers(0, 10, 900)
    weight = weights(query, item)
    order = rng.permutation(900) if reverse else np.arange(900)
    pairs = [
        PairBatch(split[part], digest[part], query[part], item[part], weight[part])
        for part in np.array_split(order, 7)
    ]
    items = [
        encode.ItemBatch(rows.start, [record(row) for row in rows])
        for rows in (range(7), range(7, 10))
    ]
    probe.leave(str(directory), [])
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        num_items = pipeline | "NumItems" >> beam.Create([10])
        num_pairs = pipeline | "NumPairs" >> beam.Create([[700, 100, 100]])
        written = (
            pipeline
            | "Items" >> beam.Create(items[::-1] if reverse else items)
            | WriteCatalog(str(directory), num_items),
            pipeline | "Pairs" >> beam.Create(pairs) | WritePairs(str(directory), num_pairs),
        ) | beam.Flatten()
        _ = written | beam.combiners.ToList() | beam.Map(encode_metadata, str(directory))
    return query, item, split


def encode_metadata(files, directory):
    encode.write_metadata(directory, files, INFO)


def test_tfds_reads_what_is_written(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    query, item, split = write(tmp_path, monkeypatch)
    catalog = tfds.builder_from_directory(tmp_path / "catalog")
    assert catalog.info.splits["items"].shard_lengths == [4, 4, 2]
    rows = list(tfds.as_numpy(catalog.as_dataset(split="items")))
    assert [row["row"] for row in rows] == list(range(10))
    assert rows[3]["title"].decode() == "Títle 3"
    assert rows[3]["train_count"] == 6
    assert rows[3]["words"].tolist() == [1, 8]
    assert rows[3]["quality"].tolist() == [0.5, 1.0]

    pairs = tfds.builder_from_directory(tmp_path / "pairs")
    for index, name in enumerate(schema.PAIR_SPLITS):
        records = list(tfds.as_numpy(pairs.as_dataset(split=name)))
        found = np.concatenate([[r["query_row"], r["item_row"]] for r in records], axis=1)
        of_records = np.concatenate([r["weight"] for r in records])
        np.testing.assert_array_equal(of_records, weights(*found))
        mine = split == index
        assert sorted(map(tuple, found.T)) == sorted(zip(query[mine], item[mine], strict=True))
        # Stable random order: no longer as they came in.
        assert found[0].tolist() != query[mine].tolist()
    assert len(pairs.info.splits["train"].shard_lengths) == 3
    some = list(tfds.as_numpy(pairs.as_dataset(split="train[:40%]")))
    assert 0 < sum(len(r["query_row"]) for r in some) < 500


def test_files_do_not_depend_on_the_order_of_the_input(tmp_path, monkeypatch):
    write(tmp_path / "a", monkeypatch)
    write(tmp_path / "b", monkeypatch, reverse=True)
    files = sorted(path for path in (tmp_path / "a").rglob("*.tfrecord*"))
    assert len(files) == 8
    for path in files:
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == other.read_bytes()


def test_arrays_are_written_as_by_a_job(tmp_path, monkeypatch):
    query, item, split = write(tmp_path / "job", monkeypatch)
    items = [encode.Item(f"k{row}", f"Títle {row}", row * 2, GOOD) for row in range(10)]
    pairs = {
        name: (query[split == index], item[split == index])
        for index, name in enumerate(schema.PAIR_SPLITS)
    }
    info = write_arrays(
        str(tmp_path / "arrays"), "plain", items, pairs, FEATURES, {"words": ["b", "é"]}
    )
    manifest.check(tmp_path / "arrays")
    found = schema.read_dataset_info(tmp_path / "arrays")
    assert schema.to_json(found) == schema.to_json(info)
    assert info.num_pairs == {"train": 700, "validation": 100, "test": 100}
    assert schema.vocab_path(tmp_path / "arrays", "words").read_text("utf-8") == "b\né\n"
    for path in (tmp_path / "job" / "catalog").iterdir():
        assert path.read_bytes() == (tmp_path / "arrays" / "catalog" / path.name).read_bytes()
    # The job orders pairs by digest, the other keeps the order given.
    names = {path.name for path in (tmp_path / "job" / "pairs").iterdir()}
    assert names == {path.name for path in (tmp_path / "arrays" / "pairs").iterdir()}
