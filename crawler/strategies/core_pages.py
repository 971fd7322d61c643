"""`core-pages`: `core` where lists are in random order and follower counts can be trusted, by a learned rate."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import log, log2, sqrt
from typing import TYPE_CHECKING

from crawler.strategy import UNKNOWN_FIRST, Strategy, accounts_left
from storage.ordering import Bought, Candidate

if TYPE_CHECKING:
    from crawler.strategies.learner import Learner

KNOWN_BEFORE = 200
BINS, PER_OCTAVE = 400, 16
FORGETTING = 0.998
PRIOR = (log(0.2), 0.0, 0.2, -0.2, 0.0)
WEIGHT = 100.0
"""Listed accounts that the expected rate weighs against a list's own."""
SOFT = 4.0
SHARPNESS = 3.0


class CorePages(Strategy):
    """Expected follows of core accounts on the next page, times the chance that the lister is of the core itself.

    The core are the `core_size` accounts with most reported followers, a tenth of all while fewer are known. `merit`
    counts the core accounts that name an entry, `quality` sums sqrt((F + 1) / D) of those that do.
    """

    name = "core-pages"
    purpose = "a dense graph among the important where lists are in random order: a learned rate, page by page"
    keeps_listings = True
    is_pagewise = True
    learns = True
    cost_exponent = 0.0
    has_cost = False
    learner: Learner
    known = 0
    gate = 0.0
    quality_sum = 0.0
    quality_count = 0
    pages = 0
    histogram: list[int]

    @property
    def label(self) -> str:
        """Name the ranking, by the size of the core as well: another core has other members, and other merits."""
        return f"{self.name}/core^{self.tuning.core_size}"

    def restored(self, state: str | None) -> CorePages:
        """Return this strategy with what it has learned."""
        # It brings numpy, which who only asks for the names of strategies does without.
        from crawler.strategies.learner import Learner  # noqa: PLC0415

        other = CorePages(self.tuning)
        model = None
        other.histogram = [0] * BINS
        if state:
            (
                other.known,
                other.gate,
                other.quality_sum,
                other.quality_count,
                other.pages,
                other.histogram,
                model,
            ) = json.loads(state)
        other.learner = Learner(PRIOR, FORGETTING, model)
        return other

    def state(self) -> str:
        """Return what it has learned."""
        return json.dumps(
            [
                self.known,
                self.gate,
                self.quality_sum,
                self.quality_count,
                self.pages,
                self.histogram,
                self.learner.state(),
            ]
        )

    def acquaint(self, followers: Iterable[int]) -> None:
        """Learn who is of the core among all accounts known."""
        for count in followers:
            self._meet(count)
        self._set_gate()

    def _meet(self, followers: int) -> None:
        self.known += 1
        self.histogram[min(BINS - 1, int(PER_OCTAVE * log2(followers + 1)))] += 1

    def _set_gate(self) -> None:
        wanted = min(self.tuning.core_size, max(1, self.known // 10))
        place = BINS
        while place and wanted > 0:
            place -= 1
            wanted -= self.histogram[place]
        self.gate = 2.0 ** (place / PER_OCTAVE) - 1

    def priority(self, entry: Candidate) -> float:
        """Return membership * rate * accounts of the next page."""
        if entry.followers is None and not entry.pages:
            return UNKNOWN_FIRST
        if entry.pages:
            rate = (entry.hits + WEIGHT * entry.rate) / (entry.listed + WEIGHT)
        else:
            rate = self.learner.rate(_features(entry))
        usual = self.quality_sum / self.quality_count if self.quality_count else 1.0
        standing = ((entry.followers or 0) + 0.5) * sqrt((entry.quality / usual + SOFT) / (entry.listings + SOFT))
        membership = 1.0 / (1.0 + (self.gate / standing) ** SHARPNESS)
        return float(membership * rate * accounts_left(entry))

    def merits(self, lister: Candidate) -> tuple[float, float]:
        """Return whether the lister is of the core, and its quality."""
        return float((lister.followers or 0) >= self.gate), _quality(lister)

    def learn(self, page: Bought) -> tuple[int, float]:
        """Learn from every page, and now and then who is of the core."""
        features = _features(page.entry)
        expected = self.learner.rate(features)
        hits = sum(count >= self.gate for count in page.followers)
        if self.known >= KNOWN_BEFORE and page.entry.following is not None:
            self.learner.learn(features, items=len(page.followers), hits=hits)
        self.quality_sum += _quality(page.entry) * len(page.followers)
        self.quality_count += len(page.followers)
        for count in page.new:
            self._meet(count)
        self.pages += 1
        if self.pages % max(20, self.pages // 50) == 0 or self.pages <= 20:
            self._set_gate()
        return hits, expected


def _quality(lister: Candidate) -> float:
    return sqrt(((lister.followers or 0) + 1) / max(1, lister.following or 1))


def _features(entry: Candidate) -> tuple[float, ...]:
    return (
        1.0,
        log((entry.followers or 0) + 1) - 5,
        log(entry.merit + 0.5),
        log((entry.following or 0) + 1) - 4,
        log((entry.merit + 0.5) / (entry.listings + 1)),
    )
