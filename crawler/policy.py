"""What to do after an error, and when a list ends. Pure: no I/O, no clock, no randomness of its own."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from random import Random

from socialfetch import errors
from storage.listing import End, Evidence, GoOn
from storage.schema import Completeness

LONGEST_WAIT_S = 24 * 3600.0
"""A provider's Retry-After beyond this is taken for a mistake of format and cut to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and how slowly a page is asked for again. Times in seconds."""

    attempts: int = 5
    """Calls for one page that fail without a charge before the entry fails; overload and outages do not count."""
    maybe_charged_attempts: int = 5
    """The same where each call may have been charged."""
    first_delay_s: float = 1.0
    longest_delay_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Defer:
    """Try again, not before a time (Unix seconds). `blocks` holds everybody back until then."""

    until: float
    counts: bool = True
    blocks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Begin the list again at its first page, once."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """Give the entry up."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Stop the whole run; the entry stays queued."""

    reason: str


Decision = Defer | Restart | Fail | Stop


def decide(
    error: errors.SocialFetchError, *, attempts: int, has_cursor: bool, now: float, rng: Random, retry: Retry
) -> Decision:
    """Decide after a call that brought no page.

    `attempts` counts the failed calls for this page before it; where nobody is answered, the rounds of such calls.
    """
    match error:
        case errors.Unauthorized():
            return Stop(reason="unauthorized")
        case errors.InsufficientCredits():
            return Stop(reason="insufficient_credits")
        case errors.PaymentRefused():
            return Stop(reason="payment_required")
        case errors.BadRequest():
            return Restart(reason="cursor_refused") if has_cursor else Fail(reason=error.code)
        case errors.Throttled() | errors.Unreachable():
            wait = wait_s(error, attempts, now=now, rng=rng, retry=retry)
            return Defer(until=now + wait, counts=False, blocks=True)
        case _:
            limit = retry.attempts if error.charged is errors.Charged.NO else retry.maybe_charged_attempts
            if attempts + 1 >= limit:
                return Fail(reason=error.code)
            return Defer(until=now + backoff_s(attempts, rng=rng, retry=retry))


def wait_s(error: errors.SocialFetchError, attempts: int, *, now: float, rng: Random, retry: Retry) -> float:
    """Return how long to wait, in seconds: as the provider asks, but no shorter than the backoff. It may ask for 0."""
    return max(retry_after_s(error.retry_after, now=now) or 0.0, backoff_s(attempts, rng=rng, retry=retry))


def backoff_s(attempts: int, *, rng: Random, retry: Retry) -> float:
    """Exponential backoff with full jitter, in seconds (Brooker, 'Exponential Backoff And Jitter', AWS 2015)."""
    return rng.uniform(0.0, min(retry.longest_delay_s, retry.first_delay_s * 2.0 ** min(attempts, 32)))


def retry_after_s(value: str | None, *, now: float) -> float | None:
    """Read a Retry-After, delta-seconds or HTTP date (RFC 9110 §10.2.3), as seconds from now; None if unreadable."""
    if value is None:
        return None
    try:
        wait = float(value)
    except ValueError:
        try:
            wait = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, OverflowError):
            return None
    if wait != wait:  # noqa: PLR0124 - the test for NaN
        return None
    return min(max(wait, 0.0), LONGEST_WAIT_S)


_UNLISTED = {
    "hidden": Completeness.HIDDEN,
    "private": Completeness.PRIVATE,
    "not_found": Completeness.NOT_FOUND,
}


def judge(evidence: Evidence, *, max_pages: int | None) -> End | GoOn:
    """Decide whether a list goes on. A list that lies costs at most one credit more and is never taken for a whole."""
    if evidence.status != "found":
        if evidence.pages > 1:
            return End(completeness=Completeness.PARTIAL, reason=f"turned_{evidence.status[:64]}")
        known = _UNLISTED.get(evidence.status)
        if known is None:
            return End(completeness=Completeness.PARTIAL, reason=f"unknown_status:{evidence.status[:64]}")
        return End(completeness=known)
    if evidence.next_cursor is None:
        if evidence.has_more:
            return End(completeness=Completeness.PARTIAL, reason="more_without_cursor")
        return End(completeness=Completeness.COMPLETE)
    if evidence.is_cursor_known:
        return End(completeness=Completeness.PARTIAL, reason="repeated_cursor")
    if evidence.page_listed == 0:
        return End(completeness=Completeness.PARTIAL, reason="empty_page")
    if evidence.page_fresh == 0 and evidence.pages > 1:
        return End(completeness=Completeness.PARTIAL, reason="repeated_page")
    if is_rest_known(evidence):
        return End(completeness=Completeness.COMPLETE, reason=REST_KNOWN, is_whole=False)
    if max_pages is not None and evidence.pages >= max_pages:
        return End(completeness=Completeness.CAPPED, reason="max_pages_per_account")
    return GoOn(cursor=evidence.next_cursor)


REST_KNOWN = "rest_known"
"""Why a list that is read again was not read to its end: nothing in the rest can be new or gone."""

PROVEN = -2.0
"""log10 of the chance below which a list counts as newest first: one in a hundred."""


def is_rest_known(evidence: Evidence) -> bool:
    """Tell whether the pages not read yet of a list that is read again can hold nothing new, and nobody is missing.

    That takes a list proven newest first, a known follow on this page (everything new lies before it), and as many
    follows reported as are known with the new ones: then nobody was unfollowed either.
    """
    return (
        evidence.order_chance is not None
        and evidence.order_chance <= PROVEN
        and evidence.page_known > 0
        and evidence.current is not None
        and evidence.reported_total == evidence.current
    )
