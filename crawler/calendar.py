"""Days of a time zone, as budgets count them: midnight to midnight on the wall, 23 or 25 hours where clocks change.

Pure: times are handed in as Unix seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name. Raises ValueError for one that this machine does not know."""
    if name == "UTC":  # also where the machine has no time zones at all
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"no such time zone: {name}") from None


def day(at: float, where: tzinfo) -> str:
    """Return the day that a moment belongs to, as YYYY-MM-DD."""
    return datetime.fromtimestamp(at, where).date().isoformat()


def iso(at: float) -> str:
    """Return a moment in ISO 8601, UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def next_midnight(at: float, where: tzinfo) -> float:
    """Return when the next day begins. Where clocks jump over midnight, it begins with the jump."""
    following = datetime.fromtimestamp(at, where).date() + timedelta(days=1)
    return datetime(following.year, following.month, following.day, tzinfo=where).timestamp()
