import html

import hypothesis
import hypothesis.strategies as st
import pytest

from data_prep.splits import text_digest
from data_prep.wiki import sites
from data_prep.wiki.wikitext import MalformedPageError, PageParser

SITE = sites.parse_site(
    """<siteinfo><dbname>ukwiki</dbname><case>first-letter</case><namespaces>
    <namespace key="0" case="first-letter" />
    <namespace key="6" case="first-letter">Файл</namespace>
    <namespace key="14" case="first-letter">Категорія</namespace>
    </namespaces></siteinfo>""".encode()
)


def page(text, title="Self", head=""):
    return (f"<page><title>{title}</title>{head}<revision><text>{text}</text></revision>").encode()


def links(text, site=SITE, **kwargs):
    return PageParser(site).parse(page(text, **kwargs)).link_titles


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[a]] [[B|text]] [[C#part|text]] [[:D]]", ["A", "B", "C", "D"]),
        ("[[a_b]] [[ A  b ]] [[A b]]", ["A b"]),
        ("[[R&amp;amp;B]] [[R&amp;B]]", ["R&B"]),
        ("[[Z&amp;uuml;rich]] [[Z%C3%BCrich]] [[Zürich]] [[Zu\u0308rich]]", ["Zürich"]),
        ("[[Self]] [[self#part]] [[#part]]", []),
        ("[[en:Foo]] [[:fr:Foo]] [[wikt:Foo]] [[W:Foo]]", []),
        ("[[Image:X.png|thumb|see [[Y]]]] [[Файл:X]] [[File:X]] [[Media:X]]", ["Y"]),
        ("[[Star Trek: The Motion Picture]]", ["Star Trek: The Motion Picture"]),
        ("[[2001: A Space Odyssey]]", ["2001: A Space Odyssey"]),
        ("[[User:X]] [[talk:X]] [[Template:X]] [[Help:X]] [[Special:X]]", []),
        ("&lt;!-- [[A]] --&gt;[[B]]&lt;!-- [[C]]", ["B"]),
        ("&lt;nowiki&gt;[[A]]&lt;/nowiki&gt;[[B]]&lt;nowiki/&gt;[[C]]", ["B", "C"]),
        ("&lt;NoWiki&gt;[[A]]&lt;/nowiki &gt;[[B]] &lt;nowiki&gt;[[C]]", ["B", "C"]),
        ("&lt;pre style=&quot;x&quot;&gt;[[A]]&lt;/pre&gt;[[B]]", ["B"]),
        ("&lt;math&gt;[[A]]&lt;/math&gt; &lt;source lang=c&gt;[[B]]&lt;/source&gt;", []),
        ("&lt;preview&gt;[[A]]&lt;/preview&gt;", ["A"]),
        ("&lt;ref&gt;[[A]]&lt;/ref&gt; {{box|[[B]]}}", ["A", "B"]),
        ("[[A\nB]] [[C{{D}}]] [[E]F]] [[&lt;b&gt;]] [[]] [[ ]] [[|x]]", []),
        ("[[[A]]] [[x [[B]]", ["A", "B"]),
        ("[[" + "x" * 256 + "]] [[" + "x" * 255 + "]]", ["X" + "x" * 254]),
        ("[[ßa]] [[éa]] [[დ]]", ["ßa", "Éa", "დ"]),
    ],
)
def test_links(text, expected):
    assert links(text) == expected


def test_digests_are_those_of_the_titles():
    found = PageParser(SITE).parse(page("[[a]] [[Ü b]]"))
    assert found.link_digests == [text_digest("A"), text_digest("Ü b")]


def test_case_sensitive_wiki():
    site = sites.parse_site(b"<siteinfo><case>case-sensitive</case></siteinfo>")
    assert links("[[a]] [[A]]", site=site) == ["a", "A"]


def test_categories():
    text = "[[Категорія:рок]] [[Category:Rock|*]] [[:Category:Pop]] [[категорія: Рок ]]"
    found = PageParser(SITE).parse(page(text))
    assert found.categories == ["Рок", "Rock"]
    assert found.link_titles == []


