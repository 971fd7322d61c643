"""Which waiting entries are taken next: ahead of all, by place, by lane, by lot, by name.

Invariant: an entry is taken by the statement that finds it waiting, so that nobody else can take it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from storage.allowances import Caps
from storage.ordering import AHEAD_LANE, ANY_LANE, MAIN_LANE, Candidate, Ordering
from storage.schema import Queue, accounts, frontier, visits
from storage.statement import Statement

WINDOW = 64
"""Waiting entries looked at again before one is taken, where what the strategy learned may have moved them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """By what rule entries are taken. `ceiling` is how many credits of the run may be used in all (None: its budget).

    `only` names accounts to be taken in this order and no others. `explores` says of a visit's number whether its
    account is taken from the explore queue.
    """

    ordering: Ordering
    queue: str = Queue.MAIN
    ceiling: int | None = None
    only: Sequence[int] | None = None
    explores: Callable[[int], bool] | None = None
    ahead_only: bool = False
    """Take what was queued before everything else, and nothing more."""
    caps: Caps = field(default_factory=Caps)


class Picked(NamedTuple):
    """An entry as it was taken."""

    account_id: int
    priority: float
    visit_id: int | None
    cursor: str | None
    cash: float
    completeness: str | None
    attempts: int
    seed_id: int | None
    depth: int
    queue: str


def _waiting(condition: sa.ColumnElement[bool]) -> sa.Select[tuple[int]]:
    # A literal, so that the partial index serves on every database.
    return sa.select(frontier.c.account_id).where(sa.literal_column("state") == sa.literal_column("0"), condition)


def _take(which: sa.Select[tuple[int]], *names: str) -> Statement:
    return Statement(
        sa.update(frontier)
        .where(frontier.c.account_id.in_(which.with_for_update(skip_locked=True)))
        .values(state=sa.literal_column("1"), lease_process=sa.bindparam("process"), leased_at=sa.bindparam("now"))
        .returning(
            frontier.c.account_id,
            frontier.c.priority,
            frontier.c.visit_id,
            frontier.c.cursor,
            frontier.c.cash,
            frontier.c.completeness,
            frontier.c.attempts,
            frontier.c.seed_id,
            frontier.c.depth,
        ),
        ("process", "now", *names),
    )


_BY_PLACE = (frontier.c.priority.desc(), frontier.c.account_id)
_TAKE = _take(
    _waiting(frontier.c.lane == sa.bindparam("of_lane")).order_by(*_BY_PLACE).limit(sa.bindparam("at_most")),
    "of_lane",
    "at_most",
)
_TAKE_BY_LOT = _take(
    _waiting(sa.text("chance IS NOT NULL"))  # type: ignore[arg-type]  # a text is a condition too
    .order_by(frontier.c.chance.desc(), frontier.c.account_id)
    .limit(sa.bindparam("at_most")),
    "at_most",
)
_TAKE_RETRY = _take(
    _waiting(
        sa.and_(
            sa.literal_column("attempts") > sa.literal_column("0"),
            # A sum, so that the index of those that failed serves and not the one of all lanes.
            frontier.c.lane + sa.literal_column("0") >= sa.bindparam("lowest"),
        )
    )
    .order_by(*_BY_PLACE)
    .limit(sa.bindparam("at_most")),
    "lowest",
    "at_most",
)
_TAKE_ONE = _take(_waiting(frontier.c.account_id == sa.bindparam("of_account")), "of_account")
_FIRST = Statement(
    sa.select(frontier.c.priority)
    .where(sa.literal_column("state") == sa.literal_column("0"), frontier.c.lane == sa.bindparam("of_lane"))
    .order_by(*_BY_PLACE)
    .limit(1),
    ("of_lane",),
)
_IN_FLIGHT = Statement(
    sa.select(frontier.c.lane, sa.func.count())
    .where(sa.literal_column("state") == sa.literal_column("1"))
    .group_by(frontier.c.lane)
)
CANDIDATE = (
    frontier.c.account_id,
    accounts.c.followers,
    accounts.c.following,
    frontier.c.depth,
    frontier.c.cash,
    frontier.c.listings,
    frontier.c.merit,
    frontier.c.quality,
    sa.func.coalesce(visits.c.pages, 0),
    sa.func.coalesce(visits.c.listed, 0),
    sa.func.coalesce(visits.c.hits, 0),
    sa.func.coalesce(visits.c.rate, 0.0),
)
"""The columns of a Candidate, from `OF_CANDIDATE`."""

OF_CANDIDATE = frontier.join(accounts, accounts.c.id == frontier.c.account_id).outerjoin(
    visits, visits.c.id == frontier.c.visit_id
)
_WINDOW = Statement(
    sa.select(*CANDIDATE)
    .select_from(OF_CANDIDATE)
    .where(sa.literal_column("frontier.state") == sa.literal_column("0"), frontier.c.lane == MAIN_LANE)
    .order_by(*_BY_PLACE)
    .limit(WINDOW)
)


