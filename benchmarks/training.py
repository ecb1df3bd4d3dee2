"""Our training from a dataset directory, a number of steps at a time.

The same input pipeline, model, optimizer and compiled loop as `ssl_recsys.trainer`, without
checkpoints and validation in between, which are not what is measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from ssl_recsys import schema
from ssl_recsys.config import RunConfig
from ssl_recsys.data.catalog import load_catalog
from ssl_recsys.data.input_pipeline import TrainingPairs
from ssl_recsys.model.embedding import embed_rows
from ssl_recsys.model.two_tower import TwoTowerModel
from ssl_recsys.training.optimizers import make_optimizer


class Training:
    """A model in training.

    Args:
      data_dir: the dataset directory.
      config: the run's configuration.
    """

    def __init__(self, data_dir: str | os.PathLike[str], config: RunConfig) -> None:
        self.info = schema.read_dataset_info(data_dir)
        self.catalog = load_catalog(data_dir)
        self._pairs = TrainingPairs(
            data_dir,
            self.catalog,
            batch_size=config.training.batch_size,
            seed=config.training.seed,
        )
        tf.keras.utils.set_random_seed(config.training.seed)
        self.model = TwoTowerModel(self.info.features, config)
        optimizer = make_optimizer(
            config.training, self.model.table_variables, self.model.dense_variables
        )
        self.model.compile(optimizer=optimizer)
        self._epoch = -1
        self._steps_left = 0
        self._batches: Iterator[Any] = iter(())
        self._take_steps = self._make_take_steps()

    def train(self, steps: int) -> float:
        """Takes steps, from one epoch to the next; returns their mean loss."""
        total, left = 0.0, steps
        while left:
            if not self._steps_left:
                self._epoch += 1
                self._steps_left = self._pairs.steps_per_epoch
                self._batches = iter(self._pairs.epoch(self._epoch))
            count = min(left, self._steps_left)
            total += float(self._take_steps(self._batches, tf.constant(count)))
            self._steps_left -= count
            left -= count
        return total / steps

    def embed(self, side: str, rows: np.ndarray | None = None) -> np.ndarray:
        """`[rows, dim]` float32 embeddings of catalog rows, all of them by default."""
        embedder = tf.function(lambda features: self.model.embed(side, features))
        return embed_rows(embedder, self.catalog, rows)

    def _make_take_steps(self) -> Callable[[Iterator[Any], tf.Tensor], tf.Tensor]:
        train_step = tf.function(self.model.train_step)

        @tf.function
        def take_steps(batches: Iterator[Any], count: tf.Tensor) -> tf.Tensor:
            total = 0.0
            for _ in tf.range(count):
                total += train_step(next(batches))["loss"]
            return total

        return take_steps
