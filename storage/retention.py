"""How long people are kept: what a study's policy says is due to go, and its going, in one transaction.

Due are: everybody once the last day is over; accounts that nothing has shown for too long; accounts that no longer
exist; raw answers that are too old; profile fields that are not to be stored. The books always stay.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import sqlalchemy as sa

from storage import archive as archives
from storage import erasure, holders
from storage.erasure import Scrub
from storage.schema import (
    Completeness,
    accounts,
    archive,
    dictionaries,
    follows,
    frontier,
    ledger,
    receipts,
    visits,
)

PURGED = "purged"
"""The act of a purge's receipt, and the cause in the ledger of a page whose raw answer was deleted for its age."""

DAY_S = 86_400.0

COLUMNS = {"bio": accounts.c.bio, "avatar": accounts.c.avatar_url, "region": accounts.c.region,
           "language": accounts.c.language}  # fmt: skip
"""Where a profile field that can be left out is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a policy says of time. `retain_until` is the end of the last day, in Unix seconds."""

    retain_until: float | None = None
    keep_days: int | None = None
    delete_missing: bool = False
    left_out: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What has to go. `missing` and `unseen` are account ids; `fields` counts values by field."""

    everybody: bool = False
    missing: list[int] = field(default_factory=list)
    unseen: list[int] = field(default_factory=list)
    answers: int = 0
    fields: dict[str, int] = field(default_factory=dict)

    @property
    def is_nothing(self) -> bool:
        """Whether the policy is kept."""
        return not (self.everybody or self.missing or self.unseen or self.answers or self.fields)

    @property
    def counts(self) -> dict[str, int]:
        """Return how much is due, by what it is; nothing of what is not due."""
        found = {
            "accounts_missing": len(self.missing),
            "accounts_unseen": len(self.unseen),
            "raw_answers": self.answers,
            **{f"field_{name}": count for name, count in self.fields.items()},
        }
        return {name: count for name, count in found.items() if count}


def due(conn: sa.Connection, rules: Rules, *, now: float) -> Due:
    """Return what is due at a time (Unix seconds). Reads every account, and with `keep_days` every follow."""
    known = conn.execute(sa.select(sa.func.count()).select_from(accounts)).scalar_one()
    if rules.retain_until is not None and now >= rules.retain_until and known:
        return Due(everybody=True)
    missing: list[int] = []
    if rules.delete_missing:
        is_gone = frontier.c.completeness == Completeness.NOT_FOUND
        missing = list(conn.execute(sa.select(frontier.c.account_id).where(is_gone)).scalars())
    unseen, answers = [], 0
    if rules.keep_days is not None:
        before = now - rules.keep_days * DAY_S
        unseen = sorted(set(_unseen(conn, before)) - set(missing))
        old = sa.select(sa.func.count()).select_from(archive.join(ledger, ledger.c.id == archive.c.ledger_id))
        answers = conn.execute(old.where(ledger.c.at < before)).scalar_one()
    fields = {
        name: conn.execute(sa.select(sa.func.count(COLUMNS[name]))).scalar_one() for name in sorted(rules.left_out)
    }
    return Due(
        missing=missing,
        unseen=unseen,
        answers=answers,
        fields={name: count for name, count in fields.items() if count},
    )


def purge(
    conn: sa.Connection, rules: Rules, *, scrub: Scrub, strip: Callable[[bytes], bytes], now: float
) -> dict[str, int]:
    """Delete what is due and return what went, as counts; nothing where nothing is due.

    The caller holds the lock of the one crawl and has nothing in flight. `strip` takes the fields that are left out
    from an answer.
    """
    found = due(conn, rules, now=now)
    if found.is_nothing:
        return {}
    until = int(now)
    if found.everybody:
        holders.keep_purge(conn, "accounts", since=0, until=until)
        return erasure.erase_everybody(conn)
    done = found.counts
    if found.missing:
        done |= _compared(conn, found.missing)
    for cause, ids in (("missing", found.missing), ("unseen", found.unseen)):
        if ids:
            people = erasure.identities(conn, ids)
            erased = erasure.erase(conn, people, scrub=scrub, now=now)
            since = min(person.first_seen_at for person in people)
            holders.keep_purge(conn, "accounts", since=since, until=until)
            done[f"follows_of_{cause}"] = erased.follows
            if erased.known_only_through:
                done[f"known_only_through_{cause}"] = erased.known_only_through
    if rules.keep_days is not None:
        _delete_answers(conn, now - rules.keep_days * DAY_S)
    if found.answers:
        holders.keep_purge(conn, "answers", since=0, until=until)
    for name in found.fields:
        conn.execute(sa.update(accounts).where(COLUMNS[name].is_not(None)).values({COLUMNS[name].name: None}))
    if found.fields:
        holders.keep_purge(conn, "fields", since=0, until=until)
        archives.rewrite(conn, strip)
    return done


def _unseen(conn: sa.Connection, before: float) -> list[int]:
    """Return the accounts that no page has shown since; seeds whose list was not asked for yet are waiting."""
    latest = sa.func.coalesce(follows.c.last_visit, follows.c.first_visit)
    listed = sa.select(follows.c.dst).join(visits, visits.c.id == latest).where(visits.c.started_at >= before)
    read = sa.select(visits.c.account_id).where(visits.c.started_at >= before)
    ever_read = sa.select(visits.c.account_id)
    return list(
        conn.execute(
            sa.select(accounts.c.id)
            .outerjoin(frontier, frontier.c.account_id == accounts.c.id)
            .where(
                accounts.c.first_seen_at < before,
                accounts.c.updated_at < before,
                accounts.c.id.not_in(listed),
                accounts.c.id.not_in(read),
                sa.or_(frontier.c.depth != 0, accounts.c.id.in_(ever_read)),
            )
        ).scalars()
    )


def _delete_answers(conn: sa.Connection, before: float) -> None:
    """Delete raw answers, and make dictionaries anew that were made of such."""
    old = sa.select(ledger.c.id).where(ledger.c.at < before)
    conn.execute(
        sa.update(ledger)
        .where(ledger.c.at < before, ledger.c.id.in_(sa.select(archive.c.ledger_id)))
        .values(cause=PURGED)
    )
    conn.execute(sa.delete(archive).where(archive.c.ledger_id.in_(old)))
    if conn.execute(sa.select(dictionaries.c.id).where(dictionaries.c.trained_at < before).limit(1)).first():
        archives.rewrite(conn, lambda body: body)


def _compared(conn: sa.Connection, missing: list[int]) -> dict[str, int]:
    """Return how many visited accounts follow the vanished and the rest, as medians: is their deletion biased?"""
    gone = set(missing)
    count = sa.select(accounts.c.id, sa.func.count(follows.c.dst)).outerjoin(
        follows, sa.and_(follows.c.dst == accounts.c.id, follows.c.ended_visit.is_(None))
    )
    observed: tuple[list[int], list[int]] = [], []
    for row in conn.execute(count.group_by(accounts.c.id)):
        observed[row[0] in gone].append(row[1])
    rest, vanished = (round(median(values)) if values else 0 for values in observed)
    return {"missing_followers_observed_median": vanished, "rest_followers_observed_median": rest}


def purges(conn: sa.Connection) -> list[Mapping[str, Any]]:
    """Return what each purge did, oldest first, with its time as `at`."""
    rows = conn.execute(sa.select(receipts).where(receipts.c.act == PURGED).order_by(receipts.c.id)).all()
    return [{"at": row.at, **json.loads(row.details)} for row in rows]


def standing_cost(conn: sa.Connection, refresh_every_s: float) -> float:
    """Return the credits a day that it takes to look again at every visited account that often."""
    pages = conn.execute(
        sa.select(sa.func.coalesce(sa.func.sum(visits.c.pages), 0)).where(
            visits.c.id.in_(sa.select(sa.func.max(visits.c.id)).where(visits.c.pages > 0).group_by(visits.c.account_id))
        )
    ).scalar_one()
    return float(pages) * DAY_S / refresh_every_s
