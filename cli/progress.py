"""What a crawl shows while it runs: a bar on a terminal, one log line every 30 seconds anywhere else.

The first line comes after 5 seconds: whoever waits sees that something happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from io import TextIOBase
from typing import TYPE_CHECKING

import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

from cli import durations
from cli.amounts import off_by

if TYPE_CHECKING:
    from crawler.progress import Progress as Figures

REDRAW_S = 0.25
FIRST_LINE_S = 5.0
LINE_EVERY_S = 30.0
_WIDE, _BAR = 110, 24
"""Columns of a terminal that has room for a bar beside the figures, and of the bar."""

_BETWEEN = " · "


async def show(figures: Figures, console: Console) -> None:
    """Show the figures until cancelled."""
    await (_bar(figures, console) if console.is_terminal else _lines(figures))


async def _lines(figures: Figures) -> None:
    log = structlog.get_logger()
    time = asyncio.get_running_loop().time
    wait_s = FIRST_LINE_S
    while True:
        await asyncio.sleep(wait_s)
        wait_s = LINE_EVERY_S
        left_s = figures.seconds_left(time())
        log.info(
            "run.progressed",
            charged=figures.charged,
            uncertain=figures.uncertain,
            left=figures.left,
            pages_per_second=round(figures.rate(time()), 2),
            new_accounts_per_credit=round(figures.new_per_credit, 2),
            accounts_expected=figures.accounts_expected,
            forecast_error=None if (error := figures.forecast_error) is None else round(error, 3),
            frontier=figures.frontier,
            errors=sum(figures.errors.values()),
            seconds_left=None if left_s is None else round(left_s),
            waiting=figures.waiting,
        )


async def _bar(figures: Figures, console: Console) -> None:
    is_wide = console.width >= _WIDE
    columns: list[ProgressColumn] = [_Line(figures, lambda: console.width - is_wide * (_BAR + 2))]
    if is_wide:
        columns.insert(0, BarColumn(bar_width=_BAR))
    bar = Progress(
        *columns,
        console=console,
        get_time=asyncio.get_running_loop().time,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    task = bar.add_task("crawl", total=figures.budget, completed=figures.charged + figures.uncertain)
    # Log lines go above the bar instead of through it.
    # structlog wants a TextIO and only writes to it.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(_Above(console)))  # type: ignore[arg-type]
    with bar:
        while True:
            bar.update(task, total=figures.budget, completed=figures.charged + figures.uncertain)
            bar.refresh()
            await asyncio.sleep(REDRAW_S)


class _Above(TextIOBase):
    """A stream whose lines appear above what is drawn."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> int:
        """Print whole lines; the rest of a line is its line feed."""
        if text.strip():
            self._console.print(Text.from_ansi(text.rstrip("\n")), soft_wrap=True)
        return len(text)


class _Line(ProgressColumn):
    """The figures beside the bar: credits spent and left, speed, yield, frontier, errors, time left."""

    def __init__(self, figures: Figures, width: Callable[[], int]) -> None:
        super().__init__()
        self._figures = figures
        self._width = width

    def render(self, task: Task) -> Text:
        """Draw the line; nothing in it is foreign text."""
        return Text(folded(parts(self._figures, task.get_time()), self._width()), overflow="fold")


def folded(parts: Sequence[str], width: int) -> str:
    """Lay the parts out in as few lines of so many columns as hold them all: a narrow terminal shows no less."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(_BETWEEN) + len(part) <= width:
            lines[-1] += _BETWEEN + part
        else:
            lines.append(part)
    return "\n".join(lines)


def parts(figures: Figures, now_s: float) -> list[str]:
    """Return the figures as they are shown; `now_s` is the clock that the figures were started with."""
    left_s = figures.seconds_left(now_s)
    spent = figures.charged + figures.uncertain
    found = [
        f"{spent:,}/{figures.budget:,} credits",
        f"{figures.rate(now_s):,.0f}/s",
        f"{figures.new_per_credit:.1f} new/credit",
        *_expected(figures),
        f"{figures.frontier:,} waiting",
    ]
    errors = sum(figures.errors.values())
    if errors:
        found.append(f"{errors:,} errors")
    if figures.uncertain:
        found.append(f"{figures.uncertain:,} uncertain")
    if figures.waiting == "day":
        found.append("today's credits are spent; waiting for tomorrow")
    elif figures.waiting is not None:
        from crawler.progress import reason_to_wait  # noqa: PLC0415 - start-up; loaded by now

        found.append(reason_to_wait(figures.waiting))
    elif left_s is not None:
        found.append(f"{durations.clock_face(left_s)} left")
    return found


def _expected(figures: Figures) -> list[str]:
    """Say what the forecast is, and how far off it is so far."""
    expected, so_far, error = figures.accounts_expected, figures.expected_so_far, figures.forecast_error
    if expected is None:
        return []
    off = [] if so_far is None or error is None else [f"{off_by(error)} on {so_far:,.0f} expected so far"]
    return [f"{figures.accounts_new:,} of {expected[0]:,}–{expected[1]:,} accounts", *off]
