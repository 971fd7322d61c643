"""How long an answer is waited for, by a clock that allows for having slept.

A process that was suspended wakes with its time-outs past and the answers waiting in its sockets. They may be paid for,
so they are read before anything is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

SLEPT_S = 1.0
"""A timer that comes later than this tells that nothing here ran meanwhile."""

GRACE_S = 5.0
"""How long it may take then to read what came."""


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError in the block after so many seconds, a little later where they passed in sleep."""
    loop = asyncio.get_running_loop()
    due = loop.time() + seconds

    def expire() -> None:
        now = loop.time()
        limit.reschedule(now + GRACE_S if now - due > SLEPT_S else now)

    async with asyncio.timeout(None) as limit:
        timer = loop.call_at(due, expire)
        try:
            yield
        finally:
            timer.cancel()
