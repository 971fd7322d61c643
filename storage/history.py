"""How a database came about: its calls with their answers and its acts, in the order in which they were written.

Read from the ledger, the archive and the journal of one consistent state.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from storage import errors
from storage import journal as journals
from storage.archive import Bodies
from storage.driver import translate
from storage.optout import FORGOTTEN
from storage.schema import Outcome, State, accounts, archive, frontier, handle_history, journal, ledger, visits
from storage.statement import Statement

CHUNK = 500
"""Rows read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A visit as it is known in the end, and whose list it read."""

    id: int
    run_id: int
    account_id: int
    depth: int
    started_at: int
    ended_at: int | None
    reason: str | None
    cash: float | None
    priority: float | None
    queue: str | None
    seed_id: int | None
    picked_depth: int | None
    is_failed: bool
    """Whether its account was given up with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A row of the ledger. `visit` is None for a reconciliation; `body` and `packed` are of settled ones."""

    id: int
    run_id: int
    visit: Visit | None
    account_id: int | None
    cursor: str
    at: int
    outcome: str
    charged: int
    uncertain: int
    request_id: str | None
    cause: str | None
    is_last: bool
    """Whether its visit has no later call."""
    body: bytes | None
    packed: tuple[int | None, bytes] | None
    """The answer as it lies in the archive: its dictionary and the compressed body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """An entry of the journal. `is_inferred`: older than the journal, and concluded when the database was upgraded."""

    id: int
    act: str
    details: dict[str, Any]
    is_inferred: bool


_IS_PAGE = sa.and_(ledger.c.outcome == Outcome.SETTLED, sa.func.coalesce(ledger.c.cause, "") != FORGOTTEN)
"""A page whose answer belongs in the archive: of those of forgotten accounts only the price is left."""


@contextmanager
def done_again(event: Call | Deed) -> Iterator[None]:
    """Do an event again. Raises ArchiveIncomplete where it cannot be: we never wrote it, or not as it stands there.

    What a note says has the right types; whether there are such strategies, filters or processes only doing it tells.
    """
    try:
        yield
    except errors.DatabaseError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        re.error,
        sa.exc.SQLAlchemyError,
    ) as error:
        known = translate(error)
        if isinstance(known, errors.DatabaseError):
            raise known from error
        which = f"note {event.id} of the journal" if isinstance(event, Deed) else f"ledger row {event.id}"
        raise errors.ArchiveIncomplete(f"{which} is not what this program writes: it cannot be done again") from error


