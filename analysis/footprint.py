"""How much memory a report takes, before it takes it."""

from __future__ import annotations

import sqlalchemy as sa

from storage.database import Database
from storage.schema import accounts, follows

BASE, OF_ACCOUNT, OF_FOLLOW = 350_000_000, 420, 210
"""Bytes: of the libraries, and of each account and each current follow at the peak, communities included. Measured
with `benchmarks/analysing.py --report`, and rounded up."""


def counted(database: Database) -> tuple[int, int]:
    """Return how many accounts and follows a database holds; ended follows among them."""
    with database.read() as conn:
        count = sa.select(sa.func.count())
        known, edges = (conn.execute(count.select_from(table)).scalar_one() for table in (accounts, follows))
    return int(known), int(edges)


def needed(known: int, edges: int) -> int:
    """Return the bytes of memory that a report on so many accounts and follows takes at most, about."""
    return BASE + OF_ACCOUNT * known + OF_FOLLOW * edges
