"""Depth: hops from the nearest seed.

Invariant: nobody stands deeper than one hop behind an account whose list names them.
"""

from __future__ import annotations

import sqlalchemy as sa

from storage import follows
from storage.accounts import TOO_DEEP, Entry, Register
from storage.ordering import Ordering
from storage.schema import State, frontier
from storage.statement import Statement

_RANKED = {State.QUEUED, State.LEASED, State.SKIPPED, State.DEFERRED}


def shorten(
    conn: sa.Connection, register: Register, entry: Entry, depth: int, *, ordering: Ordering, max_depth: int | None
) -> None:
    """A shorter way from a seed was found: lower the depth here and behind every list that was read, even in part.

    Entries skipped as too deep that are now within `max_depth` are queued. The caller writes the register.
    """
    waiting = [(entry, depth)]
    while waiting:
        current, hops = waiting.pop()
        if current.state is None or hops >= current.depth:
            continue
        current.depth = hops
        current.is_dirty = True
        if current.state == State.SKIPPED and current.reason == TOO_DEEP and (max_depth is None or hops <= max_depth):
            current.state, current.reason = State.QUEUED, None
        if current.state in _RANKED:
            current.rank(ordering)
        if current.has_list:
            children = follows.targets(conn, current.account_id)
            register.load((), children)
            waiting += [(register.by_id(child), hops + 1) for child in children]


_TOO_DEEP = """
SELECT min(s.depth) + 1, f.dst
FROM follows f JOIN frontier s ON s.account_id = f.src JOIN frontier d ON d.account_id = f.dst
WHERE d.depth > s.depth + 1 GROUP BY f.dst
"""

_SET_DEPTH = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values(depth=sa.bindparam("new_depth")),
    ("new_depth", "of_account"),
)


def recount(conn: sa.Connection) -> int:
    """Lower every depth that the follows contradict; returns how many accounts. Their priorities are left alone."""
    changed: set[int] = set()
    while rows := [tuple(row) for row in conn.exec_driver_sql(_TOO_DEEP)]:
        _SET_DEPTH.run_many(conn, rows)
        changed.update(account_id for _, account_id in rows)
    return len(changed)
