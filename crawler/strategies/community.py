"""`community`: one scene around a few seeds."""

from __future__ import annotations

from crawler.strategy import UNKNOWN_FIRST, Strategy
from storage.ordering import Candidate

SMALL = 20
"""Followers added to an account's own, so that those with hardly any do not come first by accident."""


class Community(Strategy):
    """Accounts near the seeds whose followers are mostly among the visited: cash * k / (F + 20) / c."""

    name = "community"
    purpose = "one scene around 1 to 50 seeds: cash and the share of followers already read, per page"
    keeps_cash = True
    keeps_listings = True

    def priority(self, entry: Candidate) -> float:
        """Return cash * k / (F + 20) / c."""
        if entry.followers is None:
            return UNKNOWN_FIRST
        return entry.cash * max(entry.listings, entry.depth == 0) / (entry.followers + SMALL) / self.cost(entry)
