"""How a sample was drawn: from which queue each list was picked, and the draws of the control sample."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from storage.schema import Completeness, Outcome, Queue, control_draws, ledger, visits

WAVES = 3
"""Waves of a control sample: the bias of the crawl halves with each (Salganik & Heckathorn 2004, measured here)."""

CONTROL_QUEUES = tuple(f"{Queue.CONTROL}{wave}" for wave in range(1, WAVES + 1))
"""The queues of the control sample, wave by wave."""

CREDITS_A_WAVE, UNSPENT = 100, 5
"""Fewer credits than this in a wave give no interval: too few draws for their errors to be known. A few may be missing:
a wave ends before the list that would be more than its share."""

SHARE_A_WAVE = 140
"""Credits to set aside for each wave, so that it hardly ever ends with too few. The main crawl's lists in progress are
paid from the first one, and what ends a wave may be a long list: of 48 crawls each of drawn networks (flow, rank, core
and discover, 20 and 50 requests in flight; benchmarks/waves.py) all three waves were large enough in 14 at shares of
100 credits, in 45 at 120 and in all at 140, which shows that they are in 94 % or more (0.05 ** (1 / 48)), not in all.
"""

_QUEUE = sa.func.coalesce(visits.c.queue, Queue.MAIN)
"""Visits made before there were queues are of the main one."""

_LISTING = sa.case((visits.c.completeness.in_(Completeness.LISTED) & (visits.c.pages > 0), 1), else_=0)
"""Whether a visit brought a list, 1 or 0."""


def _paid_by_visit() -> sa.Subquery:
    paid = sa.select(ledger.c.visit_id, sa.func.sum(ledger.c.charged).label("paid"))
    return paid.group_by(ledger.c.visit_id).subquery()


def visit_rows(conn: sa.Connection) -> Iterator[tuple[int, str, int, bool]]:
    """Yield (account id, queue, credits charged, whether a list came) of each visit, in the order of beginning."""
    paid = _paid_by_visit()
    query = (
        sa.select(visits.c.account_id, _QUEUE, sa.func.coalesce(paid.c.paid, 0), _LISTING)
        .select_from(visits.outerjoin(paid, paid.c.visit_id == visits.c.id))
        .order_by(visits.c.id)
    )
    return ((account, queue, int(credits), bool(listing)) for account, queue, credits, listing in conn.execute(query))


def seed_rows(conn: sa.Connection) -> Iterator[tuple[int, int]]:
    """Yield (account id, id of the seed to whose budget its list counts) where there is one, first visits last."""
    listing = visits.c.completeness.in_(Completeness.LISTED) & (visits.c.pages > 0) & visits.c.seed_id.is_not(None)
    query = sa.select(visits.c.account_id, visits.c.seed_id).where(listing).order_by(visits.c.id.desc())
    return ((account, seed) for account, seed in conn.execute(query))


def queue_rows(conn: sa.Connection) -> list[tuple[str, int, int, int]]:
    """Return for each queue its name, the visits picked from it, those that brought a list, and the credits charged.

    In the order of the first visit. Credits charged for no visit are in none of them.
    """
    paid = _paid_by_visit()
    query = (
        sa.select(_QUEUE, sa.func.count(), sa.func.sum(_LISTING), sa.func.coalesce(sa.func.sum(paid.c.paid), 0))
        .select_from(visits.outerjoin(paid, paid.c.visit_id == visits.c.id))
        .group_by(_QUEUE)
        .order_by(sa.func.min(visits.c.id))
    )
    return [(name, int(count), int(lists), int(credits)) for name, count, lists, credits in conn.execute(query)]


def used_by_queue(conn: sa.Connection, run_id: int) -> dict[str, int]:
    """Return by queue the credits of a run that were charged or may have been, as they were booked at their calls."""
    used = sa.func.sum(ledger.c.charged + ledger.c.uncertain)
    rows = conn.execute(
        sa.select(_QUEUE, used)
        .select_from(ledger.join(visits, visits.c.id == ledger.c.visit_id))
        .where(ledger.c.run_id == run_id, ledger.c.outcome != Outcome.RECONCILED)
        .group_by(_QUEUE)
    )
    return {queue: int(credits) for queue, credits in rows}


def control_waves(conn: sa.Connection) -> tuple[list[tuple[int, int, int]], dict[int, int]]:
    """Return the last control sample that has all three waves: rows (wave, account id, draws), and credits by wave.

    Waves are counted from 1. Without one the rows are empty.
    """
    draws = control_draws.c
    whole = sa.select(draws.run_id).group_by(draws.run_id).having(sa.func.count(sa.distinct(draws.wave)) == WAVES)
    run: int | None = conn.execute(whole.order_by(draws.run_id.desc()).limit(1)).scalar()
    if run is None:
        return [], {}
    rows = (
        sa.select(draws.wave, draws.account_id, sa.func.count())
        .where(draws.run_id == run)
        .group_by(draws.wave, draws.account_id)
        .order_by(draws.wave, draws.account_id)
    )
    queues = {queue: wave for wave, queue in enumerate(CONTROL_QUEUES, start=1)}
    charged = (
        sa.select(visits.c.queue, sa.func.sum(ledger.c.charged))
        .select_from(ledger.join(visits, visits.c.id == ledger.c.visit_id))
        .where(visits.c.run_id == run, visits.c.queue.in_(CONTROL_QUEUES))
        .group_by(visits.c.queue)
    )
    spent = {queues[queue]: int(credits) for queue, credits in conn.execute(charged)}
    return [(wave, account, count) for wave, account, count in conn.execute(rows)], spent
