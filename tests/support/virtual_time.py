"""An event loop whose clock jumps: sleeping costs nothing, so that crawls of days run in seconds, the same every time.

It must not be mixed with threads or sockets: they know only real time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_750_000_000.0
"""Where the wall clock of a virtual crawl begins, in Unix seconds."""


class Deadlock(Exception):
    """Every task waits and no timer is set."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock
        if timeout > 0:
            self.time += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._clock_resolution = 1e-8  # above the grain of a float for two years of seconds

    def time(self) -> float:
        """Return the virtual seconds since the loop began."""
        return self._jumping.time

    def now(self) -> float:
        """Return the wall clock that goes with it, in Unix seconds."""
        return EPOCH + self._jumping.time

    def suspend(self, seconds: float) -> None:
        """Let both clocks go on while nobody runs, as when the machine sleeps."""
        self._jumping.time += seconds


def now() -> float:
    """Return the running virtual loop's wall clock."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.now()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
