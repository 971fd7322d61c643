"""The functions of networkx that run on arrays, under networkx's names, arguments and definitions.

Each takes what networkx hands a backend and returns what networkx would. What a kernel does not honour is refused
beforehand (`REFUSALS`), and networkx's own code computes instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any

import networkx as nx
import numpy as np
from networkx.utils import create_py_random_state
from scipy.sparse.linalg import ArpackNoConvergence, svds

from analysis.clustering import triangle_sums
from analysis.communities import leiden_labels, louvain_labels
from analysis.distance import betweenness_from, betweenness_of_all, distances_from, distances_to
from analysis.engine import Floats, Ints, component_labels, core_numbers, power_iteration, symmetrised
from analysis.wires import Wires, wires_of

Named = dict[Any, Any]


def pagerank(
    G: Any,
    alpha: float = 0.85,
    personalization: Named | None = None,
    max_iter: int = 100,
    tol: float = 1e-6,
    nstart: Named | None = None,
    weight: str | None = "weight",
    dangling: Named | None = None,
) -> Named:
    """Brin & Page 1998; `tol` is multiplied by the number of nodes, as networkx documents."""
    wires = wires_of(G)
    if not wires.n:
        return {}
    given = [None if values is None else wires.vector(values) for values in (nstart, personalization, dangling)]
    if given[1] is not None and given[1].sum() == 0:
        raise ZeroDivisionError
    start, jump, sink = (None if values is None else values / values.sum() for values in given)
    found = power_iteration(
        wires.matrix, damping=alpha, precision=wires.n * tol, rounds=max_iter, start=start, jump=jump, sink=sink
    )
    if found is None:
        raise nx.PowerIterationFailedConvergence(max_iter)
    return wires.named(found)


def hits(
    G: Any, max_iter: int = 100, tol: float = 1e-8, nstart: Named | None = None, normalized: bool = True
) -> tuple[Named, Named]:
    """Kleinberg 1999: the first singular vectors of the adjacency matrix, from a fixed start, not a random one."""
    wires = wires_of(G)
    if not wires.n:
        return {}, {}
    if max_iter <= 0:
        raise nx.PowerIterationFailedConvergence(max_iter)
    try:
        _, _, found = svds(wires.matrix, k=1, v0=np.ones(wires.n), maxiter=max_iter, tol=tol)
    except ArpackNoConvergence as error:
        raise nx.PowerIterationFailedConvergence(max_iter) from error
    authority: Floats = found.flatten().real
    hub: Floats = wires.matrix @ authority
    if normalized:
        hub, authority = hub / hub.sum(), authority / authority.sum()
    return wires.named(hub), wires.named(authority)


def core_number(G: Any) -> Named:
    """Batagelj & Zaversnik 2003; along arrows a neighbour of both kinds counts twice, as in networkx."""
    wires = wires_of(G)
    if len(wires.loops):
        raise nx.NetworkXNotImplemented(
            "Input graph has self loops which is not permitted; "
            "Consider using G.remove_edges_from(nx.selfloop_edges(G))."
        )
    once = slice(None) if wires.directed else wires.src < wires.dst
    return wires.named(core_numbers(wires.n, wires.src[once], wires.dst[once]))


def _components(G: Any, *, strong: bool = False) -> Iterator[set[Any]]:
    wires = wires_of(G)
    labels = component_labels(wires.n, wires.src, wires.dst, strong=strong)
    yield from _sets(wires, labels)


def _sets(wires: Wires, labels: Ints) -> Iterator[set[Any]]:
    """Yield the nodes of each label, by ascending label."""
    order = np.argsort(labels, kind="stable")
    nodes = wires.nodes
    for part in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if len(part):
            yield {nodes[at] for at in part.tolist()}


def _count(G: Any, *, strong: bool = False) -> int:
    wires = wires_of(G)
    return int(component_labels(wires.n, wires.src, wires.dst, strong=strong).max(initial=-1)) + 1


def _is_one(G: Any, *, strong: bool = False) -> bool:
    if not wires_of(G).n:
        raise nx.NetworkXPointlessConcept("Connectivity is undefined for the null graph.")
    return _count(G, strong=strong) == 1


def weakly_connected_components(G: Any) -> Iterator[set[Any]]:
    """Yield the components that hang together when arrows are ignored, by their first nodes."""
    return _components(G)


def strongly_connected_components(G: Any) -> Iterator[set[Any]]:
    """Yield the components in which each node reaches each along the arrows; edges lead to earlier ones."""
    return _components(G, strong=True)


def connected_components(G: Any) -> Iterator[set[Any]]:
    """Yield the components of an undirected graph, by their first nodes."""
    return _components(G)


def number_weakly_connected_components(G: Any) -> int:
    """Count the weak components."""
    return _count(G)


def number_strongly_connected_components(G: Any) -> int:
    """Count the strong components."""
    return _count(G, strong=True)


def number_connected_components(G: Any) -> int:
    """Count the components of an undirected graph."""
    return _count(G)


def is_weakly_connected(G: Any) -> bool:
    """Whether there is one weak component."""
    return _is_one(G)


def is_strongly_connected(G: Any) -> bool:
    """Whether there is one strong component."""
    return _is_one(G, strong=True)


def is_connected(G: Any) -> bool:
    """Whether an undirected graph is one component."""
    return _is_one(G)


def louvain_communities(
    G: Any,
    weight: str | None = "weight",
    resolution: float = 1,
    threshold: float = 1e-7,
    max_level: int | None = None,
    seed: Any = None,
) -> list[set[Any]]:
    """Blondel et al. 2008, by networkit on one thread. Without a seed the result is always the same, and cheaper."""
    return _communities(G, louvain_labels, resolution, None if seed is create_py_random_state(None) else seed)


def leiden_communities(
    G: Any, weight: str | None = "weight", resolution: float = 1, max_level: int | None = None, seed: Any = None
) -> list[set[Any]]:
    """Traag, Waltman & van Eck 2019, by networkit on one thread."""
    return _communities(G, leiden_labels, resolution, seed)


def _communities(G: Any, method: Callable[..., Ints], resolution: float, seed: Any) -> list[set[Any]]:
    wires = wires_of(G)
    low, high = symmetrised(wires.src, wires.dst)
    number = seed.randrange(2**32) if isinstance(seed, Random) else seed
    return list(_sets(wires, method(wires.n, low, high, resolution=resolution, rng_seed=number)))


def betweenness_centrality(
    G: Any,
    k: int | None = None,
    normalized: bool = True,
    weight: str | None = None,
    endpoints: bool = False,
    seed: Any = None,
) -> Named:
    """Brandes 2001, from k pivots drawn by networkx's own rule or, exactly, from all nodes."""
    wires = wires_of(G)
    n = wires.n
    pivots = None if k is None or k == n else [wires.number[node] for node in seed.sample(wires.nodes, k)]
    if pivots is None and not endpoints:
        once = slice(None) if wires.directed else wires.src <= wires.dst
        found = betweenness_of_all(n, wires.src[once], wires.dst[once], directed=wires.directed)
    else:
        found = betweenness_from(wires.matrix, range(n) if pivots is None else pivots, endpoints=endpoints)
    return wires.named(found * _scale(wires, pivots, normalized=normalized, endpoints=endpoints))


