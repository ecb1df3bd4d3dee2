"""The average of the weights over epochs, alone and in a run."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from ssl_recsys.training.averaging import AveragedWeights
from ssl_recsys.training.trainer import Trainer
from tests.ssl_recsys import commands


def test_average_by_hand() -> None:
    weight = tf.Variable([4.0, 8.0])
    average = AveragedWeights([weight], 0.75)
    average.update(is_first=True)
    weight.assign([0.0, 16.0])
    average.update(is_first=False)
    with average.in_place():
        # 3/4 of 4 and 8, a quarter of 0 and 16
        np.testing.assert_array_equal(weight, [3.0, 10.0])
    np.testing.assert_array_equal(weight, [0.0, 16.0])
    weight.assign([3.0, 2.0])
    average.update(is_first=False)
    average.put_in()
    np.testing.assert_array_equal(weight, [3.0, 8.0])


def test_own_weights_come_back_after_an_error() -> None:
    weight = tf.Variable([1.0])
    average = AveragedWeights([weight], 0.5)
    average.update(is_first=True)
    weight.assign([5.0])
    with pytest.raises(KeyError), average.in_place():
        raise KeyError
    assert float(weight[0]) == 5.0


def test_small_changes_of_bfloat16_weights_add_up() -> None:
    # bfloat16 has 8 bits: no number lies between 1 and 1 + 2^-7.
    weight = tf.Variable(tf.constant([1.0], tf.bfloat16))
    average = AveragedWeights([weight], 0.9)
    average.update(is_first=True)
    weight.assign(tf.constant([1.0 + 2.0**-7], tf.bfloat16))
    for _ in range(30):
        average.update(is_first=False)
    assert 1.0 < float(average.averages[0][0]) < 1.0 + 2.0**-7
    average.put_in()
    assert float(weight[0]) == 1.0 + 2.0**-7


def test_without_a_decay_there_is_none() -> None:
    weight = tf.Variable([2.0])
    average = AveragedWeights([weight], 0.0)
    average.update(is_first=True)
    average.put_in()
    assert average.averages == []
    assert float(weight[0]) == 2.0


def test_a_run_validates_and_exports_the_average(
    data_dir: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: dict[str, list[list[np.ndarray]]] = {}
    end_epoch = Trainer._end_epoch

    def keep_weights(trainer: Trainer, *args: object) -> None:
        found = ends.setdefault(trainer._dir.name, [])
        end_epoch(trainer, *args)  # type: ignore[arg-type]
        found.append([weight.numpy() for weight in trainer.model.weights])

    exported = {}
    monkeypatch.setattr(Trainer, "_end_epoch", keep_weights)
    train = Trainer.train

    def keep_exported(trainer: Trainer) -> object:
        model = train(trainer)
        exported[trainer._dir.name] = [weight.numpy() for weight in model.weights]
        return model

    monkeypatch.setattr(Trainer, "train", keep_exported)
    # The average is always the best: the last epoch's is what is exported.
    keep_if_best = Trainer._keep_if_best
    monkeypatch.setattr(
        Trainer, "_keep_if_best", lambda self, value: keep_if_best(self, self._read("best") + 1)
    )
    for name, decay in (("plain", 0.0), ("averaged", 0.25)):
        arguments = commands.small_run(data_dir, tmp_path / name, "--max_epochs=2")
        commands.train(*arguments, f"--weight_averaging={decay}")
    plain, averaged = (
        json.loads((tmp_path / name / "history.json").read_text()) for name in ("plain", "averaged")
    )
    # Training goes on from the weights themselves: losses and weights are those without averaging.
    assert [epoch["loss"] for epoch in averaged] == pytest.approx(
        [epoch["loss"] for epoch in plain], rel=1e-4
    )
    for one, other in zip(ends["plain"], ends["averaged"], strict=True):
        for weight, same in zip(one, other, strict=True):
            np.testing.assert_allclose(weight, same, atol=1e-4)
    for first, second, average in zip(*ends["plain"], exported["averaged"], strict=True):
        np.testing.assert_allclose(0.25 * first + 0.75 * second, average, atol=1e-4)
    # After the first epoch the average is the weights.
    found = [[epoch["validation_map@50"] for epoch in run] for run in (plain, averaged)]
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-4)
    assert found[1][1] != pytest.approx(found[0][1], rel=1e-4)
