"""Components, reciprocity and distributions against published statistics and plain counting."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import structure
from analysis.centrality import in_degree
from analysis.engine import component_labels
from analysis.graph import load_graph
from analysis.structure import (
    BowTie,
    assortativity,
    betweenness,
    bow_tie,
    clustering,
    components,
    core_profile,
    distribution,
    reciprocity,
)
from tests.analysis.sample import Sample, Visit, closed, edges, write


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39))))
def test_components_are_numbered_by_their_first_nodes(n: int, pairs: list[tuple[int, int]]) -> None:
    """Of any edges, in any order, some repeated; strong ones so that every edge between two leads to the lower."""
    pairs = [(a % n, b % n) for a, b in pairs]
    src, dst = np.array(pairs, dtype=np.uint32).reshape(-1, 2).T
    graph = nx.DiGraph(pairs)
    graph.add_nodes_from(range(n))
    found = component_labels(n, src, dst)
    weak = sorted(nx.weakly_connected_components(graph), key=min)
    assert found.tolist() == [next(at for at, one in enumerate(weak) if node in one) for node in range(n)]
    found = component_labels(n, src, dst, strong=True)
    strong = {frozenset(np.flatnonzero(found == label).tolist()) for label in range(found.max() + 1)}
    assert strong == {frozenset(one) for one in nx.strongly_connected_components(graph)}
    assert all(found[a] >= found[b] for a, b in pairs)


@pytest.mark.parametrize(
    ("name", "weak", "strong"),
    [("wiki-vote", 7_066, 1_300), ("polblogs", 1_222, 793), ("advogato", 5_042, 3_140), ("email-eu-core", 986, 803)],
)
def test_largest_components_are_the_published_ones(tmp_path: Path, name: str, weak: int, strong: int) -> None:
    """The largest weak and strong components have the sizes that SNAP and KONECT publish."""
    found = components(load_graph(write(tmp_path / "graph.db", closed(edges(name)))))
    assert (found.largest_weak, found.largest_strong) == (weak, strong)


def test_components_agree_with_networkx(tmp_path: Path) -> None:
    """Counts of components are those of networkx on the same graph, isolated accounts included."""
    graph = load_graph(write(tmp_path / "graph.db", closed(edges("krackhardt-advice")[:40], range(1, 30))))
    found = components(graph)
    assert found.weak == nx.number_weakly_connected_components(graph)
    assert found.strong == nx.number_strongly_connected_components(graph)
    assert found.isolated == len(list(nx.isolates(graph)))


@pytest.mark.parametrize(("name", "share"), [("polblogs", 0.242561), ("advogato", 0.333086)])
def test_reciprocity_is_the_published_one(tmp_path: Path, name: str, share: float) -> None:
    """Reciprocity is KONECT's with self-loops left out, and networkx's."""
    graph = load_graph(write(tmp_path / "graph.db", closed(edges(name))))
    found = reciprocity(graph)
    assert found.share == pytest.approx(share, abs=1e-6)
    assert found.share == pytest.approx(nx.overall_reciprocity(graph))


def test_reciprocity_among_the_visited_leaves_out_what_was_never_asked(tmp_path: Path) -> None:
    """A follow of an unvisited account counts in the raw number only, one of a partly read account not as complete."""
    sample = Sample(
        seeds=("a",),
        visits={"a": Visit(("b", "c", "x")), "b": Visit(("a", "y")), "c": Visit(("y",), "partial")},
    )
    graph = load_graph(write(tmp_path / "graph.db", sample))
    raw = reciprocity(graph)
    visited = reciprocity(graph, graph.accounts.listed)
    complete = reciprocity(graph, graph.accounts.complete)
    assert (raw.follows, raw.returned) == (6, 2)
    assert (visited.follows, visited.returned) == (3, 2)
    assert (complete.follows, complete.returned) == (2, 2)


def test_nothing_to_return_has_no_share(tmp_path: Path) -> None:
    """Without a follow there is no reciprocity, rather than one of nought."""
    assert reciprocity(load_graph(write(tmp_path / "graph.db", Sample(seeds=("a", "b"))))).share is None


def test_distribution_counts_each_value_and_those_above(tmp_path: Path) -> None:
    """For every value the distribution says how many accounts have it and how many at least it."""
    degrees = in_degree(load_graph(write(tmp_path / "graph.db", closed(edges("wiki-vote")))))
    found = distribution(degrees)
    for value, count, at_least in zip(found.value, found.count, found.at_least, strict=True):
        assert (count, at_least) == (np.sum(degrees == value), np.sum(degrees >= value))
    assert found.count.min() > 0
    assert found.accounts == len(degrees)


def test_distribution_of_nothing_is_empty() -> None:
    """No accounts, no values."""
    found = distribution(np.zeros(0, dtype=np.int64))
    assert (found.accounts, len(found.value)) == (0, 0)


def test_the_bow_tie_is_as_drawn(tmp_path: Path) -> None:
    """In a graph drawn by hand every part has the accounts it should, and all parts together are all accounts."""
    core = [(1, 2), (2, 3), (3, 1)]
    into, out = [(4, 1), (5, 4)], [(3, 6), (6, 7)]
    tube, tendrils, apart = [(5, 8), (8, 7)], [(4, 9), (10, 6), (9, 11)], [(12, 13)]
    pairs = [*core, *into, *out, *tube, *tendrils, *apart]
    found = bow_tie(load_graph(write(tmp_path / "graph.db", closed(pairs, range(1, 15)))))
    assert found == BowTie(core=3, into=2, out=2, tubes=1, tendrils=3, apart=3)
    nobody = bow_tie(load_graph(write(tmp_path / "empty.db", Sample())))
    assert nobody == BowTie(core=0, into=0, out=0, tubes=0, tendrils=0, apart=0)


@pytest.mark.parametrize("name", ["wiki-vote", "polblogs"])
def test_the_bow_tie_agrees_with_networkx(tmp_path: Path, name: str) -> None:
    """Core, in and out are what networkx's descendants and ancestors of the largest strong component are."""
    graph = load_graph(write(tmp_path / "graph.db", closed(edges(name))))
    plain = graph.to_networkx(attributes=False)
    found = bow_tie(graph)
    core = max(nx.strongly_connected_components(plain), key=len)
    after, before = nx.descendants(plain, min(core)) - core, nx.ancestors(plain, min(core)) - core
    assert (found.core, found.into, found.out) == (len(core), len(before), len(after))
    assert sum((found.core, found.into, found.out, found.tubes, found.tendrils, found.apart)) == len(graph)
    assert found.apart == len(graph) - len(max(nx.weakly_connected_components(plain), key=len))


