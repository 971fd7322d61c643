"""Mends what can be mended without guessing, after a backup copy; everything else is left and said.

Safe is what another part of the file says better: sums from the ledger, reservations from the leases, depths from the
follows. Invariant: no row of the ledger, no page and no follow is changed or removed; a maybe charged credit is never
taken for a free one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from storage import checkup, driver, frontier, lock, runs
from storage.backup import Copied, beside
from storage.checkup import NOTHING_BOOKED, Problem, Surroundings, problems
from storage.depth import recount
from storage.migration import bring_to_head
from storage.ranking import MIXED, RANKED_BY
from storage.schema import Completeness, Outcome, State, ledger, processes
from storage.schema import frontier as entries
from storage.schema import runs as run_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """One thing that was mended. `code` is the finding's, `change` a sentence."""

    code: str
    change: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What a repair did. `copy` was made beside the database before; `left` is what is still wrong."""

    copy: Copied | None
    mended: Sequence[Mended] = ()
    left: Sequence[Problem] = field(default_factory=list)


def repair(path: Path, *, now: Callable[[], float], rankings: Collection[str]) -> Repaired:
    """Upgrade and mend a database while nobody crawls. `rankings` are the names of all that the program knows.

    Nothing is written where nothing can be mended, nor to a file that is damaged. Raises LockedByCrawl and other
    DatabaseErrors.
    """
    driver.check_file(path)
    with ExitStack() as at_last, ExitStack() as opened:
        readers = driver.read_engine(path)
        opened.callback(readers.dispose)
        with driver.translated(path), readers.connect() as conn:
            driver.refuse_others(conn, path)
        engine = driver.write_engine(path, create=False)
        opened.callback(engine.dispose)
        with driver.translated(path):
            upgraded = bring_to_head(engine, path, now=now)
            at_last.callback(lock.take(path).release)  # it may be given back only when no connection is open
            return _repaired(engine, readers, path, upgraded, now=now, rankings=rankings)


def _repaired(
    engine: sa.Engine,
    readers: sa.Engine,
    path: Path,
    upgraded: Copied | None,
    *,
    now: Callable[[], float],
    rankings: Collection[str],
) -> Repaired:
    around = Surroundings(now=now(), is_alone=True, rankings=rankings)
    with readers.connect() as conn:
        found = problems(conn, around)
    codes = {problem.code for problem in found if problem.is_mendable}
    if not codes:
        return Repaired(copy=upgraded, left=found)
    copy = beside(path, "before-repair", now=now) if upgraded is None else upgraded
    with engine.begin() as conn:
        mended = mend(conn, codes, now=now())
    with readers.connect() as conn:
        left = problems(conn, around)
    return Repaired(copy=copy, mended=mended, left=left)


def mend(conn: sa.Connection, codes: Collection[str], *, now: float) -> list[Mended]:
    """Mend these findings in one transaction. The caller holds the lock of the one crawl."""
    return [
        Mended(code=code, change=change)
        for code, mending in _MENDINGS.items()
        if code in codes or code in _FOLLOWING
        for change in mending(conn, now)
    ]


def _stale_cursors(conn: sa.Connection, _: float) -> list[str]:
    is_stale = sa.and_(
        entries.c.cursor.is_not(None),
        entries.c.visit_id.is_(None),
        sa.func.coalesce(entries.c.completeness, "") != Completeness.CAPPED,
    )
    count = conn.execute(sa.update(entries).where(is_stale).values(cursor=None)).rowcount
    return _told(count, "{count} cursors of ended lists were cleared")


def _lease_leftovers(conn: sa.Connection, _: float) -> list[str]:
    is_left = sa.and_(entries.c.state != int(State.LEASED), entries.c.lease_process.is_not(None))
    count = conn.execute(sa.update(entries).where(is_left).values(lease_process=None)).rowcount
    return _told(count, "{count} entries that are not leased name no process any more")


def _never_due(conn: sa.Connection, _: float) -> list[str]:
    is_never = sa.and_(entries.c.state == int(State.DEFERRED), entries.c.not_before.is_(None))
    count = conn.execute(sa.update(entries).where(is_never).values(state=int(State.QUEUED))).rowcount
    return _told(count, "{count} entries that waited for no time are queued")


def _leases_of_the_dead(conn: sa.Connection, now: float) -> list[str]:
    count = frontier.reclaim(conn, now=now)
    return _told(count, "{count} leases of dead processes were taken back; their credits are uncertain")


def _leases_without_process(conn: sa.Connection, now: float) -> list[str]:
    """Queue what is leased by nobody. Whether it was charged is as unknown as for any dead process."""
    newest = runs.last(conn)
    if newest is None:
        return []
    is_nobodys = sa.and_(
        entries.c.state == int(State.LEASED),
        sa.or_(entries.c.lease_process.is_(None), entries.c.lease_process.not_in(sa.select(processes.c.id))),
    )
    held: Any = conn.execute(
        sa.select(entries.c.account_id, entries.c.visit_id, entries.c.cursor).where(is_nobodys)
    ).all()
    for row in held:
        conn.execute(
            sa.insert(ledger).values(
                run_id=newest.id,
                visit_id=row.visit_id,
                account_id=row.account_id,
                cursor=row.cursor or "",
                at=int(now),
                outcome=Outcome.UNCERTAIN,
                charged=0,
                uncertain=1,
                cause="process_died",
            )
        )
    conn.execute(
        sa.update(entries).where(is_nobodys).values(state=int(State.QUEUED), lease_process=None, leased_at=None)
    )
    return _told(len(held), "{count} leases of nobody were taken back; their credits are uncertain")


_LOST = """
SELECT a.id, a.private, a.following, v.completeness, s.handle IS NOT NULL AS is_seed
FROM accounts a
LEFT JOIN frontier f ON f.account_id = a.id
LEFT JOIN (SELECT DISTINCT json_extract(details, '$.handle') AS handle FROM journal WHERE act = 'seeded') s
       ON s.handle = a.handle
