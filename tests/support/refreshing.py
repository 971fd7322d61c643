"""Refreshes in virtual time: the planner and the engine on a real database, the simulator's service in process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import rehearsal
import structlog
import virtual_time

from crawler import refresh as policy
from crawler.engine import Crawl, Result
from crawler.options import Options
from crawler.planner import Planner
from socialfetch.client import Client
from socialfetch.simulator.service import Service
from socialfetch.simulator.transport import InProcess
from storage import orders, rereads
from storage.database import Database

DAY = 86_400.0
AT_ONCE = policy.Intervals(shortest=DAY, hidden=DAY, private=DAY, vanished=DAY, failed=DAY)


async def inline(work: Callable[[], Any]) -> Any:
    """Run at once: virtual time knows no threads."""
    return work()


async def refresh(
    path: Path,
    api: Service,
    *,
    budget: int,
    intervals: policy.Intervals = AT_ONCE,
    batch: int = 50,
    choose: Callable[..., policy.Plan] = policy.choose,
    **options: Any,
) -> tuple[Result, tuple[int, int]]:
    """Refresh in the running virtual loop; returns the result, and the follows gained and lost."""
    db = Database.open(path, now=virtual_time.now)
    left = budget
    try:
        db.claim()

        def spendable() -> int:
            with db.read() as conn:
                row = conn.exec_driver_sql("SELECT budget - charged - uncertain FROM runs ORDER BY id DESC LIMIT 1")
                return int(row.scalar_one())

        planner = Planner(db=db, now=virtual_time.now, offload=inline, intervals=intervals, choose=choose)
        run = Crawl(
            db=db,
            client=Client(InProcess(api, key=rehearsal.KEY, timeout_s=30)),
            options=Options(budget=left, new_run=True, refresh_only=True, **options),
            now=virtual_time.now,
            rng=Random(7),
            log=structlog.get_logger(),
            refill=planner.refill(spendable, at_least=batch),
        )
        result = await run.run()
        with db.read() as conn:
            return result, rereads.totals(conn, result.run_id)
    finally:
        db.close()


def ordered(path: Path, act: str) -> int:
    """Write an order as a command does; returns its id."""
    db = Database.open(path, now=virtual_time.now, mode="write")
    try:
        return db.transact(partial(orders.ask, act=act, origin="command", now=virtual_time.now()))
    finally:
        db.close()
