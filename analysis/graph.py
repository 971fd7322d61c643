"""The follow graph in memory: columns of accounts, edges as two sorted arrays, and a networkx graph to its user.

Invariant: edges are distinct, without self-loops, sorted by (src, dst), never flipped: the source follows the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from storage import export
from storage.database import Database

Ints = npt.NDArray[np.int64]
Indices = npt.NDArray[np.uint32]
Mask = npt.NDArray[np.bool_]

STANDINGS = ("complete", "capped", "partial", "hidden", "private", "not_found", "failed", "skipped", "waiting")
"""What is known of an account's own list; each known account has exactly one. Waiting: no page came yet."""

LISTED, VISITED = 3, 6
"""Standings below LISTED: a list was read. Below VISITED: the visit had an outcome, a list or a reason for none."""

UNKNOWN = -1
"""Stands for a count that the platform never reported."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Accounts:
    """The known accounts as columns of length n, by ascending id.

    `standing` indexes STANDINGS; `depth` is hops from the nearest seed; `followers` and `following` are as the platform
    reported them; `first_seen` is in Unix seconds. Missing numbers are UNKNOWN; a missing handle was taken over.
    """

    id: Ints
    handle: list[str | None]
    standing: npt.NDArray[np.uint8]
    depth: Ints
    followers: Ints
    following: Ints
    first_seen: Ints

    def __len__(self) -> int:
        return len(self.handle)

    @property
    def listed(self) -> Mask:
        """Accounts of which a list was read, whole or not: the visited accounts that can be seen to follow."""
        return np.less(self.standing, LISTED)

    @property
    def complete(self) -> Mask:
        """Accounts of which the whole list was read."""
        return np.equal(self.standing, 0)


@dataclass(frozen=True, slots=True)
class Removed:
    """Follows left out at loading, as counts: they would change what the measures mean."""

    loops: int = 0
    duplicates: int = 0
    orphans: int = 0
    """Follows of or to an account that is not in the table of accounts."""


NOTHING = Removed()


class FollowGraph(nx.DiGraph):  # type: ignore[misc]  # networkx ships no types
    """The follow graph: arrays for our kernels, a read-only `networkx.DiGraph` for every function of networkx.

    `src` and `dst` index the columns of `accounts`. To networkx the nodes are the account ids, which stay when a handle
    changes or is lost; `handle` and the other facts are node attributes. The dictionaries are built when networkx first
    asks for them (some 4 microseconds and 218 bytes an edge), and only once.
    """

    def __init__(self, accounts: Accounts, src: Indices, dst: Indices, removed: Removed = NOTHING) -> None:
        # Not super().__init__: it would lay the dictionaries that are to be built on demand.
        self.accounts = accounts
        self.src = src
        self.dst = dst
        self.removed = removed
        self.graph: dict[str, Any] = {}
        self.__networkx_cache__: dict[str, Any] = {}
        nx.freeze(self)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        # networkx makes its copies, views and results by calling G.__class__(): those are ordinary graphs.
        return nx.DiGraph

    @property
    def _dictionaries(self) -> tuple[dict[int, Any], dict[int, Any], dict[int, Any]]:
        built: tuple[dict[int, Any], dict[int, Any], dict[int, Any]] | None = self.__dict__.get("_built")
        if built is None:
            built = self.__dict__["_built"] = self._build(attributes=True)
        return built

    _node = property(lambda self: self._dictionaries[0])
    _adj = _succ = property(lambda self: self._dictionaries[1])
    _pred = property(lambda self: self._dictionaries[2])

    def __len__(self) -> int:
        return len(self.accounts)

    def number_of_nodes(self) -> int:
        """Return how many accounts are known; nothing is built for it."""
        return len(self.accounts)

    order = number_of_nodes

    def number_of_edges(self, u: int | None = None, v: int | None = None) -> int:
        """Return how many follows are current, or whether u follows v; nothing is built for the former."""
        if u is None:
            return len(self.src)
        return int(nx.DiGraph.number_of_edges(self, u, v))

    def __reduce__(self) -> tuple[Any, ...]:
        return FollowGraph, (self.accounts, self.src, self.dst, self.removed)

    def to_networkx(self, attributes: bool = True) -> nx.DiGraph:
        """Return an ordinary, changeable `networkx.DiGraph` of its own, with or without the accounts' facts."""
        graph = nx.DiGraph()
        graph._node, graph._adj, graph._pred = self._build(attributes=attributes)
        return graph

    def _build(self, *, attributes: bool) -> tuple[dict[int, Any], dict[int, Any], dict[int, Any]]:
        ids = self.accounts.id.tolist()
        nodes = dict(zip(ids, _attributes(self.accounts) if attributes else ({} for _ in ids), strict=True))
        successors: dict[int, Any] = {key: {} for key in ids}
        predecessors: dict[int, Any] = {key: {} for key in ids}
        for source, target in zip(
            self.accounts.id[self.src].tolist(), self.accounts.id[self.dst].tolist(), strict=True
        ):
            successors[source][target] = predecessors[target][source] = {}
        return nodes, successors, predecessors


