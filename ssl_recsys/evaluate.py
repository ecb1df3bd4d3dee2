"""Evaluates a trained model on a held-out split, by exact search or ScaNN.

    python -m ssl_recsys.evaluate --model_dir=runs/wiki_fd --retrieval=scann

Several model directories, separated by commas, are shown in one table.
"""

from __future__ import annotations

import pathlib

from absl import flags

from ssl_recsys import cli
from ssl_recsys.errors import InputError

_MODEL_DIR = flags.DEFINE_list("model_dir", [], "Directories that ssl_recsys.train wrote.")
_RETRIEVAL = flags.DEFINE_enum(
    "retrieval", "exact", ["exact", "scann"], "How the corpus is searched."
)
_SPLIT = flags.DEFINE_enum("split", "test", ["test", "validation"], "Pairs to evaluate on.")
_MAX_QUERIES = flags.DEFINE_integer(
    "max_queries", 0, "Evaluate on a seeded sample of this many queries; 0: on all."
)
_EXCLUDE_QUERY = flags.DEFINE_bool(
    "exclude_query",
    None,
    "Leave each query's own item out of its ranking; by default as the model was validated.",
)


def main(argv: list[str]) -> None:
    """Writes each model's metrics.json and prints one table."""
    del argv
    if not _MODEL_DIR.value:
        raise InputError("--model_dir is needed: a directory that ssl_recsys.train wrote")
    if _MAX_QUERIES.value < 0:
        raise InputError(f"--max_queries must be at least 0 (got {_MAX_QUERIES.value})")
    from ssl_recsys.evaluation import pairs as evaluation
    from ssl_recsys.training import run, run_dir
    from ssl_recsys.training.export import load_export

    tables = {}
    for model_dir in _MODEL_DIR.value:
        results = run.evaluate(
            load_export(model_dir),
            _SPLIT.value,
            retrieval=_RETRIEVAL.value,
            max_queries=_MAX_QUERIES.value,
            exclude_query=_excludes_query(pathlib.Path(model_dir)),
        )
        run_dir.write_json(pathlib.Path(model_dir) / run_dir.METRICS_FILE, results)
        tables[pathlib.Path(model_dir).name] = results
    print(evaluation.format_table(tables))


def _excludes_query(model_dir: pathlib.Path) -> bool:
    """What the flag says, or else the run's configuration; a bare export has none."""
    from ssl_recsys.training import run_dir

    path = model_dir / run_dir.CONFIG_FILE
    if _EXCLUDE_QUERY.value is not None or not path.is_file():
        return bool(_EXCLUDE_QUERY.value)
    return bool(run_dir.read_json(path)["config"]["training"].get("exclude_query"))


if __name__ == "__main__":
    cli.run(main)
