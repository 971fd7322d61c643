"""Next to nothing that is durable: the bare loop, and the rows of its pages written to followgraph's own tables.

    python benchmarks/peers/floor.py URL SEED PAGES CONCURRENCY FOLDER

The same driver, indexes, log and `synchronous=FULL`; a page is waited for until it is committed, and pages that wait
together are committed together. Nothing else: no row is changed or read again, the queue and who is known are kept in
memory, there is no budget, no strategy, no archive, and no way to go on after a kill.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
import time
from collections import deque
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import aiohttp
import msgspec
import uvloop
from measured import Stretch, report

sys.path.insert(0, str(Path(__file__).parents[2]))

from crawler.purchase import facts
from socialfetch.wire import FollowingPage
from storage.accounts import Facts
from storage.database import Database
from storage.driver import CACHE_KB, LOG_BYTES

NOW = 1_800_000_000
Rows = tuple[list[Any], list[Any], list[Any], tuple[Any, ...], tuple[Any, ...]]
STATEMENTS = (
    f"INSERT INTO accounts VALUES ({', '.join('?' * (len(Facts._fields) + 4))})",
    "INSERT INTO frontier (account_id, state, priority, depth, cash) VALUES (?, 0, ?, 1, 0)",
    "INSERT OR IGNORE INTO follows (src, dst, first_visit) VALUES (?, ?, ?)",
    "INSERT INTO visits (id, account_id, run_id, started_at, completeness) VALUES (?, ?, 1, ?, 'complete')",
    "INSERT INTO ledger (run_id, account_id, cursor, at, outcome, charged, uncertain)"
    " VALUES (1, ?, '', ?, 'settled', 1, 0)",
)


class Store:
    """Writes pages on a thread of its own."""

    def __init__(self, file: Path) -> None:
        Database.open(file, now=time.time).close()
        self._conn = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        for pragma in ("synchronous = FULL", f"cache_size = -{CACHE_KB}", f"wal_autocheckpoint = {LOG_BYTES // 4120}"):
            self._conn.execute(f"PRAGMA {pragma}")
        self._waiting: SimpleQueue[tuple[Rows, asyncio.Future[None]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def put(self, rows: Rows) -> asyncio.Future[None]:
        """Queue a page; the future is done after its commit."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put((rows, future))
        return future

    def close(self) -> None:
        """Write what waits."""
        self._waiting.put(None)
        self._thread.join()
        self._conn.close()

    def _write(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while not self._waiting.empty() and (more := self._waiting.get()) is not None:
                batch.append(more)
            accounts, entries, follows, visits, calls = zip(*(rows for rows, _ in batch), strict=True)
            self._conn.execute("BEGIN IMMEDIATE")
            for statement, lists in zip(STATEMENTS, (accounts, entries, follows), strict=False):
                self._conn.executemany(statement, [row for each in lists for row in each])
            self._conn.executemany(STATEMENTS[3], visits)
            self._conn.executemany(STATEMENTS[4], calls)
            self._conn.execute("COMMIT")
            batch[0][1].get_loop().call_soon_threadsafe(_deliver, [future for _, future in batch])


def _deliver(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)


async def crawl(url: str, seed: str, pages: int, concurrency: int, store: Store) -> None:
    """Read breadth first, list by list."""
    decode = msgspec.json.Decoder(FollowingPage).decode
    waiting: deque[tuple[str, str | int | None]] = deque([(seed, None)])
    known = {seed: 1}
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
                visit, lister = asked, known[handle]
                query = "" if cursor is None else f"?cursor={cursor}"
                async with session.get(f"{url}/v1/tiktok/profiles/{handle}/following{query}") as answer:
                    data = decode(await answer.read()).data
                edges += len(data.accounts)
                accounts, entries, follows = [], [], []
                for account in data.accounts:
                    dst = known.get(account.handle)
                    if dst is None:
                        dst = known[account.handle] = len(known) + 1
                        accounts.append((dst, *facts(account), 0, NOW, NOW))
                        entries.append((dst, -float(dst)))
                        waiting.append((account.handle, None))
                    follows.append((lister, dst, visit))
                if data.page.next_cursor is not None:
                    waiting.appendleft((handle, data.page.next_cursor))
                await store.put((accounts, entries, follows, (visit, lister, NOW), (lister, NOW)))

        stretch = Stretch()
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
        store.close()
        stretch.end()
    report(stretch, pages=asked, edges=edges)


def main() -> None:
    """Run."""
    url, seed, pages, concurrency, folder = sys.argv[1:]
    store = Store(Path(folder) / "followgraph.db")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(crawl(url, seed, int(pages), int(concurrency), store))


if __name__ == "__main__":
    main()
