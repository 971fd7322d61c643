"""Who ranks where, as far as a crawl can tell: tiers, and intervals of ranks where follower counts allow them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from analysis.audit import Mended, mend
from analysis.graph import Ints, Mask
from analysis.imputation import DAMPING, Imputed, Links, impute, within
from analysis.sample import Audit, Control, Drawn, Sample, times
from analysis.sampling import NotIdentifiable

Floats = npt.NDArray[np.float64]

TIERS = (10, 100)
"""Sizes of the tiers of fixed size; the next is one in a hundred accounts."""
CANDIDATES = 3_000
DRAWS = 200
SUPPORTED = 5
QUIET, LOOSE = 0.35, 0.5
"""Noise of log F (sigma), and spread of log (k / F) (tau), up to which intervals of ranks cover 90 % and more."""

LEAST_DOUBT = 0.25
"""Scatter of log F that an interval of ranks allows for at least: with less, networks read to a large part defy it."""
LIES = 0.1
"""Share of flagged accounts, among the thousand with the most followers reported, up to which they do."""

TOO_MANY_LIES = "no intervals of ranks: too many reported follower counts are implausible"
TOO_NOISY = "no intervals of ranks: reported follower counts are too noisy, or the crawl is too uneven"
NOT_AUDITED = "no intervals of ranks: without an audit the noise of reported follower counts is not known"
TOO_THIN = "no intervals of ranks: too few accounts are listed often enough"


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Scores of n accounts to rank by, on what basis, and how far that ranking is the crawl's own.

    `basis` is *audited* where the noise of follower counts was measured, *assumed* where it was not, and *exploratory*
    where too few accounts are listed often enough: then the score is the geometric mean of two ranks. `agreement` is
    the share of the first hundred that PageRank within the crawl has among its first hundred.
    """

    scores: Floats
    basis: Literal["audited", "assumed", "exploratory"]
    agreement: float
    imputed: Imputed
    within: Floats
    mended: Mended
    links: Links


@dataclass(frozen=True, slots=True, eq=False)
class RankIntervals:
    """For `accounts`, best first, the 95 % intervals of their ranks from 1, `low` to `high`."""

    accounts: Ints
    low: Ints
    high: Ints


def rank(sample: Sample, audit: Audit | Control | None) -> Ranking:
    """Rank the accounts by imputed PageRank on mended follower counts (`analysis.audit`).

    A control sample is as good an audit, but for up to three points of precision where the counts are exact.
    """
    links = Links.of(sample)
    mended = mend(links, sample.followers, None if audit is None else times(len(sample), audit))
    imputed, plain = impute(links, mended.followers), within(links)
    first = {"imputed": best(imputed.scores, 100), "within": best(plain, 100)}
    shared = np.intersect1d(first["imputed"], first["within"])
    basis: Literal["audited", "assumed", "exploratory"] = "audited" if mended.audited else "assumed"
    scores = imputed.scores
    if mended.fit.is_thin:
        basis, scores = "exploratory", 1.0 / np.sqrt(_places(imputed.scores) * _places(plain))
    return Ranking(scores, basis, len(shared) / max(len(first["imputed"]), 1), imputed, plain, mended, links)


def best(scores: Floats, count: int) -> Ints:
    """Return the positions of the highest scores, best first; of equal scores the lower position goes first."""
    # Accounts in mirror-image places may differ in the last bit, which would make their order depend on the machine.
    return np.lexsort((np.arange(len(scores)), -np.round(scores, 14)))[:count]


def leading(links: Links, followers: Floats, *, known: Mask, read: Mask, first: int) -> Ints:
    """Return the accounts that come first by imputed PageRank where only `known` ones are, and only `read` lists."""
    then = replace(links, length=np.where(known, links.length, 0))
    scores = np.where(known, impute(then, followers * known, read=read).scores, 0.0)
    return best(scores, min(first, int(known.sum())))


