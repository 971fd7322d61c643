"""How long an answer is waited for, by a clock that allows for having slept.

A process that was suspended wakes with its time-outs past and the answers waiting in its sockets. They may be paid for,
so they are read before anything is given up.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

SLEPT_S = 1.0
"""A timer that comes later than this tells that nothing here ran meanwhile."""

GRACE_S = 5.0
"""How long it may take then to read what came."""


class patience:  # noqa: N801 - used as `async with patience(seconds):`, like asyncio.timeout
    """Raise TimeoutError in the block after so many seconds, a little later where they passed in sleep."""

    __slots__ = ("_due", "_limit", "_loop", "_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __aenter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + self._seconds
        self._limit = asyncio.timeout(None)
        await self._limit.__aenter__()
        self._timer = self._loop.call_at(self._due, self._expire)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def _expire(self) -> None:
        now = self._loop.time()
        self._limit.reschedule(now + GRACE_S if now - self._due > SLEPT_S else now)
