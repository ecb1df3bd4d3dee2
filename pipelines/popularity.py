"""How much the most frequent items account for: the paper's Figure 5, for any dataset.

    python -m pipelines.popularity --data_dir=data/app_install --output=cdf.png

draws, against K, the share of the training pairs whose item is one of the K most frequent ones
(the CDF of item frequency), and the share of the evaluation pairs, which is the Recall@K of
TopPopular. The numbers go to a JSON file beside the plot.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags, logging

from data_prep.compressed import write_aside
from ssl_recsys import catalog, cli, input_pipeline, metrics, schema
from ssl_recsys.errors import InputError

_PLOT_ENDINGS = (".png", ".svg", ".pdf")
_REPORTED = (1, 10, 50, 100, 500, 1000)
_CURVE_POINTS = 200
# Told apart by lightness too, for print and for the colour-blind.
_COLORS = ("#1f5a99", "#d1600f", "#4d9a5b", "#8a4f9e")

_DATA_DIR = flags.DEFINE_list(
    "data_dir", [], "Dataset directory, or several with commas between them for one plot."
)
_OUTPUT = flags.DEFINE_string(
    "output", "cdf.png", f"Plot to write ({', '.join(_PLOT_ENDINGS)}); the numbers go beside it."
)
_SPLIT = flags.DEFINE_enum(
    "split", "test", list(schema.PAIR_SPLITS), "Evaluation pairs that TopPopular is scored on."
)


def measure(data_dir: str, split: str) -> dict[str, Any]:
    """Reads the CDF of item frequency and TopPopular's Recall@K off a dataset.

    Args:
      data_dir: dataset directory.
      split: the evaluation pairs.

    Returns:
      Sizes; `top_popular`: Recall@K on the split's pairs for some K up to the number of items;
      `curve`: for more values of K, `k`, `train` (share of the training pairs) and `recall`.

    Raises:
      FileNotFoundError: if `data_dir` is no dataset directory.
      InputError: if it is damaged, or the split is empty.
    """
    info = schema.read_dataset_info(data_dir)
    train_count = catalog.load_catalog(data_dir).train_count
    _, item_rows = input_pipeline.load_pairs(data_dir, split)
    if not len(item_rows):
        raise InputError(f"{data_dir} has no pairs in the split {split!r}; name another --split")
    ranks = metrics.top_popular_ranks(train_count, item_rows)
    recall = np.cumsum(np.bincount(ranks, minlength=info.num_items + 1)[1:]) / len(ranks)
    covered = metrics.top_popular_cdf(train_count)
    points = np.unique(np.geomspace(1, info.num_items, _CURVE_POINTS).astype(np.int64))
    return {
        "name": info.name,
        "split": split,
        "num_items": info.num_items,
        "num_items_in_training": int((train_count > 0).sum()),
        "num_train_pairs": int(train_count.sum()),
        "num_pairs": len(item_rows),
        "top_popular": {
            f"recall@{k}": float(recall[k - 1]) for k in _REPORTED if k <= info.num_items
        },
        "curve": {
            "k": points.tolist(),
            "train": covered[points - 1].tolist(),
            "recall": recall[points - 1].tolist(),
        },
    }


def draw(measured: Sequence[dict[str, Any]], path: str | os.PathLike[str]) -> None:
    """Draws the outcomes of `measure` to a file.

    Raises:
      InputError: if matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("the plot needs matplotlib: pip install matplotlib") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.0), layout="constrained")
    for number, one in enumerate(measured):
        color = _COLORS[number % len(_COLORS)]
        curve, name = one["curve"], one["name"]
        axes.plot(curve["k"], curve["train"], color=color, label=f"{name}: training pairs")
        recall = one["top_popular"].get("recall@50")
        at_50 = "" if recall is None else f", {recall:.3f} at 50"
        label = f"{name}: {one['split']} pairs (TopPopular's Recall@K{at_50})"
        axes.plot(curve["k"], curve["recall"], color=color, linestyle="--", label=label)
        if recall is not None:
            axes.plot([50], [recall], marker="o", markersize=4, color=color)
    axes.set(
        xscale="log",
        ylim=(0.0, 1.0),
        xlabel="K, the most frequent items",
        ylabel="share of pairs whose item is among them",
    )
    axes.set_xlim(left=1)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    ending = Path(path).suffix
    with write_aside(path) as stream:
        figure.savefig(stream, format=ending.removeprefix("."), dpi=160)
    pyplot.close(figure)


def main(argv: list[str]) -> None:
    """The command."""
    del argv  # cli.run has refused what is left over.
    output = Path(_OUTPUT.value)
    if not _DATA_DIR.value:
        raise InputError("--data_dir is missing: name a dataset directory")
    if output.suffix not in _PLOT_ENDINGS:
        raise InputError(
            f"--output must end in one of {', '.join(_PLOT_ENDINGS)} (got {str(output)!r})"
        )
    logging.set_verbosity(logging.WARNING)  # TFDS tells of every folder that it opens.
    measured = [measure(data_dir, _SPLIT.value) for data_dir in _DATA_DIR.value]
    draw(measured, output)
    numbers = output.with_suffix(".json")
    with write_aside(numbers) as stream:
        stream.write((json.dumps(measured, indent=2) + "\n").encode())
    for one in measured:
        print(
            f"{one['name']}: {one['num_items']:,} items, {one['num_items_in_training']:,} of them "
            f"in {one['num_train_pairs']:,} training pairs"
        )
        for name, value in one["top_popular"].items():
            print(
                f"  TopPopular {name:<12} {value:.4f}  ({one['num_pairs']:,} {one['split']} pairs)"
            )
    print(f"wrote {output} and {numbers}")


if __name__ == "__main__":
    cli.run(main)
