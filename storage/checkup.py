"""Checks of everything that can be checked in a file: what was found, how bad it is, and what to do about it.

Each check is one question to the database that counts what breaks an invariant, so that millions of rows take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from storage import errors, invariants, schema
from storage.driver import beyond_ascii, damages, is_marked, names, translate
from storage.ranking import RANKED_BY
from storage.runs import recall
from storage.schema import Outcome, State, accounts, frontier, ledger, processes, runs

Severity = Literal["warning", "failure"]

SILENT_S = 120.0
"""A process that holds leases and was not heard of for this long is taken for dead; it beats every 15 seconds."""

_SHOWN = 3
"""Lines of SQLite's own words that are shown of a damaged file."""

MEND = "`followgraph doctor --repair` mends it, after a backup copy."
RESTORE = "Restore the last backup, or report this: it is a fault of ours."


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding. `code` is stable and for machines, `finding` and `remedy` are sentences."""

    code: str
    severity: Severity
    finding: str
    remedy: str
    is_mendable: bool = False
    """Whether a repair mends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the file itself does not say. `now` in Unix seconds, None where nobody is to be judged by the time."""

    now: float | None = None
    is_alone: bool = False
    """Whether the asker holds the lock of the one crawl: then every open lease is a dead process's."""
    rankings: Collection[str] | None = None
    """Names of all rankings that the program knows; None: not checked."""


_UNKNOWN = Surroundings()


def problems(conn: sa.Connection, around: Surroundings = _UNKNOWN) -> list[Problem]:
    """Run all checks; an empty list is a sound database. Reads everything, so minutes on very large files."""
    damaged = list(_integrity(conn)) or list(_tables(conn))
    if damaged:
        return damaged  # what else is asked of such a file may fail, or mean nothing
    return [problem for check in _CHECKS for problem in check(conn, around)]


def _integrity(conn: sa.Connection) -> Iterator[Problem]:
    try:
        rows = damages(conn)
    except sa.exc.DatabaseError as error:
        told = translate(error)
        if not isinstance(told, errors.Corrupt):
            raise
        rows = [told.problem]
    if rows:
        lines = [line.strip() for row in rows for line in row.splitlines()]
        yield Problem(
            code="integrity",
            severity="failure",
            finding=f"the file is damaged: {'; '.join(lines[:_SHOWN])}",
            remedy=(
                "Stop writing to it. Put the last backup in its place, or write it anew from its archive: "
                "followgraph replay --from OLD --db NEW"
            ),
        )


def _tables(conn: sa.Connection) -> Iterator[Problem]:
    found = names(conn)
    wanted = set(schema.metadata.tables)
    wanted |= {str(index.name) for table in schema.metadata.tables.values() for index in table.indexes}
    versions = list(conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalars())
    lacking = sorted(wanted - found)
    if lacking:
        finding = f"tables or indexes are missing: {', '.join(lacking)}"
    elif versions != [schema.HEAD]:
        finding = f"the schema is {', '.join(versions) or 'not named'}, this program's is {schema.HEAD}"
    elif not is_marked(conn):
        finding = "the file does not say that it is a followgraph database"
    else:
        return
    yield Problem(code="schema", severity="failure", finding=finding, remedy=RESTORE)


def _sums(conn: sa.Connection, _: Surroundings) -> Iterator[Problem]:
    books = booked(conn)
    leases = open_leases(conn)
    for run in conn.execute(sa.select(runs).order_by(runs.c.id)):
        expected = books.get(run.id, NOTHING_BOOKED)
        said = (run.charged, run.uncertain, run.pages, run.errors)
        if expected != said:
            yield Problem(
                code="run_sums",
                severity="failure",
                finding=(
                    f"run {run.id} says {said[0]} charged, {said[1]} uncertain, {said[2]} pages, {said[3]} errors; "
                    f"its ledger says {', '.join(map(str, expected))}"
                ),
                remedy=f"The ledger is right. {MEND}",
                is_mendable=True,
            )
        if run.reserved != leases.get(run.id, 0):
            yield Problem(
                code="reservations",
                severity="failure",
                finding=f"run {run.id} has {run.reserved} credits reserved and {leases.get(run.id, 0)} open leases",
                remedy=MEND,
                is_mendable=True,
            )
        if run.charged + run.uncertain + run.reserved > run.budget:
            yield Problem(
                code="over_budget",
                severity="warning",
                finding=f"run {run.id} has used more than its budget of {run.budget} credits",
                remedy="An answer cost more than the provider's price list says; see the ledger.",
            )


