"""Seeding: handles into the frontier, in the place that its present strategy gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crawler.strategies import registry
from crawler.strategy import Strategy
from storage import runs, seeding
from storage.database import Database
from storage.ordering import STATE
from storage.ranking import MIXED, RANKED_BY, RANKED_TO
from storage.seeding import Seeded

if TYPE_CHECKING:
    from sqlalchemy import Connection


def ordering_now(conn: Connection) -> Strategy:
    """Return the strategy by which the frontier is ranked, or is being ranked, with what it has learned."""
    label = runs.recall(conn, RANKED_BY)
    if label == MIXED:
        label = (runs.recall(conn, RANKED_TO) or "").partition(" ")[0]
    strategy = registry.of_label(label or registry.DEFAULT)
    if strategy is None:  # of another version: a crawl ranks anew what it finds
        strategy = registry.build(registry.DEFAULT)
    return strategy.restored(runs.recall(conn, STATE)) if strategy.learns else strategy


def seed(db: Database, handles: Sequence[str], *, now: float) -> Seeded:
    """Put normalised handles into the frontier at depth 0."""

    def work(conn: Connection) -> Seeded:
        return seeding.add(conn, handles, ordering=ordering_now(conn), now=now)

    return db.transact(work)
