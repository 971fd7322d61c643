"""Who is kept out: keyed hashes of people who opted out or were forgotten, asked before every write and purchase.

Invariant: where a database keeps somebody out and its project key cannot be used, nothing is written: a list that
cannot be checked must not be passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import sqlalchemy as sa

from storage import errors, runs, secret
from storage.schema import accounts, handle_history, optouts, receipts, withheld
from storage.secret import ProjectKey
from storage.statement import Lookup

OPTED_OUT = "opted_out"
"""Why an entry is skipped, and why a hash is kept: they asked not to be collected."""

FORGOTTEN = "forgotten"
"""Why a hash is kept: they were collected and erased."""

_PATH = "project_key"
_FINGERPRINT = "project_key_fingerprint"
REMEMBERED = (_PATH, _FINGERPRINT)
"""What a database remembers of its key."""

_CACHE = "followgraph.gate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What somebody to be kept out is known by; `hashes` are tags of the same project key."""

    handles: Sequence[str] = ()
    ids: Sequence[str] = ()
    hashes: Sequence[str] = ()

    def tags(self, key: ProjectKey) -> dict[str, str]:
        """Return the kind of each hash that they are kept out by."""
        return {
            **dict.fromkeys(self.hashes, "hash"),
            **{key.tag("handle", handle): "handle" for handle in self.handles},
            **{key.tag("id", stable): "id" for stable in self.ids},
        }


@dataclass(frozen=True, slots=True)
class Gate:
    """The list in memory, of a database that keeps somebody out."""

    key: ProjectKey
    persons: dict[str, int]
    """Person by hash."""
    identified: set[int] = field(default_factory=set)
    """Persons whose platform id is among their hashes: a handle of theirs under another id is somebody else's now."""

    def person(self, handle: str | None, platform_user_id: str | None) -> int | None:
        """Return who of the list an account is, None for everybody else."""
        if platform_user_id is not None:
            found = self.persons.get(self.key.tag("id", platform_user_id))
            if found is not None:
                return found
        if handle is None:
            return None
        found = self.persons.get(self.key.tag("handle", handle))
        if found is not None and (platform_user_id is None or found not in self.identified):
            return found
        return None

    def persons_of(self, handles: Iterable[str], platform_user_id: str | None) -> set[int]:
        """Return everybody of the list whom one of these handles or the id means."""
        found = {self.person(handle, platform_user_id) for handle in (*handles, None)}
        return {person for person in found if person is not None}


def gate(conn: sa.Connection) -> Gate | None:
    """Return the list of this database, None where nobody is kept out. Raises KeyUnusable where it cannot be asked."""
    if _CACHE not in conn.info:
        rows = conn.execute(sa.select(optouts.c.hash, optouts.c.kind, optouts.c.person)).all()
        conn.info[_CACHE] = (
            Gate(
                bound_key(conn),
                {row.hash: row.person for row in rows},
                {row.person for row in rows if row.kind == "id"},
            )
            if rows
            else None
        )
    found: Gate | None = conn.info[_CACHE]
    return found


def is_kept_out(conn: sa.Connection, handle: str | None, platform_user_id: str | None = None) -> bool:
    """Tell whether an account must neither be stored nor bought."""
    known = gate(conn)
    return known is not None and known.person(handle, platform_user_id) is not None


_IDENTITY = Lookup(
    accounts.c.id,
    lambda condition: sa.select(accounts.c.id, accounts.c.handle, accounts.c.platform_user_id).where(condition),
)


def kept_out(conn: sa.Connection, account_ids: Iterable[int]) -> set[int]:
    """Return which of these stored accounts must not be bought: they were met under another name before."""
    known = gate(conn)
    if known is None:
        return set()
    return {row[0] for row in _IDENTITY.run(conn, account_ids) if known.person(row[1], row[2]) is not None}


def stored(conn: sa.Connection, known: Gate | None) -> list[int]:
    """Return the accounts that are stored although a list keeps them out. Hashes every account, handles of old too.

    There are some where a person was listed under a name that nobody had connected with the stored one, and in copies.
    """
    if known is None:
        return []
    named: Iterable[tuple[int, str | None, str | None]] = (
        (row.id, row.handle, row.platform_user_id)
        for row in conn.execute(sa.select(accounts.c.id, accounts.c.handle, accounts.c.platform_user_id))
    )
    found = {account_id for account_id, handle, stable in named if known.person(handle, stable) is not None}
    former = sa.select(handle_history.c.account_id, handle_history.c.handle, accounts.c.platform_user_id).join(
        accounts, accounts.c.id == handle_history.c.account_id
    )
    found |= {row[0] for row in conn.execute(former) if known.person(row[1], row[2]) is not None}
    return sorted(found)


