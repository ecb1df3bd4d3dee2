"""The metrics of a server, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import prometheus_client
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ssl_recsys.serving.served import Models

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """A server's metrics.

    Args:
      models: the models, whose indexes are described.
      queue_length: number of recommendations that wait.
    """

    def __init__(self, models: Models, queue_length: Callable[[], int]):
        prometheus_client.disable_created_metrics()  # a time for each series, of no use here
        self._registry = prometheus_client.CollectorRegistry()
        named: dict[str, Any] = {"registry": self._registry, "namespace": "ssl_recsys"}
        self.requests = prometheus_client.Counter(
            "requests", "Answered requests.", ("method", "route", "status"), **named
        )
        self.seconds = prometheus_client.Histogram(
            "request_seconds",
            "Time from the first byte of a request to its answer.",
            ("route",),
            buckets=_BUCKETS,
            **named,
        )
        self.rejected = prometheus_client.Counter(
            "rejected", "Requests that were answered 503, by what was full.", ("reason",), **named
        )
        self.batch_size = prometheus_client.Histogram(
            "batch_size", "Queries of a batch.", buckets=_BATCH_BUCKETS, **named
        )
        self.reloads = prometheus_client.Counter(
            "reloads", "Reloads of a model or its index.", ("model", "result"), **named
        )
        queue = prometheus_client.Gauge("queue_length", "Waiting recommendations.", **named)
        queue.set_function(queue_length)
        self._registry.register(_Indexes(models))

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return prometheus_client.generate_latest(self._registry)


class _Indexes(Collector):
    """The indexes as they are when they are asked for."""

    def __init__(self, models: Models):
        self._models = models

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families = {
            "items": GaugeMetricFamily("ssl_recsys_items", "Findable items.", labels=["model"]),
            "fresh": GaugeMetricFamily(
                "ssl_recsys_fresh_items", "Items unknown to the model.", labels=["model"]
            ),
            "removed": GaugeMetricFamily(
                "ssl_recsys_removed_items", "Items removed since the build.", labels=["model"]
            ),
            "index_version": GaugeMetricFamily(
                "ssl_recsys_index_version", "Version of the index.", labels=["model"]
            ),
        }
        for served in self._models:
            summary = served.live.summary()
            for name, family in families.items():
                family.add_metric([served.name], summary[name])
        yield from families.values()
