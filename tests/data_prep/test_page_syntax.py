"""Pages as MediaWiki writes and reads them: links, hidden text, slots, revisions, XML."""

import contextlib
import time

import hypothesis
import hypothesis.strategies as st
import pytest

from data_prep.wiki import hidden_text, page_xml, sites
from data_prep.wiki.wikitext import MalformedPageError, PageParser
from tests.fuzz import wiki as fuzz


def parse(xml, parser=None):
    return (parser or PageParser(sites.Site())).parse(xml.encode())


def links(text):
    page = f"<page><title>T</title><ns>0</ns><revision><text>{text}</text></revision>"
    return parse(page).link_titles


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[A|b]] [[C|]] [[D|one\ntwo]]", ["A", "C", "D"]),
        ("[[A|never closed\n\n== H ==\n[[B]]", ["B"]),
        ("[[A|never closed", []),
        ("[[A", []),
        ("[[A] [[B]]", ["B"]),
        ("[[A|x [[B]] y]]", ["B"]),
        ("[[A|x [[B|y [[C]] ]] ]]", ["C"]),
        ("[[Category:A|[[B]]]]", ["B"]),
        ("[[File:A.jpg|thumb|see [[B]] and [[C|c]]]]", ["B", "C"]),
        ("[[A|a [b] c]] [[B|[x]]] [[C|x]y]]", ["A", "B", "C"]),
        ("[[A|" + "[x" * 5000 + "]] [[B]]", ["B"]),
        ("[[A&lt;!-- c --&gt;|x]] [[B|&lt;!-- [[C]] --&gt;x]]", ["A", "B"]),
        ("[&lt;!-- --&gt;[A]]", ["A"]),
        ("[[A&lt;nowiki/&gt;]] [[B&lt;nowiki&gt;&lt;/nowiki&gt;|b]] [[C]]", ["C"]),
        ("[[A|&lt;nowiki&gt;[[&lt;/nowiki&gt;b]] [[C]]", ["A", "C"]),
        ("&lt;includeonly&gt;[[A]]&lt;/includeonly&gt;[[B]]&lt;includeonly&gt;[[C]]", ["B"]),
        ("&lt;IncludeOnly &gt;[[A]]&lt;/includeONLY &gt;[[B]]", ["B"]),
        ("&lt;includeonly/&gt;[[A]]", ["A"]),
        ("[[Al&lt;includeonly&gt;x&lt;/includeonly&gt;pha]]", ["Alpha"]),
        ("&lt;noinclude&gt;[[A]]&lt;/noinclude&gt; [[B&lt;onlyinclude&gt;]]", ["A", "B"]),
        ("&lt;includeonlyx&gt;[[A]]&lt;/includeonlyx&gt;", ["A"]),
        ("&lt;nowiki [[A]]", ["A"]),
        ("&lt;math&gt;[[A]]&lt;/ce&gt; &lt;ce&gt;[[B]]&lt;/ce&gt; [[C]]", ["A", "C"]),
        ("&lt;math&gt; &lt;nowiki&gt;[[A]]&lt;/nowiki&gt; [[B]]", ["B"]),
        ("&lt;!-- &lt;nowiki&gt; --&gt; [[A]] &lt;/nowiki&gt;", ["A"]),
        ("&lt;nowiki&gt;&lt;!-- &lt;/nowiki&gt; [[A]] &lt;!-- x --&gt;[[B]]", ["A", "B"]),
        ("&lt;math a=&quot;b/&gt;[[A]]", ["A"]),  # the attribute's quote does not count
        # The XML's own ways of writing the same text.
        ("&#91;&#91;A&#93;&#93; &#60;!-- [[B]] --&#62; [[Caf&#233;]]", ["A", "Café"]),
        ("[[&#x43;]]", ["C"]),
        ("&lt;!-- [[A]] --> [[B]] &lt;nowiki>[[C]]&lt;/nowiki>", ["B"]),
        ("<![CDATA[<!-- [[A]] --> [[B]] <nowiki>[[C]]</nowiki> [[D&E]]]]>", ["B", "D&E"]),
        ("<![CDATA[[[A]]]]> &lt;!-- <![CDATA[ [[B]] --> ]]>[[C]]", ["A", "C"]),
        ("<![CDATA[[[A]] </text> </revision> [[B]]]]>", ["A", "B"]),
        ("<![CDATA[[[A]]", ["A"]),
        ("[[A<!-- of the XML -->]]", ["A"]),
        ("&#" + "9" * 5000 + ";[[A]]", ["A"]),
        ("[[A\0]] \0[[B]]", ["B"]),
    ],
)  # fmt: skip
def test_links(text, expected):
    closed = text if "CDATA" not in text or "]]>" in text else text + "]]>"
    assert links(closed) == expected


