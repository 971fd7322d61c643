"""The refresh policy: pure arithmetic, checked against the formula and against what it must prefer."""

from __future__ import annotations

from math import exp, inf, log

import pytest

from crawler import refresh
from crawler.refresh import DAY_S, Intervals, by_followers, by_neighbourhood, choose, confirmed_at, cost, rate, value
from storage.rereads import REFUTED
from storage.revisits import Revisit

NOW = 1_000 * DAY_S
KNOWN = Revisit(
    account_id=1,
    outcome="complete",
    asked_at=int(NOW - 30 * DAY_S),
    followers=100,
    following=40,
    private=False,
    facts_at=int(NOW - 30 * DAY_S),
    revisits=0,
    changes=0,
    first_at=int(NOW - 30 * DAY_S),
    last_at=int(NOW - 30 * DAY_S),
    pages=2,
    baseline=40,
    order_chance=None,
    seen_by=3,
    listed_at=None,
)


def test_the_formula() -> None:
    """V is μ/λ times the freshness that Cho and Garcia-Molina's formula says one more visit brings."""
    changes = 1 / (30 * DAY_S)
    found = value(KNOWN, now=NOW, weigh=lambda _: 2.0, rate=lambda _: changes)
    assert found == pytest.approx(2.0 / changes * (1 - 2 * exp(-1)))
    # Never changed as far as anybody knows: half a change in half a month of not knowing.
    assert rate(KNOWN) == pytest.approx(1 / (30 * DAY_S))


def test_rates_are_learned_and_bounded() -> None:
    """Changes seen raise the rate, quiet time lowers it, and neither reaches zero or the absurd."""
    quiet = KNOWN._replace(first_at=0, revisits=10)
    busy = quiet._replace(changes=10)
    assert rate(quiet) < rate(KNOWN) < rate(busy._replace(first_at=int(NOW - 60 * DAY_S)))
    assert 0 < rate(KNOWN._replace(first_at=-(10**12), revisits=3)) < rate(quiet)
    assert rate(KNOWN._replace(changes=10**9)) == 5 / DAY_S


def test_a_listing_is_a_look_too() -> None:
    """A count that stayed the same for ten days says that the list is slow, another count that it is fast."""
    listed = KNOWN._replace(facts_at=int(NOW - 20 * DAY_S), listed_at=int(NOW - 20 * DAY_S))
    assert rate(listed) == pytest.approx(0.5 / (10 * DAY_S + 15 * DAY_S))
    assert rate(listed._replace(following=41)) == pytest.approx((log(3) + 0.5) / (10 * DAY_S + 15 * DAY_S))


def test_the_free_signal() -> None:
    """A listing with another count makes a list known stale, one with the same count makes it young again."""
    listed = KNOWN._replace(facts_at=int(NOW - DAY_S), listed_at=int(NOW - DAY_S))
    assert confirmed_at(listed) == NOW - DAY_S
    stale = listed._replace(following=41)
    assert refresh.is_known_stale(stale)
    assert not refresh.is_known_stale(listed)
    assert not refresh.is_known_stale(stale._replace(facts_at=int(NOW - 40 * DAY_S)))  # known before the last visit
    values = [value(each, now=NOW, weigh=by_followers) for each in (listed, KNOWN, stale)]
    assert values == sorted(values)
    assert values[2] == pytest.approx(10 / rate(stale))
    assert values[2] < inf
    # A swap leaves the count as it was: a list that is confirmed every day is worth reading all the same in the end.
    old = listed._replace(first_at=0, last_at=0)
    assert value(old, now=NOW, weigh=by_followers) > value(listed, now=NOW, weigh=by_followers)


def test_costs() -> None:
    """A full visit costs all pages; a list proven newest first those with something new and one more at most."""
    assert cost(KNOWN) == 2
    assert cost(KNOWN._replace(following=41)) == 3
    assert cost(KNOWN._replace(following=0)) == cost(KNOWN._replace(following=None, baseline=None)) == 1
    proven = KNOWN._replace(following=400, baseline=399, order_chance=-2.5)
    assert cost(proven) == 1
    assert cost(proven._replace(following=440)) == 3
    assert cost(proven._replace(order_chance=-1.9)) == 20
    assert cost(proven._replace(order_chance=REFUTED)) == 20


