"""Quiet points: moments with nothing in flight, at which the balance is read and what is uncertain may be settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from crawler.budget import Last
from crawler.purchase import reconcile
from crawler.worker import Desk
from socialfetch import errors
from socialfetch.client import Client
from socialfetch.wire import BalanceData
from storage import runs
from storage.database import Database

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

EVERY_S = 600.0
"""How often the balance is read while credits are uncertain."""


class Quiet:
    """The quiet points of one crawl. `last` is when calls were sent and abandoned last, by the event loop's clock."""

    def __init__(self, *, db: Database, client: Client, now: Callable[[], float], log: BoundLogger) -> None:
        self._db = db
        self._client = client
        self._now = now
        self._log = log
        self.last = Last()

    async def settle(self, balance: BalanceData, process_id: int) -> dict[int, tuple[int, int]] | None:
        """Note a balance read while nothing was in flight; returns by run the credits settled and those charged.

        Where other crawlers are at work on the database there is no telling what is in flight: nothing is noted then.
        """
        settled = await self._db.write(
            partial(
                reconcile,
                process_id=process_id,
                balance=balance.balance,
                refill_state=balance.refill_state,
                now=self._now(),
                last=self.last,
                now_s=asyncio.get_running_loop().time(),
            )
        )
        for run_id, (uncertain, charged) in (settled or {}).items():
            self._log.info("uncertain.reconciled", run=run_id, uncertain_credits=uncertain, charged=charged)
        return settled

    async def settle_at_end(self, desk: Desk) -> bool:
        """Read the balance where it could settle what is uncertain, and tell whether that freed credits.

        Nothing is in flight now.
        """
        before = desk.progress.charged + desk.progress.uncertain
        if desk.progress.uncertain:
            await self._read_into(desk)
        return desk.progress.charged + desk.progress.uncertain < before

    async def points(self, desk: Desk) -> None:
        """Buy the first page alone and read the balance; later read it again while credits are uncertain.

        The first page shows whether the API does as expected before many requests are under way, and whether the
        balance moves at once: only then can a later reading settle anything.
        """
        await desk.first_answer()
        if desk.progress.pages:
            await self._read(desk)
        desk.limiter.widen()
        while True:
            await asyncio.sleep(EVERY_S)
            if desk.progress.uncertain:
                await self._read(desk)

    async def _read(self, desk: Desk) -> None:
        """Let nothing be in flight, read the balance, and go on."""
        async with desk.limiter.paused():
            await self._read_into(desk)
        desk.wake()  # settled credits may be free again

    async def _read_into(self, desk: Desk) -> None:
        try:
            balance = await self._client.balance()
            await self.settle(balance, desk.purchases.started.process_id)
        except errors.SocialFetchError as error:
            self._log.warning("balance.unread", cause=error.code)
            return
        credits = await self._db.write(partial(runs.read_credits, run_id=desk.run_id))
        desk.progress.charged, desk.progress.uncertain = credits.charged, credits.uncertain
