"""Orders to the crawl that works on a database: written by commands and the page, read and obeyed by the crawl.

They wait in a table, so that they work without the page, and without anybody who listens: the next daemon finds them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storage.schema import daemon, orders, processes
from storage.statement import Statement

SILENT_S = 60
"""A process that was not heard of for so long does not run any more."""


class Act:
    """What can be ordered."""

    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"
    SET = "set"
    """Change a setting until the process ends: `key` and `value`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order. `at` and `done_at` in Unix seconds; `origin` is `command`, `page` or `daemon`."""

    id: int
    at: int
    act: str
    details: dict[str, Any]
    origin: str
    done_at: int | None
    answer: str | None


_COLUMNS = (orders.c.id, orders.c.at, orders.c.act, orders.c.details, orders.c.origin)
_WAITING = Statement(
    sa.select(*_COLUMNS, orders.c.done_at, orders.c.answer).where(orders.c.done_at.is_(None)).order_by(orders.c.id)
)


def ask(conn: sa.Connection, act: str, *, origin: str, now: float, **details: Any) -> int:
    """Write an order; returns its id."""
    written = {"at": int(now), "act": act, "details": json.dumps(details, sort_keys=True), "origin": origin}
    return int(conn.execute(sa.insert(orders).values(written).returning(orders.c.id)).scalar_one())


def waiting(conn: sa.Connection) -> list[Order]:
    """Return the orders that nobody obeyed yet, in the order they were given."""
    return [_order(row) for row in _WAITING.run(conn)]


def after(conn: sa.Connection, order_id: int, *, is_shared: bool) -> list[Order]:
    """Return the orders after this one, in the order they were given: where one obeys, those nobody obeyed yet."""
    query = sa.select(*_COLUMNS, orders.c.done_at, orders.c.answer).where(orders.c.id > order_id)
    if not is_shared:
        query = query.where(orders.c.done_at.is_(None))
    return [_order(row) for row in conn.execute(query.order_by(orders.c.id))]


def recent(conn: sa.Connection, at_most: int) -> list[Order]:
    """Return the newest orders, newest first."""
    rows = conn.execute(
        sa.select(*_COLUMNS, orders.c.done_at, orders.c.answer).order_by(orders.c.id.desc()).limit(at_most)
    )
    return [_order(row) for row in rows]


def obeyed(conn: sa.Connection, order_id: int, answer: str, *, now: float) -> None:
    """Note what came of an order."""
    conn.execute(sa.update(orders).where(orders.c.id == order_id).values(done_at=int(now), answer=answer))


def pause(conn: sa.Connection) -> Order | None:
    """Return the pause that holds, obeyed or not: the last word on it. None where that was to resume, or none."""
    last = conn.execute(
        sa.select(*_COLUMNS, orders.c.done_at, orders.c.answer)
        .where(orders.c.act.in_([Act.PAUSE, Act.RESUME]))
        .order_by(orders.c.id.desc())
        .limit(1)
    ).one_or_none()
    return None if last is None or last.act != Act.PAUSE else _order(last)


def is_running(conn: sa.Connection, *, now: float) -> bool:
    """Tell whether a crawl or a daemon was heard of lately."""
    since = int(now - SILENT_S)
    crawls = sa.select(processes.c.id).where(processes.c.ended_at.is_(None), processes.c.heartbeat_at >= since)
    daemons = sa.select(daemon.c.id).where(daemon.c.state != "stopped", daemon.c.heartbeat_at >= since)
    return any(conn.execute(query.limit(1)).first() is not None for query in (crawls, daemons))


def _order(row: Any) -> Order:
    id_, at, act, details, origin, done_at, answer = row
    return Order(id=id_, at=at, act=act, details=json.loads(details), origin=origin, done_at=done_at, answer=answer)
