"""Forgetting people and keeping them out: from a name to a database, its copies and its exports without them.

Invariant: the erasure and the hash that keeps a person out are one transaction; a kill before it leaves everything,
a kill after it leaves nothing but traces in unused parts of the file, which the next call removes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from socialfetch.errors import Malformed
from socialfetch.scrubbing import scrubbed
from storage import erasure, errors, holders, optout, persons, runs
from storage.database import Database
from storage.erasure import Erased, Identity, Who
from storage.holders import Holder, Span
from storage.optout import Person
from storage.persons import Wanted
from storage.secret import ProjectKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

SCOUR = "scour_due"
"""Remembered while deleted rows may have left bytes in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What was done. `receipt` is the hash of `at`, `act` and the counts, as the database keeps it."""

    at: int
    act: str
    receipt: str
    erased: Erased
    unknown: int
    """People named that were not stored: they are kept out from now on."""
    kept_out: int
    """People kept out now who were not before."""
    is_scoured: bool
    copies: Sequence[str] = ()
    """Copies beside the database from which they were erased too."""
    copies_left: Sequence[str] = ()
    """Copies of an older schema, or damaged: they may still hold them."""
    holders: Sequence[Holder] = field(default_factory=list)
    """Exports, reports and copies made while one of them was stored, now or when they were forgotten before."""


def forget(
    database: Database,
    wanted: Sequence[Wanted],
    *,
    key: ProjectKey,
    reason: str,
    now: Callable[[], float],
) -> Forgotten:
    """Erase people from a database whose lock the caller holds, and keep them out.

    Raises persons.NotFound for a pseudonym that is nobody's, a DatabaseError, and nothing was changed then.
    """
    at = now()
    work = partial(_forget, wanted=wanted, key=key, reason=reason, now=at)
    people, erased, kept_out, receipt, spans = database.transact(work)
    is_scoured = scour(database)
    copies = _forget_in_copies(database, now=now)
    return Forgotten(
        at=int(at),
        act=reason,
        receipt=receipt,
        erased=erased,
        unknown=len(wanted) - len({person.account_id for person in people}),
        kept_out=kept_out,
        is_scoured=is_scoured,
        copies=copies.changed,
        copies_left=copies.left,
        holders=holders.find(database.path, spans, clean=copies.clean),
    )


def forget_met(database: Database, *, now: Callable[[], float]) -> int:
    """Erase those stored who turned out to be kept out under another name; returns how many. Before a crawl."""
    at = now()

    def work(conn: Connection) -> int:
        known = optout.gate(conn)
        met = optout.stored(conn, known)
        if known is not None and met:
            database.require_file()
            people = erasure.identities(conn, met)
            _erase(conn, people, act=optout.FORGOTTEN, now=at)
            for each in people:
                for person in known.persons_of(each.handles, each.platform_user_id):
                    holders.keep_person(conn, person, since=each.first_seen_at, until=int(at))
        return len(met)

    count = database.transact(work)
    scour(database)
    if count:
        _forget_in_copies(database, now=now)
    return count


def scour(database: Database) -> bool:
    """Remove what deleted rows left in the file, where that is due; tell whether nothing is left to do."""
    if database.transact(partial(runs.recall, key=SCOUR)) != "yes":
        return True
    if not database.scour():
        return False
    database.transact(partial(runs.keep, key=SCOUR, value="no"))
    return True


def _forget(
    conn: Connection, wanted: Sequence[Wanted], *, key: ProjectKey, reason: str, now: float
) -> tuple[list[Identity], Erased, int, str, list[Span]]:
    optout.bind(conn, key)
    # Whom a pseudonym meant is known of those forgotten under it before.
    before = {
        each: optout.persons_of_tags(conn, [key.tag(_PSEUDONYM, each.pseudonym)])
        for each in wanted
        if each.pseudonym is not None
    }
    asked = [each for each in wanted if not before.get(each)]
    found = persons.find(conn, asked, key)
    identified = erasure.identities(conn, sorted({each for some in found for each in some}))
    by_id = {person.account_id: person for person in identified}
    pseudonym_of = dict(persons.pseudonyms(conn, key)) if any(each.pseudonym is not None for each in asked) else {}
    erased, receipt = _erase(conn, identified, act=reason, now=now)
    people = [
        Person(
            handles=[*([] if each.handle is None else [each.handle]), *(h for a in some for h in by_id[a].handles)],
            ids=[
                *([] if each.platform_user_id is None else [each.platform_user_id]),
                *(stable for a in some if (stable := by_id[a].platform_user_id) is not None),
            ],
            hashes=[
                *([] if each.tag is None else [each.tag]),
                *(key.tag(_PSEUDONYM, pseudonym_of[a]) for a in some if each.pseudonym is not None),
            ],
        )
        for each, some in zip(asked, found, strict=True)
    ]
    kept_out = optout.add(conn, key, people, reason=reason, now=now)
    known = {person for some in before.values() for person in some}
    for each, some in zip(people, found, strict=True):
        mine = optout.persons_of_tags(conn, each.tags(key))
        known |= mine
        for person in mine if some else ():
            since = min(by_id[a].first_seen_at for a in some)
            holders.keep_person(conn, person, since=since, until=int(now))
    return identified, erased, kept_out, receipt, holders.of_persons(conn, known)


_PSEUDONYM = "pseudonym"
"""The kind of a tag that tells who was forgotten under a pseudonym."""


def _erase(conn: Connection, people: Sequence[Identity], *, act: str, now: float) -> tuple[Erased, str]:
    conn.exec_driver_sql("PRAGMA secure_delete = ON")
    erased = erasure.erase(conn, people, scrub=scrub, now=now)
    if people:
        runs.keep(conn, SCOUR, "yes")
    return erased, optout.receipt(conn, act=act, details=asdict(erased), now=now)


def scrub(body: bytes, who: Who) -> tuple[bytes, list[int]]:
    """Take listings out of an archived answer. What cannot be read is emptied: nobody can tell whom it names."""
    try:
        return scrubbed(body, who)
    except Malformed:
        return b"", []


def _forget_in_copies(database: Database, *, now: Callable[[], float]) -> Copies:
    """Erase everybody who is kept out from the copies beside a database.

    Everybody, not only who is forgotten just now: a kill may have come between a database and its copies.
    """
    gate = database.transact(optout.gate)

    def work(conn: Connection) -> bool:
        met = optout.stored(conn, gate)
        if met:
            _erase(conn, erasure.identities(conn, met), act=optout.FORGOTTEN, now=now())
        return bool(met)

    return in_copies(database, work, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """The copies beside a database: those changed, the places of all that were scoured, and those left alone."""

    changed: Sequence[str]
    clean: Collection[str]
    left: Sequence[str]


def in_copies(database: Database, work: Callable[[Connection], bool], *, now: Callable[[], float]) -> Copies:
    """Do the same in every copy beside a database; `work` tells whether it changed anything.

    A copy of an older schema, or a damaged one, is left alone.
    """
    changed, clean, left = [], set(), []
    for path in sorted(database.path.parent.glob(f"{database.path.name}.*.backup")):
        try:
            Database.open(path, now=now, mode="read").close()  # opened for writing an older one would be upgraded
            copy = Database.open(path, now=now, mode="write")
        except errors.DatabaseError:
            left.append(str(path))
            continue
        try:
            copy.claim()
            if copy.transact(work):
                changed.append(str(path))
            if scour(copy):
                clean.add(str(path.resolve()))
        finally:
            copy.close()
            path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    return Copies(changed=changed, clean=clean, left=left)
