"""The frontier: which accounts to read next, who is reading what, and when to try again.

    queued ──a──▶ leased ──b──▶ done            a lease: the entry, the page it will ask for and one reserved credit
      ▲  ▲          │ │ └──c──▶ failed          b complete: the list ended, whole or not
      │  └────d─────┘ └──e──▶ deferred          c fail · d requeue (budget, drain, reclaim) · e defer: not before a time
      └──────────f───────────────┘              f due
    new ──▶ queued | skipped                    skipped: never to be bought (private, no following, too deep)

Invariant: a committed lease is the reservation of exactly one page, so that at most one unknown charge hangs on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from storage import optout, picking, runs
from storage.allowances import PARKED, Allowances
from storage.driver import clock
from storage.parking import park, skip_nameless
from storage.picking import Picked, Taking
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
    seed_id: int | None = None
    visit_depth: int | None = None
    log_followers: float = 0.0

    def turned(
        self, *, cursor: str, listed: int, edges: int, reported_total: int | None, log_followers: float
    ) -> Lease:
        """Return the lease of the next page of the same list."""
        return replace(
            self,
            cursor=cursor,
            pages=self.pages + 1,
            listed=self.listed + listed,
            edges=self.edges + edges,
            reported_total=reported_total,
            log_followers=self.log_followers + log_followers,
            attempts=0,
        )


_WAKE = Statement(
    sa.update(frontier)
    .where(sa.literal_column("state") == sa.literal_column("5"), frontier.c.not_before <= sa.bindparam("now"))
    .values(state=sa.literal_column("0"), not_before=sa.null()),
    ("now",),
)
_NEXT_VISIT = Statement(sa.select(sa.func.coalesce(sa.func.max(visits.c.id), 0) + 1))
_INSERT_VISIT = Insert(
    visits,
    (
        "id", "account_id", "run_id", "started_at", "completeness", "cash", "priority", "queue", "seed_id", "depth",
    ),
)  # fmt: skip
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
        visits.c.id,
        visits.c.pages,
        visits.c.listed,
        visits.c.edges,
        visits.c.reported_total,
        visits.c.cash,
        visits.c.seed_id,
        visits.c.depth,
        visits.c.log_followers,
    ).where(condition),
)


MOST_PARKED = 500
"""Entries set aside in one transaction at most, so that none takes long."""


def lease(
    conn: sa.Connection, credits: Credits, taking: Taking, *, process_id: int, at_most: int, now: float
) -> list[Lease]:
    """Lease the best entries, at most as many as may be promised a credit, and reserve a page for each.

    Changes `credits`; the caller writes them back. Best first; fewer than asked where the frontier or a budget ends.
    Entries whose seed or hop has used up its credits are set aside.
    """
    _WAKE.run(conn, now)
    allowances = Allowances(conn, taking.caps, run_id=credits.run_id, now=now)
    count = min(at_most, credits.promisable)
    if taking.ceiling is not None:
        count = min(count, taking.ceiling - credits.used)
    left_today = allowances.left_today(credits)
    if left_today is not None:
        count = min(count, left_today)
    if count <= 0:
        return []
    firsts = min(count, credits.free - taking.caps.retry_reserve)
    next_visit: int = _NEXT_VISIT.run(conn).scalar()
    handles: dict[int, Any] = {}
    picked: list[Picked] = []
    set_aside = 0
    while len(picked) < firsts and set_aside < MOST_PARKED:
        rows = picking.take(
            conn, taking, process_id=process_id, now=now, at_most=firsts - len(picked), next_visit=next_visit
        )
        if not rows:
            break
        kept = _sift(conn, rows, allowances, handles)
        set_aside += len(rows) - len(kept)
        picked += kept
    if firsts < count and len(picked) < count:
        rows = picking.take_retries(conn, taking, process_id=process_id, now=now, at_most=count - len(picked))
        picked += _sift(conn, rows, allowances, handles)
    allowances.write()
    if not picked:
        return []
    credits.reserved += len(picked)
    return _opened(conn, credits, picked, handles, process_id=process_id, next_visit=next_visit, now=now)


def _sift(conn: sa.Connection, rows: Sequence[Picked], allowances: Allowances, handles: dict[int, Any]) -> list[Picked]:
    """Keep the entries that can be asked for and paid; a credit is promised to each."""
    found = {row[0]: row for row in _ACCOUNTS.run(conn, [row.account_id for row in rows])}
    handles |= found
    under_way = {row[0]: row for row in _VISITS.run(conn, [row.visit_id for row in rows if row.visit_id is not None])}
    kept_out = optout.kept_out(conn, found)
    kept = []
    parked: dict[str, list[int]] = {}
    for row in rows:
        if row.account_id in kept_out:
            park(conn, [row.account_id], optout.OPTED_OUT)
            continue
        if found[row.account_id][1] is None:
            skip_nameless(conn, row.account_id)
            continue
        seed_id, depth = row.seed_id, row.depth
        if row.visit_id is not None:  # a list goes on at the expense of those it began with
            seed_id, depth = under_way[row.visit_id][6], under_way[row.visit_id][7]
        why = allowances.refusal(seed_id, depth)
        if why is None:
            allowances.reserve(seed_id, depth)
            kept.append(row)
        else:
            parked.setdefault(PARKED[why], []).append(row.account_id)
    for reason, account_ids in parked.items():
        park(conn, account_ids, reason)
    return kept


def _opened(
    conn: sa.Connection,
    credits: Credits,
    picked: list[Picked],
    handles: dict[int, Any],
    *,
    process_id: int,
    next_visit: int,
    now: float,
) -> list[Lease]:
    """Open the visits that begin and return the leases."""
    opened: dict[int, int] = {}
    new_visits: list[tuple[Any, ...]] = []
    for row in picked:
        if row.visit_id is None:
            opened[row.account_id] = next_visit
            new_visits.append(
                (
                    next_visit,
                    row.account_id,
                    credits.run_id,
                    int(now),
                    Completeness.PARTIAL,
                    row.cash,
                    row.priority,
                    row.queue,
                    row.seed_id,
                    row.depth,
                )
            )
            next_visit += 1
    _INSERT_VISIT.run(conn, new_visits)
    _OPEN_VISIT.run_many(conn, list(opened.items()))
    under_way = {row[0]: row for row in _VISITS.run(conn, [row.visit_id for row in picked if row.visit_id is not None])}
    leases = []
    for row in picked:
        _, handle, following = handles[row.account_id]
        _, pages, listed, edges, total, cash, seed_id, depth, log_followers = under_way.get(
            row.visit_id, (0, 0, 0, 0, None, row.cash, row.seed_id, row.depth, 0.0)
        )
        leases.append(
            Lease(
                account_id=row.account_id,
                handle=handle,
                visit_id=opened.get(row.account_id, row.visit_id or 0),
                run_id=credits.run_id,
                process_id=process_id,
                cursor=row.cursor,
                pages=pages,
                listed=listed,
                edges=edges,
                is_revisit=row.completeness is not None,
                following=following,
                reported_total=total,
                cash=cash or 0.0,
                attempts=row.attempts,
                seed_id=seed_id,
                visit_depth=depth,
                log_followers=log_followers,
            )
        )
    return leases


def wake(conn: sa.Connection) -> None:
    """Queue every deferred entry, whenever it is due."""
    _WAKE.run(conn, float("inf"))


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


def give_back(
    conn: sa.Connection, credits: Credits, returned: Returned, *, now: float, allowances: Allowances | None = None
) -> None:
    """End a lease that brought no page: the credit is released or uncertain, the entry waits, is queued or failed."""
    held = returned.lease
    credits.reserved -= 1
    if allowances is not None:
        uncertain = int(returned.was_called and returned.maybe_charged)
        allowances.give_back(held.seed_id, held.visit_depth, uncertain=uncertain)
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


def reclaim(conn: sa.Connection, *, but_process: int | None = None, silent_s: int | None = None, now: float) -> int:
    """Take back the leases of dead processes; each page in flight becomes uncertain. Returns how many.

    Who holds the lock of the only crawler knows that every process but its own is dead. Others say by `silent_s` for
    how long, in seconds, the dead have given no sign of life. Whoever is taken for dead is ended by this.
    """
    time = int(clock(conn, now))
    is_dead = [processes.c.ended_at.is_(None), processes.c.id != (but_process or 0)]
    if silent_s is not None:
        is_dead.append(processes.c.heartbeat_at < time - silent_s)
    conn.execute(sa.update(processes).where(*is_dead).values(ended_at=time))
    dead = conn.execute(
        sa.select(
            frontier.c.account_id,
            frontier.c.visit_id,
            frontier.c.cursor,
            frontier.c.attempts,
            processes.c.run_id,
        )
        .select_from(frontier.join(processes, processes.c.id == frontier.c.lease_process))
        .where(sa.literal_column("state") == sa.literal_column("1"), processes.c.ended_at.is_not(None))
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
    return len(dead)
