"""Evaluates a trained model on a held-out split, by exact search or ScaNN.

    python -m ssl_recsys.evaluate --model_dir=runs/wiki_fd --retrieval=scann

Several model directories, separated by commas, are shown in one table. Metrics go to metrics.json,
those by ScaNN to metrics_scann.json.
"""

from __future__ import annotations

import dataclasses

from ssl_recsys import cli, files, paths, schema
from ssl_recsys.options import Options, option
from ssl_recsys.search import EXACT, FLOAT32, REORDER_DTYPES, RETRIEVALS, SCANN
from ssl_recsys.training import run_dir

A_MODEL_DIR = "a directory that ssl_recsys.train wrote"
MODEL_DIR = "Directory that ssl_recsys.train wrote."
MAX_QUERIES = "Evaluate on a seeded sample of this many queries; 0: on all."
VERIFY = "Compare the model's files with their manifest, which reads all of them."


@dataclasses.dataclass(frozen=True)
class EvaluateOptions(Options):
    """The command's flags."""

    model_dir: tuple[str, ...] = option(
        (),
        "Directories that ssl_recsys.train wrote.",
        required=A_MODEL_DIR,
    )
    retrieval: str = option(EXACT, "How the corpus is searched.", choices=RETRIEVALS)
    scann_reorder: str = option(
        FLOAT32,
        "What a ScaNN index keeps of each item to score the best candidates again: bfloat16 takes "
        "half of the memory, int8 a quarter.",
        choices=REORDER_DTYPES,
    )
    split: str = option(
        schema.TEST, "Pairs to evaluate on.", choices=(schema.TEST, schema.VALIDATION)
    )
    max_queries: int = option(0, MAX_QUERIES, at_least=0)
    verify: bool = option(True, VERIFY)
    exclude_query: bool | None = option(
        None,
        "Leave each query's own item out of its ranking; by default as the model was validated.",
    )


def main(options: EvaluateOptions) -> None:
    """Prints one table and writes each model's metrics."""
    for model_dir in options.model_dir:
        run_dir.finished_run(model_dir)  # before TensorFlow is loaded
    from ssl_recsys.evaluation.table import format_table
    from ssl_recsys.serving.index_files import saved_scann
    from ssl_recsys.training import run
    from ssl_recsys.training.export import load_export

    results = {}
    for path in map(paths.as_path, options.model_dir):
        exported = load_export(path, verify=options.verify)
        is_scann = options.retrieval == SCANN
        metrics = run.evaluate(
            exported,
            options.split,
            retrieval=options.retrieval,
            max_queries=options.max_queries,
            exclude_query=options.exclude_query,
            scann_reorder=options.scann_reorder,
            scann=saved_scann(path, exported, verify=options.verify) if is_scann else None,
        )
        results[path] = metrics
    print(format_table({path.name: metrics for path, metrics in results.items()}), flush=True)
    for path, metrics in results.items():
        files.write_json(path / run_dir.metrics_file(options.retrieval), metrics)


if __name__ == "__main__":
    cli.run(main, EvaluateOptions)
