"""How a signal ends what runs: the first one drains it, the second abandons it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from cli.session import Session

ENDS = (signal.SIGINT, signal.SIGTERM)


@asynccontextmanager
async def draining(drain: Callable[[str], None], session: Session) -> AsyncIterator[None]:
    """Call `drain` with the name of the first Ctrl-C or SIGTERM; at the second raise KeyboardInterrupt at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    asked = 0

    def on_signal(name: str) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            session.output.note("finishing what is in flight; the same again abandons it (its credits: uncertain)")
            drain(name)
        elif task is not None:
            task.cancel()

    for number in ENDS:
        loop.add_signal_handler(number, on_signal, number.name)
    try:
        yield
    except asyncio.CancelledError:
        if asked > 1:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number in ENDS:
            loop.remove_signal_handler(number)
