"""What the provider's balance tells about uncertain credits. Pure.

Between two quiet readings the balance falls by what was charged: the known charges, x of the n uncertain ones, and
whatever else moves it: another program on the same key, a top-up, a balance that lags behind. x is settled only where
the readings before showed that the balance moves with our own charges alone, and 0 <= x <= n is the one answer left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from storage.readings import Interval

PROMPT_S = 30.0
"""A reading that was right this soon after a charge shows that the balance lags no longer than that."""

ROUNDING_S = 1.0
"""The ledger keeps whole seconds."""

LAG_S = 120.0
"""After this time nothing that was asked for can still be charged, and every charge is in the balance."""


@dataclass(slots=True)
class Last:
    """When this process last had an answer, and last gave up waiting for one, by a clock that nobody can set."""

    called_s: float = float("-inf")
    abandoned_s: float = float("-inf")


@dataclass(slots=True)
class _Since:
    """What happened since the last reading that can be built on."""

    fall: int = 0
    charged: int = 0
    uncertain: dict[int, int] = field(default_factory=dict)
    called_at: float = float("-inf")
    abandoned_at: float = float("-inf")

    def add(self, step: Interval) -> None:
        self.fall += step.fall
        self.charged += step.charged
        for run_id, credits in step.uncertain.items():
            self.uncertain[run_id] = self.uncertain.get(run_id, 0) + credits
        self.called_at = max(self.called_at, step.called_at or self.called_at)
        self.abandoned_at = max(self.abandoned_at, step.abandoned_at or self.abandoned_at)


def weigh(
    steps: Sequence[Interval], *, last: Last | None = None, now_s: float = 0.0
) -> dict[int, tuple[int, int]] | None:
    """Return by run how many uncertain credits are settled by the last reading, and how many of them were charged.

    None where more than one answer is possible. `steps` are in order; the last one ends at the newest reading.
    Their times are of the wall clock, which may have been set since: it is believed of other processes, while of this
    one `last` and `now_s` say how long it has been quiet.
    """
    last = Last() if last is None else last
    lag_s = LAG_S  # what the readings so far allow it to be
    somebody_else = False
    since = _Since()
    for index, step in enumerate(steps):
        since.add(step)
        open_by_run = {run_id: credits for run_id, credits in since.uncertain.items() if credits}
        count = sum(open_by_run.values())
        excess = since.fall - since.charged
        is_late = step.at - max(since.called_at, since.abandoned_at) >= LAG_S
        if count == 0:
            if excess < 0 and not is_late:
                lag_s = LAG_S  # it lags: nothing can be built on this reading
                continue
            if excess > 0:
                somebody_else = True
            elif excess == 0 and step.charged > 0 and 0 <= step.at - since.called_at <= PROMPT_S:
                lag_s = max(0.0, step.at - since.called_at - ROUNDING_S)
            since = _Since()
            continue
        is_sure = step.at - since.called_at >= lag_s and step.at - since.abandoned_at >= LAG_S
        if index == len(steps) - 1:
            is_sure = is_sure and now_s - last.called_s >= lag_s and now_s - last.abandoned_s >= LAG_S
            if is_sure and not somebody_else and 0 <= excess <= count:
                return _split(open_by_run, excess)
            return None
        if is_sure:
            since = _Since()
    return None


def _split(open_by_run: Mapping[int, int], charged: int) -> dict[int, tuple[int, int]] | None:
    """Share the charged credits among runs; with several runs only none or all of them is one answer."""
    count = sum(open_by_run.values())
    if len(open_by_run) == 1:
        return {run_id: (credits, charged) for run_id, credits in open_by_run.items()}
    if charged in {0, count}:
        return {run_id: (credits, credits if charged else 0) for run_id, credits in open_by_run.items()}
    return None
