"""Records and metadata against TensorFlow's and TFDS's own writers."""

import numpy as np
import pytest

from data_prep import encode, tf_records, tfds_metadata
from ssl_recsys.features import Column

tf = pytest.importorskip("tensorflow")
tfds = pytest.importorskip("tensorflow_datasets")

COLUMNS = [
    Column("zähler", "int64"),
    Column("key", "string"),
    Column("bag", "int64", (None,)),
    Column("numbers", "float32", (2,)),
    Column("no_numbers", "float32", (None,)),
]
VALUES = [[-3], ["größe".encode()], [1, 300, 2**40], [0.1, -1e38], []]


def test_records_are_tensorflows_own_bytes(tmp_path):
    example = tf.train.Example()
    for column, values in zip(COLUMNS, VALUES, strict=True):
        feature = example.features.feature[column.name]
        kinds = {"int64": "int64_list", "float32": "float_list", "string": "bytes_list"}
        getattr(feature, kinds[column.dtype]).value.extend(values)
    record = tf_records.example(COLUMNS, VALUES)
    assert record == example.SerializeToString(deterministic=True)

    records = [record, b"", b"x" * 3_000_000, record]
    with tf.io.TFRecordWriter(str(tmp_path / "tf")) as writer:
        for each in records:
            writer.write(each)
    stats = encode.write_records(str(tmp_path), "f", "s", 0, 1, records)
    assert (tmp_path / stats.name).read_bytes() == (tmp_path / "tf").read_bytes()
    assert stats.num_records == 4
    assert stats.num_bytes == sum(map(len, records))
    assert stats.size == (tmp_path / "tf").stat().st_size


def tfds_feature(column):
    dtype = np.dtype(column.dtype).type if column.dtype != "string" else None
    one = tfds.features.Scalar(dtype) if dtype else tfds.features.Text()
    if not column.shape:
        return one
    if column.shape == (None,):
        return tfds.features.Sequence(one)
    return tfds.features.Tensor(shape=column.shape, dtype=dtype)


def test_metadata_are_tfds_own_bytes(tmp_path):
    splits = [
        tfds_metadata.Split("train", 123456789012, [1000, 0, 7]),
        tfds_metadata.Split("empty", 0, [0]),
    ]
    template = tfds.core.ShardedFileTemplate(
        data_dir=tmp_path, dataset_name="pairs", filetype_suffix="tfrecord"
    )
    infos = []
    for split in splits:
        for index in range(len(split.shard_lengths)):  # TFDS reads the layout off the names
            name = encode.file_name("pairs", split.name, index, len(split.shard_lengths))
            (tmp_path / name.removeprefix("pairs/")).touch()
        infos.append(
            tfds.core.SplitInfo(
                name=split.name,
                shard_lengths=list(split.shard_lengths),
                num_bytes=split.num_bytes,
                filename_template=template.replace(split=split.name),
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=tmp_path,
        features=tfds.features.FeaturesDict({c.name: tfds_feature(c) for c in COLUMNS}),
        split_infos=infos,
        filename_template=template,
        check_data=False,
        description="The pairs of a recommendation dataset.",
    )
    info = (tmp_path / "dataset_info.json").read_text("utf-8")
    assert tfds_metadata.info_text("pairs", splits) == info
    features = (tmp_path / "features.json").read_text("utf-8")
    assert tfds_metadata.features_text(COLUMNS) == features
