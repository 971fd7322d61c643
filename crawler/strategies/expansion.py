"""`expansion`: long lists of accounts that few read lists name; the balanced sample of the audit."""

from __future__ import annotations

from crawler.strategy import PAGE_SIZE, Strategy
from storage.ordering import Candidate


class Expansion(Strategy):
    """New accounts without learning anything, and without regard to followers."""

    name = "expansion"
    purpose = "an audit of follower counts: full pages of accounts that few lists name"
    keeps_listings = True

    def priority(self, entry: Candidate) -> float:
        """Return (D / c) / (1 + k)."""
        following = PAGE_SIZE if entry.following is None else entry.following
        return following / self.cost(entry) / (1 + entry.listings)
