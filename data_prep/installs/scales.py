"""Scales of dense features, learned from the training items."""

from __future__ import annotations

import numpy as np

from ssl_recsys.raw.rules import AS_IS, LOG_NORMALIZED, MAX_DEVIATIONS, QUANTILE, Scale


def encode(scale: Scale, values: np.ndarray) -> np.ndarray:
    """Scales values.

    Args:
      scale: the scale.
      values: `[items]` float64, NaN for missing.

    Returns:
      `[items, 2]` float32: the scaled value, 0 if missing, and 1 if missing, else 0.
    """
    missing = np.isnan(values)
    known = np.where(missing, 0.0, values)
    if scale.normalize == QUANTILE:
        scaled = _quantiles(scale, known)
    elif scale.normalize == AS_IS:
        scaled = known
    else:
        known = _log(known) if scale.normalize == LOG_NORMALIZED else known
        scaled = (known - scale.mean) / scale.deviation
        scaled = np.clip(scaled, -MAX_DEVIATIONS, MAX_DEVIATIONS)
    return np.stack([np.where(missing, 0.0, scaled), missing], axis=1).astype(np.float32)


def _quantiles(scale: Scale, values: np.ndarray) -> np.ndarray:
    """Shares of training items below, from -1 to 1; equal ones count half."""
    if not len(scale.ordered):
        return np.zeros(len(values))
    below = np.searchsorted(scale.ordered, values, side="left")
    up_to = np.searchsorted(scale.ordered, values, side="right")
    return (below + up_to) / len(scale.ordered) - 1.0


def learn_scale(normalize: str, values: np.ndarray) -> Scale:
    """Learns from the values of training items.

    Args:
      normalize: log, quantile, standard or none.
      values: `[values]` float64 without NaN; the order does not matter.
    """
    ordered = np.sort(values)
    if normalize == QUANTILE:
        return Scale(normalize, ordered=ordered)
    if normalize == AS_IS or not len(ordered):
        return Scale(normalize)
    ordered = _log(ordered) if normalize == LOG_NORMALIZED else ordered
    deviation = float(ordered.std())
    return Scale(normalize, float(ordered.mean()), deviation if deviation > 0 else 1.0)


def _log(values: np.ndarray) -> np.ndarray:
    """log(1 + x), mirrored for negative values."""
    return np.sign(values) * np.log1p(np.abs(values))
