"""`--strategy` to a tf.distribute strategy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from ssl_recsys.errors import InputError


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Returns the strategy of that name.

    `auto` takes a TPU where the environment names one (`TPU_NAME`), a multi-worker cluster where
    it describes one (`TF_CONFIG`), all GPUs where there are several, else the one device there
    is.

    Args:
      name: one of `config.training.STRATEGIES`.

    Raises:
      InputError: if the hardware or cluster that the strategy needs is not there.
    """
    if name == "auto":
        name = _choose()
    if name == "tpu":
        return _tpu_strategy()
    if name == "multi_worker":
        if "TF_CONFIG" not in os.environ:
            raise InputError(
                "--strategy=multi_worker needs TF_CONFIG in the environment of every worker, for "
                'example {"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": '
                '"worker", "index": 0}}'
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(_devices())
    return tf.distribute.OneDeviceStrategy(_devices()[0])


def distribute(
    strategy: tf.distribute.Strategy,
    make_dataset: Callable[[tf.distribute.InputContext], tf.data.Dataset],
) -> Iterable[Any]:
    """Batches of a dataset, on their way to the devices ahead of time.

    Args:
      strategy: a strategy.
      make_dataset: an input pipeline's dataset of per-replica batches.
    """
    if isinstance(strategy, tf.distribute.OneDeviceStrategy) and device_kind(strategy) == "CPU":
        # Nothing to copy to. TensorFlow's stages for it tune themselves in threads that can sleep
        # for seconds before they let go of an iterator at the end of an epoch (2.20).
        return make_dataset(tf.distribute.InputContext())
    return strategy.distribute_datasets_from_function(make_dataset)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes checkpoints, logs and results."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver is None:
        return True
    return resolver.task_type in (None, "chief") or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().as_dict()
    )


def has_other_processes(strategy: tf.distribute.Strategy) -> bool:
    """Whether some of the replicas belong to other workers."""
    return (
        isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        and len(strategy.extended.worker_devices) < strategy.num_replicas_in_sync
    )


def device_kind(strategy: tf.distribute.Strategy) -> str:
    """What the replicas are on, such as CPU or GPU."""
    device = strategy.extended.worker_devices[0]
    return tf.DeviceSpec.from_string(device).device_type or device


def _choose() -> str:
    if os.environ.get("TPU_NAME"):
        return "tpu"
    if "TF_CONFIG" in os.environ:
        return "multi_worker"
    return "mirrored" if len(tf.config.list_logical_devices("GPU")) > 1 else "one_device"


def _devices() -> list[str]:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in devices]


def _tpu_strategy() -> tf.distribute.Strategy:
    try:
        # On a TPU VM the TPU is local; elsewhere TPU_NAME says where it is.
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu=os.environ.get("TPU_NAME", "local")
        )
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise InputError(
            f"--strategy=tpu found no TPU ({error}). On a TPU VM, install the TPU build of "
            "TensorFlow (see docs/training.md) or set TPU_NAME; elsewhere use --strategy=auto"
        ) from error
    return tf.distribute.TPUStrategy(resolver)
