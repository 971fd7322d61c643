"""`core`: a dense graph among the important."""

from __future__ import annotations

from math import sqrt

from crawler.strategy import UNKNOWN_FIRST, Strategy
from storage.ordering import Candidate


class Core(Strategy):
    """Accounts that many read lists name and many follow. Not divided by cost: the lists of hubs hold the edges."""

    name = "core"
    purpose = "a dense graph among the important: lists that name it times root of reported followers"
    cost_exponent = 0.0
    keeps_listings = True

    def priority(self, entry: Candidate) -> float:
        """Return k * sqrt(F)."""
        if entry.followers is None:
            return UNKNOWN_FIRST
        return entry.listings * sqrt(entry.followers) / self.cost(entry)
