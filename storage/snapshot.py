"""A snapshot: what a database held and how it came about at one moment, as checksums that can be checked again.

It holds no list and no account but the seeds. Rows are only added to the ledger, so its beginning can be compared with
what it was, however far a crawl has gone on; of all else the row sums say which accounts' rows are not what they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from storage import frozen
from storage.schema import accounts, follows, frontier, ledger, past_follows, receipts, runs, visits

FILE = "snapshot.json"

_BOOKS = (ledger.c.id, ledger.c.run_id, ledger.c.at, ledger.c.outcome, ledger.c.charged, ledger.c.uncertain)
"""What of a purchase stays whoever is forgotten."""

_ORDER = (ledger.c.id, ledger.c.visit_id, ledger.c.account_id, ledger.c.cursor)
"""Which page of whose list was bought when."""

_TABLES = (accounts, follows, past_follows, visits)


def take(conn: sa.Connection) -> tuple[dict[str, Any], bytes]:
    """Return what a snapshot says of a database, as JSON, and its row sums. Raises ValueError for ids not counted."""
    taken = _told(conn)
    last_account, last_call, columns = frozen.last_account(conn), taken["purchases"]["last"], frozen.columns()
    found = frozen.sums(conn, last_account=last_account, last_call=last_call, of=columns)
    return {**taken, "rows": {"last_account": last_account, "columns": columns}}, frozen.written(found)


def _told(conn: sa.Connection) -> dict[str, Any]:
    last = int(conn.execute(sa.select(sa.func.coalesce(sa.func.max(ledger.c.id), 0))).scalar_one())
    return {
        "purchases": {"last": last, **_purchases(conn, last)},
        "tables": {table.name: _digest(conn, sa.select(table).order_by(*table.primary_key)) for table in _TABLES},
        "receipts": conn.execute(sa.select(sa.func.count()).select_from(receipts)).scalar_one(),
        "seeds": list(
            conn.execute(
                sa.select(accounts.c.handle)
                .join(frontier, frontier.c.account_id == accounts.c.id)
                .where(frontier.c.depth == 0, accounts.c.handle.is_not(None))
                .order_by(accounts.c.handle)
            ).scalars()
        ),
        "runs": [
            {name: row._mapping[name] for name in ("id", "started_at", "strategy", "rng_seed", "settings", "budget")}
            for row in conn.execute(sa.select(runs).order_by(runs.c.id))
        ],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A database against a snapshot. `calls_since` were made after it, `receipts_since` count erasures and purges.

    `unexplained` is what `frozen.unexplained` returns; None for a snapshot of before there were row sums.
    """

    books: bool
    order: bool
    tables: Mapping[str, bool]
    calls_since: int
    receipts_since: int
    unexplained: Mapping[str, list[int]] | None = None

    @property
    def is_same(self) -> bool:
        """Whether everything is as it was."""
        return self.books and self.order and all(self.tables.values()) and not self.calls_since

    @property
    def is_explained(self) -> bool:
        """Whether what differs comes from later calls and from erasures that left receipts, as far as rows can tell."""
        if self.unexplained is None:  # nobody can tell which rows differ
            is_explained = all(self.tables.values()) or self.calls_since > 0 or self.receipts_since > 0
        else:
            is_explained = not any(self.unexplained.values())
        return self.books and (self.order or self.receipts_since > 0) and is_explained


def compare(conn: sa.Connection, taken: Mapping[str, Any], sums: bytes | None) -> Compared:
    """Compare a database with what `take` returned once. Raises KeyError, TypeError or the like for what it never did.

    `sums` is None for a snapshot of before there were row sums.
    """
    now = _told(conn)
    then = taken["purchases"]
    last, receipts_before = int(then["last"]), int(taken["receipts"])
    prefix = _purchases(conn, last)
    return Compared(
        books=prefix["books"] == then["books"],
        order=prefix["order"] == then["order"],
        tables={name: now["tables"][name] == digest for name, digest in taken["tables"].items()},
        calls_since=now["purchases"]["last"] - last,
        receipts_since=now["receipts"] - receipts_before,
        unexplained=None if sums is None else _unexplained(conn, taken["rows"], sums, last, receipts_before),
    )


def _unexplained(
    conn: sa.Connection, rows: Mapping[str, Any], sums: bytes, last_call: int, receipts_before: int
) -> dict[str, list[int]]:
    last_account = int(rows["last_account"])
    then = frozen.read(sums, last_account=last_account)
    now = frozen.sums(conn, last_account=last_account, last_call=last_call, of=rows["columns"])
    return frozen.unexplained(conn, then, now, last_call=last_call, receipts_before=receipts_before)


def _purchases(conn: sa.Connection, last: int) -> dict[str, str]:
    return {
        name: _digest(conn, sa.select(*columns).where(ledger.c.id <= last).order_by(ledger.c.id))
        for name, columns in (("books", _BOOKS), ("order", _ORDER))
    }


def _digest(conn: sa.Connection, query: sa.Select[Any]) -> str:
    """Return the SHA-256 of rows, each as Python writes a tuple of its values, one a line."""
    digest = sha256()
    rows: Iterable[Any] = conn.execute(query)
    for row in rows:
        digest.update(f"{tuple(row)!r}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
