"""The tutorial's model learns exactly what ours does: equal weights stay equal."""

import pathlib

import numpy as np
import tensorflow as tf

from benchmarks import tfrs_tutorial, training
from data_prep.synthetic import dataset as synthetic_dataset
from ssl_recsys.config.run import RunConfig
from ssl_recsys.config.tower import TowerConfig
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.data.batch import Batch
from ssl_recsys.features import FeatureSpec
from ssl_recsys.schema import ITEM, QUERY

BATCH = 32


def _table(feature_model: tfrs_tutorial.FeatureModel, spec: FeatureSpec) -> tf.Variable:
    layers = feature_model._encoders[spec.name].layers
    return next(x for x in layers if isinstance(x, tf.keras.layers.Embedding)).embeddings


def _rows(table: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """The rows that ours has, too: a bag's table begins with that of padding."""
    return table[1:] if spec.is_pooled else table


def _kernels(tower: tf.keras.Model) -> list[tf.Variable]:
    dense = [x for x in tower.layers if isinstance(x, tf.keras.layers.Dense)]
    return [variable for layer in dense for variable in (layer.kernel, layer.bias)]


def test_equal_weights_embed_and_learn_alike(tmp_path: pathlib.Path) -> None:
    data_dir = tmp_path / "data"
    synthetic_dataset.write(data_dir, synthetic_dataset.Sizes(300, 2000))
    run = RunConfig(
        tower=TowerConfig(6, (12, 5)),
        training=TrainingConfig(batch_size=BATCH, learning_rate=0.1),
    )
    ours = training.Training(data_dir, run)
    specs = ours.dataset.features(ITEM)
    vocabularies = tfrs_tutorial.read_vocabularies(data_dir, specs)
    tokens = tfrs_tutorial.tokens_of(ours.dataset.catalog(ITEM), vocabularies, specs)
    queries, items = ours.dataset.pairs("train")
    examples = tmp_path / "examples"
    tfrs_tutorial.write_examples(examples, tokens, queries, items)
    theirs = tfrs_tutorial.Training(
        [str(examples)], tokens, vocabularies, specs, run, parse_batches=True
    )
    theirs.embed("query", np.arange(2))
    theirs.embed("item", np.arange(2))  # makes the variables
    feature_model = theirs.model.towers["item"].layers[0]
    for spec in specs:
        table = _table(feature_model, spec)
        values = table.numpy()
        _rows(values, spec)[:] = ours.model.feature_embeddings.tables[spec.name].numpy()
        table.assign(values)
    for side in ("query", "item"):
        own = ours.model.towers[side].trainable_variables
        for variable, value in zip(_kernels(theirs.model.towers[side]), own, strict=True):
            variable.assign(value)
        np.testing.assert_allclose(theirs.embed(side), ours.embed(side), atol=1e-5)
    for step in range(3):
        chosen = slice(step * BATCH, (step + 1) * BATCH)
        rows = {"query": queries[chosen], "item": items[chosen]}
        inputs = {
            side: {
                spec.name: tfrs_tutorial._as_inputs(
                    tf.ragged.constant([tokens[spec.name][row] for row in which]), spec
                )
                for spec in specs
            }
            for side, which in rows.items()
        }
        features = {side: ours.dataset.catalog(side).rows(which) for side, which in rows.items()}
        batch = Batch(
            query=tf.nest.map_structure(tf.constant, features[QUERY]),
            item=tf.nest.map_structure(tf.constant, features[ITEM]),
            item_row=tf.constant(rows[ITEM]),
            item_log_q=tf.zeros([BATCH]),
            ssl={},
        )
        loss = ours.model.train_step(batch)["loss"]
        np.testing.assert_allclose(theirs.model.train_step(inputs)["loss"], loss, rtol=1e-5)
    for spec in specs:
        np.testing.assert_allclose(
            _rows(_table(feature_model, spec).numpy(), spec),
            ours.model.feature_embeddings.tables[spec.name].numpy(),
            atol=1e-4,
        )