def _scale(wires: Wires, pivots: list[int] | None, *, normalized: bool, endpoints: bool) -> Floats:
    """Return what turns sums into betweenness, per node: a pivot is no path's inside when it is its start."""
    others = wires.n if endpoints else wires.n - 1
    if others < 2:
        return np.ones(wires.n)

    def scale(sources: int) -> float:
        return 1 / (sources * (others - 1)) if normalized else others / (sources * (1 if wires.directed else 2))

    factor = np.full(wires.n, scale(others if pivots is None else len(pivots)))
    if pivots is not None and not endpoints:
        factor[pivots] = scale(len(pivots) - 1) if len(pivots) > 1 else math.nan
    return factor


def closeness_centrality(G: Any, u: Any = None, distance: str | None = None, wf_improved: bool = True) -> Any:
    """Freeman 1979, over distances to a node, with Wasserman & Faust's correction for what cannot reach it."""
    wires = wires_of(G)
    targets = np.arange(wires.n) if u is None else np.array([_number(wires, u)])
    reached, total = np.zeros(len(targets)), np.zeros(len(targets))
    for lanes, length, count in distances_to(wires.matrix, targets):
        reached[lanes] += count
        total[lanes] += count * length
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(total > 0, reached / total, 0.0)
    if wf_improved and wires.n > 1:
        found *= reached / (wires.n - 1)
    return wires.named(found) if u is None else found.item()


