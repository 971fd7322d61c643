"""Numbers of things, as people write them."""

from __future__ import annotations


def amount(count: int, noun: str) -> str:
    """Return `1 account`, `2,000 accounts`, … for a noun whose plural ends in s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def off_by(error: float) -> str:
    """Return `+12%`, `-3%`, `+0%`: how far a number is off."""
    return f"{round(error, 2) + 0.0:+.0%}"  # so that nothing is off by -0 %
