"""Breakers: rules that stop a run which spends without bringing anything. Nothing is lost; the next crawl goes on.

Calls that are in flight together fail together: that is one event, a *round*, paid for before anybody could know. So
one round alone stops nothing, however many calls it has; what comes after it does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW = 100
"""Calls that the error share is taken over, or more: a round and what was on its way after it are half at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to stop. `error_share` is of the last calls, a fraction; overload and outages are no failures."""

    consecutive_failures: int = 10
    credits_without_new_edge: int = 200
    error_share: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tripped:
    """A breaker that stopped the run: its stop reason, the key of its limit and the value reached."""

    reason: str
    key: str
    value: float


class Row:
    """Failures in a row, by rounds. Times are of the event loop's clock.

    A call that was sent before another that succeeded is not in a row: time-outs come late, and many together.
    """

    def __init__(self) -> None:
        self.rounds = 0
        self._known_s = float("-inf")
        self._succeeded_s = float("-inf")

    def pause(self, *, until_s: float) -> None:
        """Let the last round last until then: what is sent before had its slot when the pause began."""
        self._known_s = until_s

    def succeed(self, *, sent_at_s: float) -> None:
        """Note a call that succeeded."""
        self.rounds = 0
        self._succeeded_s = max(self._succeeded_s, sent_at_s)

    def fail(self, *, sent_at_s: float, now_s: float) -> bool:
        """Note a call that failed; tells whether it is in the row. One sent after a round was known begins the next."""
        if sent_at_s <= self._succeeded_s:
            return False
        if not self.rounds or sent_at_s > self._known_s:
            self.rounds += 1
            self._known_s = now_s
        return True


class Breakers:
    """Counts calls and says when it is enough. At most `concurrency` of them are in flight."""

    def __init__(self, limits: Limits, *, concurrency: int) -> None:
        self._limits = limits
        self._row = Row()
        self._failures_in_a_row = 0
        self._doubtful_in_a_row = 0
        self._credits_without_edge = 0
        self._recent: deque[bool] = deque(maxlen=max(WINDOW, 4 * concurrency))

    @property
    def is_suspicious(self) -> bool:
        """Whether one round of failures was as large as the limit: a single call may show whether it was but a blip."""
        return self._failures_in_a_row >= self._limits.consecutive_failures

    def pause(self, *, until_s: float) -> None:
        """Note that nothing more is sent until then."""
        self._row.pause(until_s=until_s)

    def page(self, *, sent_at_s: float, credits: int, new_edges: int) -> Tripped | None:
        """Note a paid page and when it was asked for."""
        self._row.succeed(sent_at_s=sent_at_s)
        self._failures_in_a_row = self._doubtful_in_a_row = 0
        self._recent.append(False)
        self._credits_without_edge = 0 if new_edges else self._credits_without_edge + credits
        return self._check()

    def failure(self, *, sent_at_s: float, now_s: float, maybe_charged: bool) -> Tripped | None:
        """Note a call that brought no page, when it was sent and when that became known."""
        if self._row.fail(sent_at_s=sent_at_s, now_s=now_s):
            self._failures_in_a_row += 1
            self._doubtful_in_a_row += maybe_charged
        self._recent.append(True)
        self._credits_without_edge += maybe_charged
        return self._check()

    def _check(self) -> Tripped | None:
        limits, rounds = self._limits, self._row.rounds
        # Failures that cost nothing count by rounds; each that may have cost a credit counts for itself.
        in_a_row = max(rounds, self._doubtful_in_a_row if rounds > 1 else 0)
        if in_a_row >= limits.consecutive_failures:
            return Tripped(reason="breaker_failures", key="breakers.consecutive_failures", value=in_a_row)
        if rounds == 1:
            return None
        if self._credits_without_edge >= limits.credits_without_new_edge:
            return Tripped(
                reason="breaker_no_yield", key="breakers.credits_without_new_edge", value=self._credits_without_edge
            )
        share = sum(self._recent) / len(self._recent)
        if len(self._recent) == self._recent.maxlen and share > limits.error_share:
            return Tripped(reason="breaker_failures", key="breakers.error_share", value=share)
        return None
