"""What a budget will buy: accounts, follows, visits and time, as ranges learned from this crawl's own yield.

The known part is exact: an account's reported following says what its list costs and how much it lists. How much of a
list is new is not known before. Two ways tell, wrong in opposite directions: the share that was new falls as a power
of the follows read, fitted to the last part of what this crawl has seen, and knows of no end; and the accounts not
listed yet, by the reported followers of those that were. The forecast is their geometric mean, its range as wide as
such forecasts were wrong before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, exp, hypot, inf, log, log2, sqrt
from typing import Any

import numpy as np

from crawler.options import Options
from crawler.strategy import PAGE_SIZE, pages_left
from storage.allowances import DAY_S, Caps, Place, Room
from storage.ordering import Candidate, Ordering
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
"""Half-width of a range in logarithms: so much, and more with each doubling of the credits; at most twice as much."""

NOISE = 3.0
"""What few credits tell is worth less: so much over the root of those spent is added, as errors add up."""

OF_FOLLOWS = 0.7
"""Half-width of the range of follows over that of accounts.

All of these were measured on seven networks, real and drawn, and hold what came in nine of ten cases.
"""

UNKNOWN_LIST = 2.0, float(PAGE_SIZE)
"""Pages and follows of a list, before anything is known of those to come."""

HOPS = 50
"""Hops beyond the known frontier that are looked at."""

FEW = 5
"""Visits below which nothing is tried."""

STEPS = 10
"""Points of a forecast's path: what is expected after each tenth of its credits."""

ANSWER_S = 0.2, 1.0, 5.0
"""Seconds that an answer takes, before any came: low, middle, high."""

TRIALS = 12
"""Moments of the crawl so far at which the forecast is tried on what came after."""

COVERED = 0.9
"""Share of those trials that a range would have held."""


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

    `cost` is how many of the credits are spent before nothing is left to buy, `frontier_cost` what the known frontier
    costs in credits. `basis` is "crawl" where the crawl's own yield was known, else "prior".
    """

    credits: int
    cost: int
    frontier_cost: int
    accounts: Range
    edges: Range
    visits: Range
    seconds: Range
    basis: str
    path: tuple[tuple[int, float, float], ...]
    """The way there: credits, and the new accounts and follows expected of them; the last point is all of it."""
    answer_s: float | None = None
    """Seconds that an answer took, by which the time is reckoned; None before any was seen."""
    days: int | None = None
    """On how many days credits are spent, where a day has a cap."""

    def document(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {name: getattr(self, name).document() for name in ("accounts", "edges", "visits", "seconds")}

    def record(self) -> dict[str, Any]:
        """Return what is kept with a run, to be compared with what comes."""
        path = [[credits, round(accounts, 1), round(edges, 1)] for credits, accounts, edges in self.path]
        return {**self.document(), "credits": self.cost, "path": path}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A part of a budget: by which strategy lists are taken, and at how many credits in all it ends.

    A share `explore` of these lists is taken in the order of `lots` instead.
    """

    ordering: Ordering
    ceiling: int
    explore: float = 0.0
    lots: Ordering | None = None


