"""Embedding tables and the look-up that everything else in a step shares.

Both towers and all self-supervised encoders read the same tables, and a step looks every id up
once: views are made from the looked-up activations (see `augment`), never by a second look-up.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ssl_recsys.config.tower import IDF, MEAN, NO_WEIGHTS
from ssl_recsys.data.batch import Features
from ssl_recsys.features import FeatureSpec, history_names
from ssl_recsys.model.bags import Bags, PaddedBags, RaggedBags, split_last
from ssl_recsys.model.sharded_tables import ShardedTable
from ssl_recsys.model.tables import Table, gather_rows
from ssl_recsys.model.vector_deltas import VectorDeltas, delta_name
from ssl_recsys.schema import ITEM, QUERY

_LEAST_WEIGHT = 2.0**-60
# Feature name -> [batch, width] what a dense layer sees of the feature.
Activations = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class LookedUp:
    """The features of a batch after the look-up.

    Attributes:
      specs: the features, in the order in which a tower concatenates them.
      bags: feature name -> the bag's values, for bag features.
      activations: feature name -> `[batch, width]`, bags pooled.
      missing: feature name -> `[1, width]` activation of the missing value: the embedding of id
        0; of dense features what the data has for it, (0, 1) with a mark that the model reads, else
        zeros (their mean after normalisation).
      deltas: name of a trained part, an activation of its own that a tower adds to a vector ->
        names of the vector and of the identity; it is zeros where either is missing.
    """

    specs: Sequence[FeatureSpec]
    bags: Mapping[str, Bags]
    activations: Activations
    missing: Activations
    deltas: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)

    def deltas_where(self, values: Activations, kept: Mapping[str, tf.Tensor]) -> Activations:
        """Trained parts in `values` of which vector and identity are kept, else zeros.

        Args:
          values: has the trained parts, `[batch, width]`.
          kept: feature name -> bool that broadcasts to `[batch, 1]`.
        """
        return {
            name: tf.where(kept[vector] & kept[identity], values[name], 0.0)
            for name, (vector, identity) in self.deltas.items()
        }

    def where(self, name: str, kept: tf.Tensor) -> tf.Tensor:
        """`[batch, width]` a feature's activations where `[batch, 1]` bool says, else missing."""
        return tf.where(kept, self.activations[name], self.missing[name])

    def without_values(self, name: str, keep: tf.Tensor) -> tf.Tensor:
        """`[batch, width]` a feature's activations of the values that are kept.

        Args:
          name: of the feature.
          keep: `[batch, num_droppable]` bool.
        """
        if name in self.bags:
            return self.bags[name].pool(self.missing[name], keep=keep)
        return self.where(name, keep)


