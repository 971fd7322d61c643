"""Who stands between communities: the follows that cross, and the accounts that carry them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.communities import Partition
from analysis.engine import Floats, symmetrised
from analysis.graph import FollowGraph, Ints, Mask

CONNECTED = 10
"""Connected pairs from which on it can be said how an account's pairs are spread."""


@dataclass(frozen=True, slots=True, eq=False)
class Flows:
    """Follows between communities, the most first: `follows` lead from community `source` to another, `target`."""

    source: Ints
    target: Ints
    follows: Ints

    @property
    def rows(self) -> list[tuple[int, int, int]]:
        """The flows one by one, as (source, target, follows)."""
        return list(zip(self.source.tolist(), self.target.tolist(), self.follows.tolist(), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Brokerage:
    """How the pairs of each account are spread over communities, shape (n,).

    `connections` counts its pairs, `outside` those with accounts of other communities; `participation` is Guimerà &
    Amaral's (2005): 0 where all its pairs are in one community, towards 1 the more evenly they are spread.
    """

    connections: Ints
    outside: Ints
    participation: Floats


def flows(graph: FollowGraph, partition: Partition) -> Flows:
    """Count the follows from each community to each other one."""
    source, target = partition.label[graph.src], partition.label[graph.dst]
    crossing = source != target
    width = len(partition.size)
    keys, counts = _counted(source[crossing] * width + target[crossing])
    order = np.lexsort((keys, -counts))
    return Flows(keys[order] // max(width, 1), keys[order] % max(width, 1), counts[order])


def brokerage(graph: FollowGraph, partition: Partition) -> Brokerage:
    """Measure how each account stands between communities; follows in both directions are one pair."""
    n, width = len(graph), len(partition.size)
    low, high = symmetrised(graph.src, graph.dst)
    account, other = np.concatenate((low, high)).astype(np.int64), np.concatenate((high, low)).astype(np.int64)
    degree = np.bincount(account, minlength=n)
    keys, counts = _counted(account * width + partition.label[other])
    holder, community = keys // max(width, 1), keys % max(width, 1)
    squares = np.bincount(holder, weights=(counts / degree[holder]) ** 2, minlength=n) if len(keys) else np.zeros(n)
    own = np.bincount(holder, weights=counts * (partition.label[holder] == community), minlength=n)
    return Brokerage(degree, (degree - own).astype(np.int64), np.where(degree > 0, 1 - squares, 0.0))


def brokers(graph: FollowGraph, found: Brokerage, among: Mask, top: int = 10) -> Ints:
    """Return the positions of the accounts `among` the given whose pairs are spread most evenly, equal ones by id.

    Accounts with fewer than CONNECTED pairs are left out: two pairs in two communities would come before everybody.
    """
    chosen = np.flatnonzero(among & (found.connections >= CONNECTED) & (found.outside > 0))
    # Squares added in another order may differ in the last bit, and the equal would not be by id.
    spread = np.round(found.participation[chosen], 14)
    order = np.lexsort((graph.accounts.id[chosen], -found.outside[chosen], -spread))
    return chosen[order][:top]


def _counted(keys: Ints) -> tuple[Ints, Ints]:
    keys = np.sort(keys)
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if len(keys) else np.zeros(0, np.int64)
    return keys[starts], np.diff(np.append(starts, len(keys)))
