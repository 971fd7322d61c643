"""A database written anew from another's history, through the same transactions that wrote the first.

What pages say is worked out again from their bodies; what no page says (runs, times, who is waiting until when) is
taken over. Invariant: rows of the ledger, of visits and of the journal keep their ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import sqlalchemy as sa

from storage import errors, optout, runs
from storage.allowances import SEED
from storage.frontier import Lease, Returned, give_back
from storage.history import CHUNK, Call, History, Visit
from storage.parking import skip_nameless
from storage.schema import (
    Completeness,
    Outcome,
    State,
    accounts,
    allowances,
    archive,
    balances,
    budget_changes,
    control_draws,
    dictionaries,
    frontier,
    handle_history,
    ledger,
    meta,
    optouts,
    processes,
    receipts,
    visits,
)
from storage.schema import runs as run_rows
from storage.statement import Insert, Statement

_SUMS = ("charged", "uncertain", "reserved", "pages", "new_edges", "new_accounts", "errors")
"""Columns of a run that are worked out again."""

_BODY = Insert(archive, ("ledger_id", "dictionary_id", "body"))
_VISIT = Insert(
    visits,
    (
        "id", "account_id", "run_id", "started_at", "completeness", "cash", "priority", "queue", "seed_id", "depth",
    ),
)  # fmt: skip
_HOLD = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values(state=sa.literal_column("1"), visit_id=sa.bindparam("open_visit"), lease_process=sa.bindparam("holder")),
    ("of_account", "open_visit", "holder"),
)
_SUPERSEDE = Statement(
    sa.update(visits)
    .where(visits.c.id == sa.bindparam("of_visit"))
    .values(ended_at=sa.bindparam("now"), reason=sa.literal_column("'superseded'")),
    ("of_visit", "now"),
)
_RESERVE = Statement(
    sa.update(run_rows)
    .where(run_rows.c.id == sa.bindparam("of_run"))
    .values(reserved=run_rows.c.reserved + sa.bindparam("more")),
    ("of_run", "more"),
)
_ENTRY = Statement(
    sa.select(accounts.c.handle, frontier.c.visit_id, frontier.c.completeness)
    .select_from(accounts.join(frontier, frontier.c.account_id == accounts.c.id))
    .where(accounts.c.id == sa.bindparam("of_account")),
    ("of_account",),
)
_COUNTS = Statement(
    sa.select(
        visits.c.pages,
        visits.c.listed,
        visits.c.edges,
        visits.c.reported_total,
        visits.c.cash,
        visits.c.log_followers,
    ).where(visits.c.id == sa.bindparam("of_visit")),
    ("of_visit",),
)
_IDENTITY = Statement(
    sa.select(accounts.c.handle, accounts.c.platform_user_id).where(accounts.c.id == sa.bindparam("of_account")),
    ("of_account",),
)
_UNSAID = ("state", "attempts", "not_before", "lease_process", "leased_at")
"""Columns of the frontier that no page says."""

_TAKE_OVER = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values({name: sa.bindparam(f"new_{name}") for name in _UNSAID}),
    ("of_account", *(f"new_{name}" for name in _UNSAID)),
)
_STATE = Statement(
    sa.select(frontier.c.state).where(frontier.c.account_id == sa.bindparam("of_account")), ("of_account",)
)


class Replica:
    """The database being written. Accounts are the same in both where their ids are; others are looked up once."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._ids: dict[int, int] = {}
        """Accounts whose id differs, by their id in the history."""
        self._known: set[int] = set()

    def begin(self, conn: sa.Connection) -> None:
        """Take over the runs with empty books and how their budgets were changed, the processes, the dictionaries."""
        for row in self._history.rows(run_rows):
            conn.execute(sa.insert(run_rows).values(row | dict.fromkeys(_SUMS, 0)))
        for table in (processes, dictionaries, optouts, receipts, budget_changes):
            for row in self._history.rows(table):
                conn.execute(sa.insert(table).values(row))
        for row in self._history.rows(meta):
            if row["key"] in optout.REMEMBERED:  # who is kept out is asked from the first page on
                conn.execute(sa.insert(meta).values(row))

    def hold(self, conn: sa.Connection, call: Call, *, process_id: int) -> Lease:
        """Lease the page that a call asked for, as it was leased then."""
        visit = call.visit
        assert visit is not None  # noqa: S101 - a reconciliation asks for no page
        account_id = self._hold(conn, visit, process_id=process_id, now=call.at)
        _RESERVE.run(conn, call.run_id, 1)
        handle, _, completeness = _ENTRY.run(conn, account_id).one()
        counts: Any = _COUNTS.run(conn, visit.id).one()
        pages, listed, edges, total, cash, log_followers = counts
        return Lease(
            account_id=account_id,
            handle=handle or "",
            visit_id=visit.id,
            run_id=call.run_id,
            process_id=process_id,
            cursor=call.cursor or None,
            pages=pages,
            listed=listed,
            edges=edges,
            is_revisit=completeness is not None,
            following=None,
            reported_total=total,
            cash=cash or 0.0,
            attempts=0,
            seed_id=self._seed(conn, visit),
            visit_depth=visit.picked_depth,
            log_followers=log_followers,
        )

    def _hold(self, conn: sa.Connection, visit: Visit, *, process_id: int, now: int) -> int:
        account_id = self._account(conn, visit)
        _, open_visit, _ = _ENTRY.run(conn, account_id).one()
        if open_visit != visit.id:
            if open_visit is not None:
                # Read by today's rules its list was not at its end, but another visit was made instead.
                _SUPERSEDE.run(conn, open_visit, now)
            _VISIT.run(
                conn,
                [
                    (
                        visit.id,
                        account_id,
                        visit.run_id,
                        visit.started_at,
                        Completeness.PARTIAL,
                        visit.cash,
                        visit.priority,
                        visit.queue,
                        self._seed(conn, visit),
                        visit.picked_depth,
                    )
                ],
            )
        _HOLD.run(conn, account_id, visit.id, process_id)
        return account_id

    def _seed(self, conn: sa.Connection, visit: Visit) -> int | None:
        return None if visit.seed_id is None else self.here(conn, visit.seed_id)

    def _account(self, conn: sa.Connection, visit: Visit) -> int:
        """Return the id here of the account that was visited then."""
        found = self.here(conn, visit.account_id)
        if found is None:
            handles, platform_user_id = self._history.identity(visit.account_id) or ([], None)
            if not handles:
                raise errors.ArchiveIncomplete(f"visit {visit.id} is of an account that never had a handle")
            # Nobody lists it any more, but its list was paid for.
            found = self._ids[visit.account_id] = _add(conn, handles[0], platform_user_id, visit)
        return found

    def here(self, conn: sa.Connection, account_id: int) -> int | None:
        """Return the id here of an account of the history, None where nothing names it here.

        Where pages say today what they said then it is the same id, else the account is found by what it is known by.
        """
        if account_id in self._known:
            return account_id
        if account_id in self._ids:
            return self._ids[account_id]
        identity = self._history.identity(account_id)
        if identity is None:
            return None
        handles, platform_user_id = identity
        if self._is_same(conn, account_id, handles, platform_user_id):
            self._known.add(account_id)
            return account_id
        for column, values in ((accounts.c.platform_user_id, [platform_user_id]), (accounts.c.handle, handles)):
            found = conn.execute(sa.select(accounts.c.id).where(column.in_(values)).limit(1)).scalar_one_or_none()
            if found is not None:
                self._ids[account_id] = found
                return int(found)
        return None

    def those(self, conn: sa.Connection, account_ids: Iterable[int]) -> list[int]:
        """Return the ids here of some accounts of the history; nobody's for those who are gone."""
        found = (self.here(conn, account_id) for account_id in account_ids)
        return [account_id for account_id in found if account_id is not None]

    def until(self, conn: sa.Connection, account_id: int) -> int:
        """Return the id here up to which a pass over all accounts had come."""
        return self.here(conn, self._history.last_until(account_id)) or 0

    def _is_same(self, conn: sa.Connection, account_id: int, handles: list[str], platform_user_id: str | None) -> bool:
        """Tell whether the account with this id here is the one of the history: by its stable id, or by any handle."""
        row = _IDENTITY.run(conn, account_id).first()
        if row is None:
            return False
        handle, stable = row
        if handle in handles or (stable is not None and stable == platform_user_id):
            return True
        former = sa.select(handle_history.c.handle).where(handle_history.c.account_id == account_id)
        return not set(handles).isdisjoint(conn.execute(former).scalars())

    def keep(self, conn: sa.Connection, call: Call) -> None:
        """Keep the answer in the archive as it lay there."""
        if call.packed is not None:
            _BODY.run(conn, [(call.id, *call.packed)])

    def refuse(self, conn: sa.Connection, call: Call, lease: Lease) -> None:
        """End a lease as it ended then, without a page."""
        visit = call.visit
        assert visit is not None  # noqa: S101 - a reconciliation ends no lease
        is_over = call.is_last and visit.ended_at is not None
        was_killed = call.cause == "process_died"
        credits = runs.read_credits(conn, call.run_id)
        returned = Returned(
            lease=lease,
            maybe_charged=call.outcome == Outcome.UNCERTAIN,
            failed=(visit.reason or "") if is_over and visit.is_failed else None,
            restart=is_over and not visit.is_failed,
            cause=call.cause,
            request_id=call.request_id,
            counts_as_attempt=False,  # the count is taken over in the end
        )
        give_back(conn, credits, returned, now=call.at)
        runs.write_credits(conn, credits, failures=int(not was_killed))

    def pass_over(self, conn: sa.Connection, account_id: int) -> None:
        """Skip a waiting account that had no handle, as it was skipped then."""
        row = _IDENTITY.run(conn, account_id).first()
        if row is not None and row[0] is None and _STATE.run(conn, account_id).scalar() == State.QUEUED:
            skip_nameless(conn, account_id)

    def book(self, conn: sa.Connection, call: Call) -> None:
        """Book a call that held no lease here: a reconciliation, or one of an account that is forgotten."""
        conn.execute(
            sa.insert(ledger).values(
                id=call.id,
                run_id=call.run_id,
                account_id=call.account_id,
                cursor=call.cursor,
                at=call.at,
                outcome=call.outcome,
                charged=call.charged,
                uncertain=call.uncertain,
                request_id=call.request_id,
                cause=call.cause,
            )
        )
        credits = runs.read_credits(conn, call.run_id)
        credits.charged += call.charged
        credits.uncertain += call.uncertain
        was_refused = call.outcome in {Outcome.RELEASED, Outcome.UNCERTAIN} and call.cause != "process_died"
        runs.write_credits(conn, credits, pages=int(call.outcome == Outcome.SETTLED), failures=int(was_refused))

    def finish(self) -> Iterator[Callable[[sa.Connection], None]]:
        """Yield units of work that take over what no page says, to be run in this order, each in a transaction."""
        yield self._take_over_small
        rows: list[Any] = []
        for row in self._history.waiting():
            rows.append(row)
            if len(rows) == CHUNK:
                yield partial(self._take_over, rows=rows)
                rows = []
        yield partial(self._take_over, rows=rows)

    def _take_over_small(self, conn: sa.Connection) -> None:
        for visit in self._history.uncalled():
            account_id = self._hold(conn, visit, process_id=0, now=visit.started_at)
            conn.execute(
                sa.update(frontier)
                .where(frontier.c.account_id == account_id)
                .values(state=int(State.QUEUED), lease_process=None)
            )
        for row in self._history.rows(balances):
            conn.execute(sa.insert(balances).values(row))
        for row in self._history.rows(allowances):
            if row["kind"] == SEED:
                seed = self.here(conn, int(row["key"]))
                if seed is None:
                    continue
                row["key"] = str(seed)
            conn.execute(sa.insert(allowances).values(row))
        for row in self._history.rows(control_draws):
            if (drawn := self.here(conn, row["account_id"])) is not None:
                conn.execute(sa.insert(control_draws).values(row | {"account_id": drawn}))
        known = set(conn.execute(sa.select(meta.c.key)).scalars())
        for row in self._history.rows(meta):
            if row["key"] not in known:
                conn.execute(sa.insert(meta).values(row))

    def _take_over(self, conn: sa.Connection, rows: list[Any]) -> None:
        for row in rows:
            if row.account_id in self._known:
                account_id = row.account_id
            elif row.account_id in self._ids:
                account_id = self._ids[row.account_id]
            else:
                continue  # never visited
            state = _STATE.run(conn, account_id).scalar()
            if state is None:
                continue
            is_waiting = state == State.QUEUED and row.state in {State.QUEUED, State.LEASED, State.DEFERRED}
            if not is_waiting and state != row.state:
                continue  # today's rules say otherwise of this list
            _TAKE_OVER.run(conn, account_id, row.state, row.attempts, row.not_before, row.lease_process, row.leased_at)
            if row.state == State.LEASED:
                run_id = conn.execute(
                    sa.select(processes.c.run_id).where(processes.c.id == row.lease_process)
                ).scalar_one_or_none()
                _RESERVE.run(conn, run_id, 1)


def _add(conn: sa.Connection, handle: str, platform_user_id: str | None, visit: Visit) -> int:
    account_id: int = conn.execute(
        sa.insert(accounts)
        .values(
            handle=handle,
            platform_user_id=platform_user_id,
            first_seen_at=visit.started_at,
            updated_at=visit.started_at,
        )
        .returning(accounts.c.id)
    ).scalar_one()
    conn.execute(
        sa.insert(frontier).values(account_id=account_id, state=int(State.QUEUED), priority=0.0, depth=visit.depth)
    )
    return account_id
