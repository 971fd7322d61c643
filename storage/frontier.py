"""The frontier: which accounts to read next, who is reading what, and when to try again.

    queued ──a──▶ leased ──b──▶ done            a lease: the entry, the page it will ask for and one reserved credit
      ▲  ▲          │ │ └──c──▶ failed          b complete: the list ended, whole or not
      │  └────d─────┘ └──e──▶ deferred          c fail · d requeue (budget, drain, reclaim) · e defer: not before a time
      └──────────f───────────────┘              f due
    new ──▶ queued | skipped                    skipped: never to be bought (private, no following, too deep)

Invariant: a committed lease is the reservation of exactly one page, so that at most one unknown charge hangs on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from storage import journal, runs
from storage.accounts import NO_HANDLE
from storage.journal import Act
from storage.runs import Credits
from storage.schema import Completeness, Outcome, State, accounts, frontier, ledger, processes, visits
from storage.statement import Insert, Lookup, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One page to ask for. `pages`, `listed` and `edges` are what the visit has brought so far."""

    account_id: int
    handle: str
    visit_id: int
    run_id: int
    process_id: int
    cursor: str | None
    pages: int
    listed: int
    edges: int
    is_revisit: bool
    following: int | None
    reported_total: int | None
    cash: float
    attempts: int

    def turned(self, *, cursor: str, listed: int, edges: int, reported_total: int | None) -> Lease:
        """Return the lease of the next page of the same list."""
        return replace(
            self,
            cursor=cursor,
            pages=self.pages + 1,
            listed=self.listed + listed,
            edges=self.edges + edges,
            reported_total=reported_total,
            attempts=0,
        )


_WAKE = Statement(
    sa.update(frontier)
    .where(sa.literal_column("state") == sa.literal_column("5"), frontier.c.not_before <= sa.bindparam("now"))
    .values(state=sa.literal_column("0"), not_before=sa.null()),
    ("now",),
)
_PICK = Statement(
    sa.update(frontier)
    .where(
        frontier.c.account_id.in_(
            sa.select(frontier.c.account_id)
            # A literal, so that the partial index serves on every database.
            .where(sa.literal_column("state") == sa.literal_column("0"))
            .order_by(frontier.c.priority.desc(), frontier.c.account_id)
            .limit(sa.bindparam("at_most"))
        )
    )
    .values(state=sa.literal_column("1"), lease_process=sa.bindparam("process"), leased_at=sa.bindparam("now"))
    .returning(
        frontier.c.account_id,
        frontier.c.priority,
        frontier.c.visit_id,
        frontier.c.cursor,
        frontier.c.cash,
        frontier.c.completeness,
        frontier.c.attempts,
    ),
    ("process", "now", "at_most"),
)
_NEXT_VISIT = Statement(sa.select(sa.func.coalesce(sa.func.max(visits.c.id), 0) + 1))
_INSERT_VISIT = Insert(visits, ("id", "account_id", "run_id", "started_at", "completeness", "cash", "priority"))
_OPEN_VISIT = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values(visit_id=sa.bindparam("visit")),
    ("of_account", "visit"),
)
_ACCOUNTS = Lookup(
    accounts.c.id,
    lambda condition: sa.select(accounts.c.id, accounts.c.handle, accounts.c.following).where(condition),
)
_VISITS = Lookup(
    visits.c.id,
    lambda condition: sa.select(
        visits.c.id, visits.c.pages, visits.c.listed, visits.c.edges, visits.c.reported_total, visits.c.cash
    ).where(condition),
)


