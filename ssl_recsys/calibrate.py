"""Weighs trained items against new ones: shows what a scale of trained items costs, or keeps one.

    python -m ssl_recsys.calibrate --model_dir=runs/wiki_best
    python -m ssl_recsys.calibrate --model_dir=runs/wiki_best --scale=0.9

Nothing is trained: the embeddings of items that training pairs hold are multiplied.
docs/training.md, "Trained items and new ones", says when.
"""

from __future__ import annotations

import dataclasses

from ssl_recsys import cli, files, paths, schema
from ssl_recsys.evaluate import A_MODEL_DIR, MAX_QUERIES, MODEL_DIR, VERIFY
from ssl_recsys.evaluation.metrics import DEFAULT_SHOWN, SELECTABLE, SHOWABLE, VALIDATION_METRIC
from ssl_recsys.options import Options, option
from ssl_recsys.training import run_dir


@dataclasses.dataclass(frozen=True)
class CalibrateOptions(Options):
    """The command's flags."""

    model_dir: str = option("", MODEL_DIR, required=A_MODEL_DIR)
    scale: float = option(
        0.0,
        "Multiply the embeddings of trained items by this from now on; 0: show scales only.",
        at_least=0,
    )
    scales: tuple[float, ...] = option(
        (0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1), "Scales to show, on validation pairs.", above=0
    )
    select_by: str = option(
        VALIDATION_METRIC, "Metric by which a scale is recommended.", choices=SELECTABLE
    )
    max_queries: int = option(10_000, MAX_QUERIES, at_least=0)
    show: tuple[str, ...] = option(DEFAULT_SHOWN, "Metrics in the table.", choices=SHOWABLE)
    verify: bool = option(True, VERIFY)


def main(options: CalibrateOptions) -> None:
    """Prints a table of scales, or writes the export anew."""
    run_dir.finished_run(options.model_dir)  # before TensorFlow is loaded
    if options.scale:
        _keep(options)
    else:
        _show(options)


def _keep(options: CalibrateOptions) -> None:
    from ssl_recsys.training.export import load_export
    from ssl_recsys.training.rescale import rescale

    model_dir = paths.as_path(options.model_dir)
    with files.locked(model_dir):
        exported = load_export(model_dir, verify=options.verify)
        rescale(exported, model_dir, options.scale)
    print(
        f"{model_dir}: embeddings of trained items times {options.scale:g} (before: "
        f"{exported.trained_item_scale:g}). Evaluate it again, and build its index again: "
        f"python -m ssl_recsys.index --model_dir={model_dir} --from_catalog"
    )


def _show(options: CalibrateOptions) -> None:
    from ssl_recsys.evaluation import calibration, metrics
    from ssl_recsys.evaluation.pairs import evaluate_pairs
    from ssl_recsys.evaluation.table import format_table
    from ssl_recsys.training.checks import check_select_by
    from ssl_recsys.training.export import load_export
    from ssl_recsys.training.run import evaluation_data

    exported = load_export(options.model_dir, verify=options.verify)
    now = exported.trained_item_scale
    data = evaluation_data(exported, schema.VALIDATION, max_queries=options.max_queries)
    check_select_by(
        options.select_by, metrics.head_items(data.head, data.train_count)[data.item_row]
    )
    as_trained = calibration.at_scale(data, 1 / now)
    found = {
        f"{scale:g}": evaluate_pairs(calibration.at_scale(as_trained, scale))
        for scale in options.scales
    }
    print(format_table(found, options.show), flush=True)
    chosen, tried = calibration.choose(as_trained, options.select_by)
    print(f"\nkept: {now:g}\nrecommended: {calibration.describe(chosen, tried, options.select_by)}")


if __name__ == "__main__":
    cli.run(main, CalibrateOptions)
