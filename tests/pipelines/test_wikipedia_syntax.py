# ruff: noqa: RUF001 (letters that look like others are the point)
"""The Wikipedia job over wikitext and XML of every form, against MediaWiki's reading of it."""

import html

from pipelines import wikipedia
from ssl_recsys import schema
from tests import command_line
from tests.dataset_dir import read

# Pages that others link to.
PLAIN = [
    "Oak", "Elm", "Ash tree", "Café", "R&D", "50%", "%", "Salt&region", "Black&copy", "Écu", "ßen",
    "ა", "Oak: a story", "V: Elm", '"Big" Oak', "Alpha (letter)", "/sub", "C++", "Ωmega",
]  # fmt: skip
# Wikitext, and the pages that it links to.
WIKITEXT = [
    ("[[File:X.png|thumb|near [[Oak]] and [[Elm|e]]]]", ["Elm", "Oak"]),
    ("[[de:Oak]] [[:fr:Elm|x]] [[w:Oak]] [[User:Oak]]", []),
    ("[[:Oak]] [[: Elm]]", ["Elm", "Oak"]),
    ("[[Oak<!-- c -->|x]] [[Elm|<!-- [[Café]] -->y]]", ["Elm", "Oak"]),
    ("[<!-- -->[Oak]]", ["Oak"]),
    ("[[Oak<nowiki/>]] <nowiki>[[Elm]]</nowiki> <nowiki/>[[Café]]", ["Café"]),
    ("[[Ash%20tree]] [[Caf%C3%A9]] [[R%26D]] [[50%]]", ["50%", "Ash tree", "Café", "R&D"]),
    ("[[Ash&nbsp;tree]] [[R&amp;D]] [[Caf&eacute;]]", ["Ash tree", "Café", "R&D"]),
    ("[[Salt&region]] [[Black&copy]]", ["Black&copy", "Salt&region"]),
    # Percent codes come first: one may give an entity, no entity gives a percent code.
    ("[[%26#x25;]] [[&#x25;35]]", ["%"]),
    ("[[Help&#58;Oak]]", []),
    ("[[oak]] [[écu]] [[ßen]] [[ა]] [[ωmega]]", ["Oak", "Écu", "ßen", "Ωmega", "ა"]),
    ("[[Oak#Leaf|x]] [[#Here]] [[Elm#]] [[]] [[|x]]", ["Elm", "Oak"]),
    ("[[Oak|no end\n\n[[Elm]]", ["Elm"]),
    ("[[Oak|a [[Elm]] b]]", ["Elm"]),
    ("[[Oak|a [b] c]] [[Elm|[x]]]", ["Elm", "Oak"]),
    ("[[Oak]\n[[Elm]]", ["Elm"]),
    ("[[[Oak]]]", ["Oak"]),
    ("[[Oak|one\ntwo]] [[E\nlm]]", ["Oak"]),
    ("<includeonly>[[Oak]]</includeonly>[[Elm]]", ["Elm"]),
    ("<noinclude>[[Oak]]</noinclude> <onlyinclude>[[Elm]]</onlyinclude>", ["Elm", "Oak"]),
    ("<Pre>[[Oak]]</pRE> <math>[[Elm]]</math> <ref>[[Café]]</ref>", ["Café"]),
    ("<!-- <nowiki> --> [[Oak]] </nowiki>", ["Oak"]),
    ("[[Elm]] <!-- [[Oak]]", ["Elm"]),
    ("[[{{x}}]] {{t|a=[[Oak]]}} [[/sub]]", ["/sub", "Oak"]),
    ("[[Oak: a story]] [[V: Elm]]", ["Oak: a story", "V: Elm"]),
    ("[[ Oak ]] [[Ash__tree]] [[_Elm_]] [[Café\u200e]]", ["Ash tree", "Café", "Elm", "Oak"]),
    ("[[Cafe\u0301]] [[\"Big\" Oak]] [[C%2B%2B]]", ['"Big" Oak', "C++", "Café"]),
    ("[[Alpha (letter)|]] [[Old oak]] [[Older oak]]", ["Alpha (letter)", "Oak"]),
]  # fmt: skip


def revision(text, time="2024-01-01T00:00:00Z", more=""):
    head = f"<id>1</id><timestamp>{time}</timestamp><contributor><id>9</id></contributor>"
    return f"<revision>{head}<text xml:space='preserve'>{text}</text>{more}</revision>\n"


