"""A purge: what a study's policy says is due to go goes, from the database and the copies beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from crawler.forgetting import SCOUR, scour, scrub
from socialfetch.errors import Malformed
from socialfetch.scrubbing import scrubbed
from storage import errors, holders, optout, retention, runs
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


def purge(database: Database, rules: Rules, *, now: Callable[[], float]) -> Purged:
    """Delete what is due. For commands and for a daemon that has nothing in flight; the caller holds the lock.

    Raises a DatabaseError; nothing was changed then. What is deleted leaves no trace in a file only: NeedsFile.
    """
    database.require_file()
    counts, receipt = database.transact(partial(_purge, rules=rules, now=now()))
    is_scoured = scour(database)
    copies, clean, left = [], set(), []
    for path in sorted(database.path.parent.glob(f"{database.path.name}.*.backup")):
        try:
            Database.open(path, now=now, mode="read").close()  # an older schema is left alone
            copy = Database.open(path, now=now, mode="write")
        except errors.DatabaseError:
            left.append(str(path))
            continue
        try:
            copy.claim()
            if copy.transact(partial(_purge, rules=rules, now=now()))[0]:
                copies.append(str(path))
            if scour(copy):
                clean.add(str(path.resolve()))
        finally:
            copy.close()
            path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    spans = database.transact(holders.of_purges)
    return Purged(
        counts=counts,
        receipt=receipt,
        copies=tuple(copies),
        copies_left=tuple(left),
        is_scoured=is_scoured,
        holders=tuple(holders.find(database.path, spans, clean=clean)),
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
