"""Daemons in virtual time: the real daemon and database, the simulator in process, outages and deaths on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import rehearsal
import structlog
import virtual_time
from refreshing import inline

from crawler import calendar
from crawler.daemon import Daemon
from crawler.duty import Config
from crawler.options import Options
from socialfetch import errors
from socialfetch.client import Client, Reply
from socialfetch.simulator.service import Service
from socialfetch.simulator.transport import InProcess
from storage.database import Database
from storage.errors import DiskFull
from storage.writer import InlineWriter


class Died(Exception):
    """The process is gone."""


class Mortal(InlineWriter):
    """Dies before a commit once its hour has come; nothing is written any more then."""

    dies_at = float("inf")
    full_from = full_until = float("inf")
    """While the disk is full."""

    def commit(self, batch: Sequence[Any]) -> list[Any]:
        """Commit, or die, or find no room."""
        if virtual_time.now() >= Mortal.dies_at:
            raise Died
        if Mortal.full_from <= virtual_time.now() < Mortal.full_until:
            return [DiskFull("the disk is full")] * len(batch)
        return super().commit(batch)


class Flaky(InProcess):
    """The API with outages: nobody answers within them. `asked` counts paid calls that reached it."""

    def __init__(self, service: Service, outages: Sequence[tuple[float, float]] = ()) -> None:
        super().__init__(service, key=rehearsal.KEY, timeout_s=30)
        self._outages = outages
        self.asked = 0

    async def get(self, path: str, query: Mapping[str, str]) -> Reply:
        """Answer, or not."""
        if any(begin <= virtual_time.now() < end for begin, end in self._outages):
            await asyncio.sleep(0.1)
            raise errors.Unreachable("nobody listens")
        self.asked += "following" in path
        return await super().get(path, query)


def config(**more: Any) -> Config:
    """Return a configuration: a small daily budget in Berlin."""
    options = {"concurrency": 4, "max_wait_s": 600.0, "archive": False} | more.pop("options", {})
    ordinary = {"total": None, "per_day": 20, "zone": calendar.zone("Europe/Berlin")}
    return Config(options=Options(budget=None, **options), **(ordinary | more))


async def live(
    path: Path,
    transport: InProcess,
    asked: Config,
    *,
    meanwhile: Callable[[Daemon], Awaitable[None]],
    told: list[tuple[str, str]] | None = None,
    poll_s: float = 900.0,
    rng_seed: int = 1,
) -> Daemon:
    """Let a daemon live beside `meanwhile`, which ends it by a drain or by its death; returns the daemon."""
    db = Database.open(path, now=virtual_time.now, writer=Mortal)
    try:
        db.claim()
        daemon = Daemon(
            db=db,
            client=Client(transport),
            config=asked,
            now=virtual_time.now,
            rng=Random(rng_seed),
            log=structlog.get_logger(),
            offload=inline,
            tell=lambda event, subject, details: None if told is None else told.append((event, subject)),
            poll_s=poll_s,
        )
        beside, life = asyncio.ensure_future(meanwhile(daemon)), asyncio.current_task()
        assert life is not None

        def end(done: asyncio.Future[None]) -> None:
            if not done.cancelled() and done.exception() is not None:
                life.cancel()  # nobody would end it any more

        beside.add_done_callback(end)
        try:
            await daemon.run()
        except asyncio.CancelledError:
            if beside.done():
                beside.result()  # what ended it
            raise
        finally:
            beside.cancel()
        return daemon
    finally:
        Mortal.dies_at = Mortal.full_from = float("inf")
        db.close()
