# ruff: noqa: RUF001 (letters that look like others are the point)
import time
import unicodedata

import hypothesis
import hypothesis.strategies as st
import pytest

from data_prep.wiki.encoding import title_ngrams
from ssl_recsys.raw.words import ngrams, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Alan Turing", ["alan", "turing"]),
        ("Ätzend: the_Film, THE 2", ["ätzend", "the", "film", "the", "2"]),
        ("R&B (Straße)", ["r", "b", "strasse"]),
        # A virama joins consonants and vowel signs follow them: marks, no letters.
        ("हिन्दी दिवस", ["हिन्दी", "दिवस"]),
        ("தமிழ்நாடு 2024", ["தமிழ்நாடு", "2024"]),
        # Adlam, whose marks lie beyond the first 65,536 characters.
        ("\U0001e900\U0001e944\U0001e901", ["\U0001e922\U0001e944\U0001e923"]),
        # A joiner within a Sinhala word; a non-joiner between the parts of a Persian one.
        ("ශ්\u200dරී", ["ශ්රී"]),
        ("می\u200cخواهم", ["می", "خواهم"]),
        ("foot\u00adball", ["football"]),
        ("e\u0301te\u0301", ["été"]),
        ("서울 특별시", ["서울", "특별시"]),
        ("!!!", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("音樂錄像", ["音樂", "樂錄", "錄像"]),
        ("代謝 學", ["代謝", "學"]),
        ("大卫·伊斯顿", ["大卫", "伊斯", "斯顿"]),
        ("iPhone手机壳", ["iphone", "手机", "机壳"]),
        ("2008年奥运会A", ["2008", "年奥", "奥运", "运会", "a"]),
        ("東京タワー", ["東京", "京タ", "タワ", "ワー"]),
        # Full-width Latin and half-width kana, whose voicing marks are characters of their own.
        ("ＡＢＣｶﾞﾝﾀﾞﾑ", ["abc", "ガン", "ンダ", "ダム"]),
        ("\U00020bb7野家", ["\U00020bb7野", "野家"]),
        # A Thai vowel sign and tone mark belong to the letter before, sara am too; digits to none.
        ("กรุงเทพ ๒๕๖๐", ["กรุ", "รุง", "งเ", "เท", "ทพ", "๒๕๖๐"]),
        ("น้ำ", ["น้ำ"]),
        # A Khmer coeng and a Myanmar virama put the next consonant under the one before.
        ("ភ្នំពេញ", ["ភ្នំពេ", "ពេញ"]),
        ("ကမ္ဘာ", ["ကမ္ဘာ"]),
        ("ລາວ", ["ລາ", "າວ"]),
    ],
)
def test_scripts_without_spaces(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_turkish_i() -> None:
    # Casefolding alone makes İ an i with a combining dot, and leaves the dotless i apart from I.
    assert words("İstanbul ISTANBUL I\u0307stanbul istanbul") == ["istanbul"] * 4
    assert words("IŞIK Işık ışık") == ["işik"] * 3
    assert words("IŞIK Işık ışık", dotless_i=True) == ["ışık"] * 3
    assert words("DİL dil Dil", dotless_i=True) == ["dil"] * 3
    assert words("IRMAK", dotless_i=True) == ["ırmak"]
    assert title_ngrams("Kızıl Irmak", dotless_i=True) == ["kızıl", "ırmak", "kızıl ırmak"]


LETTERS = "aIiİı\u0307eé\u0301ßǰσςΣ9_ -नीமி音カｶﾞーก็ำ์ភ\u200d\u200cم\U00020bb7"


@hypothesis.settings(max_examples=100, deadline=None, derandomize=True)
@hypothesis.given(st.text(LETTERS, max_size=12), st.text(max_size=8), st.booleans())
def test_every_spelling_of_a_text_has_the_same_words(
    text: str, other: str, dotless_i: bool
) -> None:
    if not dotless_i:
        assert words(text.upper()) == words(text.lower()) == words(text)
    for one in (text, other):
        found = words(one, dotless_i=dotless_i)
        for form in ("NFC", "NFD"):
            assert words(unicodedata.normalize(form, one), dotless_i=dotless_i) == found
    both = words(f"{text} {other}", dotless_i=dotless_i)
    assert both == words(text, dotless_i=dotless_i) + words(other, dotless_i=dotless_i)
    # Letters and digits are all there, and nothing else is but marks (and unassigned characters).
    folded = unicodedata.normalize("NFC", text.casefold())
    kept = {one for one in folded if one.isalnum() and one not in "iıｶﾞ"}
    assert kept <= set("".join(both))
    kinds = {unicodedata.category(one) for one in "".join(both)}
    assert {kind[0] for kind in kinds - {"Cn"}} <= set("LNM")


@pytest.mark.parametrize(
    "unit",
    ["\u0301\u0327", "\u200d\u0301\u0327", "ﾞ\u0301", "i\u0323\u0307", "ก\u0e48", "ကမ္ဘ"],
)
def test_long_texts_take_linear_time(unit: str) -> None:
    started = time.process_time()
    words("a" + unit * 20_000)
    assert time.process_time() - started < 2  # by the square of the length it takes many seconds


def test_ngrams() -> None:
    assert ngrams(["a", "b", "c"], 1) == ["a", "b", "c"]
    assert ngrams(["a", "b", "c"], 3) == ["a", "b", "c", "a b", "b c", "a b c"]
    assert ngrams(["the", "the"], 2) == ["the", "the the"]
    assert ngrams([], 2) == []


def test_title_ngrams() -> None:
    assert title_ngrams("R&B (Straße)") == ["r", "b", "strasse", "r b", "b strasse"]
    assert title_ngrams("हिन्दी दिवस") == ["हिन्दी", "दिवस", "हिन्दी दिवस"]
