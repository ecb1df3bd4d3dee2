"""Tables and text in Markdown (CommonMark with GitHub's tables)."""

from __future__ import annotations

import re

from pipelines.experiments.studies.tables import Cell, Table
from ssl_recsys.errors import printable

# What acts within a line; what acts at its beginning cannot occur, since the report's own words
# begin every line. An underscore within a word, `<` before a blank and `&` without an entity stay.
_SPECIAL = re.compile(
    r"""[\\`*\[\]{}|~$\#]
    | (?<![^\W_])_ | _(?![^\W_])   # emphasis
    | <(?=[A-Za-z/!?])             # HTML
    | &(?=\#?\w+;)                # an entity, which ends in a semicolon
    | (?<=:)/(?=/) | (?<=www)\.    # a link without brackets
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ENTITIES = {"<": "&lt;", "&": "&amp;", "/": "&#47;", ".": "&#46;"}


def escape(text: str) -> str:
    """Text that is shown as it is, on one line, wherever a line of Markdown holds it."""
    one_line = printable(" ".join(text.split()))
    return _SPECIAL.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), one_line)


def table(shown: Table) -> list[str]:
    """The lines of a table under its title."""
    return [
        f"### {escape(shown.title)}",
        "",
        "| " + " | ".join(escape(one) for one in shown.columns) + " |",
        "|" + "---|" * len(shown.columns),
        *(
            "| " + " | ".join([escape(label), *(_cell(cell) for cell in cells)]) + " |"
            for label, cells in shown.rows
        ),
        *(["", escape(shown.note)] if shown.note else []),
    ]


def _cell(cell: Cell) -> str:
    first, *rest = [escape(line) for line in cell.lines]
    return "<br>".join([f"**{first}**" if cell.best else first, *rest])
