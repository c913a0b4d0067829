"""Prometheus metrics: what a dashboard needs, with no prompt text and no key in any label.

Owns the registry and the names. Counts what it is told; engine figures are read when scraped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """One loaded model's figures at scrape time; counts are since it was loaded."""

    model: str
    num_running: int
    num_waiting: int
    num_cells: int
    num_free_cells: int
    num_cached_cells: int
    num_live_cells: int
    num_shared_cells: int
    tokens_generated: int
    prompt_tokens: int
    cached_tokens: int
    tokens_per_s: float
    num_crashes: int


@dataclass(frozen=True, slots=True)
class ResidencyFigures:
    """How often a model was loaded and unloaded since the server started, and what it takes."""

    model: str
    num_loads: int
    num_unloads: int
    planned_bytes: int
    measured_bytes: int


class ResidencyCollector(Collector):
    """Turns residency figures into metric families when Prometheus asks."""

    def __init__(self, figures: Callable[[], Iterable[ResidencyFigures]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """One family per figure, labelled by model."""
        models = list(self._figures())
        loads = CounterMetricFamily("runner_model_loads", "Times loaded", labels=["model"])
        unloads = CounterMetricFamily("runner_model_unloads", "Times unloaded", labels=["model"])
        planned = GaugeMetricFamily(
            "runner_model_planned_bytes", "Memory that the plan expects", labels=["model"]
        )
        measured = GaugeMetricFamily(
            "runner_model_measured_bytes", "Memory that the engine really takes", labels=["model"]
        )
        for one in models:
            loads.add_metric([one.model], one.num_loads)
            unloads.add_metric([one.model], one.num_unloads)
            if one.measured_bytes:
                planned.add_metric([one.model], one.planned_bytes)
                measured.add_metric([one.model], one.measured_bytes)
        yield from (loads, unloads, planned, measured)


class EngineCollector(Collector):
    """Turns engine figures into metric families when Prometheus asks."""

    GAUGES = {
        "num_running": "Sequences being generated",
        "num_waiting": "Sequences waiting for a slot",
        "num_cells": "KV cells in all",
        "num_free_cells": "KV cells that hold nothing",
        "num_cached_cells": "KV cells kept for later requests",
        "num_live_cells": "KV cells of running sequences",
        "num_shared_cells": "KV cells that several running sequences read",
        "tokens_per_s": "Smoothed decode speed",
    }
    COUNTERS = {
        "tokens_generated": "Tokens generated",
        "prompt_tokens": "Prompt tokens computed",
        "cached_tokens": "Prompt tokens reused from the cache",
        "num_crashes": "Times the engine died",
    }

    def __init__(self, figures: Callable[[], Iterable[EngineFigures]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """One family per figure, labelled by model."""
        engines = list(self._figures())
        for name, text in self.GAUGES.items():
            gauge = GaugeMetricFamily(f"runner_engine_{name}", text, labels=["model"])
            for engine in engines:
                gauge.add_metric([engine.model], getattr(engine, name))
            yield gauge
        for name, text in self.COUNTERS.items():
            counter = CounterMetricFamily(f"runner_engine_{name}", text, labels=["model"])
            for engine in engines:
                counter.add_metric([engine.model], getattr(engine, name))
            yield counter


class Metrics:
    """The counters of one server."""

    def __init__(
        self,
        engines: Callable[[], Iterable[EngineFigures]],
        residency: Callable[[], Iterable[ResidencyFigures]],
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(EngineCollector(engines))
        self._registry.register(ResidencyCollector(residency))
        self.open_requests = Gauge(
            "runner_open_requests", "Requests being answered", registry=self._registry
        )
        self.requests = Counter(
            "runner_requests",
            "Answered requests",
            ["route", "served_by", "outcome"],
            registry=self._registry,
        )
        self.first_token_s = Histogram(
            "runner_first_token_seconds",
            "Time to the first token",
            ["served_by"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.between_tokens_s = Histogram(
            "runner_between_tokens_seconds",
            "Mean time between tokens of an answer",
            ["served_by"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.tokens = Counter(
            "runner_tokens", "Tokens by kind", ["served_by", "kind"], registry=self._registry
        )
        self.cost_usd = Counter(
            "runner_cost_usd",
            "Money spent on hosted answers",
            ["served_by"],
            registry=self._registry,
        )

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self._registry)
