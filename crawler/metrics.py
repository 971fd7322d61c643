"""`/metrics` for Prometheus: base units, `_total` for counters, never a handle as a label."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from crawler.duty import State
from crawler.panel import Panel
from crawler.progress import BUCKETS_S, Progress

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Figures(Collector):
    """Turns a panel's figures into metrics at each reading."""

    def __init__(self, panel: Panel, path: Path | None, version: str) -> None:
        self._panel = panel
        self._path = path
        self._version = version
        self.readings: dict[str, Any] = {}

    def collect(self) -> Iterable[Metric]:
        """Yield every metric."""
        live, seen = self._panel.live(), self.readings
        yield _gauge("followgraph_build_info", "Version of the program.", {(self._version,): 1}, "version")
        states = {(state,): float(state == live["state"]) for state in State.ALL}
        yield _gauge("followgraph_state", "What the daemon does: 1 for the state it is in.", states, "state")
        yield _one("followgraph_start_timestamp_seconds", "When the daemon started.", live["started_at"])
        yield _one(
            "followgraph_last_success_timestamp_seconds", "When the API answered last.", live["answered_at"] or 0
        )
        yield _one("followgraph_requests_in_flight", "Requests on their way.", live["in_flight"])
        yield _one("followgraph_requests_in_flight_limit", "Requests that may be on their way.", live["limit"])
        yield _one("followgraph_blocked_seconds", "Seconds until the provider may be asked again.", live["blocked_s"])
        yield _one("followgraph_new_accounts_per_credit", "Over the last pages.", live["new_per_credit"] or 0)
        yield _counter("followgraph_pages", "Pages bought since the daemon started.", {(): live["pages"]})
        errors = {(cause,): count for cause, count in live["errors"].items()}
        yield _counter("followgraph_request_errors", "Calls that brought no page.", errors, "cause")
        yield self._latency()
        if seen:
            yield from self._of_database(seen, live)
        if self._path is None:
            return  # the files are the server's
        for name, suffix in (("db", ""), ("wal", "-wal")):
            file = Path(f"{self._path}{suffix}")
            size = os.stat(file).st_size if file.exists() else 0  # noqa: PTH116 - one call
            yield _one(f"followgraph_{name}_bytes", f"Size of the {name} file.", size)

    def _of_database(self, seen: dict[str, Any], live: dict[str, Any]) -> Iterable[Metric]:
        spent = {("charged",): seen["charged"], ("uncertain",): seen["uncertain"]}
        yield _gauge(
            "followgraph_credits", "Credits of the ledger, by whether they were surely charged.", spent, "outcome"
        )
        yield _one("followgraph_credits_used", "Credits that count against the daemon's total.", seen["used"])
        if seen["total"] is not None:
            yield _one("followgraph_credits_limit", "The daemon's total budget.", seen["total"])
        if live["per_day"] is not None:
            yield _one("followgraph_credits_limit_per_day", "The daemon's budget a day.", live["per_day"])
        accounts = {(state,): count for state, count in seen["accounts"].items() if state != "known"}
        yield _gauge("followgraph_accounts", "Known accounts, by what came of asking.", accounts, "state")
        frontier = {(state,): count for state, count in seen["frontier"].items()}
        yield _gauge("followgraph_frontier_entries", "Frontier entries.", frontier, "state")
        yield _one("followgraph_edges", "Current follows.", seen["edges"])
        crawlers = sum(not each["is_silent"] for each in seen["crawlers"])
        yield _one("followgraph_crawlers", "Crawlers at work on the database, this daemon's among them.", crawlers)
        yield _one("followgraph_oldest_waiting_timestamp_seconds", "When it was seen.", seen["oldest_waiting_at"] or 0)

    def _latency(self) -> HistogramMetricFamily:
        progress = self._panel.daemon.progress
        all_of = [self._panel.daemon.finished, *([] if progress is None else [progress])]
        total = Progress(budget=0, charged=0, uncertain=0, started_s=0.0)
        for each in all_of:
            total.add(each)
        buckets, count = [], 0
        for bound, more in zip((*map(str, BUCKETS_S), "+Inf"), total.latency.counts, strict=True):
            count += more
            buckets.append((bound, float(count)))
        family = HistogramMetricFamily("followgraph_request_duration_seconds", "How long pages took.")
        family.add_metric([], buckets, total.latency.total_s)
        return family


def _gauge(name: str, words: str, values: Mapping[Any, Any], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=labels)
    for key, value in values.items():
        family.add_metric(key, float(value))
    return family


def _counter(name: str, words: str, values: Mapping[Any, Any], *labels: str) -> CounterMetricFamily:
    family = CounterMetricFamily(name, words, labels=labels)
    for key, value in values.items():
        family.add_metric(key, float(value))
    return family


def _one(name: str, words: str, value: float) -> GaugeMetricFamily:
    return _gauge(name, words, {(): value})


class Metrics:
    """The metrics of one daemon."""

    def __init__(self, *, panel: Panel, path: Path | None, version: str) -> None:
        self._panel = panel
        self._figures = _Figures(panel, path, version)
        self._registry = CollectorRegistry()
        self._registry.register(self._figures)

    async def text(self) -> bytes:
        """Return them in Prometheus's text format."""
        self._figures.readings = await self._panel.readings()
        return generate_latest(self._registry)
