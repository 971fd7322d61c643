"""Seeds: the accounts a study starts from, at depth 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from storage import journal, optout
from storage.accounts import FILTERED, Register
from storage.depth import shorten
from storage.journal import Act
from storage.ordering import Candidate, Ordering
from storage.schema import State, accounts, frontier

SEED_CASH = 1.0
"""What a seed starts with, in units of 1/n of n seeds: only ratios count, so that later seeds weigh the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """Handles that were added to the frontier, those that were seeds already, and those of people who are kept out."""

    added: list[str]
    known: list[str]
    withheld: list[str]


def add(conn: sa.Connection, handles: Sequence[str], *, ordering: Ordering, now: float) -> Seeded:
    """Put normalised handles into the frontier at depth 0; an account known from a listing becomes a seed as well."""
    added: list[str] = []
    known: list[str] = []
    withheld: list[str] = []
    for handle in dict.fromkeys(handles):
        if optout.is_kept_out(conn, handle):
            withheld.append(handle)
            continue
        row = conn.execute(
            sa.select(accounts.c.id, frontier.c.depth)
            .select_from(accounts.outerjoin(frontier, frontier.c.account_id == accounts.c.id))
            .where(accounts.c.handle == handle)
        ).one_or_none()
        if row is None:
            account_id = conn.execute(
                sa.insert(accounts)
                .values(handle=handle, first_seen_at=int(now), updated_at=int(now))
                .returning(accounts.c.id)
            ).scalar_one()
            journal.note(conn, Act.SEEDED, handle=handle, at=int(now))
            place = ordering.place(Candidate(account_id, cash=SEED_CASH))
            conn.execute(
                sa.insert(frontier).values(
                    account_id=account_id,
                    state=int(State.QUEUED),
                    lane=place.lane,
                    priority=place.priority,
                    depth=0,
                    cash=SEED_CASH,
                    seed_id=account_id,
                )
            )
            added.append(handle)
        elif row.depth == 0:
            known.append(handle)
        else:
            journal.note(conn, Act.SEEDED, handle=handle, at=int(now))
            register = Register(conn, now=int(now))
            register.load((), [row.id])
            entry = register.by_id(row.id)
            entry.cash += SEED_CASH
            # Of the entries behind it those skipped as too deep stay so until a crawl says what its limit is.
            shorten(conn, register, entry, 0, ordering=ordering, max_depth=0)
            if entry.state == State.SKIPPED and entry.reason == FILTERED:  # who is named is wanted
                entry.state, entry.reason = State.QUEUED, None
            entry.rank(ordering)
            register.flush_frontier()
            conn.execute(sa.update(frontier).where(frontier.c.account_id == row.id).values(seed_id=row.id))
            added.append(handle)
    return Seeded(added=added, known=known, withheld=withheld)
