"""Training steps as XLA programs, lowered without their tables' memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any
from unittest import mock

from ssl_recsys.config.method import SSLConfig
from ssl_recsys.config.run import RunConfig
from ssl_recsys.config.tower import FLOAT32, TowerConfig
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.features import Bag, Categorical
from ssl_recsys.schema import SIDES


@dataclasses.dataclass(frozen=True)
class Step:
    """A training step of the paper's model for Wikipedia, at some size.

    Attributes:
      method: its method.
      table_rows: rows of the tables of ids, title n-grams and categories.
      column_multiple: as `--table_column_multiple`.
      row_wise: as `--row_wise_adagrad`.
      table_dtype: as `--table_dtype`.
      embedding_dim: width of the tables.
      hidden_layers: sizes of the towers' layers.
      batch_size: pairs in a batch.
      values_per_bag: values in each bag of title n-grams and categories.
    """

    method: str
    table_rows: tuple[int, int, int] = (200_000, 200_000, 200_000)
    column_multiple: int = 128
    row_wise: bool = False
    table_dtype: str = FLOAT32
    embedding_dim: int = 120
    hidden_layers: tuple[int, ...] = (1024, 128)
    batch_size: int = 1024
    values_per_bag: int = 16

    def config(self) -> RunConfig:
        """The run's configuration."""
        return RunConfig(
            tower=TowerConfig(
                embedding_dim=self.embedding_dim,
                table_column_multiple=self.column_multiple,
                table_dtype=self.table_dtype,
                hidden_layers=self.hidden_layers,
            ),
            ssl=SSLConfig(method=self.method, fm_hidden_layers=self.hidden_layers[-1:]),
            training=TrainingConfig(
                batch_size=self.batch_size, row_wise_adagrad=self.row_wise, jit_compile=True
            ),
        )


def lower(step: Step, stage: str) -> Any:
    """Lowers a step in the static shapes that TPUs need.

    TensorFlow lowers a step that has variables only for a device of this process, so it is the
    CPU's lowering; XLA programs name no device.

    Args:
      step: what to lower.
      stage: `hlo` for text, `hlo_serialized` for a serialized `HloModuleProto`.

    Returns:
      The program, which names the arguments that it updates in place.
    """
    import tensorflow as tf

    from ssl_recsys.data.batch import Batch
    from ssl_recsys.model import look_up
    from ssl_recsys.training.steps import make_model
    from ssl_recsys.training.strategies import make_strategy

    ids, ngrams, categories = step.table_rows
    specs = (
        Categorical("id", ids),
        Bag("title_ngrams", ngrams, step.values_per_bag),
        Bag("categories", categories, step.values_per_bag),
    )
    with (
        # Memory that is not written is not taken: tables of any size can be lowered.
        mock.patch.object(look_up, "_initial_table", _not_written),
        mock.patch.object(tf.constant_initializer, "__call__", _not_written_by),
        mock.patch.object(tf.compat.v1.constant_initializer, "__call__", _not_written_by),
    ):
        model = make_model(dict.fromkeys(SIDES, specs), step.config(), make_strategy("one_device"))
    size = step.batch_size
    features = {spec.name: tf.zeros([size, spec.max_values], tf.int32) for spec in specs}
    batch = Batch(features, features, tf.zeros([size], tf.int32), tf.zeros([size]), ssl={})
    # Without AutoGraph, as steps are compiled in training.
    compiled = tf.function(lambda batch: model.train_step(batch), jit_compile=True, autograph=False)
    return compiled.experimental_get_compiler_ir(batch)(stage=stage)


def _not_written(shape: Sequence[int], dtype: Any = None, **kwargs: Any) -> Any:
    """A tensor of undefined values, in memory that nothing has touched."""
    import tensorflow as tf

    return tf.raw_ops.Empty(shape=shape, dtype=dtype or tf.float32, init=False)


def _not_written_by(initializer: Any, shape: Sequence[int], *args: Any, **kwargs: Any) -> Any:
    return _not_written(shape, *args, **kwargs)
