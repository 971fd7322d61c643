"""Ratios on pairs of accounts, over those pairs only of which a crawl knows both sides.

What pairs say through facts that lists bring along (do the follower and the followed speak one language?) is a ratio
over follows, with an interval: `analysis.sampling.of_follows`. Here is what needs more than that; it has no interval.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.sample import Sample
from analysis.sampling import NoInterval, NotIdentifiable, inverse_followers

Floats = npt.NDArray[np.float64]

OF_THE_CRAWL = "no interval: only pairs of accounts that were both read, which the crawl chose"
UNTESTED = "no interval: weighted by the followers of the follower, whose coverage was never measured"
NO_PAIR = "no two accounts that were both read to the end follow one another"
ALL_ALIKE = "all followers, or all followed, have the same value"


def reciprocity(sample: Sample) -> NoInterval | NotIdentifiable:
    """Return the share of follows that are returned, among those between accounts that were both read to the end.

    Elsewhere a follow that was not seen may exist. `networkx.overall_reciprocity` of the graph of these accounts.
    """
    src, dst = sample.src.astype(np.uint64), sample.dst.astype(np.uint64)
    inside = sample.complete[src] & sample.complete[dst]
    if not inside.any():
        return NotIdentifiable(NO_PAIR)
    src, dst = src[inside], dst[inside]
    there, back = src << np.uint64(32) | dst, dst << np.uint64(32) | src
    return NoInterval(float(np.isin(back, there).mean()), OF_THE_CRAWL)


def assortativity(sample: Sample, of_source: Floats, of_target: Floats) -> NoInterval | NotIdentifiable:
    """Return the correlation of two values, both (n,), over follows u -> v weighted 1 / F_u; NaN: not known.

    Newman 2003 for directed graphs, each follow weighted as its list is in the *double* estimate.
    """
    x, y = of_source[sample.src], of_target[sample.dst]
    counted = sample.complete[sample.src] & ~np.isnan(x) & ~np.isnan(y)
    weight = inverse_followers(sample, sample.src[counted].astype(np.int64))
    x, y = x[counted], y[counted]
    if not len(x):
        return NotIdentifiable(NO_PAIR)
    x, y = x - np.average(x, weights=weight), y - np.average(y, weights=weight)
    spread = float((weight * x * x).sum() * (weight * y * y).sum())
    if spread == 0:
        return NotIdentifiable(ALL_ALIKE)
    return NoInterval(float((weight * x * y).sum()) / spread**0.5, UNTESTED)