def test_an_unclosed_label_is_accounted_for():
    parser = PageParser(sites.Site())
    text = "[[A|x [[B]] y]] [[File:C|[[D]]]] [[E|"
    parse(f"<page><title>T</title><text>{text}</text>", parser)
    assert dict(parser.counters) == {
        "links_found": 5,
        "links_unclosed": 2,
        "links_file": 1,
        "categories_assigned": 0,
    }


def test_links_behind_the_prefix_of_another_wiki():
    text = "[[V: A]] [[v: A]] [[en:B]] [[wikt:c]] [[A]]"
    page = parse(f"<page><title>T</title><text>{text}</text>")
    assert page.link_titles == ["A"]
    assert page.prefixed_titles == ["V: A", "Wikt:c"]
    assert len(page.prefixed_digests) == 2


OLD, NEW = "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"


def revision(text, number=None, time=None, more=""):
    head = f"<id>{number}</id>" if number is not None else ""
    head += f"<timestamp>{time}</timestamp>" if time else ""
    head += "<contributor><username>U</username><id>999</id></contributor>"
    return f"<revision>{head}{more}<text>{text}</text></revision>"


@pytest.mark.parametrize(
    "revisions",
    [
        [revision("[[A]]", 2, NEW), revision("[[B]]", 1, OLD)],
        [revision("[[B]]", 1, OLD), revision("[[A]]", 2, NEW)],
        # The time counts before the id, as ids of imported revisions are new.
        [revision("[[A]]", 1, NEW), revision("[[B]]", 2, OLD)],
        [revision("[[A]]", 20), revision("[[B]]", 3)],
        [revision("[[B]]", 3, OLD), revision("[[A]]", 20, OLD)],
        [revision("[[B]]"), revision("[[A]]")],
        [revision("[[B]]", 1), revision("[[A]]", 3), revision("[[B]]", 2)],
    ],
)  # fmt: skip
def test_the_newest_revision_counts(revisions):
    page = "<page><title>T</title><ns>0</ns>" + "".join(revisions)
    assert parse(page).link_titles == ["A"]
    kept = page_xml.keep_newest(page.encode() + b"<revision><id>").decode()
    assert kept.count("</revision>") == 1
    assert parse(kept.removesuffix("<revision><id>")).link_titles == ["A"]


SLOT = "<content><role>{}</role><origin>1</origin><model>m</model><text>{}</text></content>"


@pytest.mark.parametrize(
    "slots",
    [
        "<text>[[A]]</text>" + SLOT.format("aux", "[[B]]"),
        SLOT.format("aux", "[[B]]") + "<text>[[A]]</text>",
        SLOT.format("aux", "[[B]]") + SLOT.format(" main ", "[[A]]") + SLOT.format("b", "[[B]]"),
        '<text bytes="5" xml:space="preserve">[[A]]</text>' + SLOT.format("aux", "") * 3,
    ],
)
def test_the_main_slot_counts(slots):
    assert parse(f"<page><title>T</title><revision>{slots}</revision>").link_titles == ["A"]


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        (SLOT.format("aux", "x"), "no <text>"),
        ("<text>x", "no </text>"),
        ("<texts>x</texts>", "no <text>"),
        ("", "no <text>"),
    ],
)
def test_pages_without_text(slots, message):
    with pytest.raises(MalformedPageError, match=message):
        parse(f"<page><title>T</title><ns>0</ns><revision>{slots}</revision>")


@pytest.mark.parametrize("text", ["<text />", "<text/>", '<text deleted="deleted" />'])
def test_empty_text(text):
    assert parse(f"<page><title>T</title><revision>{text}</revision>").link_titles == []


@pytest.mark.parametrize(
    "title", ["<![CDATA[R&B]]>", "R&#38;B", "R<!-- x -->&amp;B", "\n  R&amp;B\n"]
)
def test_titles_in_any_xml(title):
    page = f"<page><title>{title}</title><revision><text>x</text></revision>"
    assert parse(page).title == "R&B"


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000])
def test_a_namespace_number_that_is_too_long(number):
    with pytest.raises(MalformedPageError):
        parse(f"<page><title>T</title><ns>{number}</ns><revision><text>x</text></revision>")


