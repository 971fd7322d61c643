"""The backend: kernels give networkx's numbers, and what they do not honour is networkx's own work."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from analysis import columnar
from analysis.backend import backend
from analysis.backend_info import FUNCTIONS, info
from analysis.columnar import TooManyFollows
from analysis.graph import FollowGraph, from_pairs
from analysis.kernels import KERNELS
from tests.analysis.test_graph import bare


def drawn(n: int, edges: int, *, rng_seed: int) -> FollowGraph:
    """A random follow graph with hubs, returned follows and accounts without any, its ids with gaps."""
    rng = random.Random(rng_seed)
    ids = [3 * number + 5 for number in range(n)]
    pairs = [(ids[int(n * rng.random() ** 2)], ids[int(n * rng.random() ** 3)]) for _ in range(edges)]
    pairs += [(target, source) for source, target in pairs[: edges // 3]]
    sources, targets = (np.array(column) for column in zip(*pairs, strict=True))
    return from_pairs(bare(*ids), sources, targets)


GRAPHS = {
    "small": drawn(12, 25, rng_seed=1),
    "middling": drawn(120, 500, rng_seed=2),
    "sparse": drawn(60, 30, rng_seed=3),
    "without follows": from_pairs(bare(1, 2, 3), np.zeros(0, np.int64), np.zeros(0, np.int64)),
}


def sets(parts: Any) -> Any:
    return sorted(sorted(part) for part in parts)


DIRECTED: dict[str, Callable[[Any], Any]] = {
    "pagerank": lambda g: nx.pagerank(g, tol=1e-12, max_iter=500),
    "pagerank, personal": lambda g: nx.pagerank(
        g,
        alpha=0.6,
        personalization={node: node % 4 + 1 for node in g},
        dangling={min(g): 1},
        nstart={max(g): 2, min(g): 1},
    ),
    "core_number": nx.core_number,
    "weakly_connected_components": lambda g: [set(part) for part in nx.weakly_connected_components(g)],
    "strongly_connected_components": lambda g: sets(nx.strongly_connected_components(g)),
    "number_weakly_connected_components": nx.number_weakly_connected_components,
    "number_strongly_connected_components": nx.number_strongly_connected_components,
    "is_weakly_connected": nx.is_weakly_connected,
    "is_strongly_connected": nx.is_strongly_connected,
    "betweenness_centrality": nx.betweenness_centrality,
    "betweenness_centrality, pivots": lambda g: nx.betweenness_centrality(g, k=3, seed=4),
    "betweenness_centrality, raw": lambda g: nx.betweenness_centrality(g, k=2, seed=4, normalized=False),
    "betweenness_centrality, ends": lambda g: nx.betweenness_centrality(g, endpoints=True),
    "closeness_centrality": nx.closeness_centrality,
    "closeness_centrality of one": lambda g: nx.closeness_centrality(g, u=min(g)),
    "closeness_centrality, plain": lambda g: nx.closeness_centrality(g, wf_improved=False),
    "harmonic_centrality": nx.harmonic_centrality,
    "harmonic_centrality, sources": lambda g: nx.harmonic_centrality(g, sources=[*list(g)[:2], "nobody"]),
    "clustering": nx.clustering,
    "clustering, some": lambda g: nx.clustering(g, list(g)[1:3]),
    "average_clustering": nx.average_clustering,
    "degree_centrality": nx.degree_centrality,
    "in_degree_centrality": nx.in_degree_centrality,
    "out_degree_centrality": nx.out_degree_centrality,
}
UNDIRECTED: dict[str, Callable[[Any], Any]] = {
    "core_number": nx.core_number,
    "connected_components": lambda g: [set(part) for part in nx.connected_components(g)],
    "number_connected_components": nx.number_connected_components,
    "is_connected": nx.is_connected,
    "betweenness_centrality": nx.betweenness_centrality,
    "betweenness_centrality, pivots": lambda g: nx.betweenness_centrality(g, k=3, seed=4),
    "closeness_centrality": nx.closeness_centrality,
    "closeness_centrality of one": lambda g: nx.closeness_centrality(g, u=max(g)),
    "harmonic_centrality": nx.harmonic_centrality,
    "triangles": nx.triangles,
    "triangles of one": lambda g: nx.triangles(g, min(g)),
    "clustering": nx.clustering,
    "average_clustering": lambda g: nx.average_clustering(g, count_zeros=True),
    "transitivity": nx.transitivity,
    "degree_centrality": nx.degree_centrality,
    "pagerank": nx.pagerank,
}
NEEDS_EDGES: dict[str, Callable[[Any], Any]] = {
    "overall_reciprocity": nx.overall_reciprocity,
    "reciprocity": nx.reciprocity,
    "hits": lambda g: nx.hits(g, tol=1e-12),
    "assortativity": nx.degree_assortativity_coefficient,
    "assortativity, in in": lambda g: nx.degree_assortativity_coefficient(g, x="in", y="in"),
}


def close(one: Any, other: Any) -> bool:
    """Whether two results are the same but for the last bits of their numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(value, other[key]) for key, value in one.items())
    if isinstance(one, tuple):
        return all(close(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-10) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


@pytest.fixture
def no_dictionaries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a test fail that needs networkx's dictionaries of a follow graph."""
    monkeypatch.setattr(columnar, "LIMIT", -1)
    return iter([None])


@pytest.mark.usefixtures("no_dictionaries")
@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("function", DIRECTED)
def test_kernels_give_networkxs_numbers(graph: str, function: str) -> None:
    """On the follow graph's arrays a function gives what networkx computes on a DiGraph, and builds no dictionaries."""
    plain = GRAPHS[graph].to_networkx(attributes=False)
    assert close(DIRECTED[function](GRAPHS[graph]), DIRECTED[function](plain))


@pytest.mark.usefixtures("no_dictionaries")
@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("function", UNDIRECTED)
def test_kernels_give_networkxs_numbers_without_arrows(graph: str, function: str) -> None:
    """On the pairs of a follow graph a function gives what networkx computes on a Graph, and builds no dictionaries."""
    pairs = GRAPHS[graph].pairs()
    assert close(UNDIRECTED[function](pairs), UNDIRECTED[function](pairs.to_networkx(attributes=False)))


@pytest.mark.usefixtures("no_dictionaries")
@pytest.mark.parametrize("graph", ["small", "middling", "sparse"])
@pytest.mark.parametrize("function", NEEDS_EDGES)
def test_kernels_that_need_follows(graph: str, function: str) -> None:
    """The same for what networkx defines only where there is an edge."""
    plain = GRAPHS[graph].to_networkx(attributes=False)
    found, expected = NEEDS_EDGES[function](GRAPHS[graph]), NEEDS_EDGES[function](plain)
    if function == "hits":  # singular vectors come to the tolerance of their iteration
        assert found[1] == pytest.approx(expected[1], abs=1e-7)
        assert found[0] == pytest.approx(expected[0], abs=1e-7)
    else:
        assert close(found, expected)


@pytest.mark.parametrize("call", [nx.overall_reciprocity, nx.reciprocity])
def test_what_networkx_refuses_is_refused(call: Callable[[Any], Any]) -> None:
    """Errors are networkx's own."""
    with pytest.raises(nx.NetworkXError, match="empty graphs"):
        call(GRAPHS["without follows"])
    with pytest.raises(nx.NetworkXNotImplemented):
        nx.triangles(GRAPHS["small"])
    with pytest.raises(nx.PowerIterationFailedConvergence):
        nx.pagerank(GRAPHS["middling"], max_iter=2)
    with pytest.raises(ZeroDivisionError):
        nx.pagerank(GRAPHS["small"], personalization={5: 0})
    with pytest.raises(nx.NetworkXPointlessConcept):
        nx.is_weakly_connected(GRAPHS["small"].induced([]))
    for nobody in (6, [5]):
        with pytest.raises(nx.NodeNotFound, match="is not in G"):
            nx.closeness_centrality(GRAPHS["small"], u=nobody)


DEGREES: dict[str, Callable[[Any], Any]] = {
    "all": list,
    "called": lambda view: (list(view()), view() is view, list(view(None, None))),
    "as a dictionary": lambda view: (dict(view()), len(view), str(view), repr(view)),
    "of one": lambda view: (view(5), view[5], view(np.int64(5)), view[5.0], type(view[5])),
    "of some": lambda view: (list(view([8, 5, 5, 6, "x"])), len(view([8, 5])), view([8, 5])[11], repr(view([8]))),
    "of some, lazily": lambda view: list(view(node for node in (8.0, np.int64(5), 6))),
    "of none": lambda view: list(view([])),
    "of some, then all": lambda view: list(view([8])()),
    "ordered": lambda view: sorted(view, key=lambda pair: (-pair[1], pair[0])),
    "not there": lambda view: view[6],
    "no key": lambda view: view[[5]],
    "no node and no bunch": lambda view: list(view(6)),
    "a text": lambda view: list(view("ab")),
    "a bunch of bunches": lambda view: list(view([5, [8]])),
}


def said(call: Callable[[], Any]) -> Any:
    """What a call returns, or the error that it ends in."""
    try:
        return call()
    except (KeyError, TypeError, nx.NetworkXError) as error:
        return type(error), str(error)


@pytest.mark.usefixtures("no_dictionaries")
@pytest.mark.parametrize("graph", ["small", "middling", "sparse"])
@pytest.mark.parametrize("case", DEGREES)
def test_degree_views_are_networkxs_without_dictionaries(graph: str, case: str) -> None:
    """Degrees of all, of one, of a bunch and of nobody, and every refusal, are those of the plain graph."""
    arrows, pairs = GRAPHS[graph], GRAPHS[graph].pairs()
    plain, plain_pairs = arrows.to_networkx(attributes=False), pairs.to_networkx(attributes=False)
    for ours, theirs in (
        (arrows.degree, plain.degree),
        (arrows.in_degree, plain.in_degree),
        (arrows.out_degree, plain.out_degree),
        (pairs.degree, plain_pairs.degree),
    ):
        found, expected = (said(lambda view=view: DEGREES[case](view)) for view in (ours, theirs))
        assert found == expected


@pytest.mark.usefixtures("no_dictionaries")
def test_what_counts_degrees_builds_no_dictionaries() -> None:
    """Functions of networkx that ask for degrees only run on the arrays; so do a node's presence and its edges."""
    graph = GRAPHS["middling"]
    plain = graph.to_networkx(attributes=False)
    for call in (
        lambda g: dict(nx.degree(g)),
        nx.degree_histogram,
        nx.density,
        nx.number_of_nodes,
        lambda g: g.size(),
        lambda g: list(nx.degree(g, [5, 8])),
        lambda g: list(g.nbunch_iter()),
        lambda g: [node in g for node in (5, 5.0, np.int64(5), 6, "5", None, [5])],
        lambda g: [g.has_edge(*ends) for ends in ((5, 5.5), (np.int64(5), 8), (6, 5), ("x", [5]))],
    ):
        assert call(graph) == call(plain)


def test_weighted_degrees_are_networkxs_own() -> None:
    """What an edge weighs stands in networkx's dictionaries alone, which are laid for it."""
    graph = drawn(30, 80, rng_seed=5)
    plain = graph.to_networkx()
    list(graph.degree)
    assert "_built" not in graph.__dict__
    for each in (graph, plain):
        nx.set_edge_attributes(each, {edge: sum(edge) for edge in plain.edges}, "w")
    for name in ("degree", "in_degree", "out_degree"):
        ours, theirs = getattr(graph, name), getattr(plain, name)
        assert dict(ours(weight="w")) == dict(theirs(weight="w"))
        assert list(ours([5, 8], weight="w")) == list(theirs([5, 8], weight="w"))
        assert (ours(5, weight="w"), ours(weight="w")[5]) == (theirs(5, weight="w"), theirs(weight="w")[5])
        assert list(ours(weight="w")()) == list(theirs)
    assert graph.size(weight="w") == plain.size(weight="w")


@pytest.mark.usefixtures("no_dictionaries")
def test_communities_cover_the_graph_and_repeat() -> None:
    """Leiden and Louvain part the accounts, alike for one seed and for none, as modularly as networkx does."""
    graph = GRAPHS["middling"]
    pairs = graph.pairs()
    plain = pairs.to_networkx(attributes=False)
    best = nx.community.modularity(plain, nx.community.louvain_communities(plain, seed=1))
    for found, again in (
        [nx.community.leiden_communities(pairs, seed=3) for _ in range(2)],
        [nx.community.louvain_communities(pairs, seed=3) for _ in range(2)],
        [nx.community.louvain_communities(pairs) for _ in range(2)],
    ):
        assert found == again
        assert sorted(node for part in found for node in part) == graph.accounts.id.tolist()
        assert nx.community.modularity(plain, found) > best - 0.02
    with pytest.raises(nx.NetworkXNotImplemented):
        nx.community.leiden_communities(graph)


LEFT_TO_NETWORKX: dict[str, Callable[[Any], Any]] = {
    "weighted paths": lambda g: nx.betweenness_centrality(g, weight="w"),
    "closeness by weight": lambda g: nx.closeness_centrality(g, distance="w"),
    "harmonic of some": lambda g: nx.harmonic_centrality(g, nbunch=[min(g)]),
    "weighted clustering": lambda g: nx.clustering(g, weight="w"),
    "transitivity of arrows": nx.transitivity,
    "reciprocity of some": lambda g: nx.reciprocity(g, nodes=[min(g), max(g)]),
    "assortativity of some": lambda g: nx.degree_assortativity_coefficient(g, nodes=list(g)[:8]),
    "louvain along arrows": lambda g: nx.community.louvain_communities(g, seed=1),
    "cycles": lambda g: sorted(nx.simple_cycles(g, length_bound=2)),
    "k_core": lambda g: sorted(nx.k_core(g, 2).edges),
    "path lengths": lambda g: nx.shortest_path_length(g, min(g)),
}


@pytest.mark.parametrize("name", LEFT_TO_NETWORKX)
def test_what_no_kernel_honours_is_networkxs_own_work(name: str) -> None:
    """Arguments that a kernel refuses, and functions without one, run on dictionaries, under the same limit."""
    graph = drawn(30, 80, rng_seed=5)
    assert "_built" not in graph.__dict__
    call = LEFT_TO_NETWORKX[name]
    found = call(graph)
    assert "_built" in graph.__dict__
    assert close(found, call(graph.to_networkx()))


@pytest.mark.usefixtures("no_dictionaries")
def test_a_large_graph_is_not_laid_out_by_accident() -> None:
    """Where dictionaries would be too large, the refusal says what to do."""
    with pytest.raises(TooManyFollows, match="take a part first"):
        nx.shortest_path_length(drawn(30, 80, rng_seed=5), 5)


def test_plain_graphs_run_on_kernels_when_asked() -> None:
    """With backend="followgraph" a graph of networkx is converted; what cannot be honoured is refused by name."""
    plain = nx.gnp_random_graph(40, 0.1, seed=1, directed=True)
    nx.config.warnings_to_ignore.add("cache")
    assert close(nx.pagerank(plain, backend="followgraph"), nx.pagerank(plain))
    assert close(nx.betweenness_centrality(plain, backend="followgraph"), nx.betweenness_centrality(plain))
    assert close(nx.closeness_centrality(plain, u=3, backend="followgraph"), nx.closeness_centrality(plain, u=3))
    assert backend.can_run("louvain_communities", (plain,), {}) == "directed modularity is left to networkx"
    assert backend.can_run("pagerank", (nx.MultiDiGraph([(1, 2)]),), {}) == "parallel edges are left to networkx"
    assert backend.can_run("closeness_centrality", (plain,), {"distance": "w"}) == "distance='w' is left to networkx"
    assert backend.can_run("bfs_tree", (plain, 1), {}) == "there is no kernel for it"
    weighted = nx.DiGraph([(1, 2, {"weight": 2.0}), (2, 1, {"weight": 1.0})])
    assert backend.can_run("pagerank", (weighted,), {}) == "weighted edges are left to networkx"
    assert backend.can_run("pagerank", (weighted,), {"weight": None}) is True
    with pytest.raises(NotImplementedError, match="not implemented by 'followgraph' backend for the given arguments"):
        nx.pagerank(weighted, backend="followgraph")


def test_what_networkx_is_told_is_what_there_is() -> None:
    """The functions announced at networkx's import are those with a kernel."""
    assert set(FUNCTIONS) == set(KERNELS) == set(info()["functions"])
    assert "followgraph" in nx.config.backends
    assert not hasattr(backend, "no_function_of_networkx")


def test_networkx_starts_without_our_engines() -> None:
    """Importing networkx, which asks for the backend's description, loads neither SciPy nor networkit."""
    program = "import sys, networkx; print([name for name in ('scipy', 'networkit', 'pyarrow') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_results_do_not_depend_on_threads() -> None:
    """The same graph gives the same bytes on one thread and on two, whatever was set outside."""
    root = Path(__file__).parents[2]
    program = (
        "import hashlib, networkx as nx;"
        "from tests.analysis.test_backend import GRAPHS;"
        "g = GRAPHS['middling']; p = g.pairs();"
        "r = [nx.pagerank(g), nx.hits(g), nx.core_number(g), nx.betweenness_centrality(g), nx.clustering(g),"
        "     nx.betweenness_centrality(g, k=9, seed=1), nx.harmonic_centrality(g),"
        "     nx.community.leiden_communities(p, seed=1), nx.community.louvain_communities(p, seed=1)];"
        "print(hashlib.sha256(repr(r).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=root,
            env={"PYTHONPATH": f"{root}", "OMP_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(digests) == 1
