"""What changed among the follows between two times, from the visits that listed them first and missed them first.

Invariant: a follow is gained only where the whole list was known before, so that a list read for the first time is
never taken for hundreds of new follows; it is lost only where a complete visit no longer listed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import sqlalchemy as sa

Kind = Literal["new", "gone", "back", "learned"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""new: gained · gone: lost · back: lost before and followed again · learned: of a list not known whole before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One follow that is there at one of the two times only. `at` is when the visit began that saw it, Unix seconds."""

    kind: Kind
    source_id: int
    target_id: int
    source: str | None
    target: str | None
    at: int


_SPANS = """
spans AS (
    SELECT src, dst, first_visit, ended_visit FROM follows
    UNION ALL SELECT src, dst, first_visit, ended_visit FROM past_follows
),
dated AS (
    SELECT s.src, s.dst, b.started_at AS began, e.started_at AS ended
    FROM spans s JOIN visits b ON b.id = s.first_visit LEFT JOIN visits e ON e.id = s.ended_visit
)
"""
_BETWEEN = sa.text(
    f"""
WITH {_SPANS},
touched AS (
    SELECT DISTINCT src, dst FROM dated
    WHERE (began > :since AND began <= :until) OR (ended > :since AND ended <= :until)
),
compared AS (
    SELECT d.src, d.dst,
           max(CASE WHEN began <= :since AND (ended IS NULL OR ended > :since) THEN 1 ELSE 0 END) AS before,
           max(CASE WHEN began <= :until AND (ended IS NULL OR ended > :until) THEN 1 ELSE 0 END) AS after,
           max(CASE WHEN began <= :since THEN 1 ELSE 0 END) AS seen,
           max(CASE WHEN began <= :until THEN began END) AS began,
           max(CASE WHEN ended <= :until THEN ended END) AS ended
    FROM dated d JOIN touched t ON t.src = d.src AND t.dst = d.dst
    GROUP BY d.src, d.dst
),
known AS (
    SELECT DISTINCT account_id FROM visits WHERE completeness = 'complete' AND ended_at IS NOT NULL
    AND started_at <= :since
)
SELECT CASE WHEN c.before = 1 THEN 'gone' WHEN k.account_id IS NULL THEN 'learned' WHEN c.seen = 1 THEN 'back'
       ELSE 'new' END,
       c.src, c.dst, a.handle, b.handle, CASE WHEN c.before = 1 THEN c.ended ELSE c.began END
FROM compared c
JOIN accounts a ON a.id = c.src JOIN accounts b ON b.id = c.dst LEFT JOIN known k ON k.account_id = c.src
WHERE c.before <> c.after
ORDER BY 6, c.src, c.dst
"""  # noqa: S608 - put together from constants
)


def between(conn: sa.Connection, since: float, until: float) -> Iterator[Change]:
    """Yield what differs between what was known at two times (Unix seconds), oldest first."""
    rows: Any = conn.execute(_BETWEEN, {"since": int(since), "until": int(until)})
    for kind, source_id, target_id, source, target, at in rows:
        yield Change(kind=kind, source_id=source_id, target_id=target_id, source=source, target=target, at=at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revisited:
    """Accounts whose whole list was read before and asked for again, and when such visits began, Unix seconds."""

    accounts: int
    first_at: int | None
    last_at: int | None


_AGAIN = """
again AS (
    SELECT v.id, v.account_id, v.started_at FROM visits v
    JOIN (
        SELECT account_id, min(id) AS id FROM visits
        WHERE completeness = 'complete' AND ended_at IS NOT NULL AND pages > 0 GROUP BY account_id
    ) f ON f.account_id = v.account_id AND v.id > f.id
    WHERE v.pages > 0
)
"""
# Put together from constants.
_REVISITED = sa.text(f"WITH {_AGAIN} SELECT count(DISTINCT account_id), min(started_at), max(started_at) FROM again")  # noqa: S608
_EVENTS = sa.text(
    f"""
WITH {_SPANS}, {_AGAIN}
SELECT CASE WHEN EXISTS (
           SELECT 1 FROM past_follows p WHERE p.src = s.src AND p.dst = s.dst AND p.first_visit < s.first_visit
       ) THEN 'back' ELSE 'new' END, s.dst, a.started_at
FROM spans s JOIN again a ON a.id = s.first_visit
UNION ALL
SELECT 'gone', s.dst, e.started_at FROM spans s JOIN visits e ON e.id = s.ended_visit
"""  # noqa: S608 - put together from constants
)


def revisited(conn: sa.Connection) -> Revisited:
    """Return whose lists were read again, as far as changes can be seen in them."""
    row: Any = conn.execute(_REVISITED).one()
    accounts, first_at, last_at = row
    return Revisited(accounts=accounts, first_at=first_at, last_at=last_at)


def events(conn: sa.Connection) -> Iterator[tuple[Kind, int, int]]:
    """Yield every change seen by lists that were read again, in no order: its kind, who is followed, and when the visit
    began that saw it (Unix seconds). Looks at every follow once."""
    rows: Any = conn.execute(_EVENTS)
    yield from rows
