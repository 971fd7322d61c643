"""Readings of the provider's balance, taken while nothing was in flight, and what they settle."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from storage import runs
from storage.schema import Outcome, balances, ledger

WINDOW = 8
"""Readings looked back at: each costs a pass over the ledger rows since the one before."""

ABANDONED = ("timed_out", "disconnected", "process_died")
"""Causes of calls whose answer never came: the provider may charge them even after we gave up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """From one quiet reading to the next, in credits and Unix seconds: how far the balance fell, what the ledger says.

    `uncertain` is by run, reconciled credits taken out. `abandoned_at` is the last call whose answer never came.
    """

    at: float
    fall: int
    charged: int
    uncertain: dict[int, int] = field(default_factory=dict)
    called_at: float | None = None
    abandoned_at: float | None = None


def intervals(conn: sa.Connection, *, balance: int, now: float) -> list[Interval]:
    """Return the intervals between the last readings, oldest first; the last one ends now, at `balance`."""
    rows: Any = conn.execute(
        sa.select(balances.c.at, balances.c.balance, balances.c.ledger_id).order_by(balances.c.id.desc()).limit(WINDOW)
    ).all()
    readings = [(row.at, row.balance, row.ledger_id) for row in reversed(rows)]
    readings.append((now, balance, _last_row(conn)))
    return [
        _interval(conn, at=after[0], fall=before[1] - after[1], first=before[2], last=after[2])
        for before, after in pairwise(readings)
    ]


def _interval(conn: sa.Connection, *, at: float, fall: int, first: int, last: int) -> Interval:
    is_call = ledger.c.outcome != Outcome.RECONCILED
    found: Any = conn.execute(
        sa.select(
            ledger.c.run_id,
            sa.func.sum(ledger.c.charged),
            sa.func.sum(ledger.c.uncertain),
            sa.func.max(sa.case((is_call, ledger.c.at))),
            sa.func.max(sa.case((ledger.c.cause.in_(ABANDONED), ledger.c.at))),
        )
        .where(ledger.c.id > first, ledger.c.id <= last)
        .group_by(ledger.c.run_id)
    ).all()
    return Interval(
        at=at,
        fall=fall,
        charged=sum(int(row[1]) for row in found),
        uncertain={row[0]: int(row[2]) for row in found if row[2]},
        called_at=max((row[3] for row in found if row[3] is not None), default=None),
        abandoned_at=max((row[4] for row in found if row[4] is not None), default=None),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """The last reading, in credits and Unix seconds.

    `unexplained` is by how much the balance fell further between the last readings than the ledger knows of: somebody
    else spends with the same key, or the provider charges what it does not tell. A refill hides it.
    """

    at: int
    balance: int
    unexplained: int


def latest(conn: sa.Connection) -> Latest | None:
    """Return the last reading, None before the first."""
    row: Any = conn.execute(
        sa.select(balances.c.at, balances.c.balance).order_by(balances.c.id.desc()).limit(1)
    ).one_or_none()
    if row is None:
        return None
    # The last interval begins and ends with that reading: nothing in it counts.
    between = intervals(conn, balance=row.balance, now=row.at)[:-1]
    beyond = (each.fall - each.charged - sum(each.uncertain.values()) for each in between)
    return Latest(at=row.at, balance=row.balance, unexplained=sum(max(0, credits) for credits in beyond))


def note(conn: sa.Connection, *, balance: int, refill_state: str | None, now: float) -> None:
    """Keep a reading."""
    conn.execute(
        sa.insert(balances).values(at=int(now), ledger_id=_last_row(conn), balance=balance, refill_state=refill_state)
    )


def settle(conn: sa.Connection, run_id: int, *, uncertain: int, charged: int, now: float) -> None:
    """Book that of so many uncertain credits of a run so many were charged and the others were not."""
    conn.execute(
        sa.insert(ledger).values(
            run_id=run_id, at=int(now), outcome=Outcome.RECONCILED, charged=charged, uncertain=-uncertain
        )
    )
    credits = runs.read_credits(conn, run_id)
    credits.charged += charged
    credits.uncertain -= uncertain
    runs.write_credits(conn, credits)


def _last_row(conn: sa.Connection) -> int:
    return int(conn.execute(sa.select(sa.func.coalesce(sa.func.max(ledger.c.id), 0))).scalar_one())
