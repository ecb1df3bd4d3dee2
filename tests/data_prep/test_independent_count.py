"""Counts on real pages, against a wholly different way of counting: ElementTree for the XML and
mwparserfromhell for the wikitext."""

import bz2
import os
import pathlib
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor

import pytest

from data_prep.wiki import dump_files, sites
from data_prep.wiki.wikitext import PageParser

SHARED = pathlib.Path(
    os.environ.get(
        "SSL_RECSYS_SHARED_DATA", pathlib.Path(__file__).parents[2].parent / "shared" / "data"
    )
)
FIXTURES = SHARED / "wikipedia" / "xml_fixtures"

pytestmark = pytest.mark.skipif(
    not FIXTURES.is_dir(), reason="no real dumps; SSL_RECSYS_SHARED_DATA names their directory"
)

CATEGORY_NAMES = ("category", "分类", "分類")
OTHER_NAMES = ("file", "image", "media", "user", "wikipedia", "template", "help", "portal",
               "talk", "special", "mediawiki", "module", "draft", "book", "wikt", "project",
               "文件", "圖像", "图像", "维基百科", "維基百科", "模块", "user talk", "s", "q",
               "commons", "m", "simple", "wiktionary", "wikipedia talk",
               "template talk")  # fmt: skip


def count_with_mwparserfromhell(path):
    """Articles, redirects and their ends, links by article, category memberships."""
    import mwparserfromhell

    articles, redirects = {}, {}
    with bz2.open(path) if path.suffix == ".bz2" else path.open("rb") as file:
        for _, page in ElementTree.iterparse(file):
            if not page.tag.endswith("}page"):
                continue
            space = page.tag[: -len("page")]
            if page.findtext(f"{space}ns") == "0":
                redirect = page.find(f"{space}redirect")
                title = page.findtext(f"{space}title")
                if redirect is not None:
                    redirects[title] = redirect.get("title")
                else:
                    articles[title] = page.findtext(f"{space}revision/{space}text") or ""
            page.clear()
    links, memberships = set(), set()
    for title, text in articles.items():
        for link in mwparserfromhell.parse(text).filter_wikilinks():
            target = str(link.title).replace("_", " ").strip()
            name = target.partition(":")[0].strip().lower()
            if name in CATEGORY_NAMES:
                memberships.add((title, target.partition(":")[2].strip()))
            target = target.lstrip(": ").partition("#")[0].strip()
            target = target[:1].upper() + target[1:]
            if name not in CATEGORY_NAMES + OTHER_NAMES:
                target = redirects.get(target, target)
                if target in articles and target != title:
                    links.add((title, target))
    return set(articles), redirects, links, memberships


def count_with_this_package(path):
    [(source, head)] = dump_files.find_sources(str(path))
    reader = dump_files.PageReader(ThreadPoolExecutor(1), 1)
    parser = PageParser(sites.parse_site(head))
    [part] = dump_files.plan_ranges([source], 1 << 40)
    pages = [parser.parse(raw) for raw in reader.pages(part)]
    pages = [page for page in pages if page.namespace == 0]
    redirects = {page.title: page.redirect.title for page in pages if page.redirect}
    articles = {page.title: page for page in pages if not page.redirect}
    links = {
        (page.title, redirects.get(target, target))
        for page in articles.values()
        for target in page.link_titles
    }
    links = {(query, item) for query, item in links if item in articles and query != item}
    memberships = {(page.title, name) for page in articles.values() for name in page.categories}
    return set(articles), redirects, links, memberships


@pytest.mark.parametrize(
    ("name", "num_articles", "num_redirects"),
    [("zhwiki-test-pages.xml", None, None), ("enwiki-2016-206pages.xml.bz2", 106, 99)],
)
def test_counts_equal_an_independent_count(name, num_articles, num_redirects):
    articles, redirects, links, memberships = count_with_mwparserfromhell(FIXTURES / name)
    found = count_with_this_package(FIXTURES / name)
    assert found[0] == articles
    assert found[1].keys() == redirects.keys()
    assert found[2] == links
    # A category's first letter is upper-cased here and not by the independent count.
    lowered = [{(page, name.lower()) for page, name in names} for names in (found[3], memberships)]
    assert lowered[0] == lowered[1]
    assert len(links) > 20
    if num_articles is not None:
        assert (len(articles), len(redirects)) == (num_articles, num_redirects)
