"""Consistent copies of a database, also while a crawl writes to it.

Invariant: a copy is checked before it gets its name: sound, and row for row as many as in the database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from storage import driver, errors
from storage.draft import drafted


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A copy. `bytes` is its size; `edges` counts follows that have not ended, `pages` those in the ledger."""

    path: Path
    bytes: int
    accounts: int
    edges: int
    pages: int


def copy(path: Path, target: Path) -> Copied:
    """Copy a database to a new file, readable by its owner only.

    The copy is of one moment, whatever is written meanwhile. Raises PlaceTaken and PlaceNotWritable, and a
    DatabaseError where the database cannot be read, is damaged, or the disk is full.
    """
    engine = driver.read_engine(path)
    try:
        with drafted(target) as draft, driver.translated(path):
            with engine.connect() as source, closing(sqlite3.connect(draft, isolation_level=None)) as sink:
                expected = _rows(source)  # the transaction begun here holds the moment that is copied
                opened = source.connection.driver_connection
                assert opened is not None  # noqa: S101 - an open connection has one
                opened.backup(sink)
                sink.execute("PRAGMA journal_mode = DELETE")  # one file, with no log beside it
            accounts, edges, pages = _verify(draft, expected)
            size = draft.stat().st_size
    finally:
        engine.dispose()
    return Copied(path=target, bytes=size, accounts=accounts, edges=edges, pages=pages)


def beside(path: Path, why: str, *, now: Callable[[], float]) -> Copied:
    """Copy a database beside itself before something is done to it, under a name that says why and when."""
    stem = f"{path.name}.{why}.{int(now())}"
    count = 0
    while True:
        name = f"{stem}.backup" if not count else f"{stem}-{count}.backup"
        try:
            return copy(path, path.with_name(name))
        except errors.PlaceTaken:
            count += 1
        except errors.PlaceNotWritable as error:
            raise errors.ReadOnly(f"no copy could be made: {error}") from error


def _rows(conn: sa.Connection) -> dict[str, int]:
    """Count the rows of every table."""
    names = conn.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {
        name: conn.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar_one()  # noqa: S608 - a table's own name
        for name in names.scalars().all()
    }


def _verify(draft: Path, expected: dict[str, int]) -> tuple[int, int, int]:
    """Check the copy and return its accounts, current follows and pages. Raises Corrupt."""
    engine = driver.read_engine(draft)
    try:
        with engine.connect() as conn:
            found = conn.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
            if found != "ok":
                raise errors.Corrupt(f"the database is damaged, so no copy was kept: {found}")
            if _rows(conn) != expected:
                raise errors.Corrupt("the copy is not what the database held, so it was not kept")
            edges = conn.exec_driver_sql("SELECT count(*) FROM follows WHERE ended_visit IS NULL").scalar_one()
            pages = conn.exec_driver_sql("SELECT count(*) FROM ledger WHERE outcome = 'settled'").scalar_one()
            return expected["accounts"], edges, pages
    finally:
        engine.dispose()
