"""The Wikipedia job on SQL tables, beside the XML dump of the same wiki and SQLite's count."""

import gzip
import os
import pathlib
import re
import sqlite3

import pytest

from data_prep import spill
from data_prep.synthetic import wiki_sql
from data_prep.synthetic.wiki_pages import pages
from data_prep.synthetic.wiki_world import WikiWorld
from data_prep.synthetic.wiki_xml import write_dump
from pipelines import wikipedia
from ssl_recsys import files, schema
from ssl_recsys.errors import InputError
from tests.pipelines.test_wikipedia import contents, read

SHARED = pathlib.Path(
    os.environ.get(
        "SSL_RECSYS_SHARED_DATA", pathlib.Path(__file__).parents[2].parent / "shared" / "data"
    )
)
CHAMORRO = SHARED / "wikipedia" / "sql"
NEEDS_DUMPS = pytest.mark.skipif(
    not CHAMORRO.is_dir(), reason="no real dumps; SSL_RECSYS_SHARED_DATA names their directory"
)
TABLES = ("page", "pagelinks", "redirect", "linktarget", "categorylinks")
# More than any article has: which ones a limit leaves out depends on their order.
MANY = {"max_categories": 100}


def make(output_dir, tables, beam_args=(), **fields):
    """The dataset of tables, named by their flags or all in one directory."""
    if isinstance(tables, pathlib.Path):
        tables = {table: str(tables / f"{table}.sql.gz") for table in TABLES}
    options = wikipedia.WikipediaOptions(
        source="sql", output_dir=str(output_dir), **tables, **(MANY | fields)
    )
    return wikipedia.make_dataset(options, beam_args)


@pytest.fixture(scope="module")
def wiki(tmp_path_factory):
    """A wiki as XML and as tables of both layouts, and the XML job's dataset."""
    root = tmp_path_factory.mktemp("wiki")
    world = list(pages(WikiWorld(150, seed=4)))
    write_dump(root / "wiki.xml", world)
    for layout in wiki_sql.LAYOUTS:
        wiki_sql.write_tables(root / layout, world, layout, hidden=[hidden_category(world)])
    info = wikipedia.make_dataset(
        wikipedia.WikipediaOptions(
            dump=str(root / "wiki.xml"), output_dir=str(root / "data"), **MANY
        )
    )
    return root, world, info


def hidden_category(world):
    """A category that has a page and members."""
    used = {name for page in world for name in page.categories}
    return min(used & {page.title.removeprefix("Category:") for page in world})


def check_same(wiki, directory, info):
    """The same records as those of the XML dump, but for the order of an item's categories."""
    root, _, xml_info = wiki
    found, expected = contents(directory), contents(root / "data")
    catalog = [name for name in expected if name.startswith("catalog/catalog-")]
    assert len(catalog) == 1
    for name in (*catalog, schema.DATASET_FILE, files.MANIFEST_FILE):
        assert found.pop(name) != expected.pop(name)
    assert found == expected  # pairs, vocabularies, TFDS's metadata
    items, xml_items = (read(path)[0] for path in (directory, root / "data"))
    for item, other in zip(items, xml_items, strict=True):
        for name, value in item.items():
            values = (value, other[name])
            assert len({str(sorted(v) if name == "categories" else v) for v in values}) == 1
    same = ("articles", "redirects", "links", "links_through_redirect", "links_redirect_loop",
            "links_redirect_no_article", "categories_assigned",
            "pages_read", "items", "pages_other_namespace")  # fmt: skip
    assert {n: info.counters[n] for n in same} == {n: xml_info.counters[n] for n in same}
    # What the XML job takes for a missing page may be on another wiki.
    elsewhere = sum("[[wikt:word" in page.text for page in wiki[1])
    missing = "links_to_missing_page"
    assert info.counters[missing] == xml_info.counters[missing] - elsewhere
    kinds = "links_(file|other_namespace|invalid|unknown_target|self|duplicate|of_duplicate_page"
    kinds += "|to_missing_page|redirect_loop|redirect_no_article)"
    dropped = sum(n for name, n in info.counters.items() if re.fullmatch(kinds, name))
    counters = info.counters
    assert counters["links_found"] == counters["category_links"] + counters["links"] + dropped
    assert counters["link_rows"] == counters["links_found"] + counters["links_of_no_article"]


@pytest.mark.parametrize(
    ("layout", "without", "beam_args", "num_shards"),
    [
        ("2024", ("linktarget",), (), 1),
        ("2026", (), ("--direct_num_workers=2", "--direct_running_mode=multi_threading"), 3),
    ],
)
def test_tables_give_what_the_xml_dump_gives(
    wiki, tmp_path, monkeypatch, layout, without, beam_args, num_shards
):
    monkeypatch.setattr(spill, "_SMALLEST", 0)  # all that passes between steps goes to disk
    tables = {
        table: str(wiki[0] / layout / f"{table}.sql.gz") for table in TABLES if table not in without
    }
    info = make(tmp_path / "data", tables, beam_args, num_shards=num_shards)
    check_same(wiki, tmp_path / "data", info)


