"""What a run's settings need of its pairs and of where it is trained."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ssl_recsys.config.run import RunConfig
from ssl_recsys.data.input_pipeline import TrainingPairs
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import metrics
from ssl_recsys.training.strategies import has_other_processes


def check_select_by(select_by: str, is_head: npt.NDArray[np.bool_]) -> None:
    """Refuses to choose an epoch by a slice without validation pairs."""
    has_pairs = {metrics.HEAD: is_head.any(), metrics.TAIL: not is_head.all()}
    if len(is_head) and not has_pairs.get(select_by.partition("_")[0], True):
        raise InputError(
            f"--select_by={select_by}, but no validation pair is of that slice; choose one of "
            f"{', '.join(metrics.NAMES)}"
        )


def check_strategy(
    config: RunConfig, pairs: TrainingPairs, strategy: tf.distribute.Strategy
) -> None:
    """Refuses batches, XLA and sharded tables where the replicas cannot do with them."""
    replicas = strategy.num_replicas_in_sync
    if pairs.batch_size % replicas:
        raise InputError(
            f"the global batch of {pairs.batch_size} pairs cannot be divided among {replicas} "
            f"replicas; choose a --batch_size that is a multiple of {replicas}"
        )
    if config.loss.mixed_negatives % replicas:
        raise InputError(
            f"--mixed_negatives={config.loss.mixed_negatives} cannot be divided among {replicas} "
            f"replicas; choose a multiple of {replicas}"
        )
    if (
        config.training.jit_compile
        and replicas > 1
        and not isinstance(strategy, tf.distribute.TPUStrategy)
    ):
        raise InputError(
            "--jit_compile works on one GPU or CPU, since XLA cannot compile the exchange between "
            f"replicas (here {replicas}); leave it off (a TPU is always compiled)"
        )
    if config.training.shard_tables and has_other_processes(strategy):
        raise InputError(
            "--shard_tables splits tables over the replicas of one process, which writes its "
            "checkpoints; here they are in several. Leave it off, or train on the devices of one "
            "machine (--strategy=mirrored) or on a TPU"
        )
    if config.training.shard_tables and config.training.weight_averaging and replicas > 1:
        raise InputError(
            "--weight_averaging does not average the tables of --shard_tables; leave one of the "
            "two off"
        )
