"""Evaluates simple recommenders on a dataset, beside two-tower models if wanted.

    python -m ssl_recsys.baselines --data_dir=data/wikipedia --model_dir=runs/wiki_fd

One table for all: TopPopular, item co-occurrence, TF-IDF cosine, content neighbours and ALS, each
at the settings that validate best, and every model directory named.
"""

from __future__ import annotations

import pathlib

from absl import flags, logging

from ssl_recsys import cli
from ssl_recsys.errors import InputError

_ALL = ("co_occurrence", "tfidf", "content_knn", "als")

_DATA_DIR = flags.DEFINE_string("data_dir", "", "Dataset directory.")
_METHODS = flags.DEFINE_list("methods", list(_ALL), "Which to evaluate.")
_MODEL_DIR = flags.DEFINE_list("model_dir", [], "Runs of ssl_recsys.train to put beside them.")
_SPLIT = flags.DEFINE_enum("split", "test", ["test", "validation"], "Pairs to evaluate on.")
_OUTPUT = flags.DEFINE_string("output", "", "JSON file for the metrics; empty: table only.")
_MAX_QUERIES = flags.DEFINE_integer(
    "max_queries", 0, "Evaluate on a seeded sample of this many queries; 0: on all."
)


def main(argv: list[str]) -> None:
    """Prints the table and writes the metrics."""
    del argv
    logging.set_verbosity(logging.WARNING)  # TFDS tells of every folder that it opens.
    if not _DATA_DIR.value:
        raise InputError("--data_dir is needed: a directory that a data job wrote")
    unknown = [name for name in _METHODS.value if name not in _ALL]
    if unknown:
        raise InputError(f"--methods: {unknown[0]!r} is none of {', '.join(_ALL)}")
    if _MAX_QUERIES.value < 0:
        raise InputError(f"--max_queries must be at least 0 (got {_MAX_QUERIES.value})")
    from ssl_recsys.evaluation import pairs as evaluation
    from ssl_recsys.training import run, run_dir
    from ssl_recsys.training.export import load_export

    results = run.compare(
        pathlib.Path(_DATA_DIR.value), _METHODS.value, _SPLIT.value, _MAX_QUERIES.value
    )
    for model_dir in _MODEL_DIR.value:
        results[pathlib.Path(model_dir).name] = run.evaluate(
            load_export(model_dir),
            _SPLIT.value,
            max_queries=_MAX_QUERIES.value,
            exclude_query=True,  # as the simple recommenders
        )
    if _OUTPUT.value:
        run_dir.write_json(pathlib.Path(_OUTPUT.value), results)
    print(evaluation.format_table(results))
    for name in _METHODS.value:
        print(f"{name}: {results[name]['settings'] or 'no settings'}")


if __name__ == "__main__":
    cli.run(main)
