"""Prints the requirements in setup.py, with those of extras, one a line.

    python tools/requirements.py test dev > requirements.txt

They are read from the text of setup.py: nothing needs to be installed first, and pip can check the
hashes of a list of requirements, as it cannot for a directory with a setup.py.
"""

from __future__ import annotations

import ast
import pathlib
import sys

_SETUP = pathlib.Path(__file__).parents[1] / "setup.py"


def declared(setup: pathlib.Path = _SETUP) -> tuple[list[str], dict[str, list[str]]]:
    """What a setup.py requires, and what each of its extras does, in its order."""
    tree = ast.parse(setup.read_text(encoding="utf-8"))
    keywords = [node.keywords for node in ast.walk(tree) if isinstance(node, ast.Call)]
    values = {keyword.arg: keyword.value for call in keywords for keyword in call}
    return ast.literal_eval(values["install_requires"]), ast.literal_eval(values["extras_require"])


def requirements(extras: list[str], setup: pathlib.Path = _SETUP) -> list[str]:
    """What a setup.py requires with these extras.

    Raises:
      ValueError: there is no such extra.
    """
    found, optional = declared(setup)
    for extra in extras:
        if extra not in optional:
            raise ValueError(f"no extra {extra} in {setup}: there are {', '.join(optional)}")
        found = found + optional[extra]
    return found


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
