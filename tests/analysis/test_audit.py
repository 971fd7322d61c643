"""Noise in reported follower counts: read from samples whose noise is known, and mended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.audit import Mended, fit, mend
from analysis.graph import UNKNOWN
from analysis.imputation import Links
from analysis.ranks import best, rank
from analysis.sample import Audit, Control, Wave, times
from benchmarks.stand_in import Seen, World, crawl, load, misreported, seen
from tests.analysis.lists import of_lists


@pytest.fixture(scope="module")
def world() -> World:
    return load("drawn-12000-4")


def drawn_with(world: World, noise: str, strategy: str = "flow") -> Seen:
    """Crawl a tenth of the network with a fifth of the credits on the audit."""
    followers = misreported(world, noise, np.random.default_rng(1))
    log = crawl(world, followers, strategy, world.credits // 10, np.random.default_rng(2), audit=0.2)
    return seen(world, followers, log)


def mended_from(drawn: Seen) -> Mended:
    """Mend with the audit of the crawl."""
    return mend(Links.of(drawn.sample), drawn.sample.followers, times(len(drawn.sample), drawn.audit))


@pytest.mark.parametrize(("noise", "low", "high"), [("exact", 0.0, 0.15), ("0.3", 0.18, 0.45), ("0.7", 0.5, 0.85)])
def test_the_audit_reads_the_noise_that_was_put_in(world: World, noise: str, low: float, high: float) -> None:
    """Sigma of log followers comes out near what it is."""
    assert low <= mended_from(drawn_with(world, noise)).noise ** 0.5 <= high


@pytest.mark.parametrize("noise", ["0.7", "1.0"])
def test_mended_counts_are_nearer_to_the_truth(world: World, noise: str) -> None:
    """Over the accounts listed five times and more, the scatter of log followers around the truth falls by a quarter.

    A common factor is no error: only ratios of followers count in a ranking.
    """
    drawn = drawn_with(world, noise)
    listed = drawn.sample.listings >= 5
    true = np.log(world.followers[drawn.ids][listed])
    before = np.log(drawn.sample.followers[listed]) - true
    after = np.log(mended_from(drawn).followers[listed]) - true
    assert after.std() < 0.75 * before.std()


def test_exact_counts_stay_as_they_are(world: World) -> None:
    """Where the audit finds no noise, followers are changed by a few percent and hardly an account is flagged."""
    drawn = drawn_with(world, "exact")
    mended = mended_from(drawn)
    off = np.abs(np.log(mended.followers / np.maximum(drawn.sample.followers, 1)))
    assert np.median(off) < 0.05
    assert mended.flagged.mean() < 0.005


def test_an_uneven_crawl_makes_no_exact_count_a_lie() -> None:
    """On Slashdot, much listed accounts with exact counts keep them, and the true first ten stay first."""
    world = load("soc-slashdot0902")
    log = crawl(world, world.followers, "flow", world.credits // 20, np.random.default_rng([0, 9]), audit=0.2)
    drawn = seen(world, world.followers, log)
    ranking = rank(drawn.sample, drawn.audit)
    much_listed = drawn.sample.listings >= 30
    assert much_listed.sum() > 100
    assert ranking.mended.flagged[much_listed].sum() <= 1
    first = drawn.ids[best(ranking.scores, 10)]
    assert len(np.intersect1d(first, best(world.pagerank, 10))) >= 8


def test_bought_followers_are_flagged(world: World) -> None:
    """Of the hundred with the most followers reported, nearly all that lie are flagged and nobody else."""
    drawn = drawn_with(world, "bought")
    mended = mended_from(drawn)
    top = np.argsort(-drawn.sample.followers)[:100]
    lies = drawn.sample.followers[top] > 3 * world.followers[drawn.ids][top]
    assert lies.sum() > 30
    assert mended.flagged[top][lies].mean() > 0.9
    assert mended.flagged[top][~lies].mean() < 0.1


def test_followers_that_were_never_reported_come_from_the_listings(world: World) -> None:
    """An unknown count is never taken for a small one."""
    drawn = drawn_with(world, "exact")
    hub = int(np.argmax(drawn.sample.followers))
    true = drawn.sample.followers[hub]
    silent = drawn.sample.followers.copy()
    silent[hub] = UNKNOWN
    mended = mended_from(replace(drawn, sample=replace(drawn.sample, followers=silent)))
    assert true / 3 < mended.followers[hub] < true * 3
    assert not mended.flagged[hub]


def test_listings_beside_much_listed_accounts_count_less() -> None:
    """Two regions listed at different rates get different offsets, so that exact counts look exact."""
    rng = np.random.default_rng(5)
    lists, followers = {}, {}
    for region, rate in ((0, 0.5), (1, 0.1)):
        targets = np.arange(100) + 100 * region
        f = rng.integers(200, 400, 100)
        followers |= dict(zip(targets.tolist(), f.tolist(), strict=True))
        for reader in range(200):
            source = 200 + 200 * region + reader
            lists[source] = targets[rng.random(100) < rate * f / 200].tolist()
    sample = of_lists(600, lists, followers=followers)
    found = fit(Links.of(sample), sample.followers, sample.complete.astype(np.int64), strict=True)
    gap = found.offset[:100].mean() - found.offset[100:200].mean()
    assert gap == pytest.approx(np.log(5), abs=0.35)
    assert found.variance < 0.02


def test_sources_drawn_twice_count_twice() -> None:
    """A control sample stands in for an audit with its multiplicities, an audit with its accounts."""
    wave = Wave(np.array([1, 3]), np.array([2, 1]), 100)
    assert times(5, Control((wave, wave, wave))).tolist() == [0, 6, 0, 3, 0]
    assert times(5, Audit(np.array([0, 4]))).tolist() == [1, 0, 0, 0, 1]


def test_nothing_to_read_a_spread_from_changes_nothing() -> None:
    """A crawl that listed nobody with known followers fits nothing and says that it is thin."""
    sample = of_lists(3, {0: [1, 2]})
    found = fit(Links.of(sample), sample.followers, np.ones(3, dtype=np.int64), strict=True)
    assert (found.accounts, found.variance, found.is_thin) == (0, 0.0, True)


def test_too_few_lists_condemn_nobody() -> None:
    """What one list names is named once: that tells nothing against those who report many followers."""
    sample = of_lists(30, {0: list(range(1, 30))}, followers={at: 10 * at**2 for at in range(1, 30)})
    links = Links.of(sample)
    whole = fit(links, sample.followers, (links.listed > 0).astype(np.int64), strict=True)
    assert whole.is_thin
    assert not mend(links, sample.followers, None).flagged.any()
