"""The known accounts as columns: numbers in memory, texts read from the database when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.columns import ATTRIBUTES, MISSING, attribute_rows
from storage.database import Database
from storage.export import STANDINGS

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

LISTED, VISITED = 3, 6
"""Standings below LISTED: a list was read. Below VISITED: the visit had an outcome, a list or a reason for none."""

UNKNOWN = MISSING
"""Stands for a count that the platform never reported."""

NUMBERS = ("id", "standing", "depth", "followers", "following", "first_seen")
"""The columns that are always in memory."""

Reader = Callable[[str], dict[int, Any]]
"""Returns the values of one fact by account id, where they are known."""


class Accounts:
    """The known accounts as columns of length n, by ascending id.

    `standing` indexes STANDINGS; `depth` is hops from the nearest seed; `followers` and `following` are as the platform
    reported them; `first_seen` is in Unix seconds. Missing numbers are UNKNOWN; a missing handle was taken over.
    `column` gives the other facts, which are read from the database at the first use and kept.
    """

    __slots__ = ("_read", "_texts", "depth", "first_seen", "followers", "following", "id", "standing")

    def __init__(
        self,
        *,
        id: Ints,
        standing: npt.NDArray[np.uint8],
        depth: Ints,
        followers: Ints,
        following: Ints,
        first_seen: Ints,
        handle: list[str | None] | None = None,
        read: Reader | None = None,
    ) -> None:
        self.id = id
        self.standing = standing
        self.depth = depth
        self.followers = followers
        self.following = following
        self.first_seen = first_seen
        self._read = read
        self._texts: dict[str, list[Any]] = {} if handle is None else {"handle": handle}

    def __len__(self) -> int:
        return len(self.id)

    @property
    def handle(self) -> list[str | None]:
        """The handles, None where another account took one over."""
        return self.column("handle")

    @property
    def listed(self) -> Mask:
        """Accounts of which a list was read, whole or not: the visited accounts that can be seen to follow."""
        return np.less(self.standing, LISTED)

    @property
    def complete(self) -> Mask:
        """Accounts of which the whole list was read."""
        return np.equal(self.standing, 0)

    def read_from(self, read: Reader) -> None:
        """Say where facts that are not in memory come from."""
        self._read = read

    def column(self, name: str) -> list[Any]:
        """Return a fact of every account, None where it is unknown: one of storage.columns.ATTRIBUTES.

        Texts are foreign: escape them. Raises KeyError for no such fact, and DatabaseError.
        """
        if name not in self._texts:
            if name not in ATTRIBUTES:
                raise KeyError(f"no fact {name!r} of an account; there are {', '.join(ATTRIBUTES)}")
            known = {} if self._read is None else self._read(name)
            self._texts[name] = [known.get(key) for key in self.id.tolist()]
        return self._texts[name]

    def part(self, positions: Ints) -> Accounts:
        """Return the accounts at ascending positions."""
        part = Accounts(**{name: getattr(self, name)[positions] for name in NUMBERS}, read=self._read)
        part._texts = {name: [values[at] for at in positions.tolist()] for name, values in self._texts.items()}
        return part

    def called(self, handles: list[str | None]) -> Accounts:
        """Return the accounts under other handles, and without any other text."""
        return Accounts(**{name: getattr(self, name) for name in NUMBERS}, handle=handles)

    def attributes(self) -> Iterator[dict[str, Any]]:
        """Yield the facts of each account in the words of the exports; what is missing is left out."""
        for handle, standing, depth, followers, following in zip(
            self.handle,
            self.standing.tolist(),
            self.depth.tolist(),
            self.followers.tolist(),
            self.following.tolist(),
            strict=True,
        ):
            word = STANDINGS[standing]
            facts = {
                "handle": handle,
                "role": "seed" if depth == 0 else "expanded" if standing < LISTED else "boundary",
                "completeness": word if standing < VISITED else None,
                "depth": None if depth == UNKNOWN else depth,
                "followers_reported": None if followers == UNKNOWN else followers,
                "following_reported": None if following == UNKNOWN else following,
            }
            yield {name: value for name, value in facts.items() if value is not None}


class FromDatabase:
    """Reads facts from a database, by path or address, through a read-only connection of its own each time."""

    def __init__(self, place: str | Path) -> None:
        self._place = place

    def __call__(self, name: str) -> dict[int, Any]:
        with closing(Database.open(self._place, now=lambda: 0.0, mode="read")) as database, database.read() as conn:
            return dict(attribute_rows(conn, name))
