"""What a budget will buy: accounts, follows, visits and time, as ranges learned from this crawl's own yield.

The known part is exact: an account's reported following says what its list costs and how much it lists. How much of a
list is new is not known before. Two ways tell, wrong in opposite directions: the share that was new falls as a power
of the follows read, fitted to the last part of what this crawl has seen, and knows of no end; and the accounts not
listed yet, by the reported followers of those that were. The forecast is their geometric mean, its range as wide as
such forecasts were wrong before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, exp, inf, log, log2, sqrt
from typing import Any

import numpy as np

from crawler.strategy import PAGE_SIZE, Strategy, pages_left
from storage.allowances import Room
from storage.ordering import Candidate
from storage.yields import Known, Numbers, Waiting, Yields

PILOT = 50
"""Credits after which a forecast rests on the crawl itself."""

USUAL_NEW = 0.45
"""Share of listed accounts that is new, before anything is known: between 0.2 and 0.9 in the graphs measured."""

RECENT, PARTS = 0.6, 8
"""Part of the follows read, the last, that the fall of newness is fitted to, and in how many parts."""

USUAL_DECLINE, TRUST, STEEPEST = -0.5, 0.5, -4.0
"""The exponent of that fall in most graphs, how much it weighs against the fit, and the steepest one believed."""

LEAST, MORE, WIDEST = 0.25, 0.16, 2.0
"""Half-width of a range in logarithms: so much, so much more with each doubling of the credits, and at most twice it.

Measured on wiki-vote, timme, slashdot, advogato and a drawn network: these hold what came in nine of ten cases.
"""

FEW = 5
"""Visits below which nothing is tried."""

TRIALS = 12
"""Moments of the crawl so far at which the forecast is tried on what came after."""

COVERED = 0.9
"""Share of those trials that a range would have held."""

STEPS = 10
"""Points of a forecast's path: what is expected after each tenth of its credits."""


