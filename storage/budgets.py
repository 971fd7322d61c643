"""Budgets raised by hand, each change kept; and what a daemon's total and day have used.

A daemon has one run a day; its total is over all of them. Invariant: a change and its audit row are one transaction.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storage.runs import DAY, last
from storage.schema import budget_changes, daemon, ledger, processes, runs

WINDOW_DAYS = 7
"""Days that a forecast of how long credits last looks back over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A budget that was raised, in credits; `run_id` None is the daemon's total. `at` in Unix seconds."""

    at: int
    run_id: int | None
    credits: int
    note: str | None
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A daemon's money, in credits. `total` is None without a limit; `used` and `by_day` count charged,
    uncertain and reserved ones."""

    total: int | None
    used: int
    by_day: dict[str, int]

    @property
    def left(self) -> int | None:
        """What the total leaves; None without one."""
        return None if self.total is None else max(0, self.total - self.used)


def add(conn: sa.Connection, credits: int, *, note: str | None, origin: str, now: float) -> Change | None:
    """Raise the budget: a daemon's total where the last run is a daemon's, else the last run's. None without a run.

    A run that ended because its budget was used up goes on with the next crawl.
    """
    run: Any = last(conn)
    is_daemons = conn.execute(sa.select(daemon.c.id)).first() is not None and (run is None or day_of(run.settings))
    if run is None and not is_daemons:
        return None
    change = Change(at=int(now), run_id=None if is_daemons else run.id, credits=credits, note=note, origin=origin)
    if not is_daemons:
        values: dict[str, Any] = {"budget": runs.c.budget + credits}
        if run.stop_reason == "budget_exhausted":
            values |= {"stop_reason": None, "ended_at": None}
        conn.execute(sa.update(runs).where(runs.c.id == run.id).values(values))
    conn.execute(
        sa.insert(budget_changes).values(at=change.at, run_id=change.run_id, credits=credits, note=note, origin=origin)
    )
    return change


def changes(conn: sa.Connection) -> list[Change]:
    """Return every change, oldest first."""
    rows: Any = conn.execute(sa.select(budget_changes).order_by(budget_changes.c.id))
    return [Change(at=row.at, run_id=row.run_id, credits=row.credits, note=row.note, origin=row.origin) for row in rows]


def standing(conn: sa.Connection, total: int | None) -> Standing:
    """Return where a daemon's money stands; `total` is what its configuration allows, in credits, without changes."""
    by_day: dict[str, int] = {}
    for settings, promised in conn.execute(
        sa.select(runs.c.settings, runs.c.charged + runs.c.uncertain + runs.c.reserved).order_by(runs.c.id)
    ):
        day = day_of(settings)
        if day:
            by_day[day] = by_day.get(day, 0) + promised
    raised = conn.execute(
        sa.select(sa.func.coalesce(sa.func.sum(budget_changes.c.credits), 0)).where(budget_changes.c.run_id.is_(None))
    ).scalar_one()
    return Standing(total=None if total is None else total + raised, used=sum(by_day.values()), by_day=by_day)


def close(conn: sa.Connection, *, but: int | None) -> None:
    """Lower the budgets of a daemon's runs to what they have used, but of one: crawls at work on them end.

    What another day left is not theirs to spend any more; what is in flight is paid.
    """
    used = runs.c.charged + runs.c.uncertain + runs.c.reserved
    at_work = sa.select(processes.c.run_id).where(processes.c.ended_at.is_(None))
    unused = sa.select(runs.c.id, runs.c.settings).where(
        runs.c.id.in_(at_work), runs.c.budget > used, runs.c.id != (but or 0)
    )
    others = [run_id for run_id, settings in conn.execute(unused) if day_of(settings)]
    if others:
        conn.execute(sa.update(runs).where(runs.c.id.in_(others)).values(budget=used))


def lasting(by_day: dict[str, int], left: int | None) -> dict[str, Any] | None:
    """Return how many days the credits left will last at the pace of the last whole days; None where nobody can tell.

    `low` and `high` are at the fastest and the slowest of these days: what was, not a promise.
    """
    whole = [spent for _, spent in sorted(by_day.items())][-WINDOW_DAYS - 1 : -1]
    paces = [spent for spent in whole if spent > 0]
    if left is None or not paces:
        return None
    mean = sum(paces) / len(paces)
    return {
        "days": round(left / mean, 1),
        "low": round(left / max(paces), 1),
        "high": round(left / min(paces), 1),
        "per_day": round(mean),
    }


def day_of(settings: str) -> str | None:
    """Return the day of a daemon's run, None for other runs."""
    found = json.loads(settings).get(DAY)
    return None if found is None else str(found)


QUARTER_S = 900
"""Credits are summed by quarters of an hour first: no time zone begins its day in between."""


def spending(conn: sa.Connection) -> list[tuple[int, str, str | None, int, int, int, int]]:
    """Return (start of the quarter hour, outcome, cause, run id, calls, charged, uncertain) of the whole ledger.

    Times in Unix seconds, money in credits; of reconciled rows `uncertain` is negative.
    """
    quarter = ledger.c.at - ledger.c.at % QUARTER_S
    grouped = (quarter, ledger.c.outcome, ledger.c.cause, ledger.c.run_id)
    found: Any = conn.execute(
        sa.select(*grouped, sa.func.count(), sa.func.sum(ledger.c.charged), sa.func.sum(ledger.c.uncertain))
        .group_by(*grouped)
        .order_by(*grouped)
    ).all()
    return [tuple(row) for row in found]
