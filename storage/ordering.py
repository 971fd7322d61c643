"""What storage asks of a strategy: where an entry stands in the frontier, and which sums to keep for it.

Invariant: what an ordering knows beyond an entry's columns is its state, which lives in the database and changes in the
transaction of the page it learned from. So a replay in the order of the pages comes to the same places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

MAIN_LANE = 0
"""Where every entry stands under a strategy that has no lanes."""

AHEAD_LANE = 32_767
"""Where entries stand that are taken before all others, whatever the strategy: named by hand, or to be read again."""

ANY_LANE = -32_768
"""The lowest that a lane can be."""

STATE = "strategy_state"
"""The key under which a database keeps what its strategy has learned."""


class Candidate(msgspec.Struct, gc=False):
    """What a strategy may know of an entry, and must not change.

    Counts of followers and following are as reported, None where unknown.
    `listings` counts the read lists that named it; `merit` and `quality` are the strategy's own sums over those lists;
    all three are 0 unless kept. `pages`, `listed`, `hits` and `rate` are of a list that is half read, else 0.
    """

    account_id: int
    followers: int | None = None
    following: int | None = None
    depth: int = 0
    cash: float = 0.0
    listings: int = 0
    merit: float = 0.0
    quality: float = 0.0
    pages: int = 0
    listed: int = 0
    hits: int = 0
    rate: float = 0.0


class Place(NamedTuple):
    """Where an entry stands: larger priorities first within a lane."""

    lane: int
    priority: float


class Bought(NamedTuple):
    """One page, for a strategy that learns: the entry as it stood when the page was bought, and what the page named.

    `followers` and `following` are of the accounts named, as reported; `new` are those of them nobody had named before.
    """

    entry: Candidate
    followers: Sequence[int]
    new: Sequence[int]


class Ordering(Protocol):
    """A strategy as storage sees it."""

    @property
    def label(self) -> str:
        """What the ranking is called: two with the same label put all entries in the same places."""
        ...

    @property
    def keeps_cash(self) -> bool:
        """Whether visited accounts hand cash to those they list."""
        ...

    @property
    def keeps_listings(self) -> bool:
        """Whether an entry's `listings` are counted, and its `merit` and `quality` summed."""
        ...

    @property
    def is_pagewise(self) -> bool:
        """Whether a list goes back to the frontier after a page when something better waits there."""
        ...

    @property
    def learns(self) -> bool:
        """Whether pages change its state. Places of waiting entries are then stale until they are looked at again."""
        ...

    def restored(self, state: str | None) -> Ordering:
        """Return this strategy with the state that a database keeps, fresh where there is none."""
        ...

    def state(self) -> str | None:
        """Return what is to be kept in the database, None for a strategy without state."""
        ...

    def place(self, entry: Candidate) -> Place:
        """Return where an entry stands."""
        ...

    def merits(self, lister: Candidate) -> tuple[float, float]:
        """Return what a list adds to the `merit` and `quality` of each account it names."""
        ...

    def acquaint(self, followers: Iterable[int]) -> None:
        """Take in the reported followers of all known accounts, before the first page is learned from."""
        ...

    def learn(self, page: Bought) -> tuple[int, float]:
        """Take a page in; return its hits and the rate that was expected of it."""
        ...

    def lanes(self, in_flight: Mapping[int, int]) -> Sequence[tuple[float, int]] | None:
        """Return lanes and the worth of a page from each, best first; None where there is only the main lane.

        A worth of NaN stands for the priority of the lane's first entry. `in_flight` counts the leases of each lane.
        """
        ...
