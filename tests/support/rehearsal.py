"""Whole crawls in virtual time: the real engine, the real database, the simulator's service in process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import structlog
import virtual_time
from structlog.typing import FilteringBoundLogger

from crawler import seeding
from crawler.engine import Crawl, Result
from crawler.options import Options
from socialfetch.client import Client
from socialfetch.simulator import network
from socialfetch.simulator.faults import Faults
from socialfetch.simulator.service import Service
from socialfetch.simulator.settings import Settings
from socialfetch.simulator.transport import InProcess
from storage import summary
from storage.checkup import Problem, problems
from storage.database import Database
from storage.summary import Summary
from storage.writer import InlineWriter

KEY = "sfk_rehearsal"

LOG: FilteringBoundLogger = structlog.wrap_logger(
    structlog.PrintLogger(), wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
)
"""Logs what is wrong only: hundreds of crawls have much to say."""


def service(
    graph: network.Network | Iterable[tuple[str, str]],
    *,
    faults: Mapping[str, float] | None = None,
    credits: int = 1_000_000,
    latency_s: float = 0.05,
    rng_seed: int = 1,
    **settings: Any,
) -> Service:
    """Return the simulated API over a network or over (follower, followed) pairs of handles."""
    if not isinstance(graph, network.Network):
        graph = network.from_follows(graph, rng_seed=rng_seed)
    return Service(
        network=graph,
        settings=Settings(key=KEY, credits=credits, latency_s=latency_s, rng_seed=rng_seed, **settings),
        faults=Faults(faults or {}, rng_seed=rng_seed),
        now=virtual_time.now,
    )


def follows(api: Service, seeds: Sequence[str]) -> set[tuple[str, str]]:
    """Return every follow in a list that can be reached from the seeds: what a crawl to the end must store."""
    graph = api.network
    waiting, seen, found = list(seeds), set(seeds), set()
    while waiting:
        source = waiting.pop()
        index = graph.index(source)
        if index is None or graph.status(index) != network.Status.FOUND:
            continue
        for target in graph.following(index)[0]:
            handle = graph.handle(int(target))
            found.add((source, handle))
            if handle not in seen:
                seen.add(handle)
                waiting.append(handle)
    return found


async def crawl(
    path: Path | str,
    api: Service,
    *,
    seeds: Sequence[str] = (),
    key: str | None = KEY,
    writer: Callable[[Any], InlineWriter] = InlineWriter,
    meanwhile: Callable[[Crawl], Awaitable[None]] | None = None,
    rng_seed: int = 7,
    timeout_s: float = 30.0,
    **options: Any,
) -> Result:
    """Crawl in the running virtual loop. `meanwhile` runs beside the crawl, to stop it or to change the world."""
    db = Database.open(path, now=virtual_time.now, writer=writer)
    try:
        db.claim()
        if seeds:
            seeding.seed(db, seeds, now=virtual_time.now())
        run = Crawl(
            db=db,
            client=Client(InProcess(api, key=key, timeout_s=timeout_s)),
            options=Options(**options),
            now=virtual_time.now,
            rng=Random(rng_seed),
            log=LOG,
        )
        if meanwhile is None:
            return await run.run()
        beside = asyncio.ensure_future(meanwhile(run))
        try:
            return await run.run()
        finally:
            beside.cancel()
    finally:
        db.close()


def stop_after(seconds: float) -> Callable[[Crawl], Awaitable[None]]:
    """Return what stops a crawl after so long, to run beside it `meanwhile`, as Ctrl-C does."""

    async def stop(crawl: Crawl) -> None:
        await asyncio.sleep(seconds)
        crawl.stop("interrupted", "asked")

    return stop


def go(path: Path | str, api: Service, **arguments: Any) -> Result:
    """Run one crawl in a virtual loop of its own."""
    return virtual_time.run(crawl(path, api, **arguments))


def state(path: Path | str) -> Summary:
    """Return where the database stands."""
    db = Database.open(path, now=lambda: 0.0, mode="read")
    with db.read() as conn:
        found = summary.read(conn)
    db.close()
    return found


def findings(path: Path | str) -> list[Problem]:
    """Return what the checks find."""
    db = Database.open(path, now=lambda: 0.0, mode="read")
    with db.read() as conn:
        found = problems(conn)
    db.close()
    return found


def rows(path: Path | str, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query on the database file."""
    db = Database.open(path, now=lambda: 0.0, mode="read")
    with db.read() as conn:
        found = [tuple(row) for row in conn.exec_driver_sql(sql)]
    db.close()
    return found


def edges(path: Path | str) -> set[tuple[str, str]]:
    """Return the stored current follows as pairs of handles."""
    found = rows(
        path,
        "SELECT a.handle, b.handle FROM follows f JOIN accounts a ON a.id = f.src JOIN accounts b ON b.id = f.dst "
        "WHERE f.ended_visit IS NULL",
    )
    return {(source, target) for source, target in found}


def contents(path: Path | str) -> list[str]:
    """Return everything in the database as text, row by row."""
    import sqlite3

    conn = sqlite3.connect(path)
    try:
        return list(conn.iterdump())
    finally:
        conn.close()
