"""Decisions after errors, and the end of lists."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import policy
from crawler.policy import Decision, Defer, Fail, Restart, Retry, Stop
from socialfetch import errors
from storage.listing import End, Evidence, GoOn

NOW = 1_750_000_000.0
RETRY = Retry(attempts=3, maybe_charged_attempts=2, first_delay_s=1.0, longest_delay_s=60.0)


def decide(error: errors.SocialFetchError, *, attempts: int = 0, has_cursor: bool = False) -> Decision:
    """Decide with a fixed clock and seed."""
    return policy.decide(error, attempts=attempts, has_cursor=has_cursor, now=NOW, rng=Random(1), retry=RETRY)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.Unauthorized(), "unauthorized"),
        (errors.InsufficientCredits(), "insufficient_credits"),
        (errors.PaymentRequired(), "payment_required"),
    ],
)
def test_what_a_person_must_mend_stops_the_run(error: errors.SocialFetchError, reason: str) -> None:
    """A refused key and a refused payment stop everything; nothing is ever paid."""
    assert decide(error) == Stop(reason=reason)


def test_a_refused_cursor_begins_the_list_anew() -> None:
    """400 on a later page restarts the list; on the first page the handle itself is refused."""
    assert decide(errors.BadRequest(), has_cursor=True) == Restart(reason="cursor_refused")
    assert decide(errors.BadRequest()) == Fail(reason="bad_request")


@pytest.mark.parametrize(
    ("header", "wait"),
    [("120", 120.0), ("1.5", 1.5), ("99999999999", policy.LONGEST_WAIT_S), ("Sun, 15 Jun 2025 15:07:40 GMT", 60.0)],
)
def test_retry_after_is_obeyed_by_everybody(header: str, wait: float) -> None:
    """Seconds and dates are understood, block all, and do not count as an attempt."""
    assert decide(errors.Throttled(retry_after=header)) == Defer(until=NOW + wait, counts=False, blocks=True)


@pytest.mark.parametrize("header", [None, "soon", "nan", "", "0", "-5", "0.001", "Mon, 01 Jan 2024 00:00:00 GMT"])
@pytest.mark.parametrize("attempts", [0, 4])
def test_backoff_is_the_least_that_is_waited(header: str | None, attempts: int) -> None:
    """Where Retry-After is absent, unreadable or asks for nothing, the wait is the backoff, and grows as it does."""
    decision = decide(errors.Throttled(retry_after=header), attempts=attempts)
    backoff = policy.backoff_s(attempts, rng=Random(1), retry=RETRY)
    assert backoff > 0.1 * 2**attempts
    assert decision == Defer(until=NOW + backoff, counts=False, blocks=True)


def test_a_free_failure_is_tried_more_often_than_one_that_may_have_cost() -> None:
    """Free failures fail after 3 calls here, maybe-charged ones after 2."""
    assert isinstance(decide(errors.ClientFault(), attempts=1), Defer)
    assert decide(errors.ClientFault(), attempts=2) == Fail(reason="client_fault")
    assert isinstance(decide(errors.LookupFailed()), Defer)
    assert decide(errors.LookupFailed(), attempts=1) == Fail(reason="lookup_failed")


@given(st.integers(0, 10_000), st.integers())
def test_backoff_stays_within_its_bounds(attempts: int, seed: int) -> None:
    """However many attempts, the wait is between nothing and the longest delay."""
    wait = policy.backoff_s(attempts, rng=Random(seed), retry=RETRY)
    assert 0.0 <= wait <= min(60.0, 2.0 ** min(attempts, 32))


def evidence(**changes: object) -> Evidence:
    """Return the evidence of an ordinary middle page, changed."""
    ordinary: dict[str, object] = {
        "status": "found", "pages": 2, "page_listed": 20, "page_fresh": 20, "edges": 40, "has_more": True,
        "next_cursor": "c", "is_cursor_known": False, "reported_total": 100,
    }  # fmt: skip
    # Columns of several types, by name.
    return Evidence(**(ordinary | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, GoOn(cursor="c")),
        ({"next_cursor": None, "has_more": False}, End(completeness="complete")),
        ({"next_cursor": None, "has_more": False, "page_listed": 0, "page_fresh": 0}, End(completeness="complete")),
        ({"next_cursor": None}, End(completeness="partial", reason="more_without_cursor")),
        ({"is_cursor_known": True}, End(completeness="partial", reason="repeated_cursor")),
        ({"page_listed": 0, "page_fresh": 0}, End(completeness="partial", reason="empty_page")),
        ({"page_fresh": 0}, End(completeness="partial", reason="repeated_page")),
        ({"pages": 5}, End(completeness="capped", reason="max_pages_per_account")),
        ({"status": "hidden", "pages": 1}, End(completeness="hidden")),
        ({"status": "private", "pages": 1}, End(completeness="private")),
        ({"status": "not_found", "pages": 1}, End(completeness="not_found")),
        ({"status": "hidden"}, End(completeness="partial", reason="turned_hidden")),
        ({"status": "restricted", "pages": 1}, End(completeness="partial", reason="unknown_status:restricted")),
    ],
)
def test_a_list_ends_for_one_reason(changes: dict[str, object], verdict: End | GoOn) -> None:
    """Whole lists are complete; lists that lie, turn or are cut are not, and say why."""
    assert policy.judge(evidence(**changes), max_pages=5) == verdict
