import pathlib

import numpy as np
import pytest
import tensorflow as tf

from ssl_recsys.data.batch import Batch
from ssl_recsys.data.catalog import Catalog
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.schema import ITEM, SIDES


@pytest.fixture(scope="module")
def dataset(data_dir: pathlib.Path) -> Dataset:
    return Dataset(data_dir)


@pytest.fixture(scope="module")
def catalog(dataset: Dataset) -> Catalog:
    return dataset.catalog(ITEM)


def rows_of(batches: list[Batch]) -> np.ndarray:
    return np.concatenate([batch.item_row for batch in batches])


def test_catalog_arrays(catalog: Catalog) -> None:
    assert catalog.num_items == 120
    assert catalog.keys[7] == "item 7"
    assert catalog.titles[7].startswith("Item 7 of topic")
    np.testing.assert_array_equal(catalog.features["id"][:3, 0], [1, 2, 3])
    assert not catalog.features["id"][100:].any()  # held out
    assert not catalog.features["tags"][::10].any()  # every tenth item has no tags
    np.testing.assert_array_equal(catalog.features["quality"][0], [0.0, 1.0])


def test_epoch_holds_the_training_pairs_once(catalog: Catalog, dataset: Dataset) -> None:
    pairs = dataset.training_pairs(batch_size=1, seed=0)
    _, items = dataset.pairs("train")
    seen = rows_of(list(pairs.epoch(0).as_numpy_iterator()))
    assert pairs.num_pairs == len(items) == len(seen)
    np.testing.assert_array_equal(np.sort(seen), np.sort(items))


def test_batches_join_pairs_with_the_catalog(catalog: Catalog, dataset: Dataset) -> None:
    pairs = dataset.training_pairs(batch_size=64, seed=0)
    known = set(zip(*dataset.pairs("train"), strict=True))
    batch = next(pairs.epoch(0).as_numpy_iterator())
    for name, values in catalog.features.items():
        np.testing.assert_array_equal(batch.item[name], values[batch.item_row])
    # Training items have distinct ids, which name the query's row.
    query_row = batch.query["id"][:, 0] - 1
    assert set(zip(query_row, batch.item_row, strict=True)) <= known


def test_logq_is_the_share_of_the_training_pairs(catalog: Catalog, dataset: Dataset) -> None:
    pairs = dataset.training_pairs(batch_size=64, seed=0)
    batch = next(pairs.epoch(0).as_numpy_iterator())
    shares = catalog.train_count[batch.item_row] / catalog.train_count.sum()
    np.testing.assert_allclose(np.exp(batch.item_log_q), shares, rtol=1e-5)


def test_order_depends_on_seed_and_epoch_alone(catalog: Catalog, dataset: Dataset) -> None:
    def order(seed: int, epoch: int, skip: int = 0) -> np.ndarray:
        pairs = dataset.training_pairs(batch_size=64, seed=seed)
        return rows_of(list(pairs.epoch(epoch, skip).as_numpy_iterator()))

    np.testing.assert_array_equal(order(0, 2), order(0, 2))
    np.testing.assert_array_equal(order(0, 2)[5 * 64 :], order(0, 2, skip=5))
    assert (order(0, 2) != order(0, 3)).mean() > 0.5
    assert (order(0, 2) != order(1, 2)).mean() > 0.5


def test_an_epoch_of_several_passes_has_each_pair_so_often(dataset: Dataset) -> None:
    def epochs(passes: int, numbers: range, skip: int = 0) -> np.ndarray:
        pairs = dataset.training_pairs(batch_size=3, seed=0, passes_per_epoch=passes)
        batches = [batch for n in numbers for batch in pairs.epoch(n, skip).as_numpy_iterator()]
        assert len(batches) == len(numbers) * (pairs.steps_per_epoch - skip)
        return rows_of(batches)

    # 3 divides the 1,998 pairs: nothing is left over between passes.
    assert dataset.info.num_pairs["train"] % 3 == 0
    np.testing.assert_array_equal(epochs(2, range(1)), epochs(1, range(2)))
    np.testing.assert_array_equal(epochs(2, range(2)), epochs(1, range(4)))
    np.testing.assert_array_equal(epochs(2, range(1))[700 * 3 :], epochs(2, range(1), skip=700))