def take(
    conn: sa.Connection, taking: Taking, *, process_id: int, now: float, at_most: int, next_visit: int
) -> list[Picked]:
    """Take the best waiting entries, best first; fewer where none is left."""
    who = (process_id, int(now))
    if taking.only is not None:
        return _take_named(conn, taking, who, at_most)
    ahead = _rows(_TAKE.run(conn, *who, AHEAD_LANE, at_most), Queue.AHEAD)
    left = at_most - len(ahead)
    if not left or taking.ahead_only:
        return ahead
    by_lot = 0
    if taking.explores is not None:
        by_lot = sum(taking.explores(next_visit + index) for index in range(left))
    found = ahead + (_rows(_TAKE_BY_LOT.run(conn, *who, by_lot), Queue.EXPLORE) if by_lot else [])
    left = at_most - len(found)
    if not left:
        return found
    ordering = taking.ordering
    if ordering.lanes({}) is not None:
        best = _take_from_lanes(conn, ordering, who, left, taking.queue)
    elif ordering.learns:
        best = _take_afresh(conn, ordering, who, left, taking.queue)
    else:
        best = _rows(_TAKE.run(conn, *who, MAIN_LANE, left), taking.queue)
    return found + best


def take_retries(conn: sa.Connection, taking: Taking, *, process_id: int, now: float, at_most: int) -> list[Picked]:
    """Take the best of those entries whose page failed before."""
    who = (process_id, int(now))
    ahead = _rows(_TAKE_RETRY.run(conn, *who, AHEAD_LANE, at_most), Queue.AHEAD)
    left = at_most - len(ahead)
    if not left or taking.ahead_only:
        return ahead
    return ahead + _rows(_TAKE_RETRY.run(conn, *who, ANY_LANE, left), taking.queue)


def is_surpassed(conn: sa.Connection, ordering: Ordering, lane: int, priority: float) -> bool:
    """Tell whether something better waits than an entry with this place."""
    best = _best_lane(conn, ordering)
    return best is not None and best[0] > _worth(ordering, lane, priority)


def _worth(ordering: Ordering, lane: int, priority: float) -> float:
    for worth, of_lane in ordering.lanes({}) or ():
        if of_lane == lane:
            return priority if worth != worth else worth  # noqa: PLR0124 - NaN
    return priority


def _best_lane(conn: sa.Connection, ordering: Ordering) -> tuple[float, int] | None:
    """Return the worth and the lane of the best page that waits."""
    rows: Any = _IN_FLIGHT.run(conn).all()
    lanes = ordering.lanes(dict(rows))
    if lanes is None:
        lanes = [(float("nan"), MAIN_LANE)]
    best: tuple[float, int] | None = None
    for worth, lane in lanes:
        if best is not None and worth <= best[0]:
            break  # best first; NaN, whose worth is the first entry's priority, stands before all others
        first = _FIRST.run(conn, lane).scalar()
        if first is not None:
            actual = first if worth != worth else worth  # noqa: PLR0124 - NaN
            if best is None or actual > best[0]:
                best = (actual, lane)
    return best


def _take_from_lanes(
    conn: sa.Connection, ordering: Ordering, who: tuple[int, int], at_most: int, queue: str
) -> list[Picked]:
    found: list[Picked] = []
    while len(found) < at_most and (best := _best_lane(conn, ordering)) is not None:
        found += _rows(_TAKE.run(conn, *who, best[1], 1), queue)
    return found


def _take_afresh(
    conn: sa.Connection, ordering: Ordering, who: tuple[int, int], at_most: int, queue: str
) -> list[Picked]:
    """Take the best of the first entries as they stand by what is known now; none of the others is written."""
    found: list[Picked] = []
    while len(found) < at_most:
        window = [Candidate(*row) for row in _WINDOW.run(conn)]
        if not window:
            break
        window.sort(key=lambda entry: (-ordering.place(entry).priority, entry.account_id))
        for entry in window[: at_most - len(found)]:
            found += _rows(_TAKE_ONE.run(conn, *who, entry.account_id), queue)
    return found


def _take_named(conn: sa.Connection, taking: Taking, who: tuple[int, int], at_most: int) -> list[Picked]:
    found: list[Picked] = []
    for account_id in taking.only or ():
        if len(found) == at_most:
            break
        found += _rows(_TAKE_ONE.run(conn, *who, account_id), taking.queue)
    return found


def _rows(result: Any, queue: str) -> list[Picked]:
    found = [Picked._make((*row, queue)) for row in result.all()]
    found.sort(key=lambda row: (-row.priority, row.account_id))
    return found