def lease(conn: sa.Connection, credits: Credits, *, process_id: int, at_most: int, now: float) -> list[Lease]:
    """Lease the best entries, at most as many as the run has free credits, and reserve a page for each.

    Changes `credits`; the caller writes them back. Best first; fewer than asked where the frontier or the budget ends.
    """
    _WAKE.run(conn, now)
    count = min(at_most, credits.free)
    if count <= 0:
        return []
    picked: list[Any] = []
    facts: dict[int, Any] = {}
    while rows := _PICK.run(conn, process_id, int(now), count - len(picked)).all():
        found = {row[0]: row for row in _ACCOUNTS.run(conn, [row[0] for row in rows])}
        for row in rows:
            if found[row[0]][1] is None:
                skip_nameless(conn, row[0])
            else:
                picked.append(row)
        facts |= found
        if len(picked) == count:
            break
    if not picked:
        return []
    picked.sort(key=lambda row: (-row[1], row[0]))
    credits.reserved += len(picked)
    next_visit = _NEXT_VISIT.run(conn).scalar_one()
    opened: dict[int, int] = {}
    new_visits: list[tuple[Any, ...]] = []
    for account_id, priority, visit_id, _, cash, _, _ in picked:
        if visit_id is None:
            opened[account_id] = next_visit
            new_visits.append((next_visit, account_id, credits.run_id, int(now), Completeness.PARTIAL, cash, priority))
            next_visit += 1
    _INSERT_VISIT.run(conn, new_visits)
    _OPEN_VISIT.run_many(conn, list(opened.items()))
    under_way = {row[0]: row for row in _VISITS.run(conn, [row[2] for row in picked if row[2] is not None])}
    leases = []
    for account_id, _, visit_id, cursor, cash, completeness, attempts in picked:
        _, handle, following = facts[account_id]
        _, pages, listed, edges, total, visit_cash = under_way.get(visit_id, (0, 0, 0, 0, None, cash))
        leases.append(
            Lease(
                account_id=account_id,
                handle=handle,
                visit_id=opened.get(account_id, visit_id),
                run_id=credits.run_id,
                process_id=process_id,
                cursor=cursor,
                pages=pages,
                listed=listed,
                edges=edges,
                is_revisit=completeness is not None,
                following=following,
                reported_total=total,
                cash=visit_cash or 0.0,
                attempts=attempts,
            )
        )
    return leases


_SKIP = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values(state=sa.literal_column("4"), reason=sa.bindparam("why"), lease_process=sa.null(), leased_at=sa.null()),
    ("of_account", "why"),
)


def skip_nameless(conn: sa.Connection, account_id: int) -> None:
    """Pass over an account whose handle somebody else has now: nobody can ask for it until it is seen under a new one.

    A list under way keeps its visit and its cursor.
    """
    journal.note(conn, Act.NAMELESS, account=account_id)
    _SKIP.run(conn, account_id, NO_HANDLE)


def wake(conn: sa.Connection) -> None:
    """Queue every deferred entry, whenever it is due."""
    _WAKE.run(conn, float("inf"))


