import pytest

from data_prep.wiki.encoding import title_ngrams
from data_prep.words import ngrams, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Alan Turing", ["alan", "turing"]),
        ("Ätzend: the_Film, THE 2", ["ätzend", "the", "film", "the", "2"]),
        ("R&B (Straße)", ["r", "b", "strasse"]),
        # A virama joins consonants and vowel signs follow them: marks, no letters.
        ("हिन्दी दिवस", ["हिन्दी", "दिवस"]),
        ("தமிழ்நாடு 2024", ["தமிழ்நாடு", "2024"]),
        # Casefolding makes İ an i with a combining dot.
        ("İstanbul", ["i\u0307stanbul"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        ("!!!", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_ngrams() -> None:
    assert ngrams(["a", "b", "c"], 1) == ["a", "b", "c"]
    assert ngrams(["a", "b", "c"], 3) == ["a", "b", "c", "a b", "b c", "a b c"]
    assert ngrams(["the", "the"], 2) == ["the", "the the"]
    assert ngrams([], 2) == []


def test_title_ngrams() -> None:
    assert title_ngrams("R&B (Straße)") == ["r", "b", "strasse", "r b", "b strasse"]
    assert title_ngrams("हिन्दी दिवस") == ["हिन्दी", "दिवस", "हिन्दी दिवस"]
