"""The report's tables: rows of cells of several lines, ours above the paper's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from pipelines.experiments.studies import paper, stats
from pipelines.experiments.studies.results import SCORE, Results
from pipelines.experiments.studies.stats import BySeed
from ssl_recsys.evaluation.metrics import NAMES, SLICES
from ssl_recsys.methods import BASELINE, METHODS

_OVERALL = tuple(("overall", metric) for metric in NAMES)
_HEADLINE = tuple((part, metric) for part in SLICES for metric in ("recall@10", SCORE))
_V1 = "paper (v1)"
_SLICES = tuple((part, metric) for part in ("tail", "head") for metric in ("recall@10", SCORE))


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
      lines: its lines, the first being the value.
      best: whether it is its column's best.
    """

    lines: Sequence[str]
    best: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
      title: what it shows.
      columns: heads of the columns, that of the row labels first.
      rows: label and cells.
      note: an explanation for the reader; may be empty.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    note: str = ""


def fraction_title(fraction: float) -> str:
    """A fraction of the training pairs in words."""
    return (
        "all training pairs" if fraction == 1.0 else f"{100 * fraction:g} % of the training pairs"
    )


def metric_title(metric: str) -> str:
    """`recall@10` as Recall@10."""
    name, _, k = metric.partition("@")
    return f"{ {'recall': 'Recall', 'map': 'MAP'}[name] }@{k}"


def headline_table(results: Results) -> Table:
    """Ours alone with all training pairs: overall, head and tail."""
    title = f"Test pairs, {fraction_title(results.largest)}"
    return _result_table(results, results.largest, _HEADLINE, title=title, ours_alone=True)


def overall_table(results: Results, fraction: float) -> Table:
    """All test pairs: the paper's tables of full, 10% and 1% data."""
    return _result_table(
        results,
        fraction,
        _OVERALL,
        title=f"All test pairs, {fraction_title(fraction)}",
    )


def slice_table(results: Results, fraction: float) -> Table:
    """Tail and head: the paper's tables of slices."""
    return _result_table(
        results,
        fraction,
        _SLICES,
        title=f"Tail and head, {fraction_title(fraction)}",
    )


def speed_table(results: Results) -> Table:
    """Training speed: Table 6 of the paper's version 1."""
    baseline = stats.summarize(results.speeds(BASELINE))
    rows = []
    for method in results.study.methods:
        ours = stats.summarize(results.speeds(method))
        share = None if ours is None or baseline is None else ours.mean / baseline.mean
        theirs = paper.STEPS_PER_SECOND.get(method)
        their_share = theirs and theirs / paper.STEPS_PER_SECOND[BASELINE]
        rows.append(
            (
                METHODS[method].label,
                [
                    Cell([_summary_text(ours, "{:.2f}".format)]),
                    Cell(["-" if share is None else f"{share:.2f}"]),
                    Cell(["-" if theirs is None else f"{theirs:.1f}"]),
                    Cell(["-" if their_share is None else f"{their_share:.2f}"]),
                ],
            )
        )
    return Table(
        "Training speed (version 1's Table 6)",
        ("method", "steps/s", "share of the baseline's", "paper: steps/s", "paper: share"),
        rows,
        "Of the final runs with all training pairs, validation and the first epoch left out. Runs "
        "go on in parallel, each in a process bound to its share of the cores, and slow each other "
        "down through the memory that they share: take the shares, not the speeds.",
    )


def choice_table(results: Results) -> Table:
    """Validation Recall@50 of every alpha, the chosen one in bold."""
    study, chosen = results.study, results.choices
    rows = []
    for method in study.ssl_methods:
        curve = results.alpha_curve(method)
        cells = [
            Cell(
                [_summary_text(stats.summarize(curve.get(alpha, {})))],
                best=chosen is not None and chosen.alphas[method] == alpha,
            )
            for alpha in study.alphas
        ]
        rows.append((METHODS[method].label, cells))
    return Table(
        "Choice of alpha: Recall@50 on validation pairs",
        ("method", *(f"alpha {alpha:g}" for alpha in study.alphas)),
        rows,
        "In bold what the final runs have. Runs of their own seeds, which never read a test pair.",
    )


def rate_table(results: Results) -> Table:
    """Validation Recall@50 of the baseline at every learning rate, the chosen one in bold."""
    study, chosen = results.study, results.choices
    cells = []
    for rate in study.learning_rates:
        values = {
            run.seed: score
            for run, score in results.scores.items()
            if run.method == BASELINE and run.learning_rate == rate
        }
        best = chosen is not None and chosen.learning_rate == rate
        cells.append(Cell([_summary_text(stats.summarize(values))], best=best))
    return Table(
        "Choice of the learning rate: the baseline's Recall@50 on validation pairs",
        ("", *(f"{rate:g}" for rate in study.learning_rates)),
        [(METHODS[BASELINE].label, cells)],
        "In bold what all methods have.",
    )


