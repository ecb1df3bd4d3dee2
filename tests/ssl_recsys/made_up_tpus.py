"""A TPUStrategy over TPU devices that are not there: its programs are traced, never executed."""

from __future__ import annotations

from typing import NamedTuple
from unittest import mock

import tensorflow as tf
from tensorflow.core.protobuf.tpu import topology_pb2
from tensorflow.python.tpu import tpu_system_metadata

_HOST = "/job:localhost/replica:0/task:0"


class _Device(NamedTuple):
    name: str
    device_type: str


def tpu_strategy(cores: int) -> tf.distribute.TPUStrategy:
    """A strategy of that many TPU cores on one host; variables are placed on the CPU."""
    devices = [
        *(_Device(f"{_HOST}/device:TPU:{core}", "TPU") for core in range(cores)),
        _Device(f"{_HOST}/device:CPU:0", "CPU"),
    ]
    resolver = mock.Mock(tpu_hardware_feature=topology_pb2.TPUHardwareFeature())
    resolver.cluster_spec.return_value = None
    resolver.master.return_value = ""
    resolver.get_job_name.return_value = None
    resolver.get_tpu_system_metadata.return_value = tpu_system_metadata.TPUSystemMetadata(
        cores, 1, cores, None, devices
    )
    tf.config.set_soft_device_placement(True)
    return tf.distribute.TPUStrategy(resolver)
