"""Makes a dataset of a log of installs (or views, or purchases) and a table of items.

    python -m pipelines.app_install --installs=FILE --apps=FILE --output_dir=DIR [Beam options]

docs/your_own_data.md shows the flags at work, docs/dataset.md what is written.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from absl import flags

from pipelines import app_install_job, beam_job
from pipelines.app_install_options import AppInstallOptions
from ssl_recsys import cli

_FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags, one for each field of AppInstallOptions."""
    texts = {
        "installs": "Log: .csv, .tsv, .jsonl or .parquet, each also .gz; a comma list or a glob.",
        "apps": "Table of the items, in the same formats.",
        "output_dir": "Directory of the dataset; it must not hold anything yet.",
        "overwrite": "Replace the dataset at --output_dir, once the new one is whole.",
        "features_spec": "JSON file that says what the columns mean (docs/your_own_data.md).",
        "log_kind": "history: the log has user, item, timestamp, and pairs are made by --window. "
        "landing_page: it has seed, candidate, timestamp, and is taken as it is.",
        "user_column": "Column of the log with the user (user_id).",
        "item_column": "Column of the log with the item (app_id).",
        "seed_column": "Column of a landing-page log with the seed (seed).",
        "candidate_column": "Column of a landing-page log with the candidate (candidate).",
        "timestamp_column": "Column of the log with the time (timestamp).",
        "timestamp_unit": "Unit of times that are numbers: s, ms, us, min or d (s).",
        "encoding": "Encoding of text files without a byte order mark, such as latin-1 or "
        "windows-1252 (utf-8).",
        "quoting": "Whether quotation marks enclose values: minimal, none, or auto: they do "
        "in CSV, not in TSV.",
        "key_column": "Column of the item table with the items' keys (app_id).",
        "title_column": "Column of the item table with what users are shown (title).",
        "window": "How much earlier a user must have had the seed: 1d, 12h, 30min.",
        "max_pairs_per_user": "Most pairs of one user, taken evenly from the history; 0: no limit.",
        "split_by": "time: the latest pairs are for testing, those before for validation. user: "
        "a user's pairs stay together. pair: equal pairs stay together.",
        "split_seed": "Another seed divides otherwise (and orders the pairs otherwise).",
        "validation_fraction": "Share of the pairs (or users) for validation.",
        "test_fraction": "Share of the pairs (or users) for testing.",
        "head_fraction": "Share of the catalog, by training frequency, that is the head.",
        "popularity_from_training": "Make the feature popularity the number of training pairs that "
        "lead to the item; published counts may know the future.",
        "max_bad_records": "Bad records that are left out and counted before the job gives up.",
        "duplicate_items": "error: refuse an item table with two rows of a key. first: keep the "
        "first row.",
        "num_shards": "Parts that collections are joined in; 0 chooses by the input's size. The "
        "dataset does not depend on it.",
    }
    for field in dataclasses.fields(AppInstallOptions):
        default = "" if field.default is dataclasses.MISSING else field.default
        define: Any = {
            bool: flags.DEFINE_boolean,
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            str: flags.DEFINE_string,
        }[type(default)]
        define(field.name, default, texts[field.name])


def main(argv: list[str]) -> None:
    """The command."""
    fields = dataclasses.fields(AppInstallOptions)
    values: dict[str, Any] = {field.name: _FLAGS[field.name].value for field in fields}
    options = AppInstallOptions(**values)
    beam_job.show_progress()
    started = time.monotonic()
    info = app_install_job.make_dataset(options, argv[1:])
    print(f"\n{beam_job.counter_table(info.counters, app_install_job.COUNTERS)}\n")
    pairs = ", ".join(f"{count:,} {split}" for split, count in info.num_pairs.items())
    print(
        f"Wrote {info.num_items:,} items and {sum(info.num_pairs.values()):,} pairs ({pairs}) to "
        f"{options.output_dir} in {time.monotonic() - started:.0f} s.\n"
        "Train on it: python -m ssl_recsys.train --flagfile=configs/aai_fd.flags "
        f"--data_dir={options.output_dir}"
    )


if __name__ == "__main__":
    define_flags()
    cli.run(main, beam_job.parse_flags)
