"""What a balance can settle, and what it cannot."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.budget import LAG_S, Last, weigh
from storage.readings import Interval


def interval(at: float, fall: int, charged: int, **more: Any) -> Interval:
    """Return an interval that ends at a time, whose last call was a second before unless said otherwise."""
    return Interval(**({"at": at, "fall": fall, "charged": charged, "called_at": at - 1.0} | more))


CALIBRATED = interval(100, fall=5, charged=5)
"""A quiet point right after five charges at which the balance was right."""


def test_a_balance_known_to_be_prompt_settles_at_once() -> None:
    """Three uncertain credits and a fall of two beyond the known charges: two were charged."""
    assert weigh([CALIBRATED, interval(200, fall=52, charged=50, uncertain={1: 3})]) == {1: (3, 2)}


def test_without_a_calibration_only_time_settles() -> None:
    """The same fall says nothing while the balance might lag, and enough once everything is long over."""
    assert weigh([interval(200, fall=52, charged=50, uncertain={1: 3})]) is None
    late = interval(200 + LAG_S, fall=52, charged=50, uncertain={1: 3}, called_at=199.0)
    assert weigh([late]) == {1: (3, 2)}


@pytest.mark.parametrize("fall", [49, 54, 0, -1000])
def test_a_fall_that_is_no_answer_settles_nothing(fall: int) -> None:
    """A top-up, or somebody else's spending, leaves the credits uncertain."""
    assert weigh([CALIBRATED, interval(200, fall=fall, charged=50, uncertain={1: 3})]) is None


def test_a_balance_that_lags_is_not_built_on() -> None:
    """A quiet point that misses charges made just before shows a lag; the next reading is measured from before it."""
    lagging = interval(100, fall=0, charged=5)
    assert weigh([lagging, interval(200, fall=57, charged=50, uncertain={1: 3})]) is None
    late = interval(200 + LAG_S, fall=57, charged=50, uncertain={1: 3}, called_at=199.0)
    assert weigh([lagging, late]) == {1: (3, 2)}


def test_somebody_else_on_the_key_forbids_every_settlement() -> None:
    """Where the balance once fell without us, a fall proves nothing any more."""
    strange = interval(90, fall=7, charged=0, called_at=None)
    late = interval(500, fall=52, charged=50, uncertain={1: 3}, called_at=200.0)
    assert weigh([strange, CALIBRATED, late]) is None


def test_an_abandoned_call_may_be_charged_later() -> None:
    """A call we gave up on is not settled before the provider must be done with it."""
    young = interval(200, fall=50, charged=50, uncertain={1: 1}, abandoned_at=199.0)
    assert weigh([CALIBRATED, young]) is None
    old = interval(400, fall=50, charged=50, uncertain={1: 1}, abandoned_at=199.0)
    assert weigh([CALIBRATED, old]) == {1: (1, 0)}


def test_a_wall_clock_that_was_set_proves_nothing() -> None:
    """What this process asked for a minute ago is a minute old, whatever the wall clock says meanwhile."""
    jumped = interval(200 + 86_400, fall=52, charged=50, uncertain={1: 3}, called_at=199.0, abandoned_at=199.0)
    assert weigh([jumped], last=Last(called_s=1000.0, abandoned_s=1000.0), now_s=1060.0) is None
    assert weigh([jumped], last=Last(called_s=1000.0, abandoned_s=1000.0), now_s=1000.0 + LAG_S) == {1: (3, 2)}
    back = interval(100, fall=5, charged=5, called_at=3_700.0)
    prompt = interval(3_800, fall=52, charged=50, uncertain={1: 3})
    assert weigh([back, prompt]) is None


def test_what_could_not_be_settled_does_not_block_what_comes_later() -> None:
    """After a top-up in the middle, later credits are measured from the reading after it."""
    lost = interval(500, fall=-1000, charged=10, uncertain={1: 2}, called_at=300.0)
    later = interval(900, fall=11, charged=10, uncertain={1: 1}, called_at=700.0)
    assert weigh([CALIBRATED, lost, later]) == {1: (1, 1)}


def test_several_runs_are_settled_only_where_all_were_charged_or_none() -> None:
    """Who of two runs was charged is not in the balance."""
    both = {1: 2, 2: 1}
    assert weigh([CALIBRATED, interval(200, fall=50, charged=50, uncertain=both)]) == {1: (2, 0), 2: (1, 0)}
    assert weigh([CALIBRATED, interval(200, fall=53, charged=50, uncertain=both)]) == {1: (2, 2), 2: (1, 1)}
    assert weigh([CALIBRATED, interval(200, fall=51, charged=50, uncertain=both)]) is None


@given(st.integers(0, 10_000), st.integers(0, 40))
def test_a_lagging_balance_never_settles_too_little(seed: int, lag_s: int) -> None:
    """Whatever the lag below two minutes, what is settled is what was charged."""
    rng = Random(seed)
    charges = sorted(rng.uniform(0, 300) for _ in range(rng.randint(5, 60)))
    unknown = [(rng.uniform(0, 300), rng.random() < 0.5) for _ in range(rng.randint(1, 6))]
    truth = sorted([*charges, *(at for at, charged in unknown if charged)])

    def balance(at: float) -> int:
        return -sum(charge <= at - lag_s for charge in truth)

    marks = [0.0, 20.0, 150.0, 305.0, 500.0]
    steps = []
    for begin, end in pairwise(marks):
        known = [charge for charge in charges if begin < charge <= end]
        doubtful = [at for at, _ in unknown if begin < at <= end]
        steps.append(
            interval(
                end,
                fall=balance(begin) - balance(end),
                charged=len(known),
                uncertain={1: len(doubtful)} if doubtful else {},
                called_at=max([*known, *doubtful], default=None),
            )
        )
        settled = weigh(steps)
        if settled is not None:
            assert sum(charged for _, charged in settled.values()) <= sum(charged for _, charged in unknown)
            if lag_s == 0 or end == marks[-1]:
                return
