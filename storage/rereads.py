"""Lists that are read again: which follows are gone, and whether the newest come first.

The order of a list is found out list by list and never assumed: where a visit that read a whole list saw every new
follow before every known one, the chance that they lay so by accident counts as evidence; a single new follow after a
known one refutes it for good. Only visits whose list was known whole before count: what had not been read is not new.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma, log
from typing import Any

import sqlalchemy as sa

from storage.follows import Recorded
from storage.schema import Completeness, rereads, visits
from storage.statement import Insert, Statement

REFUTED = 1.0
"""Stands for the chance where a new follow came after a known one: above every logarithm of a chance."""

_SO_FAR = Statement(
    sa.select(visits.c.edges, visits.c.new_edges).where(visits.c.id == sa.bindparam("of_visit")), ("of_visit",)
)
_READ = Statement(
    sa.select(rereads.c.order_chance).where(rereads.c.visit_id == sa.bindparam("of_visit")), ("of_visit",)
)
_INSERT = Insert(rereads, ("visit_id", "gone", "following", "order_chance"))
_UPDATE = Statement(
    sa.update(rereads)
    .where(rereads.c.visit_id == sa.bindparam("of_visit"))
    .values(
        gone=sa.bindparam("is_gone"),
        following=sa.bindparam("now_following"),
        order_chance=sa.bindparam("chance"),
    ),
    ("of_visit", "is_gone", "now_following", "chance"),
)
_BASE = Statement(
    sa.select(visits.c.completeness)
    .where(
        visits.c.account_id
        == sa.select(visits.c.account_id).where(visits.c.id == sa.bindparam("this_visit")).scalar_subquery(),
        visits.c.id < sa.bindparam("of_visit"),
        visits.c.completeness.in_([sa.literal_column(f"'{word}'") for word in Completeness.LISTED]),
        visits.c.ended_at.is_not(None),
        visits.c.pages > 0,
    )
    .order_by(visits.c.id.desc())
    .limit(1),
    ("this_visit", "of_visit"),
)
_EVIDENCE = Statement(
    sa.select(sa.func.max(rereads.c.order_chance), sa.func.sum(rereads.c.order_chance))
    .select_from(visits.join(rereads, rereads.c.visit_id == visits.c.id))
    .where(visits.c.account_id == sa.bindparam("of_account")),
    ("of_account",),
)


def order_chance(conn: sa.Connection, account_id: int) -> float | None:
    """Return log10 of the chance that this list's new follows always came first by accident.

    None without evidence, REFUTED where once they did not.
    """
    row: Any = _EVIDENCE.run(conn, account_id).one()
    worst, total = row
    return REFUTED if worst is not None and worst > 0 else total


def note_page(conn: sa.Connection, visit_id: int, targets: Sequence[int], recorded: Recorded) -> None:
    """Look at the order of one page, its distinct targets as listed, before its counts are added to the visit."""
    if not recorded.gained or not _was_whole(conn, visit_id):
        return
    row: Any = _SO_FAR.run(conn, visit_id).one()
    edges, new_edges = row
    has_known = edges > new_edges
    for target in targets:
        if target in recorded.kept:
            has_known = True
        elif has_known and target in recorded.gained:
            _write(conn, visit_id, gone=0, following=None, chance=REFUTED)
            return


def note_end(
    conn: sa.Connection, visit_id: int, recorded: Recorded, *, gone: int, following: int | None, is_whole: bool
) -> None:
    """Keep what the visit showed, at its last page: `following` is what listings say now.

    `is_whole` tells that every page of the list was read.
    """
    chance = _READ.run(conn, visit_id).scalar()
    row: Any = _SO_FAR.run(conn, visit_id).one()
    edges, new_edges = row
    new = new_edges + recorded.new
    known = edges + recorded.fresh - new
    if chance is None and is_whole and new and known and _was_whole(conn, visit_id):
        chance = -(lgamma(new + known + 1) - lgamma(new + 1) - lgamma(known + 1)) / log(10)
    _write(conn, visit_id, gone=gone, following=following, chance=chance)


def totals(conn: sa.Connection, run_id: int) -> tuple[int, int]:
    """Return how many follows the lists that a run read again gained, and how many they lost."""
    row: Any = conn.execute(
        sa.select(
            sa.func.coalesce(sa.func.sum(visits.c.new_edges), 0), sa.func.coalesce(sa.func.sum(rereads.c.gone), 0)
        )
        .select_from(visits.join(rereads, rereads.c.visit_id == visits.c.id))
        .where(visits.c.run_id == run_id)
    ).one()
    return int(row[0]), int(row[1])


def _was_whole(conn: sa.Connection, visit_id: int) -> bool:
    """Tell whether the visit before this one that brought a list read the whole of it."""
    return bool(_BASE.run(conn, visit_id, visit_id).scalar() == Completeness.COMPLETE)


def _write(conn: sa.Connection, visit_id: int, *, gone: int, following: int | None, chance: float | None) -> None:
    if _UPDATE.run(conn, visit_id, gone, following, chance).rowcount == 0:
        _INSERT.run(conn, [(visit_id, gone, following, chance)])
