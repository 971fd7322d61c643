"""Notices: by every way, tried again for long, told also when nothing can be written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvloop
import virtual_time

from cli import hooks
from crawler.notifying import Notifier, Undelivered, Way
from storage.database import Database
from storage.errors import DiskFull
from storage.writer import InlineWriter

HOUR = 3600.0


class Full(InlineWriter):
    """A disk without room, while it is said to be."""

    is_full = False

    def commit(self, batch: Sequence[Any]) -> list[Any]:
        """Commit, or find no room."""
        if Full.is_full:
            return [DiskFull("the disk is full")] * len(batch)
        return super().commit(batch)


def failing_until(at: float, heard: list[float]) -> Way:
    """Return a way that works from this time on, and notes when it was asked."""

    async def way(_: dict[str, Any]) -> None:
        heard.append(virtual_time.now() - virtual_time.EPOCH)
        if virtual_time.now() < virtual_time.EPOCH + at:
            raise Undelivered("nobody listens")

    return way


def told(path: Path, *ways: Way, hours: float, is_full: bool = False) -> None:
    """Tell one notice and let the notifier live for so long."""

    async def life() -> None:
        db = Database.open(path, now=virtual_time.now, writer=Full)
        Full.is_full = is_full
        notifier = Notifier(db=db, ways=ways, now=virtual_time.now, log=structlog.get_logger(), study="s")
        running = asyncio.ensure_future(notifier.run())
        notifier.tell("trouble", "today", {"cause": "x"})
        await asyncio.sleep(hours * HOUR)
        assert not running.done()
        running.cancel()
        Full.is_full = False
        db.close()

    virtual_time.run(life())


def test_a_way_that_works_is_asked_once_while_another_is_tried_for_an_hour(tmp_path: Path) -> None:
    """A dead webhook keeps nothing from the command, and an outage of fifty minutes nothing from the webhook."""
    hook, command = list[float](), list[float]()
    told(tmp_path / "a.db", failing_until(50 * 60, hook), failing_until(0, command), hours=2)
    assert len(command) == 1
    assert 50 * 60 <= hook[-1] < 1.1 * HOUR
    given_up = list[float]()
    told(tmp_path / "b.db", failing_until(1e9, given_up), hours=5)
    assert HOUR <= given_up[-1] < 1.2 * HOUR


def test_what_cannot_be_kept_is_told_all_the_same(tmp_path: Path) -> None:
    """A full disk is what somebody has to hear of."""
    heard = list[float]()
    told(tmp_path / "a.db", failing_until(10, heard), hours=1, is_full=True)
    assert len(heard) == 4, "at once, after 2, 6 and 14 seconds"


@pytest.mark.parametrize(("program", "works"), [("true", True), ("false", False)])
def test_a_command_need_not_read_its_notice(program: str, works: bool) -> None:
    """One that ends at once, with a notice too long for a pipe: delivered or not, never a fault."""
    message = {"study": "s", "event": "trouble", "subject": "x", "at": 1, "details": {"detail": "x" * 300_000}}

    async def often() -> list[bool]:
        found = []
        for _ in range(20):
            try:
                await hooks.command(f"/bin/{program}")(message)
            except Undelivered:
                found.append(False)
            else:
                found.append(True)
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(often()) == [works] * 20
