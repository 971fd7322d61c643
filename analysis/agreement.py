"""How far two partitions of the same accounts agree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.special import comb, xlogy

from analysis.engine import Floats, Ints

Labels = npt.NDArray[np.integer]


def counted(one: Labels, other: Labels) -> tuple[Ints, Ints, Ints]:
    """Return (label of the one, label of the other, accounts with both) of the pairs of labels that occur."""
    table = coo_array((np.ones(len(one), dtype=np.int64), (one, other))).tocsr().tocoo()
    rows, columns = table.coords
    return rows.astype(np.int64), columns.astype(np.int64), table.data


def nmi(one: Labels, other: Labels) -> float:
    """Return the mutual information over the mean of the two entropies (Danon et al. 2005): 1 for equal partitions.

    Labels are numbers from 0, shape (n,). Two partitions without any parting agree fully.
    """
    rows, columns, both = counted(one, other)
    n = len(one)
    left, right = np.bincount(one), np.bincount(other)
    shared = float(np.sum(both / n * np.log(both * n / (left[rows] * right[columns])))) if n else 0.0
    entropy = _entropy(left) + _entropy(right)
    return 2 * shared / entropy if entropy else 1.0


def _entropy(sizes: Ints) -> float:
    share: Floats = sizes / max(int(sizes.sum()), 1)
    return -float(np.sum(xlogy(share, share)))


def ari(one: Labels, other: Labels) -> float:
    """Return Hubert & Arabie's adjusted Rand index (1985): 1 for equal partitions, 0 expected by chance."""
    _, _, both = counted(one, other)
    pairs = float(comb(both, 2).sum())
    left, right = (float(comb(np.bincount(labels), 2).sum()) for labels in (one, other))
    possible = float(comb(len(one), 2))
    expected = left * right / possible if possible else 0.0
    best = (left + right) / 2
    return (pairs - expected) / (best - expected) if best != expected else 1.0


def jaccard(one: Labels, other: Labels) -> Floats:
    """Return for each label of the one the overlap with its best counterpart in the other, over their union."""
    rows, columns, both = counted(one, other)
    left, right = np.bincount(one), np.bincount(other)
    best = np.zeros(len(left))
    np.maximum.at(best, rows, both / (left[rows] + right[columns] - both))
    return best
