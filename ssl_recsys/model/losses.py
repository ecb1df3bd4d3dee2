"""The losses: pure functions of embeddings, without state, flags or strategies.

Every loss is a mean over the *global* batch. A replica passes its own examples on the left and
all replicas' candidates on the right, gets its share of that mean, and the shares of all
replicas add up to the loss that one replica would have computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

# Below this temperature exponentials are taken relative to each row's largest logit. Above it
# cosines give logits of at most 30, and e^30 times any sampling weight fits float32 with ease.
_SAFE_TEMPERATURE = 1.0 / 30.0
# Logit of a candidate that is not there. Finite, so that no gradient becomes infinity times zero.
_ABSENT = -1e30


class HardNegatives(NamedTuple):
    """Candidates of one example each, such as items that were shown to a query and not chosen.

    Attributes:
      embeddings: `[batch * n, dim]` L2-normalised, those of one example after those of the one
        before.
      is_there: `[batch, n]` bool; False for padding.
      weight: as how many items each counts, above 0.
    """

    embeddings: tf.Tensor
    is_there: tf.Tensor
    weight: float = 1.0


def contrastive_loss(
    left: tf.Tensor,
    right: tf.Tensor,
    *,
    positives: tf.Tensor,
    temperature: float,
    batch_size: int | None = None,
    log_sampling_probability: tf.Tensor | None = None,
    item_row: tf.Tensor | None = None,
    hard_negatives: HardNegatives | None = None,
    weights: tf.Tensor | None = None,
    gradient_dtype: tf.DType = tf.float32,
) -> tf.Tensor:
    """Softmax cross entropy of each left embedding against all right embeddings.

    With queries on the left and candidates on the right this is the main loss, Eq. (5); with two
    views of the same items it is the self-supervised loss, Eq. (3). But for rounding the loss is
    at least 0, and 0 is best; identical embeddings give log(num_candidates).

    Args:
      left: `[batch, dim]` L2-normalised embeddings.
      right: `[num_candidates, dim]` L2-normalised embeddings, of the global batch.
      positives: `[batch]` index in `right` of each left embedding's positive.
      temperature: tau; similarities are divided by it.
      batch_size: size of the global batch; None: there are as many candidates.
      log_sampling_probability: `[num_candidates]`; subtracted from the logits, which corrects
        the in-batch negatives' bias against frequent candidates (Yi et al. 2019, Eq. (3)).
        Constants in it cancel. It has no gradient.
      item_row: `[num_candidates]` catalog rows of the candidates; where given, other occurrences
        of the positive's row are left out of the negatives ("accidental hits").
      hard_negatives: further candidates of single examples (Huang et al. 2020, "Embedding-based
        Retrieval in Facebook Search", arXiv 2006.11632; Karpukhin et al. 2020, "Dense Passage
        Retrieval", arXiv 2004.04906). They are shown, not sampled, so nothing corrects for their
        frequency: each counts `weight` times. Among sampled candidates an item of probability q
        comes up `num_candidates * q` times, and the correction divides by q alone; so that once is
        the same for both, `log_sampling_probability` adds log(num_candidates) to these logits.
      weights: `[batch]` w, at least 0, of each example; None: all are 1. The loss is
        `sum_i w_i l_i / n` over the n examples of the global batch, as Keras weighs samples.
        Divided by `sum_i w_i` an example would count more in a batch of light ones than in a batch
        of heavy ones, and replicas would have to add their weights up. A mean of 1 over all
        training pairs (see `Batch`) keeps the balance with other losses; weights that are all 1
        change no bit. Candidates are not weighed.
      gradient_dtype: type of the factors of the gradient's matrix products; the loss itself is
        computed in float32.

    Returns:
      Scalar: the (weighted) sum of the batch's losses over the size of the global batch.
    """
    scaled = left / temperature
    log_weights = tf.zeros_like(right[:, 0])
    if log_sampling_probability is not None:
        log_weights = -tf.stop_gradient(log_sampling_probability)
    excluded = None if item_row is None else _accidental_hits(item_row, positives)
    is_safe = temperature >= _SAFE_TEMPERATURE

    @tf.custom_gradient
    def log_partition(scaled: tf.Tensor, right: tf.Tensor) -> tuple[tf.Tensor, Any]:
        return _log_partition(scaled, right, log_weights, excluded, is_safe, gradient_dtype)

    positive_logits = tf.reduce_sum(scaled * tf.gather(right, positives), axis=1)
    log_partitions = log_partition(scaled, right)
    if hard_negatives is not None:
        certain = 0.0
        if log_sampling_probability is not None:
            certain = tf.math.log(tf.cast(tf.shape(right)[0], left.dtype))
        log_partitions = _with_hard_negatives(log_partitions, scaled, hard_negatives, certain)
    losses = log_partitions - positive_logits - tf.gather(log_weights, positives)
    return _mean(losses, weights, batch_size or tf.shape(right)[0])


def corrected_softmax_loss(
    left: tf.Tensor,
    right: tf.Tensor,
    *,
    positives: tf.Tensor,
    item_row: tf.Tensor,
    log_sampling_probability: tf.Tensor,
    temperature: float,
    batch_size: int | None = None,
    hard_negatives: HardNegatives | None = None,
    weights: tf.Tensor | None = None,
    gradient_dtype: tf.DType = tf.float32,
) -> tf.Tensor:
    """An estimate of the softmax over the whole catalog, from the negatives of a batch.

    `-log p_i` with `p_i = exp(s_ii) / (exp(s_ii) + sum_j exp(s_ij) / (n q_j))`, where j runs over
    the `n` other candidates without those of the positive's own item. Unlike
    in `contrastive_loss` with sampling probabilities, the positive, which is not sampled, is not
    divided by its own (Khrylchenko et al. 2025, "Correcting the LogQ Correction", arXiv
    2507.09331). They write it as a weight without gradient, `(1 - p_i)`, times a loss whose
    denominator lacks the positive: its gradient is the one of `-log p_i`, for the same p_i.

    Args:
      left: `[batch, dim]` L2-normalised embeddings.
      right: `[num_candidates, dim]` L2-normalised embeddings, of the global batch.
      positives: `[batch]` index in `right` of each left embedding's positive.
      item_row: `[num_candidates]` catalog rows of the candidates.
      log_sampling_probability: `[num_candidates]` log q, without a gradient.
      temperature: tau; similarities s are divided by it.
      batch_size: size of the global batch; None: there are as many candidates.
      hard_negatives: further candidates of single examples; certain as the positive, each adds
        `weight * exp(s)` to the denominator of its example.
      weights: `[batch]`, see `contrastive_loss`.
      gradient_dtype: type of the factors of the gradient's matrix products.

    Returns:
      Scalar: the (weighted) sum of the batch's losses over the size of the global batch. At least
      0, which is best.
    """
    scaled = left / temperature
    num_negatives = tf.cast(tf.shape(right)[0] - 1, left.dtype)
    log_weights = -tf.stop_gradient(log_sampling_probability)
    log_weights -= tf.math.log(tf.maximum(num_negatives, 1.0))
    of_positive = tf.gather(item_row, positives)[:, tf.newaxis]
    excluded = tf.equal(of_positive, item_row[tf.newaxis, :])  # [batch, num_candidates]

    @tf.custom_gradient
    def log_partition(scaled: tf.Tensor, right: tf.Tensor) -> tuple[tf.Tensor, Any]:
        is_safe = temperature >= _SAFE_TEMPERATURE
        return _log_partition(scaled, right, log_weights, excluded, is_safe, gradient_dtype)

    positive_logits = tf.reduce_sum(scaled * tf.gather(right, positives), axis=1)
    log_partitions = log_partition(scaled, right)
    if hard_negatives is not None:
        log_partitions = _with_hard_negatives(log_partitions, scaled, hard_negatives, 0.0)
    losses = tf.nn.softplus(log_partitions - positive_logits)
    return _mean(losses, weights, batch_size or tf.shape(right)[0])


def _mean(losses: tf.Tensor, weights: tf.Tensor | None, batch_size: int | tf.Tensor) -> tf.Tensor:
    """`[batch]` losses to this replica's share of their mean over the global batch."""
    if weights is not None:
        losses *= weights
    return tf.reduce_sum(losses) / tf.cast(batch_size, losses.dtype)


def _with_hard_negatives(
    log_partition: tf.Tensor,
    scaled: tf.Tensor,
    hard_negatives: HardNegatives,
    log_weight: float | tf.Tensor,
) -> tf.Tensor:
    """Adds each example's own candidates to its partition.

    Args:
      log_partition: `[batch]` log of the sum over the common candidates.
      scaled: `[batch, dim]` left embeddings over the temperature.
      hard_negatives: the own candidates.
      log_weight: added to their logits.

    Returns:
      `[batch]`.
    """
    size, count = hard_negatives.is_there.shape
    own = tf.reshape(hard_negatives.embeddings, [size, count, scaled.shape[1]])
    logits = tf.reduce_sum(scaled[:, tf.newaxis] * own, axis=2)
    logits += log_weight + math.log(hard_negatives.weight)
    logits = tf.where(hard_negatives.is_there, logits, _ABSENT)
    # There may be no common candidate either.
    common = tf.maximum(log_partition, _ABSENT)[:, tf.newaxis]
    return tf.reduce_logsumexp(tf.concat([common, logits], axis=1), axis=1)


def _log_partition(
    left: tf.Tensor,
    right: tf.Tensor,
    log_weights: tf.Tensor,
    excluded: tf.Tensor | None,
    is_safe: bool,
    gradient_dtype: tf.DType,
) -> tuple[tf.Tensor, Any]:
    """`[batch]` log sum_j w_j exp(left_i . right_j) and its gradient.

    A `[batch, num_candidates]` matrix is most of a loss's cost on a CPU. It is passed over as
    few times as possible: the exponentials are kept for the gradient, and what scales its rows
    (1 / partition) or columns (w) is applied to the narrow factors of its products instead.
    """
    logits = tf.matmul(left, right, transpose_b=True)
    if is_safe:
        shift = tf.zeros_like(left[:, :1])
    else:
        logits += log_weights
        if excluded is not None:
            logits = tf.where(excluded, -math.inf, logits)
        # All of a row may be excluded.
        shift = tf.maximum(tf.reduce_max(logits, axis=1, keepdims=True), logits.dtype.min)
        logits -= shift
        log_weights = tf.zeros_like(log_weights)
    weights = tf.exp(log_weights)[:, tf.newaxis]  # [num_candidates, 1]
    exponentials = tf.exp(logits)
    if excluded is not None:
        exponentials = tf.where(excluded, 0.0, exponentials)
    partition = tf.matmul(exponentials, weights)  # [batch, 1]

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        row_scale = tf.math.divide_no_nan(upstream[:, tf.newaxis], partition)
        factor = tf.cast(exponentials, gradient_dtype)
        to_left = tf.matmul(factor, tf.cast(weights * right, gradient_dtype))
        to_right = tf.matmul(factor, tf.cast(row_scale * left, gradient_dtype), transpose_a=True)
        return row_scale * tf.cast(to_left, left.dtype), weights * tf.cast(to_right, right.dtype)

    return tf.squeeze(tf.math.log(partition) + shift, axis=1), gradient


def sum_over_parts(
    loss: Callable[..., tf.Tensor],
    num_parts: int,
    left: tf.Tensor,
    right: tf.Tensor,
    hard_negatives: HardNegatives | None = None,
    **arguments: Any,
) -> tf.Tensor:
    """The sum of a loss over the parts of embeddings that sub-towers made, each for itself.

    The sum, not the mean: each sub-tower has the gradients that it would have alone.

    Args:
      loss: takes left and right embeddings and the other arguments, and gives a scalar.
      num_parts: how many parts there are.
      left: `[batch, num_parts * dim]` L2-normalised, as is each part but for its scale.
      right: `[num_candidates, num_parts * dim]` likewise.
      hard_negatives: likewise, for losses that take them.
      **arguments: passed on.
    """
    if num_parts == 1:
        own = {} if hard_negatives is None else {"hard_negatives": hard_negatives}
        return loss(left, right, **own, **arguments)

    def split(side: tf.Tensor) -> list[tf.Tensor]:
        return tf.split(math.sqrt(num_parts) * side, num_parts, axis=1)

    own_of_parts: list[dict[str, HardNegatives]] = [{}] * num_parts
    if hard_negatives is not None:
        own_of_parts = [
            {"hard_negatives": hard_negatives._replace(embeddings=part)}
            for part in split(hard_negatives.embeddings)
        ]
    parts = zip(split(left), split(right), own_of_parts, strict=True)
    return tf.add_n([loss(one, other, **own, **arguments) for one, other, own in parts])


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


def _accidental_hits(item_row: tf.Tensor, positives: tf.Tensor) -> tf.Tensor:
    """`[batch, num_candidates]` bool: the candidate is the positive's item once more."""
    is_same = tf.equal(tf.gather(item_row, positives)[:, tf.newaxis], item_row[tf.newaxis, :])
    candidates = tf.range(tf.shape(item_row)[0], dtype=positives.dtype)
    return is_same & tf.not_equal(positives[:, tf.newaxis], candidates[tf.newaxis, :])
