"""Forgetting people and keeping them out: from a name to a database, its copies and its exports without them.

Invariant: the erasure and the hash that keeps a person out are one transaction; a kill before it leaves everything,
a kill after it leaves nothing but traces in unused parts of the file, which the next call removes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from socialfetch.errors import Malformed
from socialfetch.scrubbing import scrubbed
from storage import erasure, errors, optout, outputs, persons, runs
from storage.database import Database
from storage.erasure import Erased, Identity, Who
from storage.optout import Person
from storage.outputs import Output
from storage.persons import Wanted
from storage.secret import ProjectKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

SCOUR = "scour_due"
"""Remembered while deleted rows may have left bytes in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A file that held somebody who is forgotten. `state` is there, changed or gone."""

    path: str
    kind: str
    state: str


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
    """Exports and reports made since the first of them was stored."""


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
    people, erased, kept_out, receipt = database.transact(work)
    is_scoured = scour(database)
    copies, left = _forget_in_copies(database, now=now)
    since = min((person.first_seen_at for person in people), default=None)
    return Forgotten(
        at=int(at),
        act=reason,
        receipt=receipt,
        erased=erased,
        unknown=len(wanted) - len({person.account_id for person in people}),
        kept_out=kept_out,
        is_scoured=is_scoured,
        copies=copies,
        copies_left=left,
        holders=[] if since is None else list(_holders(outputs.recorded(database.path), since)),
    )


def forget_met(database: Database, *, now: Callable[[], float]) -> int:
    """Erase those stored who turned out to be kept out under another name; returns how many. Before a crawl."""
    at = now()

    def work(conn: Connection) -> int:
        met = optout.stored(conn, optout.gate(conn))
        if met:
            _erase(conn, erasure.identities(conn, met), act=optout.FORGOTTEN, now=at)
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
) -> tuple[list[Identity], Erased, int, str]:
    optout.bind(conn, key)
    found = persons.find(conn, wanted, key)
    identified = erasure.identities(conn, sorted({each for some in found for each in some}))
    by_id = {person.account_id: person for person in identified}
    erased, receipt = _erase(conn, identified, act=reason, now=now)
    people = [
        Person(
            handles=[*([] if each.handle is None else [each.handle]), *(h for a in some for h in by_id[a].handles)],
            ids=[
                *([] if each.platform_user_id is None else [each.platform_user_id]),
                *(stable for a in some if (stable := by_id[a].platform_user_id) is not None),
            ],
            hashes=[] if each.tag is None else [each.tag],
        )
        for each, some in zip(wanted, found, strict=True)
    ]
    kept_out = optout.add(conn, key, people, reason=reason, now=now)
    return identified, erased, kept_out, receipt


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


def _forget_in_copies(database: Database, *, now: Callable[[], float]) -> tuple[list[str], list[str]]:
    """Erase everybody who is kept out from the copies beside a database; returns those changed, and those left alone.

    Everybody, not only who is forgotten just now: a kill may have come between a database and its copies.
    """
    gate = database.transact(optout.gate)
    done, left = [], []
    for path in sorted(database.path.parent.glob(f"{database.path.name}.*.backup")):
        try:
            Database.open(path, now=now, mode="read").close()  # an older schema is left alone
            copy = Database.open(path, now=now, mode="write")
        except errors.DatabaseError:
            left.append(str(path))
            continue
        try:
            copy.claim()

            def work(conn: Connection) -> bool:
                met = optout.stored(conn, gate)
                if met:
                    _erase(conn, erasure.identities(conn, met), act=optout.FORGOTTEN, now=now())
                return bool(met)

            if copy.transact(work):
                done.append(str(path))
            scour(copy)
        finally:
            copy.close()
            Path(f"{path}.lock").unlink(missing_ok=True)
    return done, left


def _holders(made: Iterator[Output], since: int) -> Iterator[Holder]:
    for output in made:
        if output.at >= since and output.level != "aggregate":
            for path, expected in output.files.items():
                yield Holder(path=path, kind=output.kind, state=outputs.state(Path(path), expected))


def delete(holders: Sequence[Holder]) -> list[str]:
    """Delete those that still are what was made; returns their paths. What was changed since is left alone."""
    deleted = []
    for holder in holders:
        if holder.state == "there":
            Path(holder.path).unlink()
            deleted.append(holder.path)
    return deleted


def document(done: Forgotten) -> dict[str, Any]:
    """Return the receipt as JSON."""
    return asdict(done)