def test_the_choice() -> None:
    """The largest V/c goes first, within the credits, one list at least; what is not due waits."""
    cheap, dear = KNOWN._replace(following=10, baseline=10), KNOWN._replace(account_id=2, following=400, baseline=400)
    famous = KNOWN._replace(account_id=3, followers=10**6)
    young = KNOWN._replace(account_id=4, asked_at=int(NOW - 3600), last_at=int(NOW - 3600))
    intervals = Intervals()

    def chosen(credits: int, *revisits: Revisit) -> list[int]:
        found = choose(revisits, credits=credits, now=NOW, weigh=by_followers, intervals=intervals)
        return [choice.account_id for choice in found.choices]

    assert chosen(100, dear, cheap, famous, young) == [3, 1, 2]
    assert chosen(4, dear, cheap, famous) == [3, 1]
    assert chosen(1, dear) == [2]
    assert chosen(0, cheap) == []


def test_when_the_next_one_is_due() -> None:
    """A plan says when the first list that it left out is due, whether it is due already or not."""
    young = KNOWN._replace(account_id=4, asked_at=int(NOW - 3600), last_at=int(NOW - 3600))
    others = [KNOWN._replace(account_id=10 + n, followers=n, asked_at=int(NOW - 40 * DAY_S + n)) for n in range(9)]
    hidden = KNOWN._replace(account_id=5, outcome="hidden", asked_at=int(NOW - 20 * DAY_S))

    def due_at(credits: int, *revisits: Revisit) -> float | None:
        plan = choose(iter(revisits), credits=credits, now=NOW, weigh=by_followers, intervals=Intervals())
        return plan.next_due_at

    assert due_at(9) is None
    assert due_at(9, KNOWN) is None
    assert due_at(9, KNOWN, young, hidden) == NOW - 3600 + DAY_S
    assert due_at(9, hidden) == NOW + 10 * DAY_S
    assert due_at(0, KNOWN) == KNOWN.asked_at + DAY_S
    assert due_at(4, *others) == others[0].asked_at + DAY_S  # two lists of two pages are read, the last two
    assert due_at(14, *others) == others[0].asked_at + DAY_S
    assert due_at(18, *others, young) == NOW - 3600 + DAY_S


@pytest.mark.parametrize(
    ("outcome", "days"), [("hidden", 30), ("private", 90), ("not_found", 180), ("failed", 7), ("complete", 1)]
)
def test_every_outcome_has_its_wait(outcome: str, days: int) -> None:
    """Lists that could not be read are asked for again after their own time, with a tenth of the credits."""
    waiting = [
        KNOWN._replace(account_id=number, outcome=outcome, asked_at=int(NOW - days * DAY_S + 60 - number))
        for number in range(100, 200)
    ]
    intervals = Intervals()
    found = choose([KNOWN, *waiting], credits=20, now=NOW, weigh=by_followers, intervals=intervals)
    again = {choice.account_id for choice in found.choices} - {1}
    if outcome == "complete":
        assert len(again) == 9
    else:
        assert again == {199, 198}  # the longest due
    assert {each for each in again if each < 160} == set() or outcome == "complete"


def test_private_and_open_again() -> None:
    """An account that listings show as private is left alone; one that they show open again is due at once."""
    private = KNOWN._replace(private=True)
    assert choose([private], credits=9, now=NOW, weigh=by_followers, intervals=Intervals()).choices == []
    was = KNOWN._replace(outcome="private", asked_at=int(NOW - 2 * DAY_S))
    assert choose([was], credits=9, now=NOW, weigh=by_followers, intervals=Intervals()).choices == []
    seen_open = was._replace(facts_at=int(NOW - DAY_S))
    assert len(choose([seen_open], credits=9, now=NOW, weigh=by_followers, intervals=Intervals()).choices) == 1


def test_weights() -> None:
    """Followers count by their root; a scene's own members count more than the famous whom everybody follows."""
    assert by_followers(KNOWN) == 10
    assert by_followers(KNOWN._replace(followers=None)) == 1
    assert by_neighbourhood(KNOWN) > by_neighbourhood(KNOWN._replace(followers=10**6))
