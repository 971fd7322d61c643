"""Why a run stopped: what a person reads, and what a script is told."""

from __future__ import annotations

from collections.abc import Mapping

from cli.exits import Exit

_STOPS: Mapping[str, tuple[Exit, str]] = {
    "frontier_empty": (Exit.DONE, "nothing is left to buy"),
    "budget_exhausted": (Exit.DONE, "budget reached"),
    "deadline": (Exit.DONE, "time is up"),
    "low_yield": (Exit.DONE, "further credits would bring little"),
    "interrupted": (Exit.DONE, "you asked"),
    "unauthorized": (Exit.REFUSED, "the provider refused the key"),
    "insufficient_credits": (Exit.REFUSED, "the provider's balance is used up"),
    "payment_required": (Exit.REFUSED, "the provider asked for a payment, which is never made from here"),
    "breaker_failures": (Exit.GAVE_UP, "too many calls failed"),
    "breaker_no_yield": (Exit.GAVE_UP, "many credits brought no new follow"),
    "overcharged": (Exit.GAVE_UP, "an answer cost more than its price"),
    "unreachable": (Exit.GAVE_UP, "the provider could not be reached"),
}

_CLOSER: Mapping[str, str] = {
    "stop.uncrawled_share": "the seeds' surroundings are read",
    "stop.new_accounts_per_credit": "hardly anything new for a credit",
    "budget.retry_reserve": "budget reached but for its reserve",
    "budget.per_seed": "the seeds' credits are spent",
    "budget.per_depth": "the hops' credits are spent",
}
"""What a run stopped for, by the setting that was its reason."""

REASONS = tuple(_STOPS)
"""Every reason there is, a promise to scripts."""


def exit_code(reason: str) -> Exit:
    """Return the exit code of a run that stopped for `reason`. Raises KeyError for one that was never promised."""
    return _STOPS[reason][0]


def words(reason: str, key: str | None = None) -> str:
    """Return `reason` for people, to stand after "stopped because:"; closer where the setting behind it is known."""
    return _CLOSER.get(key or "", _STOPS[reason][1])
