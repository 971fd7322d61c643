"""The seam of strategies: which account's list is worth the next credit.

A strategy is an `Ordering` (storage/ordering.py) with a name; a new one is a file in `crawler/strategies/` and a line
in its registry. Invariant: what a strategy decides follows from an entry's columns, the tuning and its state alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, log
from typing import ClassVar

from storage.ordering import MAIN_LANE, Bought, Candidate, Place

PAGE_SIZE = 20
"""Accounts a page lists, as far as anybody knows: the provider does not say."""

UNKNOWN_FIRST = 1e18
"""Priority of an entry whose followers nobody has reported yet: seeds come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What a user may set of a strategy.

    `cost_exponent` is g in base / cost^g (None: the strategy's own); `core_size` how many accounts the core is to have;
    `lot_seed` what the stored uniform random number of each account is drawn from.
    """

    cost_exponent: float | None = None
    core_size: int = 1000
    lot_seed: int = 0


class Strategy:
    """A ranking of frontier entries. Subclasses say what they keep of an entry and where it stands."""

    name: ClassVar[str]
    purpose: ClassVar[str]
    cost_exponent: ClassVar[float] = 1.0
    has_cost: ClassVar[bool] = True
    """Whether priorities are divided by cost^g at all, so that another exponent changes them."""
    keeps_cash: ClassVar[bool] = False
    keeps_listings: ClassVar[bool] = False
    is_pagewise: ClassVar[bool] = False
    learns: ClassVar[bool] = False

    def __init__(self, tuning: Tuning) -> None:
        self.tuning = tuning
        self._exponent = self.cost_exponent if tuning.cost_exponent is None else tuning.cost_exponent

    @property
    def label(self) -> str:
        """Name the ranking: two with the same label put all entries in the same places."""
        exponent = "" if self._exponent == self.cost_exponent else f"/cost^{self._exponent:g}"
        return f"{self.name}{exponent}"

    def cost(self, entry: Candidate) -> float:
        """Return cost^g: the pages still to buy, from the reported following; 1 where nothing is reported."""
        return float(pages_left(entry) ** self._exponent)

    def priority(self, entry: Candidate) -> float:
        """Return how good an entry is, larger first."""
        raise NotImplementedError

    def place(self, entry: Candidate) -> Place:
        """Return where an entry stands."""
        return Place(MAIN_LANE, self.priority(entry))

    def merits(self, lister: Candidate) -> tuple[float, float]:
        """Return what a list adds to the `merit` and `quality` of each account it names."""
        return 0.0, 0.0

    def restored(self, state: str | None) -> Strategy:
        """Return this strategy with the state a database keeps."""
        return self

    def state(self) -> str | None:
        """Return what is to be kept."""
        return None

    def acquaint(self, followers: Iterable[int]) -> None:
        """Take in the reported followers of all known accounts, before the first page is learned from."""

    def learn(self, page: Bought) -> tuple[int, float]:
        """Take a page in; return its hits and the rate that was expected of it."""
        return 0, 0.0

    def lanes(self, in_flight: Mapping[int, int]) -> Sequence[tuple[float, int]] | None:
        """Return the lanes and their worth, best first; None where there is only one."""
        return None


def pages_left(entry: Candidate, max_pages: int | None = None) -> int:
    """Return the pages still to buy of an entry, of `max_pages` a list at most, from its reported following; 1 where
    nothing is reported."""
    if entry.following is None:
        return 1
    left = max(1, -(-entry.following // PAGE_SIZE) - entry.pages)
    return left if max_pages is None else min(left, max(1, max_pages - entry.pages))


def accounts_left(entry: Candidate) -> float:
    """Return how many accounts the next page of an entry lists, as far as its reported following tells; never 0."""
    if entry.following is None:
        return PAGE_SIZE
    return min(PAGE_SIZE, max(1, entry.following - entry.listed))


_MASK = 2**64 - 1


def uniform(seed: int, *keys: int) -> float:
    """Return the random number in (0, 1) that belongs to these keys: the same for the same seed, for ever.

    SplitMix64 (Steele, Lea & Flood 2014), so that no row has to store what it was dealt.
    """
    state = seed & _MASK
    for key in keys:
        state = (state + 0x9E3779B97F4A7C15 * (key + 1)) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return ((state >> 11) + 0.5) / 2**53


def lot(entry: Candidate, seed: int) -> float:
    """Return the priority of an entry in a static race: it comes first with a probability that falls as 1/F.

    ln(u) * F with F followers is the logarithm of u^F (Efraimidis & Spirakis 2006 with weight 1/F).
    """
    if entry.depth == 0:
        return inf if entry.followers is None else 0.0
    return log(uniform(seed, entry.account_id)) * max(entry.followers or 0, 1)
