"""What the page and the metrics show: live figures of the daemon, and readings of the database made seldom enough.

A reading that takes a scan is repeated only after two hundred times as long as it took, so that it never costs more
than half a percent of a core, however large the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import thread_time
from typing import Any

from crawler.daemon import Daemon
from crawler.planner import Offload
from crawler.progress import Progress
from crawler.strategies import registry
from storage import budgets, watching
from storage.database import Database
from storage.errors import Cut

SHORTEST_S = 5.0
RESTS = 200


class Panel:
    """Figures of one daemon. `time` is the event loop's clock, in seconds."""

    def __init__(
        self,
        *,
        db: Database,
        daemon: Daemon,
        now: Callable[[], float],
        time: Callable[[], float],
        offload: Offload,
    ) -> None:
        self._db = db
        self.daemon = daemon
        self._now = now
        self._time = time
        self._offload = offload
        self._readings: dict[str, Any] = {}
        self._due_s = float("-inf")
        self._ended = asyncio.Event()
        """Set when a reading has ended, well or not."""

    async def readings(self) -> dict[str, Any]:
        """Return what takes a scan, from the last reading or a new one. Raises Cut where none could be made yet."""
        if self._time() >= self._due_s:
            self._due_s = float("inf")  # nobody else reads meanwhile
            self._ended.clear()
            took = 0.0
            try:
                self._readings, took = await self._offload(self._read)
            except Cut:  # the database server does not answer: what was read last stands, with its time
                if not self._readings:
                    raise
            finally:
                self._due_s = self._time() + max(SHORTEST_S, RESTS * took)
                self._ended.set()
        elif not self._readings:  # the first one is being made
            await self._ended.wait()
            if not self._readings:
                raise Cut("the database has not been read yet")
        return self._readings

    def stale(self) -> None:
        """Read anew at the next chance: somebody changed something."""
        self._due_s = min(self._due_s, self._time() + 0.5)

    def _read(self) -> tuple[dict[str, Any], float]:
        """Return the readings, and the seconds of a core that they took."""
        begin = thread_time()
        now = self._now()
        with self._db.read() as conn:
            found = watching.read(conn, now=now)
            standing = budgets.standing(conn, self.daemon.config.total, today=self.daemon.today())
            found["elsewhere"] = self.daemon.elsewhere(conn)
        found["by_day"] = standing.by_day
        found["today"] = self.daemon.today()
        found["used"] = standing.used
        found["total"] = standing.total
        found["expiring"] = standing.expiring
        found["forecast"] = budgets.lasting(standing, today=found["today"])
        found["read_at"] = now
        return found, thread_time() - begin

    async def snapshot(self) -> dict[str, Any]:
        """Return everything the page shows; times in Unix seconds, money in credits."""
        return {"live": self.live(), **await self.readings()}

    def live(self) -> dict[str, Any]:
        """Return the figures of this moment."""
        daemon, progress = self.daemon, self.daemon.progress
        limiter = None if daemon.crawl is None else daemon.crawl.limiter
        options = daemon.config.options
        latency = None if progress is None else progress.latency
        total = self.total()
        return {
            "at": self._now(),
            "state": daemon.hold.state,
            "detail": daemon.hold.detail,
            "until_at": daemon.hold.until_at,
            "started_at": daemon.started_at,
            "answered_at": daemon.answered_at,
            "per_day": daemon.config.per_day,
            "left": None if progress is None else progress.left,
            "spent_today": self._spent_today(),
            "pages": total.pages,
            "pages_per_second": 0.0 if progress is None else round(progress.pace(self._time()), 2),
            "new_per_credit": None if progress is None else round(progress.new_per_credit, 2),
            "latency_median_s": None if latency is None else latency.quantile(0.5),
            "latency_slow_s": None if latency is None else latency.quantile(0.95),
            "in_flight": 0 if limiter is None else limiter.in_flight,
            "limit": 0 if limiter is None else limiter.limit,
            "blocked_s": 0.0 if limiter is None else round(limiter.blocked_s, 1),
            "waiting": None if progress is None else progress.waiting,
            "errors": total.errors,
            "statuses": total.statuses,
            "waited_s": {reason: round(seconds, 1) for reason, seconds in daemon.waited.items()},
            "lists_due": daemon.lists_due,
            "strategy": options.strategy,
            "strategies": registry.NAMES,
            "concurrency": options.concurrency,
            "rate": options.rate,
        }

    def _spent_today(self) -> int:
        daemon, progress = self.daemon, self.daemon.progress
        if progress is None:  # nothing is spent just now
            return int(self._readings.get("by_day", {}).get(daemon.today(), 0))
        return daemon.spent_before + progress.charged + progress.uncertain

    def total(self) -> Progress:
        """Return the figures of every stint since the daemon started, added up."""
        total = Progress(budget=0, charged=0, uncertain=0, started_s=0.0)
        total.add(self.daemon.finished)
        if self.daemon.progress is not None:
            total.add(self.daemon.progress)
        return total
