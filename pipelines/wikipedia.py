"""Makes a dataset of a Wikipedia dump: articles as items, links between them as pairs.

    python -m pipelines.wikipedia --dump=FILE[,FILE] --output_dir=DIR [Beam options]

docs/data_prep.md explains the flags, docs/dataset.md what is written.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import apache_beam as beam

from data_prep.input_files import InputFile
from data_prep.wiki import counters, dump_files, read_pages, sites
from data_prep.wiki.encoding import FeatureOptions, encode_wiki
from data_prep.wiki.link_graph import ALL, IN_DUMP, LINK_TARGETS, BuildGraph, GraphOptions
from data_prep.wiki.link_splits import BY_PAGE, SPLITS
from data_prep.write import EncodedDataset
from pipelines import beam_job
from ssl_recsys import schema
from ssl_recsys.errors import InputError
from ssl_recsys.features import FeatureSpec
from ssl_recsys.options import option

_MAX_DECODE_THREADS = 8


@dataclasses.dataclass(frozen=True)
class WikipediaOptions(beam_job.JobOptions):
    """The job's flags."""

    dump: str = option(
        "",
        "Dump file (.xml, .bz2, .gz, .xz), a comma list or a glob.",
        required="name the dump file, a comma list or a glob",
    )
    output_dir: str = option(
        "data/wikipedia", "Directory of the dataset; it must not hold anything yet."
    )
    link_targets: str = option(
        IN_DUMP,
        "in_dump: items are the dump's articles. all: link targets that have no page in the dump "
        "become items too, with a title and no categories.",
        choices=LINK_TARGETS,
    )
    min_in_links: int = option(
        5, "With --link_targets=all: articles that must link to such a target.", at_least=1
    )
    split_by: str = option(
        BY_PAGE,
        "page: pairs that touch a test page are for testing. link: each pair on its own.",
        choices=SPLITS,
    )
    id_min_count: int = option(
        1, "Training pairs that a page needs for an id of its own.", at_least=1
    )
    title_min_count: int = option(
        2, "Training pages that a title n-gram must occur in.", at_least=1
    )
    category_min_count: int = option(2, "Training pages that a category must have.", at_least=1)
    max_title_ngrams: int = option(16, "Most n-grams of one title.", at_least=1)
    max_categories: int = option(16, "Most categories of one page.", at_least=1)
    max_vocab: int = option(
        8_000_000,
        "Most tokens of a vocabulary; one worker holds it in memory, at about 300 bytes a token.",
        at_least=1,
    )
    range_mib: int = option(
        8, "MiB of a file (as stored) that are read as one piece of work.", at_least=1
    )
    decode_threads: int = option(
        0,
        "Threads that decompress bzip2 blocks in each worker; 0: one for each core, up to "
        f"{_MAX_DECODE_THREADS}.",
        at_least=0,
        at_most=256,
    )

    unrecorded: ClassVar[tuple[str, ...]] = (
        *beam_job.JobOptions.unrecorded, "range_mib", "decode_threads"
    )  # fmt: skip

    @property
    def features(self) -> FeatureOptions:
        """How features are encoded."""
        fields = [field.name for field in dataclasses.fields(FeatureOptions)]
        return FeatureOptions(**{name: getattr(self, name) for name in fields})


class WikipediaJob(beam_job.DataJob[WikipediaOptions]):
    """A run over the files of one wiki."""

    name = "wikipedia"
    meanings = counters.COUNTERS
    warnings = counters.WARNINGS
    train_flags = "configs/wiki_best.flags"
    bytes_per_shard = 1 << 29

    def __init__(self, options: WikipediaOptions):
        super().__init__(options)
        found = dump_files.find_sources(options.dump)
        self._sources = [source for source, _ in found]
        self._site = _site([(source.path, sites.parse_site(head)) for source, head in found])
        self.files = [InputFile(source.path, source.size) for source in self._sources]

    def kinds(self) -> Iterable[tuple[str, int]]:
        """Kinds by content, not by name."""
        return [(source.kind, source.size) for source in self._sources]

    def build(
        self, pipeline: beam.Pipeline, num_shards: int, directory: str
    ) -> tuple[EncodedDataset, Sequence[beam.PCollection]]:
        """From ranges of the files to pages, to the graph, to records."""
        options = self.options
        cores = min(_MAX_DECODE_THREADS, os.cpu_count() or 1)
        read = read_pages.ReadPages(
            self._site,
            num_shards,
            keep_titles=options.link_targets == ALL,
            num_threads=options.decode_threads or cores,
            directory=directory,
        )
        ranges = dump_files.plan_ranges(self._sources, options.range_mib << 20)
        parsed = (
            pipeline
            | "Ranges" >> beam.Create(ranges)
            | "SpreadRanges" >> beam.Reshuffle()
            | "ReadPages" >> beam.ParDo(read).with_outputs(*read_pages.OUTPUTS)
        )
        graph = {tag: parsed[tag] for tag in read_pages.OUTPUTS} | "Graph" >> BuildGraph(
            GraphOptions(num_shards, options.link_targets, options.min_in_links, options.split)
        )
        return encode_wiki(graph, options.split, options.features, num_shards), ()

    def features(self, vocab_sizes: Mapping[str, int]) -> tuple[FeatureSpec, ...]:
        """The id, title n-grams and categories."""
        return self.options.features.specs(vocab_sizes)

    def check(self, outcome: beam_job.Outcome) -> None:
        """Refuses a dump without articles, links, or pairs in a split."""
        dump, number = self.options.dump, outcome.counters
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
        self.check_splits(
            outcome,
            "raise --validation_fraction and --test_fraction, change --split_seed, or use a larger "
            "part of the wiki",
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


def make_dataset(options: WikipediaOptions, beam_args: Sequence[str] = ()) -> schema.DatasetInfo:
    """Runs the job, see `beam_job.make_dataset`."""
    return beam_job.make_dataset(WikipediaJob, options, beam_args)


if __name__ == "__main__":
    beam_job.run_command(WikipediaJob, WikipediaOptions)
