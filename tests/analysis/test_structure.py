"""Components, reciprocity and distributions against published statistics and plain counting."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from analysis.centrality import in_degree
from analysis.graph import load_graph
from analysis.structure import components, distribution, reciprocity
from tests.analysis.sample import Sample, Visit, closed, edges, write


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