_NEXT_DUE = Statement(
    sa.select(sa.func.min(frontier.c.not_before)).where(sa.literal_column("state") == sa.literal_column("5"))
)
_ANY_QUEUED = Statement(
    sa.select(frontier.c.account_id).where(sa.literal_column("state") == sa.literal_column("0")).limit(1)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is left to take: entries ready now, and when the next deferred one is due (Unix seconds)."""

    has_queued: bool
    next_due_at: float | None


def outlook(conn: sa.Connection) -> Outlook:
    """Look ahead without taking anything."""
    return Outlook(has_queued=_ANY_QUEUED.run(conn).first() is not None, next_due_at=_NEXT_DUE.run(conn).scalar_one())


_RETURN = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values(
        state=sa.bindparam("state"),
        not_before=sa.bindparam("not_before"),
        attempts=sa.bindparam("attempts"),
        reason=sa.bindparam("reason"),
        completeness=sa.func.coalesce(sa.bindparam("completeness", type_=sa.Text), frontier.c.completeness),
        lease_process=sa.null(),
        leased_at=sa.null(),
    ),
    ("of_account", "state", "not_before", "attempts", "reason", "completeness"),
)
_RESTART = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values(cursor=sa.null(), visit_id=sa.null()),
    ("of_account",),
)
_CLOSE_VISIT = Statement(
    sa.update(visits)
    .where(visits.c.id == sa.bindparam("of_visit"))
    .values(ended_at=sa.bindparam("now"), completeness=sa.bindparam("completeness"), reason=sa.bindparam("reason")),
    ("of_visit", "now", "completeness", "reason"),
)
_CALL = Insert(
    ledger,
    ("run_id", "visit_id", "account_id", "cursor", "at", "outcome", "charged", "uncertain", "request_id", "cause"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """A leased page that was not brought. Exactly one of `not_before`, `failed`, neither (queued again) says what next.

    `maybe_charged` makes the reservation uncertain instead of releasing it; `was_called` False writes no ledger row.
    `restart` begins the list at its first page with a visit of its own; the visit so far ends as partial.
    """

    lease: Lease
    maybe_charged: bool = False
    was_called: bool = True
    not_before: float | None = None
    failed: str | None = None
    restart: bool = False
    cause: str | None = None
    request_id: str | None = None
    counts_as_attempt: bool = True


def give_back(conn: sa.Connection, credits: Credits, returned: Returned, *, now: float) -> None:
    """End a lease that brought no page: the credit is released or uncertain, the entry waits, is queued or failed."""
    held = returned.lease
    credits.reserved -= 1
    if returned.was_called:
        uncertain = int(returned.maybe_charged)
        credits.uncertain += uncertain
        outcome = Outcome.UNCERTAIN if uncertain else Outcome.RELEASED
        _write_call(conn, held, now=now, outcome=outcome, uncertain=uncertain, returned=returned)
    state = State.QUEUED
    if returned.failed is not None:
        state = State.FAILED
    elif returned.not_before is not None:
        state = State.DEFERRED
    attempts = held.attempts + (1 if returned.counts_as_attempt else 0)
    is_over = returned.failed is not None or returned.restart
    completeness = Completeness.PARTIAL if is_over and held.pages else None
    _RETURN.run(conn, held.account_id, state, returned.not_before, attempts, returned.failed, completeness)
    if is_over:
        reason = returned.failed if returned.failed is not None else returned.cause
        _CLOSE_VISIT.run(conn, held.visit_id, int(now), Completeness.PARTIAL, reason)
        _RESTART.run(conn, held.account_id)


def _write_call(
    conn: sa.Connection, held: Lease, *, now: float, outcome: str, uncertain: int, returned: Returned
) -> None:
    row = (
        held.run_id,
        held.visit_id,
        held.account_id,
        held.cursor or "",
        int(now),
        outcome,
        0,
        uncertain,
        returned.request_id,
        returned.cause,
    )
    _CALL.run(conn, [row])


def was_restarted(conn: sa.Connection, lease: Lease, cause: str) -> bool:
    """Tell whether this account's list was begun anew for this cause in this run before."""
    found = conn.execute(
        sa.select(visits.c.id).where(
            visits.c.account_id == lease.account_id, visits.c.run_id == lease.run_id, visits.c.reason == cause
        )
    ).first()
    return found is not None


def reclaim(conn: sa.Connection, *, but_process: int | None = None, now: float) -> int:
    """Take back the leases of dead processes; each page in flight becomes uncertain. Returns how many.

    The caller holds the lock of the only crawler, so every lease but its own is a dead one's.
    """
    dead = conn.execute(
        sa.select(
            frontier.c.account_id,
            frontier.c.visit_id,
            frontier.c.cursor,
            frontier.c.attempts,
            processes.c.run_id,
        )
        .select_from(frontier.join(processes, processes.c.id == frontier.c.lease_process))
        .where(sa.literal_column("state") == sa.literal_column("1"), frontier.c.lease_process != (but_process or 0))
        .order_by(frontier.c.account_id)
    ).all()
    by_run: dict[int, Credits] = {}
    for row in dead:
        credits = by_run.setdefault(row.run_id, runs.read_credits(conn, row.run_id))
        credits.reserved -= 1
        credits.uncertain += 1
        call = (row.run_id, row.visit_id, row.account_id, row.cursor or "", int(now), Outcome.UNCERTAIN, 0, 1)
        _CALL.run(conn, [(*call, None, "process_died")])
        _RETURN.run(conn, row.account_id, State.QUEUED, None, row.attempts, None, None)
    for credits in by_run.values():
        runs.write_credits(conn, credits)
    conn.execute(
        sa.update(processes)
        .where(processes.c.ended_at.is_(None), processes.c.id != (but_process or 0))
        .values(ended_at=int(now))
    )
    return len(dead)


def apply_depth_limit(conn: sa.Connection, max_depth: int | None) -> None:
    """Make the frontier obey a depth limit that may differ from the last run's."""
    journal.note(conn, Act.DEPTH_LIMITED, max_depth=max_depth)
    allowed = sa.true() if max_depth is None else frontier.c.depth <= max_depth
    conn.execute(
        sa.update(frontier)
        .where(frontier.c.state == int(State.SKIPPED), frontier.c.reason == "depth", allowed)
        .values(state=int(State.QUEUED), reason=None)
    )
    if max_depth is not None:
        conn.execute(
            sa.update(frontier)
            .where(
                frontier.c.state.in_([int(State.QUEUED), int(State.DEFERRED)]),
                frontier.c.depth > max_depth,
            )
            .values(state=int(State.SKIPPED), reason="depth", not_before=None)
        )
