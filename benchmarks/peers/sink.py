"""What Scrapy and crawlee write to: accounts, follows and a ledger in SQLite, a commit for each page.

As lean as it can be in plain sqlite3, and with `synchronous=NORMAL`, so that nobody is slowed down by it.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS accounts (id INTEGER PRIMARY KEY, handle TEXT UNIQUE, platform_user_id TEXT, name TEXT,
    bio TEXT, avatar_url TEXT, region TEXT, followers INT, following INT, posts INT);
CREATE TABLE IF NOT EXISTS follows (src INT, dst INT, PRIMARY KEY (src, dst)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger (account_id INT, cursor TEXT, request_id TEXT, charged INT,
    PRIMARY KEY (account_id, cursor)) WITHOUT ROWID;
"""
_ACCOUNT = "INSERT INTO accounts VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (handle) DO NOTHING"
_ID = "SELECT id FROM accounts WHERE handle = ?"


class Sink:
    """One database."""

    def __init__(self, file: Path) -> None:
        self._conn = sqlite3.connect(file, isolation_level=None)
        self._conn.execute("PRAGMA journal_mode = WAL")
        self._conn.execute("PRAGMA synchronous = NORMAL")
        self._conn.executescript(_TABLES)
        self.pages = self.edges = 0

    def store(self, handle: str, cursor: str | None, answer: Any) -> None:
        """Store a page."""
        execute = self._conn.execute
        listed, meta = answer["data"]["accounts"], answer["meta"]
        execute("BEGIN IMMEDIATE")
        self._conn.executemany(_ACCOUNT, [_row(account) for account in listed])
        execute("INSERT INTO accounts (handle) VALUES (?) ON CONFLICT (handle) DO NOTHING", (handle,))
        source = execute(_ID, (handle,)).fetchone()[0]
        marks = ", ".join("?" * len(listed))
        names = [account["handle"] for account in listed]
        targets = execute(f"SELECT id FROM accounts WHERE handle IN ({marks})", names).fetchall()
        self._conn.executemany("INSERT OR IGNORE INTO follows VALUES (?, ?)", [(source, row[0]) for row in targets])
        row = (source, cursor or "", meta["requestId"], meta["creditsCharged"])
        execute("INSERT OR IGNORE INTO ledger VALUES (?, ?, ?, ?)", row)
        execute("COMMIT")
        self.pages += 1
        self.edges += len(listed)


def _row(account: Any) -> tuple[Any, ...]:
    metrics = account["metrics"]
    return (
        account["handle"], account["platformUserId"], account["displayName"], account["bio"], account["avatarUrl"],
        account["region"], metrics["followers"], metrics["following"], metrics["posts"],
    )  # fmt: skip
