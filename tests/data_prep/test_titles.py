"""Titles and targets: case, namespaces, prefixes, escapes, legality."""

import unicodedata

import hypothesis
import hypothesis.strategies as st
import pytest

from data_prep.wiki import sites, titles

SITEINFO = """<siteinfo><sitename>Wiki</sitename><dbname>{name}</dbname><case>first-letter</case>
<namespaces><namespace key="0" case="first-letter" />
<namespace key="4" case="first-letter">Vikipedi</namespace>
<namespace key="14" case="first-letter">Kategori</namespace>{more}</namespaces></siteinfo>"""


def site(language="en", name="enwiki", more=""):
    root = f'<mediawiki version="0.11" xml:lang="{language}">'
    return sites.parse_site((root + SITEINFO.format(name=name, more=more)).encode())


def target(raw, of=None):
    return tuple(sites.parse_target(raw.encode(), of or site()))


@pytest.mark.parametrize("language", ["tr", "az", "kaa", "gag", "kiu", "lzz", "lez"])
def test_dotted_i(language):
    wiki = site(language)
    found = [target(raw, wiki)[1] for raw in ("il", "istanbul", "\u0131rak", "İl", "Il", "şehir")]
    assert found == ["İl", "İstanbul", "Irak", "İl", "Il", "Şehir"]
    assert sites.parse_title(b"il", wiki, 0) == (0, "İl")
    assert target("Kategori:il", wiki) == (sites.TO_CATEGORY, "İl")


@pytest.mark.parametrize("language", ["en", "de", "crh", "tt", "uz", "kk"])
def test_plain_i(language):
    assert target("il", site(language)) == (sites.TO_ARTICLE, "Il")


@pytest.mark.parametrize(
    "head",
    [
        "<mediawiki xml:lang='tr'>" + SITEINFO.format(name="x", more=""),
        '<mediawiki\n  version="0.3"\n  xml:lang = "TR">' + SITEINFO.format(name="x", more=""),
        '<mediawiki xml:lang="tr"><page>',
        "<mediawiki>" + SITEINFO.format(name="trwiki", more=""),
    ],
)
def test_where_the_language_stands(head):
    assert sites.parse_site(head.encode()).language == "tr"


def test_a_head_without_language_and_siteinfo():
    assert sites.parse_site(b"<mediawiki><page>") is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Portal:Art", "Portal:Art"),
        ("portal talk:Art", "Portal talk:Art"),
        ("Bild:Rom", "Bild:Rom"),
        ("文件:X", "文件:X"),
    ],
)
def test_names_that_are_no_namespace_here(raw, expected):
    assert target(raw) == (sites.TO_ARTICLE, expected)


