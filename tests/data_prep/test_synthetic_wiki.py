"""The made-up wiki: unlike titles, long-tailed links that follow the topics, sound XML."""

import collections
import re
import statistics
from xml.etree import ElementTree

import numpy as np
import pytest

from data_prep.synthetic import draws
from data_prep.synthetic.wiki_pages import ARTICLE, WikiPage, aliases, pages
from data_prep.synthetic.wiki_world import WikiWorld
from data_prep.synthetic.wiki_xml import page_xml, write_dump
from ssl_recsys.errors import InputError


@pytest.fixture(scope="module")
def wiki() -> list[WikiPage]:
    return list(pages(WikiWorld(2000, seed=3)))


@pytest.fixture(scope="module")
def articles(wiki) -> list[WikiPage]:
    return [page for page in wiki if page.namespace == ARTICLE and page.redirect is None]


class TestDraws:
    def test_numbers_depend_on_seed_stream_and_coordinates_only(self):
        many = draws.Draws(5).uniform("a", np.arange(100))
        assert draws.Draws(5).uniform("a", 17)[0] == many[17]
        assert draws.Draws(6).uniform("a", 17)[0] != many[17]
        assert draws.Draws(5).uniform("b", 17)[0] != many[17]

    def test_numbers_are_uniform(self):
        drawn = draws.Draws(0).uniform("a", np.arange(100_000))
        assert drawn.min() >= 0.0
        assert drawn.max() < 1.0
        # Standard deviation of the mean: 0.2887 / sqrt(100,000) = 0.0009.
        assert abs(drawn.mean() - 0.5) < 0.004
        assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.015

    def test_normal_numbers_have_unit_variance(self):
        drawn = draws.Draws(0).normal("n", np.arange(50_000))
        assert abs(drawn.mean()) < 0.02
        assert abs(drawn.std() - 1.0) < 0.02

    def test_zipf_ranks_stay_in_range_and_fall(self):
        ranks = draws.zipf_ranks(draws.Draws(0).uniform("z", np.arange(50_000)), 1000, 1.05)
        counts = np.bincount(ranks, minlength=1000)
        assert len(counts) == 1000
        assert counts[0] > 4 * counts[9] > 16 * counts[99] > 0

    def test_names_all_differ(self):
        assert len({draws.proper_name(number, 60_000) for number in range(60_000)}) == 60_000
        assert len({draws.stem(number) for number in range(20_000)}) == 20_000


class TestWiki:
    @pytest.mark.parametrize("size", [10, 11, 50, 2000])
    def test_titles_all_differ(self, size):
        world = WikiWorld(size, seed=1)
        titles = [page.title for page in pages(world)]
        assert len(set(titles)) == len(titles)
        missing = world.titles(-1 - np.arange(max(4, size // 3)))
        assert not set(missing) & set(titles)

    def test_every_article_stands_once(self, articles):
        assert len(articles) == 2000

    def test_link_counts_are_those_of_a_small_wiki(self, articles):
        assert 12 <= statistics.median(len(page.links) for page in articles) <= 25
        assert max(len(page.links) for page in articles) > 60

    def test_links_are_long_tailed(self, articles):
        in_links = collections.Counter(target for page in articles for target in page.links)
        counts = sorted((in_links[page.title] for page in articles), reverse=True)
        total = sum(counts)
        # The head, then half of the articles with less than a quarter of the links.
        assert 0.15 < sum(counts[:40]) / total < 0.45
        assert sum(counts[1000:]) / total < 0.25

    def test_links_follow_categories(self, articles):
        members = {page.title: set(page.categories) for page in articles}
        titles = list(members)
        linked = [bool(members[p.title] & members[t]) for p in articles for t in p.links]
        at_random = [
            bool(members[titles[i]] & members[titles[(i * 7 + 1) % len(titles)]])
            for i in range(len(titles))
        ]
        # Informative, not a giveaway: some links lead elsewhere.
        assert 5 * statistics.mean(at_random) < statistics.mean(linked) < 0.8

    def test_redirects_have_their_share_and_odd_forms(self, wiki, articles):
        redirects = {page.title: page.redirect for page in wiki if page.redirect}
        assert 0.22 < len(redirects) / (len(redirects) + len(articles)) < 0.35
        chained = [title for title, target in redirects.items() if target in redirects]
        assert len(chained) > 20
        assert redirects[redirects["Circular redirect one"]] == "Circular redirect one"
        assert any("#History" in target for target in redirects.values())

    def test_truth_holds_no_self_links_and_only_articles(self, articles):
        titles = {page.title for page in articles}
        for page in articles:
            assert page.title not in page.links
            assert page.links <= titles

    def test_texts_hold_what_is_no_link(self, wiki):
        text = "\n".join(page.text for page in wiki)
        for piece in ("<!-- [[", "<nowiki>[[", "<pre>[[", "[[File:", "[[:Category:", "[[de:"):
            assert piece in text
        assert {page.namespace for page in wiki} == {0, 1, 2, 4, 10, 14}

    def test_plain_reading_of_the_texts_finds_the_true_links(self, wiki, articles):
        # An independent, lenient reader: strip what hides links, then follow redirects.
        redirects = {p.title: p.redirect.split("#")[0] for p in wiki if p.redirect}
        titles = {page.title for page in articles}
        for page in articles[:300]:
            text = re.sub(r"(?s)<!--.*?-->|<(nowiki|pre|math)>.*?</\1>", "", page.text)
            found = set()
            for target in re.findall(r"\[\[([^\[\]|#]+)", text):
                name = target.replace("_", " ").replace("&amp;", "&").strip().removeprefix(":")
                name = name[:1].upper() + name[1:]
                for _ in range(5):
                    name = redirects.get(name, name)
                found.add(name)
            assert (found & titles) - {page.title} == page.links

    def test_aliases(self):
        assert aliases("Kofi Balan", 2) == ["KofiBalan", "The Kofi Balan"]
        assert aliases("Balan", 1) == ["Balans"]

    def test_too_small_a_wiki_is_refused(self):
        with pytest.raises(InputError, match=r"at least 10 \(got 3\)"):
            WikiWorld(3, seed=0)


class TestXml:
    def test_dump_is_well_formed(self, tmp_path):
        path = tmp_path / "wiki.xml"
        world = WikiWorld(60, seed=2)
        assert write_dump(path, pages(world)) == len(list(pages(world)))
        root = ElementTree.parse(path).getroot()
        space = "{http://www.mediawiki.org/xml/export-0.11/}"
        assert root.tag == f"{space}mediawiki"
        names = [node.text or "" for node in root.iter(f"{space}namespace")]
        assert "Category" in names
        read = [
            (
                node.findtext(f"{space}title"),
                int(node.findtext(f"{space}ns")),
                node.findtext(f"{space}revision/{space}text"),
                (r.get("title") if (r := node.find(f"{space}redirect")) is not None else None),
            )
            for node in root.iter(f"{space}page")
        ]
        assert read == [(p.title, p.namespace, p.text, p.redirect) for p in pages(world)]

    def test_markup_is_escaped(self):
        text = page_xml(WikiPage('A & "B"', 0, "1 < 2 & [[C]]", 'D & "E"'), 1)
        page = ElementTree.fromstring(text)
        assert page.findtext("title") == 'A & "B"'
        assert page.find("redirect").get("title") == 'D & "E"'
        assert page.findtext("revision/text") == "1 < 2 & [[C]]"
        assert page.find("revision/text").get("bytes") == "13"
