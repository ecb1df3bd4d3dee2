"""A dropped number is as a missing one, whose mark is read only where it can be learned."""

import numpy as np
import pytest
import tensorflow as tf

from ssl_recsys.config.loss import LossConfig
from ssl_recsys.config.run import RunConfig
from ssl_recsys.config.tower import TowerConfig
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.data.batch import Batch
from ssl_recsys.data.statistics import MIN_MISSING_SHARE, CatalogStatistics, missing_share
from ssl_recsys.features import Bag, Dense
from ssl_recsys.model import augment
from ssl_recsys.model.replicas import ReplicaBatch
from ssl_recsys.model.two_tower import TwoTowerModel
from ssl_recsys.schema import ITEM, SIDES

SPECS = (Bag("words", vocab_size=41, max_values=2), Dense("size", max_values=2), Dense("vec", 0, 3))
NUM_ITEMS = 240
LACKING = np.array([238, 239])
DROP_ALL = 0.9999999


def make_model(share: float, rate: float = 0.3) -> TwoTowerModel:
    tf.keras.utils.set_random_seed(1)
    run = RunConfig(
        tower=TowerConfig(embedding_dim=4, hidden_layers=(16, 8)),
        loss=LossConfig(temperature=0.1),
        training=TrainingConfig(batch_size=64),
    )
    model = TwoTowerModel(
        dict.fromkeys(SIDES, SPECS), run, CatalogStatistics(missing_shares={"size": share})
    )
    model.compile(optimizer=tf.keras.optimizers.legacy.Adagrad(rate))
    return model


def features(words: np.ndarray, size: np.ndarray) -> dict[str, tf.Tensor]:
    return {
        "words": tf.constant(words, tf.int32),
        "size": tf.constant(size, tf.float32),
        "vec": tf.constant(np.ones((len(words), 3)), tf.float32),
    }


def test_the_share_is_of_training_items() -> None:
    values = np.array([[0.5, 0], [0, 1], [-1, 0], [0, 1], [0, 1]])
    assert missing_share(values, np.array([3, 1, 0, 0, 2])) == pytest.approx(2 / 3)
    assert missing_share(values, np.zeros(5, int)) == pytest.approx(3 / 5)  # no pair at all
    shares = {"rare": MIN_MISSING_SHARE - 1e-6, "common": MIN_MISSING_SHARE}
    assert CatalogStatistics(missing_shares=shares).unread_marks == {"rare"}


@pytest.mark.parametrize(("share", "mark"), [(0.5, 1.0), (0.001, 0.0)])
def test_look_up_and_views(share: float, mark: float) -> None:
    model = make_model(share)
    batch = features(np.array([[1, 2], [3, 0]]), np.array([[2.0, 0.0], [0.0, 1.0]]))
    (looked_up,) = model.feature_embeddings([(ITEM, batch)])
    # The second item has no number: (0, 1) in the data.
    np.testing.assert_array_equal(looked_up.activations["size"], [[2, 0], [0, mark]])
    np.testing.assert_array_equal(looked_up.missing["size"], [[0, mark]])
    np.testing.assert_array_equal(looked_up.missing["vec"], [[0, 0, 0]])
    for dropout in augment.DROPOUTS.values():
        view = dropout(DROP_ALL)(looked_up, ReplicaBatch(2, 1, 0), tf.constant([1, 2]))
        np.testing.assert_array_equal(view["size"], [[0, mark]] * 2)
        np.testing.assert_array_equal(view["vec"], np.zeros((2, 3)))
        whole = dropout(0.0)(looked_up, ReplicaBatch(2, 1, 0), tf.constant([1, 2]))
        np.testing.assert_array_equal(whole["size"], looked_up.activations["size"])
    halves = augment.two_views(
        augment.FeatureDropout(0.0),
        augment.RandomMask(None),
        looked_up,
        ReplicaBatch(2, 1, 0),
        tf.constant([1, 2]),
    )
    sizes = [view["size"].numpy().tolist() for view in halves]
    # One view has the number, the other lacks it.
    assert sorted(sizes) == sorted([[[2, 0], [0, mark]], [[0, mark]] * 2])


def places_of_lacking(model: TwoTowerModel) -> list[int]:
    """Where a new item without a number finds the others without one, from 0.

    Before, the model is trained on pairs of one topic, which share words. The two items without a
    number belong together, too, and come up in every batch, as variants of one product do.
    """
    rng = np.random.default_rng(0)
    topic = np.arange(NUM_ITEMS) // 24
    topic[LACKING] = 10
    words = 1 + topic[:, None] * 3 + rng.integers(0, 3, (NUM_ITEMS, 2))
    size = np.stack([rng.normal(size=NUM_ITEMS), np.zeros(NUM_ITEMS)], axis=1)
    size[LACKING] = [0, 1]
    step = tf.function(model.train_step)
    for _ in range(30):
        query = np.concatenate([LACKING, rng.integers(0, NUM_ITEMS, 62)])
        item = np.array([rng.choice(np.flatnonzero(topic == topic[row])) for row in query])
        step(
            Batch(
                query=features(words[query], size[query]),
                item=features(words[item], size[item]),
                item_row=tf.constant(item, tf.int32),
                item_log_q=tf.zeros([64]),
                ssl={},
            )
        )
    new = model.embed("query", features(np.array([[1, 2]]), np.array([[0.0, 1.0]])))
    scores = model.embed(ITEM, features(words, size)).numpy() @ new.numpy()[0]
    return [int((scores > scores[row]).sum()) for row in LACKING]


def test_a_new_item_without_a_number_does_not_find_others_without_one_first() -> None:
    share = len(LACKING) / NUM_ITEMS
    assert share < MIN_MISSING_SHARE
    assert min(places_of_lacking(make_model(share))) >= 10
    # If the mark of these few were read, they would come first.
    assert max(places_of_lacking(make_model(1.0))) <= 1