def _places(scores: Floats) -> Floats:
    places = np.empty(len(scores))
    places[best(scores, len(scores))] = np.arange(1, len(scores) + 1)
    return places


def tiers(scores: Floats) -> Ints:
    """Return the tier of each account, shape (n,): 0 the first 10, 1 the first 100, 2 the first hundredth, 3 the rest.

    A tier says which accounts belong together; their order inside it is not known.
    """
    tier = np.full(len(scores), len(TIERS) + 1)
    order = best(scores, len(scores))
    for number, size in reversed(list(enumerate((*TIERS, len(scores) // 100)))):
        tier[order[:size]] = number
    return tier


def intervals(ranking: Ranking, count: int, rng: np.random.Generator) -> RankIntervals | NotIdentifiable:
    """Return 95 % intervals of the ranks of the first `count` accounts, or why there are none.

    200 draws of score_v = 0.15 / n + 0.85 * (seen_v + max(0, F*_v * exp(s * z) - k_v) * m * exp(eta * z' - eta^2 / 2)),
    z and z' standard normal, s = max(tau / sqrt(2), 0.25); eta is the spread of the mean contribution of a follower
    seen, over accounts with k of at least 5, less its sampling variance; among the 3,000 highest scores.
    Source: docs/estimators.md.
    """
    mended, links, imputed = ranking.mended, ranking.links, ranking.imputed
    if ranking.basis != "audited":
        return NotIdentifiable(TOO_THIN if ranking.basis == "exploratory" else NOT_AUDITED)
    if mended.noise > QUIET**2 or mended.fit.variance > LOOSE**2:
        return NotIdentifiable(TOO_NOISY)
    if mended.flagged[best(mended.reported.astype(np.float64), 1_000)].mean() > LIES:
        return NotIdentifiable(TOO_MANY_LIES)
    rows = best(ranking.scores, max(CANDIDATES, count))
    k = (links.matrix @ (links.listed > 0).astype(np.float64))[rows]
    seen, f, n = imputed.seen[rows], mended.followers[rows], len(ranking.scores)
    eta, s = _eta(ranking, rows, k), max(float(np.sqrt(mended.fit.variance / 2)), LEAST_DOUBT)
    places = np.empty((DRAWS, min(count, len(rows))))
    for draw in range(DRAWS):
        unseen = np.maximum(0.0, f * np.exp(rng.normal(0.0, s, len(rows))) - k)
        share = imputed.share * np.exp(rng.normal(0.0, eta, len(rows)) - eta**2 / 2)
        places[draw] = _places((1 - DAMPING) / n + DAMPING * (seen + unseen * share))[:count]
    low, high = np.percentile(places, [2.5, 97.5], axis=0)
    return RankIntervals(rows[:count], np.floor(low).astype(np.int64), np.ceil(high).astype(np.int64))


def ranked(drawn: Drawn, count: int, rng_seed: int) -> tuple[Ranking, RankIntervals | NotIdentifiable]:
    """Rank the accounts of a crawl by the best audit it has, and say between which ranks the first `count` are."""
    found = rank(drawn.sample, drawn.audit or drawn.control)
    return found, intervals(found, count, np.random.default_rng(rng_seed))


def _eta(ranking: Ranking, rows: Ints, k: Floats) -> float:
    links, scores = ranking.links, ranking.imputed.scores
    handed = np.where(links.listed > 0, scores / np.maximum(links.length, 1), 0.0)
    much = k >= SUPPORTED
    if not much.any():
        return 0.0
    mean = ranking.imputed.seen[rows][much] / k[much]
    square = (links.matrix @ handed**2)[rows][much] / k[much]
    chance = np.maximum(0.0, square - mean**2) / k[much] / mean**2
    logs = np.log(mean)
    scatter = 1.4826 * float(np.median(np.abs(logs - np.median(logs))))
    return float(np.sqrt(max(0.0, scatter**2 - float(np.median(chance)))))
