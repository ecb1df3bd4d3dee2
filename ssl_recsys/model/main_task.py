"""The main task: batch softmax of queries against items, Eq. (5), with its corrections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from ssl_recsys.config.loss import CORRECTED, LossConfig
from ssl_recsys.model import losses
from ssl_recsys.model.replicas import ReplicaBatch


class Candidates(NamedTuple):
    """A replica's share of items that queries are scored against.

    Attributes:
      embeddings: `[size, dim]` L2-normalised.
      item_row: `[size]` their catalog rows.
      log_q: `[size]` log of how likely each is a candidate.
      batch: place among all replicas' candidates of this kind.
    """

    embeddings: tf.Tensor
    item_row: tf.Tensor
    log_q: tf.Tensor
    batch: ReplicaBatch


def main_loss(
    config: LossConfig,
    queries: tf.Tensor,
    candidates: Sequence[Candidates],
    batch: ReplicaBatch,
    *,
    hard_negatives: losses.HardNegatives | None = None,
    weights: tf.Tensor | None = None,
    sub_towers: int = 1,
    gradient_dtype: tf.DType,
) -> tf.Tensor:
    """Replica's share of the batch softmax, Eq. (5).

    Args:
      config: temperature and corrections.
      queries: `[batch, dim]` L2-normalised.
      candidates: first each query's positive; then, with `mixed_negatives`, the items drawn, which
        are negatives of all queries but those whose positive they are.
      batch: place in the global batch.
      hard_negatives: candidates of this replica's queries, each of one alone, so that nothing is
        gathered; the symmetric loss, of items over the batch's queries, has none.
      weights: `[batch]` of the pairs, see `losses.contrastive_loss`; None: all are 1. A pair's
        weight scales its loss in both directions and for each sub-tower; the logQ correction goes
        by how often items are drawn, which weights do not change.
      sub_towers: parts of the embeddings, each of which has a loss of its own; they are added.
      gradient_dtype: type of the gradient's arithmetic.

    Returns:
      Scalar.
    """
    items = _gather(candidates, [part.embeddings for part in candidates])
    if config.logq_form == CORRECTED:
        loss = losses.sum_over_parts(
            losses.corrected_softmax_loss,
            sub_towers,
            queries,
            items,
            positives=batch.positions(),
            batch_size=batch.global_size,
            item_row=_gather(candidates, [part.item_row for part in candidates]),
            log_sampling_probability=_gather(candidates, [part.log_q for part in candidates]),
            hard_negatives=hard_negatives,
            weights=weights,
            temperature=config.temperature,
            gradient_dtype=gradient_dtype,
        )
    else:
        # Gathering across replicas costs communication, so columns are gathered only if used.
        item_row = log_q = None
        if config.remove_accidental_hits or len(candidates) > 1:
            item_row = _gather(candidates, [part.item_row for part in candidates])
        if config.logq_correction:
            log_q = _gather(candidates, [part.log_q for part in candidates])
        loss = losses.sum_over_parts(
            losses.contrastive_loss,
            sub_towers,
            queries,
            items,
            positives=batch.positions(),
            batch_size=batch.global_size,
            hard_negatives=hard_negatives,
            weights=weights,
            temperature=config.temperature,
            log_sampling_probability=log_q,
            item_row=item_row,
            gradient_dtype=gradient_dtype,
        )
    if config.symmetric_loss:
        loss += losses.sum_over_parts(
            losses.contrastive_loss,
            sub_towers,
            candidates[0].embeddings,
            batch.gather(queries),
            positives=batch.positions(),
            weights=weights,
            temperature=config.temperature,
            gradient_dtype=gradient_dtype,
        )
    return loss


def _gather(candidates: Sequence[Candidates], columns: Sequence[tf.Tensor]) -> tf.Tensor:
    """A column of the candidates of all replicas, those of one kind after the other."""
    gathered = [part.batch.gather(column) for part, column in zip(candidates, columns, strict=True)]
    return gathered[0] if len(gathered) == 1 else tf.concat(gathered, axis=0)
