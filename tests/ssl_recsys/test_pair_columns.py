"""Optional columns of pairs: from arrays to batches, and weights in training."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from data_prep import encode
from data_prep.write_arrays import write_arrays
from ssl_recsys import schema
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.errors import InputError
from ssl_recsys.features import Column
from tests import small_dataset
from tests.ssl_recsys import commands


def of_rows(query: np.ndarray, item: np.ndarray) -> np.ndarray:
    """A weight of each pair that depends on its rows."""
    return ((3 * query + item) % 4).astype(np.float32) / 2


def test_batches_have_the_weights_of_their_pairs(tmp_path: pathlib.Path) -> None:
    info = small_dataset.write(tmp_path, weight=of_rows)
    assert info.pair_columns == {"weight": 1}
    dataset = Dataset(tmp_path)
    assert dataset.info.pair_columns == {"weight": 1}
    mean = of_rows(*dataset.pairs(schema.TRAIN)).mean()
    pairs = dataset.training_pairs(batch_size=64, seed=0)
    for batch in pairs.epoch(0).as_numpy_iterator():
        query_row = batch.query["id"][:, 0] - 1  # training items have distinct ids
        expected = of_rows(query_row, batch.item_row) / mean
        np.testing.assert_allclose(batch.columns["weight"], expected, rtol=1e-6)
    # Weights do not change how often an item is drawn.
    np.testing.assert_array_equal(
        pairs.item_counts, np.bincount(dataset.pairs(schema.TRAIN).item_row, minlength=120)
    )


def test_columns_of_several_values_stay_with_their_pairs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(schema.OPTIONAL_PAIR_COLUMNS, "others", Column("others", "int64", (None,)))
    rows = np.arange(700) % 5
    item = encode.Item("k", "", 0, {"id": [1], "words": [], "tags": [], "quality": [0.0, 1.0]})
    pairs = dict.fromkeys(schema.PAIR_SPLITS, (rows, (rows + 1) % 5))
    columns = {"others": np.stack([rows + 10, rows + 20], axis=1), "weight": rows + 0.5}
    write_arrays(
        str(tmp_path),
        "small",
        [item._replace(key=f"k{row}") for row in range(5)],
        pairs,
        small_dataset.SPECS,
        pair_columns=dict.fromkeys(pairs, columns),
    )
    dataset = Dataset(tmp_path)
    assert dataset.info.pair_columns == {"others": 2, "weight": 1}
    for batch in dataset.training_pairs(batch_size=64, seed=0).epoch(0).as_numpy_iterator():
        query_row = (batch.item_row - 1) % 5
        others = np.stack([query_row + 10, query_row + 20], axis=1)
        np.testing.assert_array_equal(batch.columns["others"], others)
        np.testing.assert_allclose(batch.columns["weight"], (query_row + 0.5) / 2.5, rtol=1e-6)


def test_pairs_without_weights_are_as_ever(data_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert "pair_columns" not in json.loads((data_dir / schema.DATASET_FILE).read_text())
    small_dataset.write(tmp_path, weight=lambda query, item: np.ones(len(query)))
    content = json.loads((tmp_path / schema.DATASET_FILE).read_text())
    assert content.pop("pair_columns") == {"weight": 1}
    assert content == json.loads((data_dir / schema.DATASET_FILE).read_text())


def test_equal_weights_train_as_none(data_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    small_dataset.write(tmp_path / "data", weight=lambda query, item: np.full(len(query), 0.1))
    histories = []
    for name, directory in (("plain", data_dir), ("weighted", tmp_path / "data")):
        arguments = ("--method=fd", "--symmetric_loss", "--max_epochs=2")
        commands.train(*commands.small_run(directory, tmp_path / name, *arguments))
        history = json.loads((tmp_path / name / "history.json").read_text())
        histories.append([{**epoch, "seconds": 0} for epoch in history])
    assert histories[0] == histories[1]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (lambda query, item: np.where(item % 9, 1.0, np.nan), "pairs without a weight"),
        (lambda query, item: np.where(item % 9, 1.0, -0.5), "below 0"),
        (lambda query, item: np.ones(len(query) // 2), "pairs without a weight"),
        (lambda query, item: np.zeros(len(query)), "all training pairs of .* weigh 0"),
    ],
)
def test_weights_that_nothing_can_be_learnt_from(
    tmp_path: pathlib.Path, weights, message: str
) -> None:
    small_dataset.write(tmp_path, weight=weights)
    with pytest.raises(InputError, match=message):
        Dataset(tmp_path).training_pairs(batch_size=64, seed=0)


@pytest.mark.parametrize("wanted", [1, 2, 3])
def test_batches_have_the_negatives_of_their_pairs(shown_dir: pathlib.Path, wanted: int) -> None:
    dataset = Dataset(shown_dir)
    assert dataset.info.pair_columns == {"negatives": 3}
    features = dataset.catalog(schema.ITEM).features
    pairs = dataset.training_pairs(batch_size=64, seed=0, hard_negatives=wanted)
    plain = dataset.training_pairs(batch_size=64, seed=0)
    for batch, same in zip(
        pairs.epoch(0).as_numpy_iterator(), plain.epoch(0).as_numpy_iterator(), strict=True
    ):
        np.testing.assert_array_equal(batch.item_row, same.item_row)
        assert not same.shown
        assert not batch.columns
        (shown,) = batch.shown
        query_row = batch.query["id"][:, 0] - 1
        expected = small_dataset.negatives(query_row, batch.item_row)[:, :wanted]
        np.testing.assert_array_equal(shown.is_there, expected >= 0)
        for name, values in features.items():
            of_pairs = shown.features[name].reshape(64, wanted, -1)
            np.testing.assert_array_equal(of_pairs[shown.is_there], values[expected[expected >= 0]])
    last = next(pairs.epoch(0, pairs.steps_per_epoch - 1).as_numpy_iterator())
    tf.nest.map_structure(np.testing.assert_array_equal, last, batch)


def test_a_column_of_one_negative_lies_flat(tmp_path: pathlib.Path) -> None:
    small_dataset.write(tmp_path, negatives=lambda q, i: small_dataset.negatives(q, i)[:, :1])
    pairs = Dataset(tmp_path).training_pairs(batch_size=64, seed=0, hard_negatives=1)
    (shown,) = next(pairs.epoch(0).as_numpy_iterator()).shown
    assert shown.is_there.shape == (64, 1)


def test_workers_share_hard_negatives(shown_dir: pathlib.Path) -> None:
    pairs = Dataset(shown_dir).training_pairs(batch_size=64, seed=0, hard_negatives=2)
    parts = [
        list(pairs.epoch(0, 0, tf.distribute.InputContext(2, worker, 4)).as_numpy_iterator())
        for worker in range(2)
    ]
    for step, batch in enumerate(pairs.epoch(0).as_numpy_iterator()):
        replicas = [*parts[0][2 * step : 2 * step + 2], *parts[1][2 * step : 2 * step + 2]]
        assert [replica.shown[0].is_there.shape for replica in replicas] == [(16, 2)] * 4
        joined = tf.nest.map_structure(lambda *parts: np.concatenate(parts), *replicas)
        tf.nest.map_structure(np.testing.assert_array_equal, joined, batch)


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        ("data_dir", 1, "--hard_negatives=1, but .* has no negatives: .*--negatives_column"),
        ("shown_dir", 4, "--hard_negatives=4, but .* has at most 3 .*--max_negatives=4"),
    ],
)
def test_negatives_that_are_not_there_are_refused(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path, name: str, wanted: int, message: str
) -> None:
    directory = request.getfixturevalue(name)
    flags = (f"--hard_negatives={wanted}", "--max_epochs=1")
    with pytest.raises(InputError, match=message):
        commands.train(*commands.small_run(directory, tmp_path / "run", *flags))


@pytest.mark.parametrize(
    "negatives",
    [
        lambda query, item: np.full((len(query), 2), 120),
        lambda query, item: np.full((len(query), 2), -2),
        lambda query, item: np.full((len(query) // 2, 2), 3),
    ],
)
def test_negatives_that_are_no_items_are_refused(tmp_path: pathlib.Path, negatives) -> None:
    small_dataset.write(tmp_path, negatives=negatives)
    with pytest.raises(InputError, match="make the dataset again"):
        Dataset(tmp_path).training_pairs(batch_size=64, seed=0, hard_negatives=1)


def test_training_without_them_is_as_ever(
    data_dir: pathlib.Path, shown_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    histories = {}
    for name, directory, more in (
        ("plain", data_dir, ()),
        ("unused", shown_dir, ()),
        ("used", shown_dir, ("--hard_negatives=3",)),
    ):
        flags = ("--method=fd", "--max_epochs=2", *more)
        commands.train(*commands.small_run(directory, tmp_path / name, *flags))
        history = json.loads((tmp_path / name / "history.json").read_text())
        histories[name] = [{**epoch, "seconds": 0} for epoch in history]
    assert histories["plain"] == histories["unused"]
    # More candidates, and so a larger loss, which still falls.
    first, last = (epoch["main"] for epoch in histories["used"])
    assert first > histories["plain"][0]["main"]
    assert last < first


def test_unknown_columns_are_refused(data_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    content = json.loads((data_dir / schema.DATASET_FILE).read_text())
    (tmp_path / schema.DATASET_FILE).write_text(
        json.dumps(content | {"pair_columns": {"colour": 1}})
    )
    with pytest.raises(InputError, match="pair_columns: unknown field 'colour'"):
        schema.read_dataset_info(tmp_path)
