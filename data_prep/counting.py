"""Counters of the data jobs: Beam metrics under one namespace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apache_beam.metrics import Metrics, MetricsFilter

NAMESPACE = "ssl_recsys"


def count(name: str, value: int) -> None:
    """Adds to a counter; called where a stage runs."""
    if value:
        Metrics.counter(NAMESPACE, name).inc(int(value))


def count_all(values: Mapping[str, int]) -> None:
    """Adds to several counters."""
    for name, value in values.items():
        count(name, value)


def read_counters(result: Any) -> dict[str, int]:
    """The committed counters of a finished pipeline, by name.

    A runner that repeats failed work may have counted it twice.
    """
    found: dict[str, int] = {}
    for metric in result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]:
        value = metric.committed if metric.committed is not None else metric.attempted
        found[metric.key.metric.name] = found.get(metric.key.metric.name, 0) + value
    return found
