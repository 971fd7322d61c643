"""What a crawl shows while it runs."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from io import StringIO

import pytest
import structlog
import virtual_time
from rich.console import Console

from cli.amounts import off_by
from cli.progress import folded, parts, show
from crawler.forecast import Forecast, Range
from crawler.progress import Progress

MADE = Forecast(
    credits=9_000,
    cost=9_000,
    frontier_cost=100_000,
    accounts=Range(11_000, 13_000, 15_000),
    edges=Range(90_000, 100_000, 110_000),
    visits=Range(1, 2, 3),
    seconds=Range(1, 2, 3),
    basis="crawl",
    path=((4_500, 8_000.0, 50_000.0), (9_000, 13_000.0, 100_000.0)),
)


def under_way() -> Progress:
    found = Progress(budget=10_000, charged=5_490, uncertain=10, started_s=0.0, frontier=1_234_567, pages=4_510)
    found.forecast, found.forecast_from, found.forecast_at, found.accounts_new = MADE, 500, 1_000, 9_300
    found.errors = {"timed_out": 12}
    return found


def test_the_error_so_far_is_by_what_was_expected_of_the_credits_since() -> None:
    """Half way, 8,800 new accounts came where 8,000 were expected; with hardly any expected it is chance."""
    figures = under_way()
    assert figures.forecast_error == pytest.approx(0.1)
    assert {"9,300 of 11,500–15,500 accounts", "+10% on 8,000 expected so far"} <= {*parts(figures, 100.0)}
    figures.charged = 995
    assert figures.forecast_error is None
    figures = under_way()
    figures.crawlers = 2
    assert figures.forecast_error is None


@pytest.mark.parametrize("width", [80, 60, 200])
def test_no_figure_is_cut_off(width: int) -> None:
    """Whatever the width of the terminal, every figure is shown, the time left too."""
    figures = under_way()
    shown = folded(parts(figures, 100.0), width)
    assert all(len(row) <= width for row in shown.split("\n"))
    assert [part for row in shown.split("\n") for part in row.split(" · ")] == parts(figures, 100.0)
    assert shown.endswith(" left")


def test_a_terminal_of_eighty_columns_shows_the_time_left() -> None:
    """What is drawn while a crawl runs has the forecast's error and the time left, none of it cut."""
    stream = StringIO()
    console = Console(file=stream, force_terminal=True, width=80, color_system=None)
    settings = structlog.get_config()

    async def watch() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await show(under_way(), console)

    try:
        virtual_time.run(watch())
    finally:
        structlog.configure(**settings)
    shown = stream.getvalue()
    assert "of 11,500–15,500 accounts" in shown
    assert "+10% on 8,000 expected so far" in shown
    assert re.search(r"\d:\d\d left", shown)
    assert "…" not in shown


@pytest.mark.parametrize(("error", "said"), [(0.124, "+12%"), (-0.03, "-3%"), (-0.004, "+0%"), (0.0, "+0%")])
def test_nothing_is_off_by_less_than_nothing(error: float, said: str) -> None:
    """An error that rounds to nothing has no minus."""
    assert off_by(error) == said