def test_hidden_categories_and_targets_without_a_page(wiki, tmp_path):
    root, world, _ = wiki
    tables = {table: str(root / "2026" / f"{table}.sql.gz") for table in (*TABLES, "page_props")}
    all_targets = {"link_targets": "all", "min_in_links": 3, "category_min_count": 1}
    info = make(tmp_path / "data", tables, hidden_categories="drop", num_shards=2, **all_targets)
    hidden = hidden_category(world)
    members = sum(hidden in page.categories for page in world if page.namespace == 0)
    assert info.counters["category_links_hidden"] == members > 0
    names = schema.vocab_path(tmp_path / "data", "categories").read_text().splitlines()
    assert len(names) > 20
    assert hidden not in names
    wanted = {name for page in world for name in page.targets if ":" not in name}
    in_links = {
        name: sum(name in page.targets for page in world)
        for name in wanted - {page.title for page in world} - {"Gone"}
    }
    keys = {item["key"].decode() for item in read(tmp_path / "data")[0]}
    frequent = {name for name, number in in_links.items() if number >= 3}
    assert frequent
    assert frequent == keys - {page.title for page in world} - {"Never written"}


def test_tables_that_do_not_fit(wiki, tmp_path):
    root = wiki[0]
    new, old = root / "2026", root / "2024"
    given = {table: str(new / f"{table}.sql.gz") for table in TABLES}
    other = tmp_path / "redirect.sql"
    other.write_bytes(
        gzip.decompress((new / "redirect.sql.gz").read_bytes()).replace(b"madeup", b"other")
    )
    for change, message in (
        ({"linktarget": ""}, "--linktarget is missing: .*/pagelinks.sql.gz has its targets by"),
        ({"page": str(new / "redirect.sql.gz")}, "is a dump of the table redirect, not page"),
        ({"page": str(root / "wiki.xml")}, "wiki.xml is not an SQL dump of a table"),
        ({"redirect": str(other)}, "are tables of different wikis .madeupwiki, otherwiki"),
        ({"pagelinks": ""}, "--pagelinks is missing"),
        ({"dump": "x.xml"}, "--dump is for --source=xml"),
        ({"source": "xml"}, "--page is for --source=sql"),
        ({"pagelinks": "", "page": ""}, "--page is missing"),
        ({"hidden_categories": "drop"}, "--hidden_categories=drop needs --page_props"),
        ({"pagelinks": str(old / "nothing*.gz")}, "no file .*nothing.*; --pagelinks takes the"),
    ):
        with pytest.raises(InputError, match=message):
            wikipedia.find(wikipedia.WikipediaOptions(**({"source": "sql"} | given | change)))


def load(connection, name):
    """A table of the Chamorro Wikipedia in SQLite, which takes MySQL's rows but for the escapes."""
    text = gzip.decompress((CHAMORRO / f"chwiki-20240501-{name}.sql.gz").read_bytes()).decode()
    columns = re.findall(r"^  `(\w+)`", text, re.MULTILINE)
    connection.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
    for statement in re.findall(r"^INSERT INTO .*;$", text, re.MULTILINE):
        plain = re.sub(r"\\(.)", lambda found: {"'": "''"}.get(found[1], found[1]), statement)
        connection.execute(plain)


@NEEDS_DUMPS
def test_the_chamorro_wikipedia(tmp_path):
    connection = sqlite3.connect(":memory:")
    for table in ("page", "pagelinks", "redirect"):
        load(connection, table)
    [(articles,)] = connection.execute(
        "SELECT count(*) FROM page WHERE page_namespace = 0 AND page_is_redirect = 0"
    )
    connection.execute("""
        CREATE TABLE hop0 AS SELECT page_title AS source, pl_title AS title
        FROM pagelinks JOIN page ON page_id = pl_from
        WHERE page_namespace = 0 AND page_is_redirect = 0 AND pl_namespace = 0
    """)
    for hop in range(4):  # as many redirects as are followed
        connection.execute(f"""
            CREATE TABLE hop{hop + 1} AS SELECT source, coalesce(rd_title, title) AS title
            FROM hop{hop} LEFT JOIN page
            ON page_title = title AND page_namespace = 0 AND page_is_redirect = 1
            LEFT JOIN redirect
            ON rd_from = page_id AND rd_namespace = 0 AND coalesce(rd_interwiki, '') = ''
        """)
    expected = {
        (source.replace("_", " "), title.replace("_", " "))
        for source, title in connection.execute("""
            SELECT DISTINCT source, title FROM hop4 JOIN page ON page_title = title
            WHERE page_namespace = 0 AND page_is_redirect = 0 AND source <> title
        """)
    }
    tables = {
        table: str(CHAMORRO / f"chwiki-20240501-{table}.sql.gz")
        for table in TABLES
        if table != "categorylinks"
    }
    info = make(tmp_path / "data", tables)
    items, pairs = read(tmp_path / "data")
    assert info.counters["articles"] == len(items) == articles == 582
    assert info.counters["link_rows"] == 19_922
    assert info.counters["links_unknown_target"] == 0
    found = [pair for split in pairs.values() for pair in split]
    assert len(found) == len(expected) == 1_120
    assert set(found) == expected
