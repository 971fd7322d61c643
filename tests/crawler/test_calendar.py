"""Days as budgets count them, also where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from crawler import calendar


def at(text: str) -> float:
    """Return the Unix time of an ISO time."""
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("name", "moment", "day", "ends", "hours"),
    [
        ("UTC", "2026-03-29T12:00Z", "2026-03-29", "2026-03-30T00:00Z", 24),
        ("Europe/Berlin", "2026-03-29T12:00Z", "2026-03-29", "2026-03-29T22:00Z", 23),
        ("Europe/Berlin", "2026-10-25T12:00Z", "2026-10-25", "2026-10-25T23:00Z", 25),
        ("America/Sao_Paulo", "2018-11-03T12:00Z", "2018-11-03", "2018-11-04T03:00Z", 24),  # midnight is jumped over
        ("Asia/Kathmandu", "2026-01-01T18:14:59Z", "2026-01-01", "2026-01-01T18:15Z", 24),
        ("Africa/Cairo", "2026-10-29T12:00Z", "2026-10-29", "2026-10-29T22:00Z", 25),  # back at midnight
    ],
)
def test_days(name: str, moment: str, day: str, ends: str, hours: int) -> None:
    """A day ends at the next midnight on the wall and is as long as the clocks make it."""
    where = calendar.zone(name)
    assert calendar.day(at(moment), where) == day
    end = calendar.next_midnight(at(moment), where)
    assert datetime.fromtimestamp(end, UTC) == datetime.fromisoformat(ends)
    assert calendar.day(end - 1, where) == day
    assert calendar.day(end, where) > day
    assert (calendar.next_midnight(end - hours * 3600, where)) == end


def test_every_moment_of_a_year_belongs_to_one_day() -> None:
    """Days follow each other without a gap: the next midnight is always later, at most 25 hours ahead."""
    where = calendar.zone("Europe/Berlin")
    moment = at("2026-01-01T00:00Z")
    while moment < at("2027-01-01T00:00Z"):
        following = calendar.next_midnight(moment, where)
        assert 0 < following - moment <= 25 * 3600
        moment += 1800


def test_an_unknown_zone_is_told() -> None:
    """A name that is none raises, whatever is in it."""
    for name in ("Mars/Olympus", "../etc/passwd", ""):
        with pytest.raises(ValueError, match="time zone"):
            calendar.zone(name)