def learn(conn: sa.Connection, person: int, handle: str, platform_user_id: str | None, *, now: float) -> None:
    """Keep a person out under what they are called now as well; nothing is written where it is known."""
    known = gate(conn)
    assert known is not None  # noqa: S101 - who is of the list was found in it
    tags = [("handle", known.key.tag("handle", handle))]
    if platform_user_id is not None:
        tags.append(("id", known.key.tag("id", platform_user_id)))
    new = [(kind, tag) for kind, tag in tags if tag not in known.persons]
    if not new:
        return
    reason = conn.execute(sa.select(optouts.c.reason).where(optouts.c.person == person).limit(1)).scalar_one()
    conn.execute(
        sa.insert(optouts),
        [{"hash": tag, "kind": kind, "person": person, "reason": reason, "at": int(now)} for kind, tag in new],
    )
    conn.info.pop(_CACHE)


def add(conn: sa.Connection, key: ProjectKey, people: Iterable[Person], *, reason: str, now: float) -> int:
    """Keep people out from now on; returns how many of them were not kept out before."""
    known = {
        row.hash: row.person for row in conn.execute(sa.select(optouts.c.hash, optouts.c.person).order_by(optouts.c.at))
    }
    next_person = max(known.values(), default=0) + 1
    count = 0
    for each in people:
        tags = each.tags(key)
        before = [known[tag] for tag in tags if tag in known]
        person = before[0] if before else next_person
        if not before:
            next_person += 1
            count += 1
        for tag, kind in tags.items():
            if tag not in known:
                known[tag] = person
                conn.execute(sa.insert(optouts).values(hash=tag, kind=kind, person=person, reason=reason, at=int(now)))
    conn.info.pop(_CACHE, None)
    return count


def persons_of_tags(conn: sa.Connection, tags: Iterable[str]) -> set[int]:
    """Return who is kept out by one of these hashes."""
    return set(conn.execute(sa.select(optouts.c.person).where(optouts.c.hash.in_(list(tags)))).scalars())


def count_withheld(conn: sa.Connection, visit_id: int, count: int) -> None:
    """Count accounts that a visit listed and that were not kept."""
    change = sa.update(withheld).where(withheld.c.visit_id == visit_id).values(accounts=withheld.c.accounts + count)
    if conn.execute(change).rowcount == 0:
        conn.execute(sa.insert(withheld).values(visit_id=visit_id, accounts=count))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOut:
    """How many people are kept out, by why, and how often lists named one of them."""

    opted_out: int
    forgotten: int
    withheld: int


def count(conn: sa.Connection) -> KeptOut:
    """Count who is kept out; needs no key."""
    counted = sa.select(optouts.c.reason, sa.func.count(sa.distinct(optouts.c.person))).group_by(optouts.c.reason)
    by_reason: dict[str, int] = {row[0]: row[1] for row in conn.execute(counted)}
    times = conn.execute(sa.select(sa.func.coalesce(sa.func.sum(withheld.c.accounts), 0))).scalar_one()
    return KeptOut(opted_out=by_reason.get(OPTED_OUT, 0), forgotten=by_reason.get(FORGOTTEN, 0), withheld=int(times))


def receipt(conn: sa.Connection, *, act: str, details: Mapping[str, int], now: float) -> str:
    """Keep what was done and return its hash: SHA-256 of time, act and counts, one a line."""
    written = json.dumps(dict(details), sort_keys=True)
    hash = hashed(int(now), act, written)
    conn.execute(sa.insert(receipts).values(at=int(now), act=act, details=written, hash=hash))
    return hash


def hashed(at: int, act: str, details: str) -> str:
    """Return the hash of a receipt."""
    return sha256(f"{at}\n{act}\n{details}".encode("utf-8", "surrogatepass")).hexdigest()


def bind(conn: sa.Connection, key: ProjectKey) -> None:
    """Remember where the key lies. Raises KeyUnusable where the database has hashes of another key."""
    fingerprint = runs.recall(conn, _FINGERPRINT)
    if fingerprint is not None and fingerprint != key.fingerprint:
        raise errors.KeyUnusable(f"{key.path} is not the project key of this database ({fingerprint})")
    path = str(key.path.resolve())
    if fingerprint is None:
        runs.remember(conn, _FINGERPRINT, key.fingerprint)
    if runs.recall(conn, _PATH) != path:
        runs.remember(conn, _PATH, path)


def bound_path(conn: sa.Connection) -> Path | None:
    """Return where the database's own key lies, None where it has none."""
    path = runs.recall(conn, _PATH)
    return None if path is None else Path(path)


def bound_key(conn: sa.Connection) -> ProjectKey:
    """Return the database's own key. Raises KeyUnusable."""
    path = bound_path(conn)
    if path is None:
        raise errors.KeyUnusable("the database keeps people out and does not say where its project key is")
    key = secret.read(path)
    if key.fingerprint != runs.recall(conn, _FINGERPRINT):
        raise errors.KeyUnusable(f"{path} is not the project key of this database")
    return key
