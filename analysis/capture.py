"""How large the network is, how much of it was seen, and whether more credits would still show more.

The size is an order of magnitude: how far it is off depends on the strategy and the network (docs/estimators.md). A
curve that has become flat shows that the answer stopped moving, not that it is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from analysis.graph import Ints
from analysis.imputation import Links
from analysis.ranks import leading
from analysis.sample import History, Sample, reported
from analysis.sampling import NotIdentifiable

Floats = npt.NDArray[np.float64]

NOBODY_TWICE = "no account was listed twice, so nothing tells how many were not listed at all"
STEPS = 10


@dataclass(frozen=True, slots=True)
class Size:
    """How many accounts have a follower, and how many follows there are; `rate` is the share of follows read.

    `coverage` is the share of these accounts that was listed. All are orders of magnitude.
    """

    accounts: float
    follows: float
    rate: float
    coverage: float


def size(sample: Sample) -> Size | NotIdentifiable:
    """Estimate the size from how often accounts were listed, k, and their reported followers, F.

    k given k >= 1 is zero-truncated Poisson(q * F): q solves sum k = sum q * F / (1 - exp(-q * F)); then N = sum 1 / (1
    - exp(-q * F)), a Horvitz & Thompson sum over the accounts listed (the truncated estimator of van der Heijden et al.
    2003 with F as offset), and the follows are those read / q. Where F is less than k, or not known, k stands for it.
    """
    k = sample.listings
    listed = k > 0
    k, f = k[listed], np.maximum(np.where(reported(sample.followers), sample.followers, 0), sample.listings)[listed]
    if k.sum() == len(k):
        return NotIdentifiable(NOBODY_TWICE)

    def excess(q: float) -> float:
        return float((q * f / -np.expm1(-q * f)).sum() - k.sum())

    # At q = 1 the sum is at least sum F >= sum k, at q = 0 it is the number of accounts, less than sum k.
    q = float(brentq(excess, 1e-12, 1.0, xtol=1e-15))
    accounts = float((1.0 / -np.expm1(-q * f)).sum())
    return Size(accounts, len(sample.dst) / q, q, len(k) / accounts)


@dataclass(frozen=True, slots=True, eq=False)
class Saturation:
    """What each further tenth of the crawl's own credits brought; all of shape (s,).

    `credits` spent so far, `accounts` known, `novelty` new accounts a credit in this step; `overlap` the share of the
    first accounts by imputed PageRank that were among the first a step earlier, NaN in the first step.
    """

    credits: Ints
    accounts: Ints
    novelty: Floats
    overlap: Floats


def saturation(
    sample: Sample, history: History, followers: Floats, *, first: int = 100, steps: int = STEPS
) -> Saturation:
    """Replay the crawl in the order of its visits, ranking by `followers`, shape (n,), as the whole is ranked.

    The credits are those of the crawl's own visits: what the audit and the control sample brought by then is known, but
    says nothing of what more crawling would bring. It costs nothing, and it never says that a ranking is right.
    """
    links, n, end = Links.of(sample), len(sample), len(history)
    read = np.full(n, end)
    lists = np.flatnonzero(history.listing)[::-1]
    read[history.account[lists]] = lists  # the first visit is written last
    known = read.copy()
    late_first = np.argsort(-read[sample.src], kind="stable")
    by_list = np.full(n, end)
    by_list[sample.dst[late_first]] = read[sample.src[late_first]]
    known = np.minimum(known, by_list)
    spent = np.cumsum(np.where(history.own, history.credits, 0))
    total = int(spent[-1]) if end else 0
    ends = np.unique(np.searchsorted(spent, total * np.arange(1, steps + 1) / steps))
    ends = ends[ends >= known.min(initial=end)] if total else ends[:0]  # before the first list nobody is known
    accounts = np.array([int((known <= at).sum()) for at in ends], dtype=np.int64)
    overlap, before = np.full(len(ends), np.nan), np.zeros(0, dtype=np.int64)
    for step, at in enumerate(ends):
        now = leading(links, followers, known=known <= at, read=read <= at, first=first)
        if step:
            overlap[step] = len(np.intersect1d(now, before)) / len(now)
        before = now
    credits = spent[ends]
    fresh = np.cumsum(np.where(history.own, np.bincount(known[known < end], minlength=end), 0))[ends]
    novelty = np.diff(fresh, prepend=0) / np.maximum(np.diff(credits, prepend=0), 1)
    return Saturation(credits, accounts, novelty, overlap)
