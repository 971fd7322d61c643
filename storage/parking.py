"""Entries set aside: those nobody can ask for, those a limit forbids, those whose seed or hop has used up its credits.

Invariant: what is set aside keeps its list, its cursor and its place, and comes back when its reason is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from storage import journal
from storage.accounts import FILTERED, NO_HANDLE, TOO_DEEP, Facts, Wants, never_bought
from storage.allowances import PARKED, Allowances, Caps, parked
from storage.journal import Act
from storage.schema import State, accounts, frontier
from storage.statement import Statement

_SKIP = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values(state=sa.literal_column("4"), reason=sa.bindparam("why"), lease_process=sa.null(), leased_at=sa.null()),
    ("of_account", "why"),
)


def skip_nameless(conn: sa.Connection, account_id: int) -> None:
    """Pass over an account whose handle somebody else has now: nobody can ask for it until it is seen under a new one.

    A list under way keeps its visit and its cursor.
    """
    journal.note(conn, Act.NAMELESS, account=account_id)
    _SKIP.run(conn, account_id, NO_HANDLE)


def park(conn: sa.Connection, account_ids: Sequence[int], reason: str) -> None:
    """Set entries aside whose seed or hop has used up its credits."""
    journal.note(conn, Act.PARKED, accounts=list(account_ids), reason=reason)
    for account_id in account_ids:
        _SKIP.run(conn, account_id, reason)


_UNPARK = Statement(
    sa.update(frontier)
    .where(
        frontier.c.account_id == sa.bindparam("of_account"),
        frontier.c.state == int(State.SKIPPED),
        sa.or_(*(frontier.c.reason == reason for reason in PARKED.values())),
    )
    .values(state=sa.literal_column("0"), reason=sa.null()),
    ("of_account",),
)


def unpark(conn: sa.Connection, account_ids: Sequence[int]) -> None:
    """Queue entries again that were set aside."""
    journal.note(conn, Act.UNPARKED, accounts=list(account_ids))
    _UNPARK.run_many(conn, [(account_id,) for account_id in account_ids])


def unpark_payable(conn: sa.Connection, caps: Caps, *, run_id: int, now: float) -> int:
    """Queue those set aside whose seed and hop have credits after all; returns how many."""
    allowances = Allowances(conn, caps, run_id=run_id, now=now)
    payable = [row.account_id for row in parked(conn) if allowances.refusal(row.seed_id, row.depth) is None]
    if payable:
        unpark(conn, payable)
    return len(payable)


def _within(max_depth: int | None) -> sa.ColumnElement[bool]:
    return sa.true() if max_depth is None else frontier.c.depth <= max_depth


def apply_depth_limit(conn: sa.Connection, max_depth: int | None) -> None:
    """Make the frontier obey a depth limit that may differ from the last run's."""
    journal.note(conn, Act.DEPTH_LIMITED, max_depth=max_depth)
    conn.execute(
        sa.update(frontier)
        .where(frontier.c.state == int(State.SKIPPED), frontier.c.reason == TOO_DEEP, _within(max_depth))
        .values(state=int(State.QUEUED), reason=None)
    )
    if max_depth is not None:
        conn.execute(
            sa.update(frontier)
            .where(
                frontier.c.state.in_([int(State.QUEUED), int(State.DEFERRED)]),
                frontier.c.depth > max_depth,
            )
            .values(state=int(State.SKIPPED), reason=TOO_DEEP, not_before=None)
        )


OPTIONAL = tuple(accounts.c[name] for name in Facts._fields)
"""The columns of Facts."""


def is_refused(facts: Facts, wants: Wants | None, *, depth: int, visit_id: int | None) -> bool:
    """Tell whether the user's filters refuse an entry. Seeds and lists that are half read are always wanted."""
    return depth > 0 and visit_id is None and never_bought(facts, wants) == FILTERED


def apply_filter(conn: sa.Connection, wants: Wants | None, *, after: int, at_most: int) -> int | None:
    """Make the next entries after an account id obey the user's filters; returns the last id, None at the end."""
    rows: Any = conn.execute(
        sa.select(
            frontier.c.account_id, frontier.c.state, frontier.c.reason, frontier.c.depth, frontier.c.visit_id, *OPTIONAL
        )
        .select_from(frontier.join(accounts, accounts.c.id == frontier.c.account_id))
        .where(
            frontier.c.account_id > after,
            frontier.c.state.in_([int(State.QUEUED), int(State.SKIPPED)]),
        )
        .order_by(frontier.c.account_id)
        .limit(at_most)
    ).all()
    refused, wanted = [], []
    for account_id, state, reason, depth, visit_id, *facts in rows:
        refuses = is_refused(Facts(*facts), wants, depth=depth, visit_id=visit_id)
        if refuses and (state == State.QUEUED or reason == TOO_DEEP):
            refused.append(account_id)
        elif state == State.SKIPPED and reason == FILTERED and not refuses:
            wanted.append(account_id)
    refuse(conn, refused)
    want(conn, wanted)
    return None if len(rows) < at_most else int(rows[-1][0])


def may_wait(max_depth: int | None) -> sa.ColumnElement[bool]:
    """Return which entries wait once a crawl has obeyed its depth limit, given back every lease and taken up again what
    was set aside, as far as its filters do not refuse them (`is_refused`).
    """
    waits = frontier.c.state.in_([int(State.QUEUED), int(State.DEFERRED), int(State.LEASED)])
    comes_back = sa.and_(
        frontier.c.state == int(State.SKIPPED), frontier.c.reason.in_((TOO_DEEP, FILTERED, *PARKED.values()))
    )
    return sa.and_(sa.or_(waits, comes_back), _within(max_depth))


def refuse(conn: sa.Connection, account_ids: Sequence[int]) -> None:
    """Skip waiting entries that the filters refuse."""
    if account_ids:
        journal.note(conn, Act.FILTERED, accounts=list(account_ids))
        for account_id in account_ids:
            _SKIP.run(conn, account_id, FILTERED)


_WANT = Statement(
    sa.update(frontier)
    .where(
        frontier.c.account_id == sa.bindparam("of_account"),
        frontier.c.state == int(State.SKIPPED),
        frontier.c.reason == FILTERED,
    )
    .values(state=sa.literal_column("0"), reason=sa.null()),
    ("of_account",),
)


def want(conn: sa.Connection, account_ids: Sequence[int]) -> None:
    """Queue entries that the filters refused and no longer refuse."""
    if account_ids:
        journal.note(conn, Act.UNFILTERED, accounts=list(account_ids))
        _WANT.run_many(conn, [(account_id,) for account_id in account_ids])
