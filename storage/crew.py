"""The crew: the crawlers that work on one database, their signs of life, and what becomes of one that gives none.

A crawler that is taken for dead is *ended*: its leases are taken back, and nothing that it leased before may be stored
as if it still held the lease. One that lives after all gets a new number with its next lease. Invariant: a page is
stored by whoever holds its lease, or by whoever held it last where nobody has taken it since.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from storage.driver import clock
from storage.frontier import Lease
from storage.runs import Credits, Started, enrol
from storage.schema import Outcome, State, frontier, ledger, processes
from storage.statement import Insert, Lookup, Statement

BEAT_S = 2.0
"""How often a crawler of a shared database gives a sign of life."""

SILENT_S = 10
"""One that gave none for so long is taken for dead. Whole seconds: so are the times in the database."""

ALONE_SILENT_S = 60
"""The same of the one crawler of a file, which says so every 15 seconds."""

LATE = "late"
"""The cause of a ledger row that says what became of a page after its lease was taken away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Muster:
    """Who is at work. `count` is of those heard of lately, the asker among them; `silent` are the others' numbers."""

    count: int
    silent: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A crawler that has not ended, as far as is known. Times in Unix seconds; `pages` and `in_flight` as of its last
    sign of life. `share` is its part of the key's rate and slots, a fraction."""

    id: int
    run_id: int
    host: str
    pid: int
    started_at: int
    heartbeat_at: int
    is_silent: bool
    pages: int
    in_flight: int
    leases: int
    share: float


def members(conn: sa.Connection, *, now: float) -> list[Member]:
    """Return the crawlers that have not ended, in the order they began. Of a file there is one at most."""
    leased = sa.select(sa.func.count()).where(
        frontier.c.lease_process == processes.c.id,
        # A literal, so that the partial index serves on every database.
        sa.literal_column("frontier.state") == sa.literal_column("1"),
    )
    rows: Any = conn.execute(
        sa.select(processes, leased.scalar_subquery().label("leases"))
        .where(processes.c.ended_at.is_(None))
        .order_by(processes.c.id)
    ).all()
    since = int(clock(conn, now)) - (SILENT_S if conn.dialect.name == "postgresql" else ALONE_SILENT_S)
    count = sum(row.heartbeat_at >= since for row in rows)
    return [
        Member(
            id=row.id,
            run_id=row.run_id,
            host=row.host,
            pid=row.pid,
            started_at=row.started_at,
            heartbeat_at=row.heartbeat_at,
            is_silent=row.heartbeat_at < since,
            pages=row.pages,
            in_flight=row.in_flight,
            leases=row.leases,
            share=round(1 / count, 4) if row.heartbeat_at >= since else 0.0,
        )
        for row in rows
    ]


_BEAT = Statement(
    sa.update(processes)
    .where(processes.c.id == sa.bindparam("of_process"), processes.c.ended_at.is_(None))
    .values(heartbeat_at=sa.bindparam("now"), pages=sa.bindparam("bought"), in_flight=sa.bindparam("under_way")),
    ("of_process", "now", "bought", "under_way"),
)


def beat(conn: sa.Connection, process_id: int, *, pages: int, in_flight: int, now: float) -> Muster:
    """Give a sign of life with what was bought so far, and look who else gives one."""
    time = int(clock(conn, now))
    _BEAT.run(conn, process_id, time, pages, in_flight)
    return muster(conn, now=time)


def muster(conn: sa.Connection, *, now: float) -> Muster:
    """Look who is at work; `now` by the clock of the database."""
    rows: Any = conn.execute(
        sa.select(processes.c.id, processes.c.heartbeat_at).where(processes.c.ended_at.is_(None))
    ).all()
    silent = tuple(row.id for row in rows if row.heartbeat_at < int(now) - SILENT_S)
    return Muster(count=max(1, len(rows) - len(silent)), silent=silent)


