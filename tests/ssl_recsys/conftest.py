import os
import pathlib

import pytest
import tensorflow as tf

from tests import install_data, small_dataset
from tests.ssl_recsys import commands

# Programs of XLA run once here: compiling them is what takes the time.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# Logical CPU devices stand in for accelerators; it must happen before the first use.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 3,
)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("small") / "data"
    small_dataset.write(directory)
    return directory


@pytest.fixture(scope="session")
def shown_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """As `data_dir`, but that pairs have up to three negatives."""
    directory = tmp_path_factory.mktemp("shown") / "data"
    small_dataset.write(directory, negatives=small_dataset.negatives)
    return directory


@pytest.fixture(scope="session")
def apps_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The six apps and x, which is only in the log."""
    directory = tmp_path_factory.mktemp("serving")
    install_data.make(directory / "data", **install_data.write_input(directory))
    return directory / "data"


@pytest.fixture(scope="session")
def trained(apps_dir: pathlib.Path) -> pathlib.Path:
    """A run over the apps; tests change copies of it."""
    run = apps_dir.parent / "run"
    commands.train(*commands.small_run(apps_dir, run, "--max_epochs=1"))
    return run


@pytest.fixture(scope="session")
def two_replicas() -> tf.distribute.Strategy:
    # One for all tests: a second MirroredStrategy in a process reuses the first one's
    # collective keys, and collectives of different types then collide.
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def three_replicas() -> tf.distribute.Strategy:
    # Without collectives, and so without their keys.
    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1", "CPU:2"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
