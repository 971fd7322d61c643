"""A purge: what a study's policy says is due to go goes, from the database and the copies beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from crawler.forgetting import SCOUR, in_copies, scour, scrub
from socialfetch.errors import Malformed
from socialfetch.scrubbing import scrubbed
from storage import holders, optout, retention, runs
from storage.database import Database
from storage.holders import Holder
from storage.retention import PURGED, Rules

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What went, as counts by what it was; empty where nothing was due. `receipt` is None then."""

    counts: Mapping[str, int] = field(default_factory=dict)
    receipt: str | None = None
    copies: tuple[str, ...] = ()
    """Copies beside the database that were purged too."""
    copies_left: tuple[str, ...] = ()
    """Copies of an older schema, or damaged."""
    is_scoured: bool = True
    holders: tuple[Holder, ...] = ()
    """Exports, reports and copies made before this purge or an earlier one, that may hold what went."""

    @property
    def held(self) -> int:
        """How many of them are there still."""
        return sum(holder.state != "gone" for holder in self.holders)


def purge(database: Database, rules: Rules, *, now: Callable[[], float]) -> Purged:
    """Delete what is due. For commands and for a daemon that has nothing in flight; the caller holds the lock.

    Raises a DatabaseError; nothing was changed then. What is deleted leaves no trace in a file only: NeedsFile.
    """
    database.require_file()
    counts, receipt = database.transact(partial(_purge, rules=rules, now=now()))
    is_scoured = scour(database)
    copies = in_copies(database, lambda conn: bool(_purge(conn, rules=rules, now=now())[0]), now=now)
    spans = database.transact(holders.of_purges)
    return Purged(
        counts=counts,
        receipt=receipt,
        copies=tuple(copies.changed),
        copies_left=tuple(copies.left),
        is_scoured=is_scoured,
        holders=tuple(holders.find(database.path, spans, clean=copies.clean)),
    )


def _purge(conn: Connection, *, rules: Rules, now: float) -> tuple[dict[str, int], str | None]:
    conn.exec_driver_sql("PRAGMA secure_delete = ON")
    counts = retention.purge(
        conn,
        rules,
        scrub=scrub,
        strip=partial(_stripped, left_out=rules.left_out),
        now=now,
    )
    if not counts:
        return {}, None
    runs.keep(conn, SCOUR, "yes")
    return counts, optout.receipt(conn, act=PURGED, details=counts, now=now)


def _stripped(body: bytes, *, left_out: Collection[str]) -> bytes:
    try:
        return scrubbed(body, left_out=left_out)[0]
    except Malformed:
        return b""
