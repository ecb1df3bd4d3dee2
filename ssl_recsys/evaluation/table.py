"""Evaluation results as an aligned table for the terminal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ssl_recsys.evaluation.details import format_metric, format_sections, short_title
from ssl_recsys.evaluation.metrics import DEFAULT_SHOWN, SLICES, TOP_POPULAR


def format_table(
    results: Mapping[str, Mapping[str, Any]], shown: Collection[str] = DEFAULT_SHOWN
) -> str:
    """An aligned table of one or several results of `evaluate_pairs`.

    Rows are the results, under their names, after the baselines of their evaluation set; columns
    are the chosen metrics for each slice. A metric of an empty slice is shown as "-". Results over
    the same pairs share a table; others follow in their own. Slices of a user's own and the
    chosen sections have lines below the table.

    Args:
      results: contents of `metrics.json` by the name to show, in order.
      shown: of `metrics.SHOWABLE`, the metrics that are columns and the sections below.
    """
    tables: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for name, result in results.items():
        sizes = tuple(result[part]["num_pairs"] for part in SLICES)
        columns = _columns(result, shown)
        key = (result["split"], result["num_items"], sizes, columns)
        if key not in tables:
            tables[key] = {"TopPopular": result["baselines"][TOP_POPULAR]}
        tables[key][name] = result
    parts = []
    for key, rows in tables.items():
        lines = [_format_one(rows, *key)]
        for name, result in list(rows.items())[1:]:
            lines += format_sections(name, result, key[-1], shown)
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _columns(result: Mapping[str, Any], shown: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in result["overall"] if name.split("@")[0] in shown)


def _format_one(
    rows: Mapping[str, Mapping[str, Any]],
    split: str,
    num_items: int,
    sizes: tuple[int, ...],
    columns: tuple[str, ...],
) -> str:
    titles = [short_title(name) for name in columns]
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
                format_metric(result[part][column], width)
                for column, width in zip(columns, widths, strict=True)
            )
            for part in SLICES
        ]
        lines.append(" | ".join([name.ljust(first), *cells]))
    lines += [_format_scann(name, row["scann"]) for name, row in rows.items() if "scann" in row]
    return "\n".join(line.rstrip() for line in lines)


def _format_scann(name: str, scann: Mapping[str, Any]) -> str:
    if scann["recall@10_vs_exact"] is None:
        return f"{name}: ScaNN was not compared with exact search: there are no queries"
    return (
        f"{name}: ScaNN's recall@10 against exact search {scann['recall@10_vs_exact']:.4f}, "
        f"{scann['queries_per_second']:,.0f} queries/s against "
        f"{scann['exact_queries_per_second']:,.0f}"
    )
