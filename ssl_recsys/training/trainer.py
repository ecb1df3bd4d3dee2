"""The training loop: steps, validation, checkpoints, resume.

A custom loop rather than `fit`, because a run must continue in the middle of an epoch with the
very batches and random views that it would have had, and validate on the whole corpus between
epochs rather than by a metric inside the step.
"""

from __future__ import annotations

import math
import pathlib
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ssl_recsys import files, paths
from ssl_recsys.config.run import RunConfig
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.input_pipeline import TrainingPairs
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.data.statistics import statistics_for
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import metrics
from ssl_recsys.evaluation.pairs import rank_pairs
from ssl_recsys.model.embedding import embed_rows
from ssl_recsys.model.two_tower import TwoTowerModel
from ssl_recsys.schema import ITEM, SIDES
from ssl_recsys.training import run_dir, warm_start
from ssl_recsys.training.averaging import AveragedWeights
from ssl_recsys.training.checkpoints import remove_unfinished, restore_newest
from ssl_recsys.training.checks import check_select_by, check_strategy
from ssl_recsys.training.progress import Progress
from ssl_recsys.training.steps import compile_embedder, compile_steps, make_model
from ssl_recsys.training.stop_signals import StopSignals, stopped
from ssl_recsys.training.strategies import distribute
from ssl_recsys.training.workers import Workers

# Steps per compiled call. Reading the loss synchronises with the device, so it is read once a call.
STEPS_PER_CALL = 16


