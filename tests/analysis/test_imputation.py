"""Imputed PageRank against published values, networkx, and its own definition in plain Python."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from analysis.imputation import Links, impute, within
from tests.analysis.lists import numbered, of_lists, whole
from tests.analysis.sample import values


def test_where_everything_was_read_it_is_the_published_pagerank() -> None:
    """On LDBC's validation graph, whose every list was read, the scores are LDBC's."""
    n, pairs, place = numbered("ref-ldbc-pagerank-directed")
    sample = whole(n, pairs)
    expected = values("ref-ldbc-pagerank-directed", "pr.tsv.gz")
    published = np.array([expected[key] for key in place])
    scores = impute(Links.of(sample), sample.followers.astype(np.float64)).scores
    assert scores == pytest.approx(published / published.sum(), rel=1e-4)


@pytest.mark.parametrize("name", ["email-eu-core", "polblogs"])
def test_where_everything_was_read_it_is_networkx_pagerank(name: str) -> None:
    """The same with accounts that follow nobody, and whatever the reported followers fall short of those seen."""
    n, pairs, _ = numbered(name)
    sample = whole(n, pairs)
    expected = nx.pagerank(nx.DiGraph(pairs), tol=1e-13, max_iter=500)
    scores = impute(Links.of(sample), np.zeros(n)).scores
    assert scores == pytest.approx([expected[u] for u in range(n)], abs=1e-9)


def test_unread_lists_hand_their_score_to_the_followers_that_were_not_seen() -> None:
    """The scores solve the equation of the definition, written out here account by account."""
    lists = {0: [1, 2], 1: [2], 3: []}
    followers, following = {1: 5, 2: 2, 4: 3}, {2: 4, 4: 6, 3: 0}
    sample = of_lists(5, lists, followers=followers, following=following)
    reported = np.array([followers.get(v, 0) for v in range(5)], dtype=np.float64)
    found = impute(Links.of(sample), reported)

    length, listed = [2, 1, 4, 0, 6], [2, 1, 0, 0, 0]
    x = list(found.scores)
    share = sum(x[u] * (1 - listed[u] / length[u]) for u in range(5) if length[u]) / 10
    idle = x[3]
    right = []
    for v in range(5):
        seen = sum(x[u] / length[u] for u, listing in lists.items() if v in listing)
        k = sum(v in listing for listing in lists.values())
        right.append((0.15 + 0.85 * idle) / 5 + 0.85 * (seen + max(0, reported[v] - k) * share))
    assert x == pytest.approx([value / sum(right) for value in right], abs=1e-9)
    assert sum(x) == pytest.approx(1.0)
    assert found.share == pytest.approx(share, rel=1e-6)


def test_lists_left_unread_are_not_followed() -> None:
    """Reading only some lists is the same as having only those, with the lengths of the others known."""
    lists = {0: [1, 2], 1: [2, 3], 2: [0]}
    followers = np.array([3.0, 2.0, 4.0, 1.0])
    all_read = Links.of(of_lists(4, lists))
    some_read = Links.of(of_lists(4, {0: [1, 2]}, following={1: 2, 2: 1}))
    read = np.array([True, False, False, False])
    assert impute(all_read, followers, read=read).scores == pytest.approx(impute(some_read, followers).scores)


def test_pagerank_within_the_crawl_is_that_of_the_graph_that_was_read() -> None:
    """Accounts without a list hand their score to all, as in networkx."""
    lists = {0: [1, 2, 5], 1: [2], 2: [0, 3]}
    graph = nx.DiGraph([(u, v) for u, listed in lists.items() for v in listed])
    graph.add_node(4)
    expected = nx.pagerank(graph, tol=1e-13, max_iter=500)
    assert within(Links.of(of_lists(6, lists))) == pytest.approx([expected[u] for u in range(6)], abs=1e-9)


def test_nothing_read_is_nothing_scored() -> None:
    """A crawl that knows no account has no scores."""
    links = Links.of(of_lists(0, {}))
    assert len(impute(links, np.zeros(0)).scores) == len(within(links)) == 0
