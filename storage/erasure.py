"""Forgetting people: everything the database holds of an account, taken out in one transaction.

What stays is what is not about them: the price of the calls, other people's data, and counts. Invariant: afterwards
every check of the database holds and its archive can still be replayed, as if the account had never been listed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import sqlalchemy as sa

from storage import archive as archives
from storage import frontier as entries
from storage.optout import FORGOTTEN, count_withheld
from storage.schema import (
    Outcome,
    accounts,
    archive,
    balances,
    budget_changes,
    daemon,
    dictionaries,
    follows,
    frontier,
    handle_history,
    journal,
    ledger,
    meta,
    metadata,
    optouts,
    orders,
    past_follows,
    processes,
    receipts,
    rereads,
    runs,
    visits,
    withheld,
)

CHUNK = 500
"""Values of a statement at once."""

Who = Callable[[str, str | None], int | None]
"""Tells which account a listing means by its handle and platform id, None for all that stay."""

Scrub = Callable[[bytes, Who], tuple[bytes, list[int]]]
"""Takes the listings of some accounts out of an answer; returns it and whom it listed, once for each listing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Everything by which one stored account can be recognised."""

    account_id: int
    handles: tuple[str, ...]
    """The present one first, then those it had."""
    platform_user_id: str | None
    texts: tuple[str, ...] = ()
    """Its name and bio."""
    first_seen_at: int = 0


@dataclass(slots=True, kw_only=True)
class Erased:
    """What went, as counts: nobody's name."""

    accounts: int = 0
    follows: int = 0
    visits: int = 0
    calls: int = 0
    """Rows of the ledger that name nobody any more; their credits stay in the books."""
    answers_deleted: int = 0
    answers_rewritten: int = 0
    known_only_through: int = 0
    """Accounts that stood in no other list, were never visited and are no seeds: they went with the lists."""


@dataclass(slots=True)
class _Listed:
    """How often the visits that stay listed those who go."""

    by_visit: dict[int, Counter[int]] = field(default_factory=dict)

    def add(self, visit_id: int, listed: Sequence[int]) -> None:
        self.by_visit.setdefault(visit_id, Counter()).update(listed)


def identities(conn: sa.Connection, account_ids: Sequence[int]) -> list[Identity]:
    """Return what these accounts are known by."""
    found = []
    for part in _parts(account_ids):
        former: dict[int, list[str]] = {}
        for row in conn.execute(
            sa.select(handle_history.c.account_id, handle_history.c.handle)
            .where(handle_history.c.account_id.in_(part))
            .order_by(handle_history.c.id.desc())
        ):
            former.setdefault(row.account_id, []).append(row.handle)
        for row in conn.execute(sa.select(accounts).where(accounts.c.id.in_(part)).order_by(accounts.c.id)):
            handles = [row.handle] if row.handle is not None else []
            found.append(
                Identity(
                    account_id=row.id,
                    handles=tuple(dict.fromkeys([*handles, *former.get(row.id, ())])),
                    platform_user_id=row.platform_user_id,
                    texts=tuple(text for text in (row.display_name, row.bio) if text),
                    first_seen_at=row.first_seen_at,
                )
            )
    return found


