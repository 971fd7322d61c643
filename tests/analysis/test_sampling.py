"""Averages from crawls: closed forms on networks known whole, rule R by hand, and the truth in simulated crawls."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import nan, sqrt

import numpy as np
import pytest

from analysis.graph import UNKNOWN
from analysis.sample import Control, Sample, Wave
from analysis.sampling import (
    ALL_ALIKE,
    NO_DRAW,
    NO_FACTS,
    NO_LIST,
    NOT_RANDOM,
    NOTHING_TO_COMPARE,
    TOO_FEW_CREDITS,
    Alarm,
    Interval,
    NoInterval,
    NotIdentifiable,
    Parts,
    Uninformative,
    alarm,
    average,
    exceeding,
    of_accounts,
    of_follows,
    ratio,
)
from benchmarks.stand_in import World, crawl, draw_control, load, seen
from tests.analysis.lists import numbered, of_lists, whole


def wave(draws: dict[int, int], credits: int = 100) -> Wave:
    """Return a wave of these draws."""
    return Wave(np.array(list(draws)), np.array(list(draws.values())), credits)


def everybody(sample: Sample) -> Control:
    """Return a control sample that drew everybody once, three times."""
    return Control((wave(dict.fromkeys(range(len(sample)), 1)),) * 3)


@pytest.mark.parametrize("name", ["email-eu-core", "wiki-vote"])
def test_sources_drawn_alike_give_the_true_average(name: str) -> None:
    """With every account as a source once, the estimate is the average over the accounts with a follower, exactly."""
    n, pairs, _ = numbered(name)
    sample = whole(n, pairs)
    followed = sample.followers > 0
    following = sample.following.astype(np.float64)
    found = average(sample, everybody(sample), following)
    assert isinstance(found, Interval)
    assert found.value == pytest.approx(following[followed].mean(), rel=1e-12)
    for found, limit in zip(
        exceeding(sample, everybody(sample), following, np.array([10.0, 50.0])), (10, 50), strict=True
    ):
        assert isinstance(found, Interval)
        assert found.value == pytest.approx((following[followed] > limit).mean(), rel=1e-12)


SMALL = {0: [1, 2], 1: [2, 3], 2: [3], 4: [1, 3]}
FOLLOWERS = {0: 2, 1: 4, 2: 3, 3: 10, 4: 1}
VALUES = np.array([7.0, 2.0, 5.0, 1.0, 9.0])


def by_hand(sources: dict[int, Fraction]) -> tuple[Fraction, Fraction, Fraction]:
    """Return sum above, sum below and the squares around their ratio, of weighted sources of SMALL."""
    above = {u: sum(Fraction(int(VALUES[v])) / FOLLOWERS[v] for v in listed) for u, listed in SMALL.items()}
    below = {u: sum(Fraction(1, FOLLOWERS[v]) for v in listed) for u, listed in SMALL.items()}
    top = sum(w * above[u] for u, w in sources.items())
    bottom = sum(w * below[u] for u, w in sources.items())
    squares = sum(w * (above[u] - top / bottom * below[u]) ** 2 for u, w in sources.items())
    return Fraction(top), Fraction(bottom), Fraction(squares)


def test_rule_r_is_what_one_computes_by_hand() -> None:
    """Point, standard errors, drift and interval are those of the rule, computed apart with fractions."""
    sample = of_lists(5, SMALL, followers=FOLLOWERS, extra=[4])
    control = Control((wave({0: 1}), wave({0: 1, 2: 3}), wave({1: 2, 4: 1, 3: 5})))
    found = average(sample, control, VALUES)

    top, bottom, squares = by_hand({1: Fraction(2), 4: Fraction(1)})  # account 3 has no list: it is not a draw with one
    theta, error = float(top / bottom), sqrt(3 / 2 * squares) / float(bottom)
    _, bottom, squares = by_hand({0: Fraction(1), 2: Fraction(3)})
    before = sqrt(4 / 3 * squares) / float(bottom)
    double = by_hand({u: Fraction(1, FOLLOWERS[u]) for u in (0, 1, 2)})
    alike = by_hand({u: Fraction(1) for u in (0, 1, 2)})
    drift = max(abs(theta - float(double[0] / double[1])), abs(theta - float(alike[0] / alike[1])))
    half = 2 * sqrt(error**2 + before**2) + drift / 2
    assert isinstance(found, Interval)
    assert (found.value, found.error, found.drift) == pytest.approx((theta, error, drift))
    assert (found.low, found.high) == pytest.approx((max(1.0, theta - half), min(9.0, theta + half)))
    assert found.draws == 3


def test_without_a_control_sample_there_is_no_interval() -> None:
    """The value is the double estimate, sources weighted by 1 / followers, and it says why it stands alone."""
    sample = of_lists(5, SMALL, followers=FOLLOWERS, extra=[4])
    top, bottom, _ = by_hand({u: Fraction(1, FOLLOWERS[u]) for u in (0, 1, 2)})
    assert average(sample, None, VALUES) == NoInterval(pytest.approx(float(top / bottom)), NOT_RANDOM)


def test_under_a_hundred_credits_a_wave_there_is_no_interval() -> None:
    """One poor wave is enough; one that ended a few credits early is not poor."""
    sample = of_lists(5, SMALL, followers=FOLLOWERS, extra=[4])
    waves = wave({0: 1}), wave({0: 1, 2: 3}, credits=94), wave({1: 2, 4: 1})
    found = average(sample, Control(waves), VALUES)
    assert isinstance(found, NoInterval)
    assert found.reason == TOO_FEW_CREDITS
    early = wave({0: 1, 2: 3}, credits=97)
    assert isinstance(average(sample, Control((early, early, wave({1: 2, 4: 1}))), VALUES), Interval)


def test_draws_that_all_say_the_same_give_no_interval() -> None:
    """An error of zero is ignorance, not certainty."""
    sample = of_lists(5, SMALL, followers=FOLLOWERS)
    found = average(sample, Control((wave({0: 1}),) * 3), np.ones(5))
    assert found == NoInterval(1.0, ALL_ALIKE)


def test_a_sample_that_says_nothing_says_so() -> None:
    """No list of the crawl, or none of the last wave, is a result and no error."""
    sample = of_lists(5, SMALL, followers=FOLLOWERS)
    unread = replace(sample, complete=np.zeros(5, dtype=np.bool_))
    assert average(unread, None, VALUES) == NotIdentifiable(NO_LIST)
    assert average(sample, Control((wave({0: 1}), wave({0: 1}), wave({3: 4}))), VALUES) == NotIdentifiable(NO_DRAW)
    assert average(sample, None, np.full(5, nan)) == NotIdentifiable(NO_FACTS)
    nobody = replace(sample, followers=np.full(5, UNKNOWN))
    assert alarm(nobody) == average(nobody, None, VALUES) == NotIdentifiable(NO_FACTS)
    assert alarm(unread) == NotIdentifiable(NO_LIST)
    nobody = of_lists(0, {})
    assert average(nobody, None, np.zeros(0)) == NotIdentifiable(NO_LIST)


def test_a_wave_without_lists_gives_no_interval() -> None:
    """Without the second wave, or lists of the crawl itself, nothing says how far the third still is off."""
    sample = of_lists(5, SMALL, followers=FOLLOWERS)
    third = wave({0: 1, 1: 1})
    found = average(sample, Control((wave({0: 1}), wave({3: 2}), third)), VALUES)
    assert isinstance(found, NoInterval)
    assert found.reason == NOTHING_TO_COMPARE
    nothing_but_control = of_lists(5, SMALL, followers=FOLLOWERS, extra=SMALL)
    found = average(nothing_but_control, Control((third, third, third)), VALUES)
    assert isinstance(found, NoInterval)
    assert found.reason == NOTHING_TO_COMPARE


def test_a_seed_that_nobody_listed_does_not_outweigh_the_others() -> None:
    """Its followers are not known, so it has no part in an estimate weighted by them; a crawl of such seeds has."""
    with_seed = of_lists(5, SMALL, followers={u: f for u, f in FOLLOWERS.items() if u != 4})
    without = of_lists(5, SMALL, followers=FOLLOWERS, extra=[4])
    values = np.where(np.arange(5) == 4, nan, VALUES)
    found, expected = average(with_seed, None, values), average(without, None, values)
    assert isinstance(found, NoInterval)
    assert isinstance(expected, NoInterval)
    assert found.value == pytest.approx(expected.value)
    seeds = of_lists(4, {0: [2], 1: [2, 3]}, followers={2: 1, 3: 2})
    assert average(seeds, None, np.arange(4.0)) == NoInterval(pytest.approx((2 + 2 + 1.5) / 2.5), NOT_RANDOM)


def test_an_interval_wider_than_half_the_value_is_uninformative() -> None:
    """The same draws give an interval or an order of magnitude, as their spread has it."""
    sample = of_lists(5, SMALL, followers=FOLLOWERS)
    control = Control((wave({0: 1}), wave({0: 1, 1: 1}), wave({0: 1, 1: 1})))

    def told(spread: float) -> object:
        parts = Parts(np.array([1.0, 1.0 + spread, 1.0, 0.0, 1.0]), np.array([1.0, 1.0, 1.0, 0.0, 1.0]))
        return type(ratio(sample, control, parts, (0.0, 10.0)))

    assert told(0.1) is Interval
    assert told(1.0) is Uninformative


def test_accounts_of_which_a_fact_is_not_known_are_left_out() -> None:
    """A missing value or follower count weighs nothing, above and below the line."""
    values = np.array([nan, 2.0, nan, 1.0, nan])
    parts = of_accounts(of_lists(5, SMALL, followers={1: 4, 2: 3}), values)
    assert parts.above.tolist() == [0.5, 0.0, 0.0, 0.0, 0.5]
    assert parts.below.tolist() == [0.25, 0.0, 0.0, 0.0, 0.25]


def test_follows_count_one_each() -> None:
    """The parts of an average over follows are sums over the list of each source."""
    sample = of_lists(5, SMALL, followers=FOLLOWERS)
    parts = of_follows(sample, np.array([1.0, 0.0, nan, 1.0, 1.0, 0.0, 1.0]))
    assert parts.above.tolist() == [1.0, 1.0, 1.0, 0.0, 1.0]
    assert parts.below.tolist() == [2.0, 1.0, 1.0, 0.0, 2.0]


def test_the_alarm_is_quiet_on_a_ring_and_rings_for_a_crawl_of_hubs() -> None:
    """Where sources are alike its number is one; where the sources list the little followed it is far off."""
    ring = whole(10, [(u, (u + 1) % 10) for u in range(10)])
    assert alarm(ring) == Alarm(1.0)
    assert not alarm(ring).biased
    lists = {0: [1, 2, 3, 4]}
    hub = of_lists(5, lists, followers={0: 50, 1: 1, 2: 1, 3: 1, 4: 1})
    assert alarm(hub) == Alarm(4.0)
    assert alarm(hub).biased


@pytest.fixture(scope="module")
def world() -> World:
    return load("drawn-4000-7")


@pytest.mark.parametrize("strategy", ["rank", "flow", "unbiased"])
def test_the_interval_covers_the_truth_where_the_crawl_itself_is_far_off(world: World, strategy: str) -> None:
    """Nine of ten crawls and more have the mean length of lists in their interval; plain averages of crawls do not."""
    truth = world.following[world.followers > 0].mean()
    budget, hits, naive = 1_700, 0, []
    for number in range(20):
        rng = np.random.default_rng([number, 3])
        log = crawl(world, world.followers, strategy, round(0.8 * budget), rng)
        drawn = seen(
            world, world.followers, log, draw_control(world, world.followers, [(log, round(0.2 * budget))], rng)
        )
        found = average(drawn.sample, drawn.control, world.following[drawn.ids].astype(np.float64))
        assert isinstance(found, Interval)
        hits += found.low <= truth <= found.high
        naive.append(world.following[log.accounts].mean())
    assert hits >= 18
    assert abs(np.mean(naive) / truth - 1) > 0.05
