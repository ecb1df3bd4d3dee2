"""A made-up wiki as the tables of a MediaWiki database, in the layouts that dumps have had."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import BinaryIO

from data_prep.compressed import write_compressed
from data_prep.synthetic.wiki_pages import ARTICLE, CATEGORY, WikiPage
from data_prep.synthetic.wiki_xml import NAMESPACES

# Links have title and number, categories have names; or both have numbers alone.
LAYOUT_2024, LAYOUT_2026 = LAYOUTS = ("2024", "2026")
_ROWS_PER_STATEMENT = 5_000
_DATABASE = "madeupwiki"
_TABLES = {
    "page": ("page_id int(8) unsigned", "page_namespace int(11)", "page_title varbinary(255)",
             "page_is_redirect tinyint(1) unsigned", "page_is_new tinyint(1) unsigned",
             "page_random double unsigned", "page_touched binary(14)",
             "page_links_updated varbinary(14)", "page_latest int(8) unsigned",
             "page_len int(8) unsigned", "page_content_model varbinary(32)",
             "page_lang varbinary(35)"),
    "linktarget": ("lt_id bigint(20) unsigned", "lt_namespace int(11)", "lt_title varbinary(255)"),
    "redirect": ("rd_from int(8) unsigned", "rd_namespace int(11)", "rd_title varbinary(255)",
                 "rd_interwiki varbinary(32)", "rd_fragment varbinary(255)"),
    "page_props": ("pp_page int(10) unsigned", "pp_propname varbinary(60)", "pp_value blob",
                   "pp_sortkey float"),
}  # fmt: skip
_OF_LAYOUT = {
    LAYOUT_2024: {
        "pagelinks": ("pl_from int(8) unsigned", "pl_namespace int(11)", "pl_title varbinary(255)",
                      "pl_from_namespace int(11)", "pl_target_id bigint(20) unsigned"),
        "categorylinks": ("cl_from int(8) unsigned", "cl_to varbinary(255)",
                          "cl_sortkey varbinary(230)", "cl_timestamp timestamp",
                          "cl_sortkey_prefix varbinary(255)", "cl_collation varbinary(32)",
                          "cl_type enum('page','subcat','file')"),
    },
    LAYOUT_2026: {
        "pagelinks": ("pl_from int(8) unsigned", "pl_from_namespace int(11)",
                      "pl_target_id bigint(20) unsigned"),
        "categorylinks": ("cl_from int(8) unsigned", "cl_sortkey varbinary(230)",
                          "cl_timestamp timestamp", "cl_sortkey_prefix varbinary(255)",
                          "cl_type enum('page','subcat','file')",
                          "cl_collation_id smallint(5) unsigned",
                          "cl_target_id bigint(20) unsigned"),
    },
}  # fmt: skip
_NUMBERS = {name.replace(" ", "_").lower(): number for number, name in NAMESPACES.items() if name}
_TIME = "20260101120000"
_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n"})


def write_tables(
    directory: pathlib.Path,
    pages: Iterable[WikiPage],
    layout: str,
    *,
    hidden: Collection[str] = (),
) -> list[pathlib.Path]:
    """Writes the tables of a wiki, page.sql.gz and others, and returns their files.

    Args:
      directory: where to.
      pages: the wiki.
      layout: one of LAYOUTS.
      hidden: names of the categories, of those with a page, that are hidden.
    """
    columns = _TABLES | _OF_LAYOUT[layout]
    paths = {table: directory / f"{table}.sql.gz" for table in columns}
    with contextlib.ExitStack() as stack:
        tables = {
            table: _Table(stack.enter_context(write_compressed(path)), table, columns[table])
            for table, path in paths.items()
        }
        targets: dict[tuple[int, str], int] = {}
        for number, page in enumerate(pages, start=1):
            for table, row in _rows(number, page, layout, targets, hidden):
                tables[table].add(row)
        for (namespace, title), number in targets.items():
            tables["linktarget"].add((number, namespace, title))
        for written in tables.values():
            written.end()
    return list(paths.values())


class _Table:
    """A dump that is being written."""

    def __init__(self, stream: BinaryIO, name: str, columns: Sequence[str]):
        self._stream, self._name = stream, name
        self._rows: list[str] = []
        defined = ",\n".join(f"  `{column.replace(' ', '` ', 1)}" for column in columns)
        self._write(
            f"-- MySQL dump 10.19\n--\n-- Host: localhost    Database: {_DATABASE}\n"
            f"-- {'-' * 54}\n/*!40101 SET NAMES utf8mb4 */;\n\nDROP TABLE IF EXISTS `{name}`;\n"
            f"CREATE TABLE `{name}` (\n{defined}\n) ENGINE=InnoDB DEFAULT CHARSET=binary;\n\n"
            f"/*!40000 ALTER TABLE `{name}` DISABLE KEYS */;\n"
        )

    def add(self, row: Sequence[int | float | str | None]) -> None:
        self._rows.append(f"({','.join(map(_constant, row))})")
        if len(self._rows) == _ROWS_PER_STATEMENT:
            self._flush()

    def end(self) -> None:
        self._flush()
        self._write(
            f"/*!40000 ALTER TABLE `{self._name}` ENABLE KEYS */;\n\n"
            "-- Dump completed on 2026-01-01 12:00:00\n"
        )

    def _flush(self) -> None:
        if self._rows:
            self._write(f"INSERT INTO `{self._name}` VALUES {','.join(self._rows)};\n")
        self._rows = []

    def _write(self, text: str) -> None:
        self._stream.write(text.encode())


def _constant(value: int | float | str | None) -> str:
    if value is None:
        return "NULL"
    return f"'{value.translate(_ESCAPES)}'" if isinstance(value, str) else str(value)


def _rows(
    number: int,
    page: WikiPage,
    layout: str,
    targets: dict[tuple[int, str], int],
    hidden: Collection[str],
) -> Iterator[tuple[str, Sequence[int | float | str | None]]]:
    """The rows of one page; `targets` takes up what it links to."""

    def target(namespace: int, title: str) -> int:
        return targets.setdefault((namespace, title), len(targets) + 1)

    namespace, title = _split(page.title)
    is_redirect = int(page.redirect is not None)
    yield "page", (
        number, namespace, title, is_redirect, 0, 0.5, _TIME, _TIME, number, len(page.text),
        "wikitext", None,
    )  # fmt: skip
    linked = page.targets
    if page.redirect is not None:
        goal, _, anchor = page.redirect.partition("#")
        linked = (goal,)
        yield "redirect", (number, *_split(goal), "", anchor)
    for to_namespace, to_title in dict.fromkeys(map(_split, linked)):
        to = target(to_namespace, to_title)
        if layout == LAYOUT_2024:
            yield "pagelinks", (number, to_namespace, to_title, namespace, to)
        else:
            yield "pagelinks", (number, namespace, to)
    for name in dict.fromkeys(category.replace(" ", "_") for category in page.categories):
        to = target(CATEGORY, name)
        sort_key = f"{title.upper()}\n{title}"
        if layout == LAYOUT_2024:
            yield "categorylinks", (number, name, sort_key, _TIME, "", "uppercase", "page")
        else:
            yield "categorylinks", (number, sort_key, _TIME, "", "page", 1, to)
    if namespace == CATEGORY and title.replace("_", " ") in hidden:
        yield "page_props", (number, "hiddencat", "", None)
    yield "page_props", (number, "wikibase_item", f"Q{number}", None)


def _split(title: str) -> tuple[int, str]:
    """Number of the namespace and the rest of a full title, with underscores."""
    title = title.replace(" ", "_")
    prefix, colon, rest = title.partition(":")
    if colon and prefix.lower() in _NUMBERS:
        return _NUMBERS[prefix.lower()], rest
    return ARTICLE, title
