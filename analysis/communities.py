"""Communities: one seeded partition by Louvain of the graph with its arrows taken off.

Invariant: every community is connected; the same graph, seed and resolution give the same partition in every process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import networkit as nk
import networkx as nx
import numpy as np

from analysis.engine import component_labels, networkit_graph, one_thread, symmetrised
from analysis.graph import FollowGraph, Indices, Ints

MAX_PAIRS = 2_000_000
"""More pairs than this are not partitioned. 504,230 pairs cost 19 CPU seconds, and the whole report 0.8 GB."""

NOWHERE = -1
"""The community of an account without a current follow."""


class TooManyPairs(Exception):
    """The graph is too large for this version's engine."""

    def __init__(self, pairs: int) -> None:
        super().__init__(f"{pairs:,} connected pairs, more than the {MAX_PAIRS:,} that communities are computed for")
        self.pairs = pairs


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Partition:
    """A partition of the accounts that have a current follow. Communities are numbered from 0, the largest first.

    `label` has shape (n,), NOWHERE for accounts outside; `size` counts accounts, `inside` connected pairs within a
    community, `touching` the pairs with at least one end in it. `modularity` is Newman & Girvan's with the resolution
    of Reichardt & Bornholdt 2006; `split` counts the communities that Louvain left in pieces, parted since.
    """

    label: Ints
    size: Ints
    inside: Ints
    touching: Ints
    pairs: int
    modularity: float | None
    split: int


def leiden_labels(n: int, low: Indices, high: Indices, *, resolution: float, rng_seed: int) -> Ints:
    """Return the community of each of n nodes by Leiden (Traag, Waltman & van Eck 2019; networkit), shape (n,)."""
    return _labels(n, low, high, lambda pairs: nk.community.ParallelLeiden(pairs, gamma=resolution), rng_seed)


def louvain_labels(n: int, low: Indices, high: Indices, *, resolution: float, rng_seed: int) -> Ints:
    """Return the community of each of n nodes by Louvain (Blondel et al. 2008; networkit), shape (n,)."""

    def method(pairs: Any) -> Any:
        return nk.community.PLM(pairs, gamma=resolution, par="none randomized")

    return _labels(n, low, high, method, rng_seed)


def _labels(n: int, low: Indices, high: Indices, method: Callable[[Any], Any], rng_seed: int) -> Ints:
    if not len(low):
        return np.arange(n)
    with one_thread(rng_seed):
        found = method(networkit_graph(n, low, high))
        found.run()
        return np.array(found.getPartition().getVector(), dtype=np.int64)


def louvain(graph: FollowGraph, *, resolution: float, rng_seed: int) -> Partition:
    """Partition by Louvain (Blondel et al. 2008, networkx). Larger resolutions give smaller communities.

    Raises TooManyPairs.
    """
    low, high = symmetrised(graph.src, graph.dst)
    if len(low) > MAX_PAIRS:
        raise TooManyPairs(len(low))
    undirected = nx.Graph()
    # The result depends on the order of nodes and edges, so both are sorted; integers hash alike in every process.
    members = np.zeros(len(graph), dtype=np.bool_)
    members[low] = members[high] = True
    undirected.add_nodes_from(np.flatnonzero(members).tolist())
    undirected.add_edges_from(zip(low.tolist(), high.tolist(), strict=True))
    found = nx.community.louvain_communities(undirected, weight=None, resolution=resolution, seed=rng_seed)
    rough = np.full(len(graph), NOWHERE, dtype=np.int64)
    for number, community in enumerate(found):
        rough[list(community)] = number
    return described(len(graph), low, high, rough, resolution=resolution)


def described(n: int, low: Indices, high: Indices, rough: Ints, *, resolution: float) -> Partition:
    """Number, check and measure a partition given as any labels of n accounts, NOWHERE for those outside."""
    same = rough[low] == rough[high]
    # Louvain may leave a community in pieces (Traag, Waltman & van Eck 2019): each piece is a community of its own.
    pieces = component_labels(n, low[same], high[same])
    pieces[rough == NOWHERE] = NOWHERE
    split = len(np.unique(pieces)) - len(np.unique(rough))
    label, size = _numbered(pieces)
    same = label[low] == label[high]
    inside = np.bincount(label[low[same]], minlength=len(size))
    ends = np.bincount(label[low], minlength=len(size)) + np.bincount(label[high], minlength=len(size))
    pairs = len(low)
    modularity = float(np.sum(inside / pairs - resolution * (ends / (2 * pairs)) ** 2)) if pairs else None
    return Partition(
        label=label,
        size=size,
        inside=inside,
        touching=ends - inside,
        pairs=pairs,
        modularity=modularity,
        split=split,
    )


def _numbered(rough: Ints) -> tuple[Ints, Ints]:
    """Renumber labels by descending size, equal sizes by their first account; return labels and sizes."""
    outside = rough == NOWHERE
    _, first, inverse, counts = np.unique(rough[~outside], return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -counts))
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    label = np.full(len(rough), NOWHERE, dtype=np.int64)
    label[~outside] = number[inverse]
    return label, counts[order]
