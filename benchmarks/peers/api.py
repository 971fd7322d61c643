"""The API as fast as Python can serve it, so that the crawlers beside it are what is measured.

    python benchmarks/peers/api.py [--accounts N] [--latency SECONDS] [--capacity PAGES_PER_SECOND]

A raw protocol that reads no more of a request than it needs. Accounts and lists follow from an account's number by
arithmetic, so that it starts at once and a million accounts cost no memory. With `--capacity` it refuses (503) what
comes faster than that. Prints its address.
"""

from __future__ import annotations

import argparse
import asyncio
from random import Random

PAGE_SIZE = 20
MEAN_LIST = 60
LONGEST_LIST = 400
SCATTER, BACK = 2654435761, pow(2654435761, -1, 2**32)

_rng = Random(1)
_LENGTHS = [max(1, min(LONGEST_LIST, int(_rng.lognormvariate(3.75, 0.85)))) for _ in range(4096)]
_ACCOUNT = (
    '{"handle":"%s","metrics":{"followers":%d,"following":%d,"posts":%d},"displayName":"Display Name %d",'
    '"bio":"%s and battles number %d","avatarUrl":"https://avatars.example.com/%d.jpeg",'
    '"profileUrl":"https://www.tiktok.com/@%s","verified":false,"platformUserId":"%d",'
    '"secUid":"MS4wLjABAAAA%dkjk4eEUq5242pH7FfqbUid7","region":"ID","language":"id",'
    '"accountCreatedAt":"2017-02-%02dT22:57:42.000Z"}'
)
_BIOS = ("street dance", "slow food and long walks", "tools, repairs", "news from the harbour", "cats")


class Graph:
    """Accounts by number: number x is followed about sqrt(N / x) times as often as the last of N."""

    def __init__(self, accounts: int) -> None:
        self.accounts = accounts

    def handle(self, number: int) -> str:
        """Return a handle that looks like no order."""
        return f"u{number * SCATTER & 0xFFFFFFFF:08x}"

    def number(self, handle: str) -> int | None:
        """Return whose handle it is."""
        try:
            found = int(handle[1:], 16) * BACK & 0xFFFFFFFF
        except ValueError:
            return None
        return found if found < self.accounts else None

    def length(self, number: int) -> int:
        """Return how many accounts somebody follows."""
        return min(_LENGTHS[number * 40503 + 7 & 4095], max(1, self.accounts // 8))

    def account(self, number: int) -> str:
        """Return an account as lists show it."""
        handle = self.handle(number)
        followers = int(MEAN_LIST * (self.accounts / (number + 1)) ** 0.5 / 2)
        stable = 6_400_000_000_000_000_000 + number * 7919
        return _ACCOUNT % (
            handle, followers, self.length(number), number % 900, number, _BIOS[number % 5], number % 10_000,
            stable, handle, stable, stable, 1 + number % 28,
        )  # fmt: skip

    def page(self, number: int, start: int, request: int) -> bytes:
        """Return a page: each place of a list draws from a stretch of its own, so that nobody is listed twice."""
        length = self.length(number)
        end = min(start + PAGE_SIZE, length)
        stride = 7 if length % 7 else 11
        listed = []
        for place in range(start, end):
            lot = ((number * 1_000_003 + place * 7_368_787) * SCATTER & 0xFFFFFFFF) / 2**32
            listed.append(self.account(int(self.accounts * ((place * stride % length + lot) / length) ** 2)))
        cursor, more = (f'"{end}"', "true") if end < length else ("null", "false")
        return (
            f'{{"data":{{"lookupStatus":"found","accounts":[{",".join(listed)}],'
            f'"page":{{"nextCursor":{cursor},"hasMore":{more}}},"totalAccounts":{length}}},'
            f'"meta":{{"requestId":"req_{request}","creditsCharged":1,"version":"v1"}}}}'
        ).encode()


class Served:
    """What all connections share."""

    def __init__(self, graph: Graph, *, latency_s: float, capacity: float | None) -> None:
        self.graph = graph
        self.latency_s = latency_s
        self.capacity = capacity
        self.asked = self.refused = 0
        self._free_at = 0.0

    def may_answer(self) -> bool:
        """Tell whether there is capacity; a tenth of a second of it may be saved up."""
        if self.capacity is None:
            return True
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - 0.1)
        if self._free_at > now:
            return False
        self._free_at += 1 / self.capacity
        return True

    def answer(self, target: str) -> tuple[bytes, bytes]:
        """Return status and body."""
        path, _, query = target.partition("?")
        if path.startswith("/v1/tiktok/profiles/"):
            self.asked += 1
            if not self.may_answer():
                self.refused += 1
                return b"503 Service Unavailable", b'{"error":{"code":"temporarily_unavailable"}}'
            number = self.graph.number(path[20:].partition("/")[0])
            if number is None:
                return b"404 Not Found", b'{"error":{"code":"not_found"}}'
            start = int(query.partition("cursor=")[2].partition("&")[0] or 0)
            return b"200 OK", self.graph.page(number, start, self.asked)
        if path == "/v1/whoami":
            return b"200 OK", b'{"data":{"user":{"id":"usr_bench"}}}'
        if path == "/v1/balance":
            return b"200 OK", b'{"data":{"balance":%d}}' % (10**9 - self.asked + self.refused)
        if path == "/counts":
            return b"200 OK", b'{"asked":%d,"refused":%d}' % (self.asked, self.refused)
        return b"404 Not Found", b"{}"


class Connection(asyncio.Protocol):
    """One client's connection: one GET after the other."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        # A server's transport writes.
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        data = self._rest + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            target = data[4 : data.find(b" ", 4)].decode()
            data = data[end + 4 :]
            status, body = self._served.answer(target)
            head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
            if self._served.latency_s and not target.startswith("/counts"):
                asyncio.get_running_loop().call_later(self._served.latency_s, self._send, head + body)
            else:
                self._send(head + body)
        self._rest = data

    def _send(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def serve(options: argparse.Namespace) -> None:
    """Serve until killed."""
    served = Served(Graph(options.accounts), latency_s=options.latency, capacity=options.capacity)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(served), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve with uvloop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--capacity", type=float, help="pages a second; refuses what comes faster")
    import uvloop  # noqa: PLC0415 - the graph alone needs none

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
