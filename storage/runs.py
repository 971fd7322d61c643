"""Runs and their credits.

Invariant: charged + uncertain + reserved of a run never exceed its budget, even if every answer in flight costs
`DEAREST`; of the very last credit alone it cannot be said, for its page may turn out dearer and nothing is left to pay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storage import errors, journal
from storage.driver import clock
from storage.journal import Act
from storage.schema import budget_changes, meta, processes, runs
from storage.statement import Statement

ENDED = ("budget_exhausted", "frontier_empty", "deadline", "low_yield")
"""Stop reasons of a run that ended by itself; every other run is continued by the next crawl."""

DAY = "daemon_day"
"""The key in a run's settings that holds the day it belongs to (YYYY-MM-DD), for runs of a daemon."""


REFRESH = "refresh"
"""The key in a run's settings that marks a refresh: crawls go on with crawls, and refreshes with refreshes."""


def day_of(settings: str) -> str | None:
    """Return the day of a daemon's run, None for other runs."""
    found = json.loads(settings).get(DAY)
    return None if found is None else str(found)


DEAREST = 2
"""Credits that an answer may cost where 1 was quoted. The first one that does ends the run."""


@dataclass(slots=True)
class Credits:
    """A run's money, in credits, as one transaction sees and changes it."""

    run_id: int
    budget: int
    charged: int
    uncertain: int
    reserved: int

    @property
    def free(self) -> int:
        """What is neither charged nor uncertain nor promised; never negative."""
        return max(0, self.budget - self.used)

    @property
    def promisable(self) -> int:
        """For how many more pages a credit may be promised now: fewer than are free where the budget nears its end."""
        return promisable(self.remaining, reserved=self.reserved)

    @property
    def used(self) -> int:
        """What is charged, maybe charged or promised."""
        return self.charged + self.uncertain + self.reserved

    @property
    def remaining(self) -> int:
        """What is not yet charged or uncertain; negative only after an answer dearer than its reservation."""
        return self.budget - self.charged - self.uncertain


