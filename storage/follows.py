"""Follow edges and their time: first and last visit that listed them, and the visit that found them gone.

Invariant: only a complete visit ends a follow; a follow that comes back starts anew, its old interval goes to the past.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from storage.schema import follows, past_follows
from storage.statement import Insert, Lookup, Statement


class Recorded(NamedTuple):
    """What one page brought: `fresh` were not listed before in this visit, `new` were not followed before.

    `gained` and `kept` are the fresh ones of a visit that reads a list again: not followed before, and known.
    """

    fresh: int
    new: int
    gained: frozenset[int] = frozenset()
    kept: frozenset[int] = frozenset()


_INSERT = Insert(follows, ("src", "dst", "first_visit"), ignore=True)
_INSERT_PAST = Insert(past_follows, ("src", "dst", "first_visit", "last_visit", "ended_visit"), ignore=True)
_EXISTING = Lookup(
    follows.c.dst,
    lambda condition: sa.select(
        follows.c.dst, follows.c.first_visit, follows.c.last_visit, follows.c.ended_visit
    ).where(follows.c.src == sa.bindparam("src"), condition),
    names=("src",),
)
_SEEN_AGAIN = Statement(
    sa.update(follows)
    .where(follows.c.src == sa.bindparam("of_src"), follows.c.dst == sa.bindparam("of_dst"))
    .values(last_visit=sa.bindparam("visit")),
    ("of_src", "of_dst", "visit"),
)
_BACK = Statement(
    sa.update(follows)
    .where(follows.c.src == sa.bindparam("of_src"), follows.c.dst == sa.bindparam("of_dst"))
    .values(first_visit=sa.bindparam("visit"), last_visit=sa.null(), ended_visit=sa.null()),
    ("of_src", "of_dst", "visit"),
)
_END = Statement(
    sa.update(follows)
    .where(
        follows.c.src == sa.bindparam("of_src"),
        follows.c.ended_visit.is_(None),
        sa.func.coalesce(follows.c.last_visit, follows.c.first_visit) != sa.bindparam("of_visit"),
    )
    .values(ended_visit=sa.bindparam("visit")),
    ("of_src", "of_visit", "visit"),
)


def known(conn: sa.Connection, src: int, targets: Iterable[int]) -> set[int]:
    """Return those of the targets that `src` was ever seen to follow."""
    return {row[0] for row in _EXISTING.run(conn, targets, src)}


def record(conn: sa.Connection, src: int, targets: Sequence[int], *, visit_id: int, is_revisit: bool) -> Recorded:
    """Store the distinct targets that one page of a visit listed."""
    ordered = sorted(targets)
    if not is_revisit:
        new = _INSERT.run(conn, [(src, dst, visit_id) for dst in ordered])
        return Recorded(new, new)
    existing = {row[0]: row for row in _EXISTING.run(conn, ordered, src)}
    unknown = [dst for dst in ordered if dst not in existing]
    _INSERT.run(conn, [(src, dst, visit_id) for dst in unknown])
    again = [row for row in existing.values() if visit_id not in {row[1], row[2]}]
    back = [row for row in again if row[3] is not None]
    _INSERT_PAST.run(conn, [(src, dst, first, last or first, ended) for dst, first, last, ended in back])
    _BACK.run_many(conn, [(src, row[0], visit_id) for row in back])
    _SEEN_AGAIN.run_many(conn, [(src, row[0], visit_id) for row in again if row[3] is None])
    gained = frozenset((*unknown, *(row[0] for row in back)))
    kept = frozenset(row[0] for row in again) - gained
    return Recorded(len(unknown) + len(again), len(gained), gained, kept)


_CURRENT = Statement(
    sa.select(sa.func.count())
    .select_from(follows)
    .where(follows.c.src == sa.bindparam("of_src"), follows.c.ended_visit.is_(None)),
    ("of_src",),
)


def current(conn: sa.Connection, src: int) -> int:
    """Return how many accounts `src` is known to follow now."""
    return int(_CURRENT.run(conn, src).scalar())


def end_missing(conn: sa.Connection, src: int, *, visit_id: int) -> int:
    """Close the follows of `src` that its complete visit no longer listed; returns how many."""
    return _END.run(conn, src, visit_id, visit_id).rowcount


_CHILDREN = Statement(sa.select(follows.c.dst).where(follows.c.src == sa.bindparam("of_src")), ("of_src",))


def targets(conn: sa.Connection, src: int) -> list[int]:
    """Return whom `src` was seen to follow."""
    return [row[0] for row in _CHILDREN.run(conn, src)]
