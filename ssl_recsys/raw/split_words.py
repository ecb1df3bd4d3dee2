"""`words.words` and `words.ngrams` in a graph, of plain TensorFlow operations."""

from __future__ import annotations

import tensorflow as tf

from ssl_recsys.raw import characters, words
from ssl_recsys.raw.normal_form import NormalForm
from ssl_recsys.raw.texts import Replace, Table, Texts, after, before, latest

_I, _SMALL_I = ord("I"), ord("i")
_DOTLESS_I, _DOT_ABOVE = ord(words.DOTLESS_I), ord(words.DOT_ABOVE)
_VOICING = (0xFF9E, 0xFF9F)  # half-width voicing marks, which join the kana before
# What a run of characters is: no word, characters without spaces, letters and digits.
_NONE, _HAN, _THAI, _LETTERS = range(4)


class SplitWords:
    """Splits texts into words."""

    def __init__(self) -> None:
        self._classes = Table(characters.classes())
        self._normal_form = NormalForm(self._classes)
        self._wide = Replace(characters.wide_forms())
        self._casefold = Replace(characters.case_foldings())
        self._pairs = set(characters.compositions().keys.tolist())

    def __call__(self, texts: tf.Tensor, *, dotless_i: bool = False) -> tf.RaggedTensor:
        """As `words.words` of each of `[batch]` texts, `[batch, (words)]`."""
        folded = self._folded(Texts.decode(texts), dotless_i)
        return self._found(folded, tf.size(texts, tf.int64))

    def _is(self, codes: tf.Tensor, of_class: int) -> tf.Tensor:
        return self._classes(codes) & of_class > 0

    def _folded(self, texts: Texts, dotless_i: bool) -> Texts:
        """As `words._folded`."""
        texts = self._normal_form.composed(self._without_many_marks(texts))
        if dotless_i:
            codes = tf.where(texts.codes == _I, _DOTLESS_I, texts.codes)
        else:
            codes = tf.where(texts.codes == _DOTLESS_I, _SMALL_I, texts.codes)
        texts = self._casefold(Texts(codes, texts.rows))

        def full() -> Texts:
            return self._normal_form.recomposed(
                self._without_dot(self._normal_form.decomposed(texts))
            )

        return Texts(*tf.cond(self._normal_form.is_quick(texts), lambda: texts, full))

    def _without_many_marks(self, texts: Texts) -> Texts:
        """With the usual forms of wide characters; without invisible ones, or too many marks."""
        codes = texts.codes
        is_joined = self._is_joined_voicing(texts)
        is_arabic = self._is(before(codes, 0), characters.ARABIC) & ~texts.begins_row()
        is_left_out = self._is(codes, characters.INVISIBLE)
        is_left_out |= (codes == ord(words.NON_JOINER)) & ~is_arabic
        texts = self._wide(texts)  # one for one
        texts, is_joined = texts.where(~is_left_out), tf.boolean_mask(is_joined, ~is_left_out)
        is_mark = self._is(texts.codes, characters.MARK) & ~is_joined
        begins = texts.begins_row() | (is_mark != before(is_mark, False))
        place = tf.range(tf.size(is_mark))
        return texts.where(~is_mark | (place - latest(begins) < words.MOST_MARKS))

    def _is_joined_voicing(self, texts: Texts) -> tf.Tensor:
        """`[characters]` bool: half-width voicing marks that are one character with a kana."""
        kana = Texts(before(texts.codes, 0), texts.rows)
        full = self._wide(kana).codes
        is_joined = tf.zeros_like(texts.codes, tf.bool)
        for mark, wide in zip(_VOICING, (0x3099, 0x309A), strict=True):
            with_it = [
                key >> 21 for key in self._pairs if key & 0x1FFFFF == wide and key >> 21 < 0x3100
            ]
            is_kana = tf.reduce_any(full[:, tf.newaxis] == tf.constant(sorted(with_it)), axis=1)
            is_joined |= (texts.codes == mark) & is_kana
        is_wide = self._is(kana.codes, characters.WIDE)
        return is_joined & is_wide & ~texts.begins_row()

    def _without_dot(self, texts: Texts) -> Texts:
        """Without the first dot above among the marks on each i."""
        codes = texts.codes
        is_mark = self._is(codes, characters.MARK)
        begins = ~is_mark | texts.begins_row()
        start = latest(begins)  # what the marks are on
        is_dot = is_mark & ~begins & (codes == _DOT_ABOVE)
        is_dot &= tf.gather(codes, tf.maximum(start, 0)) == _SMALL_I
        earlier = before(latest(is_dot), -1)
        return texts.where(~(is_dot & (earlier < start)))

    def _found(self, texts: Texts, size: tf.Tensor) -> tf.RaggedTensor:
        """The words of folded texts."""
        kinds = self._kinds(texts)
        texts, kinds = texts.where(kinds != _NONE), self._with_breaks(texts, kinds)
        kind, begins_run = kinds
        is_spaceless = kind != _LETTERS
        begins = begins_run | (is_spaceless & self._begins_character(texts, begins_run))
        unit = tf.cumsum(tf.cast(begins, tf.int32)) - 1
        units = Texts(texts.codes, unit).encode(tf.reduce_sum(tf.cast(begins, tf.int32)))
        # Of each unit: a word, or a character where there are no spaces.
        row, is_word, is_first = (
            tf.boolean_mask(column, begins) for column in (texts.rows, ~is_spaceless, begins_run)
        )
        is_last = after(is_first, True)
        found = tf.where(
            is_last,
            units,
            tf.strings.join([units, tf.concat([units[1:], [""]], 0)[: tf.size(units)]]),
        )
        is_kept = is_word | ~is_last | is_first
        return tf.RaggedTensor.from_value_rowids(
            tf.boolean_mask(found, is_kept),
            tf.cast(tf.boolean_mask(row, is_kept), tf.int64),
            nrows=size,
        )

    def _kinds(self, texts: Texts) -> tf.Tensor:
        """`[characters]` int32, what each one's run is; marks belong to the run before."""
        of_class = self._classes(texts.codes)
        kind = tf.zeros_like(texts.codes)
        for bit, value in (
            (characters.ALNUM, _LETTERS), (characters.THAI, _THAI), (characters.HAN, _HAN)
        ):  # fmt: skip
            kind = tf.where(of_class & bit > 0, value, kind)
        is_mark = of_class & characters.MARK > 0
        begins = ~is_mark | texts.begins_row()
        of_base = tf.gather(tf.where(is_mark, _NONE, kind), tf.maximum(latest(begins), 0))
        return tf.where(is_mark, tf.where(of_base == _NONE, _LETTERS, of_base), kind)

    def _with_breaks(self, texts: Texts, kinds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Kinds of the characters in words, and which of them begin a run."""
        begins = texts.begins_row() | (kinds != before(kinds, _NONE))
        is_kept = kinds != _NONE
        return tf.boolean_mask(kinds, is_kept), tf.boolean_mask(begins, is_kept)

    def _begins_character(self, texts: Texts, begins_run: tf.Tensor) -> tf.Tensor:
        """Letters that are not part of what a reader takes for the character before."""
        of_class = self._classes(texts.codes)
        is_letter = of_class & (characters.HAN | characters.THAI) > 0
        is_stacked = before(of_class & characters.STACKER > 0, False)
        is_part = (of_class & characters.AM > 0) | (is_stacked & (of_class & characters.THAI > 0))
        return begins_run | (is_letter & ~is_part)


def ngrams(found: tf.RaggedTensor, longest: int) -> tf.RaggedTensor:
    """The words `[batch, (words)]`, then their runs of 2, 3, ... `longest` neighbours.

    Unlike `words.ngrams` it repeats what occurs again.
    """
    flat, rows, size = found.flat_values, found.value_rowids(), found.nrows()
    runs = [found]
    joined, following, end_row = flat, flat, rows
    for _ in range(2, longest + 1):
        following = tf.concat([following[1:], [""]], 0)[: tf.size(flat)]
        end_row = after(end_row, -1)
        joined = tf.strings.join([joined, following], " ")
        is_run = end_row == rows
        runs.append(
            tf.RaggedTensor.from_value_rowids(
                tf.boolean_mask(joined, is_run), tf.boolean_mask(rows, is_run), nrows=size
            )
        )
    return tf.concat(runs, axis=1)