# Pieces that, repeated, make a page that a careless search would take the square of its size for.
UNITS = [
    *(f"&lt;{name}{end}" for name in [tag.decode() for tag in hidden_text._CLOSING]
      for end in (" ", "&gt;", " /", "   ")),
    *("[[", "]]", "[", "]", "[[a|", "[[a|[x", "[[a|]x", "[[a|b]", "[[[a|]]]", "{{", "}}", "|"),
    *("&lt;!--", "--&gt;", "&lt;!", "&lt;", "&amp;", "&amp;#", "&amp;#1", "&#", "&#1", "&#91;"),
    *("%", "%5B", "\u0301\u0327", "[[a\u0301\u0327", "[[\u0301", "\n", " ", "_", "[[ ", ":", "#"),
    *("&lt;ce&gt;&lt;/math&gt;", "&lt;/math   ", "&lt;noinclude   ", "&lt;math /&gt;", "[[a]]"),
    *("<text>", "<text", "</text", "<content>", "<role>", "<revision>", "<revision", "<![CDATA["),
    *("<!--", "]]>", "<", ">", "<ns>", "<id>", "<timestamp>", "<title>", "[[en:", "[[File:a|"),
    *("[[a&lt;nowiki/&gt;", "\0", "[[%61]]", "[[&amp;#97;]]", "[[~", "[[./", "[[a/.."),
    "".join(f"&lt;{tag.decode()} " for tag in hidden_text._CLOSING),
    "".join(f"&lt;{tag.decode()}&gt;" for tag in hidden_text._CLOSING),
]  # fmt: skip
FRAMES = [
    "<page><title>T</title><revision><text>{}</text></revision>",
    "<page><title>T</title><revision><text>[[a|{}]]</text></revision>",
    "<page><title>T</title><revision><text>[[{}]]</text></revision>",
    "<page><title>{}</title><revision><text>x</text></revision>",
    "<page><title>T</title><revision>{}<text>x</text></revision>",
]


def seconds(function, data):
    started = time.process_time()
    function(data)
    return time.process_time() - started


def parse_any(page):
    with contextlib.suppress(MalformedPageError):
        PageParser(sites.Site()).parse(page)


@pytest.mark.parametrize("frame", FRAMES)
def test_a_page_takes_linear_time(frame):
    for unit in UNITS:
        page = frame.format(unit * (400_000 // len(unit.encode()))).encode()
        took = seconds(parse_any, page)
        # 400 kB in half a second or so, or the time at most doubles with the size (and noise).
        if took > 0.5:
            half = frame.format(unit * (200_000 // len(unit.encode()))).encode()
            assert took < 3 * seconds(parse_any, half), unit
        assert took < 2, unit


HEAD_UNITS = [
    '<namespace key="0"', '<namespace key="0" ', "<namespace ", "<case>", "<dbname>", "<sitename>",
    "<mediawiki ", "<mediawiki xml:lang=", " xml:lang   ", "<siteinfo>", '<namespace key="1">x',
    '<namespace key="' + "9" * 5000 + '">x</namespace>', "\u0301\u0327",
]  # fmt: skip


HEAD_FRAMES = [
    "<mediawiki {}",
    "<mediawiki><siteinfo>{}</siteinfo>",
    '<mediawiki><siteinfo><namespace key="1">{}</namespace></siteinfo>',
]


@pytest.mark.parametrize("frame", HEAD_FRAMES)
def test_a_head_takes_linear_time(frame):
    for unit in HEAD_UNITS:
        head = frame.format(unit * (1_000_000 // len(unit.encode()))).encode()
        assert seconds(sites.parse_site, head) < 2, unit


@hypothesis.given(st.integers(0, 2**40))
@hypothesis.settings(max_examples=150, deadline=None)
def test_mutated_pages_raise_nothing_else(seed):
    fuzz.read_page(fuzz.mutate(fuzz.random.Random(seed), fuzz.PAGE), sites.Site())


@hypothesis.given(seed=st.integers(0, 2**40))
@hypothesis.settings(max_examples=60, deadline=None)
def test_mutated_dumps_raise_nothing_else(tmp_path_factory, seed):
    rng = fuzz.random.Random(seed)
    path = tmp_path_factory.mktemp("fuzz") / "dump"
    fuzz.read_dump(path, fuzz.dump(rng), rng.choice((200, 1 << 30)))