def test_the_core_profile_agrees_with_networkx(tmp_path: Path) -> None:
    """For every k the accounts in the k-core are networkx's."""
    graph = load_graph(write(tmp_path / "graph.db", closed(edges("email-eu-core"))))
    plain = graph.pairs().to_networkx(attributes=False)
    found = core_profile(graph)
    numbers = nx.core_number(plain)
    assert dict(zip(graph.accounts.id.tolist(), found.number.tolist(), strict=True)) == numbers
    assert found.accounts.tolist() == [
        sum(number >= k for number in numbers.values()) for k in range(found.largest + 1)
    ]
    empty = core_profile(load_graph(write(tmp_path / "empty.db", Sample())))
    assert (empty.accounts.tolist(), empty.largest) == ([], -1)


@pytest.mark.parametrize("name", ["polblogs", "wiki-vote"])
def test_assortativity_is_networkxs(tmp_path: Path, name: str) -> None:
    """Without direction and along arrows, in all four readings, it is what networkx computes on its own graphs."""
    graph = load_graph(write(tmp_path / "graph.db", closed(edges(name))))
    found = assortativity(graph)
    plain = graph.pairs().to_networkx(attributes=False)
    assert found.total == pytest.approx(nx.degree_assortativity_coefficient(plain))
    for x in ("in", "out"):
        for y in ("in", "out"):
            expected = nx.degree_assortativity_coefficient(graph.to_networkx(attributes=False), x=x, y=y)
            assert getattr(found, f"{x}_{y}") == pytest.approx(expected)


