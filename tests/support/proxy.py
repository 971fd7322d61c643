"""A network that fails: a proxy between many connections and one server that cuts them and lets them hang.

python tests/support/proxy.py HOST PORT     leads there from a port of this machine that it prints, until it is ended
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

from background import served


class Network:
    """The connections that go through. Its methods may be called from any thread. Listens on `host`, leads to `port` of
    `to`."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", to: str = "127.0.0.1") -> None:
        self.port = 0
        self._host = host
        self._to = to
        self.cuts = 0
        self.stalls = 0
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._open: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}
        self._stalled: dict[asyncio.StreamWriter, float] = {}
        self._stalled_until = 0.0

    def cut(self, rng: Random, share: float) -> None:
        """Reset a share of the connections, drawn by lot."""
        self.cuts += 1
        self._loop.call_soon_threadsafe(self._cut, rng, share)

    def stall(self, rng: Random, share: float, seconds: float) -> None:
        """Let no byte through on a share of the connections, nor any new connection where all are meant."""
        self.stalls += 1
        self._loop.call_soon_threadsafe(self._stall, rng, share, seconds)

    def _drawn(self, rng: Random, share: float) -> list[asyncio.StreamWriter]:
        return [each for each in self._open if rng.random() < share]

    def _cut(self, rng: Random, share: float) -> None:
        for each in self._drawn(rng, share):
            each.transport.abort()
            self._open[each].transport.abort()

    def _stall(self, rng: Random, share: float, seconds: float) -> None:
        until = self._loop.time() + seconds
        for each in self._drawn(rng, share):
            self._stalled[each] = until
        if share >= 1:
            self._stalled_until = until

    async def _wait(self, client: asyncio.StreamWriter) -> None:
        left = self._stalled.get(client, 0.0) - self._loop.time()
        if left > 0:
            await asyncio.sleep(left)

    async def _pump(
        self, client: asyncio.StreamWriter, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65_536):
            await self._wait(client)
            writer.write(data)
            await writer.drain()
        await self._wait(client)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stalled_until > self._loop.time():
            await asyncio.sleep(self._stalled_until - self._loop.time())
        try:
            up_reader, up_writer = await asyncio.open_connection(self._to, self._target)
        except OSError:
            writer.transport.abort()
            return
        self._open[writer] = up_writer
        pumps = [
            asyncio.ensure_future(self._pump(writer, reader, up_writer)),
            asyncio.ensure_future(self._pump(writer, up_reader, writer)),
        ]
        try:
            with suppress(OSError, asyncio.CancelledError):  # the loop ends with connections that hang
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            del self._open[writer]
            self._stalled.pop(writer, None)
            writer.transport.abort()
            up_writer.transport.abort()

    async def _serve(self, started: threading.Event, stopped: asyncio.Event) -> None:
        server = await asyncio.start_server(self._connected, self._host, 0, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await stopped.wait()
        server.close()
        self._cut(Random(0), 2.0)
        await asyncio.sleep(0.1)  # each connection sees its end

    @contextmanager
    def up(self) -> Iterator[Network]:
        """Let connections through for as long as the block lasts."""
        with served(self._serve, self._loop):
            yield self


if __name__ == "__main__":
    with Network(int(sys.argv[2]), to=sys.argv[1]).up() as found:
        sys.stdout.write(f"{found.port}\n")
        sys.stdout.flush()
        threading.Event().wait()
