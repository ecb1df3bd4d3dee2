"""The main task: batch softmax of queries against items, Eq. (5), with its corrections."""

from __future__ import annotations

import tensorflow as tf

from ssl_recsys.config import CORRECTED, LossConfig
from ssl_recsys.model import losses
from ssl_recsys.model.replicas import ReplicaBatch


def main_loss(
    config: LossConfig,
    queries: tf.Tensor,
    items: tf.Tensor,
    item_row: tf.Tensor,
    item_log_q: tf.Tensor,
    batch: ReplicaBatch,
    *,
    weights: tf.Tensor | None = None,
    sub_towers: int = 1,
    gradient_dtype: tf.DType,
) -> tf.Tensor:
    """Replica's share of the batch softmax, Eq. (5).

    Args:
      config: temperature and corrections.
      queries: `[batch, dim]` L2-normalised.
      items: `[batch, dim]` L2-normalised, each query's positive.
      item_row: `[batch]` the items' catalog rows.
      item_log_q: `[batch]` log of each item's share of the training pairs.
      batch: place in the global batch.
      weights: `[batch]` of the pairs, see `losses.contrastive_loss`; None: all are 1. A pair's
        weight scales its loss in both directions and for each sub-tower; the logQ correction goes
        by how often items are drawn, which weights do not change.
      sub_towers: parts of the embeddings, each of which has a loss of its own; they are added.
      gradient_dtype: type of the gradient's arithmetic.

    Returns:
      Scalar.
    """
    if config.logq_form == CORRECTED:
        loss = losses.sum_over_parts(
            losses.corrected_softmax_loss,
            sub_towers,
            queries,
            batch.gather(items),
            positives=batch.positions(),
            weights=weights,
            item_row=batch.gather(item_row),
            log_sampling_probability=batch.gather(item_log_q),
            temperature=config.temperature,
            gradient_dtype=gradient_dtype,
        )
    else:
        # Gathering across replicas costs communication, so columns are gathered only if used.
        loss = losses.sum_over_parts(
            losses.contrastive_loss,
            sub_towers,
            queries,
            batch.gather(items),
            positives=batch.positions(),
            weights=weights,
            temperature=config.temperature,
            log_sampling_probability=batch.gather(item_log_q) if config.logq_correction else None,
            item_row=batch.gather(item_row) if config.remove_accidental_hits else None,
            gradient_dtype=gradient_dtype,
        )
    if config.symmetric_loss:
        loss += losses.sum_over_parts(
            losses.contrastive_loss,
            sub_towers,
            items,
            batch.gather(queries),
            positives=batch.positions(),
            weights=weights,
            temperature=config.temperature,
            gradient_dtype=gradient_dtype,
        )
    return loss
