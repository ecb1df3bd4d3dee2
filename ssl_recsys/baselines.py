"""Evaluates simple recommenders on a dataset, beside two-tower models if wanted.

    python -m ssl_recsys.baselines --data_dir=data/wikipedia --model_dir=runs/wiki_fd

One table for all: TopPopular, item co-occurrence, TF-IDF cosine, content neighbours and ALS, each
at the settings that validate best, and every model directory named.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ssl_recsys import cli, files, paths, schema
from ssl_recsys.evaluate import MAX_QUERIES
from ssl_recsys.evaluation import SIMPLE_MODELS
from ssl_recsys.options import Options, option
from ssl_recsys.training import run_dir


@dataclasses.dataclass(frozen=True)
class BaselinesOptions(Options):
    """The command's flags."""

    data_dir: str = option("", "Dataset directory.", required="a directory that a data job wrote")
    methods: tuple[str, ...] = option(SIMPLE_MODELS, "Which to evaluate.", choices=SIMPLE_MODELS)
    model_dir: tuple[str, ...] = option((), "Runs of ssl_recsys.train to put beside them.")
    split: str = option(
        schema.TEST, "Pairs to evaluate on.", choices=(schema.TEST, schema.VALIDATION)
    )
    settings: tuple[str, ...] = option(
        ("all",),
        "Settings to choose from: all, few, or METHOD:name=value,name=value|value in place of a "
        "method's; may be repeated.",
        repeated=True,
    )
    output: str = option(
        "", "JSON file for the metrics, written after each method; empty: table only."
    )
    max_queries: int = option(0, MAX_QUERIES, at_least=0)
    verify: bool = option(True, "Compare the dataset's and the models' files with their manifests.")


def main(options: BaselinesOptions) -> None:
    """Prints the table and writes the metrics."""
    # Before TensorFlow is loaded.
    schema.read_dataset_info(options.data_dir, verify=options.verify)
    for model_dir in options.model_dir:
        run_dir.finished_run(model_dir)
    from ssl_recsys.data.dataset import Dataset
    from ssl_recsys.evaluation import simple_settings
    from ssl_recsys.evaluation.comparison import compare
    from ssl_recsys.evaluation.table import format_table
    from ssl_recsys.training import run
    from ssl_recsys.training.export import load_export

    settings = simple_settings.chosen(options.methods, options.settings)
    dataset = Dataset(options.data_dir, verify=options.verify)
    results: dict[str, dict[str, Any]] = {}

    def keep(name: str, result: dict[str, Any]) -> None:
        results[name] = result
        if options.output:
            files.write_json(options.output, results)

    for name, result in compare(dataset, settings, options.split, options.max_queries, _show):
        keep(name, result)
    for model_dir in options.model_dir:
        metrics = run.evaluate(
            load_export(model_dir, verify=options.verify),
            options.split,
            max_queries=options.max_queries,
            exclude_query=True,  # as the simple recommenders
        )
        keep(paths.as_path(model_dir).name, metrics)
    print(format_table(results))
    for name in options.methods:
        print(f"{name}: {results[name]['settings'] or 'no settings'}")


def _show(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    cli.run(main, BaselinesOptions)
