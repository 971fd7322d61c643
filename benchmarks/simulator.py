"""How fast the simulated API starts and serves, and what it needs.

    python benchmarks/simulator.py [--graph EDGES | --accounts N] [--seconds S] [--connections C] [--uvloop]

The server runs in a process of its own; its CPU time and memory are read from /proc, so a slow client does not
flatter or harm it. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import subprocess
import sys
import time
from pathlib import Path

from meters import cpu_s

sys.path.insert(0, str(Path(__file__).parents[1]))


def main() -> None:
    """Run one side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", type=Path)
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--serve", action="store_true", help="internal: be the server")
    options = parser.parse_args()
    if options.serve:
        with asyncio.Runner(loop_factory=_loop_factory(options)) as runner:
            runner.run(_serve(options))
    else:
        asyncio.run(_measure(options))


def _loop_factory(options: argparse.Namespace) -> object:
    if options.uvloop:
        import uvloop  # noqa: PLC0415 - measured with and without

        return uvloop.new_event_loop
    return None


async def _serve(options: argparse.Namespace) -> None:
    from socialfetch.simulator.faults import Faults  # noqa: PLC0415 - only the server's start is measured
    from socialfetch.simulator.network import generate, load_edge_list  # noqa: PLC0415 - of its process only
    from socialfetch.simulator.server import serve  # noqa: PLC0415 - of its process only
    from socialfetch.simulator.service import Service  # noqa: PLC0415 - of its process only
    from socialfetch.simulator.settings import Settings  # noqa: PLC0415 - of its process only

    network = load_edge_list(options.graph, rng_seed=1) if options.graph else generate(options.accounts, rng_seed=1)
    service = Service(network=network, settings=Settings(credits=10**9), faults=Faults(), now=time.time)
    async with serve(service) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


async def _measure(options: argparse.Namespace) -> None:
    arguments = [sys.executable, __file__, "--serve", *sys.argv[1:]]
    started = time.perf_counter()
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as server:  # noqa: ASYNC220 - nothing else runs
        try:
            assert server.stdout
            host, port = server.stdout.readline().strip().removeprefix("http://").split(":")
            print(f"ready after      {time.perf_counter() - started:8.2f} s")
            print(f"memory, ready    {_memory_mb(server.pid, 'VmRSS'):8.0f} MB")
            cpu = cpu_s(server.pid)
            began = time.perf_counter()
            deadline = began + options.seconds
            lists = [range(1 + n, options.accounts, options.connections) for n in range(options.connections)]
            counts = await asyncio.gather(*(_crawl(host, int(port), accounts, deadline) for accounts in lists))
            pages, size = (sum(column) for column in zip(*counts, strict=True))
            took = time.perf_counter() - began
            used = cpu_s(server.pid) - cpu
            print(f"pages            {pages:8,} of {size / pages:,.0f} bytes on average")
            print(f"pages a second   {pages / took:8,.0f} with this client")
            print(f"server CPU       {1000 * used / pages:8.3f} ms a page: {pages / used:,.0f} pages a second a core")
            print(f"memory, peak     {_memory_mb(server.pid, 'VmHWM'):8.0f} MB")
        finally:
            server.terminate()


async def _crawl(host: str, port: int, accounts: range, deadline: float) -> tuple[int, int]:
    """Ask for list after list on one connection, page by page; return pages and bytes of body."""
    reader, writer = await asyncio.open_connection(host, port)
    pages = size = 0
    account = itertools.cycle(accounts)
    path = f"u{next(account)}/following"
    while time.perf_counter() < deadline:
        target = f"/v1/tiktok/profiles/{path}"
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nx-api-key: sfk_bench\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        pages, size = pages + 1, size + length
        _, more, rest = body.rpartition(b'"nextCursor":"')
        cursor = rest.partition(b'"')[0].decode()
        path = f"{path.partition('?')[0]}?cursor={cursor}" if more else f"u{next(account)}/following"
    writer.close()
    return pages, size


def _memory_mb(pid: int, row: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{row}:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
