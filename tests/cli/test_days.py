from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from cli.days import caps, day, day_ends
from cli.settings import Budget

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("moment", "date", "hours"),
    [
        (datetime(2026, 6, 1, 22, 30, tzinfo=UTC), "2026-06-02", 24),
        (datetime(2026, 3, 28, 23, 0, tzinfo=UTC), "2026-03-29", 23),
        (datetime(2026, 10, 24, 22, 0, tzinfo=UTC), "2026-10-25", 25),
    ],
)
def test_a_day_is_as_long_as_its_clocks_say(moment: datetime, date: str, hours: int) -> None:
    """Midnight is the time zone's; a day with a clock change has 23 or 25 hours."""
    now = moment.timestamp()
    assert day(now, BERLIN) == date
    begins = datetime.combine(datetime.fromisoformat(date), time(), BERLIN).timestamp()
    assert day(begins - 1, BERLIN) != date
    assert day(begins, BERLIN) == date
    assert day_ends(now, BERLIN) == day_ends(begins, BERLIN) == begins + 3600 * hours


def test_the_settings_become_caps() -> None:
    """Every sub-budget arrives."""
    found = caps(Budget(per_day=5, per_seed=7, per_depth=(1, 2), retry_reserve=3, time_zone="Europe/Berlin"))
    assert (found.per_day, found.per_seed, found.per_depth, found.retry_reserve) == (5, 7, (1, 2), 3)
    assert found.day(0.0) == "1970-01-01"
