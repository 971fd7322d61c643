"""Everything the simulated API can do wrong, by name, with how often.

Nobody documents whether the real API does these things; each is switched on by a rate from 0 to 1. `FAULTS` is the one
table that validation, help texts and documents are made of.

Invariant: whether a fault strikes is a function of the seed, its name and what it is about, never of arrival order. So
a crawl meets the same faults whatever its concurrency, and a call tried again usually goes through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

import msgspec

from socialfetch.simulator.chance import fraction
from socialfetch.simulator.errors import InvalidRate, UnknownFault, UnknownProfile


class Decided(Enum):
    """What a fault is decided for: everything that has the same name here fares the same."""

    CALL = "call"
    """The page and how often it was asked for."""
    PAGE = "page"
    """The page, however often it is asked for."""
    LIST = "list"
    """The account whose list it is."""
    ACCOUNT = "account"
    """The listed account; half of the lists show it so."""
    BALANCE = "balance"
    """The number of the call to `/v1/balance`."""


class Fault(msgspec.Struct, frozen=True):
    """One way to misbehave. `credits` is what the call then costs."""

    name: str
    effect: str
    credits: int
    decided: Decided


_CALL, _PAGE, _LIST, _ACCOUNT, _BALANCE = Decided

FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        # Instead of a page. Where several strike one call, the first of this order does.
        Fault("internal_error", "500 internal_error", 0, _CALL),
        Fault("internal_error_charged", "500 internal_error, paid for", 1, _CALL),
        Fault("lookup_failed", "502 lookup_failed", 0, _CALL),
        Fault("lookup_failed_charged", "502 lookup_failed, paid for", 1, _CALL),
        Fault("overloaded", "503 with Retry-After in seconds", 0, _CALL),
        Fault("overloaded_date", "503 with Retry-After as an HTTP date", 0, _CALL),
        Fault("overloaded_bare", "503 without Retry-After", 0, _CALL),
        Fault("throttled", "429 on the paid route, with Retry-After in seconds", 0, _CALL),
        Fault("gateway_timeout", "504 with an HTML body from a proxy, paid for", 1, _CALL),
        Fault("bad_request", "400 bad_request although handle and cursor are good", 0, _CALL),
        Fault("unauthorized", "401 unauthorized although the key is right", 0, _CALL),
        Fault("payment_required", "402 payment_required although a key was sent", 0, _CALL),
        Fault("payment_settlement_failed", "402 payment_settlement_failed", 0, _CALL),
        Fault("forbidden", "403 forbidden", 0, _CALL),
        Fault("wrong_path", "404 not_found for a path that exists", 0, _CALL),
        Fault("html_body", "200 with an HTML page from a proxy, paid for", 1, _CALL),
        Fault("empty_body", "200 without a body, paid for", 1, _CALL),
        Fault("hang_up", "the connection closes before the answer, paid for", 1, _CALL),
        Fault("hang_up_uncharged", "the connection closes before the answer", 0, _CALL),
        Fault("stall", "no answer ever comes, paid for", 1, _CALL),
        Fault("stall_uncharged", "no answer ever comes", 0, _CALL),
        # The page, badly delivered.
        Fault("cut_body", "the connection closes in the middle of the body", 1, _CALL),
        Fault("slow", "the body trickles in over a minute", 1, _CALL),
        # The page, odd in its dress.
        Fault("dear", "creditsCharged is 2, and 2 are charged", 2, _PAGE),
        Fault("cached", "meta.cached is true, with an Age header; charged in full", 1, _PAGE),
        Fault("no_receipt", "meta is null, so no price is told", 1, _PAGE),
        Fault("no_request_id", "neither pages nor errors carry a requestId", 1, _PAGE),
        Fault("no_checkout_url", "402 insufficient_credits comes without checkoutUrl", 0, _PAGE),
        Fault("integer_cursor", "nextCursor is an integer", 1, _PAGE),
        Fault("drifting_total", "totalAccounts is off by up to 4, differently on each page", 1, _PAGE),
        Fault("unknown_fields", "the envelope and its accounts carry fields not in the contract", 1, _PAGE),
        Fault("no_ids", "accounts have neither platformUserId nor secUid", 1, _PAGE),
        Fault("created_at_integer", "accountCreatedAt is integer epoch seconds", 1, _PAGE),
        Fault("created_at_absent", "accountCreatedAt is left out", 1, _PAGE),
        Fault("hostile_text", "names and bios are very long, with markup, controls and formulas", 1, _PAGE),
        Fault("broken_account", "the first listed account has no metrics and so violates the contract", 1, _PAGE),
        # A list that lies.
        Fault("unknown_status", "lookupStatus is restricted, and nothing is listed", 1, _LIST),
        Fault("turns_hidden", "pages after the first answer lookupStatus hidden", 1, _LIST),
        Fault("more_without_cursor", "hasMore is true, nextCursor null", 1, _LIST),
        Fault("cursor_without_more", "the last page has a nextCursor, hasMore is false", 1, _LIST),
        Fault("repeated_cursor", "pages after the first give back the cursor they were asked with", 1, _LIST),
        Fault("repeated_page", "pages after the first list the first page's accounts again", 1, _LIST),
        Fault("empty_page", "pages after the first are empty, but hasMore is true and the cursors go on", 1, _LIST),
        Fault("duplicate_account", "pages after the first begin with the last account of the page before", 1, _LIST),
        Fault("self_follow", "the list begins with its own account", 1, _LIST),
        Fault("mixed_case", "listed handles are in upper case", 1, _LIST),
        # An account that is not what it was.
        Fault("renamed", "half of the lists show the account under a new handle, with its old ids", 1, _ACCOUNT),
        Fault("taken_over", "half of the lists show other ids under the account's handle", 1, _ACCOUNT),
        # The free route.
        Fault("old_balance", "/v1/balance answers with one field", 0, _BALANCE),
        Fault("balance_lags", "/v1/balance leaves out what was charged in the last 30 seconds", 0, _BALANCE),
        Fault("refill_on", "refillState is healthy; an empty balance is topped up instead of refused", 0, _BALANCE),
    )
}

_ENDS_A_RUN = ("unauthorized", "payment_required", "payment_settlement_failed", "forbidden", "wrong_path", "dear")

PROFILES: Mapping[str, Mapping[str, float]] = {
    "faithful": {},
    "older_contract": {"old_balance": 1.0, "created_at_integer": 1.0, "no_ids": 0.5},
    "flaky": {
        "internal_error": 0.005,
        "lookup_failed": 0.02,
        "lookup_failed_charged": 0.005,
        "overloaded": 0.02,
        "hang_up": 0.003,
        "hang_up_uncharged": 0.003,
        "html_body": 0.002,
        "cut_body": 0.002,
        "cached": 0.05,
        "drifting_total": 0.1,
    },
    "hostile": {name: 0.01 for name in FAULTS if name not in _ENDS_A_RUN},
}
"""Sets of rates by name. `hostile` is every fault that a crawl is meant to survive."""


class Faults:
    """The faults switched on, and the decision whether one strikes."""

    def __init__(self, rates: Mapping[str, float] | None = None, *, rng_seed: int = 0) -> None:
        """Switch on the faults in `rates`. Raises UnknownFault or InvalidRate."""
        self._rng_seed = rng_seed
        self._rates = dict.fromkeys(FAULTS, 0.0)
        for name, rate in (rates or {}).items():
            if name not in FAULTS:
                raise UnknownFault(name, FAULTS)
            if not 0.0 <= rate <= 1.0:
                raise InvalidRate(name, rate)
            self._rates[name] = rate

    def strikes(self, name: str, *about: object) -> bool:
        """Whether the fault `name` strikes what `about` names."""
        rate = self._rates[name]
        return rate > 0.0 and fraction(self._rng_seed, name, *about) < rate

    def on(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those of the names that can strike at all."""
        return tuple(name for name in names if self._rates[name])


def profile(name: str) -> Mapping[str, float]:
    """Return the rates of a profile. Raises UnknownProfile."""
    if name not in PROFILES:
        raise UnknownProfile(name, PROFILES)
    return PROFILES[name]


def parse(text: str) -> tuple[str, float]:
    """Read `NAME=RATE` as a person types it. Raises UnknownFault or InvalidRate."""
    name, _, written = text.partition("=")
    if name not in FAULTS:
        raise UnknownFault(name, FAULTS)
    try:
        rate = float(written)
    except ValueError:
        raise InvalidRate(name, written) from None
    if not 0.0 <= rate <= 1.0:
        raise InvalidRate(name, written)
    return name, rate
