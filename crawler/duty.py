"""What a daemon is asked to do, what it does, and what keeps it from buying."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Any

from crawler.options import Options
from crawler.refresh import Intervals
from crawler.strategies import registry
from storage.retention import Rules


class State:
    """What the daemon does."""

    STARTING = "starting"
    CRAWLING = "crawling"
    PAUSED = "paused"
    PAUSED_BUDGET = "paused_budget"
    DAY_DONE = "day_done"
    IDLE = "idle"
    WAITING = "waiting"
    PURGING = "purging"
    LAST_DAY_OVER = "last_day_over"
    DRAINING = "draining"
    STOPPED = "stopped"

    ALL = (
        STARTING, CRAWLING, PAUSED, PAUSED_BUDGET, DAY_DONE, IDLE, WAITING, PURGING, LAST_DAY_OVER, DRAINING, STOPPED,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the daemon is asked to do. Credits, seconds; `share` of the credits goes to lists that are known."""

    options: Options
    total: int | None
    per_day: int | None
    zone: tzinfo
    share: float = 0.3
    intervals: Intervals = field(default_factory=Intervals)
    drain_s: float = 30.0
    balance_low: int | None = None
    rules: Rules = field(default_factory=Rules)

    def changed(self, key: str, value: Any) -> Config:
        """Return it with one setting changed. Raises ValueError for what cannot be changed so."""
        match key, value:
            case _, bool():
                raise ValueError(f"{key} cannot be changed to {value!r}")
            case "crawl.rate", None | int() | float() if value is None or 0 < value <= 10_000:
                return replace(self, options=replace(self.options, rate=value))
            case "crawl.concurrency", int() if 1 <= value <= 500:
                return replace(self, options=replace(self.options, concurrency=value))
            case "crawl.strategy", str() if value in registry.CHOICES:
                return replace(self, options=replace(self.options, strategy=value))
            case "budget.per_day", int() if 1 <= value <= 10**12:
                return replace(self, per_day=value)
            case _:
                raise ValueError(f"{key} cannot be changed to {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why nothing is bought just now, and until when if that is known (Unix seconds)."""

    state: str
    detail: str
    until_at: float | None = None
