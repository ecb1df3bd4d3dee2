"""The two-tower model with self-supervised tasks: L = L_main + alpha * L_self, Eq. (4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from ssl_recsys import losses
from ssl_recsys.config import FEATURE_MASKING, RunConfig, resolve_fm_groups
from ssl_recsys.features import Activations, FeatureEmbeddings, Features, LookedUp
from ssl_recsys.replicas import ReplicaBatch
from ssl_recsys.schema import FeatureSpec
from ssl_recsys.ssl_tasks import EncodedSide, SSLTasks, fold_in
from ssl_recsys.strategies import needs_static_shapes
from ssl_recsys.towers import Tower

QUERY = "query"
ITEM = "item"
SIDES = (QUERY, ITEM)

# A training batch: {"query": Features, "item": Features, "item_row": [batch] int32,
# "item_log_q": [batch] float32} and, where SSL draws from the catalog, {"ssl": Features}.
Batch = Mapping[str, Any]


class TwoTowerModel(tfrs.Model):
    """Two towers over shared embedding tables, with self-supervised tasks.

    Made in the scope of the strategy that it is trained under.

    Args:
      specs: the dataset's features.
      config: the run's configuration.

    Raises:
      InputError: if the configuration does not fit the features.
    """

    def __init__(self, specs: Sequence[FeatureSpec], config: RunConfig):
        super().__init__(name="two_tower")
        self._config = config
        self._ssl_sides = SIDES if config.ssl.side == "both" else (config.ssl.side,)
        compute_dtype = "bfloat16" if config.training.mixed_precision else "float32"
        self._arithmetic = tf.as_dtype(compute_dtype)
        self.feature_embeddings = FeatureEmbeddings(
            specs,
            config.tower.embedding_dim,
            static_shapes=config.training.jit_compile
            or needs_static_shapes(tf.distribute.get_strategy()),
            pooling=config.tower.pooling,
        )
        self.towers = {
            side: Tower(
                self.feature_embeddings.widths,
                config.tower.hidden_layers,
                name=f"{side}_tower",
                compute_dtype=compute_dtype,
            )
            for side in SIDES
        }
        groups: tuple[tuple[str, ...], ...] = ()
        if FEATURE_MASKING in config.ssl.tasks:
            groups = resolve_fm_groups(config.ssl.fm_groups, specs)
        # DO drops features on the item side, whatever side the SSL tasks are on.
        task_sides = (ITEM,) if config.ssl.drops_in_main_task else self._ssl_sides
        self.ssl_tasks = {
            side: SSLTasks(
                specs,
                config.ssl,
                groups,
                self.feature_embeddings.widths,
                temperature=config.loss.temperature,
                compute_dtype=compute_dtype,
                name=f"{side}_ssl",
            )
            for side in task_sides
        }

    def embed(self, side: str, features: Features) -> tf.Tensor:
        """`[batch, max_values]` features to `[batch, dim]` embeddings, as in serving."""
        return self.towers[side](self.feature_embeddings(features).activations)

    def call(self, features: Features) -> tf.Tensor:
        """Item embeddings, `[batch, dim]`."""
        return self.embed(ITEM, features)

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """Replica's share of L_main + alpha * L_self, Eq. (4)."""
        parts = self.compute_losses(inputs, self._step(), training)
        return parts["loss"]

    def compute_losses(
        self, inputs: Batch, step: int | tf.Tensor, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """Computes every loss of a batch.

        Args:
          inputs: the batch, see `Batch`.
          step: number of the step; with the run's seed it decides all random views.
          training: whether DO drops features in the main task.

        Returns:
          `loss`, the joint loss; `main`; and `<task>_<side>` for each self-supervised task.
          Scalars: this replica's shares of the means over the global batch.
        """
        batch = ReplicaBatch.here(inputs["item_row"].shape[0])
        seed = fold_in(tf.constant([self._config.training.seed, 0]), step)
        looked_up = self._look_up(inputs)
        main = {side: looked_up[side].activations for side in SIDES}
        if training and self._config.ssl.drops_in_main_task:
            main[ITEM] = self.ssl_tasks[ITEM].dropped(looked_up[ITEM], batch, fold_in(seed, 0))
        embeddings, ssl_sides = self._encode(looked_up, main, batch, seed)
        parts = {"main": self._main_loss(embeddings, inputs, batch)}
        for side, encoded in ssl_sides.items():
            task_losses = self.ssl_tasks[side](encoded, batch)
            parts.update({f"{task}_{side}": loss for task, loss in task_losses.items()})
        self_supervised = [loss for name, loss in parts.items() if name != "main"]
        if self_supervised:
            parts["loss"] = parts["main"] + self._config.loss.alpha * tf.add_n(self_supervised)
        else:
            parts["loss"] = parts["main"]
        return parts

    def train_step(self, inputs: Batch) -> dict[str, tf.Tensor]:
        """One update; returns this replica's shares of the losses (see `compute_losses`)."""
        with tf.GradientTape() as tape:
            parts = self.compute_losses(inputs, self._step())
        variables = self.trainable_variables
        gradients = tape.gradient(parts["loss"], variables)
        self.optimizer.apply_gradients(
            (gradient, variable)
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is not None
        )
        return parts

    def _step(self) -> tf.Tensor:
        return tf.cast(self.optimizer.iterations, tf.int32)

    def _look_up(self, inputs: Batch) -> dict[str, LookedUp]:
        """One look-up per feature for all sides, since the tables are shared."""
        sources = [QUERY, ITEM, *(["ssl"] if self._draws_apart else [])]
        features = {
            name: tf.concat([inputs[source][name] for source in sources], axis=0)
            for name in inputs[QUERY]
        }
        parts = self.feature_embeddings(features).split(len(sources))
        return dict(zip(sources, parts, strict=True))

    @property
    def _draws_apart(self) -> bool:
        """Whether the SSL tasks work on items of their own."""
        return self._config.ssl.items == "catalog" and bool(self._config.ssl.tasks)

    def _encode(
        self,
        looked_up: Mapping[str, LookedUp],
        main: Mapping[str, Activations],
        batch: ReplicaBatch,
        seed: tf.Tensor,
    ) -> tuple[dict[str, tf.Tensor], dict[str, EncodedSide]]:
        """The main task's embeddings, and what the SSL tasks of each side work on.

        Each tower is passed once, by the main task's batch and all views together.
        """
        embeddings, ssl_sides = {}, {}
        ssl_sides_wanted = self._ssl_sides if self._config.ssl.tasks else ()
        for side in SIDES:
            if side not in ssl_sides_wanted:
                embeddings[side] = self.towers[side](main[side])
                continue
            tasks = self.ssl_tasks[side]
            source = looked_up["ssl" if self._draws_apart else side]
            number = ssl_sides_wanted.index(side) + 1
            whole = [source.activations] if self._draws_apart and tasks.uses_embeddings else []
            views = tasks.views(source, batch, fold_in(seed, number))
            first, *rest = self.towers[side].embed_all([main[side], *whole, *views])
            embeddings[side] = first
            ssl_sides[side] = EncodedSide(
                activations=source.activations,
                embeddings=rest[0] if whole else first,
                views=rest[len(whole) :],
            )
        return embeddings, ssl_sides

    def _main_loss(
        self, embeddings: Mapping[str, tf.Tensor], inputs: Batch, batch: ReplicaBatch
    ) -> tf.Tensor:
        """Replica's share of the batch softmax, Eq. (5)."""
        config = self._config.loss
        log_q = batch.gather(inputs["item_log_q"]) if config.logq_correction else None
        ids = batch.gather(inputs["item_row"]) if config.remove_accidental_hits else None
        return losses.contrastive_loss(
            embeddings[QUERY],
            batch.gather(embeddings[ITEM]),
            positives=batch.positions(),
            temperature=config.temperature,
            log_sampling_probability=log_q,
            right_ids=ids,
            gradient_dtype=self._arithmetic,
        )
