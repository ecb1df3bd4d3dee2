"""Numbers and plot of how much the most frequent items account for (the paper's Figure 5)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.compressed import write_aside
from ssl_recsys import schema
from ssl_recsys.data import catalog, input_pipeline
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import metrics

_REPORTED = (1, 10, 50, 100, 500, 1000)
_CURVE_POINTS = 200
# Told apart by lightness too, for print and for the colour-blind.
_COLORS = ("#1f5a99", "#d1600f", "#4d9a5b", "#8a4f9e")


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
