"""The trainer under a TPUStrategy whose devices are made up: traced, not executed."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import tensorflow as tf

from ssl_recsys.config.loss import LossConfig
from ssl_recsys.config.method import SSLConfig
from ssl_recsys.config.run import RunConfig
from ssl_recsys.config.tower import TowerConfig
from ssl_recsys.config.training import TrainingConfig
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
    run: RunConfig, strategy: Any, data_dir: pathlib.Path, model_dir: pathlib.Path
) -> Iterator[Any]:
    """The operations of a call that takes steps."""
    dataset = Dataset(data_dir)
    pairs = dataset.training_pairs(
        batch_size=BATCH,
        seed=0,
        mixed_negatives=run.loss.mixed_negatives,
        hard_negatives=run.loss.hard_negatives,
    )
    trainer = Trainer(dataset, pairs, dataset.pairs("validation"), run, strategy, model_dir)
    concrete = trainer._joint_steps.get_concrete_function(trainer.batches(0), tf.constant(2))
    for function in concrete.graph.as_graph_def(add_shapes=True).library.function:
        yield from function.node_def


def make_run(
    method: str,
    *,
    table_dtype: str = "float32",
    mixed_negatives: int = 0,
    hard_negatives: int = 0,
    **training: Any,
) -> RunConfig:
    return RunConfig(
        tower=TowerConfig(embedding_dim=DIM, hidden_layers=(12, 6), table_dtype=table_dtype),
        loss=LossConfig(mixed_negatives=mixed_negatives, hard_negatives=hard_negatives),
        ssl=SSLConfig(method=method),
        training=TrainingConfig(batch_size=BATCH, strategy="tpu", **training),
    )


RUNS = {
    **{method: make_run(method) for method in METHODS},
    "bfloat16": make_run("fd", table_dtype="bfloat16", row_wise_adagrad=True),
    "sharded": make_run("fd_fm_so", shard_tables=True),
    "mixed_negatives": make_run("fd", mixed_negatives=6),
    "hard_negatives": make_run("do", hard_negatives=2, shard_tables=True),
    "sharded_bfloat16": make_run(
        "do", table_dtype="bfloat16", row_wise_adagrad=True, shard_tables=True
    ),
}


def shape_of(node: Any) -> list[int]:
    return [dim.size for dim in node.attr["_output_shapes"].list.shape[0].dim]


@pytest.mark.parametrize("name", RUNS)
def test_a_step_exchanges_and_updates_rows(
    name: str,
    strategy: tf.distribute.TPUStrategy,
    data_dir: pathlib.Path,
    shown_dir: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    run = RUNS[name]
    directory = shown_dir if run.loss.hard_negatives else data_dir
    nodes = list(traced_nodes(run, strategy, directory, tmp_path))
    kinds = [node.op for node in nodes]
    exchanged = [shape_of(node) for node in nodes if node.op == "CrossReplicaSum"]
    is_rounded = run.tower.table_dtype == "bfloat16"  # rows and accumulators are written
    assert kinds.count("ResourceScatterSub") == (0 if is_rounded else TABLES)
    assert kinds.count("ResourceScatterUpdate") == (2 * TABLES if is_rounded else 0)
    assert not {"PyFunc", "EagerPyFunc"} & set(kinds)
    assert not {"Unique", "UniqueV2", "Where", "DynamicPartition"} & set(kinds)  # dynamic shapes
    assert all(size > 0 for shape in exchanged for size in shape)
    tables = [[spec.vocab_size, DIM] for spec in SPECS if spec.is_embedded]
    # Of a sharded table each core reads what all cores look up: ids of both sides, and id 0.
    of_pairs = (2 + run.loss.hard_negatives) * BATCH
    of_core = (of_pairs + run.loss.mixed_negatives) // CORES + 1
    looked_up = of_core * (CORES if run.training.shard_tables else 1)
    gathers = [node for node in nodes if node.op in ("ResourceGather", "GatherV2")]
    assert [looked_up, DIM] in map(shape_of, gathers)
    assert exchanged
    assert not [shape for shape in exchanged if shape in tables]
