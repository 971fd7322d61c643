"""Breakers stop a run that burns credits for nothing."""

from __future__ import annotations

import pytest

from crawler.breakers import Breakers, Limits, Tripped


def breakers(concurrency: int = 20, **limits: float) -> Breakers:
    """Return breakers with these limits, else the default ones."""
    # Limits of several types, by name.
    return Breakers(Limits(**limits), concurrency=concurrency)  # type: ignore[arg-type]


def fail(it: Breakers, sent_at_s: float, *, maybe_charged: bool = True) -> Tripped | None:
    """Note a failure that became known half a second after it was sent."""
    return it.failure(sent_at_s=sent_at_s, now_s=sent_at_s + 0.5, maybe_charged=maybe_charged)


@pytest.mark.parametrize("maybe_charged", [True, False])
def test_ten_failures_one_after_the_other_stop_the_run(maybe_charged: bool) -> None:
    """116 failed calls once burnt 1,000 credits elsewhere; here the tenth is the last."""
    it = breakers()
    tripped = [fail(it, float(n), maybe_charged=maybe_charged) for n in range(10)]
    assert tripped[:9] == [None] * 9
    assert tripped[9] is not None
    assert (tripped[9].reason, tripped[9].key) == ("breaker_failures", "breakers.consecutive_failures")


@pytest.mark.parametrize("concurrency", [20, 100, 500])
def test_calls_that_fail_together_are_one_event(concurrency: int) -> None:
    """However many were in flight, a server that fails them all at once and is back for the next stops nothing."""
    it = breakers(concurrency)
    assert it.page(sent_at_s=0.0, credits=1, new_edges=1) is None
    assert [fail(it, 1.0) for _ in range(concurrency)] == [None] * concurrency
    assert it.is_suspicious
    assert it.page(sent_at_s=2.0, credits=1, new_edges=1) is None
    assert not it.is_suspicious
    assert [fail(it, 3.0) for _ in range(concurrency)] == [None] * concurrency


def test_a_failure_after_many_together_stops_the_run() -> None:
    """Twenty maybe-charged failures at once and one more that was sent after they were known are enough."""
    it = breakers()
    assert [fail(it, 1.0) for _ in range(20)] == [None] * 20
    tripped = fail(it, 1.6)
    assert tripped is not None
    assert (tripped.key, tripped.value) == ("breakers.consecutive_failures", 21)


def test_what_was_on_its_way_when_a_pause_began_is_no_later_failure() -> None:
    """Calls sent before the end of a pause had their slot before it; the first one after it decides."""
    it = breakers()
    assert [fail(it, 1.0) for _ in range(20)] == [None] * 20
    it.pause(until_s=9.5)
    assert [fail(it, 1.6) for _ in range(20)] == [None] * 20
    assert fail(it, 9.6) is not None


def test_free_failures_count_by_rounds() -> None:
    """What costs nothing is not counted for itself, however many were in flight together: ten rounds are ten."""
    it = breakers(concurrency=500)
    rounds = [[fail(it, float(n), maybe_charged=False) for _ in range(20)] for n in range(10)]
    assert rounds[:9] == [[None] * 20] * 9
    assert rounds[9][0] is not None


def test_a_limit_of_one_stops_at_the_first_failure() -> None:
    """Who wants none gets none."""
    assert fail(breakers(consecutive_failures=1), 1.0) is not None


def test_a_page_in_between_starts_the_count_anew() -> None:
    """Failures count in a row only."""
    it = breakers(error_share=1.0)
    for _ in range(100):
        assert [fail(it, float(n), maybe_charged=False) for n in range(1, 10)] == [None] * 9
        assert it.page(sent_at_s=0.0, credits=1, new_edges=3) is None


def test_credits_without_a_new_follow_stop_the_run() -> None:
    """Paid pages that bring nothing new add up, whatever else they bring."""
    it = breakers(credits_without_new_edge=50)
    assert it.page(sent_at_s=0.0, credits=1, new_edges=1) is None
    results = [it.page(sent_at_s=0.0, credits=1, new_edges=0) for _ in range(50)]
    assert results[:49] == [None] * 49
    assert results[49] is not None
    assert results[49].reason == "breaker_no_yield"


def test_a_high_share_of_errors_stops_the_run() -> None:
    """More than half of the last hundred calls failing is enough, though never ten in a row."""
    it = breakers()
    results = []
    for _ in range(40):
        results += [fail(it, 1.0, maybe_charged=False) for _ in range(2)]
        results.append(it.page(sent_at_s=0.0, credits=1, new_edges=1))
    assert results[:98] == [None] * 98
    assert any(found is not None and found.key == "breakers.error_share" for found in results)


def test_time_outs_of_calls_sent_before_a_success_are_not_in_a_row() -> None:
    """Calls that stall time out together, long after later ones succeeded: that is no outage."""
    it = breakers()
    assert it.page(sent_at_s=50.0, credits=1, new_edges=1) is None
    assert [fail(it, float(n)) for n in range(30)] == [None] * 30
    assert any(fail(it, 51.0 + n) for n in range(10))
