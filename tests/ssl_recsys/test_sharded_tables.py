"""Tables split over replicas against replicated ones: look-ups, steps, checkpoints, whole runs."""

import dataclasses
import json
import pathlib
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from ssl_recsys.config.method import SSLConfig
from ssl_recsys.config.run import RunConfig
from ssl_recsys.config.tower import TowerConfig
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.data.batch import Batch
from ssl_recsys.errors import InputError
from ssl_recsys.model.sharded_tables import ShardedTable
from ssl_recsys.model.two_tower import TwoTowerModel
from ssl_recsys.schema import ITEM, SIDES
from ssl_recsys.training import checks, run, steps
from ssl_recsys.training.export import load_export
from tests.small_dataset import SPECS
from tests.ssl_recsys import commands

BATCH = 12


@pytest.fixture(name="replicas", params=["two_replicas", "three_replicas"])
def _replicas(request: pytest.FixtureRequest) -> tf.distribute.Strategy:
    return request.getfixturevalue(request.param)


def per_replica(strategy: tf.distribute.Strategy, values: tf.Tensor) -> tf.Tensor:
    """The values cut into as many parts as there are replicas."""
    parts = tf.split(values, strategy.num_replicas_in_sync)
    return strategy.experimental_distribute_values_from_function(
        lambda context: parts[context.replica_id_in_sync_group]
    )


def table_of(values: np.ndarray, strategy: tf.distribute.Strategy) -> ShardedTable:
    with strategy.scope():
        table = ShardedTable("table", values.shape, tf.float32)
    table.assign(values)
    return table