def _number(wires: Wires, node: Any) -> int:
    try:
        return wires.number[node]
    except (KeyError, TypeError):  # a list cannot be a node
        raise nx.NodeNotFound(f"Source {node} is not in G") from None  # networkx's words


def harmonic_centrality(
    G: Any, nbunch: Any = None, distance: str | None = None, sources: Iterable[Any] | None = None
) -> Named:
    """Boldi & Vigna 2014: the sum of 1/d over the distances d to a node, from all nodes or from given sources."""
    wires = wires_of(G)
    found = np.zeros(wires.n)
    if sources is None:
        for lanes, length, count in distances_to(wires.matrix, np.arange(wires.n)):
            found[lanes] += count / length
    else:
        starts = sorted({wires.number[node] for node in sources if node in wires.number})
        for length, count in distances_from(wires.matrix, np.array(starts, dtype=np.int64)):
            found += count / length
    return wires.named(found)


def triangles(G: Any, nodes: Any = None) -> Any:
    """Count the triangles at each node of an undirected graph."""
    wires = wires_of(G)
    once = wires.src < wires.dst
    return _picked(wires, triangle_sums(wires.n, wires.src[once], wires.dst[once]).astype(np.int64), nodes)


def clustering(G: Any, nodes: Any = None, weight: str | None = None) -> Any:
    """Watts & Strogatz 1998; along arrows Fagiolo 2007."""
    wires = wires_of(G)
    return _picked(wires, _clustering(wires), nodes)


def average_clustering(G: Any, nodes: Any = None, weight: str | None = None, count_zeros: bool = True) -> float:
    """The mean of the nodes' clustering."""
    wires = wires_of(G)
    values = _clustering(wires)
    if nodes is not None:
        values = values[[wires.number[node] for node in nodes if node in wires.number]]
    if not count_zeros:
        values = values[values > 0]
    return float(sum(values.tolist()) / len(values))


def _clustering(wires: Wires) -> Floats:
    proper = wires.src != wires.dst
    src, dst = wires.src[proper], wires.dst[proper]
    degree = np.bincount(src, minlength=wires.n).astype(np.float64)
    low, high = symmetrised(src, dst)
    if wires.directed:
        degree += np.bincount(dst, minlength=wires.n)
        mutual = _mutual(wires.n, src, dst)
        # A pair followed both ways weighs 2, so that a triangle counts once for each way round it.
        both = np.bincount(
            np.searchsorted(_keys(low, high), np.sort(_keys(np.minimum(src, dst), np.maximum(src, dst))))
        )
        closed = triangle_sums(wires.n, low, high, both.astype(np.float64))
        possible = degree * (degree - 1) - 2 * mutual
    else:
        closed = triangle_sums(wires.n, low, high) * 2
        possible = degree * (degree - 1)
    return np.divide(closed, possible, out=np.zeros(wires.n), where=closed > 0)


def _keys(src: Any, dst: Any) -> Any:
    return src.astype(np.uint64) << np.uint64(32) | dst.astype(np.uint64)


def _mutual(n: int, src: Any, dst: Any) -> Ints:
    """Return for each node how many of its targets lead back."""
    back = np.isin(_keys(dst, src), _keys(src, dst), kind="sort") if len(src) else np.zeros(0, dtype=np.bool_)
    return np.bincount(src[back], minlength=n).astype(np.int64)


def transitivity(G: Any) -> float:
    """Three times the triangles over the connected triples of an undirected graph."""
    wires = wires_of(G)
    once = wires.src < wires.dst
    degree = np.bincount(wires.src[wires.src != wires.dst], minlength=wires.n).astype(np.float64)
    closed = 2 * float(triangle_sums(wires.n, wires.src[once], wires.dst[once]).sum())
    return closed / float((degree * (degree - 1)).sum()) if closed else 0


def overall_reciprocity(G: Any) -> float:
    """The share of the edges that are returned; a loop is not."""
    wires = wires_of(G)
    if not len(wires.src):
        raise nx.NetworkXError("Not defined for empty graphs")
    return 2 * (len(wires.src) - len(symmetrised(wires.src, wires.dst)[0])) / len(wires.src)


def reciprocity(G: Any, nodes: Any = None) -> float:
    """The share of the edges that are returned."""
    return overall_reciprocity(G)


