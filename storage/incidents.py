"""What happened to a crawl besides pages: stops, orders, budgets, settings, phases, failed calls, silences, notices.

For a reader who has to know where the gaps of the data come from. No account is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from storage.crew import LATE
from storage.journal import Act
from storage.optout import FORGOTTEN
from storage.orders import Act as Order
from storage.runs import DAY
from storage.schema import Outcome, Queue, budget_changes, handle_history, journal, ledger, notices, processes, runs
from storage.schema import orders as ordered
from storage.summary import differences, json_object

SILENCE_S = 600
"""Seconds without an answer inside a run from which on it is a silence."""

_UNTOLD = frozenset({DAY, "lot_seed", "rng_seed", "origin"})
"""Settings that differ from run to run without anybody having changed them, as the port of a simulator does."""

_PURGED = "purged"
"""A notice of what has a receipt too."""

_NO_FAILURE = frozenset({FORGOTTEN, _PURGED, LATE})
"""Causes in the ledger that are not of a call that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One thing that happened. Times in Unix seconds, None where the database keeps none; `until_at` where it lasted.

    `kind` is stopped, paused, drained, set, budget, settings, phase, strategy, calls, silence or notice; `facts` are
    its particulars.
    """

    at: int | None
    until_at: int | None = None
    run: int | None = None
    kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def read(conn: sa.Connection) -> list[Incident]:
    """Return all of them, kind by kind, each in the order in which they happened. Reads the ledger twice."""
    rests, notes = [*_stops(conn), *_ordered(conn)], list(_notes(conn))
    begun = [*_settings(notes), *_courses(notes)]
    return [*rests, *_budgets(conn), *begun, *_calls(conn), *_silences(conn, rests), *_notices(conn)]


def renamed(conn: sa.Connection) -> tuple[int, int]:
    """Return how many accounts were seen under another handle than before, and how many lost theirs to another."""
    rows = conn.execute(
        sa.select(handle_history.c.reason, sa.func.count(sa.distinct(handle_history.c.account_id))).group_by(
            handle_history.c.reason
        )
    )
    found = {reason: int(count) for reason, count in rows}
    return found.get("renamed", 0), found.get("taken_over", 0)


def seeded_at(conn: sa.Connection) -> list[int]:
    """Return when each seed was named, where the journal tells, in Unix seconds; earliest first."""
    details = conn.execute(sa.select(journal.c.details).where(journal.c.act == Act.SEEDED)).scalars()
    times = [json_object(text).get("at") for text in details]
    return sorted(at for at in times if isinstance(at, int) and at > 0)


def _ordered(conn: sa.Connection) -> Iterator[Incident]:
    """Yield orders with what came of them: `answer` is None where nobody was at work to obey."""
    rows: Any = conn.execute(sa.select(ordered).order_by(ordered.c.id)).all()
    for row in rows:
        asked, facts = json_object(row.details), {"origin": row.origin, "answer": row.answer}
        if row.act == Order.PAUSE:
            resumed = (later.at for later in rows if later.id > row.id and later.act == Order.RESUME)
            until = None if row.answer is None else next(resumed, None)
            why = str(asked.get("why") or "").partition(":")[0]
            yield Incident(at=row.at, until_at=until, kind="paused", facts={**facts, "why": why or None})
        elif row.act == Order.DRAIN:
            yield Incident(at=row.at, kind="drained", facts=facts)
        elif row.act == Order.SET:
            what = {"key": str(asked.get("key")), "value": str(asked.get("value"))}
            yield Incident(at=row.at, kind="set", facts={**facts, **what})


def _budgets(conn: sa.Connection) -> Iterator[Incident]:
    rows: Any = conn.execute(sa.select(budget_changes).order_by(budget_changes.c.id))
    for row in rows:
        facts = {"credits": row.credits, "note": row.note, "until_day": row.until_day}
        yield Incident(at=row.at, run=row.run_id, kind="budget", facts=facts)


def _stops(conn: sa.Connection) -> Iterator[Incident]:
    """Yield the ends of processes that were not the last end of their run: that one the run's own row tells."""
    notes = conn.execute(sa.select(journal.c.details).where(journal.c.act == Act.STOPPED)).scalars()
    reasons = {_whole(details.get("process")): str(details.get("reason")) for details in map(json_object, notes)}
    columns = (
        processes.c.id,
        processes.c.run_id,
        processes.c.started_at,
        processes.c.heartbeat_at,
        processes.c.ended_at,
    )
    query = sa.select(*columns, runs.c.ended_at.label("run_ended_at")).join(runs, runs.c.id == processes.c.run_id)
    of_run: dict[int, list[Any]] = {}
    for row in conn.execute(query.order_by(processes.c.id)):
        of_run.setdefault(row.run_id, []).append(row)
    for run, rows in of_run.items():
        for row in rows:
            if row.ended_at in (None, row.run_ended_at):
                continue
            reason = reasons.get(row.id)
            # Who is killed says nothing, and is ended by whoever finds out.
            is_silent = reason is None and row.heartbeat_at < row.ended_at
            at = row.heartbeat_at if is_silent else row.ended_at
            others = [other for other in rows if other is not row]
            has_company = any(one.started_at <= at and (one.ended_at or at + 1) > at for one in others)
            later = [one.started_at for one in others if one.started_at >= at]
            until = None if has_company else min(later, default=None)
            facts = {"reason": reason, "is_silent": is_silent, "has_company": has_company, "went_on": until is not None}
            yield Incident(at=at, until_at=until, run=run, kind="stopped", facts=facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """That a process began, or ordered the frontier for a phase. Time in Unix seconds, None where nothing tells it."""

    act: str
    at: int | None
    run: int | None
    details: Mapping[str, Any]


def _notes(conn: sa.Connection) -> Iterator[_Note]:
    """Yield what the journal has of beginnings and phases, each with its run and time."""
    began: Any = conn.execute(sa.select(processes.c.id, processes.c.run_id, processes.c.started_at))
    process_of: dict[Any, Any] = {row.id: row for row in began}
    acts = sa.select(journal.c.act, journal.c.details, ledger.c.at)
    query = acts.outerjoin(ledger, ledger.c.id == journal.c.ledger_id).where(journal.c.act.in_([Act.BEGAN, Act.CHOSE]))
    process: Any = None
    rows: Any = conn.execute(query.order_by(journal.c.id))
    for act, text, last_at in rows:
        details = json_object(text)
        # Older notes of a phase do not tell the process: it is the one that began last.
        process = process_of.get(_whole(details.get("process")), process if act == Act.CHOSE else None)
        run = _whole(details.get("run")) if process is None else process.run_id
        # The last row of the ledger may be of long ago: of an earlier run.
        at = last_at if process is None else max(process.started_at, last_at or 0)
        yield _Note(act=act, at=_whole(details.get("at")) or at, run=run, details=details)


def _settings(notes: Iterable[_Note]) -> Iterator[Incident]:
    """Yield where a process began with other settings than the one before it of its run, or of all runs where it was
    the first."""
    latest: dict[str, Any] | None = None
    settings_of: dict[int | None, dict[str, Any]] = {}
    for note in notes:
        settings = note.details.get("settings")
        if not isinstance(settings, dict):
            continue
        before = settings_of.get(note.run, latest)
        other = {} if before is None else differences(before, settings, but=_UNTOLD)
        if other:
            changes = {"changes": other, "is_new_run": note.run not in settings_of}
            yield Incident(at=note.at, run=note.run, kind="settings", facts=changes)
        latest = settings_of[note.run] = settings


def _courses(notes: Iterable[_Note]) -> Iterator[Incident]:
    """Yield where a run came to another phase, and where it went on with another strategy."""
    asked: dict[int | None, str] = {}
    course: dict[int | None, tuple[str, str]] = {}
    for note in notes:
        run, strategy = note.run, str(note.details.get("strategy"))
        if note.act == Act.BEGAN:
            if asked.get(run) != strategy:
                # A run that is continued goes on in the phase and by the rule that it was in.
                asked[run], course[run] = strategy, (course.get(run, (Queue.MAIN, ""))[0], strategy)
            continue
        # Only an audit goes by a strategy that nobody can ask for; older notes do not tell the queue.
        queue = str(note.details.get("queue") or (Queue.AUDIT if strategy == "expansion" else Queue.MAIN))
        queue_before, strategy_before = course.get(run, (queue, strategy))
        facts = {"queue": queue, "queue_before": queue_before, "before": strategy_before, "after": strategy}
        if queue != queue_before:
            yield Incident(at=note.at, run=run, kind="phase", facts=facts)
        elif strategy != strategy_before:
            yield Incident(at=note.at, run=run, kind="strategy", facts=facts)
        course[run] = queue, strategy


def _whole(value: object) -> int | None:
    """Return a number of a note; None where somebody changed it into something else."""
    return value if isinstance(value, int) else None


def _calls(conn: sa.Connection) -> Iterator[Incident]:
    """Yield the calls that brought no page, by run and cause."""
    failed = ledger.c.cause.is_not(None) & ledger.c.cause.not_in(_NO_FAILURE) & (ledger.c.outcome != Outcome.SETTLED)
    credits = ledger.c.charged + ledger.c.uncertain
    rows: Any = conn.execute(
        sa.select(
            *(ledger.c.run_id, ledger.c.cause, sa.func.count(), sa.func.sum(credits)),
            *(sa.func.min(ledger.c.at), sa.func.max(ledger.c.at)),
        )
        .where(failed)
        .group_by(ledger.c.run_id, ledger.c.cause)
        .order_by(ledger.c.run_id, sa.func.min(ledger.c.id))
    )
    for run, cause, count, credits_of, first, last in rows:
        facts = {"cause": cause, "calls": int(count), "credits": int(credits_of)}
        yield Incident(at=first, until_at=last, run=run, kind="calls", facts=facts)


def _silences(conn: sa.Connection, rests: Iterable[Incident]) -> Iterator[Incident]:
    """Yield where a run got no answer for SILENCE_S and more that it was not stopped or paused."""
    last_at = sa.func.lag(ledger.c.at).over(partition_by=ledger.c.run_id, order_by=ledger.c.id)
    calls = sa.select(ledger.c.run_id, ledger.c.at, last_at.label("last_at")).subquery()
    query = sa.select(calls.c.run_id, calls.c.last_at, calls.c.at).where(calls.c.at - calls.c.last_at >= SILENCE_S)
    known = sorted((rest.at, rest.until_at, rest.run) for rest in rests if rest.at and rest.until_at)
    rows: Any = conn.execute(query.order_by(calls.c.last_at, calls.c.run_id))
    for run, last, at in rows:
        silent_s, since = at - last, last
        for begun, until, of_run in known:
            if of_run in {None, run} and min(until, at) > max(begun, since):
                silent_s -= min(until, at) - max(begun, since)
                since = min(until, at)
        if silent_s >= SILENCE_S:
            yield Incident(at=last, until_at=at, run=run, kind="silence", facts={"seconds": silent_s})


def _notices(conn: sa.Connection) -> Iterator[Incident]:
    told = sa.select(notices.c.at, notices.c.event, notices.c.details).where(notices.c.event != _PURGED)
    rows: Any = conn.execute(told.order_by(notices.c.id))
    for at, event, text in rows:
        cause = json_object(text).get("cause")
        yield Incident(at=at, kind="notice", facts={"event": event, "cause": None if cause is None else str(cause)})