@pytest.mark.parametrize(
    ("text", "head", "target"),
    [
        ("#REDIRECT [[B]]", "", "B"),
        ("\n #redirect:[[b#x|y]]", "", "B"),
        ("#ПЕРЕНАПРАВЛЕННЯ [[b]]", "", "B"),
        ("#重定向 [[b]]", "", "B"),
        ("x", '<redirect title="R&amp;B" />', "R&B"),
        ("#whatever [[B]]", "<redirect />", "B"),
        ("#whatever [[B]]", "", None),
        ("see #REDIRECT [[B]]", "", None),
    ],
)
def test_redirects(text, head, target):
    found = PageParser(SITE).parse(page(text, head=head)).redirect
    assert (found.title if found else None) == target


def test_namespace_from_tag_or_title():
    parser = PageParser(SITE)
    assert parser.parse(page("", title="Категорія:X")).namespace == 14
    assert parser.parse(page("", title="Portal:X", head="<ns>100</ns>")).namespace == 100
    # The tag knows better than the title.
    assert parser.parse(page("", title="Help:X", head="<ns>0</ns>")).namespace == 0


def test_last_revision_counts():
    raw = (
        b"<page><title>T</title><revision><text>[[A]]</text></revision><revision><text>[[B]]</text>"
    )
    assert PageParser(SITE).parse(raw).link_titles == ["B"]


@pytest.mark.parametrize(
    "raw",
    [
        b"<page><revision><text>x</text>",
        b"<page><title></title><text>x</text>",
        b"<page><title>\xff</title><text>x</text>",
        b"<page><title>T</title><text>x</texts>",
        b"<page><title>T</title><texts>x</text>",
    ],
)
def test_malformed_pages(raw):
    with pytest.raises(MalformedPageError):
        PageParser(SITE).parse(raw)


def test_counters_account_for_every_link():
    text = (
        "[[A]] [[A]] [[Self]] [[#x]] [[File:X]] [[en:X]] [[User:X]] [[Category:X]] [[&lt;]] "
        "[[Category:X]]"
    )
    parser = PageParser(SITE)
    kept = len(parser.parse(page(text)).link_titles)
    assert dict(parser.counters) == {
        "links_found": 10,
        "links_duplicate": 1,
        "links_self": 1,
        "links_section": 1,
        "links_file": 1,
        "links_interwiki": 1,
        "links_other_namespace": 1,
        "links_invalid": 1,
        "category_links": 2,
        "categories_assigned": 1,
    }
    dropped = sum(count for name, count in parser.counters.items() if name.startswith("links_"))
    assert kept == 2 * parser.counters["links_found"] - dropped - 2


@hypothesis.given(st.binary(max_size=300), st.sampled_from([b"", b"&lt;!--", b"[[", b"#redirect"]))
def test_any_text_is_a_page(text, start):
    escaped = start + text.replace(b"<", b"&lt;")
    PageParser(SITE).parse(b"<page><title>T</title><text>" + escaped + b"</text>")


@hypothesis.given(st.text(max_size=40), st.booleans())
def test_a_title_is_found_again_by_its_link(text, underscores):
    """A page's title, written as a link, names the page."""
    title = SITE.fix_case(sites.clean_title(text.replace("%", "").replace("#", "")))
    hypothesis.assume(sites.is_legal(title) and ":" not in title and html.unescape(title) == title)
    raw = html.escape(title.replace(" ", "_") if underscores else title)
    kind, found = sites.parse_target(raw.encode(), SITE)
    assert (kind, found) == (sites.TO_ARTICLE, title)
    assert sites.parse_title(html.escape(title).encode(), SITE, 0) == (0, title)


@hypothesis.given(st.text("abAB_ :.'#%|é", max_size=12))
def test_fast_path_equals_the_general_one(text):
    raw = text.replace("|", "").encode()
    hypothesis.assume(raw)
    kind, title, digest = PageParser(SITE)._target(raw)
    assert (kind, title) == sites.parse_target(raw, SITE)
    assert digest == (text_digest(title) if kind == sites.TO_ARTICLE else 0)
