"""The follow graph in memory: columns of accounts, edges as two sorted arrays, and a networkx graph to its user.

Invariant: edges are distinct, without self-loops, sorted by (src, dst), never flipped: the source follows the target.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from analysis import cache
from analysis.accounts import LISTED, NUMBERS, UNKNOWN, VISITED, Accounts, FromDatabase, Ints, Mask
from analysis.engine import Indices, component_labels, core_numbers, symmetrised
from storage import columns
from storage.columns import Door
from storage.database import Database
from storage.export import STANDINGS

__all__ = ["LISTED", "STANDINGS", "UNKNOWN", "VISITED", "Accounts", "Indices", "Ints", "Mask"]  # are given on

LIMIT = 5_000_000
"""Follows of which dictionaries are built at most without being asked for: some 1.1 GB and 20 CPU seconds."""


@dataclass(frozen=True, slots=True)
class Removed:
    """Follows left out at loading, as counts: they would change what the measures mean."""

    loops: int = 0
    duplicates: int = 0
    orphans: int = 0
    """Follows of or to an account that is not in the table of accounts."""


NOTHING = Removed()


class TooManyFollows(nx.NetworkXException):  # type: ignore[misc]  # networkx ships no types
    """A function of networkx that has no kernel here was called on a graph too large for dictionaries."""

    def __init__(self, follows: int) -> None:
        super().__init__(
            f"this needs networkx's dictionaries, which would take about {follows * 218 / 1e9:.1f} GB for "
            f"{follows:,} follows (limit: {LIMIT:,}); take a part first (graph.ego, graph.core, graph.giant, "
            "graph.where), or build them with graph.to_networkx() if the memory is there"
        )
        self.follows = follows


class FollowGraph(nx.DiGraph):  # type: ignore[misc]
    """The follow graph: arrays for our kernels, a read-only `networkx.DiGraph` for every function of networkx.

    `src` and `dst` index the columns of `accounts`. To networkx the nodes are the account ids, which stay when a handle
    changes or is lost; `handle` and the other facts are node attributes. Functions that have a kernel
    (`analysis.kernels`) run on the arrays. For the others the dictionaries are built when networkx first asks for them
    (some 4 microseconds and 218 bytes an edge), only once, and not beyond LIMIT follows.
    """

    __networkx_backend__ = "followgraph"

    def __init__(self, accounts: Accounts, src: Indices, dst: Indices, removed: Removed = NOTHING) -> None:
        # Not super().__init__: it would lay the dictionaries that are to be built on demand.
        self.accounts = accounts
        self.src = src
        self.dst = dst
        self.removed = removed
        self.graph: dict[str, Any] = {}
        self.__networkx_cache__: dict[str, Any] = {}
        nx.freeze(self)

    def __new__(cls, *args: Any, **kwargs: Any) -> FollowGraph:
        # networkx's own __new__ asks its backends who shall make the graph.
        return object.__new__(cls)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        # networkx makes its copies, views and results by calling G.__class__(): those are ordinary graphs.
        return nx.DiGraph

    @property
    def _dictionaries(self) -> tuple[dict[int, Any], dict[int, Any], dict[int, Any]]:
        built: tuple[dict[int, Any], dict[int, Any], dict[int, Any]] | None = self.__dict__.get("_built")
        if built is None:
            if len(self.src) > LIMIT:
                raise TooManyFollows(len(self.src))
            built = self.__dict__["_built"] = self._build(attributes=True)
        return built

    _node = property(lambda self: self._dictionaries[0])
    _adj = _succ = property(lambda self: self._dictionaries[1])
    _pred = property(lambda self: self._dictionaries[2])

    def __len__(self) -> int:
        return len(self.accounts)

    def __iter__(self) -> Iterator[int]:
        return iter(self.accounts.id.tolist())

    def __contains__(self, node: object) -> bool:
        return isinstance(node, int) and self._position(node) is not None

    def number_of_nodes(self) -> int:
        """Return how many accounts are known; nothing is built for it."""
        return len(self.accounts)

    order = number_of_nodes

    def number_of_edges(self, u: int | None = None, v: int | None = None) -> int:
        """Return how many follows are current, or whether u follows v; nothing is built for it."""
        return len(self.src) if u is None else int(self.has_edge(u, v))

    def has_edge(self, u: object, v: object) -> bool:
        """Return whether the account of id u follows that of id v; nothing is built for it."""
        source = self._position(u) if isinstance(u, int) else None
        target = self._position(v) if isinstance(v, int) else None
        if source is None or target is None:
            return False
        first, last = np.searchsorted(self.src, np.array([source, source + 1], dtype=np.uint32))
        at = first + np.searchsorted(self.dst[first:last], np.uint32(target))
        return bool(at < last and self.dst[at] == target)

    def _position(self, key: int) -> int | None:
        at = int(np.searchsorted(self.accounts.id, key))
        return at if at < len(self) and self.accounts.id[at] == key else None

    def __reduce__(self) -> tuple[Any, ...]:
        return FollowGraph, (self.accounts, self.src, self.dst, self.removed)

    def to_networkx(self, attributes: bool = True) -> nx.DiGraph:
        """Return an ordinary, changeable `networkx.DiGraph` of its own, with or without the accounts' facts."""
        graph = nx.DiGraph()
        graph._node, graph._adj, graph._pred = self._build(attributes=attributes)
        return graph

    def _build(self, *, attributes: bool) -> tuple[dict[int, Any], dict[int, Any], dict[int, Any]]:
        ids = self.accounts.id.tolist()
        nodes = dict(zip(ids, self.accounts.attributes() if attributes else ({} for _ in ids), strict=True))
        successors: dict[int, Any] = {key: {} for key in ids}
        predecessors: dict[int, Any] = {key: {} for key in ids}
        for source, target in zip(
            self.accounts.id[self.src].tolist(), self.accounts.id[self.dst].tolist(), strict=True
        ):
            successors[source][target] = predecessors[target][source] = {}
        return nodes, successors, predecessors

    def part(self, keep: Mask) -> FollowGraph:
        """Return the accounts that a mask of shape (n,) keeps, and the follows among them."""
        positions = np.flatnonzero(keep)
        number = np.cumsum(keep, dtype=np.uint32) - np.uint32(1)
        inside = keep[self.src] & keep[self.dst]
        return FollowGraph(self.accounts.part(positions), number[self.src[inside]], number[self.dst[inside]])

    def induced(self, ids: Iterable[int]) -> FollowGraph:
        """Return the accounts of some ids and the follows among them; unknown ids are passed over."""
        return self.part(np.isin(self.accounts.id, np.fromiter(ids, dtype=np.int64)))

    def ego(self, key: int, radius: int = 1, *, undirected: bool = False) -> FollowGraph:
        """Return what lies within `radius` follows from the account of an id, as `networkx.ego_graph` does.

        Raises `networkx.NodeNotFound`.
        """
        start = self._position(key)
        if start is None:
            raise nx.NodeNotFound(f"no account has the id {key}")
        keep = np.zeros(len(self), dtype=np.bool_)
        keep[start] = True
        for _ in range(radius):
            reached, back = self.dst[keep[self.src]], self.src[keep[self.dst]] if undirected else self.src[:0]
            if keep[reached].all() and keep[back].all():
                break
            keep[reached] = keep[back] = True
        return self.part(keep)

    def where(self, **facts: Any) -> FollowGraph:
        """Return the accounts of given facts and the follows among them: `where(standing="complete", region="DE")`.

        A fact is `standing`, `depth`, `followers`, `following`, `first_seen` or one of storage.columns.ATTRIBUTES. What
        is wanted is a value, a collection of values, or a function from the column's array to a mask. Raises KeyError.
        """
        keep = np.ones(len(self), dtype=np.bool_)
        for name, wanted in facts.items():
            if name == "standing":
                column = np.array(STANDINGS, dtype=object)[self.accounts.standing]
            elif name in NUMBERS:
                column = getattr(self.accounts, name)
            else:
                column = np.array([*self.accounts.column(name), None], dtype=object)[:-1]
            keep &= _matching(column, wanted)
        return self.part(keep)

    def core(self, k: int) -> FollowGraph:
        """Return the k-core of the graph with its arrows taken off: the largest part in which each has k neighbours."""
        return self.part(core_numbers(len(self), *symmetrised(self.src, self.dst)) >= k)

    def giant(self, *, strong: bool = False) -> FollowGraph:
        """Return the largest component; of equally large ones that of the lowest id."""
        found = component_labels(len(self), self.src, self.dst, strong=strong)
        sizes = np.bincount(found, minlength=1)
        largest = found[sizes[found] == sizes.max()][:1]
        return self.part(np.isin(found, largest))


