"""The report's figures, drawn by matplotlib as SVG whose bytes depend on the results alone."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from pipelines.experiments import item_frequency
from pipelines.experiments.studies import stats
from pipelines.experiments.studies.results import SCORE, Results
from pipelines.experiments.studies.stats import BySeed
from pipelines.experiments.studies.tables import metric_title
from ssl_recsys.evaluation.metrics import NAMES
from ssl_recsys.methods import BASELINE, METHODS

# Okabe & Ito's colours, which the colour-blind can distinguish, each with a marker of its own.
_STYLES = {
    "baseline": ("#000000", ""),
    "do": ("#7f7f7f", "x"),
    "so": ("#e69f00", "v"),
    "fd": ("#0072b2", "o"),
    "fm": ("#009e73", "s"),
    "fd_so": ("#56b4e9", "^"),
    "fm_so": ("#cc79a7", "D"),
    "fd_fm": ("#d55e00", "P"),
    "fd_fm_so": ("#8a6d00", "*"),
}
# For methods that are not the paper's.
_MORE_STYLES = (("#332288", "<"), ("#aa4499", ">"), ("#44aa99", "p"), ("#882255", "h"))
_HEAD_COLOR, _TAIL_COLOR = "#56b4e9", "#0072b2"
_MAX_POINTS = 60
# Inches; narrow, so that letters can be read on a phone.
_WIDTH = 5.0
_SETTINGS: Any = {
    "svg.hashsalt": "study",
    # Letters stay letters: a tenth of the size, and they can be searched.
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9.0,
    # Room for the reader's letters, which may be wider than those measured here.
    "figure.constrained_layout.w_pad": 0.12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
      name: of its file, without ending.
      caption: what it shows.
      draw: makes it.
    """

    name: str
    caption: str
    draw: Callable[[], Figure]


def drawings(results: Results, frequency: Mapping[str, Any] | None) -> list[Drawing]:
    """The figures that the results suffice for, in the report's order.

    Args:
      results: the study's results.
      frequency: what `item_frequency.measure` gives for its dataset, or None.
    """
    study = results.study
    found = []
    if frequency is not None:
        found.append(
            Drawing(
                "item_frequency",
                "CDF of item frequency, and TopPopular's Recall@K on the test pairs "
                "(the paper's Figure 5).",
                lambda: item_frequency.draw([frequency], (_WIDTH, 3.4)),
            )
        )
    if any(len(results.alpha_curve(method)) > 1 for method in study.ssl_methods):
        found.append(
            Drawing(
                "alpha",
                "Recall@50 on validation pairs against alpha for each task; the dashed line is the "
                "baseline (the paper's Figure 6)." + _bars(study.choosing_seeds),
                lambda: draw_alpha(results),
            )
        )
    if any(len(results.dropout_curve(method, SCORE)) > 1 for method in study.curve_methods):
        found.append(
            Drawing(
                "dropout",
                "Metrics on validation pairs against the dropout rate, FD with alpha 1 and DO; the "
                "dashed line is the baseline (the paper's Figure 7)." + _bars(study.choosing_seeds),
                lambda: draw_dropout(results),
            )
        )
    if results.final(BASELINE, results.largest):
        found += [
            Drawing(
                "head_tail",
                "Recall@10 on head and tail, test pairs, all training data."
                + _bars(study.final_seeds),
                lambda: draw_head_tail(results),
            ),
            Drawing(
                "training",
                "Recall@50 on validation pairs during training, all data; mean over seeds.",
                lambda: draw_training(results),
            ),
            Drawing(
                "embeddings",
                "Item embeddings: uniformity (Wang & Isola 2020; lower is more uniform) and "
                "effective rank (Roy & Vetterli 2007)." + _bars(study.final_seeds),
                lambda: draw_embeddings(results),
            ),
        ]
    return found


def to_svg(drawing: Drawing) -> bytes:
    """The figure as SVG; the same figure gives the same bytes."""
    with matplotlib.rc_context(_SETTINGS):
        figure = drawing.draw()
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return _compact(stream.getvalue())


def _compact(svg: bytes) -> bytes:
    """The same picture in two thirds of the bytes: without indentation, to a hundredth of a point.

    Only numbers with six decimals are cut, as coordinates have them and letters do not.
    """
    lines = b"\n".join(line.strip() for line in svg.splitlines())
    return re.sub(rb"(\.\d\d)\d{4}(?!\d)", rb"\1", lines) + b"\n"


def draw_alpha(results: Results) -> Figure:
    """Recall@50 against alpha, a line a method."""
    figure, axes = _figure(3.8)
    for method in results.study.ssl_methods:
        _line(axes, method, results.alpha_curve(method))
    _baseline(axes, results.tuned_baseline(SCORE))
    alphas = sorted(results.study.alphas)
    axes.set(xscale="log", xlabel="alpha (log scale)", ylabel="Recall@50, validation pairs")
    axes.set_xticks(alphas, [f"{alpha:g}" for alpha in alphas])
    axes.minorticks_off()
    _legend_outside(figure, axes)
    return figure


