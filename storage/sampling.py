"""How a sample was drawn: from which queue each list was picked, and the draws of the control sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from storage.schema import Completeness, ledger, visits

MAIN, EXPLORE, AUDIT = "main", "explore", "audit"
CONTROL = ("control-1", "control-2", "control-3")
"""The queues that a visit is picked from."""

_DRAWS = sa.table("control_draws", *(sa.column(name) for name in ("run_id", "wave", "account_id", "draws")))


def visit_rows(conn: sa.Connection) -> Iterator[tuple[int, str, int]]:
    """Yield (account id, queue, pages) of the visits that brought a list, in the order in which they began.

    Visits made before there were queues are of the main one.
    """
    queue = sa.func.coalesce(_queue(), MAIN) if _has_queues(conn) else sa.literal(MAIN)
    listing = visits.c.completeness.in_(Completeness.LISTED) & (visits.c.pages > 0)
    query = sa.select(visits.c.account_id, queue, visits.c.pages).where(listing).order_by(visits.c.id)
    return ((account, picked, pages) for account, picked, pages in conn.execute(query))


def control_draws(conn: sa.Connection) -> tuple[list[tuple[int, int, int]], dict[int, int]]:
    """Return the last control sample that has all three waves: rows (wave, account id, draws), and credits by wave.

    Waves are counted from 1. Without one the rows are empty.
    """
    if not _has_queues(conn) or not sa.inspect(conn).has_table(_DRAWS.name):
        return [], {}
    whole = sa.select(sa.func.max(_DRAWS.c.run_id)).where(
        _DRAWS.c.run_id.in_(
            sa.select(_DRAWS.c.run_id)
            .group_by(_DRAWS.c.run_id)
            .having(sa.func.count(sa.distinct(_DRAWS.c.wave)) == len(CONTROL))
        )
    )
    run: int | None = conn.execute(whole).scalar_one()
    rows: sa.Select[Any] = (
        sa.select(_DRAWS.c.wave, _DRAWS.c.account_id, _DRAWS.c.draws)
        .where(_DRAWS.c.run_id == run, _DRAWS.c.draws > 0)
        .order_by(_DRAWS.c.wave, _DRAWS.c.account_id)
    )
    charged = (
        sa.select(_queue(), sa.func.sum(ledger.c.charged))
        .select_from(ledger.join(visits, visits.c.id == ledger.c.visit_id))
        .where(visits.c.run_id == run, _queue().in_(CONTROL))
        .group_by(_queue())
    )
    spent = {CONTROL.index(queue) + 1: int(credits) for queue, credits in conn.execute(charged)}
    return [(wave, account, draws) for wave, account, draws in conn.execute(rows)], spent


def _queue() -> sa.ColumnElement[str]:
    return sa.literal_column("visits.queue", sa.Text)


def _has_queues(conn: sa.Connection) -> bool:
    return any(column["name"] == "queue" for column in sa.inspect(conn).get_columns(visits.name))
