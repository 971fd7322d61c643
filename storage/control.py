"""The control sample: accounts drawn at random from the lists that were read, wave by wave.

Three waves, each drawn from the lists of the one before, forget step by step which accounts the crawl preferred
(research of respondent-driven sampling: Salganik & Heckathorn 2004; Volz & Heckathorn 2008). Invariant: the draws of a
wave are stored before the first of them is bought, so that a kill changes none.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from storage.ordering import Candidate
from storage.schema import Completeness, State, accounts, control_draws, follows, frontier, visits
from storage.statement import Insert

Weights = npt.NDArray[np.float64]

ENOUGH_DRAWS = 1_000
"""Draws in a row that cost nothing after which a wave ends: there is hardly anything left in it to be bought."""

_INSERT = Insert(control_draws, ("run_id", "wave", "place", "account_id"))


def draws(conn: sa.Connection, *, run_id: int, wave: int) -> list[int]:
    """Return the accounts drawn for a wave, in the order of their draws, each as often as it was drawn."""
    rows = conn.execute(
        sa.select(control_draws.c.account_id)
        .where(control_draws.c.run_id == run_id, control_draws.c.wave == wave)
        .order_by(control_draws.c.place)
    )
    return [row[0] for row in rows]


def draw(
    conn: sa.Connection,
    *,
    run_id: int,
    wave: int,
    since: int = 0,
    credits: int,
    pages: Callable[[Candidate], int],
    rng: Random,
) -> list[int]:
    """Draw a wave with replacement until its lists would cost so many credits, and store it; returns all of it.

    A wave that was drawn before is added to: its lists that were not read yet cost as well. What is added is drawn from
    what was added to the wave before, the draws from place `since` on, so that it is three waves away from the crawl
    as well; where that is nothing, from all of it.

    `pages` gives the pages still to buy of a list. A list that was read costs nothing, nor does one that is known to be
    empty or cannot be read; such accounts are drawn all the same.
    """
    drawn = draws(conn, run_id=run_id, wave=wave)
    before = len(drawn)
    weights = _first_wave(conn) if wave == 1 else _later_wave(conn, run_id=run_id, wave=wave - 1, since=since)
    ids = np.flatnonzero(weights)
    if not len(ids):
        return drawn
    ends = np.cumsum(weights[ids])
    to_buy = _to_buy(conn)

    def price(account_id: int) -> int:
        entry = to_buy(account_id)
        return 0 if entry is None else pages(entry)

    paid = set(drawn)
    spent = sum(map(price, paid))
    free = 0
    while spent < credits and free < ENOUGH_DRAWS:
        place = int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))
        account_id = int(ids[min(place, len(ids) - 1)])
        cost = price(account_id) if account_id not in paid else 0
        if spent + cost > credits and drawn:
            break
        free = 0 if cost else free + 1
        paid.add(account_id)
        spent += cost
        drawn.append(account_id)
    _INSERT.run(
        conn, [(run_id, wave, place, account_id) for place, account_id in enumerate(drawn[before:], start=before)]
    )
    return drawn


def _first_wave(conn: sa.Connection) -> Weights:
    """Return by account id (sum over read lists that name it of 1 / F of the lister) / F.

    A lister whose followers nobody reported, as of a seed that no list names, would weigh like one with a single
    follower: it has no weight instead.
    """
    followers = _followers(conn)
    weights = np.zeros(len(followers))
    read: Any = conn.execute(
        sa.select(frontier.c.account_id)
        .select_from(frontier.join(accounts, accounts.c.id == frontier.c.account_id))
        .where(frontier.c.completeness.in_(Completeness.LISTED), accounts.c.followers.is_not(None))
    ).scalars()
    for account_id in read.all():
        weights[_targets(conn, account_id)] += 1.0 / followers[account_id]
    return weights / followers


def _later_wave(conn: sa.Connection, *, run_id: int, wave: int, since: int) -> Weights:
    """Return by account id (draws of the wave before whose list names it) / F."""
    followers = _followers(conn)
    weights = np.zeros(len(followers))
    sources = draws(conn, run_id=run_id, wave=wave)
    for account_id in sources[since:] or sources:
        weights[_targets(conn, account_id)] += 1.0
    return weights / followers


def _followers(conn: sa.Connection) -> Weights:
    largest: int = conn.execute(sa.select(sa.func.coalesce(sa.func.max(accounts.c.id), 0))).scalar_one()
    followers = np.ones(largest + 1)
    rows = conn.execute(sa.select(accounts.c.id, accounts.c.followers).where(accounts.c.followers > 1))
    for account_id, count in rows:
        followers[account_id] = count
    return followers


def _targets(conn: sa.Connection, account_id: int) -> npt.NDArray[np.int64]:
    rows = conn.execute(sa.select(follows.c.dst).where(follows.c.src == account_id, follows.c.ended_visit.is_(None)))
    return np.fromiter((row[0] for row in rows), dtype=np.int64)


def _to_buy(conn: sa.Connection) -> Callable[[int], Candidate | None]:
    """Return what tells of an account's list, as far as that can be bought; None where nothing of it can."""
    query = (
        sa.select(accounts.c.following, sa.func.coalesce(visits.c.pages, 0))
        .select_from(
            accounts.join(frontier, frontier.c.account_id == accounts.c.id).outerjoin(
                visits, visits.c.id == frontier.c.visit_id
            )
        )
        .where(
            accounts.c.id == sa.bindparam("of_account"), frontier.c.state.in_([int(State.QUEUED), int(State.DEFERRED)])
        )
    )

    def to_buy(account_id: int) -> Candidate | None:
        row = conn.execute(query, {"of_account": account_id}).one_or_none()
        return None if row is None else Candidate(account_id, following=row[0], pages=row[1])

    return to_buy
