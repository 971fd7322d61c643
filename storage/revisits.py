"""What is known of every account whose list was asked for once, as far as it helps to say when to ask again."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from storage.ordering import AHEAD_LANE
from storage.schema import Completeness, State


class Revisit(NamedTuple):
    """One account. Times in Unix seconds, of visits that brought a list unless said otherwise.

    `outcome` is what asking came to last: complete, capped, partial, hidden, private, not_found or failed, at
    `asked_at`. `revisits` of the list saw `changes` in the seconds from `first_at` to `last_at`. `baseline` is what the
    account followed at `last_at`, in the words of listings; `following` what listings say since, at `facts_at`.
    `listed_at` is when it was last listed by somebody. `order_chance` as in `storage.rereads`.
    """

    account_id: int
    outcome: str
    asked_at: int
    followers: int | None
    following: int | None
    private: bool
    facts_at: int
    revisits: int
    changes: int
    first_at: int | None
    last_at: int | None
    pages: int
    baseline: int | None
    order_chance: float | None
    seen_by: int
    listed_at: int | None


# Both go along indexes and hold nothing: a daemon asks them for months, and whatever is sorted is sorted in memory.
_LISTED = ", ".join(f"'{word}'" for word in Completeness.LISTED)
_IS_LIST = f"(v.ended_at IS NOT NULL AND v.pages > 0 AND v.completeness IN ({_LISTED}))"
_HAS_CHANGED = "(v.new_edges > 0 OR coalesce(r.gone, 0) > 0)"
_REVISITS = sa.text(
    f"""
WITH seen AS (
    SELECT f.account_id, f.state, f.completeness,
           a.followers, a.following, coalesce(a.private, 0) AS private, a.updated_at,
           max(coalesce(v.ended_at, v.started_at)) AS asked_at,
           sum(CASE WHEN {_IS_LIST} THEN 1 ELSE 0 END) AS lists,
           sum(CASE WHEN {_IS_LIST} AND {_HAS_CHANGED} THEN 1 ELSE 0 END) AS changes,
           min(CASE WHEN {_IS_LIST} THEN v.started_at END) AS first_at,
           max(CASE WHEN {_IS_LIST} THEN v.started_at END) AS last_at,
           min(CASE WHEN {_IS_LIST} THEN v.id END) AS first_id,
           max(CASE WHEN {_IS_LIST} THEN v.id END) AS last_id,
           max(CASE WHEN {_IS_LIST} THEN r.order_chance END) AS worst_chance,
           sum(CASE WHEN {_IS_LIST} THEN r.order_chance END) AS sum_chance
    FROM frontier f
    JOIN accounts a ON a.id = f.account_id
    JOIN visits v ON v.account_id = f.account_id
    LEFT JOIN rereads r ON r.visit_id = v.id
    WHERE a.handle IS NOT NULL AND (
        f.state IN ({int(State.DONE)}, {int(State.FAILED)})
        OR (f.state = {int(State.QUEUED)} AND f.completeness IS NOT NULL AND f.lane <> {AHEAD_LANE})
    )
    GROUP BY f.account_id, f.state, f.completeness, a.followers, a.following, a.private, a.updated_at
)
SELECT s.account_id,
       CASE WHEN s.state = {int(State.FAILED)} THEN 'failed' ELSE s.completeness END,
       s.asked_at, s.followers, s.following, s.private, s.updated_at,
       CASE WHEN s.lists > 0 THEN s.lists - 1 ELSE 0 END,
       s.changes - CASE WHEN {_HAS_CHANGED} THEN 1 ELSE 0 END,
       s.first_at, s.last_at, coalesce(l.pages, 1),
       coalesce(e.following, l.reported_total, l.edges),
       CASE WHEN s.worst_chance > 0 THEN 1.0 ELSE s.sum_chance END
FROM seen s
LEFT JOIN visits v ON v.id = s.first_id
LEFT JOIN rereads r ON r.visit_id = s.first_id
LEFT JOIN visits l ON l.id = s.last_id
LEFT JOIN rereads e ON e.visit_id = s.last_id
"""  # noqa: S608 - put together from constants
)
_LISTINGS = sa.text(
    """
SELECT f.dst, v.started_at
FROM visits v JOIN follows f ON f.src = v.account_id AND coalesce(f.last_visit, f.first_visit) = v.id
WHERE v.id > :after AND v.pages > 0
"""
)


class Sightings:
    """Who was listed when, kept from one reading to the next so that only new visits are looked at.

    `window_s`: what was listed longer ago counts as not seen. Takes 16 bytes an account.
    """

    def __init__(self, *, window_s: float = 60 * 86_400.0) -> None:
        self._window_s = window_s
        self._after: int | None = None
        self._listed_at, self._seen_by = array("q"), array("q")  # by account id; 0 for never

    def read(self, conn: sa.Connection, *, now: float) -> Iterator[Revisit]:
        """Yield every account whose list was asked for and that is not waiting to be asked again."""
        since = int(now - self._window_s)
        newest = int(conn.execute(sa.text("SELECT coalesce(max(id), 0) FROM visits")).scalar_one())
        if self._after is None:
            before = sa.text("SELECT coalesce(max(id), 0) FROM visits WHERE started_at < :since")
            self._after = int(conn.execute(before, {"since": since}).scalar_one())
        highest = int(conn.execute(sa.text("SELECT coalesce(max(id), 0) FROM accounts")).scalar_one())
        for column in (self._listed_at, self._seen_by):
            column.extend([0] * (highest + 1 - len(column)))
        for account_id, at in conn.execute(_LISTINGS, {"after": self._after}):
            self._listed_at[account_id] = max(self._listed_at[account_id], at)
            self._seen_by[account_id] += 1
        # A visit that was under way brings more pages under its old number: it is looked at again next time.
        open_visit = sa.text("SELECT min(id) FROM visits WHERE ended_at IS NULL")
        self._after = min(newest, (conn.execute(open_visit).scalar_one() or newest + 1) - 1)
        rows: Any = conn.execute(_REVISITS)
        for row in rows:
            seen_by, listed_at = self._seen_by[row[0]], self._listed_at[row[0]] or None
            yield Revisit._make((*row[:5], bool(row[5]), *row[6:], seen_by, listed_at))
