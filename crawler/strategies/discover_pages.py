"""`discover-pages`: `discover` where lists are in random order, by a learned rate instead of a bandit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import log
from typing import TYPE_CHECKING

from crawler.strategy import UNKNOWN_FIRST, Strategy, accounts_left
from storage.ordering import Bought, Candidate

if TYPE_CHECKING:
    from crawler.strategies.learner import Learner

KNOWN_BEFORE = 200
"""Accounts that must be known before a page teaches anything: the first pages are all new."""
FORGETTING = 0.9985
PRIOR = (log(0.6), 0.0, -0.2, 0.0)
WEIGHT = 10.0
"""Listed accounts that the expected rate weighs against a list's own."""


class DiscoverPages(Strategy):
    """Expected new accounts of the next page, from followers, listings and following."""

    name = "discover-pages"
    purpose = "most new accounts per credit where lists are in random order: a learned rate, page by page"
    keeps_listings = True
    is_pagewise = True
    learns = True
    has_cost = False
    known = 0
    learner: Learner

    def restored(self, state: str | None) -> DiscoverPages:
        """Return this strategy with what it has learned."""
        # It brings numpy, which who only asks for the names of strategies does without.
        from crawler.strategies.learner import Learner  # noqa: PLC0415

        other = DiscoverPages(self.tuning)
        other.known, model = json.loads(state) if state else (0, None)
        other.learner = Learner(PRIOR, FORGETTING, model)
        return other

    def state(self) -> str:
        """Return what it has learned."""
        return json.dumps([self.known, self.learner.state()])

    def acquaint(self, followers: Iterable[int]) -> None:
        """Count the accounts known."""
        self.known = sum(1 for _ in followers)

    def priority(self, entry: Candidate) -> float:
        """Return rate * accounts of the next page."""
        if entry.followers is None and not entry.pages:
            return UNKNOWN_FIRST
        if entry.pages:
            rate = (entry.hits + WEIGHT * entry.rate) / (entry.listed + WEIGHT)
        else:
            rate = self.learner.rate(_features(entry))
        return rate * accounts_left(entry)

    def learn(self, page: Bought) -> tuple[int, float]:
        """Learn from every page."""
        features = _features(page.entry)
        expected = self.learner.rate(features)
        if self.known >= KNOWN_BEFORE and page.entry.following is not None:
            self.learner.learn(features, items=len(page.followers), hits=len(page.new))
        self.known += len(page.new)
        return len(page.new), expected


def _features(entry: Candidate) -> tuple[float, ...]:
    return (
        1.0,
        0.3 * (log((entry.followers or 0) + 1) - 3),
        0.5 * log(max(1, entry.listings)),
        0.5 * (log((entry.following or 0) + 1) - 3),
    )
