"""The shape of the graph: components, reciprocity and degree distributions, each with whom it may be said of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.engine import component_labels
from analysis.graph import FollowGraph, Ints, Mask


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
    position = np.searchsorted(there, back)
    position[position == len(there)] = 0
    return Reciprocity(len(there), int((there[position] == back).sum()) if len(there) else 0)


def distribution(values: Ints) -> Distribution:
    """Return how often each value occurs and how many accounts have at least it: the complementary cumulative."""
    counts = np.bincount(values)
    value = np.flatnonzero(counts)
    count = counts[value]
    return Distribution(value.astype(np.int64), count, np.cumsum(count[::-1])[::-1])