Booked = tuple[int, int, int, int]
"""Charged, uncertain, pages and errors of a run."""

NOTHING_BOOKED: Booked = (0, 0, 0, 0)


def booked(conn: sa.Connection) -> dict[int, Booked]:
    """Return what the ledger says of every run that it names."""
    is_page = ledger.c.outcome == Outcome.SETTLED
    is_error = sa.and_(
        ledger.c.outcome.in_([Outcome.RELEASED, Outcome.UNCERTAIN]),
        sa.func.coalesce(ledger.c.cause, "") != "process_died",
    )
    found: Any = conn.execute(
        sa.select(
            ledger.c.run_id,
            sa.func.sum(ledger.c.charged),
            sa.func.sum(ledger.c.uncertain),
            sa.func.sum(sa.case((is_page, 1), else_=0)),
            sa.func.sum(sa.case((is_error, 1), else_=0)),
        ).group_by(ledger.c.run_id)
    ).all()
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in found}


def open_leases(conn: sa.Connection) -> dict[int, int]:
    """Return how many leases every run has open; a lease is its process's run's."""
    found: Any = conn.execute(
        sa.select(processes.c.run_id, sa.func.count())
        .select_from(frontier.join(processes, processes.c.id == frontier.c.lease_process))
        .where(sa.literal_column("state") == sa.literal_column("1"))
        .group_by(processes.c.run_id)
    ).all()
    return {row[0]: row[1] for row in found}


def _leases(conn: sa.Connection, around: Surroundings) -> Iterator[Problem]:
    is_dead: sa.ColumnElement[bool] = processes.c.ended_at.is_not(None)
    if around.is_alone:
        is_dead = sa.true()
    elif around.now is not None:
        is_dead = sa.or_(is_dead, processes.c.heartbeat_at < int(around.now - SILENT_S))
    held = conn.execute(
        sa.select(sa.func.count())
        .select_from(frontier.join(processes, processes.c.id == frontier.c.lease_process))
        .where(frontier.c.state == int(State.LEASED), is_dead)
    ).scalar_one()
    if held:
        yield Problem(
            code="leases_of_the_dead",
            severity="warning",
            finding=f"{held} entries are leased by processes that have ended or are not heard of",
            remedy="The next crawl takes them back and lists their pages as uncertain; so does doctor --repair.",
            is_mendable=True,
        )


def _ranking(conn: sa.Connection, around: Surroundings) -> Iterator[Problem]:
    ranked_by = recall(conn, RANKED_BY)
    if around.rankings is not None and ranked_by is not None and ranked_by.partition("/")[0] not in around.rankings:
        yield Problem(
            code="ranking_unknown",
            severity="failure",
            finding=f"the frontier is ranked by {ranked_by!r}, which nobody here knows",
            remedy=f"{MEND} The next crawl then ranks it anew.",
            is_mendable=True,
        )


def _handles(conn: sa.Connection, _: Surroundings) -> Iterator[Problem]:
    # The database's lower() knows ASCII only; handles beyond it are few enough to be looked at here.
    wrong = conn.exec_driver_sql(
        "SELECT count(*) FROM accounts WHERE handle <> lower(trim(handle)) OR handle = '' OR substr(handle, 1, 1) = '@'"
    ).scalar_one()
    wrong += sum(handle != handle.strip().lower() for handle in beyond_ascii(conn, accounts.c.handle))
    if wrong:
        yield Problem(
            code="handles_not_normalised",
            severity="failure",
            finding=f"{wrong} handles are not in the form that is asked for and compared (no @, lower case)",
            remedy=RESTORE,
        )


def _counted(conn: sa.Connection, _: Surroundings) -> Iterator[Problem]:
    for question in invariants.ALL:
        row: Any = conn.exec_driver_sql(question.sql).one()
        for count, broken in zip(row, question.broken, strict=True):
            if count:
                yield Problem(
                    code=broken.code,
                    severity=broken.severity,
                    finding=broken.finding.format(count=count),
                    remedy=broken.remedy or (MEND if broken.is_mendable else RESTORE),
                    is_mendable=broken.is_mendable,
                )


_CHECKS: tuple[Callable[[sa.Connection, Surroundings], Iterator[Problem]], ...] = (
    _sums,
    _leases,
    _ranking,
    _handles,
    _counted,
)
