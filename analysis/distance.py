"""Shortest paths on arrays: betweenness, closeness and harmonic centrality, by breadth-first search.

Betweenness follows Brandes 2001. Closeness and harmonic search from 64 accounts at once, a bit of a word for each
(Then et al. 2014, "The more the merrier").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import networkit as nk
import numpy as np
import numpy.typing as npt

from analysis.engine import Floats, Indices, Ints, Matrix, networkit_graph, one_thread

LANES = 64

Words = npt.NDArray[np.uint64]


def betweenness_of_all(n: int, src: Indices, dst: Indices, *, directed: bool) -> Floats:
    """Return for each node the sum over ordered pairs (s, t) of the share of shortest paths through it, by networkit.

    Of an undirected graph each pair is given once.
    """
    if not len(src):
        return np.zeros(n)
    with one_thread():  # threads would add the shares in an order of their own
        scores = nk.centrality.Betweenness(networkit_graph(n, src, dst, directed=directed)).run().scores()
    return np.array(scores, dtype=np.float64)


def betweenness_from(graph: Matrix, sources: Iterable[int], *, endpoints: bool) -> Floats:
    """Return the same sum over the pairs that start at `sources`; with `endpoints`, paths count for their ends too."""
    total = np.zeros(graph.shape[0])
    for source in sources:
        total += _dependencies(graph.indptr, graph.indices, source, endpoints=endpoints)
    return total


def _dependencies(
    starts: npt.NDArray[np.signedinteger], targets: npt.NDArray[np.signedinteger], source: int, *, endpoints: bool
) -> Floats:
    n = len(starts) - 1
    distance = np.full(n, -1, dtype=np.int64)
    paths, share = np.zeros(n), np.zeros(n)
    distance[source], paths[source] = 0, 1
    frontier = np.array([source])
    reached = 0
    steps: list[tuple[npt.NDArray[np.signedinteger], npt.NDArray[np.signedinteger]]] = []
    while len(frontier):
        counts = starts[frontier + 1] - starts[frontier]
        tails = np.repeat(frontier, counts)
        first = np.repeat(starts[frontier] - np.cumsum(counts) + counts, counts)
        heads = targets[first + np.arange(len(tails))]
        fresh = heads[distance[heads] < 0]
        level = len(steps) + 1
        distance[fresh] = level
        onward = distance[heads] == level
        tails, heads = tails[onward], heads[onward]
        np.add.at(paths, heads, paths[tails])
        steps.append((tails, heads))
        frontier = np.unique(fresh)
        reached += len(frontier)
    for tails, heads in reversed(steps):
        np.add.at(share, tails, paths[tails] / paths[heads] * (1 + share[heads]))
    share[source] = reached if endpoints else 0
    if endpoints:
        share[distance > 0] += 1
    return share


def distances_to(graph: Matrix, targets: Ints) -> Iterator[tuple[slice, int, Ints]]:
    """Yield (lanes, d, how many others have a shortest path of length d to each of `targets[lanes]`), 64 at a time."""
    for low in range(0, len(targets), LANES):
        lanes = slice(low, low + LANES)
        for distance, fresh in _levels(graph, targets[lanes]):
            bits = np.unpackbits(fresh[fresh != 0].view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
            yield lanes, distance, bits.sum(axis=0, dtype=np.int64)[: len(targets[lanes])]


def distances_from(graph: Matrix, sources: Ints) -> Iterator[tuple[int, Ints]]:
    """Yield (d, from how many of the sources the shortest path to each node has length d), 64 sources at a time."""
    backward = graph.T.tocsr()
    for low in range(0, len(sources), LANES):
        for distance, fresh in _levels(backward, sources[low : low + LANES]):
            yield distance, np.bitwise_count(fresh).astype(np.int64)


def _levels(graph: Matrix, lanes: Ints) -> Iterator[tuple[int, Words]]:
    """Yield (d, the lanes that each node reaches along the rows of `graph` in d steps and no fewer)."""
    rows = np.flatnonzero(np.diff(graph.indptr))
    starts = graph.indptr[rows]
    seen = np.zeros(graph.shape[0], dtype=np.uint64)
    np.bitwise_or.at(seen, lanes, np.uint64(1) << np.arange(len(lanes), dtype=np.uint64))
    current, distance = seen.copy(), 0
    while len(rows):
        fresh = np.zeros_like(seen)
        fresh[rows] = np.bitwise_or.reduceat(current[graph.indices], starts)
        fresh &= ~seen
        if not fresh.any():
            return
        distance += 1
        yield distance, fresh
        seen |= fresh
        current = fresh
