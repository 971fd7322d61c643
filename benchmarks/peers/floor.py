"""Next to nothing that is durable: the bare loop, and the rows of its pages written to followgraph's own tables.

    python benchmarks/peers/floor.py URL SEED PAGES CONCURRENCY FOLDER

The same driver, indexes, log and `synchronous=FULL`; a page is waited for until it is committed, and pages that wait
together are committed together. Nothing else: no row is changed or read again, the queue and who is known are kept in
memory, there is no budget, no strategy, no archive, and no way to go on after a kill.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import bare
import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from crawler.purchase import facts
from socialfetch.wire import Account
from storage.accounts import Facts
from storage.database import Database
from storage.driver import LOG_BYTES, write_engine

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

    def __init__(self, file: Path, seed: str) -> None:
        Database.open(file, now=time.time).close()
        self._held = write_engine(file, create=False, log_bytes=LOG_BYTES).raw_connection()
        self._conn: Any = self._held.driver_connection
        self._known = {seed: 1}
        self._visits = 0
        self._waiting: SimpleQueue[tuple[Rows, asyncio.Future[None]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def keep(self, handle: str, listed: Sequence[Account]) -> asyncio.Future[None]:
        """Queue a page of this account's list; the future is done after its commit."""
        self._visits += 1
        lister = self._known[handle]
        accounts, entries, follows = [], [], []
        for account in listed:
            dst = self._known.get(account.handle)
            if dst is None:
                dst = self._known[account.handle] = len(self._known) + 1
                accounts.append((dst, *facts(account), 0, NOW, NOW))
                entries.append((dst, -float(dst)))
            follows.append((lister, dst, self._visits))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put(((accounts, entries, follows, (self._visits, lister, NOW), (lister, NOW)), future))
        return future

    def close(self) -> None:
        """Write what waits."""
        self._waiting.put(None)
        self._thread.join()
        self._held.close()

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


def main() -> None:
    """Run."""
    url, seed, pages, concurrency, folder = sys.argv[1:]
    store = Store(Path(folder) / "followgraph.db", seed)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bare.crawl(url, seed, int(pages), int(concurrency), bare.by_msgspec(), keep=store.keep))
    store.close()


if __name__ == "__main__":
    main()
