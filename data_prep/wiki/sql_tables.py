"""The SQL tables of a wiki: which files hold them, and whether they fit together."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from data_prep.wiki import sql_dump
from data_prep.wiki.sql_dump import TableFile
from ssl_recsys.errors import InputError
from ssl_recsys.options import Options, option

KEEP, DROP = HIDDEN_CATEGORIES = ("keep", "drop")


@dataclasses.dataclass(frozen=True)
class SqlOptions(Options):
    """The flags of the tables."""

    page: str = option("", "With --source=sql: the page table, a comma list of files or a glob.")
    pagelinks: str = option("", "With --source=sql: the pagelinks table.")
    redirect: str = option("", "With --source=sql: the redirect table.")
    linktarget: str = option(
        "",
        "With --source=sql: the linktarget table; needed where links or categories have their "
        "targets by number.",
    )
    categorylinks: str = option(
        "", "With --source=sql: the categorylinks table; without it no item has categories."
    )
    page_props: str = option(
        "", "With --source=sql: the page_props table, which says which categories are hidden."
    )
    hidden_categories: str = option(
        KEEP,
        "drop: leave out the hidden categories, those of maintenance, that --page_props names.",
        choices=HIDDEN_CATEGORIES,
    )
    language: str = option(
        "",
        "With --source=sql: the wiki's language, if the database's name, such as trwiki, does not "
        "tell: in some, such as tr, i and I are different letters in words.",
    )


class Tables(NamedTuple):
    """The files of a wiki's tables; those that are not given are empty."""

    page: list[TableFile]
    pagelinks: list[TableFile]
    redirect: list[TableFile]
    linktarget: list[TableFile]
    categorylinks: list[TableFile]
    page_props: list[TableFile]

    def files(self) -> list[TableFile]:
        """All files."""
        return [file for table in self for file in table]

    @property
    def database(self) -> str:
        """The wiki's database, empty if no file names it."""
        return next((file.database for file in self.files() if file.database), "")


# The columns that are read: of a table's layouts through the years, each.
LAYOUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "page": (("page_id", "page_namespace", "page_title", "page_is_redirect"),),
    "pagelinks": (("pl_from", "pl_target_id"), ("pl_from", "pl_namespace", "pl_title")),
    "redirect": (("rd_from", "rd_namespace", "rd_title"),),
    "linktarget": (("lt_id", "lt_namespace", "lt_title"),),
    "categorylinks": (("cl_from", "cl_target_id"), ("cl_from", "cl_to")),
    "page_props": (("pp_page", "pp_propname"),),
}
_REQUIRED = ("page", "pagelinks", "redirect")
_TITLES = {"pagelinks": "pl_title", "categorylinks": "cl_to"}


def check_flags(options: SqlOptions) -> None:
    """Checks which tables are given.

    Raises:
      InputError: if one is missing.
    """
    for table in _REQUIRED:
        if not getattr(options, table):
            raise InputError(f"--{table} is missing: name the file of the wiki's {table} table")
    if options.hidden_categories == DROP and not options.page_props:
        raise InputError(
            "--hidden_categories=drop needs --page_props, the table that says which are hidden"
        )
    if options.page_props and not options.categorylinks:
        raise InputError("--page_props needs --categorylinks: it says which categories are hidden")


def given_tables(options: SqlOptions) -> list[str]:
    """Names of the tables that flags are given for."""
    return [table for table in LAYOUTS if getattr(options, table)]


def find_tables(options: SqlOptions) -> Tables:
    """Finds the tables' files and checks that they fit together.

    Raises:
      InputError: if a file is missing or no such table, the files are of different wikis, or
        targets have numbers that no table explains.
    """
    tables = Tables(
        **{
            table: sql_dump.find_files(getattr(options, table), table, *layouts)
            for table, layouts in LAYOUTS.items()
        }
    )
    for table in _REQUIRED:
        if not getattr(tables, table):
            raise InputError(f"--{table} names no file")
    known = [file for file in tables.files() if file.database]
    for file in known[1:]:
        if file.database != known[0].database:
            raise InputError(
                f"{known[0].source.path} and {file.source.path} are tables of different wikis "
                f"({known[0].database}, {file.database}); make a dataset of each"
            )
    for file in (*tables.pagelinks, *tables.categorylinks):
        if _TITLES[file.table] not in file.columns and not tables.linktarget:
            raise InputError(
                f"--linktarget is missing: {file.source.path} has its targets by number; name the "
                "file of the wiki's linktarget table of the same day"
            )
    return tables
