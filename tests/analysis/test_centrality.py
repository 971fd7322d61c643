"""Centrality against published values and against a power iteration written anew."""

from __future__ import annotations

import random
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from analysis.centrality import in_degree, out_degree, pagerank, ranking
from analysis.graph import FollowGraph, load_graph
from tests.analysis.sample import Sample, closed, edges, values, write


def graph_of(tmp_path: Path, pairs: list[tuple[int, int]], nodes: range = range(0)) -> tuple[FollowGraph, list[int]]:
    """The graph and the number of each account, in the order of its columns."""
    graph = load_graph(write(tmp_path / "graph.db", closed(pairs, nodes)))
    return graph, [int(handle[1:]) for handle in graph.accounts.handle if handle is not None]


def by_hand(n: int, pairs: list[tuple[int, int]], *, damping: float, rounds: int) -> list[float]:
    """PageRank by its definition: dangling score goes to all alike."""
    targets: list[list[int]] = [[] for _ in range(n)]
    for source, target in pairs:
        targets[source].append(target)
    scores = [1 / n] * n
    for _ in range(rounds):
        dangling = sum(score for score, out in zip(scores, targets, strict=True) if not out)
        new = [(1 - damping + damping * dangling) / n] * n
        for score, out in zip(scores, targets, strict=True):
            for target in out:
                new[target] += damping * score / len(out)
        scores = new
    return scores


def test_pagerank_is_langville_and_meyers(tmp_path: Path) -> None:
    """With damping 0.9 the published example comes out to all its eight digits."""
    graph, numbers = graph_of(tmp_path, edges("ref-langville-meyer-pagerank"))
    expected = values("ref-langville-meyer-pagerank", "pagerank_alpha0.9.tsv.gz")
    found = dict(zip(numbers, pagerank(graph, damping=0.9), strict=True))
    assert found == pytest.approx(expected, abs=1e-8)


def test_pagerank_agrees_with_ldbc(tmp_path: Path) -> None:
    """The validation graph of LDBC Graphalytics, dangling vertex included, comes out within its 14 rounds' error."""
    expected = values("ref-ldbc-pagerank-directed", "pr.tsv.gz")
    graph, numbers = graph_of(tmp_path, edges("ref-ldbc-pagerank-directed"), range(1, 51))
    found = dict(zip(numbers, pagerank(graph), strict=True))
    assert found == pytest.approx(expected, abs=1e-7)


def test_pagerank_settles_to_the_stated_precision(tmp_path: Path) -> None:
    """On a random graph the whole vector is within 1e-9 of 1,000 rounds by hand, as networkx's default would not be."""
    rng = random.Random(5)
    pairs = sorted({(rng.randrange(200), rng.randrange(400)) for _ in range(1_500)} - {(i, i) for i in range(400)})
    graph, numbers = graph_of(tmp_path, pairs, range(400))
    assert numbers == list(range(400))
    found = pagerank(graph)
    assert np.abs(found - by_hand(400, pairs, damping=0.85, rounds=1_000)).sum() < 1e-9
    assert found.sum() == pytest.approx(1, abs=1e-12)


def test_degrees_count_current_follows(tmp_path: Path) -> None:
    """In- and out-degrees of wiki-vote are those counted from the file."""
    pairs = edges("wiki-vote")
    graph, numbers = graph_of(tmp_path, pairs)
    targets, sources = [target for _, target in pairs], [source for source, _ in pairs]
    received, given = np.bincount(targets, minlength=10_000), np.bincount(sources, minlength=10_000)
    assert in_degree(graph).tolist() == received[numbers].tolist()
    assert out_degree(graph).tolist() == given[numbers].tolist()


def test_ranking_orders_by_score_and_breaks_ties_by_id() -> None:
    """Higher scores come first; what differs only in the last bit is a tie, and the older account comes first."""
    scores = np.array([0.2, 0.1 + 0.2, 0.3, 0.2, 0.9])
    assert ranking(scores, np.array([40, 30, 20, 10, 50])).tolist() == [4, 2, 1, 3, 0]


def test_an_empty_graph_has_empty_scores(tmp_path: Path) -> None:
    """No account, no score, no error."""
    graph = load_graph(write(tmp_path / "empty.db", Sample()))
    assert len(pagerank(graph)) == len(in_degree(graph)) == len(out_degree(graph)) == 0


def test_networkx_can_be_asked_for_the_digits_of_the_report(tmp_path: Path) -> None:
    """With the tolerance of docs/analysis.md the backend gives the PageRank within the crawl that a report has."""
    graph, _ = graph_of(tmp_path, edges("email-eu-core"))
    exact = nx.pagerank(graph, tol=1e-10 / len(graph), max_iter=1_000)
    assert np.array_equal(np.array([exact[node] for node in graph]), pagerank(graph))
    assert "tol=1e-10 / len(graph), max_iter=1_000" in Path("docs/analysis.md").read_text("utf-8")
