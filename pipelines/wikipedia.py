"""Makes a dataset of a Wikipedia dump: articles as items, links between them as pairs.

    python -m pipelines.wikipedia --dump=FILE[,FILE] --output_dir=DIR [Beam options]
    python -m pipelines.wikipedia --source=sql --page=FILE --pagelinks=FILE --redirect=FILE \
      --linktarget=FILE --categorylinks=FILE --output_dir=DIR [Beam options]

docs/data_prep.md explains the flags, docs/dataset.md what is written.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, TypeAlias

import apache_beam as beam

from data_prep.input_files import InputFile
from data_prep.spill import Spill
from data_prep.wiki import counters, dump_files, read_pages, read_tables, sites, sql_tables
from data_prep.wiki import title_vectors as vectors
from data_prep.wiki.encoding import FeatureOptions, encode_wiki
from data_prep.wiki.link_graph import ALL, BuildGraph, GraphOptions
from data_prep.wiki.sql_graph import JoinTables
from data_prep.write import EncodedDataset
from pipelines import beam_job
from ssl_recsys import schema
from ssl_recsys.errors import InputError
from ssl_recsys.options import option

_TEXT_BYTES_PER_SHARD = 1 << 29
# A table's text is nearly all links: about one for each 23 bytes.
_TABLE_BYTES_PER_SHARD = 1 << 27
XML, SQL = SOURCES = ("xml", "sql")
# Tag of `read_pages.OUTPUTS` -> what was read.
_Read: TypeAlias = Mapping[str, beam.PCollection]


@dataclasses.dataclass(frozen=True)
class WikipediaOptions(GraphOptions, FeatureOptions, sql_tables.SqlOptions):
    """The job's flags."""

    source: str = option(
        XML,
        "xml: pages with their text, --dump. sql: the tables of pages and links.",
        choices=SOURCES,
    )
    dump: str = option(
        "", "With --source=xml: dump file (.xml, .bz2, .gz, .xz), a comma list or a glob."
    )
    output_dir: str = option(
        "data/wikipedia", "Directory of the dataset; it must not hold anything yet."
    )
    range_mib: int = option(
        8, "MiB of a file (as stored) that are read as one piece of work.", at_least=1
    )
    decode_threads: int = option(
        0,
        "Threads that decompress bzip2 blocks in each worker; 0: one for each of its cores, up to "
        f"{read_pages.MAX_THREADS}.",
        at_least=0,
        at_most=256,
    )

    unrecorded: ClassVar[tuple[str, ...]] = (
        *GraphOptions.unrecorded, "range_mib", "decode_threads"
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        tables = sql_tables.given_tables(self)
        if self.source == SQL:
            if self.dump:
                raise InputError("--dump is for --source=xml; leave one of them out")
            sql_tables.check_flags(self)
        elif tables:
            raise InputError(f"--{tables[0]} is for --source=sql; add that, or leave it out")
        elif self.hidden_categories != sql_tables.KEEP or self.language:
            name = "language" if self.language else "hidden_categories"
            raise InputError(f"--{name} is for --source=sql; an XML dump needs none")
        elif not self.dump:
            raise InputError("--dump is missing: name the dump file, a comma list or a glob")


def find(options: WikipediaOptions) -> beam_job.DataJob:
    """The job over the files of one wiki."""
    return _find_tables(options) if options.source == SQL else _find_dump(options)


def _find_dump(options: WikipediaOptions) -> beam_job.DataJob:
    found = dump_files.find_sources(options.dump)
    sources = [source for source, _ in found]
    site = _site([(source.path, sites.parse_site(head)) for source, head in found])
    return _job(
        options,
        sources,
        site,
        functools.partial(_read_pages, sources, site),
        found_vectors=vectors.find_vectors(options.title_vectors, site),
        bytes_per_shard=_TEXT_BYTES_PER_SHARD,
        named=options.dump,
        meanings=counters.COUNTERS,
        warnings=counters.WARNINGS,
    )


def _find_tables(options: WikipediaOptions) -> beam_job.DataJob:
    tables = sql_tables.find_tables(options)
    sources = list(dict.fromkeys(file.source for file in tables.files()))
    site = sites.Site(language=options.language or sites.language_of(tables.database))
    return _job(
        options,
        sources,
        site,
        functools.partial(_read_tables, tables),
        found_vectors=vectors.find_vectors(options.title_vectors, vectors.as_stored(site)),
        bytes_per_shard=_TABLE_BYTES_PER_SHARD,
        named=options.page,
        meanings=counters.TABLE_COUNTERS,
        warnings=counters.TABLE_WARNINGS,
    )


def _job(
    options: WikipediaOptions,
    sources: Sequence[dump_files.Source],
    site: sites.Site,
    read: Callable[[beam.Pipeline, WikipediaOptions, str, Spill], _Read],
    *,
    found_vectors: vectors.TitleVectors | None,
    bytes_per_shard: int,
    named: str,
    meanings: Mapping[str, str],
    warnings: Mapping[str, str],
) -> beam_job.DataJob:
    """The job over the files of a wiki, which `read` takes to what `read_pages` gives."""
    files = [InputFile(source.path, source.size) for source in sources]
    kinds = [(source.kind, source.size) for source in sources]
    if found_vectors:
        files += found_vectors.files
        kinds += [(file.kind, file.size) for file in found_vectors.files]
        meanings = {**meanings, **counters.VECTOR_COUNTERS}
    options = beam_job.with_shards(options, kinds, bytes_per_shard)

    def build(
        pipeline: beam.Pipeline, directory: str, spill: Spill
    ) -> tuple[EncodedDataset, beam_job.Listed]:
        parsed = read(pipeline, options, directory, spill)
        graph = parsed | "Graph" >> BuildGraph(options, spill)
        encoded = encode_wiki(
            graph,
            options,
            spill,
            dotless_i=site.has_dotless_i,
            found=found_vectors,
            directory=directory,
        )
        return encoded, ()

    return beam_job.DataJob(
        name="wikipedia",
        options=options,
        files=files,
        build=build,
        features=lambda sizes: options.specs(sizes, found_vectors),
        check=lambda outcome: _check(outcome, named, options),
        meanings=meanings,
        warnings=warnings,
        train_flags="configs/wiki_best.flags",
        raw=lambda counters: options.raw(dotless_i=site.has_dotless_i),
    )


def _site(found: Sequence[tuple[str, sites.Site | None]]) -> sites.Site:
    """The wiki that all files belong to."""
    known = [(path, site) for path, site in found if site is not None]
    for path, site in known[1:]:
        if site.name != known[0][1].name:
            raise InputError(
                f"{known[0][0]} and {path} are dumps of different wikis ({known[0][1].name!r}, "
                f"{site.name!r}); make a dataset of each"
            )
    return known[0][1] if known else sites.Site()


def _read_pages(
    sources: list[dump_files.Source],
    site: sites.Site,
    pipeline: beam.Pipeline,
    options: WikipediaOptions,
    directory: str,
    spill: Spill,
) -> _Read:
    read = read_pages.ReadPages(
        site,
        options.num_shards,
        spill,
        keep_titles=options.link_targets == ALL,
        num_threads=options.decode_threads,
        directory=directory,
    )
    parsed = (
        pipeline
        | "Ranges" >> beam.Create(dump_files.plan_ranges(sources, options.range_mib << 20))
        | "SpreadRanges" >> beam.Reshuffle()
        | "ReadPages" >> beam.ParDo(read).with_outputs(*read_pages.OUTPUTS)
    )
    return {tag: parsed[tag] for tag in read_pages.OUTPUTS}


def _read_tables(
    tables: sql_tables.Tables,
    pipeline: beam.Pipeline,
    options: WikipediaOptions,
    directory: str,
    spill: Spill,
) -> _Read:
    read = read_tables.ReadTable(
        options.num_shards,
        spill,
        keep_titles=options.link_targets == ALL,
        has_targets=bool(tables.linktarget),
        find_hidden=bool(tables.page_props),
        directory=directory,
    )
    rows = (
        pipeline
        | "Tables" >> beam.Create(tables.files())
        | "SpreadTables" >> beam.Reshuffle()
        | "ReadTables" >> beam.ParDo(read).with_outputs(*read_tables.OUTPUTS)
    )
    return {tag: rows[tag] for tag in read_tables.OUTPUTS} | "JoinTables" >> JoinTables(
        options.num_shards, spill, drop_hidden=options.hidden_categories == sql_tables.DROP
    )


def _check(outcome: beam_job.Outcome, dump: str, options: WikipediaOptions) -> None:
    """Refuses a dump without articles, links, or pairs in a split."""
    number = outcome.counters
    if not number["pages_read"]:
        raise InputError(f"there is no complete page in {dump}; is the dump empty?")
    if not number["articles"]:
        raise InputError(
            f"there is no article in the {number['pages_read']} pages of {dump}: "
            f"{number['redirects']} redirects, {number['pages_other_namespace']} pages of "
            f"other namespaces, {number['pages_malformed']} malformed"
        )
    if not sum(outcome.num_pairs.values()):
        raise InputError(
            f"no two of the {number['items']} items of {dump} are linked; use a larger part of "
            "the wiki, or --link_targets=all with a small --min_in_links"
        )
    beam_job.check_splits(
        outcome,
        options.split_by,
        "raise --validation_fraction and --test_fraction, change --split_seed, or use a larger "
        "part of the wiki",
    )


def make_dataset(options: WikipediaOptions, beam_args: Sequence[str] = ()) -> schema.DatasetInfo:
    """Runs the job, see `beam_job.make_dataset`."""
    return beam_job.make_dataset(beam_job.find_job(find, options, beam_args), beam_args)


if __name__ == "__main__":
    beam_job.run_command(find, WikipediaOptions)
