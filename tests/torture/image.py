"""What a database file holds at a moment when no process has it open: the image that the next start will find.

Read without a line of the storage package, from a copy of the file and its write-ahead log, so that looking changes
nothing: the next start recovers from exactly what the kill left.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

SETTLED = "settled"
RELEASED = "released"
UNCERTAIN = "uncertain"
PROCESS_DIED = "process_died"


class Row(NamedTuple):
    """One row of the ledger. `page` is `handle|cursor`, as the simulator names pages."""

    page: str
    outcome: str
    cause: str | None
    charged: int
    uncertain: int


class Bought(NamedTuple):
    """A stored page: whose list, whom its archived body lists, and whom the follows say that account follows."""

    source: str
    listed: frozenset[str]
    stored: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The ledger, the leases and the sums in a database file."""

    rows: Mapping[int, Row] = field(default_factory=dict)
    leased: Sequence[str] = ()
    """Pages in flight: each holds one reserved credit."""
    new: Mapping[int, Bought] = field(default_factory=dict)
    """The pages stored since the image before, by ledger row."""
    budget: int = 0
    charged: int = 0
    uncertain: int = 0
    reserved: int = 0
    stop_reason: str | None = None
    follows: int = 0
    visited_pages: int = 0
    archived: frozenset[int] = frozenset()
    is_sound: bool = True
    """`PRAGMA quick_check` has no finding."""

    def settled(self) -> Counter[str]:
        """Return how often each page was settled."""
        return Counter(row.page for row in self.rows.values() if row.outcome == SETTLED)

    def died(self) -> Counter[str]:
        """Return how often each page is listed as in flight when a process died."""
        return Counter(row.page for row in self.rows.values() if row.cause == PROCESS_DIED)

    def count(self, outcome: str) -> int:
        """Return how many rows have an outcome."""
        return sum(row.outcome == outcome for row in self.rows.values())


def read(database: Path, before: Image) -> Image:
    """Return the image of a database; an empty one where there are no tables yet."""
    with _copy(database) as conn:
        if conn is None or not conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'ledger'").fetchone():
            return Image()
        rows = {
            number: Row(f"{handle}|{cursor}", *more)
            for number, handle, cursor, *more in conn.execute(
                "SELECT l.id, a.handle, l.cursor, l.outcome, l.cause, l.charged, l.uncertain "
                "FROM ledger l LEFT JOIN accounts a ON a.id = l.account_id"
            )
        }
        sums = conn.execute("SELECT budget, charged, uncertain, reserved, stop_reason FROM runs ORDER BY id").fetchall()
        budget, charged, uncertain, reserved = (sum(column) for column in list(zip(*sums, strict=True))[:4] or [()] * 4)
        return Image(
            rows=rows,
            leased=[
                page
                for (page,) in conn.execute(
                    "SELECT a.handle || '|' || coalesce(f.cursor, '') FROM frontier f "
                    "JOIN accounts a ON a.id = f.account_id WHERE f.state = 1"
                )
            ],
            new=_bought(conn, after=max(before.rows, default=0)),
            budget=budget,
            charged=charged,
            uncertain=uncertain,
            reserved=reserved,
            stop_reason=sums[-1][4] if sums else None,
            follows=_one(conn, "SELECT count(*) FROM follows WHERE ended_visit IS NULL"),
            visited_pages=_one(conn, "SELECT coalesce(sum(pages), 0) FROM visits"),
            archived=frozenset(number for (number,) in conn.execute("SELECT ledger_id FROM archive")),
            is_sound=_one(conn, "PRAGMA quick_check(1)") == "ok",
        )


def graph(database: Path) -> tuple[dict[str, set[str]], set[str]]:
    """Return all stored follows by source, and the accounts whose last visit was complete."""
    with _copy(database) as conn:
        stored: dict[str, set[str]] = {}
        if conn is None:
            return stored, set()
        for source, target in conn.execute(
            "SELECT a.handle, b.handle FROM follows f JOIN accounts a ON a.id = f.src JOIN accounts b ON b.id = f.dst "
            "WHERE f.ended_visit IS NULL"
        ):
            stored.setdefault(source, set()).add(target)
        complete = "SELECT handle FROM frontier JOIN accounts ON id = account_id WHERE completeness = 'complete'"
        return stored, {handle for (handle,) in conn.execute(complete)}


def _bought(conn: sqlite3.Connection, *, after: int) -> dict[int, Bought]:
    """Return the pages settled after a ledger row."""
    found = {}
    for number, account, source, body, dictionary in conn.execute(
        "SELECT l.id, l.account_id, a.handle, r.body, d.content FROM ledger l JOIN accounts a ON a.id = l.account_id "
        "LEFT JOIN archive r ON r.ledger_id = l.id LEFT JOIN dictionaries d ON d.id = r.dictionary_id "
        "WHERE l.outcome = 'settled' AND l.id > ?",
        (after,),
    ):
        stored = conn.execute(
            "SELECT b.handle FROM follows f JOIN accounts b ON b.id = f.dst WHERE f.src = ? AND f.ended_visit IS NULL",
            (account,),
        )
        found[number] = Bought(source, _listed(body, dictionary), frozenset(handle for (handle,) in stored))
    return found


def _listed(body: bytes | None, dictionary: bytes | None) -> frozenset[str]:
    """Return whom an archived answer lists."""
    if body is None:
        return frozenset()
    trained = None if dictionary is None else zstandard.ZstdCompressionDict(dictionary)
    answer = json.loads(zstandard.ZstdDecompressor(dict_data=trained).decompress(body))
    return frozenset(account["handle"].lower() for account in answer["data"]["accounts"])


def _one(conn: sqlite3.Connection, sql: str) -> Any:
    return conn.execute(sql).fetchone()[0]


@contextmanager
def _copy(database: Path) -> Iterator[sqlite3.Connection | None]:
    """Open a copy of the file and of what lies beside it; None where there is no file."""
    if not database.exists():
        yield None
        return
    with tempfile.TemporaryDirectory(dir=database.parent) as folder:
        for ending in ("", "-wal", "-journal"):
            beside = Path(f"{database}{ending}")
            if beside.exists():
                shutil.copyfile(beside, Path(folder, f"copy{ending}"))
        with closing(sqlite3.connect(Path(folder, "copy"))) as conn:
            yield conn
