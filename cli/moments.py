"""Points in time as people write them: a date, a date with a time, `now`, or how long ago (`7d`, `12h`)."""

from __future__ import annotations

from datetime import UTC, datetime

from cli import durations
from cli.escaping import shortened
from cli.failure import usage


def parse(text: str, *, flag: str, now: float) -> float:
    """Return Unix seconds; without a zone the time is UTC. Raises CommandFailed."""
    try:
        at = _read(text.strip(), now)
        datetime.fromtimestamp(at, UTC)  # a time that can be printed
    except (ValueError, OverflowError, OSError):
        raise usage(
            "not_a_time",
            f'{flag}: "{shortened(text)}" is not a time',
            hint="Write a date (2026-03-01), a date with a time (2026-03-01T12:00), now, or how long ago (7d).",
        ) from None
    return at


def _read(text: str, now: float) -> float:
    if text == "now":
        return now
    try:
        return now - durations.parse(text)
    except ValueError:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
