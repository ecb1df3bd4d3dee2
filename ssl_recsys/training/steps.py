"""Compiled training steps, as the trainer takes them and the benchmarks measure them.

They are compiled without AutoGraph: the model has no Python condition or loop on a tensor, and
looking for one takes seconds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ssl_recsys.config.run import RunConfig
from ssl_recsys.data.statistics import CatalogStatistics
from ssl_recsys.features import FeatureSpec
from ssl_recsys.model.embedding import Embedder
from ssl_recsys.model.two_tower import TwoTowerModel
from ssl_recsys.training.optimizers import OrderedAdagrad

# Batches of a strategy, and how many of them to take, to the sums of the losses over the steps.
Steps = Callable[[Iterator[Any], tf.Tensor], dict[str, tf.Tensor]]


def make_model(
    features: Mapping[str, Sequence[FeatureSpec]],
    config: RunConfig,
    strategy: tf.distribute.Strategy,
    statistics: CatalogStatistics | None = None,
) -> TwoTowerModel:
    """A model with its optimizer and the optimizer's variables; it sets the seed of its weights.

    Args:
      features: side -> its features.
      config: the run's configuration.
      strategy: where to train.
      statistics: what the configuration needs to know of the catalogs.
    """
    tf.keras.utils.set_random_seed(config.training.seed)
    with strategy.scope():
        model = TwoTowerModel(features, config, statistics)
        optimizer = OrderedAdagrad(
            config.training.learning_rate,
            static_shapes=model.static_shapes,
            row_wise=[*model.feature_embeddings.tables.values()]
            if config.training.row_wise_adagrad
            else (),
            table_width=config.tower.embedding_dim,
            rounding_seed=config.training.seed,
        )
        optimizer.build([*model.table_variables, *model.dense_variables])
        model.compile(optimizer=optimizer)
    return model


def compile_steps(
    model: TwoTowerModel,
    strategy: tf.distribute.Strategy,
    *,
    batch_size: int,
    jit_compile: bool,
    self_supervised_only: bool = False,
) -> Steps:
    """Training steps as one compiled function.

    Args:
      model: from `make_model`.
      strategy: the strategy that it was made under.
      batch_size: pairs in a global batch.
      jit_compile: compile a step with XLA.
      self_supervised_only: leave the main task out.
    """
    replicas = strategy.num_replicas_in_sync
    loss_names = model.loss_names(self_supervised_only=self_supervised_only)

    @tf.function(jit_compile=jit_compile or None, autograph=False)
    def train_step(batch: Any) -> dict[str, tf.Tensor]:
        # Multi-worker iterators lose the static batch dimension; restore it.
        batch = batch.with_sizes(batch_size // replicas, model.num_drawn // replicas)
        return model.train_step(batch, self_supervised_only=self_supervised_only)

    def one_step(batches: Iterator[Any]) -> dict[str, tf.Tensor]:
        parts = strategy.run(train_step, args=(next(batches),))
        # Each replica holds its share of the global mean.
        return {
            name: strategy.reduce(tf.distribute.ReduceOp.SUM, part, axis=None)
            for name, part in parts.items()
        }

    @tf.function
    def steps(batches: Iterator[Any], count: tf.Tensor) -> dict[str, tf.Tensor]:
        # Zeros to begin with: a first step outside the loop would be traced a second time.
        totals = {name: tf.zeros([]) for name in loss_names}
        for _ in tf.range(count):
            parts = one_step(batches)
            totals = {name: total + parts[name] for name, total in totals.items()}
        return totals

    return steps


def compile_embedder(model: TwoTowerModel, side: str) -> Embedder:
    """A side's tower as a compiled function, for batches of any size."""
    embed = functools.partial(model.embed, side)
    return tf.function(embed, reduce_retracing=True, autograph=False)
