"""The database as it was known at an earlier time, for every function that reads it.

Views of a connection's own stand before the tables `accounts`, `frontier`, `follows`, `past_follows`, `visits` and
`control_draws`, so that reading code needs no second form. What has no history keeps today's value: facts of accounts,
depth, why an entry is skipped or failed. Invariant: the database itself is only read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from storage.driver import shadowed
from storage.sampling import CONTROL_QUEUES
from storage.schema import frontier, visits


def _columns(table: sa.Table, alias: str, otherwise: dict[str, str]) -> str:
    """Return the table's columns as a select list, with what stands instead of some of them."""
    return ", ".join(
        f"{otherwise[column.name]} AS {column.name}" if column.name in otherwise else f"{alias}.{column.name}"
        for column in table.columns
    )


_VISIT = _columns(
    visits,
    "v",
    {
        "ended_at": "CASE WHEN v.ended_at <= {at} THEN v.ended_at END",
        "completeness": "CASE WHEN v.ended_at <= {at} THEN v.completeness ELSE 'partial' END",
    },
)
_ENTRY = _columns(
    frontier,
    "f",
    {
        "state": "CASE WHEN v.id IS NOT NULL THEN 2 WHEN f.state IN (3, 4) THEN f.state ELSE 0 END",
        "visit_id": "CAST(NULL AS BIGINT)",
        "cursor": "CAST(NULL AS TEXT)",
        "completeness": "v.completeness",
        "attempts": "0",
        "not_before": "CAST(NULL AS FLOAT)",
        "lease_process": "CAST(NULL AS BIGINT)",
        "leased_at": "CAST(NULL AS BIGINT)",
    },
)
_CONTROL = ", ".join(f"'{queue}'" for queue in CONTROL_QUEUES)
_VIEWS = {
    "accounts": "SELECT * FROM main.accounts WHERE first_seen_at <= {at}",
    # A visit that began before then and ended later was still a part.
    "visits": f"SELECT {_VISIT} FROM main.visits v WHERE v.started_at <= {{at}}",  # noqa: S608 - constants
    "follows": """
SELECT src, dst, first_visit, last_visit, CASE WHEN ended_at <= {at} THEN ended_visit END AS ended_visit
FROM (
    SELECT f.src, f.dst, f.first_visit, f.last_visit, f.ended_visit, e.started_at AS ended_at
    FROM main.follows f JOIN main.visits b ON b.id = f.first_visit LEFT JOIN main.visits e ON e.id = f.ended_visit
    WHERE b.started_at <= {at}
    UNION ALL
    SELECT p.src, p.dst, p.first_visit, p.last_visit, p.ended_visit, e.started_at
    FROM main.past_follows p JOIN main.visits b ON b.id = p.first_visit JOIN main.visits e ON e.id = p.ended_visit
    JOIN main.follows f ON f.src = p.src AND f.dst = p.dst JOIN main.visits c ON c.id = f.first_visit
    WHERE b.started_at <= {at} AND c.started_at > {at} AND NOT EXISTS (
        SELECT 1 FROM main.past_follows q JOIN main.visits d ON d.id = q.first_visit
        WHERE q.src = p.src AND q.dst = p.dst AND d.started_at <= {at} AND q.first_visit > p.first_visit)
)
""",
    "past_follows": """
SELECT p.* FROM main.past_follows p JOIN main.visits e ON e.id = p.ended_visit WHERE e.started_at <= {at}
""",
    "frontier": f"""
SELECT {_ENTRY}
FROM main.frontier f
JOIN main.accounts a ON a.id = f.account_id AND a.first_seen_at <= {{at}}
LEFT JOIN (
    SELECT account_id, max(id) AS id FROM main.visits WHERE ended_at <= {{at}} AND pages > 0 GROUP BY account_id
) n ON n.account_id = f.account_id
LEFT JOIN main.visits v ON v.id = n.id
""",  # noqa: S608 - constants
    # Draws have no times of their own: a control sample is of then if all that it read or drew was known.
    "control_draws": f"""
SELECT d.* FROM main.control_draws d WHERE d.run_id NOT IN (
    SELECT run_id FROM main.visits WHERE started_at > {{at}} AND queue IN ({_CONTROL})
    UNION
    SELECT e.run_id FROM main.control_draws e JOIN main.accounts a ON a.id = e.account_id WHERE a.first_seen_at > {{at}}
)
""",  # noqa: S608 - as above
}


@contextmanager
def as_of(conn: sa.Connection, at: float) -> Iterator[None]:
    """Let this connection see what was known at `at` (Unix seconds) until the block ends.

    A follow is current from the beginning of the visit that listed it first to the beginning of the one that missed it.
    """
    with shadowed(conn, {name: query.format(at=int(at)) for name, query in _VIEWS.items()}):
        yield
