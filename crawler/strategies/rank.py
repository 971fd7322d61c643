"""`rank`: reported followers per page still to buy."""

from __future__ import annotations

from crawler.strategy import UNKNOWN_FIRST, Strategy
from storage.ordering import Candidate


class Rank(Strategy):
    """Who matters; needs trustworthy follower counts."""

    name = "rank"
    purpose = "who matters: reported followers per page still to buy"

    def priority(self, entry: Candidate) -> float:
        """Return F / c."""
        if entry.followers is None:
            return UNKNOWN_FIRST
        return entry.followers / self.cost(entry)
