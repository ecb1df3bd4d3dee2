"""Evaluates simple recommenders on a dataset, beside two-tower models if wanted.

    python -m ssl_recsys.baselines --data_dir=data/wikipedia --model_dir=runs/wiki_fd

One table for all: TopPopular, item co-occurrence, TF-IDF cosine, content neighbours and ALS, each
at the settings that validate best, and every model directory named. Where queries are users or
their histories: item-based neighbours, TF-IDF profiles, ALS, BPR, EASE and, with the
extra `hybrid`, a hybrid of factors and features.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

from ssl_recsys import cli, files, paths, schema
from ssl_recsys.errors import InputError
from ssl_recsys.evaluate import MAX_QUERIES
from ssl_recsys.evaluation import HYBRID, HYBRID_MISSING, SIMPLE_MODELS, USER_MODELS
from ssl_recsys.options import Options, option
from ssl_recsys.training import run_dir


@dataclasses.dataclass(frozen=True)
class BaselinesOptions(Options):
    """The command's flags."""

    data_dir: str = option("", "Dataset directory.", required="a directory that a data job wrote")
    methods: tuple[str, ...] = option(
        (),
        "Which to evaluate; by default all that are for the dataset's kind of queries: "
        f"{', '.join(SIMPLE_MODELS)} for items, {', '.join(USER_MODELS)} for users.",
        choices=(*SIMPLE_MODELS, *USER_MODELS),
    )
    exclude_known: bool = option(
        False, "Leave the items of a user's training pairs out of the rankings."
    )
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
    info = schema.read_dataset_info(options.data_dir, verify=options.verify)
    methods = _methods(options, info)
    for model_dir in options.model_dir:
        run_dir.finished_run(model_dir)
    from ssl_recsys.data.dataset import Dataset
    from ssl_recsys.evaluation import simple_settings
    from ssl_recsys.evaluation.comparison import compare
    from ssl_recsys.evaluation.table import format_table
    from ssl_recsys.training import run
    from ssl_recsys.training.export import load_export

    settings = simple_settings.chosen(methods, options.settings)
    dataset = Dataset(options.data_dir, verify=options.verify)
    results: dict[str, dict[str, Any]] = {}

    def keep(name: str, result: dict[str, Any]) -> None:
        results[name] = result
        if options.output:
            files.write_json(options.output, results)

    for name, result in compare(
        dataset,
        settings,
        options.split,
        options.max_queries,
        _show,
        exclude_known=options.exclude_known,
    ):
        keep(name, result)
    for model_dir in options.model_dir:
        metrics = run.evaluate(
            load_export(model_dir, verify=options.verify),
            options.split,
            max_queries=options.max_queries,
            exclude_query=True,  # as the simple recommenders
            known=dataset.pairs(schema.TRAIN) if options.exclude_known else None,
        )
        keep(paths.as_path(model_dir).name, metrics)
    print(format_table(results))
    for name in methods:
        print(f"{name}: {results[name]['settings'] or 'no settings'}")


def _methods(options: BaselinesOptions, info: schema.DatasetInfo) -> tuple[str, ...]:
    """The methods to evaluate.

    Raises:
      InputError: for one of another kind of queries or that is not installed, or a flag for it.
    """
    fitting = USER_MODELS if info.queries else SIMPLE_MODELS
    if wrong := [name for name in options.methods if name not in fitting]:
        raise InputError(
            f"--methods={wrong[0]} is for another kind of queries than those of "
            f"{options.data_dir}; choose of {', '.join(fitting)}"
        )
    if options.exclude_known and not info.queries:
        raise InputError("--exclude_known is for datasets whose queries are users")
    if HYBRID in (options.methods or fitting) and importlib.util.find_spec("lightfm") is None:
        if options.methods:
            raise InputError(HYBRID_MISSING)
        print(f"{HYBRID} is left out: {HYBRID_MISSING}")
        return tuple(name for name in fitting if name != HYBRID)
    return options.methods or fitting


def _show(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    cli.run(main, BaselinesOptions)