class FeatureEmbeddings(tf.keras.layers.Layer):
    """The embedding tables of all features that have one; sides share those of one name.

    Args:
      features: side -> its features.
      embedding_dim: width of the rows of every table.
      table_dtype: what the tables are kept in; looked-up rows are float32.
      column_multiple: tables get columns of zeros up to a multiple of this; they stay zero.
      is_sharded: split tables by rows over the replicas of the strategy that this is made under.
      static_shapes: keep bags padded, as XLA and TPUs need, instead of ragged.
      pooling: how bags are pooled, `mean` or `sqrtn`.
      value_weights: `none` or `idf` weights of a bag's values.
      recency_half_life: places in a history after which a value weighs half as much; 0: no weights.
      idf: feature name -> `[vocab_size]` weights, for `idf`; they are kept as variables, so that
        an exported tower has them.
      unread_marks: dense features whose mark of a missing value is taken for 0.
      deltas: name of a vector -> that of the feature whose ids its trained part is looked up by.
      delta_bound: largest length of a trained part.
      id_counts: table -> `[vocab_size]` training pairs that each id is in.
      id_min_count: ids of these tables that are in fewer pairs are taken for 0, missing.
    """

    def __init__(
        self,
        features: Mapping[str, Sequence[FeatureSpec]],
        embedding_dim: int,
        *,
        table_dtype: str = "float32",
        column_multiple: int = 1,
        is_sharded: bool = False,
        static_shapes: bool,
        pooling: str = MEAN,
        value_weights: str = NO_WEIGHTS,
        recency_half_life: float = 0.0,
        idf: Mapping[str, np.ndarray] | None = None,
        unread_marks: Collection[str] = (),
        deltas: Mapping[str, str] | None = None,
        delta_bound: float = 0.0,
        id_counts: Mapping[str, np.ndarray] | None = None,
        id_min_count: int = 0,
    ):
        super().__init__(name="feature_embeddings")
        self._features = {side: tuple(specs) for side, specs in features.items()}
        self._specs = {spec.name: spec for specs in features.values() for spec in specs}
        self._embedding_dim = embedding_dim
        self._bags_class = PaddedBags if static_shapes else RaggedBags
        self._pooling = pooling
        self._half_life = recency_half_life
        self._histories = history_names(features[QUERY], features[ITEM])
        self._unread_marks = frozenset(unread_marks)
        self._padding = -embedding_dim % column_multiple
        self.is_sharded = is_sharded
        self.tables = {
            name: self._add_table(name, spec.vocab_size, table_dtype)
            for name, spec in self._specs.items()
            if spec.is_embedded and not spec.table
        }
        self._identities = dict(deltas or {})
        self.deltas = {
            name: VectorDeltas(self._specs[identity], self._specs[name].max_values, delta_bound)
            for name, identity in self._identities.items()
        }
        self._id_counts = dict(id_counts or {})
        # Variables, so that an exported tower has them and a probe may change them.
        self._kept_ids = {
            table: self.add_weight(
                name=f"{table}_kept_ids",
                shape=counts.shape,
                initializer=tf.keras.initializers.Constant(counts >= id_min_count),
                trainable=False,
            )
            for table, counts in self._id_counts.items()
        }
        self._log_weights: dict[str, tf.Variable] = {}
        if value_weights == IDF and idf is not None:
            self._log_weights = {
                name: self.add_weight(
                    name=f"{name}_log_weights",
                    shape=weights.shape,
                    initializer=tf.keras.initializers.Constant(np.log(weights)),
                    trainable=False,
                )
                for name, weights in idf.items()
            }

    def _add_table(self, name: str, rows: int, dtype: str) -> Table:
        shape = (rows, self._embedding_dim + self._padding)
        initializer = functools.partial(_initial_table, padding=self._padding)
        if not self.is_sharded:
            return self.add_weight(name=name, shape=shape, dtype=dtype, initializer=initializer)
        table = ShardedTable(name, shape, dtype)
        with tf.device("CPU:0"):  # no device but the host is asked to hold a whole table
            table.assign(initializer(shape, tf.as_dtype(dtype)))
        self._track_trackable(table, name)  # as `add_weight`, so that checkpoints name it alike
        return table

    def keep_ids(self, min_count: int) -> None:
        """Takes ids of fewer training pairs for missing from now on."""
        for table, kept in self._kept_ids.items():
            kept.assign(tf.cast(self._id_counts[table] >= min_count, kept.dtype))

    def _with_kept_ids(self, features: Features) -> Features:
        """The features with 0 for each id of a table that is not kept."""
        kept = {
            name: self._kept_ids[self._specs[name].table_name]
            for name in features
            if self._specs[name].table_name in self._kept_ids
        }
        return {
            name: tf.where(tf.gather(kept[name], values) > 0, values, 0) if name in kept else values
            for name, values in features.items()
        }

    def widths(self, side: str) -> dict[str, int]:
        """Feature name -> width of its activation, of a side's features in order."""
        return {
            spec.name: self._embedding_dim if spec.is_embedded else spec.max_values
            for spec in self._features[side]
        }

    def call(self, batches: Sequence[tuple[str, Features]]) -> list[LookedUp]:
        """Looks up batches, one gather per table for all of them.

        Args:
          batches: side and features of each batch; of several, the sizes must be static.

        Returns:
          The looked-up batches.
        """
        batches = [(side, self._with_kept_ids(features)) for side, features in batches]
        found: dict[str, tuple[list[tf.Tensor], tf.Tensor, list[Bags]]] = {}
        for name in self._specs:
            inputs = [features[name] for _, features in batches if name in features]
            if inputs:
                found[name] = self._look_up(name, inputs)
        deltas = self._look_up_deltas([features for _, features in batches])
        looked_up = []
        for side, _ in batches:
            specs = self._features[side]
            parts = {spec.name: found[spec.name] for spec in specs}
            names = {
                delta_name(spec.name): (spec.name, self._identities[spec.name])
                for spec in specs
                if spec.name in self._identities
            }
            activations = {name: values.pop(0) for name, (values, _, _) in parts.items()}
            looked_up.append(
                LookedUp(
                    specs,
                    {name: bags.pop(0) for name, (_, _, bags) in parts.items() if bags},
                    activations | {name: deltas[name].pop(0) for name in names},
                    {name: missing for name, (_, missing, _) in parts.items()},
                    names,
                )
            )
        return looked_up

    def _look_up_deltas(self, batches: Sequence[Features]) -> dict[str, list[tf.Tensor]]:
        """Name of a trained part -> it, `[batch, width]`, of each batch that has its vector."""
        found = {}
        for vector, identity in self._identities.items():
            ids = [features[identity][:, 0] for features in batches if vector in features]
            if ids:
                values = self.deltas[vector](tf.concat(ids, axis=0))
                found[delta_name(vector)] = _split(values, ids)
        return found

    def _look_up(
        self, name: str, inputs: Sequence[tf.Tensor]
    ) -> tuple[list[tf.Tensor], tf.Tensor, list[Bags]]:
        """Activations of each input, `[1, width]` that of the missing value, and bags if any."""
        spec, ids = self._specs[name], tf.concat(inputs, axis=0)
        bags: list[Bags] = []
        if not spec.is_embedded:
            values, missing = self._numbers(spec, ids)
        elif spec.is_pooled:
            looked_up, missing = self._bags_class.look_up(
                self.tables[spec.table_name],
                ids,
                self._pooling,
                self._log_weights.get(name),
                self._recency(spec),
                self._embedding_dim,
            )
            values = looked_up.pool(missing)
            bags = [looked_up] if len(inputs) == 1 else list(looked_up.split(_sizes(inputs)))
        else:
            rows = tf.concat([ids[:, 0], [0]], axis=0)  # id 0 in the same gather, as for bags
            table = self.tables[spec.table_name]
            values, missing = split_last(gather_rows(table, rows, self._embedding_dim))
        return _split(values, inputs), missing, bags

    def _recency(self, spec: FeatureSpec) -> tf.Tensor | None:
        """`[max_values]` weights of the places in a history, whose latest value is first."""
        if not self._half_life or spec.name not in self._histories:
            return None
        weights = 0.5 ** (np.arange(spec.max_values) / self._half_life)
        # Squares and sums of them must stay above 0 in float32.
        return tf.constant(np.maximum(weights, _LEAST_WEIGHT), tf.float32)

    def _numbers(self, spec: FeatureSpec, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """A dense feature's `[rows, width]` activations, and `[1, width]` of the missing value."""
        values = tf.cast(values, tf.float32)
        mark = np.zeros([1, spec.max_values], np.float32)
        mark[:, -1] = spec.has_mark
        if spec.name in self._unread_marks:
            return values * (1 - mark), tf.zeros_like(mark)
        return values, tf.constant(mark)


def _sizes(inputs: Sequence[tf.Tensor]) -> list[int]:
    return [part.shape[0] for part in inputs]


def _split(values: tf.Tensor, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Cuts what was looked up for several inputs at once."""
    return [values] if len(inputs) == 1 else tf.split(values, _sizes(inputs))


def _initial_table(
    shape: Sequence[int], dtype: tf.DType = tf.float32, *, padding: int, **kwargs: Any
) -> tf.Tensor:
    """`[rows, columns]` small random values, the last `padding` columns zeros."""
    rows, columns = shape

    @tf.function(autograph=False)
    def draw(num_rows: tf.Tensor) -> tf.Tensor:
        # Drawn in float32 whatever the type: a few bits of it would be a coarse grid. Within a
        # function the numbers are scaled where they lie, which eagerly takes two more copies; the
        # number of rows is an argument, or the numbers would be kept as a constant of the function.
        uniform = tf.keras.initializers.RandomUniform(-0.05, 0.05)
        return uniform((num_rows, columns - padding), tf.float32, **kwargs)

    # As a concrete function: TensorFlow warns of five tables that each traced one of their own.
    drawn = draw.get_concrete_function(tf.TensorSpec([], tf.int32))(tf.constant(rows))
    values = tf.ensure_shape(drawn, (rows, columns - padding))
    values = tf.cast(values, dtype)
    return tf.pad(values, [[0, 0], [0, padding]]) if padding else values
