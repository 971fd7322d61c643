"""Figures for whoever watches a crawl: spent by hour, growth by day, the last visits, what failed. One reading."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from storage import budgets, crew, orders, readings, summary
from storage.ordering import AHEAD_LANE
from storage.schema import Outcome, State, accounts, frontier, ledger, visits

HOUR_S = 3600
DAY_S = 86_400
SHOWN = 50
"""Visits and failures shown."""
LONGEST_TEXT = 200
"""Characters of a foreign text that are shown."""


def read(conn: sa.Connection, *, now: float) -> dict[str, Any]:
    """Return everything a page shows that takes a scan; times in Unix seconds, money in credits."""
    found = summary.read(conn)
    balance = readings.latest(conn)
    return {
        "accounts": dict(found.accounts),
        "frontier": dict(found.frontier),
        "skipped": dict(found.skipped),
        "queues": _queues(conn),
        "completeness": dict(found.completeness),
        "edges": found.edges,
        "charged": found.charged,
        "uncertain": found.uncertain,
        "pages": found.pages,
        "hours": _hours(conn, since=int(now) - 3 * DAY_S),
        "days": _days(conn),
        "visits": _visits(conn),
        "failed": _failed(conn),
        "failed_by_reason": _failed_by_reason(conn),
        "oldest_waiting_at": _oldest_waiting(conn),
        "balance": None if balance is None else asdict(balance),
        "orders": [asdict(order) for order in orders.recent(conn, 12)],
        "crawlers": [asdict(member) for member in crew.members(conn, now=now)],
        "changes": [asdict(change) for change in budgets.changes(conn)[-12:]],
    }


def _hours(conn: sa.Connection, *, since: int) -> list[list[int]]:
    """Return [hour, charged, uncertain, pages, calls that failed] of the last days."""
    hour = ledger.c.at - ledger.c.at % HOUR_S
    rows: Any = conn.execute(
        sa.select(
            hour,
            sa.func.sum(ledger.c.charged),
            sa.func.sum(ledger.c.uncertain),
            sa.func.sum(sa.case((ledger.c.outcome == Outcome.SETTLED, 1), else_=0)),
            sa.func.sum(sa.case((ledger.c.cause.is_not(None), 1), else_=0)),
        )
        .where(ledger.c.at >= since)
        .group_by(hour)
        .order_by(hour)
    )
    return [[int(value) for value in row] for row in rows]


def _days(conn: sa.Connection) -> list[list[int]]:
    """Return [day, pages, new accounts, new follows] of every day (UTC) on which a visit began."""
    day = visits.c.started_at - visits.c.started_at % DAY_S
    rows: Any = conn.execute(
        sa.select(day, sa.func.sum(visits.c.pages), sa.func.sum(visits.c.new_accounts), sa.func.sum(visits.c.new_edges))
        .group_by(day)
        .order_by(day)
    )
    return [[int(value) for value in row] for row in rows]


def new_per_page(conn: sa.Connection, *, now: float) -> dict[str, float | None]:
    """Return the new accounts for each page of the visits begun in the last 24 hours and in the seven days before."""
    day, week = int(now) - DAY_S, int(now) - 8 * DAY_S
    row: Any = conn.execute(
        sa.select(
            *(
                sa.func.sum(sa.case((is_in, column)))
                for is_in in (visits.c.started_at >= day, visits.c.started_at < day)
                for column in (visits.c.new_accounts, visits.c.pages)
            )
        ).where(visits.c.started_at >= week)
    ).one()
    new, pages, new_before, pages_before = (int(value or 0) for value in row)
    return {
        "last_day": round(new / pages, 2) if pages else None,
        "week_before": round(new_before / pages_before, 2) if pages_before else None,
    }


def _visits(conn: sa.Connection) -> list[dict[str, Any]]:
    rows: Any = conn.execute(
        sa.select(
            accounts.c.handle,
            sa.func.substr(accounts.c.display_name, 1, LONGEST_TEXT).label("name"),
            sa.func.substr(accounts.c.bio, 1, LONGEST_TEXT).label("bio"),
            visits.c.ended_at,
            visits.c.completeness,
            visits.c.reason,
            visits.c.pages,
            visits.c.edges,
            visits.c.new_edges,
            visits.c.new_accounts,
        )
        .select_from(visits.join(accounts, accounts.c.id == visits.c.account_id))
        .where(visits.c.ended_at.is_not(None))
        .order_by(visits.c.id.desc())
        .limit(SHOWN)
    )
    return [dict(row._mapping) for row in rows]


def _failed(conn: sa.Connection) -> list[dict[str, Any]]:
    rows: Any = conn.execute(
        sa.select(accounts.c.handle, frontier.c.reason)
        .join(accounts, accounts.c.id == frontier.c.account_id)
        .where(frontier.c.state == int(State.FAILED))
        .order_by(frontier.c.account_id.desc())
        .limit(SHOWN)
    )
    return [dict(row._mapping) for row in rows]


def _failed_by_reason(conn: sa.Connection) -> dict[str, int]:
    reason = sa.func.coalesce(frontier.c.reason, "")
    rows = conn.execute(
        sa.select(reason, sa.func.count()).where(frontier.c.state == int(State.FAILED)).group_by(reason)
    )
    return {str(row[0]): int(row[1]) for row in rows}


def _queues(conn: sa.Connection) -> dict[str, int]:
    """Return how many wait in the strategy's own order, and how many before it: lists to be read again, or by hand."""
    is_ahead = frontier.c.lane == AHEAD_LANE
    rows = conn.execute(
        sa.select(is_ahead, sa.func.count()).where(frontier.c.state == int(State.QUEUED)).group_by(is_ahead)
    )
    counts = {bool(ahead): int(count) for ahead, count in rows}
    return {"strategy": counts.get(False, 0), "ahead": counts.get(True, 0)}


def _oldest_waiting(conn: sa.Connection) -> int | None:
    waiting = frontier.c.state == int(State.QUEUED)
    oldest: int | None = conn.execute(
        sa.select(sa.func.min(accounts.c.first_seen_at))
        .join(frontier, frontier.c.account_id == accounts.c.id)
        .where(waiting)
    ).scalar_one()
    return oldest
