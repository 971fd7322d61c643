"""Strategies: which account's list is worth the next credit. A strategy is a pure ranking of what is known of an entry.

A new one is an entry in `STRATEGIES`: a name, a ranking, and whether it needs the cash that visited accounts hand out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from storage.accounts import Candidate

PAGE_SIZE = 20
"""Accounts a page lists, as far as anybody knows: the provider does not say."""

UNKNOWN_FIRST = 1e18
"""Priority of an entry whose followers nobody has reported yet: seeds come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A ranking of frontier entries, larger first. `spreads_cash` has storage keep each entry's cash."""

    name: str
    purpose: str
    rank: Callable[[Candidate], float]
    spreads_cash: bool = False


def cost(candidate: Candidate) -> int:
    """Return the pages still to buy of an entry, from its reported following; 1 where nothing is reported."""
    if candidate.following is None:
        return 1
    return max(1, -(-candidate.following // PAGE_SIZE) - candidate.pages_done)


def _bfs(candidate: Candidate) -> float:
    # Depth before order of discovery, exact in a float up to 2^40 accounts and 2^12 hops.
    return -(candidate.depth * 2.0**40 + candidate.account_id)


def _flow(candidate: Candidate) -> float:
    return candidate.cash / cost(candidate)


def _rank(candidate: Candidate) -> float:
    if candidate.followers is None:
        return UNKNOWN_FIRST
    return candidate.followers / cost(candidate)


STRATEGIES: Mapping[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            name="flow",
            purpose="a general map around the seeds: OPIC, cash per page still to buy",
            rank=_flow,
            spreads_cash=True,
        ),
        Strategy(name="rank", purpose="who matters: reported followers per page still to buy", rank=_rank),
        Strategy(name="bfs", purpose="complete neighbourhoods, hop by hop, in order of discovery", rank=_bfs),
    )
}

NAMES = tuple(STRATEGIES)
DEFAULT = "flow"
