import pathlib
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from ssl_recsys.config.loss import LossConfig
from ssl_recsys.config.run import RunConfig
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.errors import InputError
from ssl_recsys.training.checks import check_strategy
from ssl_recsys.training.strategies import distribute


def test_one_cpu_reads_the_pipeline_itself(data_dir: pathlib.Path) -> None:
    pairs = Dataset(data_dir).training_pairs(batch_size=64, seed=0)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    batches = distribute(strategy, lambda context: pairs.epoch(0, 0, context))
    assert isinstance(batches, tf.data.Dataset)
    # A thread that tunes it would hold up the end of every epoch.
    assert not batches.options().autotune.enabled
    rows = [batch.item_row.numpy() for batch in batches]
    np.testing.assert_array_equal(rows, [batch.item_row.numpy() for batch in pairs.epoch(0)])


def test_replicas_share_a_batch(data_dir: pathlib.Path) -> None:
    pairs = Dataset(data_dir).training_pairs(batch_size=64, seed=0)
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    batches = distribute(strategy, lambda context: pairs.epoch(0, 0, context))
    assert not isinstance(batches, tf.data.Dataset)
    rows = [
        np.concatenate(strategy.experimental_local_results(batch.item_row)) for batch in batches
    ]
    np.testing.assert_array_equal(rows, [batch.item_row.numpy() for batch in pairs.epoch(0)])


def test_drawn_items_that_replicas_cannot_share_are_refused(
    two_replicas: tf.distribute.Strategy,
) -> None:
    run, odd = (RunConfig(loss=LossConfig(mixed_negatives=drawn)) for drawn in (4, 5))
    pairs = mock.Mock(batch_size=16)
    with pytest.raises(InputError, match="--mixed_negatives=5 cannot be divided among 2 replicas"):
        check_strategy(odd, pairs, two_replicas)
    check_strategy(run, pairs, two_replicas)
    check_strategy(odd, pairs, tf.distribute.OneDeviceStrategy("CPU:0"))
