"""Numbers, times and foreign text as a report shows them.

Invariant: text that strangers wrote goes through `shown` before it is laid beside ours; escaping it is the template's.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

MISSING = "–"
LONGEST = 64
"""Characters of a foreign name that are shown; a hostile one may be a novel."""

_JOINERS = "\u200c\u200d"
"""Format characters that Persian, Indic scripts and emoji need. All others are dropped: they reorder or hide text."""

_BLANKS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Letters and marks that print nothing."""

_PSEUDONYM = re.compile(r"acct-[A-Z0-9]+")
"""What stands in the place of a handle that is not named; handles have no capitals."""

_MARKS = 3
"""Combining marks in a row that real scripts use; more are there to paint over the neighbouring lines."""


def shown(text: str) -> str:
    """Return foreign text without control, bidirectional, invisible and unpaired characters, and not too long."""
    kept: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if category in {"Cc", "Zl", "Zp", "Zs"} or character in _BLANKS:
            kept.append(" ")
        elif marks <= _MARKS and (category not in {"Cs", "Cn", "Co", "Cf"} or character in _JOINERS):
            kept.append(character)
        if len(kept) > 4 * LONGEST:
            break
    clean = " ".join("".join(kept).split())
    return clean if len(clean) <= LONGEST else f"{clean[: LONGEST - 1]}…"


def label(handle: str | None, account_id: int) -> str:
    """Return what an account is called: its handle with @, or its id where the handle is gone or unprintable."""
    clean = shown(handle) if handle is not None else ""
    if _PSEUDONYM.fullmatch(clean):
        return clean
    return f"@{clean}" if clean else f"account {account_id}"


def number(value: int | None) -> str:
    """Return a count with thousands separators."""
    return MISSING if value is None else f"{value:,}"


def signed(value: int) -> str:
    """Return a difference, its sign always there."""
    return "±0" if value == 0 else f"{'+' if value > 0 else '−'}{abs(value):,}"


def off(error: float) -> str:
    """Return by how much something was too much or too little, in whole percent: `+65 %`, `−3 %`."""
    return f"{signed(round(100 * error))}\u202f%"


def count(value: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun: `1 account`, `2 accounts`."""
    return f"{value:,} {one if value == 1 else many or f'{one}s'}"


def percent(part: float, whole: float = 1) -> str:
    """Return a share with one decimal. What is not quite nothing or everything is not shown as 0 or 100."""
    if not whole:
        return MISSING
    share = 100 * part / whole
    if 0 < share < 0.05:
        return "<\u202f0.1\u202f%"
    if 99.95 <= share < 100:
        return ">\u202f99.9\u202f%"
    return f"{share:.0f}\u202f%" if share in {0, 100} else f"{share:.1f}\u202f%"


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number with so many significant digits, never in powers of ten."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    return fixed(value, max(0, digits - 1 - int(f"{value:e}".partition("e")[2])))


def fixed(value: float | None, places: int) -> str:
    """Return a number with so many decimals; what is negative has the sign of the other numbers, no hyphen."""
    return MISSING if value is None else f"{value:,.{places}f}".replace("-", "−")


def rough(value: float) -> str:
    """Return a number by its first digit only: an order of magnitude."""
    power = 10 ** max(0, len(f"{value:.0f}") - 1)
    return f"{round(value / power) * power:,}"


def day(at: int | None) -> str:
    """Return a day: `3 November 2026`."""
    return MISSING if at is None else f"{(moment := _utc(at)).day} {moment:%B %Y}"


def minute(at: int | None) -> str:
    """Return a time to the minute: `3 November 2026, 14:05 UTC`."""
    return MISSING if at is None else f"{day(at)}, {_utc(at):%H:%M} UTC"


def iso(at: int | None) -> str:
    """Return a time for machines: `2026-11-03T14:05:00Z`."""
    return "" if at is None else f"{_utc(at):%Y-%m-%dT%H:%M:%SZ}"


def _utc(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def span(first: int | None, last: int | None) -> str:
    """Return a period in days: `on 3 November 2026`, `between 3 November 2026 and 5 November 2026`."""
    if first is None or last is None:
        return "not yet"
    return f"on {day(first)}" if day(first) == day(last) else f"between {day(first)} and {day(last)}"


def duration(seconds: float) -> str:
    """Return how long something lasted, in its largest unit: `45 s`, `12 min`, `3.5 hours`, `2.0 days`."""
    for unit, size, places in (("days", 86_400, 1), ("hours", 3_600, 1), ("min", 60, 0)):
        if seconds >= size:
            return f"{seconds / size:,.{places}f} {unit}"
    return f"{seconds:.0f} s"


def listing(words: list[str]) -> str:
    """Return words as an enumeration: `a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"
