"""Rankings: every waiting entry's priority made anew, for a crawl whose strategy is not the last one's.

Invariant: the database remembers whose priorities its frontier has, and while they are being made, that they are mixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from storage import follows, journal
from storage.accounts import Candidate, Rank
from storage.journal import Act
from storage.schema import State, accounts, frontier, visits
from storage.statement import Statement

RANKED_BY = "ranked_by"
"""The key under which a database remembers by which strategy its frontier is ranked."""

MIXED = "mixed"
"""What a frontier is ranked by while it is ranked anew. A crawl that died there leaves it so: to be ranked again."""


_UNREAD = (State.QUEUED, State.SKIPPED, State.DEFERRED)
_RANKED = Statement(
    sa.select(
        frontier.c.account_id,
        accounts.c.followers,
        accounts.c.following,
        frontier.c.depth,
        frontier.c.cash,
        sa.func.coalesce(visits.c.pages, 0),
        frontier.c.priority,
    )
    .select_from(
        frontier.join(accounts, accounts.c.id == frontier.c.account_id).outerjoin(
            visits, visits.c.id == frontier.c.visit_id
        )
    )
    .where(
        frontier.c.account_id > sa.bindparam("after"),
        sa.literal_column("state").in_([sa.literal_column(str(int(state))) for state in _UNREAD]),
    )
    .order_by(frontier.c.account_id)
    .limit(sa.bindparam("at_most")),
    ("after", "at_most"),
)
_SET_PRIORITY = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values(priority=sa.bindparam("new_priority")),
    ("of_account", "new_priority"),
)


def rerank(conn: sa.Connection, rank: Rank, *, after: int, at_most: int) -> int | None:
    """Give the next entries after an account id their priority under `rank`; returns the last id, None at the end."""
    journal.note(conn, Act.RANKED, after=after, at_most=at_most)
    rows: Sequence[Any] = _RANKED.run(conn, after, at_most).all()
    changed = []
    for account_id, followers, following, depth, cash, pages, priority in rows:
        new = rank(Candidate(account_id, followers, following, depth, cash, pages))
        if new != priority:
            changed.append((account_id, new))
    _SET_PRIORITY.run_many(conn, changed)
    return None if len(rows) < at_most else int(rows[-1][0])


def rebuild_cash(conn: sa.Connection) -> None:
    """Work out every entry's cash anew by replaying the visits in their order, for a run that begins to need it."""
    journal.note(conn, Act.CASH_REBUILT)
    cash = {row.account_id: 1.0 for row in conn.execute(sa.select(frontier.c.account_id).where(frontier.c.depth == 0))}
    for visit in conn.execute(
        sa.select(visits.c.id, visits.c.account_id, visits.c.edges, visits.c.reported_total, accounts.c.following)
        .join(accounts, accounts.c.id == visits.c.account_id)
        .where(visits.c.edges > 0)
        .order_by(visits.c.id)
    ).all():
        available = cash.get(visit.account_id, 0.0)
        share = available / max(visit.edges, visit.reported_total or visit.following or 0)
        for target in follows.targets(conn, visit.account_id):
            cash[target] = cash.get(target, 0.0) + share
            cash[visit.account_id] -= share
    _SET_CASH.run_many(conn, list(cash.items()))


_SET_CASH = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values(cash=sa.bindparam("new_cash")),
    ("of_account", "new_cash"),
)
