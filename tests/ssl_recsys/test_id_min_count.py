"""Ids of few training pairs: who counts as one, and that they are as missing everywhere."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.statistics import id_counts
from ssl_recsys.errors import InputError
from ssl_recsys.features import Bag, Categorical
from ssl_recsys.model.look_up import FeatureEmbeddings
from ssl_recsys.schema import ITEM, QUERY
from ssl_recsys.training.export import ENCODED, load_export, load_tower
from tests.ssl_recsys import commands

# Pairs of each id; id 0 has none of its own.
COUNTS = np.array([5, 9, 3, 2, 0])
FEATURES = {
    ITEM: (Categorical("id", vocab_size=5), Categorical("maker", vocab_size=5)),
    QUERY: (Bag("history", vocab_size=5, max_values=3, table="id"),),
}


def test_a_pair_counts_for_its_query_and_its_item(apps_dir: pathlib.Path) -> None:
    dataset = Dataset(apps_dir)
    pairs = dataset.training_pairs(batch_size=2, seed=0)
    (found,) = id_counts(dataset, pairs.row_counts).values()
    tokens = (apps_dir / "vocab" / "id.txt").read_text().splitlines()
    # a b, a b, a x, b x, d a; the two apps that are in no training pair have id 0.
    assert dict(zip(tokens, found[1:], strict=True)) == {"a": 4, "b": 3, "x": 2, "d": 1}


@pytest.mark.parametrize("static_shapes", [False, True])
def test_such_ids_are_looked_up_as_missing(static_shapes: bool) -> None:
    tf.keras.utils.set_random_seed(1)
    look_up = FeatureEmbeddings(
        FEATURES, 4, static_shapes=static_shapes, id_counts={"id": COUNTS}, id_min_count=3
    )
    ids = tf.range(5)[:, tf.newaxis]
    batches = [(ITEM, {"id": ids, "maker": ids}), (QUERY, {"history": tf.constant([[3, 2, 1]])})]
    table, makers = (look_up.tables[name].numpy() for name in ("id", "maker"))

    def found() -> list[np.ndarray]:
        item, query = look_up(batches)
        np.testing.assert_array_equal(item.activations["maker"], makers)
        return [item.activations["id"].numpy(), query.activations["history"].numpy()]

    of_ids, of_history = found()
    np.testing.assert_array_equal(of_ids, table[[0, 1, 2, 0, 0]])
    np.testing.assert_allclose(of_history, table[[1, 2]].mean(axis=0, keepdims=True), rtol=1e-6)
    look_up.keep_ids(4)
    of_ids, of_history = found()
    np.testing.assert_array_equal(of_ids, table[[0, 1, 0, 0, 0]])
    np.testing.assert_array_equal(of_history, table[[1]])
    look_up.keep_ids(0)
    np.testing.assert_array_equal(found()[0], table)


def test_a_run_trains_and_exports_without_them(
    apps_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    flags = ("--method=fd", "--weight_averaging=0.5", "--id_min_count=3", "--max_epochs=2")
    commands.train(*commands.small_run(apps_dir, tmp_path / "run", "--batch_size=4", *flags))
    exported = load_export(tmp_path / "run")
    catalog = exported.catalog(ITEM)
    tower = load_tower(exported.path, ITEM)[ENCODED]
    features = {name: tf.constant(values) for name, values in catalog.features.items()}
    with_id = tower(features)["embedding"].numpy()
    without = tower(features | {"id": tf.zeros_like(features["id"])})["embedding"].numpy()
    np.testing.assert_allclose(with_id, exported.item_embeddings, rtol=1e-5, atol=1e-6)
    counts = np.abs(with_id - without).max(axis=1) > 1e-4
    assert {key for key, one in zip(catalog.keys, counts, strict=True) if one} == {"a", "b"}
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert config["tower"]["id_min_count"] == 3


def test_a_dataset_without_an_identity_is_refused(
    data_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    message = "--id_min_count needs a categorical feature made from the column of the keys; small"
    with pytest.raises(InputError, match=message):
        commands.train(*commands.small_run(data_dir, tmp_path / "run", "--id_min_count=2"))
    assert not (tmp_path / "run").exists()
