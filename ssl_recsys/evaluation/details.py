"""Lines below the table of metrics: intervals, frequencies, what is recommended, own slices."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ssl_recsys.evaluation.metrics import FREQUENCY, INTERVALS, RECOMMENDED, SLICES

_SHORT = {"recall": "R", "map": "MAP", "ndcg": "NDCG", "hit_rate": "HR"}


def format_sections(
    name: str, result: Mapping[str, Any], columns: Sequence[str], shown: Collection[str]
) -> Iterator[str]:
    """The lines of one result.

    Args:
      name: what the result is shown as.
      result: contents of metrics.json; what an earlier version's lack is left out.
      columns: metrics to show of slices.
      shown: which of `SECTIONS`; slices of a user's own always are.
    """
    own = result.get("slices", {})
    for part, values in own.items():
        cells = [f"{short_title(column)} {format_metric(values[column])}" for column in columns]
        yield f"{name}: {part} ({values['num_pairs']:,})  {'  '.join(cells)}"
    if INTERVALS in shown and "intervals" in result:
        yield from _intervals(name, result["intervals"], [*SLICES, *own], columns)
    if FREQUENCY in shown and "by_frequency" in result:
        yield from _frequencies(name, result["by_frequency"])
    if RECOMMENDED in shown and "recommended" in result:
        values = dict(result["recommended"])
        queries = values.pop("num_queries")
        cells = [f"{key} {format_metric(value)}" for key, value in values.items()]
        yield f"{name}: recommended to {queries:,} queries: {'  '.join(cells)}"


def format_differences(
    first: str,
    second: str,
    differences: Mapping[str, Mapping[str, Mapping[str, float | None]]],
    shown: Collection[str],
) -> str:
    """A table of `uncertainty.differences`.

    Args:
      first: what the first model is shown as.
      second: the second.
      differences: slice -> metric -> fields.
      shown: metrics to show, without their K.
    """
    lines = [f"{second} - {first}, 95% interval and p-value of a randomization test over queries"]
    for part, columns in differences.items():
        for column, values in columns.items():
            if column.split("@")[0] not in shown:
                continue
            title = f"{part:<12} {short_title(column):<8}"
            if values["difference"] is None:
                lines.append(f"{title} -")
                continue
            lines.append(
                f"{title} {values['first']:.4f} -> {values['second']:.4f}  "
                f"{values['difference']:+.4f} [{values['low']:+.4f}, {values['high']:+.4f}]  "
                f"p {values['p_value']:.4f}"
            )
    return "\n".join(lines)


def short_title(metric: str) -> str:
    """`R@10` for `recall@10`."""
    name, _, k = metric.partition("@")
    return f"{_SHORT.get(name, name)}@{k}"


def format_metric(value: float | None, width: int = 0) -> str:
    """Four digits, or `-` for no value."""
    return ("-" if value is None else f"{value:.4f}").rjust(width)


def _intervals(
    name: str, intervals: Mapping[str, Any], parts: Sequence[str], columns: Sequence[str]
) -> Iterator[str]:
    for part in parts:
        cells = []
        for column in columns:
            bounds = intervals[part][column]
            text = "-" if bounds is None else f"[{bounds[0]:.4f}, {bounds[1]:.4f}]"
            cells.append(f"{short_title(column)} {text}")
        yield f"{name}: {intervals['level']:.0%} interval, {part}: {'  '.join(cells)}"


def _frequencies(name: str, bins: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in bins:
        low, high = one["min_count"], one["max_count"]
        counts = f"{low:,}" if low == high else f"{low:,}-{high:,}"
        (metric,) = one.keys() - {"min_count", "max_count", "num_pairs"}
        yield (
            f"{name}: items with {counts} training pairs ({one['num_pairs']:,})  "
            f"{short_title(metric)} {format_metric(one[metric])}"
        )