def test_fraction_takes_whole_records(catalog: Catalog, dataset: Dataset) -> None:
    # 1,998 pairs are 8 records of up to 256: half of them is 4 records
    pairs = dataset.training_pairs(batch_size=64, seed=0, fraction=0.5)
    assert pairs.num_pairs == 4 * 256
    seen = rows_of(list(pairs.epoch(0).as_numpy_iterator()))
    np.testing.assert_array_equal(np.bincount(seen, minlength=120), pairs.item_counts)
    assert dataset.training_pairs(batch_size=64, seed=0, fraction=1e-6).num_pairs == 256


def test_batch_larger_than_the_training_set(catalog: Catalog, dataset: Dataset) -> None:
    pairs = dataset.training_pairs(batch_size=10**6, seed=0)
    assert (pairs.batch_size, pairs.steps_per_epoch) == (1998, 1)
    assert len(list(pairs.epoch(0))) == 1


def test_rows_drawn_from_the_catalog(catalog: Catalog, dataset: Dataset) -> None:
    pairs = dataset.training_pairs(batch_size=256, seed=0, ssl_sides=SIDES)
    batches = list(pairs.epoch(0).as_numpy_iterator())
    again = list(pairs.epoch(0, 3).as_numpy_iterator())
    for name in catalog.features:
        np.testing.assert_array_equal(batches[3].ssl[ITEM][name], again[0].ssl[ITEM][name])
    ids = np.concatenate([batch.ssl[ITEM]["id"][:, 0] for batch in batches])
    # Held-out items (id 0) are a sixth of the catalog and come up as often.
    assert (ids == 0).mean() == pytest.approx(1 / 6, abs=0.04)
    assert len(np.unique(ids)) == 101


def test_q_of_drawn_items_is_mixed(catalog: Catalog, dataset: Dataset) -> None:
    pairs = dataset.training_pairs(batch_size=64, seed=0, mixed_negatives=16)
    plain = dataset.training_pairs(batch_size=64, seed=0)
    num_pairs = catalog.train_count.sum()
    drawn_rows = []
    for batch, same in zip(
        pairs.epoch(0).as_numpy_iterator(), plain.epoch(0).as_numpy_iterator(), strict=True
    ):
        np.testing.assert_array_equal(batch.item_row, same.item_row)
        (drawn,) = batch.drawn
        drawn_rows.append(drawn.item_row)
        # Of 64 items of pairs and 16 drawn ones: 64 p + 16 / 120 are expected to be this one.
        for row, log_q in ((batch.item_row, batch.item_log_q), (drawn.item_row, drawn.log_q)):
            expected = 64 * catalog.train_count[row] / num_pairs + 16 / 120
            np.testing.assert_allclose(np.exp(log_q), expected / 80, rtol=1e-5)
        for name, values in catalog.features.items():
            np.testing.assert_array_equal(drawn.features[name], values[drawn.item_row])
    again = next(pairs.epoch(0, 7).as_numpy_iterator())
    np.testing.assert_array_equal(again.drawn[0].item_row, drawn_rows[7])
    # 31 steps draw 496 of 120 items: hardly any is missed, the held-out ones included.
    assert len(np.unique(drawn_rows)) > 110
    assert {len(np.unique(rows)) for rows in drawn_rows} != {1}


@pytest.mark.parametrize("drawn", [0, 8])
def test_workers_share_the_global_batch(catalog: Catalog, dataset: Dataset, drawn: int) -> None:
    pairs = dataset.training_pairs(batch_size=64, seed=0, ssl_sides=SIDES, mixed_negatives=drawn)
    whole = list(pairs.epoch(1, 2).as_numpy_iterator())
    parts = [
        list(pairs.epoch(1, 2, tf.distribute.InputContext(2, worker, 4)).as_numpy_iterator())
        for worker in range(2)
    ]
    # 2 workers of 2 replicas: worker 0 has replicas 0 and 1, worker 1 has 2 and 3
    for step, batch in enumerate(whole):
        replicas = [*parts[0][2 * step : 2 * step + 2], *parts[1][2 * step : 2 * step + 2]]
        assert [len(replica.item_row) for replica in replicas] == [16] * 4
        joined = tf.nest.map_structure(lambda *parts: np.concatenate(parts), *replicas)
        tf.nest.map_structure(np.testing.assert_array_equal, joined, batch)
        assert set(batch.ssl) == set(SIDES)
        of_replicas = [[len(part.item_row) for part in replica.drawn] for replica in replicas]
        assert of_replicas == [[2] if drawn else []] * 4
