"""Seeds enter the frontier ranked by the strategy the database was last crawled with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from crawler.strategy import DEFAULT, STRATEGIES
from storage import runs, seeding
from storage.database import Database
from storage.ranking import RANKED_BY
from storage.seeding import Seeded


def seed(db: Database, handles: Sequence[str], *, now: float) -> Seeded:
    """Add normalised handles at depth 0 in one transaction. Raises a DatabaseError."""
    ranked_by = db.transact(partial(runs.recall, key=RANKED_BY)) or DEFAULT
    rank = STRATEGIES.get(ranked_by, STRATEGIES[DEFAULT]).rank  # a ranking that was cut off is made anew by a crawl
    return db.transact(partial(seeding.add, handles=handles, rank=rank, now=now))