def _per_possible(wires: Wires, degree: Ints) -> Named:
    if wires.n <= 1:
        return dict.fromkeys(wires.nodes, 1)
    return wires.named(np.asarray(degree * (1.0 / (wires.n - 1.0)), dtype=np.float64))


def degree_centrality(G: Any) -> Named:
    """Degree over the number of other nodes."""
    wires = wires_of(G)
    return _per_possible(wires, _degree(wires))


def _degree(wires: Wires) -> Ints:
    if wires.directed:
        return wires.out_degree + wires.in_degree
    return wires.out_degree + np.bincount(wires.loops, minlength=wires.n)  # a loop has two ends


def in_degree_centrality(G: Any) -> Named:
    """In-degree over the number of other nodes."""
    wires = wires_of(G)
    return _per_possible(wires, wires.in_degree)


def out_degree_centrality(G: Any) -> Named:
    """Out-degree over the number of other nodes."""
    wires = wires_of(G)
    return _per_possible(wires, wires.out_degree)


def degree_assortativity_coefficient(
    G: Any, x: str = "out", y: str = "in", weight: str | None = None, nodes: Any = None
) -> float:
    """Newman 2003: the correlation of the degrees at the two ends of the edges."""
    wires = wires_of(G)
    degrees = {"in": wires.in_degree, "out": wires.out_degree} if wires.directed else {}
    one = degrees.get(x, _degree(wires))[wires.src].astype(np.float64)
    other = degrees.get(y, _degree(wires))[wires.dst].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = (one * other).mean() - one.mean() * other.mean() if len(one) else math.nan
        return float(np.divide(covariance, one.std() * other.std()))


def _picked(wires: Wires, values: Floats | Ints, nodes: Any) -> Any:
    """Return the values of all nodes, of those wanted, or of the one meant, as networkx's `nodes` arguments do."""
    if nodes is None:
        return wires.named(values)
    try:
        if nodes in wires.number:
            return values[wires.number[nodes]].item()
    except TypeError:
        pass  # a list cannot be a node
    return {node: values[wires.number[node]].item() for node in nodes if node in wires.number}


REFUSALS: dict[str, Callable[[dict[str, Any]], str | None]] = {
    "hits": lambda given: "a start vector is left to networkx" if given["nstart"] is not None else None,
    "louvain_communities": lambda given: (
        "directed modularity is left to networkx"
        if given["G"].is_directed()
        else _only(given, threshold=1e-7, max_level=None)
    ),
    "leiden_communities": lambda given: _only(given, max_level=None),
    "betweenness_centrality": lambda given: _only(given, weight=None),
    "closeness_centrality": lambda given: _only(given, distance=None),
    "harmonic_centrality": lambda given: _only(given, nbunch=None, distance=None),
    "clustering": lambda given: _only(given, weight=None),
    "average_clustering": lambda given: _only(given, weight=None),
    "transitivity": lambda given: "arrows are left to networkx" if given["G"].is_directed() else None,
    "reciprocity": lambda given: _only(given, nodes=None),
    "degree_assortativity_coefficient": lambda given: _only(given, weight=None, nodes=None),
}
"""What a kernel leaves to networkx, by function: takes the arguments by name, returns the reason or None."""

WEIGHTED = {"pagerank": "weight", "hits": None, "louvain_communities": "weight", "leiden_communities": "weight"}
"""Functions that weigh edges by an attribute, and the argument that names it; None is always `weight`."""


def _only(given: dict[str, Any], **honoured: Any) -> str | None:
    for name, value in honoured.items():
        if given[name] != value and given[name] is not value:
            return f"{name}={given[name]!r} is left to networkx"
    return None


KERNELS: dict[str, Callable[..., Any]] = {
    kernel.__name__: kernel
    for kernel in (
        pagerank,
        hits,
        core_number,
        weakly_connected_components,
        strongly_connected_components,
        connected_components,
        number_weakly_connected_components,
        number_strongly_connected_components,
        number_connected_components,
        is_weakly_connected,
        is_strongly_connected,
        is_connected,
        louvain_communities,
        leiden_communities,
        betweenness_centrality,
        closeness_centrality,
        harmonic_centrality,
        triangles,
        clustering,
        average_clustering,
        transitivity,
        overall_reciprocity,
        reciprocity,
        degree_centrality,
        in_degree_centrality,
        out_degree_centrality,
        degree_assortativity_coefficient,
    )
}
