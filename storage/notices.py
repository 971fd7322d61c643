"""Notices to somebody outside: each is written before it is sent, told about once, and kept until it is settled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storage.schema import notices
from storage.statement import Insert


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is to be told. `attempts` counts those that failed; `at` in Unix seconds."""

    id: int
    at: int
    event: str
    subject: str
    details: dict[str, Any]
    attempts: int


def keep(conn: sa.Connection, *, event: str, subject: str, details: dict[str, Any], now: float) -> bool:
    """Write a notice to be sent; False where the same was written before."""
    return _KEEP.run(conn, [(int(now), event, subject, json.dumps(details, sort_keys=True))]) > 0


_KEEP = Insert(notices, ("at", "event", "subject", "details"), ignore=True)


def pending(conn: sa.Connection) -> list[Notice]:
    """Return what is still to be sent, oldest first."""
    rows: Any = conn.execute(sa.select(notices).where(notices.c.settled_at.is_(None)).order_by(notices.c.id))
    return [
        Notice(
            id=row.id,
            at=row.at,
            event=row.event,
            subject=row.subject,
            details=json.loads(row.details),
            attempts=row.attempts,
        )
        for row in rows
    ]


def failed(conn: sa.Connection, notice_id: int) -> None:
    """Count an attempt that failed."""
    conn.execute(sa.update(notices).where(notices.c.id == notice_id).values(attempts=notices.c.attempts + 1))


def settle(conn: sa.Connection, notice_id: int, outcome: str, *, now: float) -> None:
    """Send it no more: `outcome` is `delivered`, or why it was given up."""
    conn.execute(sa.update(notices).where(notices.c.id == notice_id).values(settled_at=int(now), outcome=outcome))