def _matching(column: npt.NDArray[Any], wanted: object) -> Mask:
    if callable(wanted):
        choose: Callable[[Any], Any] = wanted
        return np.asarray(choose(column), dtype=np.bool_)
    if isinstance(wanted, Collection) and not isinstance(wanted, str):
        return np.fromiter((value in wanted for value in column.tolist()), dtype=np.bool_, count=len(column))
    return np.asarray(column == wanted, dtype=np.bool_)


def load_graph(place: str | Path, as_of: float | datetime | None = None, *, keep: bool = True) -> FollowGraph:
    """Read the graph of a database, by path or address, through a read-only connection.

    `as_of` asks for the follows that were current at a time, in Unix seconds or with a time zone. The arrays are kept
    beside the database as NAME-graph.npz for the next load, unless `keep` is false or the place cannot be written.
    Raises a DatabaseError, and ValueError for a time without a zone.
    """
    at = _moment(as_of)
    # Only the upgrade of an older database would ask for the time, and reading never upgrades.
    with closing(Database.open(place, now=lambda: 0.0, mode="read")) as database:
        path = cache.path_beside(database.path)

        def read(door: Door) -> FollowGraph:
            before = columns.file_state(database.path)
            key = cache.key_of(before, columns.marks(door), at)
            arrays = cache.stored(path, key) if keep else None
            if arrays is None:
                graph = _read(door, at)
                if keep and columns.file_state(database.path) == before:
                    cache.store(path, key, _packed(graph), changed_ns=max(before[1::2]))
            else:
                graph = _unpacked(arrays)
            return graph

        graph = columns.fast(database, read)
    graph.accounts.read_from(FromDatabase(place))
    return graph


