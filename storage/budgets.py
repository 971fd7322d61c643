"""Budgets raised by hand, each change kept; and what a daemon's total and day have used.

A daemon has one run a day; its total is over all of them. Invariant: a change and its audit row are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from storage import allowances, daemons
from storage.daemons import Daemon
from storage.errors import NoDaemon, NoTotal
from storage.runs import ENDED, at_work_last, day_of
from storage.schema import budget_changes, ledger, processes, runs

WINDOW_DAYS = 7
"""Days that a forecast of how long credits last looks back over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A budget that was raised, in credits; `run_id` None is the daemon's total. `at` in Unix seconds.

    `until` is the last day these credits may be spent on, None without an end; the daemon had used `used` before.
    """

    at: int
    run_id: int | None
    credits: int
    note: str | None
    origin: str
    until: str | None = None
    used: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A daemon's money, in credits. `total` is None without a limit; `used` and `by_day` count charged,
    uncertain and reserved ones. `expiring` is what is left of credits with a last day, by that day."""

    total: int | None
    used: int
    by_day: dict[str, int]
    expiring: dict[str, int]

    @property
    def left(self) -> int | None:
        """What the total leaves; None without one."""
        return None if self.total is None else max(0, self.total - self.used)


def _daemon_to_raise(conn: sa.Connection, run: Any, *, now: float) -> Daemon | None:
    """Return the daemon whose the budget is: one is alive, or the last run was a daemon's, or there was none yet."""
    found = daemons.read(conn)
    is_meant = run is None or day_of(run.settings) or daemons.alive(conn, now=now)
    return found if is_meant else None


def add(
    conn: sa.Connection, credits: int, *, note: str | None, origin: str, now: float, until: str | None = None
) -> Change | None:
    """Raise the budget: a daemon's total where one is alive or the run at work last is a daemon's, else that run's.

    A run that had ended by itself goes on with the next crawl: nobody else can spend its credits. A daemon's may have a
    last day.
    Returns None without a run. Raises NoTotal, and NoDaemon where a run's credits were to have a last day.
    """
    run: Any = at_work_last(conn)
    daemon = _daemon_to_raise(conn, run, now=now)
    if daemon is not None:
        if daemon.total is None:
            raise NoTotal
        used = None if until is None else sum(_by_day(conn).values())
        change = Change(at=int(now), run_id=None, credits=credits, note=note, origin=origin, until=until, used=used)
    elif until is not None:
        raise NoDaemon(until)
    elif run is None:
        return None
    else:
        change = Change(at=int(now), run_id=run.id, credits=credits, note=note, origin=origin)
        values: dict[str, Any] = {"budget": runs.c.budget + credits}
        if run.stop_reason in ENDED:
            values |= {"stop_reason": None, "ended_at": None}
        conn.execute(sa.update(runs).where(runs.c.id == run.id).values(values))
    written = {"at": change.at, "run_id": change.run_id, "credits": credits, "note": note, "origin": origin}
    conn.execute(sa.insert(budget_changes).values(**written, until_day=until, used=change.used))
    return change


def changes(conn: sa.Connection) -> list[Change]:
    """Return every change, oldest first."""
    rows: Any = conn.execute(sa.select(budget_changes).order_by(budget_changes.c.id))
    return [
        Change(
            at=row.at,
            run_id=row.run_id,
            credits=row.credits,
            note=row.note,
            origin=row.origin,
            until=row.until_day,
            used=row.used,
        )
        for row in rows
    ]


def standing(conn: sa.Connection, total: int | None, *, today: str) -> Standing:
    """Return where a daemon's money stands today; `total` is what its configuration allows, without changes.

    Of credits whose last day is over only what was spent of them counts.
    """
    by_day = _by_day(conn)
    raised = [change for change in changes(conn) if change.run_id is None]
    ending = [change for change in raised if change.until is not None]
    allowed = sum(change.credits for change in raised if change.until is None)
    expiring: dict[str, int] = {}
    for change, spent in zip(ending, _spent(ending, by_day), strict=True):
        assert change.until is not None  # noqa: S101 - chosen so
        if change.until < today:
            allowed += spent
        else:
            allowed += change.credits
            expiring[change.until] = expiring.get(change.until, 0) + change.credits - spent
    return Standing(
        total=None if total is None else total + allowed,
        used=sum(by_day.values()),
        by_day=by_day,
        expiring={day: left for day, left in sorted(expiring.items()) if left},
    )


def _spent(ending: Sequence[Change], by_day: Mapping[str, int]) -> list[int]:
    """Return what was spent of each: from when it was given to its last day, what ends first is spent first.

    All that was ever used lies on a line of credits, day after day; each change takes what others left of its part.
    """
    taken: list[tuple[int, int]] = []
    spent = [0] * len(ending)
    for place in sorted(range(len(ending)), key=lambda place: (str(ending[place].until), place)):
        change = ending[place]
        at, end = change.used or 0, sum(used for day, used in by_day.items() if day <= str(change.until))
        mine = []
        for first, last_ in [*sorted(taken), (end, end)]:
            free = min(first, end) - at
            if free > 0 and spent[place] < change.credits:
                take = min(free, change.credits - spent[place])
                mine.append((at, at + take))
                spent[place] += take
            at = max(at, last_)
        taken += mine
    return spent


def _by_day(conn: sa.Connection) -> dict[str, int]:
    by_day: dict[str, int] = {}
    for settings, promised in conn.execute(
        sa.select(runs.c.settings, runs.c.charged + runs.c.uncertain + runs.c.reserved).order_by(runs.c.id)
    ):
        day = day_of(settings)
        if day:
            by_day[day] = by_day.get(day, 0) + promised
    return by_day


def elsewhere(conn: sa.Connection, day: Callable[[float], str], *, now: float) -> int:
    """Return the credits that other runs than a daemon's took today: a day's cap is over all runs.

    `day` names the day of a Unix time.
    """
    lately = sa.or_(runs.c.ended_at.is_(None), runs.c.ended_at > now - allowances.LONG_DAY_S)
    others = [run for run in conn.execute(sa.select(runs).where(lately)) if not day_of(run.settings)]
    if not others:
        return 0
    booked = allowances.today(conn, day, now=now, run_ids=[run.id for run in others])
    return sum(booked) + sum(int(run.reserved) for run in others)


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


def lasting(standing: Standing, *, today: str) -> dict[str, Any] | None:
    """Return how many days the credits left will last at the pace of the last whole days; None where nobody can tell.

    `low` and `high` are at the fastest and the slowest of these days: what was, not a promise.
    """
    whole = [spent for _, spent in sorted(standing.by_day.items())][-WINDOW_DAYS - 1 : -1]
    paces = [spent for spent in whole if spent > 0]
    if standing.left is None or not paces:
        return None
    mean = sum(paces) / len(paces)
    return {
        "days": round(_days(standing, mean, today=today), 1),
        "low": round(_days(standing, max(paces), today=today), 1),
        "high": round(_days(standing, min(paces), today=today), 1),
        "per_day": round(mean),
    }


def _days(standing: Standing, pace: float, *, today: str) -> float:
    """Return for how many days credits last at so many a day, those that lapse unspent left out."""
    lasts, staying = 0.0, float(standing.left or 0)
    for day, credits in standing.expiring.items():  # what ends first is spent first
        ends = (date.fromisoformat(day) - date.fromisoformat(today)).days + 1
        lasts += min(credits / pace, max(0.0, ends - lasts))
        staying -= credits
    return lasts + max(0.0, staying) / pace


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
