"""Rankings: every waiting entry's place made anew, for a crawl whose strategy is not the last one's.

Invariant: the database remembers whose places its frontier has, and while they are being made, that they are mixed and
how far they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from storage import journal, runs
from storage.driver import sorting_on_disk
from storage.journal import Act
from storage.ordering import AHEAD_LANE, STATE, Candidate, Ordering
from storage.picking import CANDIDATE, OF_CANDIDATE
from storage.schema import EXPLORE_INDEX, PICK_INDEX, RETRY_INDEX, State, accounts, follows, frontier, visits
from storage.statement import Row, Statement

RANKED_BY = "ranked_by"
"""The key under which a database remembers by which strategy its frontier is ranked."""

MIXED = "mixed"
"""What a frontier is ranked by while it is ranked anew. A crawl that died there leaves it so: to be ranked on."""

RANKED_TO = "ranked_to"
"""The key under which it remembers, meanwhile, for whom and up to which account: `strategy after`."""

Numbers = npt.NDArray[np.float64]

_UNREAD = (State.QUEUED, State.LEASED, State.SKIPPED, State.DEFERRED)
_RANKED = Statement(
    sa.select(*CANDIDATE, frontier.c.lane, frontier.c.priority)
    .select_from(OF_CANDIDATE)
    .where(
        frontier.c.account_id > sa.bindparam("after"),
        sa.literal_column("frontier.state").in_([sa.literal_column(str(int(state))) for state in _UNREAD]),
    )
    .order_by(frontier.c.account_id)
    .limit(sa.bindparam("at_most")),
    ("after", "at_most"),
)
_SET_PLACE = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values(lane=sa.bindparam("new_lane"), priority=sa.bindparam("new_priority")),
    ("new_lane", "new_priority", "of_account"),
)
_SET_TALLIES = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values(
        cash=sa.bindparam("new_cash"),
        listings=sa.bindparam("new_listings"),
        merit=sa.bindparam("new_merit"),
        quality=sa.bindparam("new_quality"),
    ),
    ("new_cash", "new_listings", "new_merit", "new_quality", "of_account"),
)


def rerank(conn: sa.Connection, ordering: Ordering, *, after: int, at_most: int) -> int | None:
    """Give the next entries after an account id their place; returns the last id, None at the end."""
    journal.note(conn, Act.RANKED, after=after, at_most=at_most)
    if ordering.learns:
        ordering = ordering.restored(runs.recall(conn, STATE))
    rows = _RANKED.run(conn, after, at_most).all()
    _SET_PLACE.run_many(conn, _moved(rows, ordering))
    if ordering.learns:
        runs.keep(conn, STATE, ordering.state() or "")
    if len(rows) < at_most:
        return None
    last = int(rows[-1][0])
    runs.keep(conn, RANKED_TO, f"{ordering.label} {last}")
    return last


def _moved(rows: Iterable[Row], ordering: Ordering) -> list[Row]:
    """Return lane, priority and id of those whose place is another now. A row is a candidate, its lane and priority.

    Who was put ahead of all others is so whatever the strategy.
    """
    moved = []
    for row in rows:
        if row[-2] == AHEAD_LANE:
            continue
        place = ordering.place(Candidate(*row[:-2]))
        if place != row[-2:]:
            moved.append((*place, row[0]))
    return moved


def drop_indexes(conn: sa.Connection) -> None:
    """Take away the indexes that a ranking would rewrite entry by entry; `make_indexes` makes them anew at once."""
    for index in (PICK_INDEX, RETRY_INDEX):
        index.drop(conn, checkfirst=True)


def make_indexes(conn: sa.Connection) -> None:
    """Make the indexes that picking needs, where they are missing: of ten million entries not a gigabyte of memory."""
    with sorting_on_disk(conn):
        for index in (PICK_INDEX, RETRY_INDEX, EXPLORE_INDEX):
            index.create(conn, checkfirst=True)


@dataclass(frozen=True, slots=True)
class Tallies:
    """What lists add up to, by account id."""

    cash: Numbers
    listings: Numbers
    merit: Numbers
    quality: Numbers


def rebuild(conn: sa.Connection, ordering: Ordering) -> None:
    """Work out anew what the strategy keeps of an entry, from the visits in their order.

    What it does not keep is set to 0. Memory: some 40 bytes an account.
    """
    journal.note(conn, Act.TALLIED)
    ordering = acquainted(conn, ordering)
    if ordering.learns:
        runs.keep(conn, STATE, ordering.state() or "")
    tallies = tally(conn, cash=ordering.keeps_cash, listings=ordering.keeps_listings, merits=ordering.merits)
    after = 0
    while rows := _SUMS.run(conn, after, _CHUNK).all():
        ids = np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows))
        columns = (
            tallies.cash[ids].tolist(),
            tallies.listings[ids].astype(np.int64).tolist(),
            tallies.merit[ids].tolist(),
            tallies.quality[ids].tolist(),
        )
        new = list(zip(*columns, ids.tolist(), strict=True))
        _SET_TALLIES.run_many(conn, [row for row, old in zip(new, rows, strict=True) if row[:4] != old[1:]])
        after = int(ids[-1])


def acquainted(conn: sa.Connection, ordering: Ordering) -> Ordering:
    """Return a strategy as it begins: one that learns knows the reported followers of all accounts and no page."""
    if not ordering.learns:
        return ordering
    ordering = ordering.restored(None)
    ordering.acquaint(
        row[0] for row in conn.execute(sa.select(accounts.c.followers).where(accounts.c.followers.is_not(None)))
    )
    return ordering


_CHUNK = 50_000
_SUMS = Statement(
    sa.select(frontier.c.account_id, frontier.c.cash, frontier.c.listings, frontier.c.merit, frontier.c.quality)
    .where(frontier.c.account_id > sa.bindparam("after"))
    .order_by(frontier.c.account_id)
    .limit(sa.bindparam("at_most")),
    ("after", "at_most"),
)


def tally(
    conn: sa.Connection, *, cash: bool, listings: bool, merits: Callable[[Candidate], tuple[float, float]] | None
) -> Tallies:
    """Add up what the lists read so far hand to those they name; what is not asked for stays 0. Writes nothing.

    `merits` are a strategy's, and summed with `listings`. Reads every follow once.
    """
    largest: int = conn.execute(sa.select(sa.func.coalesce(sa.func.max(accounts.c.id), 0))).scalar_one()
    tallies = Tallies(*(np.zeros(largest + 1) for _ in range(4)))
    if cash:
        seeds = conn.execute(sa.select(frontier.c.account_id).where(frontier.c.depth == 0)).scalars().all()
        tallies.cash[list(seeds)] = 1.0
    if not cash and not listings:
        return tallies
    seen: set[int] = set()
    for visit in conn.execute(
        sa.select(
            visits.c.id,
            visits.c.account_id,
            visits.c.edges,
            visits.c.reported_total,
            accounts.c.followers,
            accounts.c.following,
            frontier.c.depth,
        )
        .select_from(
            visits.join(accounts, accounts.c.id == visits.c.account_id).join(
                frontier, frontier.c.account_id == visits.c.account_id
            )
        )
        .where(visits.c.edges > 0)
        .order_by(visits.c.id)
    ).all():
        account_id = visit.account_id
        targets = np.fromiter((row[0] for row in _TARGETS.run(conn, account_id)), dtype=np.int64)
        if cash:
            length = max(visit.edges, len(targets), visit.reported_total or visit.following or 0)
            share = max(tallies.cash[account_id], 0.0) / length
            tallies.cash[targets] += share
            tallies.cash[account_id] -= share * len(targets)
        if listings and account_id not in seen:  # a list counts once, however often it was read
            seen.add(account_id)
            tallies.listings[targets] += 1
            if merits is not None:
                merit, quality = merits(Candidate(account_id, visit.followers, visit.following, visit.depth))
                tallies.merit[targets] += merit
                tallies.quality[targets] += quality
    return tallies


_TARGETS = Statement(sa.select(follows.c.dst).where(follows.c.src == sa.bindparam("of_src")), ("of_src",))

RESCORED = 2_000
"""Entries at the head of the frontier that are looked at again when a strategy has learned more."""

_HEAD = Statement(
    sa.select(*CANDIDATE, frontier.c.lane, frontier.c.priority)
    .select_from(OF_CANDIDATE)
    .where(sa.literal_column("frontier.state") == sa.literal_column("0"))
    .order_by(frontier.c.lane, frontier.c.priority.desc(), frontier.c.account_id)
    .limit(sa.bindparam("at_most")),
    ("at_most",),
)


def rescore(conn: sa.Connection, ordering: Ordering) -> None:
    """Give the entries at the head of the frontier the places they have by what was learned since."""
    ordering = ordering.restored(runs.recall(conn, STATE))
    changed = _moved(_HEAD.run(conn, RESCORED), ordering)
    if changed:
        journal.note(conn, Act.RESCORED, accounts=[account_id for *_, account_id in changed])
        _SET_PLACE.run_many(conn, changed)


_SOME = Statement(
    sa.select(*CANDIDATE).select_from(OF_CANDIDATE).where(frontier.c.account_id == sa.bindparam("of_account")),
    ("of_account",),
)


def place_anew(conn: sa.Connection, ordering: Ordering, account_ids: Sequence[int]) -> None:
    """Give these entries their places, as `rescore` did once."""
    ordering = ordering.restored(runs.recall(conn, STATE))
    journal.note(conn, Act.RESCORED, accounts=list(account_ids))
    for account_id in account_ids:
        for row in _SOME.run(conn, account_id):
            entry = Candidate(*row)
            _SET_PLACE.run(conn, *ordering.place(entry), entry.account_id)


_SET_CHANCE = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values(chance=sa.bindparam("new_chance", type_=sa.Float)),
    ("new_chance", "of_account"),
)
_UNDRAWN = Statement(
    sa.select(*CANDIDATE, frontier.c.chance)
    .select_from(OF_CANDIDATE)
    .where(frontier.c.account_id > sa.bindparam("after"), frontier.c.depth > 0)
    .order_by(frontier.c.account_id)
    .limit(sa.bindparam("at_most")),
    ("after", "at_most"),
)


def draw_lots(
    conn: sa.Connection, chance: Callable[[Candidate], float] | None, *, after: int, at_most: int
) -> int | None:
    """Put the next entries after an account id into the explore queue, or out of it; returns the last id or None."""
    journal.note(conn, Act.LOTTED, after=after, at_most=at_most, explores=chance is not None)
    rows: Sequence[Any] = _UNDRAWN.run(conn, after, at_most).all()
    changed = []
    for *columns, old in rows:
        new = None if chance is None else chance(Candidate(*columns))
        if new != old and (old is None or new is None):
            changed.append((new, columns[0]))
    _SET_CHANCE.run_many(conn, changed)
    return None if len(rows) < at_most else int(rows[-1][0])