def promisable(left: int, *, reserved: int) -> int:
    """Return for how many more pages a credit may be promised where `left` credits are neither charged nor uncertain.

    Whatever is in flight may turn out `DEAREST`: the last credits are spent by ever fewer requests at once, the very
    last one alone.
    """
    return max(0, max(left // DEAREST, min(left, 1)) - reserved)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A run that goes on, new or continued, and this process's part in it."""

    run_id: int
    process_id: int
    is_new: bool
    budget: int
    rng_seed: int
    lot_seed: int
    """From which the lots of accounts are drawn: the seed of the database's first run, so that a lot stays."""
    active_s: float
    host: str
    pid: int


LOT_SEED = "lot_seed"

_READ = Statement(
    sa.select(runs.c.id, runs.c.budget, runs.c.charged, runs.c.uncertain, runs.c.reserved).where(
        runs.c.id == sa.bindparam("of_run")
    ),
    ("of_run",),
)
_WRITE = Statement(
    sa.update(runs)
    .where(runs.c.id == sa.bindparam("of_run"))
    .values(
        charged=sa.bindparam("charged"),
        uncertain=sa.bindparam("uncertain"),
        reserved=sa.bindparam("reserved"),
        pages=runs.c.pages + sa.bindparam("more_pages"),
        new_edges=runs.c.new_edges + sa.bindparam("more_edges"),
        new_accounts=runs.c.new_accounts + sa.bindparam("more_accounts"),
        errors=runs.c.errors + sa.bindparam("more_errors"),
    ),
    ("of_run", "charged", "uncertain", "reserved", "more_pages", "more_edges", "more_accounts", "more_errors"),
)


def read_credits(conn: sa.Connection, run_id: int) -> Credits:
    """Return the run's credits, to be changed and written back in the same transaction."""
    row: Any = _READ.run(conn, run_id).one()
    return Credits(*row)


def write_credits(
    conn: sa.Connection, credits: Credits, *, pages: int = 0, edges: int = 0, accounts: int = 0, failures: int = 0
) -> None:
    """Write the run's credits back and add to its counters."""
    _WRITE.run(
        conn, credits.run_id, credits.charged, credits.uncertain, credits.reserved, pages, edges, accounts, failures
    )


def last(conn: sa.Connection) -> sa.Row[Any] | None:
    """Return the newest run's row."""
    return conn.execute(sa.select(runs).order_by(runs.c.id.desc()).limit(1)).one_or_none()


def at_work_last(conn: sa.Connection) -> sa.Row[Any] | None:
    """Return the row of the run that was at work last, which need not be the newest: a run may go on after another."""
    began_last = sa.select(processes.c.run_id).order_by(processes.c.id.desc()).limit(1).scalar_subquery()
    return conn.execute(sa.select(runs).where(runs.c.id == began_last)).one_or_none() or last(conn)


def continued(conn: sa.Connection, *, budget: int | None, new_run: bool, refresh: bool = False) -> sa.Row[Any] | None:
    """Return the run that the next crawl, or `refresh`, goes on with: the last of its kind. None for a new one.

    `budget` is the total asked for, in credits. Where none is, a run that ended because its reserve for retries or its
    sub-budgets kept the rest of its credits goes on with these. Raises BudgetTooSmall where that run has already used
    more, and BudgetMissing where a new run has none.
    """
    newest_first = conn.execute(sa.select(runs).order_by(runs.c.id.desc()))
    previous = next((run for run in newest_first if bool(json.loads(run.settings).get(REFRESH)) == refresh), None)
    if previous is not None and budget is None and not new_run and _has_credits_kept(previous):
        return previous
    if previous is None or new_run or previous.stop_reason in ENDED:
        if budget is None:
            raise errors.BudgetMissing
        return None
    if budget is not None and budget < previous.charged + previous.uncertain + previous.reserved:
        raise errors.BudgetTooSmall(
            budget=budget, charged=previous.charged, uncertain=previous.uncertain, reserved=previous.reserved
        )
    return previous


def _has_credits_kept(run: sa.Row[Any]) -> bool:
    """Tell whether a run ended by its budget although credits of it are left; a daemon's end with their day."""
    left = run.budget - run.charged - run.uncertain
    return run.stop_reason == "budget_exhausted" and left > 0 and day_of(run.settings) is None


def start(
    conn: sa.Connection,
    *,
    budget: int | None,
    new_run: bool,
    strategy: str,
    rng_seed: int | None,
    fresh_rng_seed: int,
    settings: Mapping[str, Any],
    host: str,
    pid: int,
    now: float,
) -> Started:
    """Continue the last run of the kind where it did not end by itself, else begin a new one; raises as `continued`.

    A continued run keeps its budget and its rng seed where none is given. Its row tells under which terms it goes on;
    those that it began with stay in the journal and among the changes of budgets (`summary.Terms`). Raises
    OtherSettings where crawlers at work on it order the frontier otherwise, or a refresh is at work.
    """
    is_refresh = bool(settings.get(REFRESH))
    previous = continued(conn, budget=budget, new_run=new_run, refresh=is_refresh)
    if previous is not None:
        # A crawl that goes on with a daemon's run spends on its day.
        settings = {**{key: value for key, value in json.loads(previous.settings).items() if key == DAY}, **settings}
        _refuse_others(conn, previous, settings)
    newest = last(conn)
    if newest is not None and not new_run and not is_refresh:  # a refresh at work has queued lists that are its own
        _refuse_others(conn, newest, settings)
    if rng_seed is None:
        rng_seed = fresh_rng_seed if previous is None else previous.rng_seed
    lot_seed = int(recall(conn, LOT_SEED) or rng_seed)
    keep(conn, LOT_SEED, str(lot_seed))
    settings = {**settings, "rng_seed": rng_seed, "lot_seed": lot_seed}
    asked: dict[str, Any] = {"strategy": strategy, "settings": json.dumps(settings, sort_keys=True)}
    if previous is not None:
        asked |= {
            "budget": previous.budget if budget is None else budget,
            "rng_seed": rng_seed,
        }
        row = conn.execute(
            sa.update(runs)
            .where(runs.c.id == previous.id)
            .values(ended_at=None, stop_reason=None, **asked)
            .returning(runs.c.id, runs.c.budget, runs.c.rng_seed, runs.c.active_s)
        ).one()
        more = row.budget - previous.budget
        if more and DAY not in settings:  # a daemon works its runs' budgets out; they follow from the day's
            change = {"at": int(now), "run_id": row.id, "credits": more, "origin": "crawl"}
            conn.execute(sa.insert(budget_changes).values(change))
    else:
        asked |= {"budget": budget, "rng_seed": rng_seed}
        row = conn.execute(
            sa.insert(runs)
            .values(started_at=int(now), **asked)
            .returning(runs.c.id, runs.c.budget, runs.c.rng_seed, runs.c.active_s)
        ).one()
    process_id = enrol(conn, row.id, host=host, pid=pid, now=now)
    journal.note(conn, Act.BEGAN, run=row.id, process=process_id, strategy=strategy, settings=settings)
    return Started(
        run_id=row.id,
        process_id=process_id,
        is_new=previous is None,
        budget=row.budget,
        rng_seed=row.rng_seed,
        lot_seed=lot_seed,
        active_s=row.active_s,
        host=host,
        pid=pid,
    )


OWN_SETTINGS = {
    *("concurrency", "rate", "deadline_s", "retry", "breakers"),
    *("source", "origin", "rng_seed", "lot_seed"),
}
"""Settings that each crawler of a run may have for itself."""


def _refuse_others(conn: sa.Connection, run: sa.Row[Any], settings: Mapping[str, Any]) -> None:
    at_work = sa.select(processes.c.id).where(processes.c.run_id == run.id, processes.c.ended_at.is_(None))
    if conn.execute(at_work.limit(1)).first() is None:
        return
    theirs, ours = json.loads(run.settings), json.loads(json.dumps(settings))
    for name in sorted((theirs.keys() | ours.keys()) - OWN_SETTINGS):
        if theirs.get(name) != ours.get(name):
            raise errors.OtherSettings(name, theirs=theirs.get(name), ours=ours.get(name))


def enrol(conn: sa.Connection, run_id: int, *, host: str, pid: int, now: float) -> int:
    """Note that a process works on a run; returns its number, under which it leases."""
    time = int(clock(conn, now))
    return int(
        conn.execute(
            sa.insert(processes)
            .values(run_id=run_id, host=host, pid=pid, started_at=time, heartbeat_at=time)
            .returning(processes.c.id)
        ).scalar_one()
    )


def gained(conn: sa.Connection, run_id: int) -> dict[str, int]:
    """Return what a run has spent and brought so far: `credits`, new `accounts`, new `edges`."""
    row = conn.execute(sa.select(runs).where(runs.c.id == run_id)).one()
    return {"credits": row.charged + row.uncertain, "accounts": row.new_accounts, "edges": row.new_edges}


def foretell(
    conn: sa.Connection, *, run_id: int, at: Mapping[str, int], budget: int, forecast: Mapping[str, Any]
) -> None:
    """Keep with a run what its credits left are expected to buy. The last forecast stands, those before in `earlier`.

    `at` is what it had `gained` when that was reckoned, and `budget` the one it had.
    """
    before = conn.execute(sa.select(runs.c.forecast).where(runs.c.id == run_id)).scalar_one()
    last: dict[str, Any] = {} if before is None else json.loads(before)
    earlier = [*last.pop("earlier", []), *([last] if last and last["at"] != at else [])]
    made = json.dumps({"at": at, "budget": budget, **forecast, "earlier": earlier}, sort_keys=True)
    conn.execute(sa.update(runs).where(runs.c.id == run_id).values(forecast=made))


def worked(conn: sa.Connection, run_id: int, *, active_s: float) -> None:
    """Note how long the run has worked, in seconds: with every page, so that a kill loses nothing of it.

    Of several crawlers at once the one that is at it for longest says so.
    """
    _WORKED.run(conn, run_id, active_s, active_s)


_WORKED = Statement(
    sa.update(runs)
    .where(runs.c.id == sa.bindparam("of_run"), runs.c.active_s < sa.bindparam("least"))
    .values(active_s=sa.bindparam("seconds")),
    ("of_run", "least", "seconds"),
)


def beat(conn: sa.Connection, started: Started, *, active_s: float, now: float) -> None:
    """Note that the process lives and how long the run has worked, in seconds."""
    worked(conn, started.run_id, active_s=active_s)
    conn.execute(sa.update(processes).where(processes.c.id == started.process_id).values(heartbeat_at=int(now)))


def stop(conn: sa.Connection, started: Started, *, reason: str, active_s: float, now: float) -> None:
    """Write that this process is at its end and, where it is the last one of the run, why the run stopped."""
    time = int(clock(conn, now))
    worked(conn, started.run_id, active_s=active_s)
    conn.execute(
        sa.update(processes)
        .where(processes.c.id == started.process_id, processes.c.ended_at.is_(None))
        .values(heartbeat_at=time, ended_at=time)
    )
    at_work = sa.select(processes.c.id).where(processes.c.run_id == started.run_id, processes.c.ended_at.is_(None))
    if conn.execute(at_work.limit(1)).first() is None:
        conn.execute(sa.update(runs).where(runs.c.id == started.run_id).values(stop_reason=reason, ended_at=time))
    journal.note(conn, Act.STOPPED, process=started.process_id, reason=reason)


def remember(conn: sa.Connection, key: str, value: str) -> None:
    """Keep a fact about the database as a whole."""
    journal.note(conn, Act.REMEMBERED, key=key, value=value)
    keep(conn, key, value)


def keep(conn: sa.Connection, key: str, value: str) -> None:
    """Keep a fact that needs no journal: it follows from the pages alone, or is about this file and no other."""
    if _KEEP.run(conn, key, value).rowcount == 0:
        conn.execute(sa.insert(meta).values(key=key, value=value))


_KEEP = Statement(
    sa.update(meta).where(meta.c.key == sa.bindparam("of_key")).values(value=sa.bindparam("new_value")),
    ("of_key", "new_value"),
)


def recall(conn: sa.Connection, key: str) -> str | None:
    """Return a fact kept by `remember`."""
    return conn.execute(sa.select(meta.c.value).where(meta.c.key == key)).scalar_one_or_none()
