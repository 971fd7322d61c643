"""Who is central, as far as a crawl can tell: observed in-degree and PageRank within the crawl.

Neither is a measure of the platform: a follow is seen only where the follower's list was read.
"""

from __future__ import annotations

import networkx as nx
import numpy as np
import numpy.typing as npt

from analysis.engine import matrix, power_iteration
from analysis.graph import FollowGraph, Ints

Scores = npt.NDArray[np.float64]

DAMPING = 0.85
PRECISION = 1e-10
"""Largest change of the whole score vector (L1) between two rounds at which PageRank has settled."""

ROUNDS = 1_000


def in_degree(graph: FollowGraph) -> Ints:
    """Return for each account by how many visited accounts it is followed; shape (n,)."""
    return np.bincount(graph.dst, minlength=len(graph)).astype(np.int64)


def out_degree(graph: FollowGraph) -> Ints:
    """Return how many follows of each account were read, shape (n,); its true number only for `accounts.complete`."""
    return np.bincount(graph.src, minlength=len(graph)).astype(np.int64)


def pagerank(graph: FollowGraph, *, damping: float = DAMPING, precision: float = PRECISION) -> Scores:
    """Return the PageRank of each account within the crawl, shape (n,), summing to 1.

    Brin & Page 1998, as networkx defines it: an account without observed follows, so every unvisited one, hands its
    score to all accounts alike. Raises `networkx.PowerIterationFailedConvergence`.
    """
    if not len(graph):
        return np.zeros(0)
    found = power_iteration(
        matrix(len(graph), graph.src, graph.dst), damping=damping, precision=precision, rounds=ROUNDS
    )
    if found is None:
        raise nx.PowerIterationFailedConvergence(ROUNDS)
    return found


def ranking(scores: Scores | Ints, ids: Ints) -> Ints:
    """Return the positions of the accounts from the highest score to the lowest; equal scores by ascending id."""
    # Accounts in mirror-image places may differ in the last bit, which would make their order depend on the machine.
    return np.lexsort((ids, -np.round(scores, 14)))