def erase(conn: sa.Connection, people: Sequence[Identity], *, scrub: Scrub, now: float) -> Erased:
    """Take these accounts out, in the transaction of the caller, who holds the lock of the one crawl.

    `PRAGMA secure_delete` is the caller's too. Raises ArchiveUnreadable where an answer cannot be looked at.
    """
    done = Erased(accounts=len(people))
    if not people:
        return done
    entries.reclaim(conn, now=now)  # a lease of a dead process is booked before its account goes
    gone = [person.account_id for person in people]
    lists = _values(conn, visits.c.id, visits.c.account_id, gone)
    done.visits = len(lists)
    for part in _parts(lists):
        written = conn.execute(sa.select(ledger.c.id).where(ledger.c.visit_id.in_(part))).scalars().all()
        for some in _parts(written):
            done.answers_deleted += conn.execute(sa.delete(archive).where(archive.c.ledger_id.in_(some))).rowcount
    listed = _rewrite(conn, people, scrub, done)
    _correct_counters(conn, gone, set(lists), listed)
    only_through = _only_through(conn, gone)
    done.follows = _delete_follows(conn, gone)
    done.calls = _anonymise_calls(conn, gone, lists)
    only_through = [each for part in _parts(only_through) for each in _unlisted(conn, part)]
    done.known_only_through = len(only_through)
    for part in _parts(lists):
        conn.execute(sa.delete(visits).where(visits.c.id.in_(part)))
        conn.execute(sa.delete(withheld).where(withheld.c.visit_id.in_(part)))
        conn.execute(sa.delete(rereads).where(rereads.c.visit_id.in_(part)))
    _delete_notes(conn, people)
    _delete_elsewhere(conn, people)
    for part in _parts([*gone, *only_through]):
        conn.execute(sa.delete(handle_history).where(handle_history.c.account_id.in_(part)))
        conn.execute(sa.delete(frontier).where(frontier.c.account_id.in_(part)))
        conn.execute(sa.delete(accounts).where(accounts.c.id.in_(part)))
    return done


def _rewrite(conn: sa.Connection, people: Sequence[Identity], scrub: Scrub, done: Erased) -> _Listed:
    """Take them out of every archived answer, and out of the dictionaries that the answers are compressed with."""
    who, listed = _who(people), _Listed()
    bodies, rewriter = archives.Bodies(conn), archives.Rewriter(conn)
    tainted = _tainted(conn, people)
    successor = None
    if tainted:
        samples = (bodies.read(row.ledger_id, row.dictionary_id, row.body) for row in archives.answers(conn))
        successor = rewriter.train(scrub(body, who)[0] for body in islice(samples, archives.TRAINING_PAGES))
    for row in archives.answers(conn):
        before = bodies.read(row.ledger_id, row.dictionary_id, row.body)
        body, whom = scrub(before, who)
        if whom:
            listed.add(row.visit_id, whom)
        done.answers_rewritten += body != before
        if row.dictionary_id in tainted:
            rewriter.store(row.ledger_id, successor, body)
        elif body != before:
            rewriter.store(row.ledger_id, row.dictionary_id, body)
    for part in _parts(sorted(tainted)):
        conn.execute(sa.delete(dictionaries).where(dictionaries.c.id.in_(part)))
    return listed


def _who(people: Sequence[Identity]) -> Who:
    by_id = {person.platform_user_id: person.account_id for person in people if person.platform_user_id is not None}
    by_handle = {handle: person for person in people for handle in person.handles}

    def who(handle: str, platform_user_id: str | None) -> int | None:
        if platform_user_id in by_id:
            return by_id[platform_user_id]
        person = by_handle.get(handle)
        if person is None:
            return None
        # Under another id the handle is somebody else's now.
        is_same = platform_user_id is None or person.platform_user_id in {None, platform_user_id}
        return person.account_id if is_same else None

    return who


_FRAGMENT = 8
"""Bytes in a row of a person's own words that are a trace of them in a dictionary."""


def _tainted(conn: sa.Connection, people: Sequence[Identity]) -> set[int]:
    """Return the dictionaries that may hold a piece of what these people are known by: they were made of answers."""
    pieces: set[bytes] = set()
    for person in people:
        for text in (*person.handles, person.platform_user_id or "", *person.texts):
            for written in {text.encode("utf-8", "surrogatepass").lower(), json.dumps(text)[1:-1].encode().lower()}:
                size = min(_FRAGMENT, len(written))
                pieces |= {written[at : at + size] for at in range(len(written) - size + 1) if size}
    found = set()
    for row in conn.execute(sa.select(dictionaries.c.id, dictionaries.c.content)):
        content = row.content.lower()
        windows = {content[at : at + _FRAGMENT] for at in range(len(content) - _FRAGMENT + 1)}
        if any(piece in windows if len(piece) == _FRAGMENT else piece in content for piece in pieces):
            found.add(row.id)
    return found


