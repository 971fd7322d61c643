"""PageRank of a network that was read in part: the links seen, and for those not seen the followers reported.

Plain PageRank of what a crawl read finds a quarter to three quarters of the true first hundred, imputed PageRank four
fifths and more, as long as follower counts are right inside the population studied; `analysis.audit` measures that and
mends the counts. Evidence: docs/estimators.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csc_array, csr_array

from analysis.graph import Ints, Mask
from analysis.sample import Sample

Floats = npt.NDArray[np.float64]

DAMPING = 0.85
SETTLED = 1e-10
"""Largest change of the whole score vector (L1) between two rounds at which the scores have settled."""
ROUNDS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """The lists read: `matrix`, (n, n), has 1 where column u lists row v; `listed` is L, `length` is D, both (n,).

    D is what was read of a whole list; else the reported following, or what was read where that is more.
    """

    matrix: csr_array
    listed: Ints
    length: Ints

    @classmethod
    def of(cls, sample: Sample) -> Links:
        """Lay out the links of a sample."""
        n, listed = len(sample), sample.listed
        starts = np.concatenate(([0], np.cumsum(listed)))
        matrix = csc_array((np.ones(len(sample.dst)), sample.dst.astype(np.int32), starts), shape=(n, n)).tocsr()
        length = np.where(sample.complete, listed, np.maximum(sample.following, listed))
        return cls(matrix, listed, np.maximum(length, 0))


@dataclass(frozen=True, slots=True, eq=False)
class Imputed:
    """Scores of n accounts, summing to 1, and what they are made of.

    `seen`, shape (n,), is what the links read hand to each account; `share` what an unread follow hands on average.
    """

    scores: Floats
    seen: Floats
    share: float


def impute(links: Links, followers: Floats, *, read: Mask | None = None) -> Imputed:
    """Return the imputed PageRank for followers F of shape (n,), with the lists of `read` only (default: all).

    x_v = (1 - d + d * sum of x_u over accounts that follow nobody) / n
          + d * (sum over lists read that name v of x_u / D_u + max(0, F_v - k_v) * m),
    m = sum of x_u * (1 - L_u / D_u) / sum of (D_u - L_u), normalised each round. Where everything was read it is
    PageRank (Brin & Page 1998). Our own: docs/estimators.md.
    """
    n = len(followers)
    listed = links.listed if read is None else np.where(read, links.listed, 0)
    per_follow = 1.0 / np.maximum(links.length, 1)
    handed = np.where(listed > 0, per_follow, 0.0)
    unread = np.maximum(links.length - listed, 0)
    idle = links.length == 0
    missing = np.maximum(0.0, followers - links.matrix @ (listed > 0).astype(np.float64))
    seen, share = np.zeros(n), 0.0

    def turn(scores: Floats) -> Floats:
        nonlocal seen, share
        seen = np.asarray(links.matrix @ (scores * handed))
        share = float((scores * unread * per_follow).sum() / max(unread.sum(), 1))
        fresh = (1 - DAMPING + DAMPING * scores[idle].sum()) / n + DAMPING * (seen + missing * share)
        return np.asarray(fresh / fresh.sum())

    return Imputed(_settled(n, turn), seen, share)


def within(links: Links) -> Floats:
    """Return PageRank within the crawl: unread lists count as empty, and hand their score to all accounts alike."""
    n = len(links.listed)
    handed = np.where(links.listed > 0, 1.0 / np.maximum(links.listed, 1), 0.0)
    silent = links.listed == 0

    def turn(scores: Floats) -> Floats:
        fresh: Floats = DAMPING * (links.matrix @ (scores * handed) + scores[silent].sum() / n) + (1 - DAMPING) / n
        return fresh

    return _settled(n, turn)


def _settled(n: int, turn: Callable[[Floats], Floats]) -> Floats:
    """Repeat until nothing changes any more; shape (n,)."""
    scores = np.full(n, 1.0 / max(n, 1))
    for _ in range(ROUNDS if n else 0):
        fresh = turn(scores)
        change = float(np.abs(fresh - scores).sum())
        scores = fresh
        if change < SETTLED:
            break
    return scores
