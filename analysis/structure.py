"""The shape of the graph: components, bow-tie, cores, reciprocity, degrees, each with whom it may be said of."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
from scipy.sparse.csgraph import breadth_first_order

from analysis.clustering import triangle_sums
from analysis.engine import component_labels, core_numbers, matrix, symmetrised
from analysis.graph import FollowGraph, Indices, Ints, Mask
from analysis.kernels import betweenness_centrality

TRIANGLES = 2_000_000
"""Connected pairs beyond which triangles are not counted: that would take longer than all the rest."""

COVERED = 0.3
"""Share of the known accounts under which paths among the visited say nothing: most paths lead past them."""

PIVOTS, FEWEST_PIVOTS = 200, 20
WORK = 50_000_000
"""Accounts and follows that the searches for shortest paths may go through, in a CPU second or so if from all accounts.

Where that is too much, a draw of PIVOTS is searched from, or of as many as may be.
"""

MANY = 10
"""Among fewer accounts nobody stands between others to speak of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """Sizes in accounts. Weak: connected when arrows are ignored. Strong: each reaches each along the arrows."""

    weak: int
    largest_weak: int
    strong: int
    largest_strong: int
    isolated: int
    """Accounts without any current follow, in or out; each is a component of its own in both counts."""


@dataclass(frozen=True, slots=True)
class Reciprocity:
    """How many of the follows counted are returned; `share` is None where there is none to count."""

    follows: int
    returned: int

    @property
    def share(self) -> float | None:
        """Returned follows over follows: `networkx.overall_reciprocity` on the graph of the follows counted."""
        return self.returned / self.follows if self.follows else None


@dataclass(frozen=True, slots=True)
class Clustering:
    """How far the connections of an account are connected with each other, without direction.

    `triples` counts the pairs of connections that share an account, `closed` those whose other ends are connected too:
    three a triangle. `average` is of the `accounts` with two connections or more (Watts & Strogatz 1998).
    """

    accounts: int
    triples: int
    closed: int
    average: float | None

    @property
    def transitivity(self) -> float | None:
        """Closed triples over triples (Newman, Watts & Strogatz 2002): `networkx.transitivity`."""
        return self.closed / self.triples if self.triples else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Betweenness:
    """The accounts on most shortest paths among some `accounts`, which are the `share` of all known ones.

    `first` has (position, betweenness as a share of all ordered pairs), the highest first; it is empty where the share
    is under `COVERED`, or the graph too large (`pivots` is 0 then). It is exact where the `pivots` are all accounts;
    fewer were drawn by lot, and it is an estimate. Fragile in any case: an account not visited may carry the paths.
    """

    accounts: int
    share: float
    pivots: int
    first: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """The distinct values of a degree, ascending, with how many accounts have each and how many at least it."""

    value: Ints
    count: Ints
    at_least: Ints

    @property
    def accounts(self) -> int:
        """The accounts it is about."""
        return int(self.count.sum())


def components(graph: FollowGraph) -> Components:
    """Count the weak and strong components of all known accounts."""
    weak = np.bincount(component_labels(len(graph), graph.src, graph.dst))
    strong = np.bincount(component_labels(len(graph), graph.src, graph.dst, strong=True))
    linked = np.zeros(len(graph), dtype=np.bool_)
    linked[graph.src] = linked[graph.dst] = True
    return Components(
        weak=len(weak),
        largest_weak=int(weak.max(initial=0)),
        strong=len(strong),
        largest_strong=int(strong.max(initial=0)),
        isolated=int(len(graph) - linked.sum()),
    )


def reciprocity(graph: FollowGraph, among: Mask | None = None) -> Reciprocity:
    """Count the follows whose both ends are `among` the given accounts (default: all), and those returned.

    Only between completely visited accounts is a follow that was not seen known not to exist.
    """
    src, dst = graph.src.astype(np.uint64), graph.dst.astype(np.uint64)
    if among is not None:
        inside = among[graph.src] & among[graph.dst]
        src, dst = src[inside], dst[inside]
    there, back = src << np.uint64(32) | dst, dst << np.uint64(32) | src
    back.sort()  # in order they are looked up ten times as fast
    position = np.searchsorted(there, back)
    position[position == len(there)] = 0
    return Reciprocity(len(there), int((there[position] == back).sum()) if len(there) else 0)


def clustering(graph: FollowGraph, among: Mask) -> Clustering | None:
    """Count closed triples of the accounts `among`, directions dropped; None of more than TRIANGLES pairs.

    Only of completely visited accounts: whether an account that was not visited closes a triple is not known.
    """
    inside = among[graph.src] & among[graph.dst]
    low, high = symmetrised(graph.src[inside], graph.dst[inside])
    if len(low) > TRIANGLES:
        return None
    n = len(graph)
    degree = np.bincount(low, minlength=n) + np.bincount(high, minlength=n)
    some = degree > 1
    possible = degree[some] * (degree[some] - 1) // 2
    closed = triangle_sums(n, low, high)[some]
    return Clustering(
        accounts=int(some.sum()),
        triples=int(possible.sum()),
        closed=round(float(closed.sum())),
        average=float(np.mean(closed / possible)) if some.any() else None,
    )


