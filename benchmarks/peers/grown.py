"""A database of a given size, and what a page or a claim costs in it.

    python benchmarks/peers/grown.py edges|queued SIZE FOLDER ROUNDS

`edges`: a crawl that has read so many follows; pages are bought without network, 20 to a transaction, by `bfs` without
archive and by `flow` with it. `queued`: a frontier with so many entries; claims, returns and new rankings. Prints CPU
times.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from api import SCATTER, Graph

from crawler import policy
from crawler.purchase import Purchases, facts, listing
from crawler.strategies import registry
from crawler.strategy import Tuning
from socialfetch.client import read_page
from socialfetch.wire import Account
from storage import runs
from storage.accounts import Facts, facts_hash
from storage.archive import Archive
from storage.database import Database
from storage.frontier import Lease, Returned
from storage.listing import Rules
from storage.picking import Taking

NOW = 1_800_000_000
BATCH = 20
PAGES = 400
_ACCOUNT = f"INSERT INTO accounts VALUES ({', '.join('?' * (1 + len(Facts._fields) + 3))})"
_ENTRY = "INSERT INTO frontier (account_id, state, priority, depth, cash, completeness) VALUES (?, ?, ?, ?, ?, ?)"


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU time of this thread that some work takes."""
    begin = time.thread_time()
    work()
    return time.thread_time() - begin


def made(file: Path) -> sqlite3.Connection:
    """Make an empty database and return a connection that fills it without care."""
    Database.open(file, now=time.time).close()
    conn = sqlite3.connect(file, isolation_level=None)
    for pragma in ("synchronous = OFF", "cache_size = -1000000", "wal_autocheckpoint = 100000"):
        conn.execute(f"PRAGMA {pragma}")
    conn.execute("BEGIN")
    return conn


def fill_edges(conn: sqlite3.Connection, graph: Graph, accounts: int, edges: int) -> int:
    """Store the accounts that are followed most, the lists of some of them, and the others as queued."""
    decode = msgspec.json.Decoder(Account).decode
    rng = random.Random(1)

    def account_rows() -> Iterable[tuple[Any, ...]]:
        for number in range(accounts):
            known = facts(decode(graph.account(number)))
            yield (number + 1, *known, facts_hash(known), NOW, NOW)

    conn.executemany(_ACCOUNT, account_rows())
    read: set[int] = set()
    stored = 0
    for number in np.random.default_rng(1).permutation(accounts).tolist():
        if stored >= edges:
            break
        targets = listed(number, graph, accounts)
        read.add(number)
        conn.executemany(
            "INSERT INTO follows (src, dst, first_visit) VALUES (?, ?, ?)",
            [(number + 1, dst, len(read)) for dst in targets],
        )
        stored += len(targets)
    conn.executemany(
        _ENTRY,
        (
            (number + 1, 2, 0.0, 2, 0.0, "complete")
            if number in read
            else (number + 1, 0, rng.random(), 2, rng.random(), None)
            for number in range(accounts)
        ),
    )
    return stored


def listed(number: int, graph: Graph, accounts: int) -> list[int]:
    """Return the ids of a whole list that are stored, ascending; what `Graph.page` lists, at once."""
    length = graph.length(number)
    place = np.arange(length, dtype=np.int64)
    lot = ((number * 1_000_003 + place * 7_368_787) * SCATTER & 0xFFFFFFFF) / 2**32
    stride = 7 if length % 7 else 11
    targets = (graph.accounts * ((place * stride % length + lot) / length) ** 2).astype(np.int64)
    return [int(target) + 1 for target in np.unique(targets) if target < accounts]


def purchases(db: Database, name: str) -> Purchases:
    """Return the units of work of a run."""
    ordering = registry.build(name, Tuning(lot_seed=1))
    started = db.transact(
        partial(
            runs.start, budget=10**9, new_run=True, strategy=name, rng_seed=1, fresh_rng_seed=1, settings={},
            host="bench", pid=1, now=NOW,
        )
    )  # fmt: skip
    rules = Rules(
        ordering=ordering,
        judge=partial(policy.judge, max_pages=None),
        max_depth=None,
        archive=Archive(None) if name == "flow" else None,
        may_go_on=lambda _: True,
    )
    return Purchases(started=started, rules=rules, taking=Taking(ordering=ordering), active_s=lambda: 1.0)


def buy(db: Database, units: Purchases, graph: Graph, held: list[Lease], pages: int) -> float:
    """Buy pages, `BATCH` to a transaction; return CPU ms a page, of leases, reading and storing."""
    took = 0.0
    for number in range(0, pages, BATCH):
        now = NOW + number / 1000
        begin = time.thread_time()
        if len(held) < BATCH:
            asked = [now] * (BATCH - len(held))
            held += [lease for lease in db.transact(lambda conn, t=asked: units.lease(conn, t)) if lease is not None]
        took += time.thread_time() - begin
        bodies = [graph.page(graph.number(lease.handle) or 0, int(lease.cursor or 0), lease.visit_id) for lease in held]
        begin = time.thread_time()
        items = [(listing(lease, read_page(body)), now) for lease, body in zip(held, bodies, strict=True)]
        held[:] = [each.next for each in db.transact(lambda conn, i=items: units.commit(conn, i)) if each.next]
        took += time.thread_time() - begin
    return 1000 * took / pages


