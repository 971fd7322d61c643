"""Networks held in memory, and a crawler of them that spends no time on requests or a database.

It stands in for the real crawler where hundreds of crawls are compared: the same priorities, whole lists only, pages of
20, twenty entries taken at once; no errors, no private accounts, lists in random order.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from analysis.graph import UNKNOWN
from analysis.sample import Audit, Control, Sample, Wave
from socialfetch.simulator import synthesis

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

PAGE = 20
BATCH = 20
SEEDS = 10
DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


@dataclass(frozen=True, eq=False)
class World:
    """A whole network: lists by `starts` and `lists`, true followers, following, cost in credits, PageRank."""

    name: str
    starts: Ints
    lists: Ints
    followers: Ints
    following: Ints
    cost: Ints
    pagerank: Floats
    attribute: Floats

    def __len__(self) -> int:
        return len(self.followers)

    @property
    def credits(self) -> int:
        """What reading every list costs."""
        return int(self.cost.sum())


def load(name: str) -> World:
    """Return a network by the name of a data set, or `drawn-N-SEED` of the simulator's generator."""
    if name.startswith("drawn-"):
        accounts, seed = (int(part) for part in name.split("-")[1:])
        drawn = synthesis.draw(accounts, seed)
        source, target, n = drawn.source, drawn.target, accounts
    else:
        with gzip.open(DATA / name / "edges.tsv.gz", "rt") as file:
            pairs = np.loadtxt(file, dtype=np.int64, usecols=(0, 1))
        ids, flat = np.unique(pairs, return_inverse=True)
        (source, target), n = flat.reshape(pairs.shape).T, len(ids)
    keys = np.unique((source * n + target)[source != target])
    source, target = keys // n, keys % n
    following = np.bincount(source, minlength=n)
    starts = np.concatenate(([0], np.cumsum(following)))
    links = csr_array((np.ones(len(target)), target, starts), shape=(n, n))
    return World(
        name=name,
        starts=starts,
        lists=target,
        followers=np.bincount(target, minlength=n),
        following=following,
        cost=-(-following // PAGE),
        pagerank=_pagerank(links, following),
        attribute=_attribute(links),
    )


def _pagerank(links: csr_array, following: Ints) -> Floats:
    n = len(following)
    handing, idle = links.T.tocsr(), following == 0
    scores = np.full(n, 1.0 / n)
    for _ in range(100):
        fresh = 0.85 * (handing @ (scores / np.maximum(following, 1)) + scores[idle].sum() / n) + 0.15 / n
        done = np.abs(fresh - scores).sum() < 1e-12
        scores = fresh
        if done:
            break
    return scores


def _attribute(links: csr_array) -> Floats:
    """Return a yes-or-no fact of three in ten accounts that neighbours share and that followers do not tell."""
    n = links.shape[0]
    rng = np.random.default_rng(5)
    around = ((links + links.T) > 0).astype(np.float64)
    degree = np.asarray(around.sum(axis=1)).ravel()
    classes = np.floor(2 * np.log2(degree + 1)).astype(np.int64)
    taste = rng.normal(size=n)
    for _ in range(6):
        taste = 0.15 * taste + 0.85 * (around @ taste) / np.maximum(degree, 1)
        for number in np.unique(classes):  # ranks within a class of degrees, or the hubs would all be in the middle
            members = np.flatnonzero(classes == number)
            taste[members[np.argsort(taste[members])]] = (np.arange(len(members)) + 0.5) / len(members) - 0.5
    return ((taste > 0.2) ^ (rng.random(n) < 0.05)).astype(np.float64)


def misreported(world: World, noise: str, rng: np.random.Generator) -> Ints:
    """Return followers as a platform might report them: `exact`, a lognormal sigma, or `bought` by 2 % of accounts."""
    true = world.followers
    if noise == "exact":
        return true
    if noise == "bought":
        buyers = rng.random(len(true)) < 0.02
        factor = np.where(buyers, np.exp(rng.uniform(np.log(10), np.log(100), len(true))), 1.0)
        return np.rint(np.where(buyers, np.maximum(true, 1), true) * factor).astype(np.int64)
    wrong = np.rint(true * np.exp(rng.normal(0, float(noise), len(true)))).astype(np.int64)
    return np.where(true > 0, np.maximum(wrong, 1), 0)


@dataclass(frozen=True, eq=False)
class Log:
    """The accounts read, in order, which of them for the audit, and the credits after each."""

    accounts: Ints
    audited: npt.NDArray[np.bool_]
    credits: Ints

    def until(self, credits: int) -> Log:
        """Return what a smaller budget would have read: whole lists only."""
        kept = int(np.searchsorted(self.credits, credits, side="right"))
        return Log(self.accounts[:kept], self.audited[:kept], self.credits[:kept])


def seeds_of(world: World, rng: np.random.Generator) -> Ints:
    """Draw the seeds: accounts that follow at least five and are followed."""
    fit = np.flatnonzero((world.following >= 5) & (world.followers >= 1))
    return rng.choice(fit, min(SEEDS, len(fit)), replace=False)


def crawl(
    world: World, followers: Ints, strategy: str, budget: int, rng: np.random.Generator, *, audit: float = 0.0
) -> Log:
    """Read lists from ten seeds until the budget is spent; a share `audit` of it goes to the audit, first of all."""
    n = len(world)
    seeds = seeds_of(world, rng)
    listings, cash, luck = np.zeros(n, np.int64), np.zeros(n), np.log(rng.random(n))
    known, turn = np.zeros(n, np.bool_), np.zeros(n, np.int64)
    best, balanced = np.full(n, -np.inf), np.full(n, -np.inf)
    cash[seeds], known[seeds] = 1.0, True
    best[seeds] = balanced[seeds] = np.inf
    order: list[Ints] = []
    flags: list[bool] = []
    spent = found = 0
    while spent < budget:
        auditing = spent < audit * budget
        queue = balanced if auditing else best
        taken = np.argpartition(-queue, BATCH)[:BATCH]
        taken = taken[np.argsort(-queue[taken], kind="stable")]
        taken = taken[queue[taken] > -np.inf]
        if not len(taken):
            break
        best[taken] = balanced[taken] = -np.inf
        order.append(taken)
        flags.extend([auditing] * len(taken))
        spent += int(world.cost[taken].sum())
        listed = gathered(world, taken)
        length = world.following[taken]
        touched, first, position = np.unique(listed, return_index=True, return_inverse=True)
        listings[touched] += np.bincount(position)
        cash[touched] += np.bincount(position, weights=np.repeat(cash[taken] / np.maximum(length, 1), length))
        fresh = ~known[touched]
        turn[touched[fresh]] = found + first[fresh]
        found += len(listed)
        waiting = touched[(fresh | (best[touched] > -np.inf)) & (world.cost[touched] > 0) & (best[touched] < np.inf)]
        known[touched] = True
        f, k, c, d = followers[waiting], listings[waiting], world.cost[waiting], world.following[waiting]
        match strategy:
            case "bfs":
                best[waiting] = -turn[waiting]
            case "flow":
                best[waiting] = cash[waiting] / c
            case "rank":
                best[waiting] = f / c
            case "core":
                best[waiting] = k * np.sqrt(f)
            case "unbiased":
                best[waiting] = luck[waiting] * np.maximum(f, 1)
            case _:
                raise ValueError(strategy)
        balanced[waiting] = d / c / (1 + k)
    accounts = np.concatenate(order)
    log = Log(accounts, np.array(flags), np.cumsum(world.cost[accounts]))
    return log.until(budget)


def gathered(world: World, accounts: Ints) -> Ints:
    """Return the lists of the accounts, one after the other."""
    length = world.following[accounts]
    ends = np.cumsum(length)
    inside = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - length, length)
    return world.lists[np.repeat(world.starts[accounts], length) + inside]


