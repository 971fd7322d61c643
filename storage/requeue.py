"""Entries put back into the queue: by hand, or to be read again. What was read stays; the next visit is a new one.

Entries named by hand or due for a refresh stand in a lane of their own that is taken before every strategy's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from storage import journal
from storage.accounts import Register
from storage.journal import Act
from storage.ordering import AHEAD_LANE, Ordering
from storage.schema import Completeness, State, accounts, frontier
from storage.statement import Lookup, Statement

FIRST = 2.0
"""Priority of entries that somebody named: above those to be read again, which have 1 at most."""

_CHUNK = 1_000

Requeued = tuple[int, int, float]
"""An account, its lane and its priority there."""

_SELECTED = Lookup(
    accounts.c.handle,
    lambda condition: (
        sa.select(accounts.c.handle, accounts.c.id)
        .join(frontier, frontier.c.account_id == accounts.c.id)
        .where(condition)
    ),
)
_QUEUE = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"), frontier.c.state != int(State.LEASED))
    .values(
        state=int(State.QUEUED),
        lane=sa.bindparam("new_lane"),
        priority=sa.bindparam("new_priority"),
        attempts=0,
        not_before=sa.null(),
        reason=sa.null(),
        # Of a list under way the cursor is kept; a list that ended begins at its first page.
        cursor=sa.case((frontier.c.visit_id.is_not(None), frontier.c.cursor), else_=sa.null()),
    ),
    ("of_account", "new_lane", "new_priority"),
)


def named(conn: sa.Connection, handles: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return the ids of the accounts with these handles, and the handles nobody has."""
    found: dict[str, int] = dict(_SELECTED.run(conn, handles))
    return [found[handle] for handle in handles if handle in found], [each for each in handles if each not in found]


def failed(conn: sa.Connection) -> list[int]:
    """Return the accounts whose list was given up."""
    return _ids(conn, frontier.c.state == int(State.FAILED))


def partial(conn: sa.Connection) -> list[int]:
    """Return the accounts whose list was read in part and is not under way."""
    return _ids(conn, frontier.c.state == int(State.DONE), frontier.c.completeness == Completeness.PARTIAL)


def _ids(conn: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[int]:
    return list(
        conn.execute(sa.select(frontier.c.account_id).where(*conditions).order_by(frontier.c.account_id)).scalars()
    )


def by_rank(conn: sa.Connection, ids: Sequence[int], ordering: Ordering, *, now: float) -> list[Requeued]:
    """Return the accounts with the place that a strategy gives them."""
    register = Register(conn, now=int(now))
    register.load((), ids)
    return [(account_id, *ordering.place(register.by_id(account_id))) for account_id in ids]


def ahead(entries: Iterable[tuple[int, float]]) -> list[Requeued]:
    """Return accounts with a place before all others; larger priorities first."""
    return [(account_id, AHEAD_LANE, priority) for account_id, priority in entries]


def queue(conn: sa.Connection, entries: Sequence[Requeued]) -> None:
    """Queue these accounts at these places; one that is being read just now stays as it is."""
    for start in range(0, len(entries), _CHUNK):
        part = entries[start : start + _CHUNK]
        journal.note(conn, Act.REQUEUED, entries=[list(entry) for entry in part])
        _QUEUE.run_many(conn, part)
