"""The trained part of vectors: its bound, who has none, what views keep of it, and its training."""

import numpy as np
import pytest
import tensorflow as tf

from ssl_recsys.config.method import SSLConfig
from ssl_recsys.config.run import RunConfig
from ssl_recsys.config.tower import TowerConfig
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.data.batch import Batch
from ssl_recsys.data.statistics import CatalogStatistics
from ssl_recsys.errors import InputError
from ssl_recsys.features import Bag, Categorical, Vector
from ssl_recsys.model import augment
from ssl_recsys.model.replicas import ReplicaBatch
from ssl_recsys.model.two_tower import TwoTowerModel
from ssl_recsys.schema import ITEM, SIDES
from ssl_recsys.training.optimizers import OrderedAdagrad

# Ids 1 to 4 are tokens, 5 and 6 are shared by those without an id.
SPECS = (
    Categorical("id", vocab_size=7, hash_buckets=2),
    Bag("words", vocab_size=9, max_values=2),
    Vector("text", max_values=3),
)
BOUND = 0.5
VECTOR = np.array([0.6, 0.0, 0.8], np.float32)
SEED = tf.constant([1, 2])


def make_model(bound: float = BOUND, method: str = "baseline") -> TwoTowerModel:
    tf.keras.utils.set_random_seed(1)
    run = RunConfig(
        tower=TowerConfig(embedding_dim=4, hidden_layers=(8, 4), vector_delta=bound),
        ssl=SSLConfig(method=method),
        training=TrainingConfig(batch_size=4, learning_rate=0.5),
    )
    statistics = CatalogStatistics(deltas={"text": "id"} if bound else {})
    model = TwoTowerModel(dict.fromkeys(SIDES, SPECS), run, statistics)
    optimizer = OrderedAdagrad(0.5)
    optimizer.build([*model.table_variables, *model.dense_variables])
    model.compile(optimizer=optimizer)
    return model


def features(ids: list[int]) -> dict[str, tf.Tensor]:
    return {
        "id": tf.constant([[one] for one in ids], tf.int32),
        "words": tf.constant([[1 + one, 0] for one in ids], tf.int32),
        "text": tf.constant([VECTOR] * len(ids)),
    }


def with_rows(model: TwoTowerModel) -> TwoTowerModel:
    rows = [[9, 9, 9], [0.3, 0, 0.4], [3, 0, 4], [0.1, 0, 0], [0, 0, 0]]
    model.feature_embeddings.deltas["text"].table.assign(rows)
    return model


def test_parts_are_no_longer_than_the_bound() -> None:
    model = with_rows(make_model())
    (looked_up,) = model.feature_embeddings([(ITEM, features([0, 1, 2, 3, 4, 5, 6]))])
    expected = [
        [0, 0, 0],  # no id
        [0.3, 0, 0.4],  # length 0.5, the bound
        [0.3, 0, 0.4],  # length 5
        [0.1, 0, 0],
        [0, 0, 0],
        [0, 0, 0],  # shared ids
        [0, 0, 0],
    ]
    np.testing.assert_allclose(looked_up.activations["text+delta"], expected, rtol=1e-6)
    np.testing.assert_array_equal(looked_up.activations["text"], [VECTOR] * 7)


def test_batches_of_different_sizes_have_their_own_parts() -> None:
    batches = [(ITEM, features([1, 2])), (ITEM, features([3]))]
    two, one = with_rows(make_model()).feature_embeddings(batches)
    np.testing.assert_allclose(two.activations["text+delta"], [[0.3, 0, 0.4]] * 2, rtol=1e-6)
    np.testing.assert_allclose(one.activations["text+delta"], [[0.1, 0, 0]], rtol=1e-6)


def test_the_tower_reads_the_sum() -> None:
    model, plain = with_rows(make_model()), make_model(bound=0.0)
    given = features([0, 2])
    assert model.towers[ITEM].weights[0].shape == plain.towers[ITEM].weights[0].shape
    moved = given | {"text": given["text"] + tf.constant([[0, 0, 0], [0.3, 0, 0.4]])}
    np.testing.assert_allclose(model.embed(ITEM, given), plain.embed(ITEM, moved), rtol=1e-5)


def test_at_the_beginning_the_vectors_are_as_without() -> None:
    given = features([0, 1, 4])
    found, plain = (make_model(bound).embed(ITEM, given) for bound in (BOUND, 0.0))
    np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize("name", augment.DROPOUTS)
def test_a_view_without_id_or_vector_is_without_the_part(name: str) -> None:
    model = with_rows(make_model())
    (looked_up,) = model.feature_embeddings([(ITEM, features([1] * 64))])
    view = augment.DROPOUTS[name](0.5)(looked_up, ReplicaBatch(64, 1, 0), SEED)
    has_id = ~np.all(np.isclose(view["id"], looked_up.missing["id"]), axis=1)
    has_vector = view["text"].numpy().any(axis=1)
    expected = np.outer(has_id & has_vector, [0.3, 0, 0.4])
    assert 0 < (has_id & has_vector).sum() < min(has_id.sum(), has_vector.sum())
    np.testing.assert_allclose(view["text+delta"], expected, rtol=1e-6)


def test_halves_have_the_part_where_both_are_seen() -> None:
    model = with_rows(make_model())
    (looked_up,) = model.feature_embeddings([(ITEM, features([1, 2]))])
    masks = np.array([[True, False, False], [False, True, False], [False, False, True]])
    seen = set()
    for step in range(8):
        first, second = augment.two_views(
            augment.FeatureDropout(0.0),
            augment.CorrelatedMask(masks),
            looked_up,
            ReplicaBatch(2, 1, 0),
            tf.constant([step, 0]),
        )
        for view in (first, second):
            has_id = not np.allclose(view["id"], looked_up.missing["id"])
            has_both = has_id and bool(view["text"].numpy().any())
            assert view["text+delta"].numpy().any() == has_both
            seen.add(has_both)
    assert seen == {True, False}


@pytest.mark.parametrize("method", ["baseline", "fd_fm_so"])
def test_training_moves_the_parts_of_items_with_an_id_alone(method: str) -> None:
    model = make_model(method=method)
    table = model.feature_embeddings.deltas["text"].table
    item, query = features([1, 2, 0, 5]), features([2, 1, 6, 0])
    batch = Batch(query, item, tf.range(4), tf.zeros([4]), {})
    for _ in range(3):
        parts = model.train_step(batch)
    assert np.isfinite(parts["loss"].numpy())
    moved = table.numpy().any(axis=1)
    np.testing.assert_array_equal(moved, [False, True, True, False, False])
    (looked_up,) = model.feature_embeddings([(ITEM, item)])
    lengths = np.linalg.norm(looked_up.activations["text+delta"], axis=1)
    assert lengths.max() <= BOUND * (1 + 1e-6)
    np.testing.assert_array_equal(lengths[2:], 0)


@pytest.mark.parametrize("other", [{"shard_tables": True}, {"init_from": "runs/old"}])
def test_what_does_not_go_with_it_is_refused(other: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"--vector_delta does not go with --{next(iter(other))}"):
        RunConfig(
            tower=TowerConfig(vector_delta=0.1),
            training=TrainingConfig(**other),  # type: ignore[arg-type]
        )