def of_edges(size: int, folder: Path, rounds: int) -> dict[str, Any]:
    """Measure pages."""
    accounts = max(1000, min(10**6, size // 10))
    graph = Graph(int(accounts / 0.7))
    file = folder / "grown.db"
    conn = made(file)
    stored = fill_edges(conn, graph, accounts, size)
    conn.execute("COMMIT")
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file_bytes = file.stat().st_size
    follow_bytes = table_bytes(conn)
    conn.close()
    db = Database.open(file, now=time.time)
    costs: dict[str, list[float]] = {"bfs": [], "flow": []}
    at_work = {name: (purchases(db, name), list[Lease]()) for name in costs}
    for units, held in at_work.values():  # warm the cache
        buy(db, units, graph, held, PAGES)
    for _ in range(rounds):
        for name, (units, held) in at_work.items():
            costs[name].append(buy(db, units, graph, held, PAGES))
    db.close()
    return {
        "size": stored, "accounts": accounts, **costs, "follow_bytes": follow_bytes / stored,
        "file_bytes": file_bytes, "file": str(file),
    }  # fmt: skip


def table_bytes(conn: sqlite3.Connection) -> int:
    """Return the room that the follows take."""
    try:
        found = conn.execute("SELECT sum(pgsize) FROM dbstat WHERE name = 'follows'").fetchone()[0]
    except sqlite3.OperationalError:  # SQLite was built without it: a copy of the table alone shows it too
        copy = sqlite3.connect("")
        copy.execute(conn.execute("SELECT sql FROM sqlite_master WHERE name = 'follows'").fetchone()[0])
        rows = conn.execute("SELECT * FROM follows ORDER BY src, dst")
        copy.executemany("INSERT INTO follows VALUES (?, ?, ?, ?, ?)", rows)
        copy.commit()
        found = copy.execute("PRAGMA page_count").fetchone()[0] * copy.execute("PRAGMA page_size").fetchone()[0]
        copy.close()
    return int(found)


def of_queue(size: int, folder: Path, rounds: int) -> dict[str, Any]:
    """Measure the frontier."""
    file = folder / "followgraph.db"
    conn = made(file)
    rng = random.Random(1)
    conn.executemany(
        "INSERT INTO accounts (id, handle, followers, following, first_seen_at, updated_at) VALUES (?, ?, 9, 60, ?, ?)",
        ((number, f"u{number:08x}", NOW, NOW) for number in range(1, size + 1)),
    )
    [(index,)] = conn.execute("SELECT sql FROM sqlite_master WHERE name = 'frontier_pick'").fetchall()
    conn.execute("DROP INDEX frontier_pick")
    conn.executemany(_ENTRY, ((number, 0, rng.random(), 1, 0.0, None) for number in range(1, size + 1)))
    conn.execute(index)
    conn.execute("COMMIT")
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    conn.close()
    db = Database.open(file, now=time.time)
    units = purchases(db, "bfs")
    rounds_of = [one_round(db, units, rng, size) for _ in range(rounds + 1)][1:]  # the first warms the cache
    db.close()
    return {"size": size, "file": str(file)} | {name: [each[name] for each in rounds_of] for name in rounds_of[0]}


TIMES = 200


def one_round(db: Database, units: Purchases, rng: random.Random, size: int) -> dict[str, float]:
    """Return CPU microseconds for each entry."""
    held: list[Lease] = []

    def claim(count: int) -> None:
        held.extend(each for each in db.transact(lambda conn: units.lease(conn, [NOW] * count)) if each)

    one = cpu_s(lambda: [claim(1) for _ in range(TIMES)]) / TIMES
    fifty = cpu_s(lambda: [claim(50) for _ in range(TIMES // 50)]) / TIMES
    back = cpu_s(lambda: [give_back(db, units, held[at : at + BATCH]) for at in range(0, len(held), BATCH)]) / len(held)
    places = [(rng.random(), rng.randint(1, size)) for _ in range(TIMES)]
    ranked = cpu_s(lambda: [rank(db, places[at : at + 50]) for at in range(0, TIMES, 50)]) / TIMES
    return {"claim": 1e6 * one, "claim_50": 1e6 * fifty, "give_back": 1e6 * back, "rank": 1e6 * ranked}


def give_back(db: Database, units: Purchases, held: list[Lease]) -> None:
    """Return leases, so that the next round finds the same queue."""
    items = [(Returned(lease=lease, was_called=False, counts_as_attempt=False), float(NOW)) for lease in held]
    db.transact(lambda conn: units.give_back(conn, items))


def rank(db: Database, places: list[tuple[float, int]]) -> None:
    """Give queued entries another place."""
    ranking = "UPDATE frontier SET priority = ? WHERE account_id = ?"
    db.transact(lambda conn: conn.connection.cursor().executemany(ranking, places))


def main() -> None:
    """Measure one size."""
    kind, size, folder, rounds = sys.argv[1:]
    measure = of_edges if kind == "edges" else of_queue
    print(json.dumps(measure(int(size), Path(folder), int(rounds))))


if __name__ == "__main__":
    main()