def draw_dropout(results: Results) -> Figure:
    """Four metrics against the dropout rate, a line for each of FD and DO."""
    figure = Figure(figsize=(_WIDTH, 4.4), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True)
    for axes, metric in zip(panels.flat, NAMES, strict=True):
        for method in results.study.curve_methods:
            _line(axes, method, results.dropout_curve(method, metric))
        _baseline(axes, results.tuned_baseline(metric))
        axes.set(ylabel=f"{metric_title(metric)}, validation")
        axes.set_ylim(bottom=0)
    for axes in panels[1]:
        axes.set(xlabel="dropout rate")
        axes.xaxis.set_major_locator(MultipleLocator(0.2))
    panels[0, 0].legend(loc="best")
    return figure


def draw_head_tail(results: Results) -> Figure:
    """Recall@10 on head and tail, two bars a method."""
    figure, axes = _figure(3.4)
    methods = results.study.methods
    positions = np.arange(len(methods))
    for shift, part, color, hatch in (
        (-0.2, "head", _HEAD_COLOR, ""),
        (0.2, "tail", _TAIL_COLOR, "//"),
    ):
        means, deviations = _means(
            [results.values(method, results.largest, "recall@10", part) for method in methods]
        )
        axes.bar(
            positions + shift,
            means,
            0.38,
            yerr=deviations,
            color=color,
            hatch=hatch,
            edgecolor="white",
            error_kw={"elinewidth": 1, "capsize": 2},
            label=part,
        )
    labels = [METHODS[method].label.replace("+", "+\n") for method in methods]
    axes.set_xticks(positions, labels, fontsize=8)
    axes.set(ylabel="Recall@10, test pairs")
    axes.grid(visible=False, axis="x")
    _legend_outside(figure, axes, columns=2)
    return figure


def draw_training(results: Results) -> Figure:
    """Validation Recall@50 against training steps, mean over seeds."""
    figure, axes = _figure(3.8)
    for method in results.study.methods:
        curves = [record.curve for record in results.final(method, results.largest).values()]
        length = min((len(curve) for curve in curves), default=0)
        if not length:
            continue
        steps = [step for step, _ in curves[0][:length]]
        values = np.mean([[value for _, value in curve[:length]] for curve in curves], axis=0)
        keep = np.unique(np.linspace(0, length - 1, min(length, _MAX_POINTS)).astype(int))
        color, marker = _style(method)
        axes.plot(
            np.array(steps)[keep],
            values[keep],
            color=color,
            marker=marker,
            markersize=4,
            markevery=max(1, len(keep) // 8),
            linestyle="--" if method == BASELINE else "-",
            linewidth=1.3,
            label=METHODS[method].label,
        )
    axes.set(xlabel="training steps", ylabel="Recall@50, validation pairs", ylim=(0, None))
    _legend_outside(figure, axes)
    return figure


def draw_embeddings(results: Results) -> Figure:
    """Uniformity and effective rank, a point with error bar a method."""
    figure = Figure(figsize=(_WIDTH, 3.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    methods = results.study.methods
    for axes, name, label in (
        (panels[0], "uniformity", "uniformity (log)"),
        (panels[1], "effective_rank", "effective rank (dimensions)"),
    ):
        means, deviations = _means([results.diagnostic(method, name) for method in methods])
        for number, method in enumerate(methods):
            color, marker = _style(method)
            axes.errorbar(
                means[number],
                number,
                xerr=deviations[number],
                color=color,
                marker=marker or "|",
                markersize=7,
                capsize=2,
            )
        axes.set(xlabel=label)
        axes.locator_params(axis="x", nbins=4)
    panels[0].set_yticks(range(len(methods)), [METHODS[method].label for method in methods])
    panels[0].invert_yaxis()
    panels[1].set_xlim(0, 1.08 * panels[1].get_xlim()[1])
    return figure


def _style(method: str) -> tuple[str, str]:
    """Colour and marker of a method."""
    if method in _STYLES:
        return _STYLES[method]
    return _MORE_STYLES[list(METHODS).index(method) % len(_MORE_STYLES)]


def _line(axes: Any, method: str, curve: Mapping[float, BySeed]) -> None:
    if not curve:
        return
    means, deviations = _means(list(curve.values()))
    color, marker = _style(method)
    axes.errorbar(
        list(curve),
        means,
        yerr=deviations if np.any(deviations) else None,
        color=color,
        marker=marker,
        markersize=5,
        linewidth=1.3,
        capsize=2,
        label=METHODS[method].label,
    )


def _baseline(axes: Any, values: BySeed) -> None:
    summary = stats.summarize(values)
    if summary is not None:
        axes.axhline(summary.mean, color="black", linestyle="--", label=METHODS[BASELINE].label)


def _means(columns: Sequence[BySeed]) -> tuple[list[float], list[float]]:
    """Means and standard deviations; not a number where there is nothing, 0 for one seed."""
    means, deviations = [], []
    for values in columns:
        summary = stats.summarize(values)
        means.append(float("nan") if summary is None else summary.mean)
        deviations.append(0.0 if summary is None else summary.deviation or 0.0)
    return means, deviations


def _bars(seeds: int) -> str:
    if seeds < 2:
        return " One seed."
    return f" Bars are standard deviations over {seeds} seeds."


def _figure(height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _legend_outside(figure: Figure, axes: Any, columns: int = 4) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, fontsize=8)
