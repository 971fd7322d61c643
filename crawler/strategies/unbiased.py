"""`unbiased`: accounts by lot, each with a chance of 1 / followers."""

from __future__ import annotations

from crawler.strategy import Strategy, lot
from storage.ordering import Candidate


class Unbiased(Strategy):
    """Statistics of the population: an account that F lists can name is drawn F times less often."""

    name = "unbiased"
    purpose = "statistics of the population: by lot, undoing that the much-followed are found more often"
    cost_exponent = 0.0
    has_cost = False

    def priority(self, entry: Candidate) -> float:
        """Return ln(u) * max(F, 1), static."""
        return lot(entry, self.tuning.lot_seed)
