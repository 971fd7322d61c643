"""What was seen so far, for decisions while a crawl goes on."""

from __future__ import annotations

import sqlalchemy as sa

from storage.schema import State, accounts, frontier, visits

SEEN = 10
"""Lists that must name an account for its followers to be compared with them."""

RATIOS = 5_000
"""Accounts compared at most: those named most often."""


def frontier_size(conn: sa.Connection) -> int:
    """Return about how many entries there are: the largest id."""
    return int(conn.execute(sa.select(sa.func.coalesce(sa.func.max(frontier.c.account_id), 0))).scalar_one())


def list_order(conn: sa.Connection) -> tuple[int, int]:
    """Return how many comparisons of early with late places of lists there were, and their score (+1: hubs later)."""
    tests, score = conn.execute(
        sa.select(
            sa.func.coalesce(sa.func.sum(visits.c.order_tests), 0),
            sa.func.coalesce(sa.func.sum(visits.c.order_score), 0),
        )
    ).one()
    return int(tests), int(score)


def listing_ratios(conn: sa.Connection) -> list[tuple[int, int]]:
    """Return of much-listed accounts how many lists named them and how many followers they report."""
    rows = conn.execute(
        sa.select(frontier.c.listings, accounts.c.followers)
        .select_from(frontier.join(accounts, accounts.c.id == frontier.c.account_id))
        .where(frontier.c.listings >= SEEN, accounts.c.followers > 0)
        .order_by(frontier.c.listings.desc(), frontier.c.account_id)
        .limit(RATIOS)
    )
    return [(int(k), int(followers)) for k, followers in rows]


def uncrawled_share(conn: sa.Connection) -> float:
    """Return which part of all cash lies on accounts not read yet; 0 where there is none."""
    waiting = frontier.c.state.in_([int(State.QUEUED), int(State.LEASED), int(State.DEFERRED)])
    there, in_all = conn.execute(
        sa.select(sa.func.sum(sa.case((waiting, frontier.c.cash), else_=0.0)), sa.func.sum(frontier.c.cash))
    ).one()
    return float(there / in_all) if in_all else 0.0
