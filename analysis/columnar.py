"""The follow graph in memory: columns of accounts, edges as two sorted arrays, and a networkx graph to its user.

Invariant: edges are distinct, without self-loops, sorted by (src, dst), never flipped: the source follows the target.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any, TypeGuard

import networkx as nx
import numpy as np
import numpy.typing as npt

from analysis.accounts import NUMBERS, Accounts, Ints, Mask
from analysis.degrees import DegreeView, DiDegreeView, InDegreeView, Nodes, OutDegreeView
from analysis.engine import Indices, component_labels, core_numbers, symmetrised
from analysis.summary import as_html
from storage.export import STANDINGS

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
            "graph.where), take its arrows off where that is what you want (graph.pairs), or build them with "
            "graph.to_networkx() if the memory is there"
        )
        self.follows = follows


class Columnar:
    """What both kinds of graph share: accounts as nodes, dictionaries on demand, networkx's type to networkx.

    To networkx the nodes are the account ids, which stay when a handle changes or is lost; `handle` and the other
    facts are node attributes. Functions that have a kernel (`analysis.kernels`) run on the arrays. For the others the
    dictionaries are built when networkx first asks for them (some 4 microseconds and 218 bytes an edge), only once, and
    not beyond LIMIT edges.
    """

    __networkx_backend__ = "followgraph"
    _plain: type[nx.Graph]
    _called: str
    accounts: Accounts

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        # networkx's own __new__ asks its backends who shall make the graph.
        return object.__new__(cls)

    # mypy knows __class__ as an attribute only; networkx calls it on the object.
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        # networkx makes its copies, views and results by calling G.__class__(): those are ordinary graphs.
        return self._plain

    @property
    def _dictionaries(self) -> tuple[dict[int, Any], ...]:
        built: tuple[dict[int, Any], ...] | None = self.__dict__.get("_built")
        if built is None:
            if self.number_of_edges() > LIMIT:
                raise TooManyFollows(self.number_of_edges())
            built = self.__dict__["_built"] = self._build(attributes=True)
        return built

    def _build(self, *, attributes: bool) -> tuple[dict[int, Any], ...]:
        raise NotImplementedError

    def _nodes(self, *, attributes: bool) -> dict[int, dict[str, Any]]:
        ids = self.accounts.id.tolist()
        return dict(zip(ids, self.accounts.attributes() if attributes else ({} for _ in ids), strict=True))

    _node = property(lambda self: self._dictionaries[0])
    _adj = property(lambda self: self._dictionaries[1])

    def __len__(self) -> int:
        return len(self.accounts)

    def __repr__(self) -> str:
        # networkx leaves repr() to Python; str() is its own: "FollowGraph with 3 nodes and 2 edges".
        return f"<{type(self).__name__}: {len(self):,} accounts, {self.number_of_edges():,} {self._called}>"

    def __iter__(self) -> Iterator[int]:
        return iter(self.accounts.id.tolist())

    def __contains__(self, node: object) -> bool:
        try:
            return self.position(node) is not None
        except TypeError:
            return False

    def number_of_nodes(self) -> int:
        """Return how many accounts there are; nothing is built for it."""
        return len(self.accounts)

    order = number_of_nodes

    def number_of_edges(self, u: int | None = None, v: int | None = None) -> int:
        """Return how many edges there are, or whether one leads from u to v; nothing is built for it."""
        src, _ = self._edges
        return len(src) if u is None else int(self.has_edge(u, v))

    def has_edge(self, u: object, v: object) -> bool:
        """Return whether an edge leads from the account of id u to that of id v; nothing is built for it."""
        source = self.position(u)
        target = None if source is None else self.position(v)
        if source is None or target is None:
            return False
        src, dst = self._edges
        first, last = np.searchsorted(src, np.array([source, source + 1], dtype=np.uint32))
        at = first + np.searchsorted(dst[first:last], np.uint32(target))
        return bool(at < last and dst[at] == target)

    @property
    def _edges(self) -> tuple[Indices, Indices]:
        raise NotImplementedError

    def nbunch_iter(self, nbunch: Any = None) -> Iterator[Any]:
        """Return the nodes of a bunch that are in the graph, as networkx does; nothing is built for it."""
        found: Iterator[Any] = nx.Graph.nbunch_iter(Nodes(self), nbunch)
        return found

    def position(self, node: object) -> int | None:
        """Return where the columns have an account by its id, None where there is none.

        As in a dictionary, what equals an id is that id, of whatever type, and what cannot be a key is a TypeError.
        """
        # Numbers that are equal have equal hashes, and that of a whole number from 0 to 2**61 - 2 is itself.
        key = hash(node)
        at = int(np.searchsorted(self.accounts.id, key))
        return at if at < len(self) and int(self.accounts.id[at]) == node else None

    def degrees(self, kind: str) -> Ints:
        """Return the degree of every account, shape (n,); `kind` is in, out or both. Counted once."""
        counted: dict[str, Ints] = self.__dict__.setdefault("_counted", {})
        if kind not in counted:
            ends = {"out": self._edges[:1], "in": self._edges[1:], "both": self._edges}[kind]
            counts = [np.bincount(end, minlength=len(self)) for end in ends]
            counted[kind] = np.sum(counts, axis=0, dtype=np.int64)
        return counted[kind]


# networkx has no types that a base class could be checked by.
class FollowGraph(Columnar, nx.DiGraph):  # type: ignore[misc]
    """The follow graph: arrays for our kernels, a read-only `networkx.DiGraph` for every function of networkx.

    `src` and `dst` index the columns of `accounts`; `removed` counts what was left out at loading.
    """

    _plain = nx.DiGraph
    _called = "follows"

    def __init__(self, accounts: Accounts, src: Indices, dst: Indices, removed: Removed = NOTHING) -> None:
        # Not super().__init__: it would lay the dictionaries that are to be built on demand.
        self.accounts = accounts
        self.src = src
        self.dst = dst
        self.removed = removed
        self.graph: dict[str, Any] = {}
        self.__networkx_cache__: dict[str, Any] = {}
        nx.freeze(self)

    _succ = property(lambda self: self._dictionaries[1])
    _pred = property(lambda self: self._dictionaries[2])

    degree = cached_property(DiDegreeView)
    in_degree = cached_property(InDegreeView)
    out_degree = cached_property(OutDegreeView)

    @property
    def _edges(self) -> tuple[Indices, Indices]:
        return self.src, self.dst

    def _repr_html_(self) -> str:
        counts = (
            (self.removed.loops, "loops"),
            (self.removed.duplicates, "repeats"),
            (self.removed.orphans, "orphans"),
        )
        removed = ", ".join(f"{count:,} {word}" for count, word in counts if count)
        return as_html(self.accounts, self.dst, f"{len(self.src):,} follows", removed)

    def __reduce__(self) -> tuple[Any, ...]:
        return FollowGraph, (self.accounts, self.src, self.dst, self.removed)

    def to_networkx(self, attributes: bool = True) -> nx.DiGraph:
        """Return an ordinary, changeable `networkx.DiGraph` of its own, with or without the accounts' facts."""
        graph = nx.DiGraph()
        graph._node, graph._adj, graph._pred = self._build(attributes=attributes)
        return graph

    def _build(self, *, attributes: bool) -> tuple[dict[int, Any], ...]:
        nodes = self._nodes(attributes=attributes)
        successors: dict[int, Any] = {key: {} for key in nodes}
        predecessors: dict[int, Any] = {key: {} for key in nodes}
        for source, target in zip(
            self.accounts.id[self.src].tolist(), self.accounts.id[self.dst].tolist(), strict=True
        ):
            successors[source][target] = predecessors[target][source] = {}
        return nodes, successors, predecessors

    def pairs(self) -> PairGraph:
        """Return the graph with its arrows taken off: what networkx computes on undirected graphs runs on it."""
        return PairGraph(self.accounts, *symmetrised(self.src, self.dst))

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
        start = self.position(key)
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
        is wanted is a value, a collection of values, or a function from the column's array to a mask. Raises KeyError
        for no such fact, ValueError for no such standing.
        """
        keep = np.ones(len(self), dtype=np.bool_)
        for name, wanted in facts.items():
            if name == "standing":
                _require_standings(wanted)
                column = np.array(STANDINGS, dtype=object)[self.accounts.standing]
            elif name in NUMBERS:
                column = getattr(self.accounts, name)
            else:
                column = np.array([*self.accounts.column(name), None], dtype=object)[:-1]
            keep &= _matching(column, wanted)
        return self.part(keep)

    def core(self, k: int) -> FollowGraph:
        """Return the k-core of the graph with its arrows taken off: the largest part in which each has k neighbours.

        Raises ValueError for what is no number.
        """
        if not isinstance(k, Real):
            raise ValueError(f"k={k!r} is no number; give how many neighbours each is to have, such as 2")
        return self.part(core_numbers(len(self), *symmetrised(self.src, self.dst)) >= k)

    def giant(self, *, strong: bool = False) -> FollowGraph:
        """Return the largest component; of equally large ones that of the lowest id."""
        found = component_labels(len(self), self.src, self.dst, strong=strong)
        sizes = np.bincount(found, minlength=1)
        largest = found[sizes[found] == sizes.max()][:1]
        return self.part(np.isin(found, largest))


# As above.
class PairGraph(Columnar, nx.Graph):  # type: ignore[misc]
    """The connected pairs of a follow graph, each once: a read-only `networkx.Graph` to every function of networkx.

    `low` and `high` index the columns of `accounts`, low < high, sorted by (low, high).
    """

    _plain = nx.Graph
    _called = "connected pairs"

    degree = cached_property(DegreeView)

    def __init__(self, accounts: Accounts, low: Indices, high: Indices) -> None:
        self.accounts = accounts
        self.low = low
        self.high = high
        self.graph: dict[str, Any] = {}
        self.__networkx_cache__: dict[str, Any] = {}
        nx.freeze(self)

    @property
    def _edges(self) -> tuple[Indices, Indices]:
        return self.low, self.high

    def has_edge(self, u: object, v: object) -> bool:
        """Return whether the accounts of two ids are connected; nothing is built for it."""
        return super().has_edge(u, v) or super().has_edge(v, u)

    def _repr_html_(self) -> str:
        ends = np.concatenate((self.low, self.high))
        return as_html(self.accounts, ends, f"{len(self.low):,} connected pairs, arrows taken off", "")

    def __reduce__(self) -> tuple[Any, ...]:
        return PairGraph, (self.accounts, self.low, self.high)

    def to_networkx(self, attributes: bool = True) -> nx.Graph:
        """Return an ordinary, changeable `networkx.Graph` of its own, with or without the accounts' facts."""
        graph = nx.Graph()
        graph._node, graph._adj = self._build(attributes=attributes)
        return graph

    def _build(self, *, attributes: bool) -> tuple[dict[int, Any], ...]:
        nodes = self._nodes(attributes=attributes)
        neighbours: dict[int, Any] = {key: {} for key in nodes}
        for one, other in zip(self.accounts.id[self.low].tolist(), self.accounts.id[self.high].tolist(), strict=True):
            neighbours[one][other] = neighbours[other][one] = {}
        return nodes, neighbours


def _require_standings(wanted: object) -> None:
    """Refuse a standing that no account can have: a misspelt one would look like a finding."""
    asked = wanted if _is_several(wanted) else () if callable(wanted) else (wanted,)
    for standing in asked:
        if standing not in STANDINGS:
            raise ValueError(f"standing={standing!r} is none; there are {', '.join(STANDINGS)}")


def _matching(column: npt.NDArray[Any], wanted: object) -> Mask:
    if callable(wanted):
        choose: Callable[[Any], Any] = wanted
        return np.asarray(choose(column), dtype=np.bool_)
    if _is_several(wanted):
        return np.fromiter((value in wanted for value in column.tolist()), dtype=np.bool_, count=len(column))
    return np.asarray(column == wanted, dtype=np.bool_)


def _is_several(wanted: object) -> TypeGuard[Collection[Any]]:
    return isinstance(wanted, Collection) and not isinstance(wanted, str)