def betweenness(graph: FollowGraph, among: Mask, *, rng_seed: int, top: int = 10) -> Betweenness:
    """Return betweenness in the graph of the accounts `among`: exact (Brandes 2001) as far as WORK allows.

    Beyond, it is estimated from pivots (Brandes & Pich 2007).
    """
    n, known = int(among.sum()), max(len(graph), 1)
    nothing = Betweenness(accounts=n, share=n / known, pivots=0, first=())
    if n < MANY or n < COVERED * known:
        return nothing
    part = graph.part(among)
    searches = WORK // (n + len(part.src))  # each goes through all of them
    pivots = n if n <= searches else min(PIVOTS, searches)
    if pivots < min(n, FEWEST_PIVOTS):
        return nothing
    scores = betweenness_centrality(part, k=pivots, seed=Random(rng_seed))  # noqa: S311 - a draw that can be repeated
    value = np.array([scores[key] for key in part.accounts.id.tolist()])
    positions = np.flatnonzero(among)
    first = np.lexsort((part.accounts.id, -np.round(value, 14)))[:top]  # equal ones may differ in the last bit
    return Betweenness(
        accounts=n,
        share=n / known,
        pivots=pivots,
        first=tuple((int(positions[at]), float(value[at])) for at in first if value[at] > 0),
    )


def distribution(values: Ints) -> Distribution:
    """Return how often each value occurs and how many accounts have at least it: the complementary cumulative."""
    counts = np.bincount(values)
    value = np.flatnonzero(counts)
    count = counts[value]
    return Distribution(value.astype(np.int64), count, np.cumsum(count[::-1])[::-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class BowTie:
    """How the graph hangs about its largest strong component (Broder et al. 2000), in accounts that sum to all.

    `into` reach the core, `out` are reached by it, `tubes` lead past it from the one to the other, `tendrils` hang on
    one of them only, `apart` are not connected to it at all.
    """

    core: int
    into: int
    out: int
    tubes: int
    tendrils: int
    apart: int


@dataclass(frozen=True, slots=True, eq=False)
class CoreProfile:
    """For each k from 0 to the largest: the accounts in the k-core, each with k connections or more inside it.

    `number` is the core number of each account, shape (n,).
    """

    accounts: Ints
    number: Ints

    @property
    def largest(self) -> int:
        """The largest k with accounts in its core."""
        return len(self.accounts) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Assortativity:
    """Correlations of the degrees at the two ends of the follows (Newman 2003), follower's first; None without spread.

    `total` is of the number of connections at the two ends of connected pairs, without direction.
    """

    in_in: float | None
    in_out: float | None
    out_in: float | None
    out_out: float | None
    total: float | None
    follows: int


def bow_tie(graph: FollowGraph) -> BowTie:
    """Sort all known accounts by how they hang on the largest strong component; of equals that of the lowest id.

    In a crawl an account that was not visited follows nobody as far as is known, so it is never in the core.
    """
    n, src, dst = len(graph), graph.src, graph.dst
    if not n:
        return BowTie(core=0, into=0, out=0, tubes=0, tendrils=0, apart=0)
    strong = component_labels(n, src, dst, strong=True)
    sizes = np.bincount(strong)
    start = int(np.flatnonzero(sizes[strong] == sizes.max())[0])
    core = strong == strong[start]
    out = _reached(n, src, dst, core) & ~core
    into = _reached(n, dst, src, core) & ~core
    weak = component_labels(n, src, dst)
    apart = weak != weak[start]
    rest = ~(core | out | into | apart)
    tubes = rest & _reached(n, src, dst, into) & _reached(n, dst, src, out)
    counts = (int(part.sum()) for part in (core, into, out, tubes, rest & ~tubes, apart))
    return BowTie(**dict(zip(("core", "into", "out", "tubes", "tendrils", "apart"), counts, strict=True)))


def _reached(n: int, src: Indices, dst: Indices, start: Mask) -> Mask:
    """Return what can be reached along the edges from any of the start nodes, them included."""
    if not start.any():
        return start
    # All start nodes are drawn together into one more node, from which one search does for all.
    first = np.where(start[src], np.uint32(n), src).astype(np.uint32)
    last = np.where(start[dst], np.uint32(n), dst).astype(np.uint32)
    order = np.argsort(first, kind="stable")
    found = breadth_first_order(matrix(n + 1, first[order], last[order]), n, return_predecessors=False)
    reached = np.zeros(n + 1, dtype=np.bool_)
    reached[found] = True
    return reached[:n] | start


def core_profile(graph: FollowGraph) -> CoreProfile:
    """Count the accounts of each k-core (Seidman 1983) of the graph with its arrows taken off."""
    number = core_numbers(len(graph), *symmetrised(graph.src, graph.dst))
    return CoreProfile(np.cumsum(np.bincount(number)[::-1])[::-1], number)


def assortativity(graph: FollowGraph, among: Mask | None = None) -> Assortativity:
    """Correlate the observed degrees at the ends of the follows whose both ends are `among` the given accounts."""
    src, dst = graph.src, graph.dst
    if among is not None:
        inside = among[src] & among[dst]
        src, dst = src[inside], dst[inside]
    given, received = np.bincount(src, minlength=len(graph)), np.bincount(dst, minlength=len(graph))
    low, high = symmetrised(src, dst)
    degree = np.bincount(low, minlength=len(graph)) + np.bincount(high, minlength=len(graph))
    return Assortativity(
        in_in=_correlation(received[src], received[dst]),
        in_out=_correlation(received[src], given[dst]),
        out_in=_correlation(given[src], received[dst]),
        out_out=_correlation(given[src], given[dst]),
        total=_correlation(np.concatenate((degree[low], degree[high])), np.concatenate((degree[high], degree[low]))),
        follows=len(src),
    )


def _correlation(one: Ints, other: Ints) -> float | None:
    if not len(one) or one.min() == one.max() or other.min() == other.max():
        return None
    return float(np.corrcoef(one.astype(np.float64), other.astype(np.float64))[0, 1])
