"""A server of this process, on a loop and a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

Serve = Callable[[threading.Event, asyncio.Event], Coroutine[Any, Any, None]]
"""Sets the first event once it serves, and ends when the second is set."""


@contextmanager
def served(serve: Serve, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Serve for as long as the block lasts."""
    started, stopped = threading.Event(), asyncio.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve(started, stopped))

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(60)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
