"""Row sums: what a database held of each account, as four numbers, so that a change can be laid to one account.

Of each account of a snapshot: its facts, its free texts, its list (follows, those that ended, visits), its calls. A sum
is made of row checksums and says nothing of what stands in them. Invariant: a sum that differs later is either laid to
a call or a receipt that came after the snapshot, or it is named.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from storage.optout import hashed
from storage.retention import COLUMNS
from storage.schema import accounts, follows, handle_history, ledger, past_follows, receipts, visits, withheld

FILE = "rows.sums"

MOST_ACCOUNTS = 100_000_000
"""Account ids that are summed up at most: ours are counted from 1, others may be anything."""

KINDS = ("facts", "texts", "lists", "calls")

_TEXTS = frozenset(column.name for column in COLUMNS.values())
_TABLES = (accounts, follows, past_follows, visits)

Sums = npt.NDArray[np.uint64]
"""One row for each of `KINDS`, one column for each account id from 0 on; 0 where there is nothing."""


@dataclass(frozen=True, slots=True)
class _Part:
    table: sa.Table
    key: str
    kind: str
    columns: Sequence[str]


def columns() -> dict[str, list[str]]:
    """Return which columns are summed up, by table: a later program may have more."""
    return {table.name: list(table.columns.keys()) for table in _TABLES}


def last_account(conn: sa.Connection) -> int:
    """Return the highest account id."""
    return int(conn.execute(sa.select(sa.func.coalesce(sa.func.max(accounts.c.id), 0))).scalar_one())


def sums(conn: sa.Connection, *, last_account: int, last_call: int, of: Mapping[str, Sequence[str]]) -> Sums:
    """Sum up the rows of the accounts up to an id, and of the calls up to an id; `of` is what `columns` returned.

    Reads every row. Raises ValueError for more accounts than anybody has, KeyError for unknown columns.
    """
    if not 0 <= last_account <= MOST_ACCOUNTS:
        raise ValueError("account ids beyond all counting")
    found = np.zeros((len(KINDS), last_account + 1), dtype=np.uint64)
    for table in _TABLES:
        if not set(of[table.name]) <= set(table.columns.keys()):
            raise KeyError(table.name)
    known = of["accounts"]
    parts = [
        _Part(accounts, "id", "facts", [name for name in known if name not in _TEXTS]),
        _Part(accounts, "id", "texts", ["id", *(name for name in known if name in _TEXTS)]),
        _Part(follows, "src", "lists", of["follows"]),
        _Part(past_follows, "src", "lists", of["past_follows"]),
        _Part(visits, "account_id", "lists", of["visits"]),
    ]
    for part in parts:
        query = sa.select(part.table.c[part.key], *(part.table.c[name] for name in part.columns))
        _add(found[KINDS.index(part.kind)], part.table.name, conn.execute(query))
    calls = sa.select(ledger.c.account_id, ledger.c.id, ledger.c.visit_id, ledger.c.account_id, ledger.c.cursor)
    rows = conn.execute(calls.where(ledger.c.id <= last_call, ledger.c.account_id.is_not(None)))
    _add(found[KINDS.index("calls")], "ledger", rows)
    return found


def _add(into: npt.NDArray[np.uint64], table: str, rows: Iterable[Any]) -> None:
    last = len(into) - 1  # no two rows are the same, so that none takes another out again
    for key, *values in rows:
        if isinstance(key, int) and 0 <= key <= last:
            line = f"{table} {values!r}".encode("utf-8", "surrogatepass")
            into[key] ^= np.frombuffer(blake2b(line, digest_size=8).digest(), dtype="<u8")[0]


def written(found: Sums) -> bytes:
    """Return the sums as they are kept: little-endian, one kind after another."""
    return found.astype("<u8").tobytes()


def read(content: bytes, *, last_account: int) -> Sums:
    """Read what `written` returned. Raises ValueError where it is not that long."""
    if not 0 <= last_account <= MOST_ACCOUNTS:
        raise ValueError("account ids beyond all counting")
    flat = np.frombuffer(content, dtype="<u8").astype(np.uint64)
    return flat.reshape((len(KINDS), last_account + 1))


def unexplained(
    conn: sa.Connection, then: Sums, now: Sums, *, last_call: int, receipts_before: int
) -> dict[str, list[int]]:
    """Return, by kind, the accounts whose rows differ although nothing that came after the snapshot tells why.

    A later call explains the list of the account it asked for and, at its time, the facts of those in that list. A
    receipt explains accounts that are gone, as many as it counts (`vanished` otherwise), lists from which somebody was
    withheld, and texts that a purge deletes. Raises ValueError for receipts that nobody can read.
    """
    since = _since(conn, last_call, receipts_before)
    changed = {kind: {int(each) for each in np.flatnonzero(then[row] != now[row])} for row, kind in enumerate(KINDS)}
    stored = then[KINDS.index("facts")] != 0
    gone = _gone(conn, {each for each in set().union(*changed.values()) if stored[each]}, after=since.last_at)
    shown = _shown(conn, changed["facts"] | changed["texts"], since)
    found = {
        "facts": changed["facts"] - shown - gone,
        "texts": set() if since.are_texts_purged else changed["texts"] - shown - gone,
        "lists": changed["lists"] - since.asked - since.thinned - gone,
        "calls": changed["calls"] - gone,
        "vanished": gone if len(gone) > since.erased or _missing(conn) > since.erased_ever else set(),
    }
    return {kind: sorted(ids) for kind, ids in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Since:
    """What came after a snapshot. `first_at` is the time of the first call, None where there was none."""

    last_at: int
    first_at: int | None
    asked: frozenset[int]
    erased: int
    erased_ever: int
    are_texts_purged: bool
    thinned: frozenset[int]
    """Accounts whose lists once named somebody who was not kept; of no matter before the first erasure."""


_LATER = ledger.c.id > sa.bindparam("last_call")


def _since(conn: sa.Connection, last_call: int, receipts_before: int) -> _Since:
    bound = {"last_call": last_call}
    last_at = conn.execute(sa.select(sa.func.max(ledger.c.at)).where(ledger.c.id <= last_call)).scalar_one()
    counted = [
        {str(name): int(count) for name, count in json.loads(row.details).items()}
        if row.hash == hashed(row.at, row.act, row.details)
        else {}
        for row in conn.execute(sa.select(receipts).order_by(receipts.c.id))
    ]
    by_receipt = [sum(details.get(name, 0) for name in _ERASED) for details in counted]
    erased = sum(by_receipt[receipts_before:])
    thinned = sa.select(visits.c.account_id).join(withheld, withheld.c.visit_id == visits.c.id)
    return _Since(
        last_at=last_at or 0,
        first_at=conn.execute(sa.select(sa.func.min(ledger.c.at)).where(_LATER), bound).scalar_one(),
        asked=frozenset(conn.execute(_ASKED, bound).scalars()),
        erased=erased,
        erased_ever=sum(by_receipt),
        are_texts_purged=any(name.startswith("field_") for each in counted[receipts_before:] for name in each),
        thinned=frozenset(conn.execute(thinned).scalars() if erased else ()),
    )


_ASKED = sa.select(ledger.c.account_id).where(_LATER, ledger.c.account_id.is_not(None)).distinct()

_ERASED = (
    "accounts", "known_only_through", "accounts_missing", "known_only_through_missing", "accounts_unseen",
    "known_only_through_unseen",
)  # fmt: skip
"""What counts accounts in a receipt."""


def _missing(conn: sa.Connection) -> int:
    """Return how many account ids have no account: ids are given one after another."""
    return last_account(conn) - int(conn.execute(sa.select(sa.func.count()).select_from(accounts)).scalar_one())


def _gone(conn: sa.Connection, of: set[int], *, after: int) -> set[int]:
    """Return which of these accounts are not stored any more; a number may be somebody else's by now."""
    kept = sa.select(accounts.c.id).where(accounts.c.first_seen_at <= after)
    return of - set(conn.execute(kept).scalars()) if of else set()


def _shown(conn: sa.Connection, of: set[int], since: _Since) -> set[int]:
    """Return which of these accounts a later call may have shown: by its time, and by a list that was read since.

    After an erasure nobody can tell whose list it was. Who lost a handle to another has it in the history of handles.
    """
    if not of or since.first_at is None:
        return set()
    later = set(conn.execute(sa.select(accounts.c.id).where(accounts.c.updated_at >= since.first_at)).scalars())
    if not since.erased:
        listed = set(since.asked)
        for table in (follows, past_follows):
            for part in _parts(sorted(since.asked)):
                listed |= set(conn.execute(sa.select(table.c.dst).where(table.c.src.in_(part)).distinct()).scalars())
        later &= listed
    renamed = sa.select(handle_history.c.account_id).where(handle_history.c.until_at >= since.first_at)
    return of & (later | set(conn.execute(renamed).scalars()))


def _parts(values: Sequence[int]) -> Iterable[Sequence[int]]:
    return (values[start : start + 500] for start in range(0, len(values), 500))
