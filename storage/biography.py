"""Everything that is known of one account's way through the crawl: seen when, by whom, visited, charged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storage.ordering import AHEAD_LANE
from storage.schema import State, accounts, follows, frontier, handle_history, ledger, visits


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """Who listed the account, and when first (Unix seconds)."""

    by: str | None
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One reading of its list: from which `Queue` it was picked, at which priority, and what it brought.

    `gone` is how many follows it found ended. Visits of older programs have no queue.
    """

    id: int
    run_id: int
    started_at: int
    ended_at: int | None
    queue: str | None
    priority: float | None
    completeness: str
    reason: str | None
    pages: int
    edges: int
    new_edges: int
    gone: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One call for a page of its list, or what a reading of the balance settled. Credits."""

    id: int
    at: int
    run_id: int
    visit_id: int | None
    outcome: str
    charged: int
    uncertain: int
    cause: str | None
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Biography:
    """One account. `ahead` counts the waiting entries that are taken before it by their places, None where it does not
    wait. Where lanes are taken in turn these are the fewest, and `ahead_at_most` the most; else both are the same.
    """

    id: int
    handle: str | None
    former_handles: list[tuple[str, str, int]]
    first_seen_at: int
    followers: int | None
    following: int | None
    private: bool
    state: str
    reason: str | None
    completeness: str | None
    depth: int
    priority: float
    attempts: int
    not_before: float | None
    ahead: int | None
    ahead_at_most: int | None
    followers_seen: int
    sightings: list[Sighting]
    visits: list[Visit]
    charges: list[Charge]


_SHOWN = 20
"""Sightings returned at most: hubs are listed thousands of times."""


def read(conn: sa.Connection, who: str | int) -> Biography | None:
    """Return the story of the account that has this handle, or had it last, or this id; None where nobody does.

    Who lists an account is found by a scan of all follows: seconds on a database of tens of millions.
    """
    row: Any = conn.execute(
        sa.select(accounts, frontier)
        .join(frontier, frontier.c.account_id == accounts.c.id)
        .where(accounts.c.id == (_id_of(who) if isinstance(who, str) else who))
    ).one_or_none()
    if row is None:
        return None
    history = conn.execute(
        sa.select(handle_history.c.handle, handle_history.c.reason, handle_history.c.until_at)
        .where(handle_history.c.account_id == row.id)
        .order_by(handle_history.c.id)
    ).all()
    seen, sightings = _sightings(conn, row.id)
    ahead, ahead_at_most = _ahead(conn, row) if row.state == State.QUEUED else (None, None)
    return Biography(
        id=row.id,
        handle=row.handle,
        former_handles=[(str(name), str(reason), int(until)) for name, reason, until in history],
        first_seen_at=row.first_seen_at,
        followers=row.followers,
        following=row.following,
        private=bool(row.private),
        state=State(row.state).name.lower(),
        reason=row.reason,
        completeness=row.completeness,
        depth=row.depth,
        priority=row.priority,
        attempts=row.attempts,
        not_before=row.not_before,
        ahead=ahead,
        ahead_at_most=ahead_at_most,
        followers_seen=seen,
        sightings=sightings,
        visits=_visits(conn, row.id),
        charges=_charges(conn, row.id),
    )


def _id_of(handle: str) -> sa.ScalarSelect[int]:
    now = sa.select(accounts.c.id).where(accounts.c.handle == handle).scalar_subquery()
    before = (
        sa.select(handle_history.c.account_id)
        .where(handle_history.c.handle == handle)
        .order_by(handle_history.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return sa.select(sa.func.coalesce(now, before)).scalar_subquery()


def _ahead(conn: sa.Connection, row: Any) -> tuple[int, int]:
    """Return how many waiting entries are taken before this one at least, and at most."""
    lane, place = frontier.c.lane, frontier.c.priority
    is_better = sa.or_(place > row.priority, sa.and_(place == row.priority, frontier.c.account_id < row.id))
    is_before = sa.or_(sa.and_(lane == row.lane, is_better), sa.and_(lane == AHEAD_LANE, lane != row.lane))
    may_be_before = lane.not_in([row.lane, AHEAD_LANE])  # the strategy says page by page whose turn it is
    counts = sa.select(sa.func.count().filter(is_before), sa.func.count().filter(may_be_before))
    waiting = sa.literal_column("state") == sa.literal_column("0")
    # Nothing of another lane is taken before those put ahead.
    among = waiting if row.lane != AHEAD_LANE else sa.and_(waiting, lane == AHEAD_LANE)
    before, open_ = conn.execute(counts.select_from(frontier).where(among)).one()
    return int(before), int(before) + int(open_)


def _sightings(conn: sa.Connection, account_id: int) -> tuple[int, list[Sighting]]:
    rows: Any = conn.execute(
        sa.select(accounts.c.handle, visits.c.started_at)
        .select_from(
            follows.join(visits, visits.c.id == follows.c.first_visit).join(accounts, accounts.c.id == follows.c.src)
        )
        .where(follows.c.dst == account_id)
        .order_by(follows.c.first_visit)
    ).all()
    return len(rows), [Sighting(by=handle, at=at) for handle, at in rows[:_SHOWN]]


def _visits(conn: sa.Connection, account_id: int) -> list[Visit]:
    ended = (
        sa.select(sa.func.count())
        .select_from(follows)
        .where(follows.c.src == account_id, follows.c.ended_visit == visits.c.id)
        .scalar_subquery()
    )
    rows: Any = conn.execute(
        sa.select(*(visits.c[name] for name in Visit.__dataclass_fields__ if name != "gone"), ended.label("gone"))
        .where(visits.c.account_id == account_id)
        .order_by(visits.c.id)
    )
    return [Visit(**row._mapping) for row in rows]


def _charges(conn: sa.Connection, account_id: int) -> list[Charge]:
    rows: Any = conn.execute(
        sa.select(*(ledger.c[name] for name in Charge.__dataclass_fields__))
        .where(ledger.c.account_id == account_id)
        .order_by(ledger.c.id)
    )
    return [Charge(**row._mapping) for row in rows]
