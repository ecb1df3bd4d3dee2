"""Numbers in a graph: texts as Python's `float` reads them, and scales."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ssl_recsys.raw import characters, rules
from ssl_recsys.raw.rules import Scale
from ssl_recsys.raw.texts import Replace, Texts

# What `float` takes for a finite number; other texts, such as inf, are none here.
_NUMBER = r"[-+]?(\d+(_\d+)*(\.(\d+(_\d+)*)?)?|\.\d+(_\d+)*)([eE][-+]?\d+(_\d+)*)?"


class ReadNumbers:
    """Texts to numbers."""

    def __init__(self) -> None:
        self._digits = Replace(characters.digits())

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """`[batch]` float64, NaN for a text that is no finite number of float32, or missing."""
        plain = self._digits(Texts.decode(texts)).encode(tf.size(texts))
        plain = tf.strings.strip(plain)
        is_number = tf.strings.regex_full_match(plain, _NUMBER)
        digits = tf.strings.regex_replace(plain, "_", "")
        values = tf.strings.to_number(tf.where(is_number, digits, "0"), tf.float64)
        return tf.where(is_number & (tf.abs(values) <= rules.MAX_NUMBER), values, np.nan)


class ApplyScale(tf.Module):
    """`installs.scales.encode` in a graph.

    Its numbers are variables: a graph's optimizer divides by a constant in another way, which
    changes the last bit.
    """

    def __init__(self, scale: Scale):
        super().__init__(name="scale")
        self._normalize = scale.normalize
        self.mean, self.deviation, self.ordered = (
            tf.Variable(value, dtype=tf.float64, trainable=False)
            for value in (scale.mean, scale.deviation, scale.ordered)
        )

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """`[batch]` float64, NaN for missing, to `[batch, 2]` float32: scaled value and mark."""
        missing = tf.math.is_nan(values)
        known = tf.where(missing, tf.zeros_like(values), values)
        if self._normalize == rules.QUANTILE:
            scaled = self._quantiles(known)
        elif self._normalize == rules.AS_IS:
            scaled = known
        else:
            if self._normalize == rules.LOG_NORMALIZED:
                known = tf.sign(known) * tf.math.log1p(tf.abs(known))
            scaled = (known - self.mean) / self.deviation
            scaled = tf.clip_by_value(scaled, -rules.MAX_DEVIATIONS, rules.MAX_DEVIATIONS)
        scaled = tf.where(missing, tf.zeros_like(scaled), scaled)
        return tf.cast(tf.stack([scaled, tf.cast(missing, tf.float64)], axis=1), tf.float32)

    def _quantiles(self, values: tf.Tensor) -> tf.Tensor:
        """Shares of training items below, from -1 to 1; equal ones count half."""
        if not self.ordered.shape[0]:
            return tf.zeros_like(values)
        ordered = self.ordered.read_value()
        below, up_to = (
            tf.searchsorted(ordered, values, side=side, out_type=tf.int64)
            for side in ("left", "right")
        )
        size = tf.cast(tf.size(ordered), tf.float64)
        return tf.cast(below + up_to, tf.float64) / size - 1.0
