"""What Prometheus reads at /metrics."""

from __future__ import annotations

import os
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SHARED_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder in which several processes add up their figures."""
_SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_IMAGES: Final = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The figures of one server; those of several processes are added up."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        if SHARED_FOLDER not in os.environ:
            ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "headstart_requests",
            "Requests answered.",
            ["method", "path", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "headstart_request_seconds",
            "Time from the head of a request to the end of its answer.",
            ["path"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.images = Counter(
            "headstart_images",
            "Images predicted, known or unknown, or unreadable.",
            ["model", "result"],
            registry=self._registry,
        )
        self.batches = Histogram(
            "headstart_batch_images",
            "Images that ran through the networks together.",
            buckets=_IMAGES,
            registry=self._registry,
        )
        self.waiting = Gauge(
            "headstart_images_in_progress",
            "Images that are decoded, wait or are predicted.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        self.loads = Counter(
            "headstart_model_loads",
            "Models loaded from their folders, or refused.",
            ["model", "result"],
            registry=self._registry,
        )

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        if SHARED_FOLDER not in os.environ:
            return generate_latest(self._registry)
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
