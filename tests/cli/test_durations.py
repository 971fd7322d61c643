from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import durations


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86_400), ("1h30m", 5400), (" 1h 30m ", 5400)]
)
def test_parse(text: str, seconds: float) -> None:
    """Numbers with the units d, h, m and s add up."""
    assert durations.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "s", "-5s", "1e3s", "5 years", "m5", "1h30", "٣s", "9" * 400 + "s"])
def test_not_a_duration(text: str) -> None:
    """A bare number, a sign, another unit or another script is not a duration."""
    with pytest.raises(ValueError, match="duration"):
        durations.parse(text)


@given(st.integers(0, 10**9))
def test_written_is_read_again(seconds: int) -> None:
    """What is written is read as the same seconds."""
    assert durations.parse(durations.written(seconds)) == seconds


def test_clock_face() -> None:
    """The length of a crawl reads like a clock."""
    assert [durations.clock_face(s) for s in (0, 59.9, 430, 3600, 90_061, 425_227)] == [
        "0:00",
        "0:59",
        "7:10",
        "1:00:00",
        "25:01:01",
        "4 d 22 h",
    ]
