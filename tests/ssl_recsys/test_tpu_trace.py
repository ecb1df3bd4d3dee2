"""The trainer under a TPUStrategy whose devices are made up: traced, not executed."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import tensorflow as tf

from ssl_recsys import config
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.methods import METHODS
from ssl_recsys.training.trainer import Trainer
from tests.small_dataset import SPECS
from tests.ssl_recsys.made_up_tpus import tpu_strategy

BATCH, DIM, CORES = 16, 5, 2
TABLES = sum(spec.is_embedded for spec in SPECS)


@pytest.fixture(scope="module")
def strategy() -> tf.distribute.TPUStrategy:
    return tpu_strategy(CORES)


def traced_nodes(
    method: str, strategy: Any, data_dir: pathlib.Path, model_dir: pathlib.Path
) -> Iterator[Any]:
    """The operations of a call that takes steps."""
    run = config.RunConfig(
        tower=config.TowerConfig(embedding_dim=DIM, hidden_layers=(12, 6)),
        ssl=config.SSLConfig(method=method),
        training=config.TrainingConfig(batch_size=BATCH, strategy="tpu"),
    )
    dataset = Dataset(data_dir)
    pairs = dataset.training_pairs(batch_size=BATCH, seed=0)
    trainer = Trainer(dataset, pairs, dataset.pairs("validation"), run, strategy, model_dir)
    concrete = trainer._joint_steps.get_concrete_function(trainer.batches(0), tf.constant(2))
    for function in concrete.graph.as_graph_def(add_shapes=True).library.function:
        yield from function.node_def


def shape_of(node: Any) -> list[int]:
    return [dim.size for dim in node.attr["_output_shapes"].list.shape[0].dim]


@pytest.mark.parametrize("method", METHODS)
def test_a_step_exchanges_and_updates_rows(
    method: str,
    strategy: tf.distribute.TPUStrategy,
    data_dir: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    nodes = list(traced_nodes(method, strategy, data_dir, tmp_path))
    kinds = [node.op for node in nodes]
    exchanged = [shape_of(node) for node in nodes if node.op == "CrossReplicaSum"]
    assert kinds.count("ResourceScatterSub") == TABLES
    assert not {"PyFunc", "EagerPyFunc"} & set(kinds)
    assert not {"Unique", "UniqueV2", "Where", "DynamicPartition"} & set(kinds)  # dynamic shapes
    assert all(size > 0 for shape in exchanged for size in shape)
    tables = [[spec.vocab_size, DIM] for spec in SPECS if spec.is_embedded]
    assert exchanged
    assert not [shape for shape in exchanged if shape in tables]
