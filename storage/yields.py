"""What credits have brought so far and what waits: the ground of a forecast."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from storage.accounts import Facts, Wants, never_bought
from storage.evidence import frontier_size
from storage.ordering import Candidate
from storage.parking import OPTIONAL, is_refused, may_wait
from storage.picking import CANDIDATE, OF_CANDIDATE
from storage.schema import Completeness, accounts, frontier, runs, visits

Numbers = npt.NDArray[np.float64]

SAMPLE = 100_000
"""Waiting entries looked at one by one at most; of a longer frontier every n-th."""


FEW_PAGES = 20
"""Pages below which a run says nothing of how long answers take."""

HELD = 0.6
"""Part of the rate asked for from which a run is taken to have been held by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Yields:
    """What each visit with a page brought, in the order they began; arrays of the same length."""

    credits: Numbers
    edges: Numbers
    accounts: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Entries that wait, and to which seed's credits each counts; each stands for `weight` of them."""

    entries: list[Candidate]
    seeds: list[int | None]
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The accounts that lists name, or a systematic sample of them.

    `followers` and `following` are as reported, of the former none below 1; `is_bought` tells whose list may be bought.
    """

    followers: Numbers
    following: Numbers
    is_bought: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a run was with so many requests in flight and at most so many (`rate`) a second."""

    pages_per_s: float
    concurrency: int
    rate: float | None

    @property
    def answer_s(self) -> float:
        """Seconds that an answer took; at most so many where the rate made requests wait."""
        return self.concurrency / self.pages_per_s

    @property
    def was_held(self) -> bool:
        """Whether the rate made requests wait, so that answers may have been faster."""
        return self.rate is not None and self.pages_per_s > HELD * self.rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a forecast rests on. `listed_share` is follows brought for each announced; `rate` in requests a second."""

    yields: Yields
    waiting: Waiting
    listed: Listed
    listed_share: float | None
    pace: Pace | None
    concurrency: int
    rate: float | None


def read(
    conn: sa.Connection,
    *,
    concurrency: int,
    rate: float | None,
    max_depth: int | None = None,
    wants: Wants | None = None,
) -> Known:
    """Return all of it; `concurrency`, `rate` (requests a second), depth limit and filters are how it is to go on."""
    return Known(
        yields=yields(conn),
        waiting=waiting(conn, max_depth=max_depth, wants=wants),
        listed=listed(conn, wants),
        listed_share=listed_share(conn),
        pace=pace(conn),
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


def waiting(conn: sa.Connection, *, max_depth: int | None, wants: Wants | None) -> Waiting:
    """Return the entries that a crawl may buy with this depth limit and these filters, or a systematic sample."""
    step = max(1, frontier_size(conn) // SAMPLE)
    rows = conn.execute(
        sa.select(*CANDIDATE, frontier.c.seed_id, frontier.c.visit_id, *(OPTIONAL if wants else ()))
        .select_from(OF_CANDIDATE)
        .where(may_wait(max_depth), frontier.c.account_id % step == 0 if step > 1 else sa.true())
        .order_by(frontier.c.account_id)
    )
    entries, seeds = [], []
    for row in rows:
        entry = Candidate(*row[: len(CANDIDATE)])
        seed_id, visit_id, *facts = row[len(CANDIDATE) :]
        if wants is None or not is_refused(Facts(*facts), wants, depth=entry.depth, visit_id=visit_id):
            entries.append(entry)
            seeds.append(seed_id)
    return Waiting(entries=entries, seeds=seeds, weight=step)


def listed(conn: sa.Connection, wants: Wants | None) -> Listed:
    """Return what is reported of the accounts known, and whom of them these filters let be bought."""
    step = max(1, frontier_size(conn) // SAMPLE)
    rows = conn.execute(
        sa.select(*OPTIONAL).where(
            accounts.c.followers.is_not(None),
            accounts.c.following.is_not(None),
            accounts.c.id % step == 0 if step > 1 else sa.true(),
        )
    )
    found = [
        (max(1, facts.followers or 0), facts.following, never_bought(facts, wants) is None)
        for facts in map(Facts._make, rows)
    ]
    table = np.array(found, dtype=np.float64).reshape(-1, 3)
    return Listed(followers=table[:, 0], following=table[:, 1], is_bought=table[:, 2] > 0)


def listed_share(conn: sa.Connection) -> float | None:
    """Return how many follows complete lists bring for each that their accounts' facts announce; None before any."""
    brought, announced = conn.execute(
        sa.select(sa.func.sum(visits.c.edges), sa.func.sum(accounts.c.following))
        .select_from(visits.join(accounts, accounts.c.id == visits.c.account_id))
        .where(visits.c.completeness == Completeness.COMPLETE, accounts.c.following.is_not(None))
    ).one()
    return float(brought / announced) if announced else None


def pace(conn: sa.Connection) -> Pace | None:
    """Return that of the newest run with a few pages; None without one."""
    row = conn.execute(
        sa.select(runs.c.pages, runs.c.active_s, runs.c.settings)
        .where(runs.c.active_s > 0, runs.c.pages >= FEW_PAGES)
        .order_by(runs.c.id.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    asked = json.loads(row.settings)
    return Pace(
        pages_per_s=float(row.pages / row.active_s),
        concurrency=int(asked.get("concurrency") or 1),
        rate=asked.get("rate"),
    )
