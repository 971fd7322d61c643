"""Size and coverage against closed forms and known networks; saturation against a replay by hand."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
from scipy.special import lambertw

from analysis.capture import NOBODY_TWICE, Size, saturation, size
from analysis.sample import Sample, counted
from analysis.sampling import NotIdentifiable
from benchmarks.stand_in import Log, load, seen
from tests.analysis.lists import of_lists, visits


def test_equal_followers_have_a_closed_form() -> None:
    """With F alike for all, q * F solves mean k = x / (1 - exp(-x)): x = mean + W(-mean * exp(-mean))."""
    lists = {0: [10, 11, 12], 1: [10, 11, 13], 2: [10, 14]}
    sample = of_lists(15, lists, followers=dict.fromkeys(range(10, 15), 8))
    mean = 8 / 5
    x = mean + float(lambertw(-mean * exp(-mean)).real)
    found = size(sample)
    assert isinstance(found, Size)
    assert found.rate == pytest.approx(x / 8)
    assert found.accounts == pytest.approx(5 / (1 - exp(-x)))
    assert found.follows == pytest.approx(8 / (x / 8))
    assert found.coverage == pytest.approx(1 - exp(-x))


def test_sources_drawn_alike_tell_the_size() -> None:
    """Accounts read at random give the number of accounts with a follower, and of follows, within a twentieth."""
    world = load("drawn-12000-4")
    read = np.random.default_rng(1).choice(len(world), 800, replace=False)
    log = Log(read, np.zeros(800, dtype=np.bool_), np.cumsum(world.cost[read]))
    found = size(seen(world, world.followers, log).sample)
    assert isinstance(found, Size)
    assert found.accounts == pytest.approx((world.followers > 0).sum(), rel=0.05)
    assert found.follows == pytest.approx(len(world.lists), rel=0.05)


def test_if_nobody_was_listed_twice_the_size_is_not_identifiable() -> None:
    """It might be anything, and that is the answer; so it is before anything was read."""
    sample = of_lists(4, {0: [1, 2], 3: [0]}, followers={0: 3, 1: 3, 2: 3})
    assert size(sample) == NotIdentifiable(NOBODY_TWICE)
    assert size(of_lists(0, {})) == NotIdentifiable(NOBODY_TWICE)


def test_counts_below_what_was_seen_do_not_break_the_size() -> None:
    """A reported count of nothing, or none at all, is at least what was seen."""
    found = size(of_lists(4, {0: [2], 1: [2], 3: [2, 1]}, followers={2: 0}))
    assert isinstance(found, Size)
    assert found.coverage <= 1


LISTS = {3: [0, 1], 0: [1, 2, 3], 1: [], 5: [4], 2: [0, 1, 4, 5]}
FOLLOWERS = {0: 2, 1: 3, 2: 1, 3: 1, 4: 2, 5: 1}


def replayed() -> Sample:
    return of_lists(6, LISTS, followers=FOLLOWERS, following={4: 0})


def test_saturation_replays_the_visits_in_their_order() -> None:
    """Known accounts and new ones a credit are those of a walk through the visits, by hand."""
    history = visits(*((account, 2, True, True) for account in LISTS))
    curve = saturation(replayed(), history, counted(replayed()), first=2, steps=5)
    assert curve.credits.tolist() == [2, 4, 6, 8, 10]
    assert curve.accounts.tolist() == [3, 4, 4, 6, 6]
    assert curve.novelty.tolist() == [1.5, 0.5, 0.0, 1.0, 0.0]
    assert np.isnan(curve.overlap[0])
    assert ((curve.overlap[1:] >= 0) & (curve.overlap[1:] <= 1)).all()


def test_saturation_is_of_the_crawls_own_credits() -> None:
    """An audit before and a control sample after tell nothing of more crawling; what was charged for no list does."""
    history = visits(
        (3, 4, True, False), (4, 1, False, True), (0, 2, True, True), (1, 0, True, True), (5, 1, True, True),
        (0, 3, True, False), (2, 5, True, False),
    )  # fmt: skip
    curve = saturation(replayed(), history, counted(replayed()), first=2, steps=4)
    assert curve.credits.tolist() == [1, 3, 4]
    assert curve.accounts.tolist() == [3, 4, 6]  # the audit's three are known, and bought by none of these credits
    assert curve.novelty.tolist() == [0.0, 0.5, 2.0]


def test_saturation_ranks_as_the_whole_is_ranked() -> None:
    """The followers given decide who comes first at the end, not those reported."""
    history = visits(*((account, 1, True, True) for account in LISTS))
    sample = of_lists(6, LISTS, followers=FOLLOWERS, following={4: 9})
    lied = np.array([0.0, 0.0, 0.0, 0.0, 1e6, 0.0])
    assert saturation(sample, history, lied, first=1, steps=5).overlap[3:].tolist() == [0.0, 1.0]  # 4 comes fourth
    assert saturation(sample, history, counted(sample), first=1, steps=5).overlap[3] == 1.0


def test_fewer_steps_than_asked_for_are_no_error() -> None:
    """A crawl of two visits has two steps, one that bought nothing has none."""
    sample = of_lists(4, {0: [1, 2], 1: [3]}, followers={1: 1, 2: 1, 3: 1})
    curve = saturation(sample, visits((0, 1, True, True), (1, 1, True, True)), counted(sample), steps=10)
    assert curve.credits.tolist() == [1, 2]
    nothing = of_lists(1, {})
    assert len(saturation(nothing, visits(), counted(nothing)).credits) == 0
    assert len(saturation(nothing, visits((0, 3, False, False)), counted(nothing)).credits) == 0
