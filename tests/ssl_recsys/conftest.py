import os
import pathlib

import pytest
import tensorflow as tf

from tests import small_dataset

# Programs of XLA run once here: compiling them is what takes the time.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# Two logical CPU devices stand in for two accelerators; it must happen before the first use.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("small") / "data"
    small_dataset.write(directory)
    return directory
