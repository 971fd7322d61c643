"""A crawl counted again from its raw tables: SQLite, NumPy and SciPy, nothing of the package.

What a report says is held against these numbers. Formulas are those of docs/estimators.md, written down once more.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.sparse import coo_array
from scipy.special import zeta

STANDINGS = ("complete", "capped", "partial", "hidden", "private", "not_found", "failed", "skipped", "waiting")
LISTS = STANDINGS[:3]
QUEUED, FAILED, SKIPPED = (0, 1, 5), 3, 4


class Book:
    """The tables of a crawl. Accounts are positions in the order of their ids; unknown counts are -1."""

    def __init__(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as conn:
            conn.row_factory = sqlite3.Row

            def rows(sql: str) -> list[sqlite3.Row]:
                return conn.execute(sql).fetchall()

            self.accounts = rows("SELECT * FROM accounts ORDER BY id")
            self.frontier = {row["account_id"]: row for row in rows("SELECT * FROM frontier")}
            self.visits = rows("SELECT * FROM visits ORDER BY id")
            self.ledger = rows("SELECT * FROM ledger ORDER BY id")
            self.runs = rows("SELECT * FROM runs ORDER BY id")
            self.draws = rows("SELECT * FROM control_draws ORDER BY wave, place")
            self.ended = rows(
                "SELECT src, dst FROM follows WHERE ended_visit IS NOT NULL UNION ALL SELECT src, dst FROM past_follows"
            )
            follows = rows("SELECT src, dst FROM follows WHERE ended_visit IS NULL")
        self.ids = [row["id"] for row in self.accounts]
        self.at = {key: place for place, key in enumerate(self.ids)}
        self.n = len(self.ids)
        pairs = sorted((self.at[row["src"]], self.at[row["dst"]]) for row in follows)
        self.removed = {"loops": sum(u == v for u, v in pairs), "duplicates": 0, "orphans": 0}
        self.follows = [(u, v) for u, v in pairs if u != v]
        self.src, self.dst = np.array(self.follows).T
        self.followers, self.following = (
            np.array([-1 if row[name] is None else row[name] for row in self.accounts])
            for name in ("followers", "following")
        )
        self.k, self.read = (np.bincount(ends, minlength=self.n) for ends in (self.dst, self.src))
        self.depth = [self.frontier[key]["depth"] if key in self.frontier else None for key in self.ids]

    @staticmethod
    def brings_list(visit: sqlite3.Row) -> bool:
        """Tell whether a visit brought a list, whole or not."""
        return visit["completeness"] in LISTS and visit["pages"] > 0

    @cached_property
    def standing(self) -> list[str]:
        """What is known of each account's own list: the last visit with a list speaks, else the frontier."""
        found = dict.fromkeys(self.ids, "waiting")
        for key, entry in self.frontier.items():
            if entry["completeness"] in {"hidden", "private", "not_found"}:
                found[key] = entry["completeness"]
            elif entry["state"] in (FAILED, SKIPPED):
                found[key] = "failed" if entry["state"] == FAILED else "skipped"
        for visit in self.visits:
            if self.brings_list(visit):
                found[visit["account_id"]] = visit["completeness"]
        return [found[key] for key in self.ids]

    @cached_property
    def complete(self) -> Any:
        """Of which accounts the whole list was read, shape (n,)."""
        return np.array([word == "complete" for word in self.standing])

    @cached_property
    def listed(self) -> Any:
        """Of which accounts a list was read, shape (n,)."""
        return np.array([word in LISTS for word in self.standing])

    @cached_property
    def seeds(self) -> list[int]:
        """The positions of the seeds."""
        return [place for place, depth in enumerate(self.depth) if depth == 0]

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """The connected pairs, the lower first, sorted."""
        return sorted({(min(follow), max(follow)) for follow in self.follows})

    def queue_of(self, visit: sqlite3.Row) -> str:
        """Return the queue of a visit."""
        return visit["queue"] or "main"

    def from_queues(self, *queues: str) -> Any:
        """Of which accounts a list was read out of one of these queues, shape (n,)."""
        found = np.zeros(self.n, dtype=bool)
        for visit in self.visits:
            if self.brings_list(visit) and self.queue_of(visit) in queues:
                found[self.at[visit["account_id"]]] = True
        return found

    @cached_property
    def paid(self) -> dict[int | None, int]:
        """Credits charged by visit."""
        found: dict[int | None, int] = {}
        for row in self.ledger:
            found[row["visit_id"]] = found.get(row["visit_id"], 0) + row["charged"]
        return found

    @cached_property
    def waves(self) -> list[dict[int, int]]:
        """How often each account was drawn in each wave of the control sample, by position; empty without one."""
        found: dict[int, dict[int, int]] = {}
        for row in self.draws:
            wave = found.setdefault(row["wave"], {})
            place = self.at[row["account_id"]]
            wave[place] = wave.get(place, 0) + 1
        return [found[number] for number in sorted(found)]

    @cached_property
    def wave_credits(self) -> list[int]:
        """Credits charged in each wave."""
        return [
            sum(self.paid.get(v["id"], 0) for v in self.visits if v["queue"] == f"control-{wave}")
            for wave in range(1, len(self.waves) + 1)
        ]

    @cached_property
    def lists(self) -> dict[int, list[int]]:
        """The list of each account that has one, as positions."""
        found: dict[int, list[int]] = {}
        for source, target in self.follows:
            found.setdefault(source, []).append(target)
        return found


