"""Breakers stop a run that burns credits for nothing."""

from __future__ import annotations

from crawler.breakers import Breakers, Limits


def test_ten_failures_in_a_row_stop_the_run() -> None:
    """116 failed calls once burnt 1,000 credits elsewhere; here the tenth is the last."""
    breakers = Breakers(Limits())
    tripped = [breakers.failure(sent_at_s=1.0, maybe_charged=True) for _ in range(10)]
    assert tripped[:9] == [None] * 9
    assert tripped[9] is not None
    assert (tripped[9].reason, tripped[9].key) == ("breaker_failures", "breakers.consecutive_failures")


def test_a_page_in_between_starts_the_count_anew() -> None:
    """Failures count in a row only."""
    breakers = Breakers(Limits(error_share=1.0))
    for _ in range(100):
        assert [breakers.failure(sent_at_s=1.0, maybe_charged=False) for _ in range(9)] == [None] * 9
        assert breakers.page(sent_at_s=0.0, credits=1, new_edges=3) is None


def test_credits_without_a_new_follow_stop_the_run() -> None:
    """Paid pages that bring nothing new add up, whatever else they bring."""
    breakers = Breakers(Limits(credits_without_new_edge=50))
    assert breakers.page(sent_at_s=0.0, credits=1, new_edges=1) is None
    results = [breakers.page(sent_at_s=0.0, credits=1, new_edges=0) for _ in range(50)]
    assert results[:49] == [None] * 49
    assert results[49] is not None
    assert results[49].reason == "breaker_no_yield"


def test_a_high_share_of_errors_stops_the_run() -> None:
    """More than half of the last hundred calls failing is enough, though never ten in a row."""
    breakers = Breakers(Limits())
    results = []
    for _ in range(40):
        results += [breakers.failure(sent_at_s=1.0, maybe_charged=False) for _ in range(2)]
        results.append(breakers.page(sent_at_s=0.0, credits=1, new_edges=1))
    assert results[:98] == [None] * 98
    assert any(found is not None and found.key == "breakers.error_share" for found in results)


def test_time_outs_of_calls_sent_before_a_success_are_not_in_a_row() -> None:
    """Calls that stall time out together, long after later ones succeeded: that is no outage."""
    breakers = Breakers(Limits())
    assert breakers.page(sent_at_s=50.0, credits=1, new_edges=1) is None
    assert [breakers.failure(sent_at_s=float(n), maybe_charged=True) for n in range(30)] == [None] * 30
    assert any(breakers.failure(sent_at_s=51.0, maybe_charged=True) for _ in range(10))
