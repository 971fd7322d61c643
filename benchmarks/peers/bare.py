"""The upper bound: an aiohttp loop that stores nothing and can not go on after a kill.

    python benchmarks/peers/bare.py URL SEED PAGES CONCURRENCY orjson|msgspec

`orjson` reads plain dicts on asyncio's own loop; `msgspec` reads typed structs on uvloop, like followgraph.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from measured import Stretch, report

sys.path.insert(0, str(Path(__file__).parents[2]))


Read = Callable[[bytes], tuple[list[str], str | None, Any]]
"""Returns a page's handles, its next cursor and its accounts."""


def by_orjson() -> Read:
    """Return what reads a page into plain dicts."""
    import orjson  # noqa: PLC0415 - of its process only

    def read(body: bytes) -> tuple[list[str], str | None, Any]:
        data = orjson.loads(body)["data"]
        accounts = data["accounts"]
        return [account["handle"] for account in accounts], data["page"]["nextCursor"], accounts

    return read


def by_msgspec() -> Read:
    """Return what reads a page into typed structs."""
    import msgspec  # noqa: PLC0415 - of its process only

    from socialfetch.wire import FollowingPage  # noqa: PLC0415 - of its process only

    decode = msgspec.json.Decoder(FollowingPage).decode

    def read(body: bytes) -> tuple[list[str], str | None, Any]:
        data = decode(body).data
        # Where a list goes on its cursor is text.
        return [account.handle for account in data.accounts], data.page.next_cursor, data.accounts  # type: ignore[return-value]  # as said

    return read


async def crawl(
    url: str,
    seed: str,
    pages: int,
    concurrency: int,
    read: Read,
    *,
    keep: Callable[[str, Any], Awaitable[None]] | None = None,
) -> None:
    """Read breadth first, list by list. `keep` is given whose list it was and each page's accounts."""
    waiting: deque[tuple[str, str | None]] = deque([(seed, None)])
    seen = {seed}
    asked = edges = 0
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector, headers={"x-api-key": "sfk_bench"}) as session:

        async def work() -> None:
            nonlocal asked, edges
            while asked < pages:
                if not waiting:
                    await asyncio.sleep(0.001)
                    continue
                handle, cursor = waiting.popleft()
                asked += 1
                query = "" if cursor is None else f"?cursor={cursor}"
                async with session.get(f"{url}/v1/tiktok/profiles/{handle}/following{query}") as answer:
                    handles, following, accounts = read(await answer.read())
                edges += len(handles)
                if following is not None:
                    waiting.appendleft((handle, following))
                for each in handles:
                    if each not in seen:
                        seen.add(each)
                        waiting.append((each, None))
                if keep is not None:
                    await keep(handle, accounts)

        stretch = Stretch()
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
        stretch.end()
    report(stretch, pages=asked, edges=edges)


def main() -> None:
    """Run one variant."""
    url, seed, pages, concurrency, variant = sys.argv[1:]
    if variant == "msgspec":
        import uvloop  # noqa: PLC0415 - of its process only

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(crawl(url, seed, int(pages), int(concurrency), by_msgspec()))
    else:
        asyncio.run(crawl(url, seed, int(pages), int(concurrency), by_orjson()))


if __name__ == "__main__":
    main()