def _correct_counters(conn: sa.Connection, gone: Sequence[int], lists: set[int], listed: _Listed) -> None:
    """Make visits and runs say what they would, had their answers come as they lie in the archive now."""
    began: Counter[int] = Counter()
    """New follows of those who go, by the visit that stays and found them."""
    for table in (follows, past_follows):
        for part in _parts(gone):
            for row in conn.execute(
                sa.select(table.c.dst, table.c.first_visit, table.c.last_visit).where(table.c.dst.in_(part))
            ):
                if row.first_visit in lists:
                    continue
                began[row.first_visit] += 1
                for visit_id in {row.first_visit, row.last_visit} - {None}:
                    # Without the archive at least these two are known to have listed them.
                    if row.dst not in listed.by_visit.get(visit_id, ()):
                        listed.add(visit_id, [row.dst])
    for visit_id, times in listed.by_visit.items():
        conn.execute(
            sa.update(visits)
            .where(visits.c.id == visit_id)
            .values(
                listed=visits.c.listed - times.total(),
                edges=visits.c.edges - len(times),
                duplicates=visits.c.duplicates - (times.total() - len(times)),
                new_edges=visits.c.new_edges - began[visit_id],
            )
        )
        count_withheld(conn, visit_id, times.total())
    _correct_runs(conn, gone, began)


def _correct_runs(conn: sa.Connection, gone: Sequence[int], began: Counter[int]) -> None:
    """Take what the vanished visits brought, and the vanished follows, out of the runs' sums."""
    edges: Counter[int] = Counter()
    found: Counter[int] = Counter()
    for part in _parts(gone):
        for row in conn.execute(
            sa.select(visits.c.run_id, sa.func.sum(visits.c.new_edges), sa.func.sum(visits.c.new_accounts))
            .where(visits.c.account_id.in_(part))
            .group_by(visits.c.run_id)
        ):
            edges[row[0]] += row[1]
            found[row[0]] += row[2]
    for part in _parts(sorted(began)):
        for visit in conn.execute(sa.select(visits.c.id, visits.c.run_id).where(visits.c.id.in_(part))):
            edges[visit.run_id] += began[visit.id]
    rows = conn.execute(sa.select(runs.c.id, runs.c.new_edges, runs.c.new_accounts).order_by(runs.c.id)).all()
    for column, taken, have in (
        (runs.c.new_edges, edges, {row.id: row.new_edges for row in rows}),
        (runs.c.new_accounts, found, {row.id: row.new_accounts for row in rows}),
    ):
        shares = {run_id: min(count, taken[run_id]) for run_id, count in have.items()}
        left = taken.total() - sum(shares.values())
        for run_id, count in have.items():  # a run that went on with another's visit has the follows it brought there
            more = min(left, count - shares[run_id])
            left -= more
            conn.execute(sa.update(runs).where(runs.c.id == run_id).values({column: count - shares[run_id] - more}))


def _only_through(conn: sa.Connection, gone: Sequence[int]) -> list[int]:
    """Return the accounts in the vanishing lists that are no seeds and were never visited."""
    found: set[int] = set()
    for table in (follows, past_follows):
        for part in _parts(gone):
            found |= set(
                conn.execute(
                    sa.select(table.c.dst)
                    .join(frontier, frontier.c.account_id == table.c.dst)
                    .where(table.c.src.in_(part), frontier.c.depth > 0)
                ).scalars()
            )
    return sorted(found - set(gone))


def _unlisted(conn: sa.Connection, some: Sequence[int]) -> list[int]:
    """Return those that nobody lists any more and whose own list was never asked for."""
    stay: set[int] = set()
    for column in (follows.c.dst, past_follows.c.dst, visits.c.account_id, ledger.c.account_id):
        stay |= set(conn.execute(sa.select(column).where(column.in_(some))).scalars())
    return [each for each in some if each not in stay]


def _delete_follows(conn: sa.Connection, gone: Sequence[int]) -> int:
    count = 0
    for table in (follows, past_follows):
        for part in _parts(gone):
            count += conn.execute(sa.delete(table).where(sa.or_(table.c.src.in_(part), table.c.dst.in_(part)))).rowcount
    return count