LEFT JOIN (SELECT account_id, max(id) AS id FROM visits WHERE ended_at IS NOT NULL AND pages > 0 GROUP BY account_id) l
       ON l.account_id = a.id
LEFT JOIN visits v ON v.id = l.id
WHERE f.account_id IS NULL AND a.id NOT IN (SELECT account_id FROM visits WHERE ended_at IS NULL)
"""


_FAR = 2**31
"""A depth that every follow contradicts."""


def _accounts_without_entry(conn: sa.Connection, _: float) -> list[str]:
    """Give an entry to accounts that have none, unless a list of theirs is half read: its cursor is not known."""
    lost: Any = conn.exec_driver_sql(_LOST).all()
    for row in lost:
        state, reason = State.QUEUED, None
        if row.completeness is not None:
            state = State.DONE
        elif row.private:
            state, reason = State.SKIPPED, "private"
        elif row.following == 0:
            state, reason = State.SKIPPED, "no_following"
        conn.execute(
            sa.insert(entries).values(
                account_id=row.id,
                state=int(state),
                priority=0.0,
                depth=0 if row.is_seed else _FAR,
                reason=reason,
                completeness=row.completeness,
            )
        )
    if lost:
        recount(conn)
        conn.execute(sa.update(entries).where(entries.c.depth == _FAR).values(depth=0))  # nobody lists them
        runs.remember(conn, RANKED_BY, MIXED)
    return _told(len(lost), "{count} accounts got a frontier entry; the next crawl ranks them")


def _depths(conn: sa.Connection, _: float) -> list[str]:
    count = recount(conn)
    if count:
        runs.remember(conn, RANKED_BY, MIXED)
    return _told(count, "{count} accounts are as far from a seed as the follows say; the next crawl ranks them anew")


def _ranking(conn: sa.Connection, _: float) -> list[str]:
    runs.remember(conn, RANKED_BY, MIXED)
    return ["the next crawl ranks the frontier anew"]


def _sums(conn: sa.Connection, _: float) -> list[str]:
    """Set the runs' books to what ledger and leases say."""
    changes = []
    books, leases = checkup.booked(conn), checkup.open_leases(conn)
    for run in conn.execute(sa.select(run_rows).order_by(run_rows.c.id)).all():
        charged, uncertain, pages, failures = books.get(run.id, NOTHING_BOOKED)
        right = {
            "charged": charged,
            "uncertain": uncertain,
            "pages": pages,
            "errors": failures,
            "reserved": leases.get(run.id, 0),
        }
        wrong = [
            f"{name} {run._mapping[name]} → {value}" for name, value in right.items() if run._mapping[name] != value
        ]
        if wrong:
            conn.execute(sa.update(run_rows).where(run_rows.c.id == run.id).values(right))
            changes.append(f"run {run.id}: {', '.join(wrong)}")
    return changes


def _told(count: int, sentence: str) -> list[str]:
    return [sentence.format(count=f"{count:,}")] if count else []


_MENDINGS: dict[str, Callable[[sa.Connection, float], list[str]]] = {
    "stale_cursors": _stale_cursors,
    "lease_leftovers": _lease_leftovers,
    "never_due": _never_due,
    "leases_of_the_dead": _leases_of_the_dead,
    "leases_without_process": _leases_without_process,
    "too_deep": _depths,
    "accounts_without_entry": _accounts_without_entry,
    "ranking_unknown": _ranking,
    "run_sums": _sums,
}
"""In this order: what comes later sees what was mended before."""

_FOLLOWING = {"run_sums"}
"""Mended whatever was found: others change what it is made of."""
