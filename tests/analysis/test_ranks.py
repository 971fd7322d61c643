"""Rankings of networks that are known whole: precision, tiers, and intervals of ranks only where they hold."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.ranks import (
    NOT_AUDITED,
    TOO_MANY_LIES,
    TOO_NOISY,
    TOO_THIN,
    Ranking,
    RankIntervals,
    best,
    intervals,
    rank,
    tiers,
)
from analysis.sample import Audit, Control
from analysis.sampling import NotIdentifiable
from benchmarks.stand_in import Seen, World, crawl, draw_control, load, misreported, seen
from tests.analysis.lists import of_lists


@pytest.fixture(scope="module")
def world() -> World:
    return load("drawn-12000-4")


def crawled(world: World, noise: str, *, control: bool = False) -> Seen:
    """Crawl a tenth of the network, a fifth of it for the audit or the control sample."""
    followers = misreported(world, noise, np.random.default_rng(1))
    rng, budget = np.random.default_rng(2), world.credits // 10
    if not control:
        return seen(world, followers, crawl(world, followers, "flow", budget, rng, audit=0.2))
    log = crawl(world, followers, "flow", round(0.8 * budget), rng)
    return seen(world, followers, log, draw_control(world, followers, [(log, round(0.2 * budget))], rng))


def precision(world: World, ids: np.ndarray, scores: np.ndarray) -> float:
    """Return the share of the true first hundred among the first hundred."""
    return len(np.intersect1d(ids[best(scores, 100)], best(world.pagerank, 100))) / 100


@pytest.mark.parametrize(
    ("noise", "at_least", "gain"), [("exact", 0.85, -0.02), ("1.0", 0.6, 0.2), ("bought", 0.8, 0.5)]
)
def test_mended_counts_rank_well_where_reported_ones_do_not(
    world: World, noise: str, at_least: float, gain: float
) -> None:
    """Precision among the first hundred is high, also where sorting by reported followers fails."""
    drawn = crawled(world, noise)
    found = precision(world, drawn.ids, rank(drawn.sample, drawn.audit).scores)
    assert found >= at_least
    assert found >= precision(world, drawn.ids, drawn.sample.followers.astype(np.float64)) + gain


def test_the_control_sample_can_be_the_audit(world: World) -> None:
    """Its three waves tell the noise of follower counts too."""
    drawn = crawled(world, "1.0", control=True)
    assert isinstance(drawn.control, Control)
    ranking = rank(drawn.sample, drawn.control)
    assert ranking.basis == "audited"
    assert 0.6 < ranking.mended.noise**0.5 < 1.2
    assert precision(world, drawn.ids, ranking.scores) >= 0.55


def test_intervals_of_ranks_have_the_true_rank_in_them(world: World) -> None:
    """With exact counts nine of ten true ranks and more are inside, and the intervals are narrower than everything."""
    drawn = crawled(world, "exact")
    found = intervals(rank(drawn.sample, drawn.audit), 100, np.random.default_rng(3))
    assert isinstance(found, RankIntervals)
    place = np.empty(len(world), dtype=np.int64)
    place[best(world.pagerank, len(world))] = np.arange(1, len(world) + 1)
    true = place[drawn.ids[found.accounts]]
    assert np.mean((found.low <= true) & (true <= found.high)) >= 0.9
    assert np.median(found.high - found.low) < 500
    assert (found.low >= 1).all()


@pytest.mark.parametrize(("noise", "reason"), [("1.0", TOO_NOISY), ("bought", TOO_MANY_LIES)])
def test_where_counts_lie_there_are_no_intervals_of_ranks(world: World, noise: str, reason: str) -> None:
    """Tiers are all there is then, and the reason is a value."""
    drawn = crawled(world, noise)
    assert intervals(rank(drawn.sample, drawn.audit), 100, np.random.default_rng(3)) == NotIdentifiable(reason)


def test_without_an_audit_noise_is_assumed_and_ranks_have_no_interval(world: World) -> None:
    """A quarter of the spread is taken for noise, and more where no crawl is that uneven."""
    drawn = crawled(world, "0.3")
    ranking = rank(drawn.sample, None)
    assert ranking.basis == "assumed"
    assert ranking.mended.noise == pytest.approx(0.25 * ranking.mended.fit.variance)
    loud = rank(crawled(world, "1.0").sample, None).mended
    assert loud.noise == pytest.approx(loud.fit.variance - 0.25)
    assert intervals(ranking, 100, np.random.default_rng(3)) == NotIdentifiable(NOT_AUDITED)


def small() -> Ranking:
    return rank(of_lists(6, {0: [1, 2], 1: [2], 2: [3, 1]}, followers={1: 5, 2: 9, 3: 1}), Audit(np.array([0])))


def test_a_small_crawl_ranks_to_explore_only() -> None:
    """The score is one over the geometric mean of the ranks by imputed PageRank and within the crawl."""
    ranking = small()
    assert ranking.basis == "exploratory"
    places = [1 + np.argsort(best(scores, 6)) for scores in (ranking.imputed.scores, ranking.within)]
    assert ranking.scores == pytest.approx(1 / np.sqrt(places[0] * places[1]))
    assert intervals(ranking, 3, np.random.default_rng(1)) == NotIdentifiable(TOO_THIN)
    assert ranking.agreement == 1.0  # fewer than a hundred accounts: all are among the first


def test_tiers_are_the_first_ten_hundred_and_hundredth() -> None:
    """Each account has the narrowest tier that it belongs to."""
    scores = np.arange(30_000, 0, -1).astype(np.float64)
    tier = tiers(scores)
    assert [int((tier == number).sum()) for number in range(4)] == [10, 90, 200, 29_700]
    assert tier[9] == 0
    assert tier[10] == tier[99] == 1
    assert [int((tiers(scores[:50]) == number).sum()) for number in range(4)] == [10, 40, 0, 0]


def test_equal_scores_go_by_position() -> None:
    """A difference in the last bit decides nothing."""
    assert best(np.array([0.1, 0.3, 0.3 + 1e-17, 0.3 - 1e-16]), 3).tolist() == [1, 2, 3]