def _anonymise_calls(conn: sa.Connection, gone: Sequence[int], lists: Sequence[int]) -> int:
    """Leave of their calls what they cost and when: no account, no visit, no cursor, no request id."""
    nobody: dict[str, Any] = {"visit_id": None, "account_id": None, "cursor": "", "request_id": None, "cause": _CAUSE}
    return sum(
        conn.execute(sa.update(ledger).where(column.in_(part)).values(nobody)).rowcount
        for column, values in ((ledger.c.account_id, gone), (ledger.c.visit_id, lists))
        for part in _parts(values)
    )


def erase_everybody(conn: sa.Connection) -> dict[str, int]:
    """Take every account out, and everything that tells of one; the books stay. Returns what went, as counts."""
    done = {
        name: int(conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
        for name, table in (("accounts", accounts), ("follows", follows), ("raw_answers", archive))
    }
    conn.execute(
        sa.update(ledger)
        .where(ledger.c.account_id.is_not(None))
        .values(visit_id=None, account_id=None, cursor="", request_id=None, cause=_CAUSE)
    )
    for table in metadata.sorted_tables:
        if table not in {*_OF_NOBODY, *_OF_OPERATORS}:
            conn.execute(sa.delete(table))
    conn.execute(sa.update(budget_changes).values(note=None))  # free text
    conn.execute(sa.update(runs).values(new_edges=0, new_accounts=0))
    return done


_OF_NOBODY = (ledger, runs, processes, balances, meta, optouts, receipts)
"""Tables that tell of no person: money, machines, and keyed hashes of those who are kept out."""

_OF_OPERATORS = (budget_changes, daemon, orders)
"""Tables that tell of whoever runs the study; of others only where a text quotes them."""

_CAUSE = sa.case((ledger.c.outcome == Outcome.SETTLED, FORGOTTEN), else_=ledger.c.cause)
"""The cause of an anonymised call: of a page only its price is left."""


def _delete_notes(conn: sa.Connection, people: Sequence[Identity]) -> None:
    """Take the notes that name them out of the journal."""
    handles = {handle for person in people for handle in person.handles}
    gone = {person.account_id for person in people}
    named = []
    for row in conn.execute(sa.select(journal.c.id, journal.c.details)):
        try:
            details = json.loads(row.details)
            names = details.get("account") in gone or not handles.isdisjoint(_texts(details))
            listed = details.get("accounts")
            queued = details.get("entries")
            left = details
            if isinstance(listed, list) and not gone.isdisjoint(listed):
                left = left | {"accounts": [each for each in listed if each not in gone]}
            if isinstance(queued, list) and not gone.isdisjoint(each[0] for each in queued):
                left = left | {"entries": [each for each in queued if each[0] not in gone]}
            if left is not details:
                change = sa.update(journal).where(journal.c.id == row.id)
                conn.execute(change.values(details=json.dumps(left, sort_keys=True)))
        except (ValueError, TypeError, AttributeError, RecursionError):
            names = True  # nobody can tell whom it names
        if names:
            named.append(row.id)
    for part in _parts(named):
        conn.execute(sa.delete(journal).where(journal.c.id.in_(part)))


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in nested JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


_HANDLED = (accounts, archive, dictionaries, follows, frontier, handle_history, journal, ledger, past_follows, rereads,
            visits, withheld)  # fmt: skip


def _delete_elsewhere(conn: sa.Connection, people: Sequence[Identity]) -> None:
    """Delete rows about them in every other table: by account, or where a text is or quotes a handle of theirs."""
    gone = [person.account_id for person in people]
    for table in metadata.sorted_tables:
        if table in _HANDLED or table in _OF_NOBODY:
            continue
        for column in table.columns:
            if column.name in {"account_id", "src", "dst"}:
                for part in _parts(gone):
                    conn.execute(sa.delete(table).where(column.in_(part)))
            elif isinstance(column.type, sa.Text):
                for handle in {handle for person in people for handle in person.handles}:
                    quotes = column.contains(json.dumps(handle), autoescape=True)
                    conn.execute(sa.delete(table).where(sa.or_(column == handle, quotes)))


def _values(conn: sa.Connection, wanted: sa.Column[int], by: sa.Column[int], values: Sequence[int]) -> list[int]:
    return [
        found
        for part in _parts(values)
        for found in conn.execute(sa.select(wanted).where(by.in_(part)).order_by(wanted)).scalars()
    ]


def _parts(values: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]
