"""What an export says instead of a name: every row of an account or follow passes through a mask.

A pseudonym is stable for a person under one key, and nothing else of the row tells whose it is by itself: rows come in
the order of the pseudonyms, because the order of discovery would give them away beside another export.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import sqlalchemy as sa

from storage import persons
from storage.secret import ProjectKey

Row = tuple[Any, ...]

NOTICE = """\
Pseudonymous is not anonymous.

Names, handles, ids, bios and addresses were replaced by keyed pseudonyms (HMAC-SHA-256). Whoever has the key can undo
that, and a follow graph tells much by its shape alone: people were recognised in such graphs from who follows whom and
from exact follower counts. By law these are still personal data. Keep them safe, pass them on under terms only, try to
recognise nobody, and delete what you are asked to delete.
"""

_MISSING = -(2**63)


class Mask(Protocol):
    """How rows of an export are changed; ids are texts, columns as in `storage.export`."""

    def accounts(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield account rows: id, label, facts."""
        ...

    def follows(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield follow rows: source, target, times in Unix seconds."""
        ...


class Bare:
    """Rows as they are, under handles."""

    def accounts(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows."""
        return iter(rows)

    def follows(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows."""
        return iter(rows)


class Pseudonymous:
    """Rows under pseudonyms, all accounts of one database and key. Holds them all in memory: some 300 bytes each."""

    def __init__(self, conn: sa.Connection, key: ProjectKey) -> None:
        self._by_id = {str(account_id): pseudonym for account_id, pseudonym in persons.pseudonyms(conn, key)}

    def accounts(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows in the order of their pseudonyms; the label is the pseudonym cut short."""
        named = ((self._by_id[row[0]], row[2:]) for row in rows)
        for pseudonym, facts in sorted(named, key=lambda each: each[0]):
            yield (pseudonym, short(pseudonym), *facts)

    def follows(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows in the order of their pseudonyms."""
        order = sorted(self._by_id.values())
        rank = {pseudonym: place for place, pseudonym in enumerate(order)}
        flat = np.fromiter(
            (
                value
                for source, target, *times in rows
                for value in (
                    rank[self._by_id[source]],
                    rank[self._by_id[target]],
                    *(_MISSING if time is None else time for time in times),
                )
            ),
            dtype=np.int64,
        ).reshape(-1, 4)
        for place in np.lexsort((flat[:, 1], flat[:, 0])):
            source, target, *times = flat[place].tolist()
            yield (order[source], order[target], *(None if time == _MISSING else time for time in times))


def short(pseudonym: str, signs: int = 8) -> str:
    """Return a pseudonym for people's eyes: `acct-` and its beginning."""
    return f"acct-{pseudonym[:signs]}"


def shortest(pseudonyms: Iterable[str]) -> Callable[[str], str]:
    """Return what cuts these pseudonyms as short as they still differ, to four signs at least."""
    known = set(pseudonyms)
    signs = next(count for count in range(4, 27) if count == 26 or len({each[:count] for each in known}) == len(known))
    return lambda pseudonym: short(pseudonym, signs)