class Trainer:
    """One training run.

    Args:
      dataset: the dataset.
      training_pairs: the batches.
      validation_pairs: pairs to validate on after each epoch; none switch validation off.
      config: the run's configuration.
      strategy: where to train.
      model_dir: the run's directory, made by `run_dir.open_run`.

    Raises:
      InputError: if the batch cannot be divided among the replicas, or the configuration does
        not fit the strategy.
    """

    def __init__(
        self,
        dataset: Dataset,
        training_pairs: TrainingPairs,
        validation_pairs: Pairs,
        config: RunConfig,
        strategy: tf.distribute.Strategy,
        model_dir: pathlib.Path,
    ):
        check_strategy(config, training_pairs, strategy)
        self._dataset = dataset
        self._pairs = training_pairs
        self._validation_pairs = validation_pairs
        self._config = config
        self._strategy = strategy
        self._workers = Workers(strategy)
        self._dir = model_dir
        head_items = metrics.head_items(dataset.info.head, dataset.catalog(ITEM).train_count)
        self._is_head = head_items[validation_pairs.item_row]  # [validation pairs]
        check_select_by(config.training.select_by, self._is_head)
        features = {side: dataset.features(side) for side in SIDES}
        statistics = statistics_for(config, dataset, training_pairs.row_counts)
        self.model = make_model(features, config, strategy, statistics)
        self._state = {
            "epoch": tf.Variable(0, dtype=tf.int64, trainable=False),
            "step_in_epoch": tf.Variable(0, dtype=tf.int64, trainable=False),
            "epochs_without_gain": tf.Variable(0, dtype=tf.int64, trainable=False),
            "best": tf.Variable(-1.0, dtype=tf.float64, trainable=False),
            "seconds": tf.Variable(0.0, dtype=tf.float64, trainable=False),
        }
        with strategy.scope():
            self._average = AveragedWeights(self.model.weights, config.training.weight_averaging)
        state = {**self._state, "average": self._average}
        self._checkpoints = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=self.model, optimizer=self.model.optimizer, state=state),
            str(self._dir / run_dir.CHECKPOINT_DIR),
            max_to_keep=2,
        )
        self._best = tf.train.CheckpointManager(
            tf.train.Checkpoint(weights=self.model.all_weights),  # without the optimizer's
            str(self._dir / run_dir.BEST_DIR),
            max_to_keep=1,
        )
        self._history: list[dict[str, Any]] = []
        self._last_parts: dict[str, float] = {}
        self._saved_at = time.monotonic()
        self._stop = StopSignals()
        self._is_traced = False
        self._is_best = False  # the model has the weights that validated best
        self._joint_steps, self._pretraining_steps = (
            compile_steps(
                self.model,
                strategy,
                batch_size=training_pairs.batch_size,
                jit_compile=config.training.jit_compile,
                self_supervised_only=self_supervised_only,
            )
            for self_supervised_only in (False, True)
        )
        self._embedders = {side: compile_embedder(self.model, side) for side in SIDES}

    @property
    def step(self) -> int:
        """Number of steps taken, earlier sessions included."""
        return int(self.model.optimizer.iterations.numpy())

    @property
    def total_steps(self) -> int:
        """Number of steps that the run takes unless it stops early."""
        training = self._config.training
        total = training.max_epochs * self._pairs.steps_per_epoch
        return min(total, training.max_steps) if training.max_steps else total

    def train(self) -> TwoTowerModel:
        """Trains to the end, from the newest checkpoint if there is one.

        Returns:
          The model with the weights of the epoch that validated best, or the last ones where
          nothing was validated.

        Raises:
          InputError: if the loss stops being finite, or the best weights are damaged.
          Stopped: by SIGTERM or SIGINT to any worker, once a checkpoint is written.
          WorkerLostError: if another worker is gone.
        """
        with self._workers.watched():
            self._restore()
            self._train()
        if self._is_best or not self._workers.is_chief:
            return self.model
        # The last weights never stand in for the best ones unnoticed.
        if restore_newest(self._best) is None:
            if self._read("best") >= 0:
                raise InputError(
                    f"the weights that validated best are gone from {self._best.directory}; "
                    "restore them, or delete the model directory and train again"
                )
            self._average.put_in()
        return self.model

    def _train(self) -> None:
        writer = tf.summary.create_noop_writer()
        if self._workers.is_chief:
            writer = tf.summary.create_file_writer(str(self._dir / run_dir.LOG_DIR))
        show = Progress(
            self._config.ssl.method,
            total_steps=self.total_steps,
            step=self.step,
            total_epochs=self._config.training.max_epochs,
            shown=self._workers.is_chief,
        )
        with self._stop.caught(), writer.as_default(), show as progress:
            while self.step < self.total_steps and not self._stops_early():
                self._train_epoch(progress)
                if self._read("step_in_epoch") < self._pairs.steps_per_epoch:
                    break  # max_steps came in the middle of an epoch
                self._end_epoch(progress)
            if self._read("step_in_epoch") > 0:
                self._end_epoch(progress)

    def _restore(self) -> None:
        latest = None
        if self._workers.is_chief:
            remove_unfinished(paths.as_path(self._best.directory))
            latest = restore_newest(self._checkpoints)
        if not any(self._workers.any(latest is not None)):
            if old := self._config.training.init_from:
                warm_start.begin(self.model, self._dataset, old, self._dir, self._workers.is_chief)
            return
        state = [*self.model.variables, *self.model.optimizer.variables()]
        state += [*self._state.values(), *self._average.averages]
        self._workers.share(state)
        if not self._workers.is_chief:
            return
        history = self._dir / run_dir.HISTORY_FILE
        if history.is_file():
            self._history = files.read_json(history, list)[: int(self._read("epoch"))]
        print(f"resuming from step {self.step} of {self.total_steps} ({latest})", flush=True)

    def _train_epoch(self, progress: Progress) -> None:
        """Takes the rest of the epoch's steps, or those that `max_steps` leaves."""
        batches = self.batches(int(self._read("epoch")), int(self._read("step_in_epoch")))
        while True:
            left = min(
                self._pairs.steps_per_epoch - int(self._read("step_in_epoch")),
                self.total_steps - self.step,
            )
            if left <= 0:
                return
            count = min(left, STEPS_PER_CALL)
            if not self._is_traced:
                progress.tracing()
                self._is_traced = True
            begin = time.monotonic()
            parts = self.take_steps(batches, count)
            elapsed = time.monotonic() - begin
            self._is_best = False
            self._state["step_in_epoch"].assign_add(count)
            self._state["seconds"].assign_add(elapsed)
            self._report(parts, count, elapsed)
            progress.steps(int(self._read("epoch")) + 1, count, parts["loss"])
            is_due = self._saved_at + 60 * self._config.training.checkpoint_minutes
            received = self._stop.received
            terminated, interrupted, saves = self._workers.any(
                received == signal.SIGTERM,
                received == signal.SIGINT,
                self._workers.is_chief and time.monotonic() > is_due,
            )
            if terminated or interrupted or saves:
                self._save()
            if terminated or interrupted:
                raise stopped(self.step, signal.SIGTERM if terminated else signal.SIGINT)
            if saves:
                progress.saved(int(self._read("epoch")) + 1)

    def take_steps(self, batches: Iterator[Any], count: int) -> dict[str, float]:
        """Takes steps in one compiled call, and nothing else: no validation, no checkpoint.

        Args:
          batches: from `batches`; at least `count` are left.
          count: number of steps, at least 1.

        Returns:
          The mean losses, by name.

        Raises:
          InputError: if the loss is not finite.
        """
        steps = self._pretraining_steps if self._is_pretraining else self._joint_steps
        totals = steps(batches, tf.constant(count))
        parts = {name: float(total.numpy()) / count for name, total in totals.items()}
        if not math.isfinite(parts["loss"]):
            raise InputError(
                f"the loss stopped being finite before step {self.step} "
                f"({', '.join(f'{name}={value}' for name, value in parts.items())}). Lower "
                "--learning_rate or raise --temperature, then run again in another --model_dir; "
                f"{self._dir / run_dir.CHECKPOINT_DIR} keeps the last good weights"
            )
        return parts

    @property
    def _is_pretraining(self) -> bool:
        return self._read("epoch") < self._config.training.pretrain_epochs

    def embed(self, side: str, rows: npt.NDArray[np.integer] | None = None) -> np.ndarray:
        """`[rows, dim]` float32 embeddings of rows of a side's catalog, all by default."""
        return embed_rows(self._embedders[side], self._dataset.catalog(side), rows)

    def validation_ranks(self) -> npt.NDArray[np.int32]:
        """`[validation pairs]` ranks in the whole corpus."""
        exclude = self._config.training.exclude_query
        own = self._dataset.info.own_item_rows if exclude else None
        most = max(metrics.DEFAULT_KS)
        return rank_pairs(self.embed, self._validation_pairs, most, own_item_rows=own)

    def batches(self, epoch: int, skip_steps: int = 0) -> Iterator[Any]:
        """The batches of an epoch, from 0, without its first `skip_steps`."""
        return iter(
            distribute(
                self._strategy, lambda context: self._pairs.epoch(epoch, skip_steps, context)
            )
        )

    def _end_epoch(self, progress: Progress) -> None:
        """Validates, keeps the best weights, saves."""
        record: dict[str, Any] = {
            "epoch": int(self._read("epoch")) + 1,
            "step": self.step,
            "seconds": float(self._read("seconds")),
            **self._last_parts,
        }
        values: dict[str, Any] = {}
        select_by = self._config.training.select_by
        self._average.update(is_first=self._read("epoch") == 0)
        if self._validation_pairs:
            with self._average.in_place():
                values = self._validate()
                self._keep_if_best(values[select_by])
            record |= {f"validation_{name}": value for name, value in values.items()}
            self._workers.share(self._state.values())  # so that all stop at the same epoch
        progress.epoch(int(self._read("epoch")) + 1, values, select_by)
        self._history.append(record)
        if self._workers.is_chief:
            files.write_json(self._dir / run_dir.HISTORY_FILE, self._history)
        self._state["epoch"].assign_add(1)
        self._state["step_in_epoch"].assign(0)
        self._save()

    def _validate(self) -> dict[str, Any]:
        """`metrics.SELECTABLE` of the validation pairs against the whole corpus."""
        slices = metrics.slice_metrics(self.validation_ranks(), self._is_head)
        values = {name: metrics.selected(slices, name) for name in metrics.SELECTABLE}
        for name, value in values.items():
            if value is not None:
                tf.summary.scalar(f"validation/{name}", value, step=self.step)
        return values

    def _keep_if_best(self, value: float) -> None:
        if value > self._read("best"):
            self._state["best"].assign(value)
            self._state["epochs_without_gain"].assign(0)
            if self._workers.is_chief:
                self._best.save(self.step)
            self._is_best = not self._average.averages  # else they are put away again
        elif not self._is_pretraining:
            self._state["epochs_without_gain"].assign_add(1)

    def _stops_early(self) -> bool:
        patience = self._config.training.patience
        return bool(patience) and self._read("epochs_without_gain") >= patience

    def _save(self) -> None:
        if self._workers.is_chief:
            self._checkpoints.save(self.step)
        self._saved_at = time.monotonic()

    def _read(self, name: str) -> float:
        return self._state[name].numpy()

    def _report(self, parts: dict[str, float], count: int, seconds: float) -> None:
        self._last_parts = parts
        for name, value in parts.items():
            tf.summary.scalar(f"train/{name}", value, step=self.step)
        tf.summary.scalar("train/steps_per_second", count / seconds, step=self.step)
