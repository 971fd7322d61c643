"""Communities: seeded partitions by Leiden of the graph with its arrows taken off, and how far they can be trusted.

Invariant: every community is connected; the same graph, seed and resolution give the same partition in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import networkit as nk
import numpy as np

from analysis.agreement import jaccard, nmi
from analysis.engine import Floats, component_labels, networkit_graph, one_thread, symmetrised
from analysis.graph import FollowGraph, Indices, Ints, Mask

MAX_PAIRS = 50_000_000
"""More pairs than this are not partitioned: the engine would need more than 5 GB."""

NOWHERE = -1
"""The community of an account without a current follow."""

STABLE, DOUBTFUL = 0.75, 0.6
"""Hennig 2007: from the first on a community is stable, below the second it should not be trusted."""


RUNS, LEAST_RUNS = 20, 2
RARE = 0.2
"""Pairs that no larger share of the runs keeps together count as parted. A low threshold: with a half, the accounts
that runs disagree on fall into many more pieces than any run finds, and the modularity falls with them."""
TRIVIAL = 0.9
"""A partition with a larger share of the accounts in one community divides nothing, however well runs agree on it."""
WORK = 20_000_000
"""Connected pairs that all runs of a consensus together may go through; beyond it there are fewer runs."""


class TooManyPairs(Exception):
    """The graph is too large for the engine."""

    def __init__(self, pairs: int) -> None:
        super().__init__(f"{pairs:,} connected pairs, more than the {MAX_PAIRS:,} that communities are computed for")
        self.pairs = pairs


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Partition:
    """A partition of the accounts that have a current follow. Communities are numbered from 0, the largest first.

    `label` has shape (n,), NOWHERE for accounts outside; `size` counts accounts, `inside` connected pairs within a
    community, `touching` the pairs with at least one end in it. `modularity` is Newman & Girvan's with the resolution
    of Reichardt & Bornholdt 2006; `split` counts the communities that were left in pieces, parted since.
    """

    label: Ints
    size: Ints
    inside: Ints
    touching: Ints
    pairs: int
    modularity: float | None
    split: int

    @property
    def standard(self) -> float:
        """Modularity at resolution 1, at whatever resolution the partition was found; 0 without a pair."""
        share = (self.inside + self.touching) / max(2 * self.pairs, 1)
        return float(np.sum(self.inside / max(self.pairs, 1) - share**2))

    @property
    def conductance(self) -> Floats:
        """Of each community, pairs that lead out over the smaller of its own and the others' ends of pairs."""
        ends = self.inside + self.touching
        out = self.touching - self.inside
        found: Floats = np.divide(out, np.minimum(ends, 2 * self.pairs - ends), out=np.zeros(len(ends)), where=out > 0)
        return found


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Consensus:
    """What several seeded runs agree on.

    `partition` is their consensus; `overlap`, of shape (runs, communities), the Jaccard similarity of each community
    with its best counterpart in each run, and `stability` its mean over the runs (Hennig 2007); `agreement` the mean
    NMI of a run with the consensus; `counts` the communities that each run found.
    """

    partition: Partition
    overlap: Floats
    stability: Floats
    agreement: float
    counts: tuple[int, ...]

    @property
    def trusted(self) -> Mask:
        """Which communities are not unstable."""
        return np.greater_equal(self.stability, DOUBTFUL)

    @property
    def told(self) -> Ints:
        """The community of each account, NOWHERE also where it is unstable and so says nothing about an account."""
        trusted = np.append(self.trusted, False)  # NOWHERE is -1: the last
        return np.where(trusted[self.partition.label], self.partition.label, NOWHERE)

    @property
    def is_trivial(self) -> bool:
        """Whether one community holds nearly everybody, so that runs agree on nothing but that there is no division."""
        sizes = self.partition.size
        return bool(len(sizes)) and float(sizes[0]) > TRIVIAL * float(sizes.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What Leiden finds at one resolution: the runs' mean number of communities and share of the largest one.

    `modularity` has the resolution in it and so cannot be compared between resolutions: of one community it is one
    minus the resolution. `standard` is Newman & Girvan's of the same partitions, at resolution 1, and can.
    `agreement` is the mean NMI between runs; of trivial partitions it is near 1 and means nothing. `limit` is the
    number of pairs below which a community may be swallowed by a neighbour although it is there (Fortunato &
    Barthélemy 2007, for this resolution), `below` how many found communities have fewer pairs inside.
    """

    resolution: float
    communities: float
    largest: float
    modularity: float
    standard: float
    agreement: float
    limit: float
    below: int

    @property
    def is_trivial(self) -> bool:
        """Whether one community holds nearly everybody."""
        return self.largest > TRIVIAL


def leiden_labels(n: int, low: Indices, high: Indices, *, resolution: float, rng_seed: int) -> Ints:
    """Return the community of each of n nodes by Leiden (Traag, Waltman & van Eck 2019; networkit), shape (n,)."""
    return leiden_of(networkit_graph(n, low, high), resolution=resolution, rng_seed=rng_seed)


def leiden_of(pairs: Any, *, resolution: float, rng_seed: int) -> Ints:
    """Return the community of each node of networkit's undirected graph by Leiden."""
    return _labels(pairs, lambda graph: nk.community.ParallelLeiden(graph, gamma=resolution), rng_seed)


def louvain_labels(n: int, low: Indices, high: Indices, *, resolution: float, rng_seed: int | None) -> Ints:
    """Return the community of each of n nodes by Louvain (Blondel et al. 2008; networkit), shape (n,)."""
    return louvain_of(networkit_graph(n, low, high), resolution=resolution, rng_seed=rng_seed)


def louvain_of(pairs: Any, *, resolution: float, rng_seed: int | None) -> Ints:
    """Return the community of each node of networkit's undirected graph by Louvain.

    Without a seed nodes are visited in the order of their numbers, three times as fast as in a random one.
    """
    order = "none" if rng_seed is None else "none randomized"
    return _labels(pairs, lambda graph: nk.community.PLM(graph, gamma=resolution, par=order), rng_seed or 0)


def _labels(pairs: Any, method: Callable[[Any], Any], rng_seed: int) -> Ints:
    if not pairs.numberOfEdges():
        return np.arange(pairs.numberOfNodes())
    with one_thread(rng_seed):  # on several the result would not repeat
        found = method(pairs)
        found.run()
        return np.array(found.getPartition().getVector(), dtype=np.int64)


def leiden(graph: FollowGraph, *, resolution: float = 1.0, rng_seed: int = 1) -> Partition:
    """Partition by one run of Leiden. Larger resolutions give smaller communities. Raises TooManyPairs, ValueError."""
    _require(resolution)
    low, high, pairs, number = _inner(graph)
    rough = leiden_of(pairs, resolution=resolution, rng_seed=rng_seed)
    return _spread(graph, number, described(len(number), low, high, rough, resolution=resolution))


def consensus(graph: FollowGraph, *, resolution: float = 1.0, rng_seed: int = 1, runs: int = 20) -> Consensus:
    """Partition by what `runs` seeded runs of Leiden agree on (Lancichinetti & Fortunato 2012, one round).

    The pairs that more than `RARE` of the runs keep together, weighted by how many do, are partitioned once more.
    Raises TooManyPairs, and ValueError for a resolution or a number of runs that cannot be.
    """
    _require(resolution, runs=runs)
    low, high, pairs, number = _inner(graph)
    found = [leiden_of(pairs, resolution=resolution, rng_seed=rng_seed + run) for run in range(runs)]
    together = np.zeros(len(low))
    for labels in found:
        together += labels[low] == labels[high]
    kept = together > RARE * runs
    agreed = networkit_graph(len(number), low[kept], high[kept], weight=together[kept] / runs)
    rough = leiden_of(agreed, resolution=resolution, rng_seed=rng_seed)
    partition = described(len(number), low, high, rough, resolution=resolution)
    label = partition.label
    overlap = np.array([jaccard(label, labels) for labels in found]) if len(label) else np.zeros((runs, 0))
    return Consensus(
        partition=_spread(graph, number, partition),
        overlap=overlap,
        stability=overlap.mean(axis=0),
        agreement=float(np.mean([nmi(label, labels) for labels in found])) if len(label) else 1.0,
        counts=tuple(len(np.unique(labels)) for labels in found),
    )


def scan(
    graph: FollowGraph, resolutions: Sequence[float] = (0.25, 0.5, 1, 2, 4, 8), *, rng_seed: int = 1, runs: int = 3
) -> tuple[Scale, ...]:
    """Partition at several resolutions, some runs each.

    Agreement rises with the number of communities, without any structure too: only a fall of it tells something.
    Raises TooManyPairs, and ValueError as `consensus` does.
    """
    if not resolutions:
        return ()
    _require(*resolutions, runs=runs)
    low, high, pairs, number = _inner(graph)
    scales = []
    for resolution in resolutions:
        found = [leiden_of(pairs, resolution=resolution, rng_seed=rng_seed + run) for run in range(runs)]
        shown = [described(len(number), low, high, labels, resolution=resolution) for labels in found]
        limit = float(np.sqrt(2 * len(low) / resolution))
        scales.append(
            Scale(
                resolution=resolution,
                communities=float(np.mean([len(one.size) for one in shown])),
                largest=float(np.mean([one.size.max(initial=0) / max(one.size.sum(), 1) for one in shown])),
                modularity=float(np.mean([one.modularity or 0.0 for one in shown])),
                standard=float(np.mean([one.standard for one in shown])),
                agreement=float(np.mean([nmi(found[at], found[at - 1]) for at in range(min(runs, len(found)))]))
                if len(low)
                else 1.0,
                limit=limit,
                below=int((shown[0].inside < limit).sum()),
            )
        )
    return tuple(scales)


def runs_for(graph: FollowGraph) -> int:
    """Return how many runs a consensus should rest on: RUNS, fewer where they would cost more than all the rest."""
    pairs = len(symmetrised(graph.src, graph.dst)[0])
    return RUNS if pairs * RUNS <= WORK else max(LEAST_RUNS, WORK // pairs)


def _require(*resolutions: float, runs: int = 1) -> None:
    for resolution in resolutions:
        if not 0 < resolution < np.inf:
            raise ValueError(
                f"resolution={resolution} is no finite number above 0; give 1, or more for smaller communities"
            )
    if runs < 1:
        raise ValueError(f"runs={runs} is no number of runs; give 1 or more, such as {RUNS}")


def _inner(graph: FollowGraph) -> tuple[Indices, Indices, Any, Ints]:
    """Return the pairs of the accounts that have one, numbered anew: as arrays and for networkit, and who they are."""
    low, high = symmetrised(graph.src, graph.dst)
    if len(low) > MAX_PAIRS:
        raise TooManyPairs(len(low))
    members = np.zeros(len(graph), dtype=np.bool_)
    members[low] = members[high] = True
    number = np.flatnonzero(members)
    place = np.cumsum(members, dtype=np.uint32) - np.uint32(1)
    low, high = place[low], place[high]
    return low, high, networkit_graph(len(number), low, high), number


def _spread(graph: FollowGraph, number: Ints, found: Partition) -> Partition:
    """Return a partition of the accounts that have a pair as one of all accounts."""
    label = np.full(len(graph), NOWHERE, dtype=np.int64)
    label[number] = found.label
    return replace(found, label=label)


def described(n: int, low: Indices, high: Indices, rough: Ints, *, resolution: float) -> Partition:
    """Number, check and measure a partition given as any labels of n accounts, NOWHERE for those outside."""
    same = rough[low] == rough[high]
    # The engine may leave a community in pieces: each piece is a community of its own.
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