def _attributes(accounts: Accounts) -> Iterator[dict[str, Any]]:
    """Yield the facts of each account in the words of the exports; what is missing is left out."""
    for handle, standing, depth, followers, following in zip(
        accounts.handle,
        accounts.standing.tolist(),
        accounts.depth.tolist(),
        accounts.followers.tolist(),
        accounts.following.tolist(),
        strict=True,
    ):
        word = STANDINGS[standing]
        facts = {
            "handle": handle,
            "role": "seed" if depth == 0 else "expanded" if standing < LISTED else "boundary",
            "completeness": word if standing < VISITED else None,
            "depth": None if depth == UNKNOWN else depth,
            "followers_reported": None if followers == UNKNOWN else followers,
            "following_reported": None if following == UNKNOWN else following,
        }
        yield {name: value for name, value in facts.items() if value is not None}


def load_graph(place: str | Path) -> FollowGraph:
    """Read the graph of a database, by path or address, through a read-only connection. Raises a DatabaseError."""
    # Only the upgrade of an older database would ask for the time, and reading never upgrades.
    with closing(Database.open(place, now=lambda: 0.0, mode="read")) as database, database.read() as conn:
        return read_graph(conn)


def read_graph(conn: Any) -> FollowGraph:
    """Read the graph through an open connection of storage."""
    codes = {word: code for code, word in enumerate(STANDINGS)}
    rows = list(export.account_rows(conn))
    ids, handles, standings, depths, followers, following, first_seen = zip(*rows, strict=True) if rows else ((),) * 7
    accounts = Accounts(
        id=_column(ids),
        handle=list(handles),
        standing=np.fromiter((codes[word] for word in standings), dtype=np.uint8, count=len(rows)),
        depth=_column(depths),
        followers=_column(followers),
        following=_column(following),
        first_seen=_column(first_seen),
    )
    # Never np.array over rows: 27 times slower (research/graph.md, section 3).
    flat = np.fromiter(chain.from_iterable(export.follow_pairs(conn)), dtype=np.int64)
    return from_pairs(accounts, flat[0::2], flat[1::2])


def _column(values: Iterable[int | None]) -> Ints:
    return np.fromiter((UNKNOWN if value is None else value for value in values), dtype=np.int64)


def from_pairs(accounts: Accounts, sources: Ints, targets: Ints) -> FollowGraph:
    """Make the graph of follows given as account ids, in any order; what is taken out is counted."""
    src, dst = _compact(accounts.id, sources), _compact(accounts.id, targets)
    known = (src < len(accounts)) & (dst < len(accounts))
    loops = known & (src == dst)
    keys = (src.astype(np.uint64) << np.uint64(32) | dst.astype(np.uint64))[known & ~loops]
    if np.any(keys[1:] <= keys[:-1]):
        keys = np.sort(keys)  # np.unique is 17 times slower (research/graph.md, pitfall 9)
    first = np.ones(len(keys), dtype=np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    removed = Removed(int(loops.sum()), int(len(keys) - first.sum()), int(len(known) - known.sum()))
    keys = keys[first]
    return FollowGraph(accounts, (keys >> np.uint64(32)).astype(np.uint32), keys.astype(np.uint32), removed)


def _compact(ids: Ints, wanted: Ints) -> Ints:
    """Return the position of each wanted id among the sorted ids; len(ids) for one that is not there."""
    found = np.searchsorted(ids, wanted)
    missing = found == len(ids)
    found[missing] = 0
    if len(ids):
        missing |= ids[found] != wanted
    found[missing] = len(ids)
    return found.astype(np.int64)
