"""Makes a dataset of a Wikipedia dump: articles as items, links between them as pairs.

    python -m pipelines.wikipedia --dump=FILE[,FILE] --output_dir=DIR [Beam options]

docs/data_prep.md explains the flags, docs/dataset.md what is written.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
from absl import flags

from data_prep import encode, output_dir, splits
from data_prep.wiki import dump_files, read_pages, sites
from data_prep.wiki.counters import COUNTERS, WARNINGS
from data_prep.wiki.encoding import FeatureOptions, encode_wiki
from data_prep.wiki.link_graph import BuildGraph, GraphOptions
from pipelines import beam_job
from ssl_recsys import cli, schema
from ssl_recsys.errors import InputError

IN_DUMP, ALL = "in_dump", "all"
BY_PAGE, BY_LINK = "page", "link"
_TEXT_BYTES_PER_SHARD = 1 << 29
_COMPRESSION = {dump_files.XML: 1, dump_files.BZIP2: 4, dump_files.GZIP: 3, dump_files.XZ: 5}
_MAX_SHARDS = 4096
_MAX_DECODE_THREADS = 8

_FLAGS = flags.FLAGS


@dataclasses.dataclass(frozen=True)
class WikipediaOptions:
    """The job's flags; see their help texts.

    Raises:
      InputError: for a value out of range.
    """

    dump: str
    output_dir: str = "data/wikipedia"
    overwrite: bool = False
    link_targets: str = IN_DUMP
    min_in_links: int = 5
    split_by: str = BY_PAGE
    split_seed: int = 0
    validation_fraction: float = 0.05
    test_fraction: float = 0.05
    id_min_count: int = 1
    title_min_count: int = 2
    category_min_count: int = 2
    max_title_ngrams: int = 16
    max_categories: int = 16
    max_vocab: int = 8_000_000
    num_shards: int = 0
    range_mib: int = 8
    decode_threads: int = 0

    def __post_init__(self) -> None:
        if not self.dump:
            raise InputError("--dump is missing: name the dump file, a comma list or a glob")
        for name, values in (("link_targets", (IN_DUMP, ALL)), ("split_by", (BY_PAGE, BY_LINK))):
            if getattr(self, name) not in values:
                raise InputError(
                    f"--{name} must be one of {', '.join(values)} (got {getattr(self, name)!r})"
                )
        for name in (
            "min_in_links", "id_min_count", "title_min_count", "category_min_count",
            "max_title_ngrams", "max_categories", "max_vocab", "range_mib",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise InputError(f"--{name} must be at least 1 (got {getattr(self, name)})")
        for name, most in (("num_shards", _MAX_SHARDS), ("decode_threads", 256)):
            if not 0 <= getattr(self, name) <= most:
                raise InputError(f"--{name} must be in [0, {most}] (got {getattr(self, name)})")
        _ = self.split  # checks the seed and the fractions

    @property
    def split(self) -> splits.SplitRule:
        """How pairs are divided."""
        return splits.SplitRule(
            by=splits.BY_ITEM if self.split_by == BY_PAGE else splits.BY_PAIR,
            seed=self.split_seed,
            validation_fraction=self.validation_fraction,
            test_fraction=self.test_fraction,
        )

    @property
    def features(self) -> FeatureOptions:
        """How features are encoded."""
        fields = [field.name for field in dataclasses.fields(FeatureOptions)]
        return FeatureOptions(**{name: getattr(self, name) for name in fields})

    def recorded(self) -> dict[str, Any]:
        """The options that the dataset depends on, for `dataset.json`."""
        fields = dataclasses.asdict(self)
        for name in ("output_dir", "overwrite", "num_shards", "range_mib", "decode_threads"):
            del fields[name]
        return fields


def define_flags() -> None:
    """Defines the flags, one for each field of WikipediaOptions."""
    texts = {
        "dump": "Dump file (.xml, .bz2, .gz, .xz), a comma list or a glob.",
        "output_dir": "Directory of the dataset; it must not hold anything yet.",
        "overwrite": "Replace the dataset at --output_dir, once the new one is whole.",
        "link_targets": "in_dump: items are the dump's articles. all: link targets that have no "
        "page in the dump become items too, with a title and no categories.",
        "min_in_links": "With --link_targets=all: articles that must link to such a target.",
        "split_by": "page: pairs that touch a test page are for testing. link: each on its own.",
        "split_seed": "Another seed divides otherwise.",
        "validation_fraction": "Share of the pages (or links) for validation.",
        "test_fraction": "Share of the pages (or links) for testing.",
        "id_min_count": "Training pairs that a page needs for an id of its own.",
        "title_min_count": "Training pages that a title n-gram must occur in.",
        "category_min_count": "Training pages that a category must have.",
        "max_title_ngrams": "Most n-grams of one title.",
        "max_categories": "Most categories of one page.",
        "max_vocab": "Most tokens of a vocabulary; one worker holds it in memory, at about 300 "
        "bytes a token.",
        "num_shards": "Parts that collections are joined in; 0 chooses by the input's size. The "
        "dataset does not depend on it.",
        "range_mib": "MiB of a file (as stored) that are read as one piece of work.",
        "decode_threads": "Threads that decompress bzip2 blocks in each worker; 0: one for each "
        "core, up to 8.",
    }
    for field in dataclasses.fields(WikipediaOptions):
        default = "" if field.default is dataclasses.MISSING else field.default
        define: Any = {
            bool: flags.DEFINE_boolean,
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            str: flags.DEFINE_string,
        }[type(default)]
        define(field.name, default, texts[field.name])


def make_dataset(options: WikipediaOptions, beam_args: Sequence[str] = ()) -> schema.DatasetInfo:
    """Runs the job.

    Raises:
      InputError: if the input cannot be used or gives no dataset; nothing is written then.
    """
    output_dir.check_free(options.output_dir, overwrite=options.overwrite)
    found = dump_files.find_sources(options.dump)
    sources = [source for source, _ in found]
    site = _site(found)
    with output_dir.staged(options.output_dir, overwrite=options.overwrite) as staging:
        counters, _ = beam_job.run(
            lambda pipeline: _build(pipeline, options, sources, site, staging), beam_args
        )
        facts = beam_job.take_facts(staging)
        num_pairs = dict(zip(schema.PAIR_SPLITS, facts["num_pairs"][0], strict=True))
        _check_result(counters, num_pairs, options)
        info = schema.DatasetInfo(
            name="wikipedia",
            features=options.features.specs(dict(facts["vocab_size"])),
            num_items=facts["num_items"][0],
            num_pairs=num_pairs,
            head=schema.HeadRule(schema.HEAD_IN_TRAINING),
            split={**options.split.as_dict(), "by": options.split_by},
            counters=dict.fromkeys(COUNTERS, 0) | counters,
            sources=_source_facts(sources, facts["source"]),
            options=options.recorded(),
        )
        encode.write_metadata(staging, [tuple(file) for file in facts["file"]], info.features)
        beam_job.write_dataset_json(staging, info)
    return info


def _site(found: Sequence[tuple[dump_files.Source, bytes]]) -> sites.Site:
    """The wiki that all files belong to."""
    parsed = [(source.path, sites.parse_site(head)) for source, head in found]
    known = [(path, site) for path, site in parsed if site is not None]
    for path, site in known[1:]:
        if site.name != known[0][1].name:
            raise InputError(
                f"{known[0][0]} and {path} are dumps of different wikis ({known[0][1].name!r}, "
                f"{site.name!r}); make a dataset of each"
            )
    return known[0][1] if known else sites.Site()


def _build(
    pipeline: beam.Pipeline,
    options: WikipediaOptions,
    sources: list[dump_files.Source],
    site: sites.Site,
    staging: str,
) -> None:
    num_shards = options.num_shards or _auto_shards(sources)
    cores = min(_MAX_DECODE_THREADS, os.cpu_count() or 1)
    read = read_pages.ReadPages(
        site,
        num_shards,
        keep_titles=options.link_targets == ALL,
        num_threads=options.decode_threads or cores,
    )
    parsed = (
        pipeline
        | "Ranges" >> beam.Create(dump_files.plan_ranges(sources, options.range_mib << 20))
        | "SpreadRanges" >> beam.Reshuffle()
        | "ReadPages" >> beam.ParDo(read).with_outputs(*read_pages.OUTPUTS)
    )
    graph = {tag: parsed[tag] for tag in read_pages.OUTPUTS} | "Graph" >> BuildGraph(
        GraphOptions(num_shards, options.link_targets, options.min_in_links, options.split)
    )
    encoded = encode_wiki(graph, options.split, options.features, num_shards)
    paths = [source.path for source in sources]
    facts = beam_job.write_dataset(encoded, staging, paths, seed=options.split_seed)
    beam_job.write_facts(facts, staging)


def _auto_shards(sources: Sequence[dump_files.Source]) -> int:
    text_bytes = sum(source.size * _COMPRESSION[source.kind] for source in sources)
    return min(_MAX_SHARDS, -(-text_bytes // _TEXT_BYTES_PER_SHARD))


def _source_facts(
    sources: Sequence[dump_files.Source], digests: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    sha256 = dict(digests)
    return [
        {"path": source.path, "bytes": source.size, "sha256": sha256[source.path]}
        for source in sources
    ]


def _check_result(
    counters: Mapping[str, int], num_pairs: Mapping[str, int], options: WikipediaOptions
) -> None:
    """Refuses a dataset that nothing can be learnt or measured with."""
    if not counters.get("pages_read"):
        raise InputError(f"there is no complete page in {options.dump}; is the dump empty?")
    if not counters.get("articles"):
        raise InputError(
            f"there is no article in the {counters['pages_read']} pages of {options.dump}: "
            f"{counters.get('redirects', 0)} redirects, "
            f"{counters.get('pages_other_namespace', 0)} pages of other namespaces, "
            f"{counters.get('pages_malformed', 0)} malformed"
        )
    if not sum(num_pairs.values()):
        raise InputError(
            f"no two of the {counters.get('items', 0)} items of {options.dump} are linked; use a "
            "larger part of the wiki, or --link_targets=all with a small --min_in_links"
        )
    empty = [name for name, pairs in num_pairs.items() if not pairs]
    if empty:
        raise InputError(
            f"the split leaves no pairs for {' and '.join(empty)} (of {sum(num_pairs.values())} in "
            "all); raise --validation_fraction and --test_fraction, change --split_seed, or use a "
            "larger part of the wiki"
        )


def main(argv: list[str]) -> None:
    """The command."""
    fields = dataclasses.fields(WikipediaOptions)
    values: dict[str, Any] = {field.name: _FLAGS[field.name].value for field in fields}
    options = WikipediaOptions(**values)
    beam_job.show_progress()
    started = time.monotonic()
    info = make_dataset(options, argv[1:])
    print(f"\n{beam_job.counter_table(info.counters, COUNTERS)}\n")
    for name, meaning in WARNINGS.items():
        if info.counters.get(name):
            print(f"warning: {meaning} ({name}: {info.counters[name]})", file=sys.stderr)
    pairs = ", ".join(f"{count:,} {split}" for split, count in info.num_pairs.items())
    print(
        f"Wrote {info.num_items:,} items and {sum(info.num_pairs.values()):,} pairs ({pairs}) to "
        f"{options.output_dir} in {time.monotonic() - started:.0f} s.\n"
        "Train on it: python -m ssl_recsys.train --flagfile=configs/wiki_fd.flags "
        f"--data_dir={options.output_dir}"
    )


if __name__ == "__main__":
    define_flags()
    cli.run(main, beam_job.parse_flags)
