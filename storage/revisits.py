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


_LISTED = ", ".join(f"'{word}'" for word in Completeness.LISTED)
_REVISITS = sa.text(
    f"""
WITH listed AS (
    SELECT v.account_id, count(*) AS visits, min(v.started_at) AS first_at, max(v.started_at) AS last_at,
           max(v.id) AS last_id, min(v.id) AS first_id,
           max(r.order_chance) AS worst_chance, sum(r.order_chance) AS sum_chance
    FROM visits v LEFT JOIN rereads r ON r.visit_id = v.id
    WHERE v.ended_at IS NOT NULL AND v.pages > 0 AND v.completeness IN ({_LISTED})
    GROUP BY v.account_id
),
changed AS (
    SELECT v.account_id, count(*) AS changes
    FROM visits v JOIN listed n ON n.account_id = v.account_id AND v.id <> n.first_id
    LEFT JOIN rereads r ON r.visit_id = v.id
    WHERE v.ended_at IS NOT NULL AND v.pages > 0 AND (v.new_edges > 0 OR coalesce(r.gone, 0) > 0)
    GROUP BY v.account_id
),
asked AS (
    SELECT account_id, max(coalesce(ended_at, started_at)) AS asked_at FROM visits GROUP BY account_id
)
SELECT f.account_id,
       CASE WHEN f.state = {int(State.FAILED)} THEN 'failed' ELSE f.completeness END,
       q.asked_at, a.followers, a.following, coalesce(a.private, 0), a.updated_at,
       coalesce(n.visits, 1) - 1, coalesce(c.changes, 0), n.first_at, n.last_at, coalesce(l.pages, 1),
       coalesce(r.following, l.reported_total, l.edges),
       CASE WHEN n.worst_chance > 0 THEN 1.0 ELSE n.sum_chance END
FROM frontier f
JOIN accounts a ON a.id = f.account_id
JOIN asked q ON q.account_id = f.account_id
LEFT JOIN listed n ON n.account_id = f.account_id
LEFT JOIN changed c ON c.account_id = f.account_id
LEFT JOIN visits l ON l.id = n.last_id
LEFT JOIN rereads r ON r.visit_id = n.last_id
WHERE a.handle IS NOT NULL AND (
    f.state IN ({int(State.DONE)}, {int(State.FAILED)})
    OR (f.state = {int(State.QUEUED)} AND f.completeness IS NOT NULL AND f.lane <> {AHEAD_LANE})
)
ORDER BY f.account_id
"""  # noqa: S608 - put together from constants
)
_LISTINGS = sa.text(
    """
SELECT f.dst, count(*), max(v.started_at)
FROM visits v JOIN follows f ON f.src = v.account_id AND coalesce(f.last_visit, f.first_visit) = v.id
WHERE v.id > :after AND v.pages > 0
GROUP BY f.dst
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
        """Yield every account whose list was asked for and that is not waiting to be asked again, by id."""
        since = int(now - self._window_s)
        newest = int(conn.execute(sa.text("SELECT coalesce(max(id), 0) FROM visits")).scalar_one())
        if self._after is None:
            before = sa.text("SELECT coalesce(max(id), 0) FROM visits WHERE started_at < :since")
            self._after = int(conn.execute(before, {"since": since}).scalar_one())
        highest = int(conn.execute(sa.text("SELECT coalesce(max(id), 0) FROM accounts")).scalar_one())
        for column in (self._listed_at, self._seen_by):
            column.extend([0] * (highest + 1 - len(column)))
        for account_id, count, at in conn.execute(_LISTINGS, {"after": self._after}):
            self._listed_at[account_id] = at
            self._seen_by[account_id] += count
        # A visit that was under way brings more pages under its old number: it is looked at again next time.
        open_visit = sa.text("SELECT min(id) FROM visits WHERE ended_at IS NULL")
        self._after = min(newest, (conn.execute(open_visit).scalar_one() or newest + 1) - 1)
        rows: Any = conn.execute(_REVISITS)
        for row in rows:
            seen_by, listed_at = self._seen_by[row[0]], self._listed_at[row[0]] or None
            yield Revisit._make((*row[:5], bool(row[5]), *row[6:], seen_by, listed_at))
