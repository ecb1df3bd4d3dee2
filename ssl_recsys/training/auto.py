"""Settings that choose themselves: by the number of training pairs, and by probes.

`--auto` chooses batch, epochs and patience by size, so that patience and length are about the same
number of steps on any catalogue, and mixed negatives, the pairs that an id needs, alpha and
learning rate by short trainings that are compared on the validation pairs. A probe replaces the
usual value only if it is better beyond the noise of the validation queries. docs/training.md
describes the rules and what they were measured on.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ssl_recsys import files, paths, schema
from ssl_recsys.config.run import RunConfig
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.identities import identities
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import metrics, uncertainty
from ssl_recsys.methods import BASELINE
from ssl_recsys.options import own_fields
from ssl_recsys.training import run_dir
from ssl_recsys.training.batches import training_pairs
from ssl_recsys.training.train_options import TrainOptions
from ssl_recsys.training.trainer import STEPS_PER_CALL, Trainer

CHOSEN = (
    "batch_size",
    "passes_per_epoch",
    "max_epochs",
    "patience",
    "mixed_negatives",
    "id_min_count",
    "alpha",
    "learning_rate",
)
# What two of them are unless a probe is better; of the others, whose usual value is 0, a batch's
# share of mixed negatives, and pairs that an id needs, that are tried instead.
USUAL_LEARNING_RATE = 0.1
USUAL_ALPHA = 0.1
MIXED_SHARE = 1 / 4
ID_MIN_COUNT = 8
# Batches are the power of two nearest to the square root of the training pairs, within these.
LEAST_BATCH, MOST_BATCH = 64, 8192
# Steps between two validations, at least.
EPOCH_STEPS = 50
# A run ends after so many steps, or epochs if those are more, or so many steps (epochs) without a
# gain.
MOST_STEPS, LEAST_EPOCHS = 4000, 6
PATIENCE_STEPS, PATIENCE_EPOCHS = 400, 2
# Steps of a probe: this share of the longest run.
PROBE_SHARE = 1 / 12
# Values on either side of the usual ones. If the first is better, the second is not tried.
ALPHAS = (1.0, 0.0)
LEARNING_RATES = (0.2, 0.05)
# Standard errors of the difference by which another value must be better than the usual one.
MARGIN = 1.0
_K = 50


@dataclasses.dataclass(frozen=True)
class Probe:
    """A short training.

    Attributes:
      alpha: weight of the self-supervised losses.
      learning_rate: Adagrad's.
      ranks: `[validation pairs]` ranks after it.
      mixed_negatives: items drawn for a batch.
      id_min_count: pairs that an id needs.
    """

    alpha: float
    learning_rate: float
    ranks: npt.NDArray[np.int32]
    mixed_negatives: int = 0
    id_min_count: int = 0

    @property
    def recall(self) -> float:
        """Validation Recall@50."""
        return metrics.recall_at(self.ranks, _K)


def by_size(num_pairs: int) -> dict[str, int]:
    """Batch, passes, epochs and patience for a number of training pairs.

    Args:
      num_pairs: at least 1.

    Returns:
      Settings of `TrainingConfig` by name.
    """
    batch = 2 ** round(math.log2(math.sqrt(num_pairs)))
    batch = max(2, min(max(batch, LEAST_BATCH), MOST_BATCH, num_pairs))
    steps_of_a_pass = max(1, num_pairs // batch)
    passes = -(-EPOCH_STEPS // steps_of_a_pass)
    epoch_steps = max(1, num_pairs * passes // batch)
    return {
        "batch_size": batch,
        "passes_per_epoch": passes,
        "max_epochs": max(LEAST_EPOCHS, -(-MOST_STEPS // epoch_steps)),
        "patience": max(PATIENCE_EPOCHS, -(-PATIENCE_STEPS // epoch_steps)),
    }


def recorded(options: TrainOptions) -> TrainOptions:
    """The options with what an earlier start of the run chose; as they are if none did.

    Raises:
      InputError: for a damaged record, or a setting that is given and to be chosen.
    """
    if options.auto:
        _check_none_is_given(options)
    path = paths.as_path(options.model_dir) / run_dir.AUTO_FILE
    if not (options.auto and options.resume and path.is_file()):
        return options
    record = files.read_json(path)
    files.check_types(str(path), record, {"chosen": dict, "why": dict, "probes": list})
    return _with(options, record["chosen"])


def _check_none_is_given(options: TrainOptions) -> None:
    for section in (options.run.tower, options.run.loss, options.run.training):
        for field in own_fields(type(section)):
            if field.name in CHOSEN and getattr(section, field.name) != field.default:
                raise InputError(f"--auto chooses --{field.name}; leave out one of the two")


def choose(
    options: TrainOptions, dataset: Dataset, validation: Pairs, strategy: tf.distribute.Strategy
) -> tuple[TrainOptions, dict[str, Any]]:
    """Chooses the settings of a run.

    Args:
      options: the run's, with `auto`.
      dataset: what it trains on.
      validation: the pairs that probes are compared on; none leave the usual values.
      strategy: where it trains.

    Returns:
      The options with the settings, and the record for `auto.json`.

    Raises:
      InputError: with several workers, or if a probe fails.
    """
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        raise InputError(
            "--auto probes on one machine; run it there with --max_steps=1, take the settings from "
            f"{run_dir.AUTO_FILE}, and give them to all workers"
        )
    share = options.run.training.train_fraction
    num_pairs = max(1, round(dataset.info.num_pairs[schema.TRAIN] * share))
    chosen: dict[str, Any] = by_size(num_pairs)
    why = dict.fromkeys(chosen, f"{num_pairs:,} training pairs")
    usual: dict[str, Any] = {"mixed_negatives": 0, "id_min_count": 0}
    usual |= {"alpha": USUAL_ALPHA, "learning_rate": USUAL_LEARNING_RATE}
    why |= dict.fromkeys(usual, "the usual value; there are no validation pairs to probe on")
    probes: list[dict[str, Any]] = []
    if validation:
        sized = _with(options, chosen | usual)
        usual, reasons, probes = _probe(sized.run, dataset, validation, strategy)
        why |= reasons
    chosen |= usual
    if not chosen["alpha"]:
        chosen["method"] = BASELINE
    for name, value in chosen.items():
        print(f"auto: --{name}={value}  ({why.get(name, why['alpha'])})", flush=True)
    return _with(options, chosen), {"chosen": chosen, "why": why, "probes": probes}


def _with(options: TrainOptions, chosen: dict[str, Any]) -> TrainOptions:
    """The options with settings in place of `auto`."""
    return dataclasses.replace(options, auto=False, run=_changed(options.run, chosen))


def _changed(config: RunConfig, settings: dict[str, Any]) -> RunConfig:
    """The configuration with other values of settings, each in the section that has it."""
    parts = {}
    for field in dataclasses.fields(config):
        section = getattr(config, field.name)
        values = {key: value for key, value in settings.items() if hasattr(section, key)}
        parts[field.name] = dataclasses.replace(section, **values)
    return dataclasses.replace(config, **parts)


def _probe(
    config: RunConfig, dataset: Dataset, validation: Pairs, strategy: tf.distribute.Strategy
) -> tuple[dict[str, float], dict[str, str], list[dict[str, Any]]]:
    """Mixed negatives, ids of few pairs, alpha, then the learning rate; why; and all probes."""
    replicas = strategy.num_replicas_in_sync
    share = round(MIXED_SHARE * config.training.batch_size / replicas) * replicas
    has_ids = bool(identities(dataset.info))
    with tempfile.TemporaryDirectory() as scratch:

        def with_negatives(drawn: int) -> _Probing:
            # A count above 0 makes a model that can leave ids out; each probe says which.
            settings = {"mixed_negatives": drawn, "id_min_count": int(has_ids)}
            changed = _changed(config, settings)
            place = pathlib.Path(tempfile.mkdtemp(dir=scratch))
            return _Probing(changed, dataset, validation, strategy, place)

        # One model at a time is in memory, and the usual one is made last.
        of_drawn = [with_negatives(share).run(USUAL_ALPHA, USUAL_LEARNING_RATE)] if share else []
        probing = with_negatives(0)
        usual = probing.run(USUAL_ALPHA, USUAL_LEARNING_RATE)
        mixed = _better(usual, of_drawn, probing.query_of_pair)
        if mixed is not usual:
            del probing
            probing = with_negatives(mixed.mixed_negatives)
        counts = (ID_MIN_COUNT,) if has_ids else ()
        by_ids, of_ids = probing.try_others(mixed, "id_min_count", counts)
        best, of_alpha = probing.try_others(by_ids, "alpha", ALPHAS if config.ssl.tasks else ())
        chosen, of_rate = probing.try_others(best, "learning_rate", LEARNING_RATES)
    return _record(
        probing.num_steps,
        mixed_negatives=(mixed, usual, of_drawn),
        id_min_count=(by_ids, mixed, of_ids),
        alpha=(best, by_ids, of_alpha),
        learning_rate=(chosen, best, of_rate),
    )


def _record(
    num_steps: int, **compared: tuple[Probe, Probe, Sequence[Probe]]
) -> tuple[dict[str, float], dict[str, str], list[dict[str, Any]]]:
    """What was chosen, why, and all probes.

    Args:
      num_steps: of a probe.
      **compared: by setting, in the order of the choices: the probe chosen, the one with the usual
        value and those with other values.
    """
    why = {name: _why(name, *probes, num_steps) for name, probes in compared.items()}
    first, *_ = compared.values()
    tried = [first[1], *(probe for _, _, others in compared.values() for probe in others)]
    probes = [
        {name: getattr(probe, name) for name in compared}
        | {"steps": num_steps, f"validation_recall@{_K}": probe.recall}
        for probe in tried
    ]
    return {name: getattr(chosen, name) for name, (chosen, _, _) in compared.items()}, why, probes


class _Probing:
    """Short trainings of one model, traced once, from the same weights on the same batches."""

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        validation: Pairs,
        strategy: tf.distribute.Strategy,
        scratch: pathlib.Path,
    ):
        pairs = training_pairs(config, dataset)
        self.num_steps = max(
            1, round(PROBE_SHARE * config.training.max_epochs * pairs.steps_per_epoch)
        )
        self._steps_per_epoch = pairs.steps_per_epoch
        _, self.query_of_pair = validation.distinct_queries()
        self._trainer = Trainer(dataset, pairs, validation, config, strategy, scratch)
        model = self._trainer.model
        self._begin = tf.train.Checkpoint(weights=model.weights, optimizer=model.optimizer)
        self._path = self._begin.write(str(scratch / "begin"))
        with strategy.scope():
            self._alpha = tf.Variable(config.loss.alpha, trainable=False, dtype=tf.float32)
        model.alpha = self._alpha

    def run(self, alpha: float, learning_rate: float, id_min_count: int = 0) -> Probe:
        self._begin.read(self._path).assert_consumed()
        self._alpha.assign(alpha)
        self._trainer.model.feature_embeddings.keep_ids(id_min_count)
        self._trainer.model.optimizer.learning_rate = learning_rate
        left, epoch = self.num_steps, 0
        while left:
            in_epoch = min(left, self._steps_per_epoch)
            batches = self._trainer.batches(epoch)
            for begin in range(0, in_epoch, STEPS_PER_CALL):
                self._trainer.take_steps(batches, min(STEPS_PER_CALL, in_epoch - begin))
            left, epoch = left - in_epoch, epoch + 1
        drawn = self._trainer.model.num_drawn
        ranks = self._trainer.validation_ranks()
        probe = Probe(alpha, learning_rate, ranks, drawn, id_min_count)
        print(
            f"auto: probe of {self.num_steps:,} steps, {drawn} mixed negatives, ids from "
            f"{id_min_count} pairs on, alpha {alpha:g}, learning rate {learning_rate:g}: "
            f"validation Recall@{_K} {probe.recall:.4f}",
            flush=True,
        )
        return probe

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
                tried.append(self.run(**(settings | {name: value})))
                yield tried[-1]

        return _better(usual, probes(), self.query_of_pair), tried


def _better(usual: Probe, others: Iterable[Probe], query_of_pair: npt.NDArray[np.intp]) -> Probe:
    """The first of the others that is better than the usual one beyond the noise, else that."""
    for other in others:
        error = uncertainty.standard_error(usual.ranks, other.ranks, query_of_pair, _K)
        if other.recall - usual.recall > MARGIN * error:
            return other
    return usual


def _why(name: str, chosen: Probe, usual: Probe, others: Sequence[Probe], num_steps: int) -> str:
    if not others:
        return "the usual value; there is no other to try"
    tried = ", ".join(_shown(name, [usual, *others]))
    reason = "the usual value" if chosen is usual else "better than the usual value beyond noise"
    return f"{reason}: validation Recall@{_K} after {num_steps:,} steps {tried}"


def _shown(name: str, probes: Sequence[Probe]) -> Iterator[str]:
    for probe in probes:
        yield f"{getattr(probe, name):g}: {probe.recall:.4f}"