OTHER_SLOT = "<content><role>aux</role><model>wikitext</model><text>[[Elm]]</text></content>"
NEW, OLD = revision("[[Oak]]", "2024-01-01T00:00:00Z"), revision("[[Elm]]", "2019-01-01T00:00:00Z")
# Revisions as they stand in the XML, and the pages that are linked to.
XML = [
    (NEW + OLD, ["Oak"]),
    (OLD + NEW, ["Oak"]),
    (revision("[[Oak]]", more=OTHER_SLOT), ["Oak"]),
    (revision("<![CDATA[<!-- [[Elm]] --> [[Oak]] [[R&D]]]]>"), ["Oak", "R&D"]),
    (revision("&#91;&#91;Oak&#93;&#93; &#60;!-- [[Elm]] --&#62; [[Caf&#233;]]"), ["Café", "Oak"]),
    (revision("[[Spruce fir]] [[Under score]]"), ["Spruce fir", "Under score"]),
]


def page(title, revisions):
    return f"<page><title>{title}</title><ns>0</ns><id>1</id>{revisions}</page>\n"


def dump(pages, language="en"):
    head = f'<mediawiki version="0.11" xml:lang="{language}"><siteinfo><sitename>W</sitename>'
    head += f"<dbname>{language}wiki</dbname><case>first-letter</case></siteinfo>\n"
    return head + "".join(pages) + "</mediawiki>\n"


def run(directory, text):
    (directory / "dump.xml").write_text(text, encoding="utf-8")
    options = command_line.parse(
        wikipedia.WikipediaOptions,
        f"--dump={directory}/dump.xml",
        f"--output_dir={directory}/data",
        "--split_by=link",
        "--split_seed=2",
        "--validation_fraction=0.3",
        "--test_fraction=0.3",
        "--title_min_count=1",
    )
    info = wikipedia.make_dataset(options)
    items, pairs = read(directory / "data")
    links = {key: [] for key in items}
    for source, target in sorted(pair for split in pairs.values() for pair in split):
        links[source].append(target)
    return info, links


def test_every_form_of_a_link(tmp_path):
    pages = [page(html.escape(title), revision("")) for title in PLAIN]
    pages.append(page("Under_score", revision("")))
    pages.append(page("\n      Spruce fir\n    ", revision("[[Oak]]")))
    pages.append(page("Old oak", revision("#REDIRECT [[Oak]]")))
    pages.append(page("Older oak", revision("#REDIRECT [[Old oak]]")))
    texts = {f"Text {number}": text for number, (text, _) in enumerate(WIKITEXT)}
    pages += [page(title, revision(html.escape(text))) for title, text in texts.items()]
    pages += [page(f"Xml {number}", content) for number, (content, _) in enumerate(XML)]
    info, links = run(tmp_path, dump(pages))
    expected = {f"Text {number}": targets for number, (_, targets) in enumerate(WIKITEXT)}
    expected |= {f"Xml {number}": targets for number, (_, targets) in enumerate(XML)}
    expected |= {title: [] for title in [*PLAIN, "Under score"]} | {"Spruce fir": ["Oak"]}
    assert links == {title: sorted(targets) for title, targets in expected.items()}
    assert info.counters["pages_malformed"] == info.counters["dump_unfinished"] == 0


def test_dotted_and_dotless_i(tmp_path):
    links = {"Kaynak": "[[iplik]] [[ırmak]] [[şehir]]", "İplik": "[[irmak]] [[İPLİK ve iplik]]"}
    titles = ["Irmak", "Şehir", "İPLİK ve iplik"]
    pages = [page(title, revision(text)) for title, text in links.items()]
    pages += [page(title, revision("[[kaynak]] [[Şehir]]")) for title in titles]
    _, found = run(tmp_path, dump(pages, "tr"))
    assert found == {
        "Kaynak": ["Irmak", "İplik", "Şehir"],
        "İplik": ["İPLİK ve iplik"],  # no page begins with İrmak
        "Irmak": ["Kaynak", "Şehir"],
        "İPLİK ve iplik": ["Kaynak", "Şehir"],
        "Şehir": ["Kaynak"],
    }
    words = schema.vocab_path(tmp_path / "data", "title_ngrams").read_text().splitlines()
    singles = {word for word in words if " " not in word}
    assert singles == {"kaynak", "iplik", "ırmak", "şehir", "ve"}
