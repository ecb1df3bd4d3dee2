"""The training loop: steps, validation, checkpoints, resume.

A custom loop rather than `fit`, because a run must continue in the middle of an epoch with the
very batches and random views that it would have had, and validate on the whole corpus between
epochs rather than by a metric inside the step.
"""

from __future__ import annotations

import math
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tqdm

from ssl_recsys import files
from ssl_recsys.config import RunConfig
from ssl_recsys.data.dataset import Dataset
from ssl_recsys.data.input_pipeline import TrainingPairs
from ssl_recsys.data.pairs import Pairs
from ssl_recsys.data.statistics import statistics_for
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import metrics
from ssl_recsys.evaluation.pairs import pair_ranks
from ssl_recsys.model.embedding import Embedder, embed_rows
from ssl_recsys.model.two_tower import TwoTowerModel
from ssl_recsys.schema import ITEM, QUERY, SIDES
from ssl_recsys.search.exact import ExactSearch
from ssl_recsys.training import run_dir
from ssl_recsys.training.optimizers import OrderedAdagrad
from ssl_recsys.training.strategies import distribute, is_chief

# Steps per compiled call. Reading the loss synchronises with the device, so it is read once a call.
_STEPS_PER_CALL = 16
_VALIDATION_KS = (10, 50)


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
        _check_strategy(config, training_pairs, strategy)
        self._dataset = dataset
        self._pairs = training_pairs
        self._validation_pairs = validation_pairs
        self._config = config
        self._strategy = strategy
        self._writes = is_chief(strategy)
        self._dir = model_dir if self._writes else model_dir / f"worker-{_task_id(strategy)}"
        tf.keras.utils.set_random_seed(config.training.seed)
        with strategy.scope():
            features = {side: dataset.features(side) for side in SIDES}
            self.model = TwoTowerModel(features, config, statistics_for(config, dataset))
            optimizer = OrderedAdagrad(
                config.training.learning_rate, static_shapes=self.model.static_shapes
            )
            optimizer.build([*self.model.table_variables, *self.model.dense_variables])
            self.model.compile(optimizer=optimizer)
        self._state = {
            "epoch": tf.Variable(0, dtype=tf.int64, trainable=False),
            "step_in_epoch": tf.Variable(0, dtype=tf.int64, trainable=False),
            "epochs_without_gain": tf.Variable(0, dtype=tf.int64, trainable=False),
            "best": tf.Variable(-1.0, dtype=tf.float64, trainable=False),
            "seconds": tf.Variable(0.0, dtype=tf.float64, trainable=False),
        }
        self._checkpoints = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=self.model, optimizer=optimizer, state=self._state),
            str(self._dir / run_dir.CHECKPOINT_DIR),
            max_to_keep=2,
        )
        self._best = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=self.model),
            str(self._dir / run_dir.BEST_DIR),
            max_to_keep=1,
        )
        self._history: list[dict[str, float]] = []
        self._last_parts: dict[str, float] = {}
        self._saved_at = time.monotonic()
        self._steps_function = self._make_steps_function()
        self._pretraining_function = self._make_steps_function(self_supervised_only=True)
        self._embedders = {side: self._make_embedder(side) for side in SIDES}

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
          InputError: if the loss stops being finite.
        """
        self._restore()
        writer = tf.summary.create_file_writer(str(self._dir / run_dir.LOG_DIR))
        with writer.as_default(), self._progress() as progress:
            while self.step < self.total_steps and not self._stops_early():
                self._train_epoch(progress)
                if self._read("step_in_epoch") < self._pairs.steps_per_epoch:
                    break  # max_steps came in the middle of an epoch
                self._end_epoch(progress)
            if self._read("step_in_epoch") > 0:
                self._end_epoch(progress)
        if self._best.latest_checkpoint:
            self._best.checkpoint.restore(self._best.latest_checkpoint).expect_partial()
        return self.model

    def _restore(self) -> None:
        latest = self._checkpoints.latest_checkpoint
        if latest is None:
            return
        self._checkpoints.checkpoint.restore(latest)
        history = self._dir / run_dir.HISTORY_FILE
        if history.is_file():
            self._history = files.read_json(history)[: int(self._read("epoch"))]
        print(f"resuming from step {self.step} of {self.total_steps} ({latest})", flush=True)

    def _train_epoch(self, progress: tqdm.tqdm) -> None:
        """Takes the rest of the epoch's steps, or those that `max_steps` leaves."""
        batches = self._batches(int(self._read("step_in_epoch")))
        while True:
            left = min(
                self._pairs.steps_per_epoch - int(self._read("step_in_epoch")),
                self.total_steps - self.step,
            )
            if left <= 0:
                return
            count = min(left, _STEPS_PER_CALL)
            begin = time.monotonic()
            parts = self._take_steps(batches, count)
            elapsed = time.monotonic() - begin
            self._state["step_in_epoch"].assign_add(count)
            self._state["seconds"].assign_add(elapsed)
            self._report(parts, count, elapsed, progress)
            if time.monotonic() - self._saved_at > 60 * self._config.training.checkpoint_minutes:
                self._save()

    def _take_steps(self, batches: Iterator[Any], count: int) -> dict[str, float]:
        """Mean losses of `count` steps; stops the run if one is not finite."""
        take_steps = self._pretraining_function if self._is_pretraining else self._steps_function
        totals = take_steps(batches, tf.constant(count))
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

    def _make_steps_function(self, *, self_supervised_only: bool = False) -> Any:
        strategy, model = self._strategy, self.model
        jit_compile = self._config.training.jit_compile or None
        local_size = self._pairs.batch_size // strategy.num_replicas_in_sync

        @tf.function(jit_compile=jit_compile)
        def train_step(batch: Any) -> dict[str, tf.Tensor]:
            # Multi-worker iterators lose the static batch dimension; restore it.
            batch = tf.nest.map_structure(
                lambda tensor: tf.ensure_shape(tensor, [local_size, *tensor.shape[1:]]), batch
            )
            return model.train_step(batch, self_supervised_only=self_supervised_only)

        def one_step(batches: Iterator[Any]) -> dict[str, tf.Tensor]:
            parts = strategy.run(train_step, args=(next(batches),))
            # Each replica holds its share of the global mean.
            return {
                name: strategy.reduce(tf.distribute.ReduceOp.SUM, part, axis=None)
                for name, part in parts.items()
            }

        @tf.function
        def steps(batches: Iterator[Any], count: tf.Tensor) -> dict[str, tf.Tensor]:
            totals = one_step(batches)
            for _ in tf.range(count - 1):
                parts = one_step(batches)
                totals = {name: total + parts[name] for name, total in totals.items()}
            return totals

        return steps

    def _make_embedder(self, side: str) -> Embedder:
        return tf.function(lambda features: self.model.embed(side, features), reduce_retracing=True)

    def _batches(self, skip_steps: int) -> Iterator[Any]:
        epoch = int(self._read("epoch"))
        return iter(
            distribute(
                self._strategy, lambda context: self._pairs.epoch(epoch, skip_steps, context)
            )
        )

    def _end_epoch(self, progress: tqdm.tqdm) -> None:
        """Validates, keeps the best weights, saves."""
        record = {
            "epoch": int(self._read("epoch")) + 1,
            "step": self.step,
            "seconds": float(self._read("seconds")),
            **self._last_parts,
        }
        if self._validation_pairs:
            record.update(self._validate())
            score = record[f"validation_{metrics.VALIDATION_METRIC}"]
            progress.set_postfix_str(f"validation {metrics.VALIDATION_METRIC} {score:.4f}")
            self._keep_if_best(score)
        self._history.append(record)
        if self._writes:
            files.write_json(self._dir / run_dir.HISTORY_FILE, self._history)
        self._state["epoch"].assign_add(1)
        self._state["step_in_epoch"].assign(0)
        self._save()

    def _validate(self) -> dict[str, float]:
        """Recall and MAP of the validation pairs against the whole corpus."""
        queries, query_of_pair = self._validation_pairs.distinct_queries()
        embeddings = {
            side: embed_rows(self._embedders[side], self._dataset.catalog(side), rows)
            for side, rows in ((ITEM, None), (QUERY, queries))
        }
        excludes = self._config.training.exclude_query
        ranks = pair_ranks(
            ExactSearch(embeddings[ITEM]),
            embeddings[QUERY],
            query_of_pair,
            self._validation_pairs.item_row,
            max(_VALIDATION_KS),
            own_item_row=self._dataset.info.own_item_rows(queries) if excludes else None,
        )
        values = {
            f"{name}@{k}": float(function(ranks, k))
            for name, function in (("recall", metrics.recall_at), ("map", metrics.map_at))
            for k in _VALIDATION_KS
        }
        for name, value in values.items():
            tf.summary.scalar(f"validation/{name}", value, step=self.step)
        return {f"validation_{name}": value for name, value in values.items()}

    def _keep_if_best(self, value: float) -> None:
        if value > self._read("best"):
            self._state["best"].assign(value)
            self._state["epochs_without_gain"].assign(0)
            self._best.save(self.step)
        elif not self._is_pretraining:
            self._state["epochs_without_gain"].assign_add(1)

    def _stops_early(self) -> bool:
        patience = self._config.training.patience
        return bool(patience) and self._read("epochs_without_gain") >= patience

    def _save(self) -> None:
        self._checkpoints.save(self.step)
        self._saved_at = time.monotonic()

    def _read(self, name: str) -> float:
        return self._state[name].numpy()

    def _progress(self) -> tqdm.tqdm:
        return tqdm.tqdm(
            desc=f"train {self._config.ssl.method}",
            total=self.total_steps,
            initial=self.step,
            unit="step",
            disable=not self._writes,
            mininterval=1.0,
        )

    def _report(
        self, parts: dict[str, float], count: int, seconds: float, progress: tqdm.tqdm
    ) -> None:
        self._last_parts = parts
        progress.set_description_str(
            f"train {self._config.ssl.method} epoch {int(self._read('epoch')) + 1} "
            f"loss {parts['loss']:.4f}",
            refresh=False,
        )
        progress.update(count)
        for name, value in parts.items():
            tf.summary.scalar(f"train/{name}", value, step=self.step)
        tf.summary.scalar("train/steps_per_second", count / seconds, step=self.step)


def _check_strategy(
    config: RunConfig, pairs: TrainingPairs, strategy: tf.distribute.Strategy
) -> None:
    replicas = strategy.num_replicas_in_sync
    if pairs.batch_size % replicas:
        raise InputError(
            f"the global batch of {pairs.batch_size} pairs cannot be divided among {replicas} "
            f"replicas; choose a --batch_size that is a multiple of {replicas}"
        )
    if (
        config.training.jit_compile
        and replicas > 1
        and not isinstance(strategy, tf.distribute.TPUStrategy)
    ):
        raise InputError(
            "--jit_compile works on one GPU or CPU, since XLA cannot compile the exchange between "
            f"replicas (here {replicas}); leave it off (a TPU is always compiled)"
        )


def _task_id(strategy: tf.distribute.Strategy) -> int:
    resolver = strategy.cluster_resolver
    return int(resolver.task_id) if resolver is not None else 0