def is_alone(conn: sa.Connection, process_id: int) -> bool:
    """Tell whether nobody else is at work, heard of or not: only then is a balance nobody else's doing."""
    others = sa.select(processes.c.id).where(processes.c.ended_at.is_(None), processes.c.id != process_id)
    return conn.execute(others.limit(1)).first() is None


_PRESENT = Lookup(
    processes.c.id,
    lambda condition: sa.select(processes.c.id).where(condition, processes.c.ended_at.is_(None)),
)


def ended(conn: sa.Connection, process_ids: Collection[int]) -> set[int]:
    """Return those of the processes that were taken for dead, or have ended."""
    return set(process_ids) - {row[0] for row in _PRESENT.run(conn, sorted(process_ids))}


def present(conn: sa.Connection, started: Started, *, now: float) -> Started:
    """Return this process's part in the run under a number that is not ended: a new one where it was."""
    if not ended(conn, [started.process_id]):
        return started
    return replace(started, process_id=enrol(conn, started.run_id, host=started.host, pid=started.pid, now=now))


_ENTRY = Statement(
    sa.select(frontier.c.state, frontier.c.visit_id, frontier.c.cursor).where(
        frontier.c.account_id == sa.bindparam("of_account")
    ),
    ("of_account",),
)
_DOUBT = Statement(
    sa.select(sa.func.max(ledger.c.id)).where(
        ledger.c.visit_id == sa.bindparam("of_visit"),
        ledger.c.cursor == sa.bindparam("of_cursor"),
        ledger.c.outcome == Outcome.UNCERTAIN,
        ledger.c.cause == "process_died",
    ),
    ("of_visit", "of_cursor"),
)
_SETTLED_SINCE = Statement(
    sa.select(ledger.c.id)
    .where(
        ledger.c.id > sa.bindparam("after"),
        ledger.c.run_id == sa.bindparam("of_run"),
        ledger.c.outcome == Outcome.RECONCILED,
        ledger.c.cause.is_(None),
    )
    .limit(1),
    ("after", "of_run"),
)
_SETTLE = Insert(ledger, ("run_id", "account_id", "cursor", "at", "outcome", "charged", "uncertain", "cause"))
_TAKE = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values(state=int(State.LEASED), lease_process=sa.bindparam("process"), leased_at=sa.bindparam("now")),
    ("of_account", "process", "now"),
)


def regain(conn: sa.Connection, credits: Credits, lease: Lease, *, process_id: int, now: float) -> Lease | None:
    """Lease a page anew whose answer came after its lease was taken away; None where it is somebody else's since.

    The credit that was uncertain since is reserved again. Changes `credits`.
    """
    row = _ENTRY.run(conn, lease.account_id).first()
    is_free = row is not None and (State.QUEUED, lease.visit_id, lease.cursor) == tuple(row)
    if not is_free or not _settle(conn, credits, lease, charged=0, now=now):
        return None
    credits.reserved += 1
    _TAKE.run(conn, lease.account_id, process_id, int(now))
    return replace(lease, process_id=process_id)


def settle(conn: sa.Connection, credits: Credits, lease: Lease, *, charged: int, now: float) -> None:
    """Book what a call cost, in credits, whose lease was taken away and whose page nobody needs. Changes `credits`."""
    _settle(conn, credits, lease, charged=charged, now=now)


def _settle(conn: sa.Connection, credits: Credits, lease: Lease, *, charged: int, now: float) -> bool:
    """Settle the one uncertain credit of a lease; False where a balance settled it before."""
    doubt = _DOUBT.run(conn, lease.visit_id, lease.cursor or "").scalar()
    if doubt is None or _SETTLED_SINCE.run(conn, doubt, lease.run_id).first() is not None:
        return False
    # Of no visit: the page is in none, or in the one that another row names.
    row = (lease.run_id, lease.account_id, lease.cursor or "", int(now), Outcome.RECONCILED, charged, -1, LATE)
    _SETTLE.run(conn, [row])
    credits.charged += charged
    credits.uncertain -= 1
    return True
