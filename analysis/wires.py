"""One shape for every graph that a kernel computes on: the follow graph, its pairs, a converted graph of networkx."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from functools import cached_property
from itertools import chain
from typing import Any

import networkx as nx
import numpy as np

from analysis.columnar import Columnar, FollowGraph, PairGraph
from analysis.engine import Floats, Indices, Ints, Matrix, both_ways, matrix


class Wires:
    """Nodes by number and edges as arrays, sorted by (src, dst) and distinct; undirected ones lie there both ways."""

    def __init__(self, nodes: Callable[[], list[Any]], n: int, src: Indices, dst: Indices, *, directed: bool) -> None:
        self._nodes = nodes
        self.n = n
        self.src = src
        self.dst = dst
        self.directed = directed

    @cached_property
    def nodes(self) -> list[Any]:
        """What networkx calls the nodes, by number."""
        return self._nodes()

    @cached_property
    def number(self) -> dict[Hashable, int]:
        """The number of each node."""
        return {node: number for number, node in enumerate(self.nodes)}

    @cached_property
    def matrix(self) -> Matrix:
        """The adjacency matrix: row source, column target, ones."""
        return matrix(self.n, self.src, self.dst)

    @property
    def out_degree(self) -> Ints:
        """Edges that leave each node; its neighbours where edges have no direction, a loop once."""
        return np.bincount(self.src, minlength=self.n).astype(np.int64)

    @property
    def in_degree(self) -> Ints:
        """Edges that enter each node."""
        return np.bincount(self.dst, minlength=self.n).astype(np.int64)

    @property
    def loops(self) -> Indices:
        """The nodes with an edge to themselves."""
        found: Indices = self.src[self.src == self.dst]
        return found

    def named(self, values: Floats | Ints) -> dict[Any, Any]:
        """Return the values by node, as Python's own numbers."""
        return dict(zip(self.nodes, values.tolist(), strict=True))

    def vector(self, values: dict[Any, float]) -> Floats:
        """Return values given by node, 0 where none is given."""
        return np.fromiter((values.get(node, 0) for node in self.nodes), dtype=np.float64, count=self.n)


class Converted:
    """A graph of networkx with its arrays, made when a kernel first asks for them."""

    __networkx_backend__ = "followgraph"

    def __init__(self, original: nx.Graph) -> None:
        self.original = original

    def is_directed(self) -> bool:
        """Whether edges have a direction."""
        return bool(self.original.is_directed())

    def is_multigraph(self) -> bool:
        """Whether edges may be parallel."""
        return bool(self.original.is_multigraph())

    @cached_property
    def wires(self) -> Wires:
        """The arrays."""
        adjacency = self.original.adj
        nodes = list(self.original)
        number = {node: at for at, node in enumerate(nodes)}
        out = np.fromiter((len(adjacency[node]) for node in nodes), dtype=np.int64, count=len(nodes))
        heads: Iterable[Hashable] = chain.from_iterable(adjacency[node] for node in nodes)
        dst = np.fromiter((number[head] for head in heads), dtype=np.uint64, count=int(out.sum()))
        keys = np.sort(np.repeat(np.arange(len(nodes), dtype=np.uint64), out) << np.uint64(32) | dst)
        src, dst_ = (keys >> np.uint64(32)).astype(np.uint32), keys.astype(np.uint32)
        return Wires(lambda: nodes, len(nodes), src, dst_, directed=self.is_directed())


def wires_of(graph: Any) -> Wires:
    """Return the arrays behind a graph of ours or a converted one."""
    if isinstance(graph, Converted):
        return graph.wires
    assert isinstance(graph, Columnar)  # noqa: S101 - networkx hands a backend its own graphs only
    if isinstance(graph, PairGraph):
        edges, directed = both_ways(graph.low, graph.high), False
    else:
        assert isinstance(graph, FollowGraph)  # noqa: S101 - there is no third kind
        edges, directed = (graph.src, graph.dst), True
    # Made anew for each call: names and matrix would weigh more than the graph itself.
    return Wires(graph.accounts.id.tolist, len(graph), *edges, directed=directed)
