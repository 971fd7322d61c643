"""Checks of everything that can be checked in a file: what was found, how bad it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from storage.schema import Outcome, State, accounts, follows, frontier, ledger, processes, runs, visits

Severity = Literal["warning", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding. `code` is stable and for machines, `finding` and `remedy` are sentences."""

    code: str
    severity: Severity
    finding: str
    remedy: str


def problems(conn: sa.Connection) -> list[Problem]:
    """Run all checks; an empty list is a sound database. Reads everything, so minutes on very large files."""
    return [problem for check in _CHECKS for problem in check(conn)]


def _integrity(conn: sa.Connection) -> Iterator[Problem]:
    rows = [row[0] for row in conn.exec_driver_sql("PRAGMA integrity_check(5)")]
    if rows != ["ok"]:
        yield Problem(
            code="integrity",
            severity="failure",
            finding=f"the file is damaged: {rows[0]}",
            remedy="Stop writing to it and restore the last backup.",
        )


def _sums(conn: sa.Connection) -> Iterator[Problem]:
    booked = sa.select(
        ledger.c.run_id,
        sa.func.sum(ledger.c.charged).label("charged"),
        sa.func.sum(ledger.c.uncertain).label("uncertain"),
        sa.func.sum(sa.case((ledger.c.outcome == Outcome.SETTLED, 1), else_=0)).label("pages"),
    ).group_by(ledger.c.run_id)
    by_run = {row.run_id: row for row in conn.execute(booked)}
    open_leases: Any = conn.execute(
        sa.select(processes.c.run_id, sa.func.count())
        .select_from(frontier.join(processes, processes.c.id == frontier.c.lease_process))
        .where(frontier.c.state == int(State.LEASED))
        .group_by(processes.c.run_id)
    ).all()
    leases: dict[int, int] = dict(map(tuple, open_leases))
    for run in conn.execute(sa.select(runs).order_by(runs.c.id)):
        row = by_run.get(run.id)
        expected = (0, 0, 0) if row is None else (row.charged, row.uncertain, row.pages)
        if expected != (run.charged, run.uncertain, run.pages):
            yield Problem(
                code="run_sums",
                severity="failure",
                finding=(
                    f"run {run.id} says {run.charged} charged, {run.uncertain} uncertain, {run.pages} pages; "
                    f"its ledger says {expected[0]}, {expected[1]}, {expected[2]}"
                ),
                remedy="The ledger is right. Restore the last backup, or report this: it is a fault of ours.",
            )
        if run.reserved != leases.get(run.id, 0):
            yield Problem(
                code="reservations",
                severity="failure",
                finding=f"run {run.id} has {run.reserved} credits reserved and {leases.get(run.id, 0)} open leases",
                remedy="Restore the last backup, or report this: it is a fault of ours.",
            )
        if run.charged + run.uncertain + run.reserved > run.budget:
            yield Problem(
                code="over_budget",
                severity="warning",
                finding=f"run {run.id} has used more than its budget of {run.budget} credits",
                remedy="An answer cost more than the provider's price list says; see the ledger.",
            )


def _edges(conn: sa.Connection) -> Iterator[Problem]:
    for side, column in (("from", follows.c.src), ("to", follows.c.dst)):
        missing = conn.execute(
            sa.select(sa.func.count())
            .select_from(follows.outerjoin(accounts, accounts.c.id == column))
            .where(accounts.c.id.is_(None))
        ).scalar_one()
        if missing:
            yield Problem(
                code="edges_without_accounts",
                severity="failure",
                finding=f"{missing} follows point {side} accounts that do not exist",
                remedy="Restore the last backup.",
            )
    loops = conn.execute(
        sa.select(sa.func.count()).select_from(follows).where(follows.c.src == follows.c.dst)
    ).scalar_one()
    if loops:
        yield Problem(
            code="self_follows",
            severity="failure",
            finding=f"{loops} accounts follow themselves",
            remedy="Restore the last backup.",
        )


def _entries(conn: sa.Connection) -> Iterator[Problem]:
    lost = conn.execute(
        sa.select(sa.func.count())
        .select_from(accounts.outerjoin(frontier, frontier.c.account_id == accounts.c.id))
        .where(frontier.c.account_id.is_(None))
    ).scalar_one()
    if lost:
        yield Problem(
            code="accounts_without_entry",
            severity="failure",
            finding=f"{lost} accounts have no frontier entry and would never be visited",
            remedy="Restore the last backup.",
        )
    open_after_end = conn.execute(
        sa.select(sa.func.count())
        .select_from(frontier.join(visits, visits.c.id == frontier.c.visit_id))
        .where(visits.c.ended_at.is_not(None))
    ).scalar_one()
    if open_after_end:
        yield Problem(
            code="ended_visits_open",
            severity="failure",
            finding=f"{open_after_end} entries go on with visits that have ended",
            remedy="Restore the last backup.",
        )
    held = conn.execute(
        sa.select(sa.func.count())
        .select_from(frontier.join(processes, processes.c.id == frontier.c.lease_process))
        .where(frontier.c.state == int(State.LEASED), processes.c.ended_at.is_not(None))
    ).scalar_one()
    if held:
        yield Problem(
            code="leases_of_the_dead",
            severity="warning",
            finding=f"{held} entries are leased by processes that have ended",
            remedy="The next crawl takes them back and lists their pages as uncertain.",
        )


_CHECKS: tuple[Callable[[sa.Connection], Iterator[Problem]], ...] = (_integrity, _sums, _edges, _entries)
