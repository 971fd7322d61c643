"""Tells somebody outside what happened: by every way there is, tried again, never in the crawl's way.

A notice is written to the database first, so that it survives a death, and is not told twice; where that cannot be
written it is told all the same. A way that works is not asked again because another one does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from storage import notices
from storage.database import Database
from storage.errors import Busy, DiskFault, DiskFull, OutOfFiles
from storage.notices import Notice

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from structlog.stdlib import BoundLogger

T = TypeVar("T")

ATTEMPTS = 13
FIRST_DELAY_S = 2.0
LONGEST_DELAY_S = 900.0
"""With these it is tried again for an hour."""


class Undelivered(Exception):
    """A way to tell did not work this time."""


Way = Callable[[dict[str, Any]], Awaitable[None]]
"""Delivers a notice. Raises Undelivered."""


class Notifier:
    """Keeps notices and delivers them beside the crawl."""

    def __init__(
        self, *, db: Database, ways: Sequence[Way], now: Callable[[], float], log: BoundLogger, study: str
    ) -> None:
        """`study` is the name that a reader knows the database by."""
        self._db = db
        self._ways = ways
        self._now = now
        self._log = log
        self._study = study
        self._told: asyncio.Queue[tuple[str, str, dict[str, Any]]] = asyncio.Queue(maxsize=1000)
        self._known: set[tuple[str, str]] = set()

    def tell(self, event: str, subject: str, details: dict[str, Any]) -> None:
        """Take a notice; what it says of this subject is told once only. Never waits."""
        if (event, subject) not in self._known and not self._told.full():
            self._known.add((event, subject))
            self._told.put_nowait((event, subject, details))

    async def run(self) -> None:
        """Keep and deliver until cancelled."""
        async with asyncio.TaskGroup() as group:
            for notice in await self._db.look(notices.pending):
                group.create_task(self._deliver(notice))
            while True:
                event, subject, details = await self._told.get()
                at = int(self._now())
                keep = partial(notices.keep, event=event, subject=subject, details=details, now=at)
                is_new = await self._write(keep)
                if is_new is False:
                    continue
                self._log.warning("notice.kept", notice=event, subject=subject, **details)
                if is_new is None:
                    alone = Notice(id=0, at=at, event=event, subject=subject, details=details, attempts=0)
                    group.create_task(self._deliver(alone))
                    continue
                for notice in await self._db.look(notices.pending):
                    if (notice.event, notice.subject) == (event, subject):
                        group.create_task(self._deliver(notice))

    async def flush(self, *, within_s: float) -> None:
        """Try once more to deliver everything, for so long; what is left is sent by the next daemon."""
        while not self._told.empty():
            event, subject, details = self._told.get_nowait()
            await self._write(partial(notices.keep, event=event, subject=subject, details=details, now=self._now()))
        left = await self._db.look(notices.pending)
        try:
            async with asyncio.timeout(within_s), asyncio.TaskGroup() as group:
                for notice in left:
                    group.create_task(self._try(notice, list(self._ways)))
        except TimeoutError:
            self._log.warning("notice.postponed", count=len(left))

    async def _deliver(self, notice: Notice) -> None:
        ways = list(self._ways)
        for attempt in range(notice.attempts, ATTEMPTS):
            if await self._try(notice, ways):
                return
            if attempt + 1 < ATTEMPTS:
                await asyncio.sleep(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0**attempt))
        self._log.error("notice.given_up", notice=notice.event, attempts=ATTEMPTS)
        await self._write(partial(notices.settle, notice_id=notice.id, outcome="given_up", now=self._now()))

    async def _try(self, notice: Notice, ways: list[Way]) -> bool:
        """Tell by each of the ways, and take out those that worked; returns whether none is left."""
        message = {
            "study": self._study,
            "event": notice.event,
            "subject": notice.subject,
            "at": notice.at,
            "details": notice.details,
        }
        for way in list(ways):
            try:
                await way(message)
            except Undelivered as error:
                self._log.warning("notice.undelivered", notice=notice.event, cause=str(error))
            else:
                ways.remove(way)
        if ways:
            await self._write(partial(notices.failed, notice_id=notice.id))
            return False
        outcome = "delivered" if self._ways else "logged"
        await self._write(partial(notices.settle, notice_id=notice.id, outcome=outcome, now=self._now()))
        return True

    async def _write(self, work: Callable[[Connection], T]) -> T | None:
        """Write; None where the database cannot be written just now: a notice about that is told all the same."""
        try:
            return await self._db.write(work)
        except (Busy, DiskFull, DiskFault, OutOfFiles) as error:
            self._log.warning("notice.unkept", cause=error.problem)
            return None
