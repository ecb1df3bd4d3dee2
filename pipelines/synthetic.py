"""Writes made-up raw data of any size, for trying the jobs out and for measuring them.

python -m pipelines.synthetic --kind=wikipedia --num_items=3000 --output=demo.xml.bz2
python -m pipelines.synthetic --kind=app_install --num_items=3000 --output=demo_installs
"""

from __future__ import annotations

import time
from pathlib import Path

from absl import flags

from data_prep.synthetic import install_files
from data_prep.synthetic.install_world import InstallWorld
from data_prep.synthetic.wiki_pages import pages
from data_prep.synthetic.wiki_world import WikiWorld
from data_prep.synthetic.wiki_xml import write_dump
from ssl_recsys import cli
from ssl_recsys.errors import InputError

_WIKIPEDIA, _APP_INSTALL = "wikipedia", "app_install"
_DUMP_ENDINGS = (".xml", ".bz2", ".gz", ".xz")
_EVENTS_PER_ITEM = 20

_KIND = flags.DEFINE_enum(
    "kind",
    _WIKIPEDIA,
    [_WIKIPEDIA, _APP_INSTALL],
    "What to make: a MediaWiki XML dump, or a log of installs with a table of apps.",
)
_NUM_ITEMS = flags.DEFINE_integer(
    "num_items",
    3000,
    "Number of articles (redirects and other pages come on top), or of apps.",
    lower_bound=1,
)
_NUM_EVENTS = flags.DEFINE_integer(
    "num_events",
    None,
    f"Number of installs; {_EVENTS_PER_ITEM} for each app if it is not given.",
    lower_bound=1,
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "wikipedia: file to write, compressed by its ending: .xml (not), .bz2, .gz, .xz. app_install: "
    f"directory for {install_files.LOG_FILE} and {install_files.ITEMS_FILE}. Files that are there "
    "are replaced.",
)
_SEED = flags.DEFINE_integer("seed", 0, "The same seed gives the same bytes.", lower_bound=0)


def main(argv: list[str]) -> None:
    """Writes what the flags ask for."""
    del argv  # cli.run has refused what is left over.
    if _OUTPUT.value is None:
        raise InputError("--output is needed: the dump file or the directory of tables to write")
    if _KIND.value == _WIKIPEDIA and _NUM_EVENTS.value is not None:
        raise InputError("--num_events is for --kind=app_install; a wiki has no events")
    start = time.monotonic()
    output = Path(_OUTPUT.value)
    written = {_WIKIPEDIA: _write_wikipedia, _APP_INSTALL: _write_app_install}[_KIND.value](output)
    for path in written:
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    print(f"in {time.monotonic() - start:.1f} s")


def _write_wikipedia(output: Path) -> list[Path]:
    if output.suffix not in _DUMP_ENDINGS:
        raise InputError(
            f"--output must end in one of {', '.join(_DUMP_ENDINGS)} (got {str(output)!r})"
        )
    world = WikiWorld(_NUM_ITEMS.value, _SEED.value)
    count = write_dump(output, pages(world))
    print(f"{count:,} pages, {world.num_items:,} of them articles")
    return [output]


def _write_app_install(output: Path) -> list[Path]:
    if output.exists() and not output.is_dir():
        raise InputError(f"--output={output} is a file; name the directory to write two files to")
    world = InstallWorld(_NUM_ITEMS.value, _SEED.value)
    num_events = _NUM_EVENTS.value or _EVENTS_PER_ITEM * world.num_items
    install_files.write_log(output, world, num_events)
    count = install_files.write_items(output, world)
    print(f"{num_events:,} installs of {world.num_items:,} apps, {count:,} of them in the table")
    return [output / install_files.LOG_FILE, output / install_files.ITEMS_FILE]


if __name__ == "__main__":
    cli.run(main)