def test_names_that_are_a_namespace_here():
    more = '<namespace case="first-letter" key="100">Portal</namespace>'
    assert target("portal:Art", site(more=more))[0] == sites.TO_NAMESPACE
    assert target("Bild:Rom", site("de"))[0] == sites.TO_FILE
    assert target("文件:X", site("zh"))[0] == sites.TO_FILE
    for raw in ("File:X", "image:X", "Media:X"):
        assert target(raw)[0] == sites.TO_FILE
    # English names beside the wiki's own, and a Wikipedia's name on Wikipedias.
    for raw in ("Project:X", "Vikipedi:X", "Wikipedia:X", "User talk:X", "Special:X"):
        assert target(raw)[0] == sites.TO_NAMESPACE
    assert target("Wikipedia:X", site(name="enwiktionary"))[0] == sites.TO_INTERWIKI
    assert target("Portal:X", sites.Site())[0] == sites.TO_NAMESPACE


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        ("en:Rome", ""),
        (":zh-min-nan:Rome", ""),
        ("it:Rome/Milan", ""),
        ("v: The Final Battle", "V: The Final Battle"),
        ("wikt:rome", "Wikt:rome"),
        ("Q:A", "Q:A"),
        ("It: Chapter Two", "It: Chapter Two"),
        ("No:X", "No:X"),
        ("w:{x}", ""),
    ],
)
def test_links_to_other_wikis_and_the_page_that_they_may_name(raw, title):
    assert target(raw) == (sites.TO_INTERWIKI, title)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Rock&amp;region", "Rock&region"),  # no ® without its semicolon
        ("Fish&amp;amp", "Fish&amp"),
        ("A&amp;copy;B", "A©B"),
        ("A&amp;nosuchentity B;", "A&nosuchentity B;"),
        ("Caf&amp;#233; &amp;#xE9;", "Café é"),
        ("Caf&#233;", "Café"),
        ("Caf%C3%A9", "Café"),
        ("%26#x25;", "%"),  # percent codes first: "&#x25;"
        ("%2526", "INVALID"),  # decoded once: "%26"
        ("&amp;#x25;25", "INVALID"),  # "%25" can be no title
        ("AT&amp;amp;T", "AT&T"),
        ("A&amp;amp;amp;B", "INVALID"),  # "A&amp;B" can be no title
        ("100%", "100%"),
        ("50 %A", "50 %A"),
        ("A&amp;lt;br&amp;gt;", "INVALID"),
        ("%5B", "INVALID"),
        ("%FF", "INVALID"),
        ("A&amp;#xD800;", "INVALID"),
        ("A&amp;#0;", "INVALID"),
        ("A&#" + "9" * 5000 + ";", "INVALID"),
        ("A&amp;#x" + "f" * 5000 + ";", "INVALID"),
        ("A&amp;#" + "0" * 5000 + "65;", "AA"),
        ("A~~~B", "INVALID"),
        ("A/../B", "INVALID"),
        ("A/.", "INVALID"),
        ("A/.b", "A/.b"),
        ("...", "..."),
        ("A\x7fB", "INVALID"),
        ("A\rB", "INVALID"),
    ],
)
def test_escapes_and_legality(raw, expected):
    kind, title = target(raw)
    assert (title or kind.upper()) == expected


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        ("\n      Pad\n    ", "Pad"),
        ("Under_score", "Under score"),
        ("caf&#233;", "Café"),
        ("R&amp;B", "R&B"),
        ("\u200ea", "A"),
    ],
)
def test_titles(raw, title):
    assert sites.parse_title(raw.encode(), site(), 0) == (0, title)


@pytest.mark.parametrize(
    "raw",
    ["", "A\nB", "A\rB", "A&#10;B", "A|B", "A[B", "C#", "A\x00", "x" * 256, "&#xD800;",
     "a" + "\u0301" * 999],
)  # fmt: skip
def test_titles_that_no_page_has(raw):
    with pytest.raises(ValueError, match="title"):
        sites.parse_title(raw.encode(), site(), 0)


def test_titles_of_other_namespaces_are_not_judged():
    assert sites.parse_title(b"User:A|B", site(), None) == (2, "User:A|B")


@hypothesis.given(st.text(max_size=60))
def test_a_legal_title_stays_itself(text):
    """What is cleaned and legal is not decoded again where it is written as a link."""
    title = titles.clean_title(text)
    hypothesis.assume(titles.is_legal(title))
    escaped = title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert titles.clean_title(titles.target_text(escaped.encode())) == title
    assert titles.clean_title(title) == title


@hypothesis.given(
    st.lists(
        st.none()
        | st.binary(max_size=6)
        | st.text("ab._: /%&#4;\u00a0\u00e9e\u0301\u200e\u97f3\n~", max_size=9).map(str.encode)
        | st.sampled_from([b"New_York", b"St._John's", b"x" * 255, b"x" * 256, b"Caf\xc3\xa9"])
    )
)
def test_many_titles_are_as_one_by_one(raws):
    found = titles.decoded_titles(titles.stored_titles(raws))
    assert found == [titles.stored_title(raw) for raw in raws]


def test_many_titles_of_letters_that_are_not_latin():
    """Each character up to U+FFFF that NFC leaves as it is, among letters of Cyrillic."""
    characters = [chr(code) for code in range(1, 1 << 16) if not 0xD800 <= code < 0xE000]
    legal = [one for one in characters if one != "\n" and unicodedata.is_normalized("NFC", one)]
    assert len(legal) > 60_000
    raws = [f"\u0416{one}\u0416_b".encode() for one in legal]
    found = titles.decoded_titles(titles.stored_titles(raws))
    assert found == [titles.stored_title(raw) for raw in raws]


@hypothesis.given(
    st.lists(
        st.text("ab._/&;\u0416\u0418\u0306\u05d0\u05b7\u4e2d\u304b\u3099\u2009\u3000", max_size=9)
    )
)
def test_many_titles_in_any_writing(texts):
    raws = [text.encode() for text in texts]
    found = titles.decoded_titles(titles.stored_titles(raws))
    assert found == [titles.stored_title(raw) for raw in raws]