# --- averages and size (docs/estimators.md, research of estimators, section 1) ----------------------------------------


def of_accounts(book: Book, values: list[float | None]) -> tuple[Any, Any]:
    """Return a_u and y_u of each source: what it lists, each account weighted 1 / max(F, 1)."""
    above, below = np.zeros(book.n), np.zeros(book.n)
    for source, listed in book.lists.items():
        for other in listed:
            value = values[other]
            if value is not None and book.followers[other] >= 0:
                weight = 1 / max(int(book.followers[other]), 1)
                above[source] += value * weight
                below[source] += weight
    return above, below


def of_follows(book: Book, words: list[str | None]) -> tuple[Any, Any]:
    """Return for each source how many it lists that share its word, and of how many both words are known."""
    above, below = np.zeros(book.n), np.zeros(book.n)
    for source, target in book.follows:
        if words[source] and words[target]:
            above[source] += words[source] == words[target]
            below[source] += 1
    return above, below


def main_sources(book: Book, below: Any) -> list[int]:
    """Return the sources that the crawl chose itself: whole lists with anything to say."""
    main = book.from_queues("main", "explore")
    return [place for place in book.lists if main[place] and book.complete[place] and below[place] > 0]


def double_weights(book: Book, sources: list[int]) -> Any:
    """Return 1 / max(F, 1) of the sources; nothing of those whose followers are not known."""
    return np.array([1 / max(int(book.followers[u]), 1) if book.followers[u] >= 0 else 0.0 for u in sources])


@dataclass(frozen=True)
class Average:
    """An average and, by rule R, its interval before it is clipped; `half` is None where there is none."""

    value: float
    half: float | None
    draws: int = 0


def rule_r(book: Book, above: Any, below: Any) -> Average:
    """Return the double estimate without a control sample, with one the third wave's and its interval."""
    sources = main_sources(book, below)
    weight = double_weights(book, sources)
    double = float((weight * above[sources]).sum() / (weight * below[sources]).sum())
    if not book.waves:
        return Average(double, None)
    theta, error, draws = [], [], []
    for wave in book.waves:
        drawn = [u for u, times in wave.items() for _ in range(times) if book.complete[u] and below[u] > 0]
        a, y, n = above[drawn], below[drawn], len(drawn)
        draws.append(n)
        theta.append(a.sum() / y.sum())
        error.append(np.sqrt(n / (n - 1) * ((a - theta[-1] * y) ** 2).sum()) / y.sum())
    plain = above[sources].sum() / below[sources].sum()
    drift = max(abs(theta[2] - double), abs(theta[2] - plain))
    half = 2 * np.sqrt(error[2] ** 2 + error[1] ** 2) + 0.5 * drift if error[2] > 0 else None
    return Average(float(theta[2]), None if half is None else float(half), draws[2])


