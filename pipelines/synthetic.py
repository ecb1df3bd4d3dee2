"""Writes made-up raw data of any size, for trying the jobs out and for measuring them.

python -m pipelines.synthetic --kind=wikipedia --num_items=3000 --output=demo.xml.bz2
"""

from __future__ import annotations

import time
from pathlib import Path

from absl import flags

from data_prep.synthetic.wiki_pages import pages
from data_prep.synthetic.wiki_world import WikiWorld
from data_prep.synthetic.wiki_xml import write_dump
from ssl_recsys import cli
from ssl_recsys.errors import InputError

_WIKIPEDIA = "wikipedia"
_DUMP_ENDINGS = (".xml", ".bz2", ".gz", ".xz")

_KIND = flags.DEFINE_enum("kind", _WIKIPEDIA, [_WIKIPEDIA], "What to make: a MediaWiki XML dump.")
_NUM_ITEMS = flags.DEFINE_integer(
    "num_items", 3000, "Number of articles; redirects and other pages come on top.", lower_bound=1
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "File to write, replaced if it is there; compressed by its ending: .xml (not), .bz2, .gz, .xz.",
)
_SEED = flags.DEFINE_integer("seed", 0, "The same seed gives the same bytes.", lower_bound=0)


def main(argv: list[str]) -> None:
    """Writes what the flags ask for."""
    del argv  # cli.run has refused what is left over.
    if _OUTPUT.value is None:
        raise InputError("--output is needed: the file to write, for example demo.xml.bz2")
    start = time.monotonic()
    output = Path(_OUTPUT.value)
    _write_wikipedia(output)
    size = output.stat().st_size
    print(f"wrote {output} ({size / 1e6:.1f} MB) in {time.monotonic() - start:.1f} s")


def _write_wikipedia(output: Path) -> None:
    if output.suffix not in _DUMP_ENDINGS:
        raise InputError(
            f"--output must end in one of {', '.join(_DUMP_ENDINGS)} (got {str(output)!r})"
        )
    world = WikiWorld(_NUM_ITEMS.value, _SEED.value)
    count = write_dump(output, pages(world))
    print(f"{count:,} pages, {world.num_items:,} of them articles")


if __name__ == "__main__":
    cli.run(main)
