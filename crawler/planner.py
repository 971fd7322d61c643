"""Plans which lists to read again: reads what is known, chooses, queues the choice before everything else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from crawler import refresh
from crawler.refresh import Intervals, Weigh
from storage import requeue
from storage.database import Database
from storage.revisits import Revisit, Sightings

if TYPE_CHECKING:
    from sqlalchemy import Connection

FEW = 20
"""One in so many of the lists read is planned for at once, where that is more than the caller wants."""

Offload = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function elsewhere, so that reading a large database does not hold up the crawl."""


class Planner:
    """Plans for one database; remembers who was listed when between two plans."""

    def __init__(
        self,
        *,
        db: Database,
        now: Callable[[], float],
        offload: Offload,
        weigh: Weigh = refresh.by_followers,
        intervals: Intervals | None = None,
        choose: Callable[..., refresh.Plan] = refresh.choose,
    ) -> None:
        self._db = db
        self._now = now
        self._offload = offload
        self._weigh = weigh
        self._intervals = intervals or Intervals()
        self._choose = choose
        self._sightings = Sightings()
        self._known = 0
        self.next_due_at: float | None = None
        """When the first list not queued is due, as of the last plan; Unix seconds."""
        self.due: int | None = None
        """How many lists were due to be read again at the last plan; None before the first."""

    def batch(self, at_least: int) -> int:
        """Return for how many credits to plan at once.

        A plan looks at every account that was read. So that it costs less than the pages that it brings, however many
        there are, it is made for one in `FEW` of them.
        """
        return max(at_least, self._known // FEW)

    async def plan(self, credits: int) -> int:
        """Queue what is worth reading again most, for about so many credits; returns the credits it will take."""
        plan = await self._db.look(partial(self._planned, credits=credits), offload=self._offload)
        chosen, self.next_due_at, self.due = plan.choices, plan.next_due_at, plan.due
        count = len(chosen)
        # Equal steps: only the order counts.
        entries = requeue.ahead((choice.account_id, (count - place) / count) for place, choice in enumerate(chosen))
        if entries:
            await self._db.write(partial(requeue.queue, entries=entries))
        return sum(choice.cost for choice in chosen)

    def _planned(self, conn: Connection, *, credits: int) -> refresh.Plan:
        now = self._now()
        try:
            revisits = self._counted(self._sightings.read(conn, now=now))
            return self._choose(revisits, credits=credits, now=now, weigh=self._weigh, intervals=self._intervals)
        except Exception:
            self._sightings = Sightings()  # read in part: the next plan reads it all
            raise

    def _counted(self, revisits: Iterable[Revisit]) -> Iterator[Revisit]:
        count = 0
        for count, revisit in enumerate(revisits, start=1):  # noqa: B007 - looked at afterwards
            yield revisit
        self._known = count

    def refill(self, left: Callable[[], int], *, at_least: int) -> Callable[[], Awaitable[bool]]:
        """Return what queues the next lists once nothing is left to take; `left` tells the credits that may be spent.

        About so many credits at a time as `batch` says, for what the first lists show helps to choose the next.
        """

        async def more() -> bool:
            return await self.plan(min(self.batch(at_least), left())) > 0

        return more
