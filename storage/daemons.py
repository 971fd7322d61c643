"""What a daemon says of itself: that it lives, what it does and what it waits for. One row, the newest daemon's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from storage.schema import daemon


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """The newest daemon. `state` is a word of `crawler.daemon`, `until_at` when it goes on by itself; Unix seconds.

    `total` and `per_day` are the credits its configuration allows, None without a limit.
    """

    host: str
    pid: int
    started_at: int
    heartbeat_at: int
    state: str
    detail: str
    until_at: int | None
    total: int | None
    per_day: int | None


def read(conn: sa.Connection) -> Daemon | None:
    """Return the newest daemon, None where there never was one."""
    row: Any = conn.execute(sa.select(*(daemon.c[name] for name in Daemon.__dataclass_fields__))).one_or_none()
    return None if row is None else Daemon(**row._mapping)


def write(conn: sa.Connection, found: Daemon) -> None:
    """Take the place of what was said before."""
    if conn.execute(sa.update(daemon).values(asdict(found))).rowcount == 0:
        conn.execute(sa.insert(daemon).values(id=1, **asdict(found)))
