"""The losses: pure functions of embeddings, without state, flags or strategies.

Every loss is a mean over the *global* batch. A replica passes its own examples on the left and
all replicas' candidates on the right, gets its share of that mean, and the shares of all
replicas add up to the loss that one replica would have computed.
"""

from __future__ import annotations

import tensorflow as tf

# Added to the logits of candidates that must not count: e^-1e9 is 0 in float32.
_EXCLUDED = -1e9


def contrastive_loss(
    left: tf.Tensor,
    right: tf.Tensor,
    *,
    positives: tf.Tensor,
    temperature: float | tf.Tensor,
    log_sampling_probability: tf.Tensor | None = None,
    right_ids: tf.Tensor | None = None,
) -> tf.Tensor:
    """Softmax cross entropy of each left embedding against all right embeddings.

    With queries on the left and candidates on the right this is the main loss, Eq. (5); with two
    views of the same items it is the self-supervised loss, Eq. (3). The loss is at least 0, and
    0 is best; identical embeddings give log(num_candidates).

    Args:
      left: `[batch, dim]` L2-normalised embeddings.
      right: `[num_candidates, dim]` L2-normalised embeddings, of the global batch.
      positives: `[batch]` index in `right` of each left embedding's positive.
      temperature: tau; similarities are divided by it.
      log_sampling_probability: `[num_candidates]`; subtracted from the logits, which corrects
        the in-batch negatives' bias against frequent candidates (Yi et al. 2019, Eq. (3)).
        Constants in it cancel.
      right_ids: `[num_candidates]` identities of the candidates; where given, other occurrences
        of the positive's identity are left out of the negatives ("accidental hits").

    Returns:
      Scalar: the sum of the batch's losses over `num_candidates`.
    """
    logits = tf.matmul(left, right, transpose_b=True) / temperature  # [batch, num_candidates]
    if log_sampling_probability is not None:
        logits -= log_sampling_probability[tf.newaxis, :]
    if right_ids is not None:
        logits += _EXCLUDED * _accidental_hits(right_ids, positives, logits.dtype)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=positives, logits=logits)
    return tf.reduce_sum(losses) / tf.cast(tf.shape(right)[0], losses.dtype)


def squared_spread_out_loss(
    left: tf.Tensor, right: tf.Tensor, *, positives: tf.Tensor
) -> tf.Tensor:
    """Mean over examples of the summed squared similarities to all others (Zhang et al. 2017).

    `1/N sum_i sum_{j != i} <z_i, z_j>^2`: at least 0, best when all pairs are orthogonal, and
    N - 1 for a collapsed model.

    Args:
      left: `[batch, dim]` L2-normalised embeddings.
      right: `[num_candidates, dim]` the same embeddings of the global batch.
      positives: `[batch]` index in `right` of each left embedding itself.

    Returns:
      Scalar: the sum over the batch, over `num_candidates`.
    """
    similarities = tf.matmul(left, right, transpose_b=True)
    itself = tf.one_hot(positives, tf.shape(right)[0], dtype=similarities.dtype)
    squared = tf.square(similarities) * (1.0 - itself)
    return tf.reduce_sum(squared) / tf.cast(tf.shape(right)[0], squared.dtype)


def _accidental_hits(ids: tf.Tensor, positives: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """`[batch, num_candidates]`: 1 where a candidate is the positive's item at another place."""
    positive_ids = tf.gather(ids, positives)
    same = tf.cast(tf.equal(positive_ids[:, tf.newaxis], ids[tf.newaxis, :]), dtype)
    return same - tf.one_hot(positives, tf.shape(ids)[0], dtype=dtype)
