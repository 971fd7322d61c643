"""What a daemon says of itself: that it lives, what it does and what it waits for. One row, the newest daemon's.

A file has one by its lock. On a server the row is the place: who holds it and gives signs of life is the only daemon.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from storage.driver import clock
from storage.errors import AlreadyServed, DaemonsBudget
from storage.orders import SILENT_S
from storage.runs import ENDED, day_of, last
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
    row: Any = conn.execute(sa.select(*(daemon.c[name] for name in Daemon.__dataclass_fields__)).limit(1)).one_or_none()
    return None if row is None else Daemon(**row._mapping)


def alive(conn: sa.Connection, *, now: float) -> Daemon | None:
    """Return the daemon that gives signs of life, None without one. Who was killed seems to live for a minute more."""
    found = read(conn)
    if found is None or found.state == "stopped" or found.heartbeat_at < clock(conn, now) - SILENT_S:
        return None
    return found


def _beside(conn: sa.Connection, *, now: float) -> Daemon | None:
    """Return the daemon that others may work beside, on a server. Of a file its lock tells, and at once."""
    return None if conn.dialect.name == "sqlite" else alive(conn, now=now)


def refuse_another(conn: sa.Connection, *, now: float) -> None:
    """Raise AlreadyServed where a daemon on the server gives signs of life."""
    other = _beside(conn, now=now)
    if other is not None:
        raise AlreadyServed(other.host, other.pid)


def refuse_other_money(conn: sa.Connection, *, budget: int | None, new_run: bool, now: float) -> None:
    """Let a crawl beside a daemon spend what the daemon may, and nothing else: its days are exact, its total is one.

    Raises DaemonsBudget where the crawl brings a budget of its own, or the daemon has nothing for it just now.
    """
    found = _beside(conn, now=now)
    if found is None:
        return
    if budget is not None or new_run:
        raise DaemonsBudget(
            "a daemon spends on this database by the day, and a crawl beside it takes part in that",
            hint="Leave --budget (budget.total) and --new-run out; followgraph budget add N raises the daemon's total.",
        )
    run = last(conn)
    if run is None or day_of(run.settings) is None or run.stop_reason in ENDED:
        raise DaemonsBudget(
            f"the daemon has nothing to spend just now: {found.detail}",
            hint="Run this again when it goes on, or raise its budget: followgraph budget add N, or budget.per_day.",
        )


def take(conn: sa.Connection, found: Daemon) -> None:
    """Take the place of the one daemon. Raises AlreadyServed where another on the server gives signs of life."""
    other = read(conn)
    if other is not None and _who(other) != _who(found):
        refuse_another(conn, now=found.heartbeat_at)
    values = _values(conn, found)
    if conn.execute(sa.update(daemon).values(values)).rowcount == 0:
        conn.execute(sa.insert(daemon).values(id=1, **values))


def write(conn: sa.Connection, found: Daemon) -> None:
    """Take the place of what was said before. Raises AlreadyServed where another daemon has taken the place."""
    mine = [daemon.c[name] == value for name, value in zip(_WHO, _who(found), strict=True)]
    if conn.execute(sa.update(daemon).where(*mine).values(_values(conn, found))).rowcount == 0:
        other = read(conn)
        assert other is not None  # noqa: S101 - whoever writes has taken the place before
        raise AlreadyServed(other.host, other.pid)


_WHO = ("host", "pid", "started_at")


def _who(found: Daemon) -> tuple[str, int, int]:
    return found.host, found.pid, found.started_at


def _values(conn: sa.Connection, found: Daemon) -> dict[str, Any]:
    return {**asdict(found), "heartbeat_at": int(clock(conn, found.heartbeat_at))}
