"""Breakers: rules that stop a run which spends without bringing anything. Nothing is lost; the next crawl goes on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW = 100
"""Calls that the error share is taken over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to stop. `error_share` is of the last 100 calls, a fraction; overload and outages are no failures."""

    consecutive_failures: int = 10
    credits_without_new_edge: int = 200
    error_share: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tripped:
    """A breaker that stopped the run: its stop reason, the key of its limit and the value reached."""

    reason: str
    key: str
    value: float


class Breakers:
    """Counts calls and says when it is enough."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._failures_in_a_row = 0
        self._succeeded_until_s = float("-inf")
        self._credits_without_edge = 0
        self._recent: deque[bool] = deque(maxlen=WINDOW)

    def page(self, *, sent_at_s: float, credits: int, new_edges: int) -> Tripped | None:
        """Note a paid page and when it was asked for."""
        self._failures_in_a_row = 0
        self._succeeded_until_s = max(self._succeeded_until_s, sent_at_s)
        self._recent.append(False)
        self._credits_without_edge = 0 if new_edges else self._credits_without_edge + credits
        return self._check()

    def failure(self, *, sent_at_s: float, maybe_charged: bool) -> Tripped | None:
        """Note a call that brought no page.

        One that was sent before another that succeeded is not in a row: time-outs come late, and many together.
        """
        if sent_at_s > self._succeeded_until_s:
            self._failures_in_a_row += 1
        self._recent.append(True)
        self._credits_without_edge += int(maybe_charged)
        return self._check()

    def _check(self) -> Tripped | None:
        limits = self._limits
        if self._failures_in_a_row >= limits.consecutive_failures:
            return Tripped(
                reason="breaker_failures", key="breakers.consecutive_failures", value=self._failures_in_a_row
            )
        if self._credits_without_edge >= limits.credits_without_new_edge:
            return Tripped(
                reason="breaker_no_yield", key="breakers.credits_without_new_edge", value=self._credits_without_edge
            )
        if len(self._recent) == WINDOW and sum(self._recent) / WINDOW > limits.error_share:
            return Tripped(reason="breaker_failures", key="breakers.error_share", value=sum(self._recent) / WINDOW)
        return None
