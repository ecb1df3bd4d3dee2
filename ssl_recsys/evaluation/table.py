"""Evaluation results as an aligned table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssl_recsys.evaluation.metrics import SLICES, TOP_POPULAR


def format_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """An aligned table of one or several results of `evaluate_pairs`.

    Rows are the results, under their names, after the baselines of their evaluation set; columns
    are Recall and MAP for each slice. A metric of an empty slice is shown as "-". Results over
    the same pairs share a table; others follow in their own.

    Args:
      results: contents of `metrics.json` by the name to show, in order.
    """
    tables: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for name, result in results.items():
        sizes = tuple(result[part]["num_pairs"] for part in SLICES)
        columns = _columns(result)
        key = (result["split"], result["num_items"], sizes, columns)
        if key not in tables:
            tables[key] = {"TopPopular": result["baselines"][TOP_POPULAR]}
        tables[key][name] = result
    return "\n\n".join(_format_one(rows, *key) for key, rows in tables.items())


def _columns(result: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in result["overall"] if name != "num_pairs")


def _format_one(
    rows: Mapping[str, Mapping[str, Any]],
    split: str,
    num_items: int,
    sizes: tuple[int, ...],
    columns: tuple[str, ...],
) -> str:
    titles = [name.replace("recall@", "R@").replace("map@", "MAP@") for name in columns]
    widths = [max(6, len(title)) for title in titles]
    first = max(len(name) for name in rows)
    span = sum(widths) + len(widths) - 1
    lines = [
        f"{split}: {sizes[0]:,} pairs over {num_items:,} items",
        " " * first
        + "".join(
            " | " + f"{part} ({size:,})".center(span)
            for part, size in zip(SLICES, sizes, strict=True)
        ),
        " " * first
        + (
            " | "
            + " ".join(title.rjust(width) for title, width in zip(titles, widths, strict=True))
        )
        * len(SLICES),
    ]
    lines.append("-" * len(lines[-1]))
    for name, result in rows.items():
        cells = [
            " ".join(
                _format_metric(result[part][column], width)
                for column, width in zip(columns, widths, strict=True)
            )
            for part in SLICES
        ]
        lines.append(" | ".join([name.ljust(first), *cells]))
    lines += [_format_scann(name, row["scann"]) for name, row in rows.items() if "scann" in row]
    return "\n".join(line.rstrip() for line in lines)


def _format_metric(value: float | None, width: int) -> str:
    return ("-" if value is None else f"{value:.4f}").rjust(width)


def _format_scann(name: str, scann: Mapping[str, Any]) -> str:
    if scann["recall@10_vs_exact"] is None:
        return f"{name}: ScaNN was not compared with exact search: there are no queries"
    return (
        f"{name}: ScaNN's recall@10 against exact search {scann['recall@10_vs_exact']:.4f}, "
        f"{scann['queries_per_second']:,.0f} queries/s against "
        f"{scann['exact_queries_per_second']:,.0f}"
    )
