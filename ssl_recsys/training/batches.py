"""The training pairs of a run in batches."""

from __future__ import annotations

from absl import logging

from ssl_recsys.config.run import RunConfig
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.input_pipeline import TrainingPairs


def training_pairs(config: RunConfig, dataset: Dataset) -> TrainingPairs:
    """The pairs that a configuration trains on; warns where all of them are one batch.

    Raises:
      InputError: if there are none, or fewer negatives to a pair than wanted.
    """
    training = config.training
    pairs = dataset.training_pairs(
        batch_size=training.batch_size,
        seed=training.seed,
        fraction=training.train_fraction,
        ssl_sides=config.ssl.sides if config.ssl.draws_from_catalog else (),
        passes_per_epoch=training.passes_per_epoch,
        mixed_negatives=config.loss.mixed_negatives,
        hard_negatives=config.loss.hard_negatives,
    )
    if pairs.batch_size < training.batch_size:
        logging.warning(
            "--batch_size=%d is more than the %d training pairs: every batch is the whole "
            "training set, and an epoch is %d steps",
            training.batch_size,
            pairs.num_pairs,
            pairs.steps_per_epoch,
        )
    return pairs