def test_each_replica_holds_its_rows(three_replicas: tf.distribute.Strategy) -> None:
    values = np.arange(14, dtype=np.float32).reshape(7, 2)
    table = table_of(values, three_replicas)
    shards = table.shards
    # Shards of ceil(7 / 3) = 3 rows: 0 to 2, 3 to 5, and 6 with two that are not there.
    np.testing.assert_array_equal(shards[0], [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(shards[1], [[6, 7], [8, 9], [10, 11]])
    np.testing.assert_array_equal(shards[2], [[12, 13], [0, 0], [0, 0]])
    np.testing.assert_array_equal(table.numpy(), values)
    whole = tf.Variable(tf.zeros([7, 2]))
    table.copy_to(whole)
    np.testing.assert_array_equal(whole, values)


def test_more_replicas_than_rows(three_replicas: tf.distribute.Strategy) -> None:
    table = table_of(np.array([[1.0], [2.0]], np.float32), three_replicas)
    np.testing.assert_array_equal(table.numpy(), [[1], [2]])
    np.testing.assert_array_equal(table.gather(tf.constant([1, 0, 1])), [[2], [1], [2]])


@pytest.mark.parametrize("width", [None, 1])
def test_a_look_up_reads_what_each_replica_asks_for(
    replicas: tf.distribute.Strategy, width: int | None
) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(7, 2)).astype(np.float32)
    table, ids = table_of(values, replicas), tf.constant(rng.integers(0, 7, (BATCH, 2)), tf.int32)
    found = tf.function(
        lambda: replicas.run(
            lambda rows: table.gather(rows, width), args=(per_replica(replicas, ids),)
        )
    )()
    together = np.concatenate(replicas.experimental_local_results(found))
    np.testing.assert_array_equal(together, values[ids.numpy()][..., :width])
    # Outside of the replicas, as validation reads.
    np.testing.assert_array_equal(table.gather(ids, width), values[ids.numpy()][..., :width])


def features(rng: np.random.Generator) -> dict[str, tf.Tensor]:
    """Ids of all rows, those of empty bags among them."""
    return {
        spec.name: tf.constant(rng.integers(0, spec.vocab_size, (BATCH, spec.max_values)), tf.int32)
        if spec.is_embedded
        else tf.constant(rng.normal(size=(BATCH, spec.max_values)), tf.float32)
        for spec in SPECS
    }


def make_run(method: str, **tower: object) -> RunConfig:
    return RunConfig(
        tower=TowerConfig(
            **{"embedding_dim": 5, "hidden_layers": (6,), **tower}  # type: ignore[arg-type]
        ),
        ssl=SSLConfig(method=method, fm_hidden_layers=(6,)),
        training=TrainingConfig(
            batch_size=BATCH,
            learning_rate=0.1,
            row_wise_adagrad=tower.get("table_dtype") == "bfloat16",
        ),
    )


def trained(
    settings: RunConfig, strategy: tf.distribute.Strategy, shard_tables: bool
) -> tuple[TwoTowerModel, list[dict[str, float]]]:
    """A model after two steps, and their losses."""
    training = dataclasses.replace(settings.training, shard_tables=shard_tables)
    settings = dataclasses.replace(settings, training=training)
    model = steps.make_model(dict.fromkeys(SIDES, SPECS), settings, strategy)
    rng = np.random.default_rng(0)
    batch = Batch(features(rng), features(rng), tf.range(BATCH), tf.zeros([BATCH]), ssl={})
    parts = tf.nest.map_structure(lambda tensor: per_replica(strategy, tensor), batch)

    @tf.function(autograph=False)
    def step() -> dict[str, tf.Tensor]:
        losses = strategy.run(model.train_step, args=(parts,))
        return {
            name: strategy.reduce(tf.distribute.ReduceOp.SUM, loss, axis=None)
            for name, loss in losses.items()
        }

    return model, [{name: float(loss) for name, loss in step().items()} for _ in range(2)]


def assert_same_state(one: TwoTowerModel, two: TwoTowerModel) -> None:
    """Every weight and accumulator, but for the order in which threads add up."""
    pairs = [*zip(one.table_variables, two.table_variables, strict=True)]
    pairs += zip(one.dense_variables, two.dense_variables, strict=True)
    for left, right in pairs:
        # A bfloat16 number may be rounded to its other neighbour.
        tolerance = 2**-7 if left.dtype == tf.bfloat16 else 1e-5
        values = [np.asarray(variable.numpy(), np.float32) for variable in (left, right)]
        np.testing.assert_allclose(*values, rtol=tolerance, atol=1e-7)
        slots = [
            model.optimizer.get_slot(variable, "accumulator").numpy()
            for model, variable in ((one, left), (two, right))
        ]
        np.testing.assert_allclose(*slots, rtol=1e-5)
    assert one.optimizer.iterations.numpy() == two.optimizer.iterations.numpy()


def assert_trains_as_replicated(
    settings: RunConfig, strategy: tf.distribute.Strategy
) -> TwoTowerModel:
    replicated, losses = trained(settings, strategy, False)
    sharded, sharded_losses = trained(settings, strategy, True)
    for mine, theirs in zip(sharded_losses, losses, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)
    assert losses[1]["loss"] != losses[0]["loss"]
    assert_same_state(replicated, sharded)
    batch = features(np.random.default_rng(1))
    found, expected = (model.embed(ITEM, batch) for model in (sharded, replicated))
    is_rounded = settings.tower.table_dtype == "bfloat16"
    np.testing.assert_allclose(found, expected, atol=1e-2 if is_rounded else 1e-5)
    return sharded


# Every task, whose losses are compared one by one, and what the main task drops.
@pytest.mark.parametrize("method", ["do", "fd_fm_so"])
def test_two_replicas_train_as_with_replicated_tables(
    method: str, two_replicas: tf.distribute.Strategy
) -> None:
    assert_trains_as_replicated(make_run(method), two_replicas)


@pytest.mark.parametrize(
    ("method", "tower"),
    [
        ("fd", {"table_dtype": "bfloat16", "table_column_multiple": 8}),  # and row-wise
        ("so", {"hidden_layers": ()}),  # tables are all there is to update
    ],
)
def test_tables_that_three_replicas_do_not_divide(
    method: str, tower: dict[str, object], three_replicas: tf.distribute.Strategy
) -> None:
    model = assert_trains_as_replicated(make_run(method, **tower), three_replicas)
    for spec in SPECS:
        if spec.is_embedded:
            assert spec.vocab_size % 3
            rows, columns = -(-spec.vocab_size // 3), tower.get("table_column_multiple", 5)
            table = model.feature_embeddings.tables[spec.name]
            assert {tuple(shard.shape) for shard in table.shards} == {(rows, columns)}


def made(seed: int, strategy: tf.distribute.Strategy) -> TwoTowerModel:
    """A new model, with other accumulators for each seed."""
    settings = make_run("fd", table_dtype="bfloat16")
    training = dataclasses.replace(settings.training, seed=seed, shard_tables=True)
    settings = dataclasses.replace(settings, training=training)
    model = steps.make_model(dict.fromkeys(SIDES, SPECS), settings, strategy)
    rng = np.random.default_rng(seed)
    for table in model.table_variables:
        slot = model.optimizer.get_slot(table, "accumulator")
        slot.assign(rng.random(slot.shape.as_list()).astype(np.float32))
    return model


def checkpoint(model: TwoTowerModel) -> tf.train.Checkpoint:
    return tf.train.Checkpoint(model=model, optimizer=model.optimizer)


def test_checkpoints_move_between_numbers_of_replicas(
    two_replicas: tf.distribute.Strategy,
    three_replicas: tf.distribute.Strategy,
    tmp_path: pathlib.Path,
) -> None:
    strategies = [tf.distribute.OneDeviceStrategy("CPU:0"), two_replicas, three_replicas]
    models = [made(seed, strategy) for seed, strategy in enumerate(strategies)]
    saved = [checkpoint(model).save(str(tmp_path / str(seed))) for seed, model in enumerate(models)]
    shapes = [tf.train.load_checkpoint(path).get_variable_to_shape_map() for path in saved]
    assert shapes[0] == shapes[1] == shapes[2]
    assert shapes[0]["model/feature_embeddings/id/.ATTRIBUTES/VARIABLE_VALUE"] == [101, 5]
    for source, target in ((0, 2), (2, 1), (1, 0)):
        expected = made(source, strategies[source])
        checkpoint(models[target]).restore(saved[source]).assert_consumed()
        assert_same_state(expected, models[target])


def test_a_run_moves_between_sharded_and_replicated_tables(
    shown_dir: pathlib.Path,
    tmp_path: pathlib.Path,
    two_replicas: tf.distribute.Strategy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "make_strategy", lambda name: two_replicas)

    def train(name: str, *flags: str) -> None:
        more = ("--method=fd", "--hard_negatives=2", "--keep_checkpoints", *flags)
        commands.train(*commands.small_run(shown_dir, tmp_path / name, *more))

    train("replicated")
    train("moving", "--max_epochs=1", "--shard_tables", "--eval_split=none")
    train("moving", "--max_epochs=2", "--eval_split=none")
    train("moving", "--shard_tables")
    for file in ("metrics.json", "history.json"):
        expected, found = (
            json.loads((tmp_path / name / file).read_text()) for name in ("replicated", "moving")
        )
        assert without_times(found) == without_times(expected)
    one, two = (load_export(tmp_path / name) for name in ("replicated", "moving"))
    np.testing.assert_array_equal(two.item_embeddings, one.item_embeddings)
    batch = one.catalog(ITEM).rows(slice(0, 20))
    np.testing.assert_array_equal(two.query_tower(batch), one.query_tower(batch))


def without_times(value: Any) -> Any:
    if isinstance(value, list):
        return [without_times(part) for part in value]
    return {name: part for name, part in value.items() if "second" not in name}


def test_several_processes_are_refused() -> None:
    strategy = mock.Mock(spec=tf.distribute.MultiWorkerMirroredStrategy)
    strategy.num_replicas_in_sync = 2
    strategy.extended.worker_devices = ("CPU:0",)
    settings = make_run("baseline")
    training = dataclasses.replace(settings.training, shard_tables=True)
    pairs = mock.Mock(batch_size=BATCH)
    with pytest.raises(InputError, match="--shard_tables splits tables over the replicas of one"):
        checks.check_strategy(dataclasses.replace(settings, training=training), pairs, strategy)
    checks.check_strategy(settings, pairs, strategy)


def test_averaged_weights_are_refused(two_replicas: tf.distribute.Strategy) -> None:
    settings = make_run("baseline")
    training = dataclasses.replace(settings.training, shard_tables=True, weight_averaging=0.5)
    settings, pairs = dataclasses.replace(settings, training=training), mock.Mock(batch_size=BATCH)
    with pytest.raises(InputError, match="does not average the tables of --shard_tables"):
        checks.check_strategy(settings, pairs, two_replicas)
    checks.check_strategy(settings, pairs, tf.distribute.OneDeviceStrategy("CPU:0"))
