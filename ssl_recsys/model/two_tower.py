"""The two-tower model with self-supervised tasks: L = L_main + alpha * L_self, Eq. (4)."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

from ssl_recsys.config.run import RunConfig
from ssl_recsys.data.batch import Batch, Features, ShownItems
from ssl_recsys.data.statistics import CatalogStatistics
from ssl_recsys.features import FeatureSpec
from ssl_recsys.methods import FEATURE_MASKING, resolve_fm_groups
from ssl_recsys.model.augment import DROPOUTS
from ssl_recsys.model.look_up import Activations, FeatureEmbeddings, LookedUp
from ssl_recsys.model.losses import HardNegatives
from ssl_recsys.model.main_task import Candidates, main_loss
from ssl_recsys.model.replicas import ReplicaBatch, fold_in, needs_static_shapes, sum_gradients
from ssl_recsys.model.ssl_tasks import EncodedSide, SSLTasks
from ssl_recsys.model.tables import RowGradients, Table
from ssl_recsys.model.towers import FusedTower, Tower, dense_layer
from ssl_recsys.schema import ITEM, QUERY, SIDES, WEIGHT

# Seeds of a step's random draws, one for each use: dropout in the main task, of the items drawn for
# it and of those shown and not chosen, views of the SSL tasks' first and second side.
_MAIN_DROPOUT = {ITEM: 0, QUERY: 3}
_DRAWN_DROPOUT, _SHOWN_DROPOUT = 4, 5
_FIRST_SSL_SIDE = 1


class TwoTowerModel(tfrs.Model):
    """Two towers over shared embedding tables, with self-supervised tasks.

    Made in the scope of the strategy that it is trained under. `static_shapes` says whether that,
    or XLA, takes operations of static shapes only.

    Args:
      features: side -> its features; features of one name share their table.
      config: the run's configuration.
      statistics: what the configuration needs to know of the catalogs.

    Raises:
      InputError: if the configuration does not fit the features.
    """

    def __init__(
        self,
        features: Mapping[str, Sequence[FeatureSpec]],
        config: RunConfig,
        statistics: CatalogStatistics | None = None,
    ):
        super().__init__(name="two_tower")
        self._config = config
        self.num_drawn = config.loss.mixed_negatives  # items in a global batch's `drawn`
        self.alpha: float | tf.Variable = config.loss.alpha  # a variable while it is probed
        self._arithmetic_dtype = "bfloat16" if config.training.mixed_precision else "float32"
        self.static_shapes = config.training.jit_compile or needs_static_shapes(
            tf.distribute.get_strategy()
        )
        statistics = statistics or CatalogStatistics()
        self.unread_marks = sorted(statistics.unread_marks)
        self._make_feature_embeddings = functools.partial(
            FeatureEmbeddings,
            features,
            config.tower.embedding_dim,
            table_dtype=config.tower.table_dtype,
            column_multiple=config.tower.table_column_multiple,
            static_shapes=self.static_shapes,
            pooling=config.tower.pooling,
            value_weights=config.tower.value_weights,
            recency_half_life=config.tower.recency_half_life,
            idf=statistics.idf,
            unread_marks=statistics.unread_marks,
            deltas=statistics.deltas,
            delta_bound=config.tower.vector_delta,
            id_counts=statistics.id_counts,
            id_min_count=config.tower.id_min_count,
        )
        self.feature_embeddings = self._make_feature_embeddings(
            is_sharded=config.training.shard_tables
            and tf.distribute.get_strategy().num_replicas_in_sync > 1
        )
        self.shared_projections = self._make_shared_projections()
        self.towers = {side: self._make_tower(side) for side in SIDES}
        self.ssl_tasks = {
            side: self._make_ssl_tasks(side, features[side], statistics)
            for side in config.ssl.sides
        }
        self._main_dropout = {
            side: DROPOUTS[config.ssl.dropout_granularity](rate)
            for side in SIDES
            if (rate := config.ssl.main_rate(side))
        }

    def _make_shared_projections(self) -> list[tf.keras.layers.Layer]:
        """For each sub-tower, a layer that both sides add; features must be as wide on both."""
        if not self._config.tower.shared_projection:
            return []
        return [
            dense_layer(
                sum(self.feature_embeddings.widths(ITEM).values()),
                self._config.tower.hidden_layers[-1],
                use_bias=False,
                name=f"shared_projection_{number}",
                compute_dtype=self._arithmetic_dtype,
            )
            for number in range(self._config.tower.sub_towers)
        ]

    def _make_tower(self, side: str) -> Tower | FusedTower:
        count = self._config.tower.sub_towers
        towers = [
            Tower(
                self.feature_embeddings.widths(side),
                self._config.tower.hidden_layers,
                projection=projection,
                projection_weight=self._config.tower.shared_projection,
                name=f"{side}_tower_{number}",
                compute_dtype=self._arithmetic_dtype,
            )
            for number, projection in enumerate(self.shared_projections or [None] * count)
        ]
        return towers[0] if count == 1 else FusedTower(towers, name=f"{side}_tower")

    def _make_ssl_tasks(
        self, side: str, specs: Sequence[FeatureSpec], statistics: CatalogStatistics
    ) -> SSLTasks:
        groups: tuple[tuple[str, ...], ...] = ()
        if FEATURE_MASKING in self._config.ssl.tasks:
            groups = resolve_fm_groups(self._config.ssl.fm_groups, specs)
        return SSLTasks(
            self._config.ssl,
            groups,
            self.feature_embeddings.widths(side),
            correlated=statistics.correlated_masks.get(side),
            temperature=self._config.loss.temperature,
            sub_towers=self._config.tower.sub_towers,
            compute_dtype=self._arithmetic_dtype,
            name=f"{side}_ssl",
        )

    @property
    def table_variables(self) -> list[Table]:
        """The tables that are looked up, whose gradients are sparse."""
        deltas = [one.table for one in self.feature_embeddings.deltas.values()]
        return [*self.feature_embeddings.tables.values(), *deltas]

    @property
    def dense_variables(self) -> list[tf.Variable]:
        """All other trainable variables."""
        tables = {variable.ref() for variable in self.table_variables}
        return [v for v in self.trainable_variables if v.ref() not in tables]

    @property
    def all_weights(self) -> list[Table]:
        """The weights in the order of `weights`, which lacks sharded tables."""
        sharded = self.table_variables if self.feature_embeddings.is_sharded else []
        return [*sharded, *self.weights]

    def whole_feature_embeddings(self) -> FeatureEmbeddings:
        """The look-up of `embed`, with tables in the host's memory if those here are sharded."""
        if not self.feature_embeddings.is_sharded:
            return self.feature_embeddings
        with tf.device("CPU:0"):
            whole = self._make_feature_embeddings()
            for name, table in self.feature_embeddings.tables.items():
                table.copy_to(whole.tables[name])
        return whole

    def embed(self, side: str, features: Features) -> tf.Tensor:
        """`[batch, max_values]` features to `[batch, dim]` embeddings, as in serving."""
        (looked_up,) = self.feature_embeddings([(side, features)])
        return self.towers[side](looked_up.activations)

    def call(self, features: Features) -> tf.Tensor:
        """Item embeddings, `[batch, dim]`."""
        return self.embed(ITEM, features)

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """Replica's share of L_main + alpha * L_self, Eq. (4); the interface of `tfrs.Model`."""
        return self.compute_losses(inputs, self._step(), training)["loss"]

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
          inputs: the batch.
          step: number of the step; with the run's seed it decides all random views.
          training: whether the main task drops features, where the configuration says so.
          self_supervised_only: leave the main task out, as in pre-training.

        Returns:
          `main`; `<task>_<side>` for each self-supervised task; and `loss`, the joint loss.
          Scalars: this replica's shares of the means over the global batch.
        """
        batch = ReplicaBatch.here(inputs.item_row.shape[0])
        seed = fold_in(tf.constant([self._config.training.seed, 0]), step)
        if self_supervised_only:
            inputs = inputs._replace(drawn=(), shown=())
        looked_up, ssl_looked_up, further_looked_up = self._look_up(inputs)
        main = {side: looked_up[side].activations for side in SIDES}
        further = [part.activations for part in further_looked_up]
        drawn_batch = ReplicaBatch.here(self.num_drawn // batch.num_replicas)
        if training:
            for side, dropout in self._main_dropout.items():
                main[side] = dropout(looked_up[side], batch, fold_in(seed, _MAIN_DROPOUT[side]))
            if ITEM in self._main_dropout:  # else what is whole would be known for a negative
                uses = [(_DRAWN_DROPOUT, drawn_batch)] * len(inputs.drawn)
                uses += [(_SHOWN_DROPOUT, _batch_of(part)) for part in inputs.shown]
                drop = self._main_dropout[ITEM]
                further = [
                    drop(part, place, fold_in(seed, use))
                    for part, (use, place) in zip(further_looked_up, uses, strict=True)
                ]
        embeddings, ssl_sides = self._encode(main, further, ssl_looked_up, batch, seed)
        parts = {}
        if not self_supervised_only:
            (queries,), (items, *of_further) = embeddings[QUERY], embeddings[ITEM]
            candidates = [Candidates(items, inputs.item_row, inputs.item_log_q, batch)]
            candidates += [
                Candidates(of_further.pop(0), part.item_row, part.log_q, drawn_batch)
                for part in inputs.drawn
            ]
            shown = [
                HardNegatives(
                    of_further.pop(0), part.is_there, self._config.loss.hard_negative_weight
                )
                for part in inputs.shown
            ]
            parts["main"] = main_loss(
                self._config.loss,
                queries,
                candidates,
                batch,
                hard_negatives=shown[0] if shown else None,
                weights=inputs.columns.get(WEIGHT),
                sub_towers=self._config.tower.sub_towers,
                gradient_dtype=tf.as_dtype(self._arithmetic_dtype),
            )
        task_losses = {
            f"{task}_{side}": loss
            for side, encoded in ssl_sides.items()
            for task, loss in self.ssl_tasks[side](encoded, batch).items()
        }
        return parts | task_losses | {"loss": self._joint(parts.get("main"), task_losses)}

    def loss_names(self, *, self_supervised_only: bool = False) -> list[str]:
        """The losses that `compute_losses` returns, in its order."""
        ssl = self._config.ssl
        main = [] if self_supervised_only else ["main"]
        return [*main, *(f"{task}_{side}" for side in ssl.sides for task in ssl.tasks), "loss"]

    def _joint(self, main: tf.Tensor | None, task_losses: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """L_main + alpha * L_self, Eq. (4); L_self alone where there is no main loss."""
        if not task_losses:
            return main
        self_supervised = tf.add_n(list(task_losses.values()))
        return self_supervised if main is None else main + self.alpha * self_supervised

    def train_step(
        self, inputs: Batch, *, self_supervised_only: bool = False
    ) -> dict[str, tf.Tensor]:
        """One update; returns this replica's shares of the losses (see `compute_losses`)."""
        with tf.GradientTape() as tape, RowGradients(tape) as rows:
            parts = self.compute_losses(
                inputs, self._step(), self_supervised_only=self_supervised_only
            )
        variables = self.dense_variables
        of_rows, of_dense = tape.gradient(parts["loss"], (rows.sources, variables))
        pairs = rows.with_tables(of_rows)
        pairs += [pair for pair in zip(of_dense, variables, strict=True) if pair[0] is not None]
        gradients, updated = zip(*pairs, strict=True)
        self.optimizer.apply_gradients(
            zip(sum_gradients(gradients), updated, strict=True),
            experimental_aggregate_gradients=False,
        )
        return parts

    def _step(self) -> tf.Tensor:
        return tf.cast(self.optimizer.iterations, tf.int32)

    def _look_up(
        self, inputs: Batch
    ) -> tuple[dict[str, LookedUp], dict[str, LookedUp], list[LookedUp]]:
        """The pairs' sides, what the SSL tasks of a side work on, and further candidates.

        One look-up per feature.
        """
        batches = [(QUERY, inputs.query), (ITEM, inputs.item), *inputs.ssl.items()]
        batches += [(ITEM, part.features) for part in inputs.drawn]
        batches += [(ITEM, part.features) for part in inputs.shown]
        query, item, *others = self.feature_embeddings(batches)
        looked_up = {QUERY: query, ITEM: item}
        of_ssl = dict(zip(inputs.ssl, others, strict=False))
        ssl_looked_up = {side: of_ssl.get(side, looked_up[side]) for side in self.ssl_tasks}
        return looked_up, ssl_looked_up, others[len(inputs.ssl) :]

    def _encode(
        self,
        main: Mapping[str, Activations],
        further: Sequence[Activations],
        ssl_looked_up: Mapping[str, LookedUp],
        batch: ReplicaBatch,
        seed: tf.Tensor,
    ) -> tuple[dict[str, list[tf.Tensor]], dict[str, EncodedSide]]:
        """The main task's embeddings, and what the SSL tasks of each side work on.

        Those of the items are followed by those of the further candidates.

        Each tower is passed once, by the main task's batch and all views together.
        """
        embeddings, ssl_sides = {}, {}
        draws_from_catalog = self._config.ssl.draws_from_catalog
        for side in SIDES:
            of_main = [main[side], *(further if side == ITEM else [])]
            if side not in self.ssl_tasks:
                embeddings[side] = self.towers[side].embed_all(of_main)
                continue
            tasks, looked_up = self.ssl_tasks[side], ssl_looked_up[side]
            whole = [looked_up.activations] if draws_from_catalog and tasks.uses_embeddings else []
            number = _FIRST_SSL_SIDE + self._config.ssl.sides.index(side)
            views = tasks.views(looked_up, batch, fold_in(seed, number))
            embedded = self.towers[side].embed_all([*of_main, *whole, *views])
            embeddings[side], rest = embedded[: len(of_main)], embedded[len(of_main) :]
            ssl_sides[side] = EncodedSide(
                activations=looked_up.activations,
                embeddings=rest[0] if whole else embedded[0],
                views=rest[len(whole) :],
            )
        return embeddings, ssl_sides


def _batch_of(shown: ShownItems) -> ReplicaBatch:
    """The place of a replica's hard negatives among those of the global batch."""
    size, count = shown.is_there.shape
    return ReplicaBatch.here(size * count)
