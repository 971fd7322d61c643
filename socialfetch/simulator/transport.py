"""The simulated API without sockets: a transport for the client, on any event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from socialfetch import errors
from socialfetch.client import KEY_HEADER, Reply
from socialfetch.simulator.answers import SLOW_S, Delivery
from socialfetch.simulator.service import Service


class InProcess:
    """Asks the service directly. Waits by `asyncio.sleep` only, so a virtual clock makes whole crawls instant.

    Raises what HttpTransport raises for the same answer.
    """

    def __init__(self, service: Service, *, key: str | None, timeout_s: float) -> None:
        self._service = service
        self._headers = {} if key is None else {KEY_HEADER: key}
        self._timeout_s = timeout_s

    async def get(self, path: str, query: Mapping[str, str]) -> Reply:
        """Send one request, once. Raises TimedOut, Disconnected or Malformed; every status is an answer."""
        answer = self._service.answer(path, query, self._headers)
        takes_s = answer.delay_s + (SLOW_S if answer.delivery is Delivery.SLOWLY else 0.0)
        if answer.delivery is Delivery.NEVER or takes_s > self._timeout_s:
            await asyncio.sleep(self._timeout_s)
            raise errors.TimedOut(f"no whole answer within {self._timeout_s:g} s (api.timeout_s)")
        # Also for 0: other calls get their turn, as they would while this one travels.
        await asyncio.sleep(takes_s)
        if answer.delivery is Delivery.HANG_UP:
            raise errors.Disconnected("ServerDisconnectedError")
        if answer.delivery is Delivery.CUT:
            raise errors.Malformed("the answer was cut short or badly encoded")
        return Reply(answer.status, answer.headers, answer.body)

    async def close(self) -> None:
        """Nothing is open."""
