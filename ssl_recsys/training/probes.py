"""Short trainings of one model with several settings, compared on the validation pairs."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ssl_recsys.config.run import RunConfig
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.evaluation import metrics, uncertainty
from ssl_recsys.training.batches import training_pairs
from ssl_recsys.training.trainer import STEPS_PER_CALL, Trainer

K = 50  # of the recall that is compared
# Standard errors of the difference by which another value must be better than the usual one, and
# by which a probe that is behind the usual one after half of the steps is given up.
MARGIN, HOPELESS = 1.0, 4.0


@dataclasses.dataclass(frozen=True)
class Probe:
    """A short training.

    Attributes:
      alpha: weight of the self-supervised losses.
      learning_rate: Adagrad's.
      ranks: `[validation pairs]` ranks after it.
      mixed_negatives: items drawn for a batch.
      id_min_count: pairs that an id needs.
      num_steps: that were taken.
      halfway: `[validation pairs]` ranks after half of the steps.
      is_given_up: whether it ended there, for being behind.
    """

    alpha: float
    learning_rate: float
    ranks: npt.NDArray[np.int32]
    mixed_negatives: int = 0
    id_min_count: int = 0
    num_steps: int = 0
    halfway: npt.NDArray[np.int32] | None = None
    is_given_up: bool = False

    @property
    def recall(self) -> float:
        """Validation Recall@50."""
        return metrics.recall_at(self.ranks, K)


class Probing:
    """Short trainings of one model, traced once, from the same weights on the same batches.

    Args:
      config: the run's, with the settings that all probes share.
      dataset: what they train on.
      validation: the pairs that they are compared on.
      strategy: where they train.
      scratch: a directory for the first weights.
      share: steps of a probe, of the longest run's.
    """

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        validation: Pairs,
        strategy: tf.distribute.Strategy,
        scratch: pathlib.Path,
        share: float,
    ):
        pairs = training_pairs(config, dataset)
        self._num_steps = max(1, round(share * config.training.max_epochs * pairs.steps_per_epoch))
        self._steps_per_epoch = pairs.steps_per_epoch
        _, self.query_of_pair = validation.distinct_queries()
        self._trainer = Trainer(dataset, pairs, validation, config, strategy, scratch)
        model = self._trainer.model
        self._begin = tf.train.Checkpoint(weights=model.weights, optimizer=model.optimizer)
        self._path = self._begin.write(str(scratch / "begin"))
        with strategy.scope():
            self._alpha = tf.Variable(config.loss.alpha, trainable=False, dtype=tf.float32)
        model.alpha = self._alpha

    def run(
        self,
        alpha: float,
        learning_rate: float,
        id_min_count: int = 0,
        *,
        usual: Probe | None = None,
    ) -> Probe:
        """Trains, by half if that leaves it hopelessly behind the usual probe's half."""
        self._begin.read(self._path).assert_consumed()
        self._alpha.assign(alpha)
        self._trainer.model.feature_embeddings.keep_ids(id_min_count)
        self._trainer.model.optimizer.learning_rate = learning_rate
        taken, halfway = 0, None
        ranks: npt.NDArray[np.int32] | None = None
        for batches, count in self._calls():
            self._trainer.take_steps(batches, count)
            taken += count
            if halfway is None and self._num_steps <= 2 * taken < 2 * self._num_steps:
                halfway = self._trainer.validation_ranks()
                if is_hopeless(usual, halfway, self.query_of_pair):
                    ranks = halfway
                    break
        given_up = ranks is not None
        if ranks is None:
            ranks = self._trainer.validation_ranks()
        drawn = self._trainer.model.num_drawn
        probe = Probe(
            alpha, learning_rate, ranks, drawn, id_min_count, taken, halfway, is_given_up=given_up
        )
        print(
            f"auto: probe of {taken:,} steps, {drawn} mixed negatives, ids from "
            f"{id_min_count} pairs on, alpha {alpha:g}, learning rate {learning_rate:g}: "
            f"validation Recall@{K} {probe.recall:.4f}{', given up' if given_up else ''}",
            flush=True,
        )
        return probe

    def _calls(self) -> Iterator[tuple[Iterator[Any], int]]:
        """Batches of a compiled call and how many of them it takes, for all steps of a probe."""
        left, epoch = self._num_steps, 0
        while left:
            in_epoch = min(left, self._steps_per_epoch)
            batches = self._trainer.batches(epoch)
            for begin in range(0, in_epoch, STEPS_PER_CALL):
                yield batches, min(STEPS_PER_CALL, in_epoch - begin)
            left, epoch = left - in_epoch, epoch + 1

    def try_others(
        self, usual: Probe, name: str, values: Sequence[float]
    ) -> tuple[Probe, list[Probe]]:
        """The first of other values of a setting that is better than the usual one, else that.

        Args:
          usual: a probe of this model.
          name: of the setting.
          values: of it, instead of the probe's.

        Returns:
          The probe chosen, and those of the values tried.
        """
        settings = {one: getattr(usual, one) for one in ("alpha", "learning_rate", "id_min_count")}
        tried: list[Probe] = []

        def probes() -> Iterator[Probe]:
            for value in values:
                tried.append(self.run(**(settings | {name: value}), usual=usual))
                yield tried[-1]

        return better(usual, probes(), self.query_of_pair), tried


def better(usual: Probe, others: Iterable[Probe], query_of_pair: npt.NDArray[np.intp]) -> Probe:
    """The first of the others that is better than the usual one beyond the noise, else that."""
    for other in others:
        if not other.is_given_up and uncertainty.is_ahead(
            other.ranks, usual.ranks, query_of_pair, K, MARGIN
        ):
            return other
    return usual


def is_hopeless(
    usual: Probe | None, halfway: npt.NDArray[np.int32], query_of_pair: npt.NDArray[np.intp]
) -> bool:
    """Whether a probe is far behind the usual one after half of the steps; of none it is not."""
    if usual is None or usual.halfway is None:
        return False
    return uncertainty.is_ahead(usual.halfway, halfway, query_of_pair, K, HOPELESS)
