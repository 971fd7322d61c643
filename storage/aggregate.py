"""Counts instead of people: tables of a crawl in which no cell is about fewer than ten accounts.

A cell below `SMALLEST` is left out, and with it the smallest others until at least two are hidden that together hold
`SMALLEST` accounts or more: the total of a table is known, and so is what the hidden ones hold together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

SMALLEST = 10
"""Accounts behind every count that is shown."""

_FEWEST = 2
"""Cells that are hidden together at least."""

COLUMNS = ("table", "cell", "accounts")

_TABLES = {
    "list": """
        SELECT coalesce(f.completeness, CASE f.state WHEN 3 THEN 'failed' WHEN 4 THEN 'left out' ELSE 'waiting' END),
               count(*) FROM frontier f GROUP BY 1""",
    "hops from the nearest seed": "SELECT CAST(depth AS TEXT), count(*) FROM frontier GROUP BY 1",
    "followers reported": "SELECT {followers}, count(*) FROM accounts WHERE followers IS NOT NULL GROUP BY 1",
    "following reported": "SELECT {following}, count(*) FROM accounts WHERE following IS NOT NULL GROUP BY 1",
    "followers observed": """
        SELECT {n}, count(*) FROM (
            SELECT count(f.dst) AS n FROM accounts a LEFT JOIN follows f ON f.dst = a.id AND f.ended_visit IS NULL
            GROUP BY a.id) AS observed GROUP BY 1""",
    "following observed of complete lists": """
        SELECT {n}, count(*) FROM (
            SELECT count(f.dst) AS n FROM frontier e
            LEFT JOIN follows f ON f.src = e.account_id AND f.ended_visit IS NULL
            WHERE e.completeness = 'complete' GROUP BY e.account_id) AS observed GROUP BY 1""",
    "region": "SELECT coalesce(region, 'not stated'), count(*) FROM accounts GROUP BY 1",
    "language": "SELECT coalesce(language, 'not stated'), count(*) FROM accounts GROUP BY 1",
    "verified": """
        SELECT CASE verified WHEN 1 THEN 'yes' WHEN 0 THEN 'no' ELSE 'not stated' END, count(*)
        FROM accounts GROUP BY 1""",
}

_STEPS = (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)


def _binned(column: str) -> str:
    """Return SQL that names the power of ten that a count falls into."""
    cases = [f"WHEN {column} >= {low} THEN '{_bin(place)}'" for place, low in reversed([*enumerate(_STEPS)])]
    return f"CASE {' '.join(cases)} END"


def _bin(place: int) -> str:
    if place == 0:
        return "0"
    low = _STEPS[place]
    return f"{low} to {_STEPS[place + 1] - 1}" if place + 1 < len(_STEPS) else f"{low} or more"


def tables(conn: sa.Connection) -> Iterator[tuple[str, str, int | None]]:
    """Yield (table, cell, accounts); None for a count that is left out. In a fixed order."""
    for title, query in _TABLES.items():
        text = query.format(followers=_binned("followers"), following=_binned("following"), n=_binned("n"))
        cells = sorted((str(cell), int(count)) for cell, count in conn.exec_driver_sql(text))
        for (cell, _), count in zip(cells, suppressed([count for _, count in cells]), strict=True):
            yield title, cell, count


def suppressed(counts: Sequence[int]) -> list[int | None]:
    """Return the counts of a table whose total is known, without those that tell too much."""
    hidden = {place for place, count in enumerate(counts) if 0 < count < SMALLEST}
    others = sorted((count, place) for place, count in enumerate(counts) if place not in hidden and count)
    for _, place in others if hidden else ():
        if len(hidden) >= _FEWEST and sum(counts[each] for each in hidden) >= SMALLEST:
            break
        hidden.add(place)
    return [None if place in hidden else count for place, count in enumerate(counts)]
