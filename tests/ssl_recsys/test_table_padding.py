"""Tables with columns of padding train and embed as those without."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ssl_recsys.config.run import RunConfig
from ssl_recsys.config.tower import TowerConfig
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.data.batch import Batch
from ssl_recsys.model.two_tower import TwoTowerModel
from ssl_recsys.schema import ITEM, SIDES
from ssl_recsys.training.steps import make_model
from ssl_recsys.training.strategies import make_strategy
from tests.small_dataset import SPECS

BATCH, DIM, COLUMNS = 16, 5, 8


def features(rng: np.random.Generator) -> dict[str, tf.Tensor]:
    """Ids from 0, the missing value, in bags that may be empty; dense values."""
    return {
        spec.name: tf.constant(rng.integers(0, 4, (BATCH, spec.max_values)), tf.int32)
        if spec.is_embedded
        else tf.constant(rng.normal(size=(BATCH, spec.max_values)), tf.float32)
        for spec in SPECS
    }


def trained(run: RunConfig, column_multiple: int) -> tuple[TwoTowerModel, list[float]]:
    tower = dataclasses.replace(run.tower, table_column_multiple=column_multiple)
    strategy = make_strategy("one_device")
    model = make_model(dict.fromkeys(SIDES, SPECS), dataclasses.replace(run, tower=tower), strategy)
    rng = np.random.default_rng(0)
    batch = Batch(
        features(rng), features(rng), tf.range(BATCH), tf.zeros([BATCH]), ssl={}
    )  # fmt: skip
    return model, [float(model.train_step(batch)["loss"]) for _ in range(2)]


@pytest.mark.parametrize(("static_shapes", "row_wise"), [(False, False), (True, True)])
def test_padding_changes_nothing(static_shapes: bool, row_wise: bool) -> None:
    run = RunConfig(
        tower=TowerConfig(embedding_dim=DIM, hidden_layers=(6,)),
        training=TrainingConfig(
            batch_size=BATCH,
            learning_rate=0.5,
            jit_compile=static_shapes,
            row_wise_adagrad=row_wise,
        ),
    )
    (plain, losses), (padded, padded_losses) = trained(run, 1), trained(run, COLUMNS)
    assert losses[1] < losses[0]
    np.testing.assert_allclose(padded_losses, losses, rtol=1e-6)
    for name, table in plain.feature_embeddings.tables.items():
        wide = padded.feature_embeddings.tables[name].numpy()
        assert wide.shape == (table.shape[0], COLUMNS)
        np.testing.assert_allclose(wide[:, :DIM], table, rtol=1e-5, atol=1e-7)
        assert not wide[:, DIM:].any()
    batch = features(np.random.default_rng(1))
    np.testing.assert_allclose(
        padded.embed(ITEM, batch), plain.embed(ITEM, batch), rtol=1e-5, atol=1e-6
    )


def test_a_table_begins_as_keras_would_draw_it() -> None:
    strategy = make_strategy("one_device")
    run = RunConfig()
    model = make_model(dict.fromkeys(SIDES, SPECS), run, strategy)
    name, table = next(iter(model.feature_embeddings.tables.items()))
    assert name == SPECS[0].name, "the first that is drawn"
    tf.keras.utils.set_random_seed(run.training.seed)
    drawn = tf.keras.initializers.RandomUniform(-0.05, 0.05)(table.shape)
    np.testing.assert_array_equal(table.numpy(), drawn.numpy())
