"""The share of pairs that the most frequent items account for (the paper's Figure 5)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import metrics
from ssl_recsys.schema import ITEM

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_REPORTED = (1, 10, 50, 100, 500, 1000)
_CURVE_POINTS = 200
# They differ in lightness too, for print and for the colour-blind.
_COLORS = ("#0072b2", "#d1600f", "#4d9a5b", "#8a4f9e")


def measure(data_dir: str, split: str, *, verify: bool = True) -> dict[str, Any]:
    """Computes the CDF of item frequency and TopPopular's Recall@K of a dataset.

    Args:
      data_dir: dataset directory.
      split: the evaluation pairs.
      verify: compare the dataset's files with their manifest.

    Returns:
      Sizes; `top_popular`: Recall@K on the split's pairs for some K up to the number of items;
      `curve`: for more values of K, `k`, `train` (share of the training pairs) and `recall`.

    Raises:
      FileNotFoundError: if `data_dir` is no dataset directory.
      InputError: if it is damaged, or the split is empty.
    """
    # TensorFlow takes seconds to load.
    from ssl_recsys.data.dataset import Dataset

    dataset = Dataset(data_dir, verify=verify)
    train_count = dataset.catalog(ITEM).train_count
    item_row = dataset.pairs(split).item_row
    if not len(item_row):
        raise InputError(f"{data_dir} has no pairs in the split {split!r}; name another --split")
    num_items = dataset.info.num_items
    ranks = metrics.top_popular_ranks(train_count, item_row)
    recall = np.cumsum(np.bincount(ranks, minlength=num_items + 1)[1:]) / len(ranks)
    covered = metrics.top_popular_cdf(train_count)
    points = np.unique(np.geomspace(1, num_items, _CURVE_POINTS).astype(np.int64))
    return {
        "name": dataset.info.name,
        "split": split,
        "num_items": num_items,
        "num_items_in_training": int((train_count > 0).sum()),
        "num_train_pairs": int(train_count.sum()),
        "num_pairs": len(item_row),
        "top_popular": {f"recall@{k}": float(recall[k - 1]) for k in _REPORTED if k <= num_items},
        "curve": {
            "k": points.tolist(),
            "train": covered[points - 1].tolist(),
            "recall": recall[points - 1].tolist(),
        },
    }


def draw(measured: Sequence[Mapping[str, Any]], size: tuple[float, float]) -> Figure:
    """A figure of what `measure` returns for one or several datasets.

    Args:
      measured: the datasets' numbers.
      size: width and height in inches.

    Raises:
      InputError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("the plot needs matplotlib: pip install matplotlib") from error

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    for color, one in zip(itertools.cycle(_COLORS), measured):
        curve, name = one["curve"], f"{one['name']}: " if len(measured) > 1 else ""
        axes.plot(
            curve["k"], curve["train"], color=color, label=f"{name}training pairs (CDF of items)"
        )
        label = f"{name}{one['split']} pairs (TopPopular's Recall@K)"
        axes.plot(curve["k"], curve["recall"], color=color, linestyle="--", label=label)
        recall = one["top_popular"].get("recall@50")
        if recall is not None:
            axes.plot([50], [recall], marker="o", markersize=5, color=color, linestyle="")
            axes.annotate(
                f"Recall@50 {recall:.3f}", (50, recall), xytext=(6, -12), textcoords="offset points"
            )
    axes.set(
        xscale="log",
        xlim=(1, max([2, *(one["num_items"] for one in measured)])),
        ylim=(0.0, 1.0),
        xlabel="K, number of most frequent items",
        ylabel="share of pairs with one of them",
    )
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False)
    return figure
