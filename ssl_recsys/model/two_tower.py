"""The two-tower model with self-supervised tasks: L = L_main + alpha * L_self, Eq. (4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from ssl_recsys.config import FEATURE_MASKING, RunConfig, resolve_fm_groups
from ssl_recsys.data.statistics import CatalogStatistics
from ssl_recsys.model import augment
from ssl_recsys.model.look_up import Activations, FeatureEmbeddings, Features, LookedUp
from ssl_recsys.model.main_task import MainTask, Temperatures
from ssl_recsys.model.replicas import ReplicaBatch
from ssl_recsys.model.ssl_tasks import EncodedSide, SSLTasks, fold_in
from ssl_recsys.model.towers import Tower, dense_layer
from ssl_recsys.schema import FeatureSpec
from ssl_recsys.training.strategies import needs_static_shapes

QUERY = "query"
ITEM = "item"
SIDES = (QUERY, ITEM)

# A training batch: {"query": Features, "item": Features, "item_row": [batch] int32,
# "item_log_q": [batch] float32} and, where SSL draws from the catalog, {"ssl": Features}.
Batch = Mapping[str, Any]


class TwoTowerModel(tfrs.Model):
    """Two towers over shared embedding tables, with self-supervised tasks.

    Made in the scope of the strategy that it is trained under. `static_shapes` says whether that,
    or XLA, takes operations of static shapes only.

    Args:
      specs: the dataset's features.
      config: the run's configuration.
      statistics: what the configuration needs to know of the catalog.

    Raises:
      InputError: if the configuration does not fit the features.
    """

    def __init__(
        self,
        specs: Sequence[FeatureSpec],
        config: RunConfig,
        statistics: CatalogStatistics | None = None,
    ):
        super().__init__(name="two_tower")
        statistics = statistics or CatalogStatistics()
        self._specs = tuple(specs)
        self._config = config
        self._ssl_sides = SIDES if config.ssl.side == "both" else (config.ssl.side,)
        compute_dtype = "bfloat16" if config.training.mixed_precision else "float32"
        self._arithmetic = tf.as_dtype(compute_dtype)
        self.static_shapes = config.training.jit_compile or needs_static_shapes(
            tf.distribute.get_strategy()
        )
        self.feature_embeddings = FeatureEmbeddings(
            specs,
            config.tower.embedding_dim,
            static_shapes=self.static_shapes,
            pooling=config.tower.pooling,
            value_weights=config.tower.value_weights,
            idf=statistics.idf,
        )
        self.shared_projection = None
        if config.tower.shared_projection:
            self.shared_projection = dense_layer(
                sum(self.feature_embeddings.widths.values()),
                config.tower.hidden_layers[-1],
                use_bias=False,
                name="shared_projection",
                compute_dtype=compute_dtype,
            )
        self.towers = {side: self._make_tower(f"{side}_tower", compute_dtype) for side in SIDES}
        if config.tower.shared:
            self.towers[ITEM] = self.towers[QUERY]
        groups: tuple[tuple[str, ...], ...] = ()
        if FEATURE_MASKING in config.ssl.tasks:
            groups = resolve_fm_groups(config.ssl.fm_groups, specs)
        self.ssl_tasks = {
            side: SSLTasks(
                specs,
                config.ssl,
                groups,
                self.feature_embeddings.widths,
                masks=statistics.correlated_masks,
                compute_dtype=compute_dtype,
                name=f"{side}_ssl",
            )
            for side in (self._ssl_sides if config.ssl.tasks else ())
        }
        self.main_task = MainTask(
            config.loss,
            batch_size=config.training.batch_size,
            num_items=statistics.num_items,
            dim=self.towers[ITEM].output_dim,
            gradient_dtype=self._arithmetic,
        )
        self.temperatures = Temperatures(config.loss)

    def _make_tower(self, name: str, compute_dtype: str) -> Tower:
        return Tower(
            self.feature_embeddings.widths,
            self._config.tower.hidden_layers,
            projection=self.shared_projection,
            projection_weight=self._config.tower.shared_projection,
            name=name,
            compute_dtype=compute_dtype,
        )

    @property
    def table_variables(self) -> list[tf.Variable]:
        """The trainable variables that are looked up, whose gradients are sparse."""
        return self.feature_embeddings.trainable_variables

    @property
    def dense_variables(self) -> list[tf.Variable]:
        """All other trainable variables."""
        tables = {variable.ref() for variable in self.table_variables}
        return [v for v in self.trainable_variables if v.ref() not in tables]

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
        self,
        inputs: Batch,
        step: int | tf.Tensor,
        training: bool = True,
        *,
        self_supervised_only: bool = False,
    ) -> dict[str, tf.Tensor]:
        """Computes every loss of a batch.

        Args:
          inputs: the batch, see `Batch`.
          step: number of the step; with the run's seed it decides all random views.
          training: whether the main task drops features, where it is told to, and remembers the
            batch's items, where its queue or its estimate of their frequency do.
          self_supervised_only: leave the main task out, as in pre-training.

        Returns:
          `loss`, the joint loss; `main`; and `<task>_<side>` for each self-supervised task.
          Scalars: this replica's shares of the means over the global batch.
        """
        batch = ReplicaBatch.here(inputs["item_row"].shape[0])
        seed = fold_in(tf.constant([self._config.training.seed, 0]), step)
        looked_up = self._look_up(inputs)
        main = {side: looked_up[side].activations for side in SIDES}
        if training:
            main.update(self._dropped(looked_up, batch, seed))
        embeddings, ssl_sides = self._encode(looked_up, main, batch, seed)
        parts = {}
        if not self_supervised_only:
            parts["main"] = self.main_task(
                embeddings[QUERY],
                embeddings[ITEM],
                inputs,
                batch,
                temperature=self.temperatures.main(),
                step=tf.cast(step, tf.int32),
                training=training,
            )
        task_losses = {}
        for side, encoded in ssl_sides.items():
            for task, loss in self.ssl_tasks[side](
                encoded, batch, self.temperatures.self_supervised()
            ).items():
                task_losses[f"{task}_{side}"] = loss
        return parts | task_losses | {"loss": self._joint(parts.get("main"), task_losses)}

    def _joint(self, main: tf.Tensor | None, task_losses: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """L_main + alpha * L_self, Eq. (4); L_self alone where there is no main loss."""
        if not task_losses:
            return main
        self_supervised = tf.add_n(list(task_losses.values()))
        return self_supervised if main is None else main + self._config.loss.alpha * self_supervised

    def train_step(
        self, inputs: Batch, *, self_supervised_only: bool = False
    ) -> dict[str, tf.Tensor]:
        """One update; returns this replica's shares of the losses (see `compute_losses`)."""
        with tf.GradientTape() as tape:
            parts = self.compute_losses(
                inputs, self._step(), self_supervised_only=self_supervised_only
            )
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

    def _dropped(
        self, looked_up: Mapping[str, LookedUp], batch: ReplicaBatch, seed: tf.Tensor
    ) -> dict[str, Activations]:
        """The main task's activations of the sides that it drops features of."""
        config = self._config.ssl
        rates = dict.fromkeys(SIDES, config.main_dropout_rate)
        if config.drops_in_main_task:  # DO is on the item side, whatever side the SSL tasks are on
            rates[ITEM] = config.dropout_rate
        return {
            side: augment.dropout(
                self._specs,
                looked_up[side],
                batch,
                rate=rates[side],
                granularity=config.dropout_granularity,
                # Numbers 1 and 2 are the SSL tasks' sides.
                seed=fold_in(seed, 0 if side == ITEM else len(SIDES) + 1),
            )
            for side in SIDES
            if rates[side]
        }
