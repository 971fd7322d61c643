"""Ratios on pairs: reciprocity among the accounts read, assortativity over weighted follows."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from analysis.pairs import ALL_ALIKE as ALIKE
from analysis.pairs import NO_PAIR, OF_THE_CRAWL, assortativity, reciprocity
from analysis.sampling import NoInterval, NotIdentifiable
from tests.analysis.lists import numbered, of_lists, whole


@pytest.mark.parametrize(("name", "published"), [("polblogs", 0.242561), ("advogato", 0.333086)])
def test_reciprocity_of_a_network_read_whole_is_the_published_one(name: str, published: float) -> None:
    """KONECT's value, with self-loops left out."""
    n, pairs, _ = numbered(name)
    found = reciprocity(whole(n, pairs))
    assert found == NoInterval(pytest.approx(published, abs=1e-6), OF_THE_CRAWL)


def test_reciprocity_looks_only_where_both_sides_were_read() -> None:
    """A follow of an account that was not read says nothing."""
    found = reciprocity(of_lists(5, {0: [1, 2, 3], 1: [0, 4], 2: [1]}))
    assert found == NoInterval(2 / 4, OF_THE_CRAWL)
    assert reciprocity(of_lists(3, {0: [1, 2]})) == NotIdentifiable(NO_PAIR)


def test_assortativity_of_followers_alike_is_networkx_assortativity() -> None:
    """With one follower count for all, it is the plain correlation over follows."""
    n, pairs, _ = numbered("email-eu-core")
    sample = whole(n, pairs)
    alike = of_lists(
        n,
        {u: sample.dst[sample.src == u].tolist() for u in range(n)},
        followers=dict.fromkeys(range(n), 7),
    )
    out, entering = sample.following.astype(np.float64), sample.followers.astype(np.float64)
    graph = nx.DiGraph(pairs)
    found = assortativity(alike, out, entering)
    assert isinstance(found, NoInterval)
    assert found.value == pytest.approx(nx.degree_pearson_correlation_coefficient(graph, x="out", y="in"), abs=1e-9)


def test_assortativity_weighs_follows_by_the_followers_of_the_follower() -> None:
    """A much-followed follower is over-drawn by a crawl, and counts the less."""
    sample = of_lists(4, {0: [2, 3], 1: [2]}, followers={0: 4, 1: 1})
    x, y = np.array([1.0, 3.0, 0.0, 0.0]), np.array([0.0, 0.0, 2.0, 7.0])
    weights, xs, ys = [0.25, 0.25, 1.0], [1, 1, 3], [2, 7, 2]
    covariance = np.cov(xs, ys, aweights=weights)
    found = assortativity(sample, x, y)
    assert isinstance(found, NoInterval)
    assert found.value == pytest.approx(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))
    assert assortativity(sample, np.ones(4), y) == NotIdentifiable(ALIKE)
    assert assortativity(of_lists(2, {}), x[:2], y[:2]) == NotIdentifiable(NO_PAIR)
