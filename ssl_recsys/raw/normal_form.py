"""Unicode's normal forms in a graph, by the algorithms of UAX 15.

Tables are those of the Python that builds the graph, so that a saved one does not depend on where
it is loaded.
"""

from __future__ import annotations

import tensorflow as tf

from ssl_recsys.raw import characters
from ssl_recsys.raw.texts import Replace, Table, Texts, before, latest


class NormalForm:
    """Canonical decomposition and composition of texts.

    Args:
      classes: the classes of characters.
    """

    def __init__(self, classes: Table):
        self._classes = classes
        self._combining = Table(characters.combining_classes())
        self._decompose = Replace(characters.decompositions())
        pairs = characters.compositions()
        self._keys = tf.constant(pairs.keys)
        self._composed = tf.constant(pairs.composed)

    def is_quick(self, texts: Texts) -> tf.Tensor:
        """Whether there is nothing to decompose, order or compose for normal form C; a scalar."""
        return tf.reduce_all(self._classes(texts.codes) & characters.QUICK > 0)

    def composed(self, texts: Texts) -> Texts:
        """Normal form C."""
        return Texts(
            *tf.cond(
                self.is_quick(texts),
                lambda: texts,
                lambda: self.recomposed(self.decomposed(texts)),
            )
        )

    def decomposed(self, texts: Texts) -> Texts:
        """Normal form D."""
        texts = self._decompose(texts)
        combining = self._combining(texts.codes)
        # A starter and the marks behind it, which are put in the order of their classes.
        group = tf.cumsum(tf.cast((combining == 0) | texts.begins_row(), tf.int64))
        size = tf.size(group, tf.int64)
        order = tf.argsort((group * 256 + tf.cast(combining, tf.int64)) * size + tf.range(size))
        return Texts(tf.gather(texts.codes, order), texts.rows)

    def recomposed(self, texts: Texts) -> Texts:
        """Normal form C of texts in normal form D."""
        shape = tf.TensorShape([None])
        codes, rows, _, _ = tf.while_loop(
            lambda codes, rows, passed, go_on: go_on,
            self._compose_once,
            (*texts, tf.zeros_like(texts.codes, tf.bool), tf.constant(True)),
            shape_invariants=(shape, shape, shape, tf.TensorShape([])),
        )
        return Texts(codes, rows)

    def _compose_once(
        self, codes: tf.Tensor, rows: tf.Tensor, passed: tf.Tensor, go_on: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Joins each starter with the first character behind it that it composes with.

        Args:
          codes: `[n]` code points.
          rows: `[n]` their texts.
          passed: `[n]` bool, characters before one that their starter was joined with; those are
            not tried again.
          go_on: a scalar bool, unused.

        Returns:
          The same after the step; `go_on` says whether anything was joined.
        """
        del go_on
        combining = self._combining(codes)
        place = tf.range(tf.size(codes))
        starter = before(latest(combining == 0), -1)
        base = tf.maximum(starter, 0)
        is_blocked = (before(combining, 0) >= combining) & (starter != place - 1)
        key = tf.cast(tf.gather(codes, base), tf.int64) * (1 << 21) + tf.cast(codes, tf.int64)
        found = tf.minimum(tf.searchsorted(self._keys, key), tf.size(self._keys) - 1)
        is_pair = tf.gather(self._keys, found) == key
        same_row = tf.gather(rows, base) == rows
        fits = (starter >= 0) & same_row & is_pair & ~is_blocked & ~passed
        candidates = tf.boolean_mask(place, fits)
        bases = tf.gather(base, candidates)
        is_first = before(bases, -1) != bases
        joined = tf.boolean_mask(candidates, is_first)[:, tf.newaxis]
        bases = tf.boolean_mask(bases, is_first)[:, tf.newaxis]
        composed = tf.gather(self._composed, tf.gather(found, joined[:, 0]))
        codes = tf.tensor_scatter_nd_update(codes, bases, composed)
        # Where the character that a starter was joined with stood, -1 for other starters.
        partner = tf.tensor_scatter_nd_update(tf.fill(tf.shape(place), -1), bases, joined[:, 0])
        passed |= (starter >= 0) & same_row & (place < tf.gather(partner, base))
        is_left = tf.tensor_scatter_nd_update(
            tf.ones_like(fits), joined, tf.zeros_like(joined[:, 0], tf.bool)
        )
        return (
            tf.boolean_mask(codes, is_left),
            tf.boolean_mask(rows, is_left),
            tf.boolean_mask(passed, is_left),
            tf.size(joined) > 0,
        )
