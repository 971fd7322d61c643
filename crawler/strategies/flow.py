"""`flow`: OPIC, the cash that visited accounts hand to those they list, per page still to buy."""

from __future__ import annotations

from crawler.strategy import Strategy
from storage.ordering import Candidate


class Flow(Strategy):
    """A general map around the seeds (Abiteboul, Preda & Cobena 2003), without trust in follower counts."""

    name = "flow"
    purpose = "a general map around the seeds: OPIC, cash per page still to buy"
    keeps_cash = True

    def priority(self, entry: Candidate) -> float:
        """Return cash / c."""
        return entry.cash / self.cost(entry)
