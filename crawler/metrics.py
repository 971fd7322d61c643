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
from crawler.progress import BUCKETS_S, STATUSES, Latency

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
        if live["answered_at"] is not None:
            yield _one("followgraph_last_success_timestamp_seconds", "When the API answered last.", live["answered_at"])
        yield _one("followgraph_requests_in_flight", "Requests on their way.", live["in_flight"])
        yield _one("followgraph_requests_in_flight_limit", "Requests that may be on their way.", live["limit"])
        yield _one("followgraph_blocked_seconds", "Seconds until the provider may be asked again.", live["blocked_s"])
        if live["new_per_credit"] is not None:
            yield _one("followgraph_new_accounts_per_credit", "Over the last pages.", live["new_per_credit"])
        if live["lists_due"] is not None:
            yield _one("followgraph_refresh_due", "Lists that were due to be read again.", live["lists_due"])
        pages = {(status,): live["statuses"].get(status, 0) for status in STATUSES}
        words = "Pages bought since the daemon started, by what they said of the list."
        yield _counter("followgraph_pages", words, pages, "status")
        waited = {(reason,): seconds for reason, seconds in live["waited_s"].items()}
        words = "Time in which nothing was bought, by the state or by what the provider wants patience with."
        yield _counter("followgraph_wait_seconds", words, waited, "reason")
        errors = {(cause,): count for cause, count in live["errors"].items()}
        yield _counter("followgraph_request_errors", "Calls that brought no page.", errors, "cause")
        total = self._panel.total()
        yield _histogram("followgraph_request_duration_seconds", "How long pages took.", total.latency)
        words = "How long pages then waited until they were stored for good."
        yield _histogram("followgraph_commit_duration_seconds", words, total.commits)
        if seen:
            yield from self._of_database(seen, live)
        if self._path is None:
            return  # the files are the server's
        for name, suffix in (("db", ""), ("wal", "-wal")):
            file = Path(f"{self._path}{suffix}")
            size = os.stat(file).st_size if file.exists() else 0  # noqa: PTH116 - one call
            yield _one(f"followgraph_{name}_bytes", f"Size of the {name} file.", size)

    def _of_database(self, seen: dict[str, Any], live: dict[str, Any]) -> Iterable[Metric]:
        yield _counter("followgraph_credits_charged", "Credits of the ledger, surely charged.", {(): seen["charged"]})
        words = "Credits of the ledger that may have been charged."
        yield _one("followgraph_credits_uncertain", words, seen["uncertain"])
        balance = seen["balance"]
        if balance is not None:
            yield _one("followgraph_provider_balance_credits", "As the provider said last.", balance["balance"])
            words = "When the provider said its balance last."
            yield _one("followgraph_provider_balance_timestamp_seconds", words, balance["at"])
            words = "What the balance fell by lately beyond the ledger."
            yield _one("followgraph_credits_unexplained", words, balance["unexplained"])
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
        if seen["oldest_waiting_at"] is not None:
            words = "When the account that waits longest was seen."
            yield _one("followgraph_oldest_waiting_timestamp_seconds", words, seen["oldest_waiting_at"])


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


def _histogram(name: str, words: str, values: Latency) -> HistogramMetricFamily:
    buckets, count = [], 0
    for bound, more in zip((*map(str, BUCKETS_S), "+Inf"), values.counts, strict=True):
        count += more
        buckets.append((bound, float(count)))
    family = HistogramMetricFamily(name, words)
    family.add_metric([], buckets, values.total_s)
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
