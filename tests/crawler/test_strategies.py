"""What each strategy ranks first."""

from __future__ import annotations

from math import exp, sqrt

import pytest
from msgspec.structs import replace

from crawler.strategies.learner import Learner
from crawler.strategies.registry import EVERY, NAMES, build, of_label
from crawler.strategy import Tuning, lot, pages_left, uniform
from storage.ordering import Bought, Candidate

ENTRY = Candidate(7, followers=400, following=95, depth=2, cash=0.3, listings=6)


@pytest.mark.parametrize(
    ("name", "priority"),
    [
        ("flow", 0.3 / 5),
        ("rank", 400 / 5),
        ("core", 6 * sqrt(400)),
        ("community", 0.3 * 6 / 420 / 5),
        ("expansion", 95 / 5 / 7),
        ("bfs", -(2 * 2.0**40 + 7)),
    ],
)
def test_priorities_are_those_of_the_design(name: str, priority: float) -> None:
    """An account with 400 followers, 95 follows (5 pages), named by 6 lists, with 0.3 of cash."""
    assert build(name).place(ENTRY).priority == pytest.approx(priority)


def test_a_label_tells_the_strategy_and_its_tuning() -> None:
    """What a ranking is labelled with is what it was made with; a label that nobody writes is nobody's."""
    for strategy in (build("bfs"), build("flow", Tuning(cost_exponent=0.5)), build("core-pages", Tuning(core_size=7))):
        found = of_label(strategy.label)
        assert found is not None
        assert (type(found), found.tuning, found.label) == (type(strategy), strategy.tuning, strategy.label)
    old = of_label("core-pages")  # of a database ranked before the size was part of it
    assert old is not None
    assert old.label != "core-pages"
    for label in ("nobody", "flow/cost^x", "core-pages/core^", "flow/what^1"):
        assert of_label(label) is None


def test_the_cost_exponent_can_be_set() -> None:
    """0 leaves the cost out, 1 divides by it; the label tells the rankings apart."""
    tuned = build("core", Tuning(cost_exponent=1.0))
    assert tuned.place(ENTRY).priority == pytest.approx(6 * sqrt(400) / 5)
    assert tuned.label == "core/cost^1"
    again = of_label(tuned.label)
    assert again is not None
    assert again.place(ENTRY) == tuned.place(ENTRY)
    assert of_label("of-tomorrow") is None


@pytest.mark.parametrize("name", EVERY)
def test_an_account_of_which_nothing_is_known_stands_before_most(name: str) -> None:
    """A seed that no list has named yet is not left behind."""
    seed, usual = build(name).place(Candidate(1, cash=1.0)), build(name).place(replace(ENTRY, listings=1))
    assert seed.priority >= usual.priority or seed.lane != usual.lane


def test_half_read_lists_cost_what_is_left_of_them() -> None:
    """Pages read are paid; at least one is left while a list goes on."""
    assert [pages_left(replace(ENTRY, pages=pages)) for pages in (0, 2, 4, 9)] == [5, 3, 1, 1]


def test_lots_are_fair_and_stay() -> None:
    """An account with F followers is drawn first with a chance of 1/F: four times rarer with four times as many."""
    assert uniform(5, 1) == uniform(5, 1) != uniform(6, 1)
    rare, common = 0, 0
    for number in range(4000):
        few = Candidate(2 * number, followers=10, depth=1)
        many = Candidate(2 * number + 1, followers=40, depth=1)
        if lot(few, 3) > lot(many, 3):
            common += 1
        else:
            rare += 1
    assert common / rare == pytest.approx(4, rel=0.12)


def test_the_bandit_prefers_the_arm_that_yields_and_takes_a_new_one_for_like_its_kind() -> None:
    """An arm that was not tried is worth what arms alike have yielded, and more for want of knowing."""
    bandit = build("discover")
    good, bad = replace(ENTRY, followers=10), replace(ENTRY, followers=100_000)
    fresh = replace(ENTRY, followers=3000)

    def worth(entry: Candidate) -> float:
        lane = bandit.place(entry).lane
        return next(value for value, one in bandit.lanes({}) or () if one == lane)

    assert len({bandit.place(entry).lane for entry in (good, bad, fresh)}) == 3
    for _ in range(30):
        bandit.learn(Bought(good, [1] * 20, [1] * 18))
        bandit.learn(Bought(bad, [1] * 20, [1] * 2))
    assert worth(good) > 16 > worth(fresh) > 10
    assert 2 < worth(bad) < 4
    often = replace(fresh, listings=9)
    for followers in (30, 300):
        for _ in range(30):
            bandit.learn(Bought(replace(often, followers=followers), [1] * 20, [1]))
    assert worth(often) < 4
    assert worth(fresh) > 10
    again = bandit.restored(bandit.state())
    assert list(again.lanes({}) or ())[1:] == list(bandit.lanes({}) or ())[1:]


def test_the_bandit_takes_the_fullest_list_of_an_arm() -> None:
    """What an arm yields is new accounts a first page, and a full page has more."""
    bandit = build("discover")
    few, many = bandit.place(replace(ENTRY, following=3)), bandit.place(replace(ENTRY, following=19))
    assert few.lane == many.lane
    assert few.priority < many.priority


@pytest.mark.parametrize("name", ["discover", "discover-pages"])
def test_a_list_that_dries_up_falls_behind(name: str) -> None:
    """After a page of known accounts the next page is worth less than after a page of new ones."""
    strategy = build(name)
    started = replace(ENTRY, pages=1, listed=20, rate=0.6)
    wet, dry = strategy.place(replace(started, hits=20)), strategy.place(replace(started, hits=0))
    assert wet.priority > 2 * dry.priority


def test_a_learner_finds_the_rate_behind_the_pages() -> None:
    """Rates that depend on a feature are learned from pages, and kept and restored exactly."""
    learner = Learner((-1.0, 0.0), 0.999)
    for number in range(3000):
        x = (number % 7) / 7
        rate = exp(-1.5 + 1.0 * x)
        learner.learn((1.0, x), items=20, hits=round(20 * rate + (uniform(1, number) - 0.5) * 2))
    assert learner.rate((1.0, 0.0)) == pytest.approx(exp(-1.5), rel=0.15)
    assert learner.rate((1.0, 0.9)) == pytest.approx(exp(-0.6), rel=0.15)
    assert Learner((-1.0, 0.0), 0.999, learner.state()).rate((1.0, 0.3)) == learner.rate((1.0, 0.3))


def test_the_core_is_gated_by_followers() -> None:
    """Members of the core, by reported followers, come before equally listed others."""
    core = build("core-pages", Tuning(core_size=10))
    core.acquaint([10] * 990 + [5000] * 10)
    inside, outside = replace(ENTRY, followers=5000, merit=3.0), replace(ENTRY, followers=50, merit=3.0)
    assert core.place(inside).priority > 10 * core.place(outside).priority
    assert core.merits(inside)[0] == 1.0
    assert core.merits(outside)[0] == 0.0


def test_every_choice_has_its_purpose() -> None:
    """Names and purposes are told."""
    assert all(EVERY[name].purpose for name in NAMES)
