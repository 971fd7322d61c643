"""Orders that wait in the database, obeyed by the crawl that works on it; and entries queued again by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from crawler.engine import Crawl
from crawler.seeding import ordering_now
from storage import orders, requeue
from storage.database import Database
from storage.errors import Cut, OutOfFiles
from storage.orders import Act, Order

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from structlog.stdlib import BoundLogger

POLL_S = 1.0
"""How often a crawl looks for orders."""


async def obey(
    db: Database, crawl: Crawl, *, now: Callable[[], float], log: BoundLogger, poll_s: float = POLL_S
) -> None:
    """Obey pause, resume and drain until cancelled. Orders from before the crawl began are not meant for it.

    In a crew everybody obeys, and the last one's answer stands.
    """
    with db.read() as conn:
        seen = max((order.id for order in orders.recent(conn, 1)), default=0)
    while True:
        await asyncio.sleep(poll_s)
        try:
            asked = await db.look(partial(orders.after, order_id=seen, is_shared=db.is_shared))
        except (OutOfFiles, Cut):  # cannot be read just now: the next look finds the orders too
            continue
        for order in asked:
            seen = order.id
            if order.act == Act.SET and db.is_shared:
                continue  # the daemon's to obey
            answer = _obey(crawl, order)
            log.info("order.obeyed", act=order.act, origin=order.origin, answer=answer)
            await db.write(partial(orders.obeyed, order_id=order.id, answer=answer, now=now()))


def _obey(crawl: Crawl, order: Order) -> str:
    match order.act:
        case Act.PAUSE:
            crawl.hold()
            return "paused: what is in flight is stored, nothing new is asked for"
        case Act.RESUME:
            crawl.go_on()
            return "going on"
        case Act.DRAIN:
            crawl.stop("interrupted", f"drain, asked by {order.origin}")
            return "draining"
        case _:
            return "not done: only a daemon changes its settings while it runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeued:
    """Entries queued again; `unknown` are handles that nobody has."""

    failed: int
    partial: int
    named: int
    unknown: list[str]


def requeue_entries(
    conn: Connection, handles: Sequence[str], *, failed: bool, partial_lists: bool, now: float
) -> Requeued:
    """Queue entries that failed, lists read in part, or named accounts, whatever became of them; the named come first.

    All or nothing: where a handle is unknown, nothing is queued.
    """

    ids, unknown = requeue.named(conn, handles)
    given_up = requeue.failed(conn) if failed else []
    parts = requeue.partial(conn) if partial_lists else []
    if not unknown:
        again = [each for each in (*given_up, *parts) if each not in set(ids)]
        first = requeue.ahead((each, requeue.FIRST) for each in ids)
        requeue.queue(conn, [*first, *requeue.by_rank(conn, again, ordering_now(conn), now=now)])
    return Requeued(failed=len(given_up), partial=len(parts), named=len(ids), unknown=unknown)
