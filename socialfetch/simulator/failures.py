"""The answers that come instead of a page: one for each fault that keeps the page back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import formatdate

from socialfetch.simulator.answers import HANG_UP, NEVER, Answer, html, refusal, success

RETRY_AFTER_S = 2
"""Seconds that an overloaded or throttling answer asks to wait."""

_Failure = Callable[[str | None, float], Answer]


def answer(fault: str, *, request_id: str | None, now: float) -> Answer:
    """Return the answer of a fault in NAMES. `now` is in Unix seconds."""
    return _FAILURES[fault](request_id, now)


def _refuses(status: int, code: str, message: str, retry_after: Callable[[float], str] | None = None) -> _Failure:
    return lambda request_id, now: refusal(
        status, code, message, request_id=request_id, retry_after=retry_after(now) if retry_after else None
    )


def _in_seconds(_now: float) -> str:
    return str(RETRY_AFTER_S)


def _as_date(now: float) -> str:
    # Whole seconds only: rounded up, so that whoever waits for the date has waited long enough.
    return formatdate(int(now) + 1 + RETRY_AFTER_S, usegmt=True)


_internal_error = _refuses(500, "internal_error", "Unexpected or billing error.")
_lookup_failed = _refuses(502, "lookup_failed", "The upstream answer could not be used.")
_OVERLOAD = (503, "temporarily_unavailable", "Too many requests in flight.")

_FAILURES: Mapping[str, _Failure] = {
    "internal_error": _internal_error,
    "internal_error_charged": _internal_error,
    "lookup_failed": _lookup_failed,
    "lookup_failed_charged": _lookup_failed,
    "overloaded": _refuses(*_OVERLOAD, _in_seconds),
    "overloaded_date": _refuses(*_OVERLOAD, _as_date),
    "overloaded_bare": _refuses(*_OVERLOAD),
    "throttled": _refuses(429, "temporarily_unavailable", "Too many requests.", _in_seconds),
    "gateway_timeout": lambda _request_id, _now: html(504, "504 Gateway Time-out"),
    "bad_request": _refuses(400, "bad_request", "Handle or cursor is not valid any more."),
    "unauthorized": _refuses(401, "unauthorized", "The API key is not valid."),
    "payment_required": _refuses(402, "payment_required", "Payment is required."),
    "payment_settlement_failed": _refuses(402, "payment_settlement_failed", "The payment could not be settled."),
    "forbidden": _refuses(403, "forbidden", "The plan does not include this route."),
    "wrong_path": _refuses(404, "not_found", "There is no such route."),
    "html_body": lambda _request_id, _now: html(200, "Just a moment..."),
    "empty_body": lambda _request_id, _now: success(b""),
    "hang_up": lambda _request_id, _now: HANG_UP,
    "hang_up_uncharged": lambda _request_id, _now: HANG_UP,
    "stall": lambda _request_id, _now: NEVER,
    "stall_uncharged": lambda _request_id, _now: NEVER,
}

NAMES = tuple(_FAILURES)
"""The faults that have an answer here; where several strike one call, the first does."""
