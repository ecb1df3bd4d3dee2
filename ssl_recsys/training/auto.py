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
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from ssl_recsys import files, paths, schema
from ssl_recsys.config.run import RunConfig
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.identities import identities
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.errors import InputError
from ssl_recsys.methods import BASELINE
from ssl_recsys.options import own_fields
from ssl_recsys.training import run_dir
from ssl_recsys.training.probes import K, Probe, Probing, better
from ssl_recsys.training.train_options import TrainOptions

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
ALPHAS = (0.3, 0.0)
LEARNING_RATES = (0.2, 0.05)


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

        def with_negatives(drawn: int) -> Probing:
            # A count above 0 makes a model that can leave ids out; each probe says which.
            settings = {"mixed_negatives": drawn, "id_min_count": int(has_ids)}
            changed = _changed(config, settings)
            place = pathlib.Path(tempfile.mkdtemp(dir=scratch))
            return Probing(changed, dataset, validation, strategy, place, PROBE_SHARE)

        # One model at a time is in memory, and the usual one is made last.
        of_drawn = [with_negatives(share).run(USUAL_ALPHA, USUAL_LEARNING_RATE)] if share else []
        probing = with_negatives(0)
        usual = probing.run(USUAL_ALPHA, USUAL_LEARNING_RATE)
        mixed = better(usual, of_drawn, probing.query_of_pair)
        if mixed is not usual:
            del probing
            probing = with_negatives(mixed.mixed_negatives)
        counts = (ID_MIN_COUNT,) if has_ids else ()
        by_ids, of_ids = probing.try_others(mixed, "id_min_count", counts)
        best, of_alpha = probing.try_others(by_ids, "alpha", ALPHAS if config.ssl.tasks else ())
        chosen, of_rate = probing.try_others(best, "learning_rate", LEARNING_RATES)
    return _record(
        mixed_negatives=(mixed, usual, of_drawn),
        id_min_count=(by_ids, mixed, of_ids),
        alpha=(best, by_ids, of_alpha),
        learning_rate=(chosen, best, of_rate),
    )


def _record(
    **compared: tuple[Probe, Probe, Sequence[Probe]],
) -> tuple[dict[str, float], dict[str, str], list[dict[str, Any]]]:
    """What was chosen, why, and all probes.

    Args:
      **compared: by setting, in the order of the choices: the probe chosen, the one with the usual
        value and those with other values.
    """
    why = {name: _why(name, *probes) for name, probes in compared.items()}
    first, *_ = compared.values()
    tried = [first[1], *(probe for _, _, others in compared.values() for probe in others)]
    probes = [
        {name: getattr(probe, name) for name in compared}
        | {"steps": probe.num_steps, f"validation_recall@{K}": probe.recall}
        for probe in tried
    ]
    return {name: getattr(chosen, name) for name, (chosen, _, _) in compared.items()}, why, probes


def _why(name: str, chosen: Probe, usual: Probe, others: Sequence[Probe]) -> str:
    if not others:
        return "the usual value; there is no other to try"
    tried = ", ".join(_shown(name, [usual, *others]))
    reason = "the usual value" if chosen is usual else "better than the usual value beyond noise"
    return f"{reason}: validation Recall@{K} after {usual.num_steps:,} steps {tried}"


def _shown(name: str, probes: Sequence[Probe]) -> Iterator[str]:
    for probe in probes:
        given_up = f" (given up after {probe.num_steps:,})" if probe.is_given_up else ""
        yield f"{getattr(probe, name):g}: {probe.recall:.4f}{given_up}"
