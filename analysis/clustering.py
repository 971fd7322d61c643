"""Triangles on arrays: counted once each, from the pairs laid from lower to higher degree."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array

from analysis.engine import Floats, Indices, Matrix

_STEPS = 20_000_000
"""Products of one multiplication: some 0.5 GB."""


def triangle_sums(n: int, low: Indices, high: Indices, weight: Floats | None = None) -> Floats:
    """Return for each node the sum, over the triangles it is in, of the product of the weights of their three pairs.

    Without weights, its number of triangles. Pairs are distinct, without loops. Laying each pair towards the node of
    the higher degree keeps the work at O(m^1.5) (Chiba & Nishizeki 1985).
    """
    total = np.zeros(n)
    if not len(low):
        return total
    degree = np.bincount(low, minlength=n) + np.bincount(high, minlength=n)
    rank = np.empty(n, dtype=np.int64)
    rank[np.lexsort((np.arange(n), degree))] = np.arange(n)
    one, other = rank[low], rank[high]
    values = np.ones(len(low)) if weight is None else weight
    laid = csr_array((values, (np.minimum(one, other), np.maximum(one, other))), shape=(n, n))
    back = laid.T.tocsr()
    found = np.zeros(n)
    for factor in (laid, back):  # the lowest and the highest corner, then the one between
        for rows in _chunks(factor, laid):
            closed = (factor[rows] @ laid).multiply(laid[rows]).tocsr()
            found[rows] += closed.sum(axis=1)
            if factor is laid:
                found += closed.sum(axis=0)
    total[:] = found[rank]
    return total


def _chunks(factor: Matrix, laid: Matrix) -> list[slice]:
    """Return runs of rows whose product with `laid` takes about as many steps each."""
    out = np.diff(laid.indptr)
    steps = np.zeros(factor.shape[0] + 1)
    np.cumsum(
        np.add.reduceat(np.append(out[factor.indices], 0), factor.indptr[:-1].clip(max=len(factor.indices)))
        * (np.diff(factor.indptr) > 0),
        out=steps[1:],
    )
    cuts = np.unique(np.searchsorted(steps, np.arange(0, steps[-1], _STEPS), side="left"))
    bounds = np.unique(np.concatenate(([0], cuts, [factor.shape[0]])))
    return [slice(int(a), int(b)) for a, b in pairwise(bounds)]