class History:
    """The history of a database, read over one connection in one transaction."""

    def __init__(self, conn: sa.Connection) -> None:
        self._conn = conn

    def check(self) -> int:
        """Return how many calls there are. Raises NothingArchived or ArchiveIncomplete where answers are missing."""
        calls, last, settled, archived = self._conn.execute(
            sa.select(
                sa.func.count(),
                sa.func.coalesce(sa.func.max(ledger.c.id), 0),
                sa.func.coalesce(sa.func.sum(sa.case((_IS_PAGE, 1), else_=0)), 0),
                sa.func.count(archive.c.ledger_id),
            ).select_from(ledger.outerjoin(archive, archive.c.ledger_id == ledger.c.id))
        ).one()
        if settled and not archived:
            raise errors.NothingArchived("no answer was archived (storage.archive = off)")
        if archived < settled:
            missing = settled - archived
            raise errors.ArchiveIncomplete(f"{missing:,} of {settled:,} answers were not archived")
        if calls != last:
            raise errors.ArchiveIncomplete(f"{last - calls:,} rows are missing from the ledger")
        return int(calls)

    def events(self) -> Iterator[Call | Deed]:
        """Yield everything that happened, in order."""
        deeds = self._deeds()
        coming = next(deeds, None)
        for call in self._calls():
            while coming is not None and coming[0] < call.id:
                yield coming[1]
                coming = next(deeds, None)
            yield call
        while coming is not None:
            yield coming[1]
            coming = next(deeds, None)

    def _deeds(self) -> Iterator[tuple[int, Deed]]:
        after = 0
        while True:
            rows: Any = self._conn.execute(
                sa.select(journal).where(journal.c.id > after).order_by(journal.c.id).limit(CHUNK)
            ).all()
            for row in rows:
                try:
                    details = journals.read(row.act, row.details)
                    is_inferred = bool(details.pop("inferred", False))
                except (ValueError, TypeError, RecursionError):
                    raise errors.ArchiveIncomplete(f"note {row.id} of the journal cannot be read") from None
                yield row.ledger_id, Deed(id=row.id, act=row.act, details=details, is_inferred=is_inferred)
            if len(rows) < CHUNK:
                return
            after = rows[-1].id

    def _calls(self) -> Iterator[Call]:
        last = self._last_calls
        bodies = Bodies(self._conn)
        newest = visits.alias("newest")
        is_newest = visits.c.id == (
            sa.select(sa.func.max(newest.c.id)).where(newest.c.account_id == visits.c.account_id).scalar_subquery()
        )
        query = (
            sa.select(
                ledger,
                *_OF_VISIT,
                sa.and_(frontier.c.state == int(State.FAILED), is_newest).label("is_failed"),
                archive.c.dictionary_id,
                archive.c.body,
            )
            .select_from(
                ledger.outerjoin(visits, visits.c.id == ledger.c.visit_id)
                .outerjoin(frontier, frontier.c.account_id == visits.c.account_id)
                .outerjoin(archive, archive.c.ledger_id == ledger.c.id)
            )
            .order_by(ledger.c.id)
            .limit(CHUNK)
        )
        after = 0
        while True:
            rows: Any = self._conn.execute(query.where(ledger.c.id > after)).all()
            for row in rows:
                packed = None if row.body is None else (row.dictionary_id, row.body)
                yield Call(
                    id=row.id,
                    run_id=row.run_id,
                    visit=None if row.of_visit is None else _visit(row, is_failed=bool(row.is_failed)),
                    account_id=row.account_id,
                    cursor=row.cursor,
                    at=row.at,
                    outcome=row.outcome,
                    charged=row.charged,
                    uncertain=row.uncertain,
                    request_id=row.request_id,
                    cause=row.cause,
                    is_last=row.visit_id is None or last[row.visit_id] == row.id,
                    body=None if packed is None else bodies.read(row.id, *packed),
                    packed=packed,
                )
            if len(rows) < CHUNK:
                return
            after = rows[-1].id

    @cached_property
    def _last_calls(self) -> array[int]:
        """The last call of every visit, by the visit's id; 0 where there was none."""
        known, named = self._conn.execute(
            sa.select(
                sa.select(sa.func.coalesce(sa.func.max(visits.c.id), 0)).scalar_subquery(),
                sa.select(sa.func.coalesce(sa.func.max(ledger.c.visit_id), 0)).scalar_subquery(),
            )
        ).one()
        count = max(known, named)
        last = array("q", bytes(8 * (count + 1)))
        for visit_id, call in self._conn.execute(
            sa.select(ledger.c.visit_id, ledger.c.id).where(ledger.c.visit_id.is_not(None)).order_by(ledger.c.id)
        ):
            last[visit_id] = call
        return last

    def uncalled(self) -> list[Visit]:
        """Return the visits that were begun and have no call in the ledger yet: their first page is in flight."""
        rows: Any = self._conn.execute(
            sa.select(*_OF_VISIT)
            .select_from(visits.join(frontier, frontier.c.account_id == visits.c.account_id))
            .where(visits.c.ended_at.is_(None), visits.c.pages == 0)
            .order_by(visits.c.id)
        ).all()
        last = self._last_calls
        return [_visit(row, is_failed=False) for row in rows if not last[row.of_visit]]

    def identity(self, account_id: int) -> tuple[list[str], str | None] | None:
        """Return every handle that an account is known to have had, the present one first, and its stable id.

        None for one that was forgotten.
        """
        row = _IDENTITY.run(self._conn, account_id).first()
        if row is None:
            return None
        return [*([] if row[0] is None else [row[0]]), *self._former_handles.get(account_id, ())], row[1]

    def last_until(self, account_id: int) -> int:
        """Return the last account up to an id, 0 before the first."""
        last = sa.select(sa.func.coalesce(sa.func.max(accounts.c.id), 0)).where(accounts.c.id <= account_id)
        return int(self._conn.execute(last).scalar_one())

    @cached_property
    def _former_handles(self) -> dict[int, list[str]]:
        former: dict[int, list[str]] = {}
        for account_id, handle in self._conn.execute(
            sa.select(handle_history.c.account_id, handle_history.c.handle).order_by(handle_history.c.id.desc())
        ):
            former.setdefault(account_id, []).append(handle)
        return former

    def rows(self, table: sa.Table) -> Iterator[dict[str, Any]]:
        """Yield the rows of a small table."""
        for row in self._conn.execute(sa.select(table).order_by(*table.primary_key.columns)):
            yield dict(row._mapping)

    def waiting(self) -> Iterator[Any]:
        """Yield what of the frontier no page says: attempts, times and leases, by account."""
        columns = (
            frontier.c.account_id,
            frontier.c.state,
            frontier.c.attempts,
            frontier.c.not_before,
            frontier.c.lease_process,
            frontier.c.leased_at,
        )
        yield from self._conn.execute(
            sa.select(*columns)
            .where(
                sa.or_(
                    frontier.c.state.in_([int(State.LEASED), int(State.DEFERRED)]),
                    frontier.c.attempts != 0,
                    frontier.c.leased_at.is_not(None),
                )
            )
            .order_by(frontier.c.account_id)
        )


_IDENTITY = Statement(
    sa.select(accounts.c.handle, accounts.c.platform_user_id).where(accounts.c.id == sa.bindparam("of_account")),
    ("of_account",),
)

_OF_VISIT = (
    visits.c.id.label("of_visit"),
    visits.c.run_id.label("opened_by"),
    visits.c.account_id.label("of_account"),
    frontier.c.depth,
    visits.c.started_at,
    visits.c.ended_at,
    visits.c.reason,
    visits.c.cash,
    visits.c.priority,
    visits.c.queue,
    visits.c.seed_id,
    visits.c.depth.label("picked_depth"),
)


def _visit(row: Any, *, is_failed: bool) -> Visit:
    return Visit(
        id=row.of_visit,
        run_id=row.opened_by,
        account_id=row.of_account,
        depth=row.depth,
        started_at=row.started_at,
        ended_at=row.ended_at,
        reason=row.reason,
        cash=row.cash,
        priority=row.priority,
        queue=row.queue,
        seed_id=row.seed_id,
        picked_depth=row.picked_depth,
        is_failed=is_failed,
    )
