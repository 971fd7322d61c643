"""`bfs`: hop by hop, in order of discovery."""

from __future__ import annotations

from crawler.strategy import Strategy
from storage.ordering import Candidate


class Bfs(Strategy):
    """Complete neighbourhoods: an account of fewer hops first, then the one discovered first."""

    name = "bfs"
    purpose = "complete neighbourhoods, hop by hop, in order of discovery"
    cost_exponent = 0.0
    has_cost = False

    def priority(self, entry: Candidate) -> float:
        """Return depth before order of discovery, exact in a float up to 2^40 accounts and 2^12 hops."""
        return -(entry.depth * 2.0**40 + entry.account_id)
