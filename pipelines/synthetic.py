"""Writes made-up raw data of any size, for trying the jobs out and for measuring them.

Or a dataset directory without a data job, for measuring what trains on it and searches it.

python -m pipelines.synthetic --kind=wikipedia --num_items=3000 --output=demo.xml.bz2
python -m pipelines.synthetic --kind=wikipedia_sql --num_items=3000 --output=demo_tables
python -m pipelines.synthetic --kind=app_install --num_items=3000 --output=demo_installs
python -m pipelines.synthetic --kind=dataset --num_items=100000 --output=demo_dataset
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from data_prep.output_dir import staged
from data_prep.synthetic import dataset, install_files, wiki_sql
from data_prep.synthetic.install_world import InstallWorld
from data_prep.synthetic.wiki_pages import pages
from data_prep.synthetic.wiki_world import WikiWorld
from data_prep.synthetic.wiki_xml import write_dump
from ssl_recsys import cli, schema
from ssl_recsys.errors import InputError
from ssl_recsys.options import Options, option

_WIKIPEDIA, _APP_INSTALL, _WIKIPEDIA_SQL, _DATASET = _KINDS = (
    "wikipedia",
    "app_install",
    "wikipedia_sql",
    "dataset",
)
_DUMP_ENDINGS = (".xml", ".bz2", ".gz", ".xz")
_EVENTS_PER_ITEM = 20
_PAIRS_PER_ITEM = 20


@dataclasses.dataclass(frozen=True)
class SyntheticOptions(Options):
    """The flags."""

    kind: str = option(
        _WIKIPEDIA,
        "What to make: a MediaWiki XML dump, a log of installs with a table of apps, the SQL "
        "tables of a wiki, or a dataset directory.",
        choices=_KINDS,
    )
    num_items: int = option(
        3000,
        "Number of articles (redirects and other pages come on top), of apps, or of items.",
        at_least=1,
    )
    num_events: int | None = option(
        None,
        f"Number of installs; {_EVENTS_PER_ITEM} for each app if it is not given.",
        at_least=1,
    )
    num_pairs: int | None = option(
        None,
        f"dataset: pairs of all splits; {_PAIRS_PER_ITEM} for each item if it is not given.",
        at_least=1,
    )
    output: str = option(
        "",
        "wikipedia: file to write, compressed by its ending: .xml (not), .bz2, .gz, .xz. "
        f"app_install: directory for {install_files.LOG_FILE} and {install_files.ITEMS_FILE}. "
        "wikipedia_sql: directory for page.sql.gz and the other tables. Existing files are "
        "replaced. dataset: the dataset directory, which must not be in use.",
        required="name the dump file, or the directory, to write",
    )
    layout: str = option(
        wiki_sql.LAYOUT_2026,
        "wikipedia_sql: which year's dumps the tables are like.",
        choices=wiki_sql.LAYOUTS,
    )
    seed: int = option(0, "The same seed gives the same bytes.", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind != _APP_INSTALL and self.num_events is not None:
            raise InputError("--num_events is for --kind=app_install; a wiki has no events")
        if self.kind != _DATASET and self.num_pairs is not None:
            raise InputError(
                "--num_pairs is for --kind=dataset; elsewhere pairs follow from the data"
            )


def main(options: SyntheticOptions) -> None:
    """Writes the files and reports their sizes."""
    start = time.monotonic()
    write = {
        _WIKIPEDIA: _write_wikipedia,
        _APP_INSTALL: _write_app_install,
        _WIKIPEDIA_SQL: _write_wikipedia_sql,
        _DATASET: _write_dataset,
    }[options.kind]
    for path in write(options, Path(options.output)):
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    print(f"in {time.monotonic() - start:.1f} s")


def _write_wikipedia(options: SyntheticOptions, output: Path) -> list[Path]:
    if output.suffix not in _DUMP_ENDINGS:
        raise InputError(
            f"--output must end in one of {', '.join(_DUMP_ENDINGS)} (got {str(output)!r})"
        )
    world = WikiWorld(options.num_items, options.seed)
    count = write_dump(output, pages(world))
    print(f"{count:,} pages, {world.num_items:,} of them articles")
    return [output]


def _write_wikipedia_sql(options: SyntheticOptions, output: Path) -> list[Path]:
    if output.exists() and not output.is_dir():
        raise InputError(f"--output={output} is a file; name the directory to write the tables to")
    world = WikiWorld(options.num_items, options.seed)
    print(f"{world.num_items:,} articles in the layout of {options.layout}")
    return wiki_sql.write_tables(output, pages(world), options.layout)


def _write_app_install(options: SyntheticOptions, output: Path) -> list[Path]:
    if output.exists() and not output.is_dir():
        raise InputError(f"--output={output} is a file; name the directory to write two files to")
    world = InstallWorld(options.num_items, options.seed)
    num_events = options.num_events or _EVENTS_PER_ITEM * world.num_items
    install_files.write_log(output, world, num_events)
    count = install_files.write_items(output, world)
    print(f"{num_events:,} installs of {world.num_items:,} apps, {count:,} of them in the table")
    return [output / install_files.LOG_FILE, output / install_files.ITEMS_FILE]


def _write_dataset(options: SyntheticOptions, output: Path) -> list[Path]:
    sizes = dataset.Sizes(
        options.num_items, options.num_pairs or _PAIRS_PER_ITEM * options.num_items
    )
    with staged(str(output), overwrite=False) as directory:
        info = dataset.write(directory, sizes, seed=options.seed)
    pairs = ", ".join(f"{count:,} {split}" for split, count in info.num_pairs.items())
    print(f"{info.num_items:,} items; pairs: {pairs}")
    return [output / schema.DATASET_FILE]


if __name__ == "__main__":
    cli.run(main, SyntheticOptions)