def read_graph(conn: Any) -> FollowGraph:
    """Read the graph through an open connection of storage, with handles: in the very state that it sees."""
    graph = _read(columns.through(conn), None)
    graph.accounts.read_from(lambda name: dict(columns.attribute_rows(conn, name)))
    graph.accounts.column("handle")
    return graph


def _moment(as_of: float | datetime | None) -> float | None:
    if not isinstance(as_of, datetime):
        return as_of
    if as_of.tzinfo is None:
        raise ValueError(f"as_of={as_of.isoformat()} has no time zone; add one, such as datetime.UTC")
    return as_of.timestamp()


def _read(door: Door, as_of: float | None) -> FollowGraph:
    id_, standing, depth, followers, following, first_seen = columns.account_columns(door, as_of)
    accounts = Accounts(
        id=id_,
        standing=standing.astype(np.uint8),
        depth=depth,
        followers=followers,
        following=following,
        first_seen=first_seen,
    )
    return _assembled(accounts, door(columns.follow_query(as_of)))


def from_pairs(accounts: Accounts, sources: Ints, targets: Ints) -> FollowGraph:
    """Make the graph of follows given as account ids, in any order; what is taken out is counted."""
    return _assembled(accounts, iter([(sources, targets)]))


def _assembled(accounts: Accounts, batches: Iterable[tuple[Ints, ...]]) -> FollowGraph:
    parts: list[tuple[Indices, Indices]] = []
    loops = orphans = 0
    is_sorted = True
    last = -1
    for sources, targets in batches:
        followers, is_source = columns.positions(accounts.id, sources)
        followed, is_target = columns.positions(accounts.id, targets)
        known = is_source & is_target
        if not known.all():
            orphans += len(known) - int(known.sum())
            followers, followed = followers[known[is_source]], followed[known[is_target]]
        other = followers != followed
        if not other.all():
            loops += len(other) - int(other.sum())
            followers, followed = followers[other], followed[other]
        if len(followers):
            keys = followers << 32 | followed
            is_sorted = is_sorted and keys[0] > last and bool(np.all(keys[1:] > keys[:-1]))
            last = int(keys[-1])
            parts.append((followers.astype(np.uint32), followed.astype(np.uint32)))
    none = np.zeros(0, dtype=np.uint32)
    src, dst = (np.concatenate([none, *(part[at] for part in parts)]) for at in (0, 1))
    duplicates = 0
    if not is_sorted:
        pairs = np.sort(src.astype(np.uint64) << np.uint64(32) | dst)  # np.unique is 17 times slower
        first = np.concatenate(([True], pairs[1:] != pairs[:-1]))
        duplicates = int(len(pairs) - first.sum())
        pairs = pairs[first]
        src, dst = (pairs >> np.uint64(32)).astype(np.uint32), pairs.astype(np.uint32)
    return FollowGraph(accounts, src, dst, Removed(loops, duplicates, orphans))


def _packed(graph: FollowGraph) -> cache.Arrays:
    removed = graph.removed
    return {
        "src": graph.src,
        "dst": graph.dst,
        "removed": np.array([removed.loops, removed.duplicates, removed.orphans]),
        **{name: getattr(graph.accounts, name) for name in NUMBERS},
    }


def _unpacked(arrays: cache.Arrays) -> FollowGraph:
    accounts = Accounts(**{name: arrays[name] for name in NUMBERS})  # type: ignore[arg-type]
    return FollowGraph(accounts, arrays["src"], arrays["dst"], Removed(*arrays["removed"].tolist()))  # type: ignore[arg-type]
