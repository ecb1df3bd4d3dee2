"""Scales of dense features, learned from the training items."""

from __future__ import annotations

import dataclasses

import numpy as np

LOG_NORMALIZED, QUANTILE, STANDARD, AS_IS = "log", "quantile", "standard", "none"
NORMALIZATIONS = (LOG_NORMALIZED, QUANTILE, STANDARD, AS_IS)
_MAX_DEVIATIONS = 10.0


@dataclasses.dataclass(frozen=True)
class Scale:
    """How a dense feature is scaled, learned from training items.

    Attributes:
      normalize: log, quantile, standard or none.
      mean: of the training items' values (their logarithms), for log and standard.
      deviation: their standard deviation, 1 where they are all equal.
      ordered: `[values]` the training items' values in ascending order, for quantile.
    """

    normalize: str
    mean: float = 0.0
    deviation: float = 1.0
    ordered: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Scales values.

        Args:
          values: `[items]` float64, NaN for missing.

        Returns:
          `[items, 2]` float32: the scaled value, 0 if missing, and 1 if missing, else 0.
        """
        missing = np.isnan(values)
        known = np.where(missing, 0.0, values)
        if self.normalize == QUANTILE:
            scaled = self._quantiles(known)
        elif self.normalize == AS_IS:
            scaled = known
        else:
            known = _log(known) if self.normalize == LOG_NORMALIZED else known
            scaled = (known - self.mean) / self.deviation
            scaled = np.clip(scaled, -_MAX_DEVIATIONS, _MAX_DEVIATIONS)
        return np.stack([np.where(missing, 0.0, scaled), missing], axis=1).astype(np.float32)

    def _quantiles(self, values: np.ndarray) -> np.ndarray:
        """Shares of training items below, from -1 to 1; equal ones count half."""
        if not len(self.ordered):
            return np.zeros(len(values))
        below = np.searchsorted(self.ordered, values, side="left")
        up_to = np.searchsorted(self.ordered, values, side="right")
        return (below + up_to) / len(self.ordered) - 1.0


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
