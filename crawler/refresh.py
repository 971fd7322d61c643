"""Which lists to read again, and when. Pure: no I/O, no clock of its own.

A list's value is the freshness that one more visit brings (Cho and Garcia-Molina, "Effective page refresh policies for
web crawlers", ACM TODS 28(4), 2003): with changes at rate λ and τ since it was last known to be as stored,

    V = μ/λ · (1 − (1 + λτ)·e^(−λτ))

and the largest V/c goes first, c being the pages to buy. Listings bring every listed account's following count for
free: where it differs from the one at the last visit the list is known to be stale, V = μ/λ; where it is the same, τ
begins anew for those changes that move the count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heappush, heappushpop
from math import exp, inf, log, sqrt

from crawler.policy import PROVEN
from crawler.strategy import PAGE_SIZE
from storage.revisits import Revisit
from storage.schema import Completeness

DAY_S = 86_400.0

PRIOR_S = 30 * DAY_S
"""A list changes once in this time as far as nothing is known of it."""

UNSEEN = 0.2
"""Share of changes taken to leave the count as it was, a follow lost for one gained: no listing shows them."""

_SLOWEST = 1 / (3650 * DAY_S)
_FASTEST = 5 / DAY_S

RECHECK_SHARE = 0.1
"""Share of a refresh's credits for lists that could not be read last time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """How long to wait before asking again, in seconds: after a list was read, and after each other outcome."""

    shortest: float = DAY_S
    hidden: float = 30 * DAY_S
    private: float = 90 * DAY_S
    vanished: float = 180 * DAY_S
    failed: float = 7 * DAY_S

    def after(self, revisit: Revisit) -> float:
        """Return the wait after what asking came to last; a list that listings now show as private waits as such."""
        match revisit.outcome:
            case Completeness.HIDDEN:
                return self.hidden
            case Completeness.NOT_FOUND:
                return self.vanished
            case Completeness.PRIVATE:
                # Listings show it open again.
                return self.shortest if revisit.facts_at > revisit.asked_at and not revisit.private else self.private
            case "failed":
                return self.failed
            case _:
                return self.private if revisit.private else self.shortest


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A list to read again. `value` is V/c, `cost` the pages it will probably take."""

    account_id: int
    value: float
    cost: int


Weigh = Callable[[Revisit], float]
"""μ: how much an account matters."""


def by_followers(revisit: Revisit) -> float:
    """Weigh an account by the root of its reported followers."""
    return sqrt(max(revisit.followers or 0, 1))


def by_fame(revisit: Revisit) -> float:
    """Weigh an account by its reported followers: the nearest to a PageRank that is known without the whole graph."""
    return float(max(revisit.followers or 0, 1))


def by_neighbourhood(revisit: Revisit) -> float:
    """Weigh an account by how many visited accounts follow it, against its fame: who belongs to the scene."""
    return (revisit.seen_by + 1) / ((revisit.followers or 0) + 20)


WEIGHTS: dict[str, Weigh] = {"community": by_neighbourhood, "rank": by_fame, "core": by_fame}
"""How strategies weigh accounts that they have read, where not by the root of their followers."""


def rate(revisit: Revisit) -> float:
    """Return the estimated changes a second: X/T with the correction for changes that fall together.

    Each changed visit counts −ln(0.5/1.5) instead of 1, for several changes may lie behind it, and half a change in
    half of PRIOR_S stands for not knowing. A listing since the last visit is one more look, of the count alone.
    """
    changes, seen_at = revisit.changes, confirmed_at(revisit)
    if is_known_stale(revisit):
        changes, seen_at = changes + 1, float(revisit.facts_at)
    observed = 0.0 if revisit.first_at is None else seen_at - revisit.first_at
    found = (log(3.0) * changes + 0.5) / (observed + 0.5 * PRIOR_S)
    return min(max(found, _SLOWEST), _FASTEST)


def is_known_stale(revisit: Revisit) -> bool:
    """Tell whether listings since the last visit show another following count than then."""
    return (
        revisit.last_at is not None
        and revisit.facts_at > revisit.last_at
        and revisit.following is not None
        and revisit.following != revisit.baseline
    )


def confirmed_at(revisit: Revisit) -> float:
    """Return when the list was last known to be as stored: read, or listed with the same following count."""
    last = revisit.last_at if revisit.last_at is not None else 0
    if revisit.listed_at is not None and revisit.listed_at > last and revisit.following == revisit.baseline:
        return float(revisit.listed_at)
    return float(last)


def value(revisit: Revisit, *, now: float, weigh: Weigh, rate: Callable[[Revisit], float] = rate) -> float:
    """Return V, in units of the weight times seconds."""
    changes = rate(revisit)
    since_read = now - (revisit.last_at if revisit.last_at is not None else 0)
    unseen = UNSEEN * since_read + (1 - UNSEEN) * (now - confirmed_at(revisit))
    expected = inf if is_known_stale(revisit) else changes * max(0.0, unseen)
    lost = 0.0 if expected == inf else (1.0 + expected) * exp(-expected)
    return weigh(revisit) / changes * (1.0 - lost)


def cost(revisit: Revisit) -> int:
    """Return the pages that reading the list again will probably take."""
    length = revisit.following if revisit.following is not None else revisit.baseline or 0
    if revisit.order_chance is not None and revisit.order_chance <= PROVEN:
        return 1 + max(0, length - (revisit.baseline or 0)) // PAGE_SIZE
    return max(1, -(-length // PAGE_SIZE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to read again, best first.

    `next_due_at` is when the first list that is not among it is due, in Unix seconds; None where none ever will be.
    `due` counts the lists that are due by now, chosen or not.
    """

    choices: list[Choice]
    due: int
    next_due_at: float | None


