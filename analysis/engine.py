"""The engines: what SciPy and networkit compute on bare arrays of edges.

Every function gives the same bytes for the same input, on however many processors: where networkit's result depends on
threads it gets one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import networkit as nk
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.uint32]
Matrix = csr_array


def matrix(n: int, src: Indices, dst: Indices) -> Matrix:
    """Return the adjacency matrix of edges sorted by (src, dst): row source, column target, ones."""
    starts = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(src, minlength=n), out=starts[1:])
    if len(src) < 2**31:  # SciPy computes faster on short indices
        starts = starts.astype(np.int32)
    return csr_array((np.ones(len(dst)), dst.astype(starts.dtype), starts), shape=(n, n))


def component_labels(n: int, src: Indices, dst: Indices, *, strong: bool = False) -> Ints:
    """Return the component of each of n nodes, shape (n,), numbered from 0; edges in any order, repeats allowed.

    Weak components are numbered by their first nodes, strong ones so that every edge between two leads to the lower.
    """
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    if np.any(src[1:] < src[:-1]):
        order = np.argsort(src, kind="stable")
        src, dst = src[order], dst[order]
    if strong:
        edges = matrix(n, src, dst)
        edges.sum_duplicates()  # a repeated edge would keep SciPy at it for ever
        return connected_components(edges, directed=True, connection="strong")[1].astype(np.int64)
    # Two edges of each node leave few parts, and few edges between them: of the others it is only asked whether they
    # join two (a form of Afforest: Sutton, Ben-Nun & Barak 2018). Parts, too, are numbered by their first nodes.
    first = np.flatnonzero(np.concatenate((np.ones(min(len(src), 2), dtype=np.bool_), src[2:] != src[:-2])))
    count, part = connected_components(matrix(n, src[first], dst[first]), directed=True, connection="weak")
    near, far = part.take(src), part.take(dst)
    joins = np.flatnonzero(near != far)
    joins = joins[np.argsort(near[joins], kind="stable")]
    between = matrix(count, near[joins].astype(np.uint32), far[joins].astype(np.uint32))
    _, whole = connected_components(between, directed=True, connection="weak")
    return whole[part].astype(np.int64)


def symmetrised(src: Indices, dst: Indices) -> tuple[Indices, Indices]:
    """Return the connected pairs (low, high), each once however many of its two edges exist, sorted."""
    low, high = np.minimum(src, dst), np.maximum(src, dst)
    keys = np.sort(low.astype(np.uint64) << np.uint64(32) | high.astype(np.uint64))
    first = np.ones(len(keys), dtype=np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    keys = keys[first]
    return (keys >> np.uint64(32)).astype(np.uint32), keys.astype(np.uint32)


def both_ways(low: Indices, high: Indices) -> tuple[Indices, Indices]:
    """Return each pair as two edges, sorted by (source, target); a loop stays one."""
    proper = low != high
    keys = np.concatenate(
        (
            low.astype(np.uint64) << np.uint64(32) | high.astype(np.uint64),
            high[proper].astype(np.uint64) << np.uint64(32) | low[proper].astype(np.uint64),
        )
    )
    keys.sort()
    return (keys >> np.uint64(32)).astype(np.uint32), keys.astype(np.uint32)


def networkit_graph(n: int, src: Indices, dst: Indices, *, directed: bool = False, weight: Floats | None = None) -> Any:
    """Return networkit's graph of n nodes with edges sorted by source; undirected ones are given once. Repeats stay."""
    # From a matrix networkit builds it nine times faster than from pairs.
    edges = matrix(n, src, dst)
    if weight is not None:
        edges.data = weight
    with one_thread():  # several would lay the neighbours in an order of their own, and communities depend on it
        return nk.GraphFromCsr(edges, directed=directed, weighted=weight is not None)


@contextmanager
def one_thread(rng_seed: int = 0) -> Iterator[None]:
    """Let networkit compute on one thread with a seed of its own, whatever was set before."""
    before = nk.getMaxNumberOfThreads()
    nk.setNumberOfThreads(1)
    nk.setSeed(rng_seed, False)
    try:
        yield
    finally:
        nk.setNumberOfThreads(before)


def core_numbers(n: int, low: Indices, high: Indices) -> Ints:
    """Return the core number of each of n nodes, shape (n,): pairs without loops; a repeated pair counts each time."""
    return cores_of(networkit_graph(n, low, high))


def cores_of(graph: Any) -> Ints:
    """Return the core numbers of networkit's undirected graph without loops."""
    if not graph.numberOfEdges():
        return np.zeros(graph.numberOfNodes(), dtype=np.int64)
    with one_thread():
        return np.array(nk.centrality.CoreDecomposition(graph).run().scores(), dtype=np.float64).astype(np.int64)


def power_iteration(
    graph: Matrix,
    *,
    damping: float,
    precision: float,
    rounds: int,
    start: Floats | None = None,
    jump: Floats | None = None,
    sink: Floats | None = None,
) -> Floats | None:
    """Return the PageRank of each node, shape (n,), None when `rounds` do not settle it to `precision` (L1).

    Brin & Page 1998 as networkx defines it: who leaps goes to the nodes as `jump` says, and who stands at a node
    without an edge onward as `sink` says (both default to all alike; `sink` to `jump`).
    """
    n = graph.shape[0]
    out = np.diff(graph.indptr)
    is_end = out == 0
    share = np.divide(1.0, out, out=np.zeros(n), where=~is_end)
    even = np.full(n, 1 / n)
    score = even if start is None else start
    leap = even if jump is None else jump
    rest = leap if sink is None else sink
    onward = graph.T  # multiplied as it lies: laying it anew would cost twenty rounds
    for _ in range(rounds):
        before = score
        score = onward @ (score * share)
        score += float(before[is_end].sum()) * rest
        score *= damping
        score += (1 - damping) * leap
        if np.abs(score - before).sum() < precision:
            return score
    return None