def size(book: Book) -> tuple[float, float]:
    """Return (q, N): k given k of at least 1 is a zero-truncated Poisson number of mean q * F."""
    k = book.k[book.k > 0]
    f = np.maximum(book.followers, book.k)[book.k > 0]
    q = brentq(lambda q: (q * f / (1 - np.exp(-q * f))).sum() - k.sum(), 1e-9, 1, xtol=1e-16, rtol=1e-14)
    return float(q), float((1 / (1 - np.exp(-q * f))).sum())


# --- ranking (docs/estimators.md, research on sampling 6.1 and of estimators, section 2) ------------------------------


@dataclass(frozen=True)
class Fit:
    """k is about rate * exp(offset) * F; `variance` is tau squared."""

    rate: float
    offset: Any
    variance: float
    thin: bool


def scatter(values: Any) -> float:
    """Return the median absolute deviation, scaled to a standard deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def implausible(k: Any, followers: Any, fit: Fit) -> Any:
    """Tell whose followers are beyond what the listings make plausible: the one place here that holds that rule."""
    limit = np.maximum(np.exp(2.5 * max(np.sqrt(fit.variance), 0.15)) * (k + 2 * np.sqrt(k) + 2), 5 * k)
    return (followers >= 0) & (np.maximum(followers, 1) > limit / (fit.rate * np.exp(fit.offset)))


def fitted(book: Book, sources: Any, *, strict: bool) -> Fit:
    """Fit rate, local offsets and spread of k / F over the lists of `sources`, a mask."""
    lists = {u: listed for u, listed in book.lists.items() if sources[u]}
    k = np.zeros(book.n)
    for listed in lists.values():
        k[listed] += 1
    f = np.maximum(book.followers, 1).astype(float)
    usable = (k > 0) & (book.followers >= 0)
    rate = k[usable].sum() / f[usable].sum()
    logs = np.log(np.maximum(k, 0.5) / f)
    fit = Fit(1.0, np.zeros(book.n), 0.0, thin=True)
    for _ in range(2):
        offset = fit.offset
        chosen, support = usable, 2
        for _ in range(3):
            expected = rate * f * np.exp(offset)
            for support in (10, 5, 2):
                chosen = usable & (np.sqrt(k * expected) >= support)
                if strict:
                    chosen &= np.minimum(k, expected) >= max(2, support / 2)
                if chosen.sum() >= 60:
                    break
            rate = np.exp(np.median((logs - offset)[chosen]))
        excess = np.where(chosen, np.clip(logs - np.log(rate), -1.5, 1.5), 0)
        beside, others = np.zeros(book.n), np.zeros(book.n)
        for listed in lists.values():
            there = chosen[listed]
            beside[listed] += excess[listed].sum() - excess[listed]  # excess is 0 of those not chosen
            others[listed] += there.sum() - there
        mean = beside / np.maximum(others, 1e-4)
        x = mean[chosen] - mean[chosen].mean()
        offset = np.zeros(book.n)
        if chosen.sum() >= 20 and x.any():
            slope = max(0.0, (x * excess[chosen]).sum() / (x * x).sum())
            offset = np.clip(slope * (mean - mean[chosen].mean()), -1, 1)
        left = (logs - offset)[chosen]
        rate = np.exp(np.median(left))
        variance = max(0.0, scatter(left) ** 2 - np.mean(1 / k[chosen]))
        fit = Fit(float(rate), offset, float(variance), thin=bool(chosen.sum() < 60 or support < 10))
        usable = usable & ~implausible(k, book.followers, fit)
    return fit


class Ranked:
    """Imputed PageRank on mended follower counts, and the intervals of its ranks."""

    def __init__(self, book: Book) -> None:
        self.book = book
        k = book.k.astype(float)
        self.fit = fit = fitted(book, np.ones(book.n, dtype=bool), strict=True)
        audit = book.from_queues("audit")
        self.audited = bool(audit.any() or book.waves)
        if audit.any():
            told = fitted(book, audit, strict=False).variance
        else:
            assert not book.waves, "an audit by the control sample is not written down here"
            told = fit.variance / 4
        self.noise = noise = min(fit.variance, max(told, fit.variance - 0.25))
        q = fit.rate * np.exp(fit.offset)
        spread = 1 / (k + 0.5) + max(fit.variance - noise, 0.1)
        w = np.where(book.followers >= 0, spread / (spread + noise + 1e-4), 0)
        logs = w * np.log(np.maximum(book.followers, 1)) + (1 - w) * np.log((k + 0.5) / q)
        self.flagged = implausible(k, book.followers, fit)
        self.mended = np.maximum(k, np.where(self.flagged, (k + np.sqrt(k) + 0.5) / q, np.exp(logs)))
        self._iterate()

    def _iterate(self) -> None:
        book, n = self.book, self.book.n
        length = np.maximum(0, np.where(book.complete, book.read, np.maximum(book.following, book.read)))
        per_follow = 1 / np.maximum(length, 1)
        hands = coo_array((per_follow[book.src], (book.dst, book.src)), shape=(n, n)).tocsr()
        unread, missing = length - book.read, np.maximum(0, self.mended - book.k)
        x = np.full(n, 1 / n)
        for _ in range(2_000):
            seen = hands @ x
            m = (x * (1 - book.read * per_follow) * (length > 0)).sum() / max(unread.sum(), 1)
            fresh = (0.15 + 0.85 * x[length == 0].sum()) / n + 0.85 * (seen + missing * m)
            fresh /= fresh.sum()
            change, x = np.abs(fresh - x).sum(), fresh
            if change < 1e-13:
                break
        self.scores, self.seen, self.share, self.per_follow = x, seen, m, per_follow

    def intervals(self, count: int, rng: np.random.Generator) -> tuple[Any, Any]:
        """Return the 2.5 to 97.5 % of 200 draws of the ranks of the first accounts, among the first 3,000."""
        book, n = self.book, self.book.n
        rows = np.argsort(-np.round(self.scores, 14), kind="stable")[:3_000]
        k, seen, f = book.k[rows], self.seen[rows], self.mended[rows]
        much = k >= 5
        handed = self.scores * self.per_follow
        squares = np.bincount(book.dst, weights=handed[book.src] ** 2, minlength=n)[rows][much] / k[much]
        mean = seen[much] / k[much]
        chance = np.maximum(0, squares - mean**2) / k[much] / mean**2
        eta = np.sqrt(max(0, scatter(np.log(mean)) ** 2 - np.median(chance)))
        s = max(np.sqrt(self.fit.variance / 2), 0.25)
        places = []
        for _ in range(200):
            z, other = rng.normal(0, s, len(rows)), rng.normal(0, eta, len(rows))
            unseen = np.maximum(0, f * np.exp(z) - k)
            score = 0.15 / n + 0.85 * (seen + unseen * self.share * np.exp(other - eta**2 / 2))
            place = np.empty(len(rows))
            place[np.argsort(-np.round(score, 14), kind="stable")] = np.arange(1, len(rows) + 1)
            places.append(place[:count])
        low, high = np.percentile(places, [2.5, 97.5], axis=0)
        return np.floor(low), np.ceil(high)


def first_of(book: Book, mended: Any, read: Any, count: int) -> list[int]:
    """Return who comes first by imputed PageRank where the lists of `read`, a mask, were read and nothing else."""
    has_list = read & (book.read > 0)
    follows = has_list[book.src]
    known = has_list.copy()
    known[book.dst[follows]] = True
    ids = np.flatnonzero(known)
    place = np.cumsum(known) - 1
    src, dst, n = place[book.src[follows]], place[book.dst[follows]], len(ids)
    length = np.maximum(0, np.where(book.complete, book.read, np.maximum(book.following, book.read)))[ids]
    listed, k = np.bincount(src, minlength=n), np.bincount(dst, minlength=n)
    per_follow = 1 / np.maximum(length, 1)
    hands = coo_array((per_follow[src], (dst, src)), shape=(n, n)).tocsr()
    unread, missing = length - listed, np.maximum(0, mended[ids] - k)
    x = np.full(n, 1 / n)
    for _ in range(500):
        m = (x * unread * per_follow).sum() / max(unread.sum(), 1)
        fresh = (0.15 + 0.85 * x[length == 0].sum()) / n + 0.85 * (hands @ x + missing * m)
        fresh /= fresh.sum()
        change, x = np.abs(fresh - x).sum(), fresh
        if change < 1e-12:
            break
    found: list[int] = ids[np.argsort(-np.round(x, 14), kind="stable")[:count]].tolist()
    return found


# --- the crawl again, visit by visit ----------------------------------------------------------------------------------


def replay(book: Book, mended: Any) -> list[dict[str, Any]]:
    """Return where the crawl stood after each tenth of its own credits: those of neither audit nor control sample.

    New accounts are those of its own visits, accounts all that were visited or listed by then.
    """
    read, known = np.zeros(book.n, dtype=bool), set()
    spent = fresh = 0
    states = []
    for visit in book.visits:
        at, before = book.at[visit["account_id"]], len(known)
        is_own = not book.queue_of(visit).startswith(("audit", "control-")) and not read[at]
        if book.brings_list(visit):
            read[at] = True
            known.update([at, *book.lists.get(at, ())])
        if is_own:
            spent += book.paid.get(visit["id"], 0)
            fresh += len(known) - before
        states.append((spent, len(known), fresh, read.copy()))
    steps: list[dict[str, Any]] = []
    before_step, first = (0, 0), None
    for tenth in range(1, 11):
        credits, accounts, came, visited = next(state for state in states if 10 * state[0] >= tenth * spent)
        if steps and credits == steps[-1]["credits"]:
            continue
        now = set(first_of(book, mended, visited, 100))
        novelty = (came - before_step[1]) / (credits - before_step[0])
        overlap = None if first is None else len(now & first) / len(now)
        steps.append({"credits": credits, "accounts": accounts, "novelty": novelty, "overlap": overlap})
        before_step, first = (credits, came), now
    return steps


def without_seeds(book: Book, mended: Any, group: Any) -> list[dict[str, Any]]:
    """Return by seed, those with most lists first, what is left without the lists that were read because of it.

    `group` marks the accounts of the largest stable community. A list belongs to the seed of the first visit that
    brought it.
    """
    seed_of: dict[int, int] = {}
    for visit in book.visits:
        if book.brings_list(visit) and visit["seed_id"] is not None:
            seed_of.setdefault(book.at[visit["account_id"]], book.at[visit["seed_id"]])
    has_list = book.read > 0
    lists = {seed: sum(has_list[at] for at, of in seed_of.items() if of == seed) for seed in set(seed_of.values())}
    whole = set(first_of(book, mended, has_list, 10))
    found = []
    for seed, count in sorted(lists.items(), key=lambda row: (-row[1], row[0]))[:10]:
        read = has_list.copy()
        read[[at for at, of in seed_of.items() if of == seed]] = False
        known = read.copy()
        known[[other for at in np.flatnonzero(read).tolist() for other in book.lists[at]]] = True
        shared = len(whole & set(first_of(book, mended, read, 10)))
        found.append(
            {
                "seed": seed,
                "lists": count,
                "shared": shared,
                "known": float(known[group].mean()) if group.any() else None,
            }
        )
    return found


# --- degrees ----------------------------------------------------------------------------------------------------------


def law_from(values: Any, start: int) -> tuple[float, float]:
    """Return the exponent of greatest likelihood of a tail from `start` on, and its Kolmogorov-Smirnov distance.

    Clauset, Shalizi & Newman 2009, discrete. The distance is looked for at every whole number up to the largest value.
    """
    tail = np.sort(values[values >= start])
    logs = np.log(tail).mean()
    exponent = minimize_scalar(
        lambda a: a * logs + np.log(zeta(a, start)), bounds=(1.001, 12), method="bounded", options={"xatol": 1e-9}
    ).x
    x = np.arange(start, tail[-1] + 1)
    law = np.cumsum(x**-exponent) / zeta(exponent, start)
    data = np.searchsorted(tail, x, side="right") / len(tail)
    return float(exponent), float(np.abs(law - data).max())


def starts(values: Any) -> list[int]:
    """Return where a tail may start: at each value but the largest that ten values or more reach."""
    values = values[values > 0]
    return [int(value) for value in np.unique(values)[:-1] if (values >= value).sum() >= 10]


def closest(values: Any) -> float:
    """Return the least distance of a power law from positive values, whatever its start: from ten on by equation 3.7.

    Between two values the law goes on while the data stand still, so that the gap is widest at one of its two ends.
    """
    value, count = np.unique(values, return_counts=True)
    left = np.cumsum(count[::-1])[::-1]
    sums = np.cumsum((count * np.log(value))[::-1])[::-1]
    least = np.inf
    for i in np.flatnonzero(left[:-1] >= 10).tolist():
        if value[i] < 10:
            least = min(least, law_from(values, int(value[i]))[1])
            continue
        exponent = 1 + 1 / (sums[i] / left[i] - np.log(value[i] - 0.5))
        data = np.append(left[i:], 0) / left[i]
        at, after = (zeta(exponent, value[i:] + more) / zeta(exponent, value[i]) for more in (0, 1))
        least = min(least, max(np.abs(at - data[:-1]).max(), np.abs(after - data[1:]).max()))
    return float(least)


def worse_by_chance(values: Any, start: int, sets: int, rng: np.random.Generator) -> int:
    """Return how many of the sets drawn from the law from `start` on, below it from the values, lie as far from their
    own closest law as the values from theirs (Clauset, Shalizi & Newman 2009, section 4.1)."""
    exponent, distance = law_from(values, start)
    body, inside = values[values < start], int((values >= start).sum())
    x = np.arange(start, 1_000_000)
    below = 1 - zeta(exponent, x + 1) / zeta(exponent, start)
    worse = 0
    for _ in range(sets):
        tail = rng.binomial(len(values), inside / len(values))
        drawn = x[np.minimum(np.searchsorted(below, rng.random(tail)), len(x) - 1)]
        worse += closest(np.concatenate((rng.choice(body, len(values) - tail), drawn))) >= distance
    return worse


# --- partitions -------------------------------------------------------------------------------------------------------


def overlaps(one: Any, other: Any) -> dict[tuple[int, int], int]:
    """Return by pair of labels how many have both."""
    found: dict[tuple[int, int], int] = {}
    for pair in zip(one.tolist(), other.tolist(), strict=True):
        found[pair] = found.get(pair, 0) + 1
    return found


def best_jaccard(one: Any, other: Any) -> list[float]:
    """Return for each label of the one, ascending, the largest Jaccard similarity with a label of the other."""
    left, right = np.bincount(one), np.bincount(other)
    best = [0.0] * len(left)
    for (a, b), both in overlaps(one, other).items():
        best[a] = max(best[a], both / (left[a] + right[b] - both))
    return best


def mutual_information(one: Any, other: Any) -> float:
    """Return 2 * (H(one) + H(other) - H(both)) / (H(one) + H(other)): normalised by the mean of the entropies."""

    def entropy(counts: Any) -> float:
        share = np.array([count for count in counts if count]) / len(one)
        return float(-(share * np.log(share)).sum())

    apart = entropy(np.bincount(one)) + entropy(np.bincount(other))
    both = entropy(list(overlaps(one, other).values()))
    return 2 * (apart - both) / apart if apart else 1.0


def modularity(pairs: Any, labels: Any, resolution: float) -> float:
    """Return Newman & Girvan's modularity with a resolution (Reichardt & Bornholdt 2006)."""
    low, high = labels[pairs[:, 0]], labels[pairs[:, 1]]
    degrees = np.bincount(low, minlength=labels.max() + 1) + np.bincount(high, minlength=labels.max() + 1)
    return float((low == high).mean() - resolution * ((degrees / (2 * len(pairs))) ** 2).sum())