@dataclass(frozen=True, slots=True)
class Range:
    """Low, middle and high of an expected number."""

    low: float
    mid: float
    high: float

    def document(self) -> dict[str, float]:
        """Return it for JSON, in whole numbers."""
        return {"low": int(self.low), "mid": round(self.mid), "high": ceil(self.high)}

    def holds(self, actual: float) -> bool:
        """Tell whether it came as expected."""
        return int(self.low) <= actual <= ceil(self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What so many credits will buy, in new accounts, new follows and lists begun; time in seconds.

    `frontier_cost` is what the known frontier costs in credits. `basis` is "crawl" where the crawl's own yield was
    known, else "prior".
    """

    credits: int
    frontier_cost: int
    accounts: Range
    edges: Range
    visits: Range
    seconds: Range
    basis: str
    path: tuple[tuple[int, float, float], ...]
    """The way there: credits, and the new accounts and follows expected of them; the last point is all of it."""

    def document(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {name: getattr(self, name).document() for name in ("accounts", "edges", "visits", "seconds")}

    def record(self) -> dict[str, Any]:
        """Return what is kept with a run, to be compared with what comes."""
        path = [[credits, round(accounts, 1), round(edges, 1)] for credits, accounts, edges in self.path]
        return {**self.document(), "credits": self.credits, "path": path}


def forecast(known: Known, strategy: Strategy, credits: int, room: Room | None = None) -> Forecast:
    """Say what so many credits will buy under a strategy: fewer, where seeds and hops have no room for all of them."""
    room = Room() if room is None else room
    picked = _picked(known.waiting, strategy, credits, room)
    share = 1.0 if known.listed_share is None else min(1.0, known.listed_share)
    spent = float(known.yields.credits.sum())
    # The known frontier ends before the budget: what is discovered on the way is like what was.
    rest = max(0.0, min(credits - picked.cost, room.beyond()))
    if picked.cost + rest < credits:
        credits = round(picked.cost + rest)
    per_credit = _ratio(known.yields.edges, known.yields.credits, PAGE_SIZE / 2)
    pages = _ratio(known.yields.credits, np.ones_like(known.yields.credits), 2.0)
    visits = picked.visits + rest / max(1.0, pages)
    is_known = spent >= PILOT
    accounts_of = _accounts(known) if is_known else lambda edges: USUAL_NEW * edges
    path = []
    for step in range(1, STEPS + 1):
        paid = credits * step / STEPS
        edges = picked.listed(paid) * share + max(0.0, paid - picked.cost) * per_credit
        path.append((round(paid), accounts_of(edges), edges))
    _, accounts, edges = path[-1]
    width = _width(known.yields, spent, credits) if is_known else log(4.0)
    edge_width = width / 2 if is_known else width
    doubt = rest / max(1.0, credits)  # of what nobody has seen yet, the low end promises nothing
    return Forecast(
        credits=credits,
        frontier_cost=picked.frontier_cost,
        accounts=_range(accounts, width, doubt),
        edges=_range(edges, edge_width, doubt),
        visits=_range(visits, edge_width, doubt),
        seconds=_seconds(known, credits, doubt, may_end=rest > 0),
        basis="crawl" if is_known else "prior",
        path=tuple(path),
    )


def _range(mid: float, width: float, doubt: float) -> Range:
    return Range(mid * exp(-width) * (1 - doubt), mid, mid * exp(width))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picked:
    cost: float
    visits: float
    frontier_cost: int
    paid: list[float]
    read: list[float]
    """Credits, and the follows listed for them, after each entry."""

    def listed(self, credits: float) -> float:
        """Return how many follows the first so many credits list."""
        return float(np.interp(credits, self.paid, self.read))


def _picked(waiting: Waiting, strategy: Strategy, credits: int, room: Room) -> _Picked:
    """Take entries of the known frontier in the strategy's order until the credits are spent."""
    weight = waiting.weight
    cost = [pages_left(entry) for entry in waiting.entries]
    frontier_cost = weight * sum(cost)
    order = sorted(range(len(cost)), key=_order(strategy, waiting.entries))
    spent = visits = listed = 0.0
    paid, read = [0.0], [0.0]
    for index in order:
        if spent >= credits:
            break
        entry = waiting.entries[index]
        whole = cost[index] * weight
        part = min(1.0, (credits - spent) / whole, room.left(entry.account_id, entry.depth) / whole)
        if part <= 0:
            continue
        room.take(entry.account_id, entry.depth, part * whole)
        following = PAGE_SIZE / 2 if entry.following is None else max(0, entry.following - entry.listed)
        spent += part * whole
        listed += part * following * weight
        visits += max(part * weight, 1.0) if not entry.pages else 0.0
        paid.append(spent)
        read.append(listed)
    return _Picked(cost=spent, visits=visits, frontier_cost=frontier_cost, paid=paid, read=read)


def _accounts(known: Known) -> Callable[[float], float]:
    """Return how many new accounts so many more follows bring, by both ways of telling."""
    read, met = float(known.yields.edges.sum()), float(known.yields.accounts.sum())
    decline, newness = _newness(known.yields)
    rate = _listing_rate(known.followers, met, read)

    def expected(more: float) -> float:
        grown = _growth(read, met, more, decline, newness)
        return grown if rate is None else sqrt(grown * _unlisted(known.followers, met, read, more, rate))

    return expected


def _order(strategy: Strategy, entries: list[Candidate]) -> Callable[[int], tuple[float, float, int]]:
    places = [strategy.place(entry) for entry in entries]
    # A value that is not a number is unlike itself: begun lists have no worth to compare.
    worth: Mapping[int, float] = {lane: value for value, lane in strategy.lanes({}) or () if value == value}  # noqa: PLR0124

    def key(index: int) -> tuple[float, float, int]:
        place = places[index]
        return -worth.get(place.lane, place.priority), -place.priority, entries[index].account_id

    return key


def _ratio(over: Any, under: Any, otherwise: float) -> float:
    total = float(under.sum())
    return float(over.sum()) / total if total else otherwise


def _growth(read: float, met: float, more: float, decline: float, newness: float) -> float:
    """Return the accounts that so many more follows bring, when newness goes on to fall as follows^decline."""
    if not read or not met:
        return USUAL_NEW * more
    growth = 1 + more / read
    if abs(decline + 1) < 1e-6:
        return min(more, newness * read * log(growth))
    return float(min(more, newness * read * (growth ** (decline + 1) - 1) / (decline + 1)))


def _listing_rate(followers: Numbers, met: float, read: float) -> float | None:
    """Return q where an account with F followers is listed k ~ Poisson(q * F) times; None where none was listed twice.

    q solves sum of q * F / (1 - exp(-q * F)) = follows read, over the accounts listed.
    """
    if not len(followers) or read <= met or not met:
        return None
    weight = met / len(followers)
    low, high, rate = 0.0, 1.0, 0.5
    for _ in range(60):  # the sum grows with q, from the number of accounts
        expected = weight * float((rate * followers / -np.expm1(-rate * followers)).sum())
        low, high = (rate, high) if expected < read else (low, rate)
        rate = (low + high) / 2
    return rate


def _unlisted(followers: Numbers, met: float, read: float, more: float, rate: float) -> float:
    """Return how many accounts so many more follows list first.

    Each account listed stands for 1 / (1 - exp(-q * F)) that are there (the truncated estimator of van der Heijden et
    al. 2003, as in `analysis.capture`), of which exp(-q * F) - exp(-q' * F) come first with the follows still to be
    read, q' = q * (read + more) / read.
    """
    weight = met / len(followers)
    then = min(1.0, rate * (read + more) / read)
    coming = (np.exp(-rate * followers) - np.exp(-then * followers)) / -np.expm1(-rate * followers)
    return min(more, weight * float(coming.sum()))


def _newness(yields: Yields) -> tuple[float, float]:
    """Return how fast the share of new accounts among those listed falls, and what it is now.

    A power law fitted to equal parts of the follows read last, drawn towards the decline usual in the graphs measured.
    """
    read = np.concatenate(([0.0], np.cumsum(yields.edges)))
    met = np.concatenate(([0.0], np.cumsum(yields.accounts)))
    ends = np.linspace((1 - RECENT) * read[-1], read[-1], PARTS + 1)
    width = ends[1] - ends[0]
    share = np.diff(np.interp(ends, read, met)) / width if width else np.zeros(PARTS)
    seen = share > 0
    if seen.sum() < 3:
        return USUAL_DECLINE, float(min(1.0, met[-1] / max(1.0, read[-1])))
    x, y = np.log(((ends[1:] + ends[:-1]) / 2)[seen]), np.log(share[seen])
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    decline = min(0.0, max(STEEPEST, (slope + TRUST * USUAL_DECLINE) / (1 + TRUST)))
    return decline, min(1.0, exp(float(y.mean()) + decline * (log(read[-1]) - float(x.mean()))))


def _width(yields: Yields, spent: float, credits: int) -> float:
    """Return the half-width of the range, in logarithms: what graphs measured ask for, more where this one did."""
    growth = 1 + credits / spent
    least = LEAST + MORE * log2(growth)
    errors = []
    paid, read, met = np.cumsum(yields.credits), np.cumsum(yields.edges), np.cumsum(yields.accounts)
    for part in np.linspace(0.2, 0.8, TRIALS):
        at = int(np.searchsorted(paid, part * spent))
        if at < FEW or at >= len(paid):
            continue
        end = min(len(paid) - 1, int(np.searchsorted(paid, paid[at] * growth)))
        before = Yields(credits=yields.credits[:at], edges=yields.edges[:at], accounts=yields.accounts[:at])
        expected = _growth(read[at - 1], met[at - 1], read[end] - read[at - 1], *_newness(before))
        actual = met[end] - met[at - 1]
        if expected > 0 and actual > 0:
            errors.append(abs(log(actual / expected)))
    # Not np.quantile: it imports a module when first called, and a crawl may then have no file left to open.
    own = float(np.interp(COVERED * (len(errors) - 1), range(len(errors)), sorted(errors))) if errors else 0.0
    return min(max(least, own), WIDEST * least)


def _seconds(known: Known, credits: int, doubt: float, *, may_end: bool) -> Range:
    """Return how long it takes: at the rate asked for, the speed seen, or a guess between 0.2 and 5 s an answer."""
    fastest = inf if known.rate is None else known.rate
    if known.speed is not None:
        mid = credits / min(known.speed, fastest)
        slow, fast = mid * 1.5, mid / 1.5
    else:
        mid = credits / min(known.concurrency / 1.0, fastest)
        slow = credits / min(known.concurrency / 5.0, fastest)
        fast = credits / min(known.concurrency / 0.2, fastest)
    return Range(fast * (1 - doubt) if may_end else fast, mid, slow)
