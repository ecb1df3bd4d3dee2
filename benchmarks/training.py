"""Our training from a dataset directory, a number of steps at a time.

The steps are `Trainer`'s own; validation and checkpoints, which are not measured, are left out.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import Any

from ssl_recsys.config.run import RunConfig
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.schema import VALIDATION
from ssl_recsys.training.strategies import make_strategy
from ssl_recsys.training.trainer import STEPS_PER_CALL, Trainer


class Training:
    """A model in training.

    Args:
      data_dir: the dataset directory.
      config: the run's configuration.

    Attributes:
      dataset: the dataset.
      model: the model.
      embed: as `Trainer.embed`.
    """

    def __init__(self, data_dir: str | os.PathLike[str], config: RunConfig) -> None:
        self.dataset = Dataset(data_dir)
        self._pairs = self.dataset.training_pairs(
            batch_size=config.training.batch_size, seed=config.training.seed
        )
        self._trainer = Trainer(
            self.dataset,
            self._pairs,
            self.dataset.pairs(VALIDATION),
            config,
            make_strategy(config.training.strategy),
            pathlib.Path(data_dir) / "run",  # where nothing is written without checkpoints
        )
        self.model = self._trainer.model
        self.embed = self._trainer.embed
        self._epoch = -1
        self._steps_left = 0
        self._batches: Iterator[Any] = iter(())

    def train(self, steps: int) -> None:
        """Takes steps, from one epoch to the next."""
        while steps:
            if not self._steps_left:
                self._epoch += 1
                self._steps_left = self._pairs.steps_per_epoch
                self._batches = self._trainer.batches(self._epoch)
            count = min(steps, self._steps_left, STEPS_PER_CALL)
            self._trainer.take_steps(self._batches, count)
            self._steps_left -= count
            steps -= count