def test_assortativity_needs_a_spread(tmp_path: Path) -> None:
    """Where all degrees are alike, or none is left among the accounts asked about, there is no correlation."""
    graph = load_graph(write(tmp_path / "graph.db", closed([(1, 2), (2, 3), (3, 1)])))
    found = assortativity(graph, np.zeros(3, dtype=np.bool_))
    assert (found.total, found.out_in, found.follows) == (None, None, 0)
    assert assortativity(graph).total is None


@pytest.mark.parametrize(("name", "published"), [("karate", 0.255682), ("email-eu-core", None)])
def test_clustering_is_of_the_accounts_asked_for(
    tmp_path: Path, name: str, published: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transitivity and average local clustering are networkx's on the induced graph; all of karate is KONECT's."""
    graph = load_graph(write(tmp_path / "graph.db", closed(edges(name))))
    plain = nx.Graph(zip(graph.src.tolist(), graph.dst.tolist(), strict=True))
    for among in (np.ones(len(graph), dtype=np.bool_), np.arange(len(graph)) % 3 > 0):
        found, part = clustering(graph, among), plain.subgraph(np.flatnonzero(among).tolist())
        assert found is not None
        assert found.transitivity == pytest.approx(nx.transitivity(part))
        local = [value for node, value in nx.clustering(part).items() if part.degree(node) > 1]
        assert (found.accounts, found.average) == (len(local), pytest.approx(np.mean(local)))
        assert found.closed == sum(nx.triangles(part).values())
        if among.all() and published:
            assert found.transitivity == pytest.approx(published, abs=1e-6)
    assert clustering(graph, np.zeros(len(graph), dtype=np.bool_)) == structure.Clustering(0, 0, 0, None)
    monkeypatch.setattr(structure, "TRIANGLES", 3)
    assert clustering(graph, np.ones(len(graph), dtype=np.bool_)) is None


def test_betweenness_is_told_of_enough_accounts_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From all accounts, while that is cheap, it is networkx's, from pivots it repeats; under 30 % there is none."""
    graph = load_graph(write(tmp_path / "graph.db", closed(edges("krackhardt-advice"))))
    everybody = np.ones(len(graph), dtype=np.bool_)
    exact = nx.betweenness_centrality(nx.DiGraph(zip(graph.src.tolist(), graph.dst.tolist(), strict=True)))
    found = betweenness(graph, everybody, rng_seed=1)
    assert (found.accounts, found.pivots, found.share) == (len(graph), len(graph), 1)
    assert [value for _, value in found.first] == pytest.approx(sorted(exact.values(), reverse=True)[:10])
    assert all(value == pytest.approx(exact[at]) for at, value in found.first)
    few = np.arange(len(graph)) < 0.25 * len(graph)
    hidden = betweenness(graph, few, rng_seed=1)
    assert (hidden.first, hidden.pivots) == ((), 0)
    mail = load_graph(write(tmp_path / "mail.db", closed(edges("email-eu-core"))))
    among = np.arange(len(mail)) % 2 == 0
    whole = betweenness(mail, among, rng_seed=3)
    assert whole.pivots == among.sum() > structure.PIVOTS
    assert whole == betweenness(mail, among, rng_seed=4)  # nothing is drawn
    monkeypatch.setattr(structure, "WORK", 2_000_000)
    one, again = (betweenness(mail, among, rng_seed=3) for _ in range(2))
    assert one == again != whole
    assert one.pivots == structure.PIVOTS
    assert {at % 2 for at, _ in one.first} == {0}
    monkeypatch.setattr(structure, "WORK", 1_000)
    assert betweenness(mail, among, rng_seed=3).first == ()