class _Best:
    """The largest so many of what comes along, so that no more of a large database is held at once."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._heap: list[tuple[float, int, Choice, float]] = []

    def offer(self, choice: Choice, *, rank: float, due_at: float) -> float:
        """Take a choice with its rank; returns when the one that was dropped for it is due, infinity for none."""
        item = (rank, -choice.account_id, choice, due_at)
        if len(self._heap) < self._at_most:
            heappush(self._heap, item)
            return inf
        return heappushpop(self._heap, item)[3]

    def ranked(self) -> list[tuple[Choice, float]]:
        """Return the choices and when they are due, the largest first."""
        return [(choice, due_at) for _, _, choice, due_at in sorted(self._heap, reverse=True)]


def choose(
    revisits: Iterable[Revisit],
    *,
    credits: int,
    now: float,
    weigh: Weigh,
    intervals: Intervals,
    rate: Callable[[Revisit], float] = rate,
) -> Plan:
    """Return what to read again for at most so many credits (one list at least). Holds as many as it may choose."""
    lists, others = _Best(max(credits, 0)), _Best(max(credits, 0))
    next_due_at = inf
    due = 0
    for revisit in revisits:
        due_at = revisit.asked_at + intervals.after(revisit)
        due += due_at <= now
        if due_at > now or credits <= 0:
            left_at = due_at
        elif revisit.outcome in Completeness.LISTED and not revisit.private:
            pages = cost(revisit)
            worth = value(revisit, now=now, weigh=weigh, rate=rate) / pages
            choice = Choice(account_id=revisit.account_id, value=worth, cost=pages)
            left_at = lists.offer(choice, rank=worth, due_at=due_at)
        else:
            choice = Choice(account_id=revisit.account_id, value=0.0, cost=1)
            left_at = others.offer(choice, rank=now - due_at, due_at=due_at)
        next_due_at = min(next_due_at, left_at)
    readable, unreadable = lists.ranked(), others.ranked()
    room = max(1, round(credits * RECHECK_SHARE)) if readable else credits
    again = unreadable[:room]
    left = credits - len(again)
    chosen: list[Choice] = []
    for choice, due_at in readable:
        if left > 0 and (choice.cost <= left or not (chosen or again)):
            chosen.append(choice)
            left -= choice.cost
        else:
            next_due_at = min(next_due_at, due_at)
    next_due_at = min([next_due_at, *(due_at for _, due_at in unreadable[room:])])
    chosen += [choice for choice, _ in again]
    return Plan(choices=chosen, due=due, next_due_at=None if next_due_at == inf else next_due_at)