def draw_control(
    world: World, followers: Ints, portions: Sequence[tuple[Log, int]], rng: np.random.Generator
) -> tuple[tuple[Ints, Ints, int], ...]:
    """Draw the three waves of a control sample; each is (accounts, draws, credits).

    Each portion is what was read when it was drawn and its credits; one more each time the budget was raised.
    """
    n, g = len(world), np.maximum(followers, 1)
    done = np.zeros(n, np.bool_)
    waves: list[list[tuple[Ints, int]]] = [[], [], []]
    for log, budget in portions:
        done[log.accounts] = True
        sources = np.concatenate([log.accounts, np.setdiff1d(np.flatnonzero(done), log.accounts)])
        weight = 1.0 / g[sources]
        for wave in waves:
            reach = np.repeat(weight, world.following[sources])
            chance = np.bincount(gathered(world, sources), weights=reach, minlength=n) / g
            allowed = budget / 3
            drawn = rng.choice(n, int(3 * allowed) + 100, p=chance / chance.sum())
            first = np.zeros(len(drawn), np.bool_)
            first[np.unique(drawn, return_index=True)[1]] = True
            price = np.cumsum(np.where(first & ~done[drawn], world.cost[drawn], 0))
            drawn = drawn[: int(np.searchsorted(price, allowed)) + 1]
            wave.append((drawn, int(price[len(drawn) - 1])))
            sources, draws = np.unique(drawn, return_counts=True)
            done[drawn] = True
            weight = draws.astype(np.float64)
    return tuple(
        (*np.unique(np.concatenate([drawn for drawn, _ in wave]), return_counts=True), sum(spent for _, spent in wave))
        for wave in waves
    )


@dataclass(frozen=True, eq=False)
class Seen:
    """What analysis gets to see of a crawl, and `ids`, the accounts of the world behind its positions."""

    ids: Ints
    sample: Sample
    control: Control | None
    audit: Audit


def seen(world: World, followers: Ints, log: Log, waves: tuple[tuple[Ints, Ints, int], ...] | None = None) -> Seen:
    """Turn a log, and a control sample, into what the analysis gets: only what was listed or read."""
    extra = np.unique(np.concatenate([wave[0] for wave in waves])) if waves else np.zeros(0, np.int64)
    sources = np.union1d(log.accounts, extra)
    listed = gathered(world, sources)
    is_known = np.zeros(len(world), np.bool_)
    is_known[sources] = is_known[listed] = True
    ids = np.flatnonzero(is_known)
    at = np.cumsum(is_known) - 1
    read = at[sources]
    complete, main = np.zeros(len(ids), np.bool_), np.zeros(len(ids), np.bool_)
    complete[read] = True
    main[at[log.accounts[~log.audited]]] = True
    was_listed = np.zeros(len(world), np.bool_)
    was_listed[listed] = True
    sample = Sample(
        src=np.repeat(read, world.following[sources]).astype(np.uint32),
        dst=at[listed].astype(np.uint32),
        followers=np.where(was_listed[ids], followers[ids], UNKNOWN),
        following=np.where(was_listed[ids] | complete, world.following[ids], UNKNOWN),
        complete=complete,
        main=main,
    )
    control = Control(tuple(Wave(at[a], d, c) for a, d, c in waves)) if waves else None
    return Seen(ids, sample, control, Audit(at[log.accounts[log.audited]]))
