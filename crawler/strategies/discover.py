"""`discover`: most new accounts per credit, by a bandit over kinds of accounts that leaves lists that dry up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from math import inf, log, log2, nan, sqrt

from crawler.strategy import PAGE_SIZE, UNKNOWN_FIRST, Strategy, accounts_left, pages_left, uniform
from storage.ordering import MAIN_LANE, Bought, Candidate, Place

STARTED = MAIN_LANE
"""The lane of lists that are half read, and of seeds; unread lists stand in the lane of their arm, 1 to 160."""

FORGETTING = 0.9985
CURIOSITY = 0.15 * PAGE_SIZE
PRIOR = 20.0
"""Listed accounts that the arm's average weighs against a list's own."""


class Discover(Strategy):
    """Discounted UCB1 (Garivier & Moulines 2011) over arms of (followers, cost, listings), page by page."""

    name = "discover"
    purpose = "most new accounts per credit: a bandit over followers, cost and listings, page by page"
    keeps_listings = True
    is_pagewise = True
    learns = True
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
        """Return the arm's lane and a random place in it, or what the next page of a list under way is worth."""
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
        """Return the lists under way, then the arms by their upper confidence bound."""
        import os
        P = float(os.environ.get("P", "2")); C = float(os.environ.get("C", "0.15")); Q=float(os.environ.get("Q", "3"))
        tried = sum(pair[1] for pair in self.yields.values())
        mean = (sum(pair[0] for pair in self.yields.values()) + PAGE_SIZE) / (tried + 1)
        by = os.environ.get("BY", "k")
        key = (lambda arm: (arm - 1) // 40) if by == "k" else (lambda arm: (arm - 1) % 10) if by == "F" else (lambda arm: (arm-1)//10)
        groups = {}
        for arm, (new, pages) in self.yields.items():
            a = groups.setdefault(key(arm), [0.0, 0.0]); a[0] += new; a[1] += pages
        prior = {k: (a + Q * mean) / (b + Q) for k, (a, b) in groups.items()}
        worth = [(self._bound(arm, tried, in_flight.get(arm, 0), prior[key(arm)], P, C), arm) for arm in self.yields]
        worth.sort(key=lambda pair: (-pair[0], pair[1]))
        return [(nan, STARTED), *worth]

    def _bound(self, arm: int, tried: float, in_flight: int, mean: float, P, C) -> float:
        new, pages = self.yields[arm]
        average = (new + P * mean) / (pages + P)
        return average + C * PAGE_SIZE * sqrt(log(tried + in_flight + 2) / (pages + in_flight + P))


def _arm(entry: Candidate) -> int:
    followers = min(9, int(log2((entry.followers or 0) + 1) / 1.5))
    cost = min(3, int(log2(pages_left(entry))))
    listings = min(3, int(log2(max(1, entry.listings))))
    return 1 + followers + 10 * cost + 40 * listings
