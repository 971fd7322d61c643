"""`discover`: most new accounts per credit, by a bandit over kinds of accounts that leaves lists that dry up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from math import log, log2, nan, sqrt

from crawler.strategy import PAGE_SIZE, UNKNOWN_FIRST, Strategy, accounts_left, pages_left, uniform
from storage.ordering import MAIN_LANE, Bought, Candidate, Place

STARTED = MAIN_LANE
"""The lane of lists that are half read, and of seeds; unread lists stand in the lane of their arm, 1 to 160."""

FORGETTING = 0.9985
CURIOSITY = 0.1 * PAGE_SIZE
LIKENESS = 3.0
"""First pages that what is known of arms alike weighs against an arm's own: few crawls have the credits to try each of
160 arms for itself."""
PRIOR = 20.0
"""Listed accounts that the arm's average weighs against a list's own."""


class Discover(Strategy):
    """Discounted UCB1 (Garivier & Moulines 2011) over arms of (followers, cost, listings), page by page.

    Averages are shrunk towards those of arms alike (as in empirical Bayes: Efron & Morris 1975), and within an arm the
    list with most accounts on its next page is first.
    """

    name = "discover"
    purpose = "most new accounts per credit: a bandit over followers, cost and listings, page by page"
    keeps_listings = True
    is_pagewise = True
    learns = True
    has_cost = False
    yields: dict[int, list[float]]
    """Of each arm that was ever seen: new accounts on first pages, and first pages, both discounted."""

    def restored(self, state: str | None) -> Discover:
        """Return this strategy with what its arms have yielded."""
        other = Discover(self.tuning)
        other.yields = {int(arm): pair for arm, pair in json.loads(state).items()} if state else {}
        return other

    def state(self) -> str:
        """Return what the arms have yielded."""
        return json.dumps(self.yields)

    def acquaint(self, followers: Iterable[int]) -> None:
        """Nothing is to be known of the accounts as a whole."""

    def place(self, entry: Candidate) -> Place:
        """Return the arm's lane and a place by the next page's length, or what it is worth for a list under way."""
        if entry.followers is None and not entry.pages:
            return Place(STARTED, UNKNOWN_FIRST)
        if entry.pages:
            rate = (entry.hits + PRIOR * entry.rate) / (entry.listed + PRIOR)
            return Place(STARTED, rate * accounts_left(entry))
        arm = _arm(entry)
        self.yields.setdefault(arm, [0.0, 0.0])
        return Place(arm, accounts_left(entry) + uniform(self.tuning.lot_seed, entry.account_id))

    def learn(self, page: Bought) -> tuple[int, float]:
        """Credit the arm with what a first page brought."""
        if page.entry.pages:
            return len(page.new), page.entry.rate
        arm = self.yields.setdefault(_arm(page.entry), [0.0, 0.0])
        expected = arm[0] / arm[1] / PAGE_SIZE if arm[1] else 1.0
        for pair in self.yields.values():
            pair[0] *= FORGETTING
            pair[1] *= FORGETTING
        arm[0] += len(page.new)
        arm[1] += 1.0
        return len(page.new), expected

    def lanes(self, in_flight: Mapping[int, int]) -> Sequence[tuple[float, int]]:
        """Return the lists under way, then the arms by their upper confidence bound.

        An arm is taken to be like those with as many listings, and these like all, as far as its own pages do not tell.
        """
        tried = sum(pages for _, pages in self.yields.values())
        overall = (sum(new for new, _ in self.yields.values()) + PAGE_SIZE) / (tried + 1)
        alike: dict[int, tuple[float, float]] = {}
        for arm, (new, pages) in self.yields.items():
            before = alike.get(_listings(arm), (0.0, 0.0))
            alike[_listings(arm)] = before[0] + new, before[1] + pages
        usual = {listings: _shrunk(*pair, overall) for listings, pair in alike.items()}
        worth = []
        for arm, (new, pages) in self.yields.items():
            doubt = sqrt(log(tried + in_flight.get(arm, 0) + 2) / (pages + in_flight.get(arm, 0) + LIKENESS))
            worth.append((_shrunk(new, pages, usual[_listings(arm)]) + CURIOSITY * doubt, arm))
        worth.sort(key=lambda pair: (-pair[0], pair[1]))
        return [(nan, STARTED), *worth]


def _shrunk(new: float, pages: float, towards: float) -> float:
    return (new + LIKENESS * towards) / (pages + LIKENESS)


def _arm(entry: Candidate) -> int:
    followers = min(9, int(log2((entry.followers or 0) + 1) / 1.5))
    cost = min(3, int(log2(pages_left(entry))))
    listings = min(3, int(log2(max(1, entry.listings))))
    return 1 + followers + 10 * cost + 40 * listings


def _listings(arm: int) -> int:
    return (arm - 1) // 40
