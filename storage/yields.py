"""What credits have brought so far and what waits: the ground of a forecast."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from storage.evidence import frontier_size
from storage.ordering import Candidate
from storage.picking import CANDIDATE, OF_CANDIDATE
from storage.schema import Completeness, State, accounts, frontier, runs, visits

Numbers = npt.NDArray[np.float64]

SAMPLE = 100_000
"""Waiting entries looked at one by one at most; of a longer frontier every n-th."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Yields:
    """What each visit with a page brought, in the order they began; arrays of the same length."""

    credits: Numbers
    edges: Numbers
    accounts: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Entries that wait; each stands for `weight` of them."""

    entries: list[Candidate]
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a forecast rests on. `listed_share` is follows brought for each announced; `speed` in pages a second.

    `followers` are those reported of the accounts known, or of a systematic sample of them; none is below 1.
    """

    yields: Yields
    waiting: Waiting
    followers: Numbers
    listed_share: float | None
    speed: float | None
    concurrency: int
    rate: float | None


def read(conn: sa.Connection, *, concurrency: int, rate: float | None) -> Known:
    """Return all of it; `concurrency` and `rate` (requests a second) are how a crawl is to go on."""
    return Known(
        yields=yields(conn),
        waiting=waiting(conn),
        followers=followers(conn),
        listed_share=listed_share(conn),
        speed=speed(conn),
        concurrency=concurrency,
        rate=rate,
    )


def yields(conn: sa.Connection) -> Yields:
    """Return what visits brought: pages bought, follows and accounts nobody knew before."""
    rows = conn.execute(
        sa.select(visits.c.pages, visits.c.new_edges, visits.c.new_accounts)
        .where(visits.c.pages > 0)
        .order_by(visits.c.id)
    ).yield_per(10_000)
    table = np.fromiter(chain.from_iterable(rows), dtype=np.float64).reshape(-1, 3)
    return Yields(credits=table[:, 0], edges=table[:, 1], accounts=table[:, 2])


def waiting(conn: sa.Connection) -> Waiting:
    """Return the entries that may be bought, or a systematic sample of them."""
    step = max(1, frontier_size(conn) // SAMPLE)
    rows = conn.execute(
        sa.select(*CANDIDATE)
        .select_from(OF_CANDIDATE)
        .where(
            frontier.c.state.in_([int(State.QUEUED), int(State.DEFERRED), int(State.LEASED)]),
            frontier.c.account_id % step == 0 if step > 1 else sa.true(),
        )
        .order_by(frontier.c.account_id)
    )
    return Waiting(entries=[Candidate(*row) for row in rows], weight=step)


def followers(conn: sa.Connection) -> Numbers:
    """Return the reported followers of the accounts known, at least 1 each; of many accounts every n-th is asked."""
    step = max(1, frontier_size(conn) // SAMPLE)
    rows = conn.execute(
        sa.select(accounts.c.followers).where(
            accounts.c.followers.is_not(None), accounts.c.id % step == 0 if step > 1 else sa.true()
        )
    )
    return np.fromiter((max(1, row[0]) for row in rows), dtype=np.float64)


def listed_share(conn: sa.Connection) -> float | None:
    """Return how many follows complete lists bring for each that their accounts' facts announce; None before any."""
    brought, announced = conn.execute(
        sa.select(sa.func.sum(visits.c.edges), sa.func.sum(accounts.c.following))
        .select_from(visits.join(accounts, accounts.c.id == visits.c.account_id))
        .where(visits.c.completeness == Completeness.COMPLETE, accounts.c.following.is_not(None))
    ).one()
    return float(brought / announced) if announced else None


def speed(conn: sa.Connection) -> float | None:
    """Return the pages a second of the newest run that was at work for a while; None without one."""
    row = conn.execute(
        sa.select(runs.c.pages, runs.c.active_s)
        .where(runs.c.active_s > 1.0, runs.c.pages > 0)
        .order_by(runs.c.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else float(row.pages / row.active_s)
