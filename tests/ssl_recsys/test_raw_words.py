# ruff: noqa: RUF001 (letters that look like others are the point)
"""Words in a graph are those of `words.words`, its oracle."""

import unicodedata

import hypothesis
import hypothesis.strategies as st
import pytest
import tensorflow as tf

from ssl_recsys.raw import words
from ssl_recsys.raw.split_words import SplitWords, ngrams

SPLIT = SplitWords()
IN_GRAPH = {
    dotless_i: tf.function(
        lambda texts, dotless_i=dotless_i: ngrams(SPLIT(texts, dotless_i=dotless_i), 3),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )
    for dotless_i in (False, True)
}


def found(texts: list[str], dotless_i: bool) -> list[list[str]]:
    given = tf.constant([text.encode() for text in texts], tf.string, shape=[len(texts)])
    return [
        list(dict.fromkeys(word.decode() for word in row))
        for row in IN_GRAPH[dotless_i](given).to_list()
    ]


def expected(texts: list[str], dotless_i: bool) -> list[list[str]]:
    return [words.ngrams(words.words(text, dotless_i=dotless_i), 3) for text in texts]


def test_by_hand() -> None:
    texts = ["Straße: the_FILM", "", "音樂錄像 2", "İstanbul", "น้ำ", "ｶﾞﾀ", "e\u0301"]
    assert found(texts, False) == [
        ["strasse", "the", "film", "strasse the", "the film", "strasse the film"],
        [],
        ["音樂", "樂錄", "錄像", "2", "音樂 樂錄", "樂錄 錄像", "錄像 2",
         "音樂 樂錄 錄像", "樂錄 錄像 2"],
        ["istanbul"],
        ["น้ำ"],
        ["ガタ"],
        ["é"],
    ]  # fmt: skip
    assert found(["IRMAK"], True) == [["ırmak"]]
    assert found([], False) == []


def special() -> list[str]:
    """Characters that do not stay as they are, and marks."""
    every = map(chr, [*range(0xD800), *range(0xE000, 0x323B0), *range(0xE0000, 0xE0200)])
    return [
        one
        for one in every
        if unicodedata.category(one)[0] == "M"
        or unicodedata.decomposition(one)
        or one.casefold() != one
        or one in words.INVISIBLE
    ]


@pytest.mark.parametrize("dotless_i", [False, True])
def test_each_special_character(dotless_i: bool) -> None:
    texts = [f"a{one}{one}" for one in special()]
    assert len(texts) > 8000
    assert found(texts, dotless_i) == expected(texts, dotless_i)


# What the rules are about: case, dots, order of marks, composition, runs without spaces.
LETTERS = (
    "aIiİı\u0307eé\u0301ßǰσςΣ9_ -नीमி音カｶﾞﾟーก็ำ์ភ\u200d\u200cم\u1039\u17d2\u0f43\u0340\u00a8\u0338>="
    "\u0345ᾳΑ\u1160\u1100\uffa1\uffc2\u11a8\u09c7\u09be\u0327\u0323\U0001d15e\U00020bb7\u3099\u309a²½"
)
TEXTS = st.one_of(st.text(LETTERS, max_size=12), st.text(max_size=8))


@hypothesis.settings(max_examples=60, derandomize=True)
@hypothesis.given(
    st.lists(TEXTS, max_size=40), st.sampled_from("\u0301\u3099ﾞ\u0345"), st.booleans()
)
def test_any_text(texts: list[str], mark: str, dotless_i: bool) -> None:
    # Not more than 30 marks in a row count.
    texts += [f"{text}{mark * count}" for text, count in zip(texts, (29, 30, 31), strict=False)]
    assert found(texts, dotless_i) == expected(texts, dotless_i)
