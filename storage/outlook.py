"""Looking ahead in the frontier: what is left to take, and when, without taking anything."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from storage.accounts import FILTERED, TOO_DEEP
from storage.allowances import Allowances
from storage.ordering import AHEAD_LANE, ANY_LANE
from storage.picking import Taking
from storage.runs import Credits
from storage.schema import State, frontier
from storage.statement import Lookup, Statement

_NEXT_DUE = Statement(
    sa.select(sa.func.min(frontier.c.not_before)).where(
        sa.literal_column("state") == sa.literal_column("5"), frontier.c.lane >= sa.bindparam("lowest")
    ),
    ("lowest",),
)
_ANY_QUEUED = Statement(
    sa.select(frontier.c.account_id)
    .where(sa.literal_column("state") == sa.literal_column("0"), frontier.c.lane >= sa.bindparam("lowest"))
    .limit(1),
    ("lowest",),
)
_STATE_OF = Lookup(
    frontier.c.account_id,
    lambda condition: sa.select(frontier.c.state, frontier.c.not_before).where(condition),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is left to take: entries ready now, when the next deferred one is due (Unix seconds), and what forbids it.

    `limit` is the first of "budget", "ceiling", "day" and "retry_reserve" that allows no further first call now.
    """

    has_queued: bool
    next_due_at: float | None
    limit: str | None


def left_out(conn: sa.Connection) -> dict[str, int]:
    """Return how many entries were not bought for good: `failed`, and kept out by `depth` or `filtered` by facts."""
    f = frontier.c
    why = sa.case((f.state == int(State.FAILED), "failed"), else_=f.reason).label("why")
    kept_out = sa.and_(f.state == int(State.SKIPPED), f.reason.in_((TOO_DEEP, FILTERED)))
    counts = sa.select(why, sa.func.count()).where(sa.or_(f.state == int(State.FAILED), kept_out)).group_by(why)
    return {str(word): int(count) for word, count in conn.execute(counts)}


def read(conn: sa.Connection, credits: Credits, taking: Taking, *, now: float) -> Outlook:
    """Look ahead without taking anything."""
    limit = None
    if credits.free <= 0:
        limit = "budget"
    elif taking.ceiling is not None and credits.used >= taking.ceiling:
        limit = "ceiling"
    elif Allowances(conn, taking.caps, run_id=credits.run_id, now=now).left_today(credits) == 0:
        limit = "day"
    elif credits.free <= taking.caps.retry_reserve:
        limit = "retry_reserve"
    if taking.only is None:
        lowest = AHEAD_LANE if taking.ahead_only else ANY_LANE
        has_queued = _ANY_QUEUED.run(conn, lowest).first() is not None
        return Outlook(has_queued=has_queued, next_due_at=_NEXT_DUE.run(conn, lowest).scalar(), limit=limit)
    states = list(_STATE_OF.run(conn, taking.only))
    due = [not_before for state, not_before in states if state == State.DEFERRED]
    return Outlook(
        has_queued=any(state == State.QUEUED for state, _ in states), next_due_at=min(due, default=None), limit=limit
    )


def has_queued(conn: sa.Connection) -> bool:
    """Tell whether anything waits to be taken now."""
    return _ANY_QUEUED.run(conn, ANY_LANE).first() is not None