def by_day(made: Forecast, caps: Caps, *, today: int, now: float) -> Forecast:
    """Return the forecast with the nights that it waits through where a day has a cap, as part of its time.

    `today` is how many credits of this day's cap are spent at `now`, a Unix time.
    """
    if caps.per_day is None:
        return made
    left = max(0, caps.per_day - today)
    nights = max(0, -(-(made.cost - left) // caps.per_day))
    if not nights:
        return replace(made, days=1)
    begins_s = caps.day_ends(now) - now + (nights - 1) * DAY_S
    last_day = (made.cost - left - (nights - 1) * caps.per_day) / made.cost
    at_work = made.seconds
    seconds = Range(*(max(each, begins_s + each * last_day) for each in (at_work.low, at_work.mid, at_work.high)))
    return replace(made, seconds=seconds, days=nights + (left > 0))


class Forecaster:
    """Says what so many credits will buy with these options; what no strategy changes is worked out once."""

    def __init__(self, known: Known, room: Room, options: Options) -> None:
        self._known = known
        self._room = room
        self._options = options
        brought = known.yields
        self._read, self._met = float(brought.edges.sum()), float(brought.accounts.sum())
        self._spent = float(brought.credits.sum())
        self._is_known = self._spent >= PILOT
        self._listed_share = 1.0 if known.listed_share is None else min(1.0, known.listed_share)
        self._newness = _newness(brought)
        self._rate = _listing_rate(known.listed.followers, self._met, self._read)
        self._widths: dict[int, float] = {}

    def under(self, steps: Sequence[Step]) -> Forecast:
        """Say what they buy in these steps, the last of which ends with them."""
        room = self._room.copy()
        picked = _picked(self._known.waiting, steps, room, self._options)
        # Where the known frontier ends before the budget, what is discovered on the way is bought as well.
        rest, rest_edges, rest_visits = self._beyond(picked, room)
        cost = picked.cost + rest
        path = []
        for step in range(1, STEPS + 1):
            paid = cost * step / STEPS
            beyond = max(0.0, paid - picked.cost) / rest if rest else 0.0
            edges = picked.read(paid) * self._listed_share + beyond * rest_edges
            path.append((round(paid), self._accounts(edges), edges))
        _, accounts, edges = path[-1]
        width = self._width(round(cost))
        edge_width = OF_FOLLOWS * width if self._is_known else width
        doubt = rest / max(1.0, cost)  # of what nobody has seen yet, the low end promises nothing
        return Forecast(
            credits=room.credits,
            cost=round(cost),
            frontier_cost=picked.frontier_cost,
            accounts=_range(accounts, width, doubt),
            edges=_range(edges, edge_width, doubt),
            # The order moves while it is bought in, towards longer lists or shorter ones: the follows hardly change.
            visits=_range(picked.visits + rest_visits, width, doubt, most=picked.most_visits + rest_visits, limit=cost),
            seconds=_seconds(self._known, cost, doubt, may_end=rest > 0),
            basis="crawl" if self._is_known else "prior",
            path=tuple(path),
            answer_s=None if self._known.pace is None else self._known.pace.answer_s,
        )

    def _width(self, cost: int) -> float:
        """Return the half-width of a range for so many credits; most strategies spend alike."""
        if not self._is_known:
            return log(4.0)
        if cost not in self._widths:
            self._widths[cost] = _width(self._known.yields, self._spent, cost)
        return self._widths[cost]

    def _accounts(self, edges: float) -> float:
        """Return how many accounts nobody knew before so many more follows bring."""
        if not self._is_known:
            return USUAL_NEW * edges
        accounts = _growth(self._read, self._met, edges, *self._newness)
        if self._rate is not None:
            followers = self._known.listed.followers
            accounts = sqrt(accounts * _unlisted(followers, self._rate, self._met, self._read, edges))
        return accounts

    @cached_property
    def _kind(self) -> tuple[float, float, float]:
        """Return the share of those coming whose list may be bought, and the pages bought and follows of such a list.

        They are like those known, but for their followers: q * F * exp(-q * F) is the chance that a follow read next
        is the first one of an account with F followers, and each known stands for 1 / (1 - exp(-q * F)) that are there.
        """
        listed, max_pages = self._known.listed, self._options.max_pages_per_account
        weight = np.ones_like(listed.followers)
        if self._rate is not None:
            expected = self._rate * listed.followers
            weight = expected * np.exp(-expected) / -np.expm1(-expected)
        bought = float(weight[listed.is_bought].sum())
        if not bought:
            return (0.0 if len(weight) else 1.0), *UNKNOWN_LIST
        weight, following = weight[listed.is_bought] / float(weight.sum()), listed.following[listed.is_bought]
        pages = np.minimum(np.maximum(1.0, np.ceil(following / PAGE_SIZE)), max_pages or inf)
        follows = np.minimum(following, pages * PAGE_SIZE) * self._listed_share
        share = float(weight.sum())
        return share, float((weight * pages).sum()) / share, float((weight * follows).sum()) / share

    def _beyond(self, picked: _Picked, room: Room) -> tuple[float, float, float]:
        """Return the credits that go to accounts nobody has listed yet, and the follows and lists that these bring.

        They come hop by hop: of those that one hop's lists name some are new, and of these some may be bought, each on
        the credits of the seed whose list named it.
        """
        max_depth = self._options.max_depth
        share, pages, follows = self._kind
        left, seen, rest = room.credits - picked.cost, 0.0, 0.0
        hops = {place: count * self._listed_share for place, count in picked.listed.items()}
        for _ in range(HOPS):
            named = sum(hops.values())
            if left < 1 or named < 1:
                break
            bought = (self._accounts(seen + named) - self._accounts(seen)) / named * share
            seen += named
            wanted = room.cut(
                {
                    (seed_id, depth + 1): count * bought * pages
                    for (seed_id, depth), count in hops.items()
                    if max_depth is None or depth < max_depth
                }
            )
            in_all = sum(wanted.values())
            part = min(1.0, left / in_all) if in_all else 0.0
            hops = {}
            for place, cost in wanted.items():
                room.take(*place, cost * part)
                hops[place] = cost * part * follows / pages
            left -= in_all * part
            rest += in_all * part
        return rest, rest * follows / pages, rest / pages


def _range(mid: float, width: float, doubt: float, *, most: float | None = None, limit: float = inf) -> Range:
    """Return the range around what is expected: `mid`, or what lies between that and `most`. `limit` is above all."""
    most = mid if most is None else most
    expected = sqrt(mid * most)
    return Range(mid * exp(-width) * (1 - doubt), expected, max(expected, min(limit, max(mid * exp(width), most))))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picked:
    """What is taken of the known frontier. `listed` are the follows announced, by seed (where seeds have budgets) and
    hop; `most_visits` the lists begun if a strategy that may leave lists half read reads a page of each. `way` has
    credits and follows after each entry.
    """

    cost: float
    visits: float
    most_visits: float
    listed: Mapping[Place, float]
    frontier_cost: int
    way: tuple[list[float], list[float]]

    def read(self, credits: float) -> float:
        """Return how many follows the first so many credits announce."""
        return float(np.interp(credits, *self.way))


def _picked(waiting: Waiting, steps: Sequence[Step], room: Room, options: Options) -> _Picked:
    """Take entries of the known frontier, step by step in each one's order, until its credits or the room are spent."""
    weight, max_pages = waiting.weight, options.max_pages_per_account
    cost = [weight * pages_left(entry, max_pages) for entry in waiting.entries]
    lists = zip(cost, waiting.seeds, waiting.entries, strict=True)
    frontier_cost = sum(pages for pages, seed_id, entry in lists if room.left(seed_id, entry.depth) > 0)
    unpaid: list[float] = list(cost)
    listed: dict[Place, float] = {}
    spent = visits = most_visits = announced = 0.0
    paid_by, read_by = [0.0], [0.0]
    for step in steps:
        for index in _order(step, waiting.entries):
            if spent >= step.ceiling:
                break
            entry, seed_id = waiting.entries[index], waiting.seeds[index]
            paid = min(unpaid[index], step.ceiling - spent, room.left(seed_id, entry.depth))
            if paid <= 0:
                continue
            part = paid / cost[index]
            following = PAGE_SIZE / 2 if entry.following is None else max(0, entry.following - entry.listed)
            follows = part * min(weight * following, cost[index] * PAGE_SIZE)
            place = (None if room.per_seed is None else seed_id, entry.depth)
            listed[place] = listed.get(place, 0.0) + follows
            if not entry.pages and unpaid[index] == cost[index]:
                visits += max(part * weight, 1.0)
                most_visits += paid if step.ordering.is_pagewise else max(part * weight, 1.0)
            spent += paid
            unpaid[index] -= paid
            room.take(seed_id, entry.depth, paid)
            announced += follows
            paid_by.append(spent)
            read_by.append(announced)
    return _Picked(
        cost=spent,
        visits=visits,
        most_visits=min(most_visits, weight * sum(not entry.pages for entry in waiting.entries)),
        listed=listed,
        frontier_cost=frontier_cost,
        way=(paid_by, read_by),
    )


def _order(step: Step, entries: list[Candidate]) -> Iterator[int]:
    """Yield entries by their index in the order in which a step takes them; with lots some of them twice."""
    order = sorted(range(len(entries)), key=_key(step.ordering, entries))
    if step.lots is None or not step.explore:
        yield from order
        return
    by_rank, by_lot = iter(order), iter(sorted(range(len(entries)), key=_key(step.lots, entries)))
    due = 0.0
    while True:
        due += step.explore
        index = next(by_lot if due >= 1 else by_rank, None)
        if index is None:  # either has offered every entry
            return
        due -= due >= 1
        yield index


def _key(ordering: Ordering, entries: list[Candidate]) -> Callable[[int], tuple[float, float, int]]:
    places = [ordering.place(entry) for entry in entries]
    # A value that is not a number is unlike itself: begun lists have no worth to compare.
    worth: Mapping[int, float] = {lane: value for value, lane in ordering.lanes({}) or () if value == value}  # noqa: PLR0124

    def key(index: int) -> tuple[float, float, int]:
        place = places[index]
        return -worth.get(place.lane, place.priority), -place.priority, entries[index].account_id

    return key


def _growth(read: float, met: float, more: float, decline: float, newness: float) -> float:
    """Return the accounts that so many more follows bring, when newness goes on to fall as follows^decline."""
    if not read or not met:
        return USUAL_NEW * more
    growth = 1 + more / read
    if abs(decline + 1) < 1e-6:
        return min(more, newness * read * log(growth))
    return float(min(more, newness * read * (growth ** (decline + 1) - 1) / (decline + 1)))


def _listing_rate(followers: Numbers, met: float, read: float) -> float | None:
    """Return the q with which an account of F followers was listed k ~ Poisson(q * F) times; None where none was twice.

    q solves sum of q * F / (1 - exp(-q * F)) = follows read, over the accounts listed (the truncated estimator of van
    der Heijden et al. 2003, as in `analysis.capture`).
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


def _unlisted(followers: Numbers, rate: float, met: float, read: float, more: float) -> float:
    """Return how many accounts so many more follows list first, by the rate of listing.

    Each account listed stands for 1 / (1 - exp(-q * F)) that are there, of which exp(-q * F) - exp(-q' * F) come first
    with the follows still to be read, q' = q * (read + more) / read.
    """
    then = min(1.0, rate * (read + more) / read)
    coming = (np.exp(-rate * followers) - np.exp(-then * followers)) / -np.expm1(-rate * followers)
    return min(more, met / len(followers) * float(coming.sum()))


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
    return hypot(min(max(least, own), WIDEST * least), NOISE / sqrt(spent))


def _seconds(known: Known, credits: float, doubt: float, *, may_end: bool) -> Range:
    """Return how long it takes with the requests in flight and the rate asked for, by how long an answer took."""
    pace = known.pace
    fast, mid, slow = ANSWER_S
    if pace is not None:
        mid = pace.answer_s
        fast, slow = min(fast, mid) if pace.was_held else mid / 1.5, mid * 1.5
        # With more in flight than was tried the provider may answer no faster than it did.
        slow *= max(1.0, known.concurrency / pace.concurrency)

    def of(answer_s: float) -> float:
        return credits / min(known.concurrency / answer_s, inf if known.rate is None else known.rate)

    return Range(of(fast) * (1 - doubt) if may_end else of(fast), of(mid), of(slow))