def diagnostics_table(results: Results) -> Table:
    """Uniformity and effective rank of the item embeddings."""
    rows = []
    for method in results.study.methods:
        uniformity = stats.summarize(results.diagnostic(method, "uniformity"))
        rank = stats.summarize(results.diagnostic(method, "effective_rank"))
        rows.append(
            (
                METHODS[method].label,
                [
                    Cell([_summary_text(uniformity, "{:.3f}".format)]),
                    Cell([_summary_text(rank, "{:.1f}".format)]),
                ],
            )
        )
    return Table(
        "Item embeddings, all items",
        ("method", "uniformity", "effective rank"),
        rows,
        "Uniformity (Wang & Isola 2020, t = 2): 0 for a collapsed model, lower where embeddings "
        "spread out. Effective rank (Roy & Vetterli 2007): 1 for a collapsed model, at most the "
        "embedding's dimensions.",
    )


def number(value: float) -> str:
    """Four decimals without the leading zero, as in the paper's tables."""
    text = f"{value:.4f}"
    return text[1:] if text.startswith("0.") else text


def percent(value: float) -> str:
    """A signed percentage with one decimal."""
    return f"{100 * value:+.1f} %"


def p_text(p_value: float | None) -> str:
    """A p-value for a reader."""
    if p_value is None:
        return "p: -"
    return "p < .001" if p_value < 0.001 else f"p = {p_value:.3f}".replace("0.", ".")


def _result_table(
    results: Results,
    fraction: float,
    columns: Sequence[tuple[str, str]],
    *,
    title: str,
    ours_alone: bool = False,
) -> Table:
    methods = results.study.methods
    values = {
        (method, column): results.values(method, fraction, column[1], column[0])
        for method in methods
        for column in columns
    }
    best = {
        column: _best({method: values[method, column] for method in methods}) for column in columns
    }
    popular = [results.top_popular(fraction, metric, part) for part, metric in columns]
    rows: list[tuple[str, Sequence[Cell]]] = [
        ("TopPopular", [Cell(["-" if one is None else number(one)]) for one in popular])
    ]
    for method in methods:
        cells = []
        for column in columns:
            lines = _result_lines(
                values[method, column],
                None if method == BASELINE else values[BASELINE, column],
                _paper_line(results.study.paper, fraction, column, method),
            )
            shown = lines[:1] if ours_alone else lines
            cells.append(Cell(shown, best=method in best[column]))
        rows.append((METHODS[method].label, cells))
    heads = [
        metric_title(metric) if part == "overall" else f"{part} {metric_title(metric)}"
        for part, metric in columns
    ]
    return Table(title, ("method", *heads), rows, _result_note(results, fraction, rows))


def _result_lines(values: BySeed, baseline: BySeed | None, paper_line: str | None) -> list[str]:
    lines = [_summary_text(stats.summarize(values))]
    gain = None if baseline is None else stats.gain(values, baseline)
    if gain is not None:
        relative = "-" if gain.relative is None else percent(gain.relative)
        lines.append(f"{relative}, {p_text(gain.p_value)}")
    if paper_line is not None:
        lines.append(paper_line)
    return lines


def _paper_line(dataset: str, fraction: float, column: tuple[str, str], method: str) -> str | None:
    value = paper.value(dataset, fraction, *column, method)
    base = paper.value(dataset, fraction, *column, BASELINE)
    if value is None or base is None:
        return None
    name = _V1 if method in paper.V1_METHODS else "paper"
    gain = "" if method == BASELINE else f" ({percent(value / base - 1)})"
    return f"{name}: {number(value)}{gain}"


def _result_note(
    results: Results, fraction: float, rows: Sequence[tuple[str, Sequence[Cell]]]
) -> str:
    counts = [len(results.final(method, fraction)) for method in results.study.methods]
    seeds = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    lines = [line for _, cells in rows for cell in cells for line in cell.lines]
    note = f"Mean ± standard deviation over {seeds} seeds"
    if any(", p" in line for line in lines):
        note += (
            "; gain over the baseline with the p-value of the paired t-test over seeds "
            "(two-sided, not corrected for the number of tests)"
        )
    note += ". The trained method with the best mean is in bold."
    if any(line.startswith("paper") for line in lines):
        dataset = paper.TITLES[results.study.paper]
        note += f" Under ours the paper's figure on its {dataset}, and its gain."
    if any(line.startswith(_V1) for line in lines):
        note += " v1: in version 1 of the paper only; the gain is over version 3's baseline."
    return note


def _best(columns: Mapping[str, BySeed]) -> set[str]:
    means = stats.means(columns)
    return {name for name, mean in means.items() if mean == max(means.values())}


def _summary_text(summary: stats.Summary | None, shown: Callable[[float], str] = number) -> str:
    if summary is None:
        return "-"
    deviation = "" if summary.deviation is None else f" ± {shown(summary.deviation)}"
    return shown(summary.mean) + deviation
