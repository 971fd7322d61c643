"""Days of a time zone: which day a moment belongs to, and when that day ends."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from cli.settings import Budget
    from storage.allowances import Caps


def day(now: float, zone: ZoneInfo) -> str:
    """Return the date of a Unix time."""
    return datetime.fromtimestamp(now, zone).date().isoformat()


def day_ends(now: float, zone: ZoneInfo) -> float:
    """Return when the day of a Unix time is over: at the next midnight, also where the clocks change in between."""
    tomorrow = datetime.fromtimestamp(now, zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), zone).timestamp()


def caps(budget: Budget) -> Caps:
    """Return the sub-budgets that the settings ask for."""
    from storage.allowances import Caps  # noqa: PLC0415

    zone = ZoneInfo(budget.time_zone)
    return Caps(
        per_day=budget.per_day,
        per_seed=budget.per_seed,
        per_depth=budget.per_depth,
        retry_reserve=budget.retry_reserve,
        day=lambda now: day(now, zone),
        day_ends=lambda now: day_ends(now, zone),
    )
