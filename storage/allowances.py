"""Sub-budgets: how many credits a day, a seed and a hop may still take, inside the budget of the run.

Invariant: charged + uncertain + reserved of a day never exceed its cap, open reservations counting as today's, even if
answers turn out dear (`runs.promisable`); nor do those of a seed or a hop of a run as long as a page costs what it is
quoted at. A credit once uncertain stays counted here, for a balance settles a sum and not a call.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import sqlalchemy as sa

from storage.runs import Credits, promisable
from storage.schema import Outcome, State, allowances, frontier, ledger, processes, visits
from storage.statement import Statement

DAY, SEED, DEPTH = "day", "seed", "depth"
EVERY_RUN = 0
"""`run_id` of what all runs share: a day's credits."""


DAY_S = 86_400
LONG_DAY_S = 90_000
"""A day has 25 hours at most."""


def _utc_day(now: float) -> str:
    return str(int(now // DAY_S))


def _utc_day_ends(now: float) -> float:
    return (now // DAY_S + 1) * DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Credits at most, None for as many as the run has. `per_depth` is of hop 0, 1, 2 …; later hops have no cap.

    `retry_reserve` credits of the run are kept for pages that failed once. `day` names the day of a Unix time and
    `day_ends` says when it is over, both in `time_zone`.
    """

    per_day: int | None = None
    per_seed: int | None = None
    per_depth: tuple[int, ...] = ()
    retry_reserve: int = 0
    time_zone: str = "UTC"
    day: Callable[[float], str] = _utc_day
    day_ends: Callable[[float], float] = _utc_day_ends

    @property
    def are_counted(self) -> bool:
        """Whether anything has to be counted apart from the run."""
        return self.per_day is not None or self.per_seed is not None or bool(self.per_depth)

    def of_depth(self, depth: int) -> int | None:
        """Return the cap of a hop."""
        return self.per_depth[depth] if 0 <= depth < len(self.per_depth) else None


@dataclass(slots=True)
class _Sum:
    charged: int = 0
    uncertain: int = 0
    reserved: int = 0

    @property
    def used(self) -> int:
        return self.charged + self.uncertain + self.reserved


_READ = Statement(
    sa.select(allowances.c.charged, allowances.c.uncertain, allowances.c.reserved).where(
        allowances.c.run_id == sa.bindparam("of_run"),
        allowances.c.kind == sa.bindparam("of_kind"),
        allowances.c.key == sa.bindparam("of_key"),
    ),
    ("of_run", "of_kind", "of_key"),
)
_UPDATE = Statement(
    sa.update(allowances)
    .where(
        allowances.c.run_id == sa.bindparam("of_run"),
        allowances.c.kind == sa.bindparam("of_kind"),
        allowances.c.key == sa.bindparam("of_key"),
    )
    .values(
        charged=sa.bindparam("now_charged"),
        uncertain=sa.bindparam("now_uncertain"),
        reserved=sa.bindparam("now_reserved"),
    ),
    ("of_run", "of_kind", "of_key", "now_charged", "now_uncertain", "now_reserved"),
)


class Allowances:
    """The sums that one transaction reads, changes and writes back. Without caps it reads and writes nothing."""

    def __init__(self, conn: sa.Connection, caps: Caps, *, run_id: int, now: float) -> None:
        self._conn = conn
        self._caps = caps
        self._run_id = run_id
        self._today = caps.day(now) if caps.per_day is not None else ""
        self._sums: dict[tuple[int, str, str], _Sum] = {}
        self._missing: set[tuple[int, str, str]] = set()

    def _sum(self, kind: str, key: object) -> _Sum:
        place = (EVERY_RUN if kind == DAY else self._run_id, kind, str(key))
        found = self._sums.get(place)
        if found is None:
            row: Any = _READ.run(self._conn, *place).first()
            if row is None:
                self._missing.add(place)
            found = self._sums[place] = _Sum(*(row or ()))
        return found

    def left_today(self, credits: Credits) -> int | None:
        """Return to how many more pages today's cap lets a credit be promised, None without one."""
        if self._caps.per_day is None:
            return None
        today = self._sum(DAY, self._today)
        return promisable(self._caps.per_day - today.charged - today.uncertain, reserved=credits.reserved)

    def refusal(self, seed_id: int | None, depth: int | None) -> str | None:
        """Return which cap forbids another credit for an entry of this seed and hop: "seed", "depth" or None."""
        if (
            self._caps.per_seed is not None
            and seed_id is not None
            and self._sum(SEED, seed_id).used >= self._caps.per_seed
        ):
            return SEED
        cap = None if depth is None else self._caps.of_depth(depth)
        return DEPTH if cap is not None and self._sum(DEPTH, depth).used >= cap else None

    def have_room(self, seed_id: int | None, depth: int | None, credits: Credits) -> bool:
        """Tell whether the next page of a list may be reserved."""
        return (
            credits.free > self._caps.retry_reserve
            and self.left_today(credits) != 0
            and self.refusal(seed_id, depth) is None
        )

    def reserve(self, seed_id: int | None, depth: int | None, count: int = 1) -> None:
        """Promise a credit to a call, or take the promise back with -1."""
        for of_it in self._of(seed_id, depth):
            of_it.reserved += count

    def charge(self, seed_id: int | None, depth: int | None, charged: int) -> None:
        """A reserved call was answered and cost so much."""
        self._close(seed_id, depth, charged=charged, uncertain=0)

    def give_back(self, seed_id: int | None, depth: int | None, *, uncertain: int) -> None:
        """A reserved call brought nothing: its credit is free again or uncertain."""
        self._close(seed_id, depth, charged=0, uncertain=uncertain)

    def _close(self, seed_id: int | None, depth: int | None, *, charged: int, uncertain: int) -> None:
        self.reserve(seed_id, depth, -1)
        today = [self._sum(DAY, self._today)] if self._caps.per_day is not None else []
        for of_it in (*self._of(seed_id, depth), *today):
            of_it.charged += charged
            of_it.uncertain += uncertain

    def _of(self, seed_id: int | None, depth: int | None) -> list[_Sum]:
        found = []
        if self._caps.per_seed is not None and seed_id is not None:
            found.append(self._sum(SEED, seed_id))
        if depth is not None and self._caps.of_depth(depth) is not None:
            found.append(self._sum(DEPTH, depth))
        return found

    def write(self) -> None:
        """Write back what was changed."""
        for place, of_it in self._sums.items():
            if place in self._missing:
                self._conn.execute(
                    sa.insert(allowances).values(
                        run_id=place[0], kind=place[1], key=place[2],
                        charged=of_it.charged, uncertain=of_it.uncertain, reserved=of_it.reserved,
                    )
                )  # fmt: skip
            else:
                _UPDATE.run(self._conn, *place, of_it.charged, of_it.uncertain, of_it.reserved)


def rebuild(conn: sa.Connection, caps: Caps, *, run_id: int, now: float) -> None:
    """Count anew what the caps are about, from the ledger and the open leases."""
    conn.execute(sa.delete(allowances).where(allowances.c.run_id.in_((run_id, EVERY_RUN))))
    if not caps.are_counted:
        return
    sums: dict[tuple[int, str, str], _Sum] = {}
    for kind, is_capped in ((SEED, caps.per_seed is not None), (DEPTH, bool(caps.per_depth))):
        if not is_capped:
            continue
        for of, charged, uncertain in _booked(conn, run_id, kind):
            sums[run_id, kind, str(of)] = _Sum(charged, uncertain)
        for of, count in _leased(conn, run_id, kind):
            sums.setdefault((run_id, kind, str(of)), _Sum()).reserved = count
    if caps.per_day is not None:
        sums[EVERY_RUN, DAY, caps.day(now)] = _Sum(*today(conn, caps.day, now=now))
    for (run, kind, key), of_it in sums.items():
        conn.execute(
            sa.insert(allowances).values(
                run_id=run,
                kind=kind,
                key=key,
                charged=of_it.charged,
                uncertain=of_it.uncertain,
                reserved=of_it.reserved,
            )
        )


_KEYS = {SEED: visits.c.seed_id, DEPTH: visits.c.depth}


def _booked(conn: sa.Connection, run_id: int, kind: str) -> Iterator[tuple[int, int, int]]:
    """Yield the credits charged and uncertain of each seed or hop of a run."""
    column = _KEYS[kind]
    rows: Any = conn.execute(
        sa.select(column, sa.func.sum(ledger.c.charged), sa.func.sum(ledger.c.uncertain))
        .select_from(ledger.join(visits, visits.c.id == ledger.c.visit_id))
        .where(ledger.c.run_id == run_id, ledger.c.outcome != Outcome.RECONCILED, column.is_not(None))
        .group_by(column)
    )
    for key, charged, uncertain in rows:
        yield key, int(charged), int(uncertain)


def _leased(conn: sa.Connection, run_id: int, kind: str) -> list[tuple[int, int]]:
    """Return the credits promised to the open leases of a run by their seeds or hops."""
    column = _KEYS[kind]
    rows: Any = conn.execute(
        sa.select(column, sa.func.count())
        .select_from(
            frontier.join(visits, visits.c.id == frontier.c.visit_id).join(
                processes, processes.c.id == frontier.c.lease_process
            )
        )
        .where(frontier.c.state == int(State.LEASED), processes.c.run_id == run_id, column.is_not(None))
        .group_by(column)
    )
    return [(int(key), int(count)) for key, count in rows]


def today(
    conn: sa.Connection, day: Callable[[float], str], *, now: float, run_ids: Collection[int] | None = None
) -> tuple[int, int]:
    """Return the credits charged and uncertain of the day of a Unix time, over all runs or these.

    `day` names the day of a Unix time.
    """
    of_day = day(now)
    charged = uncertain = 0
    rows: Any = conn.execute(
        sa.select(ledger.c.at, ledger.c.charged, ledger.c.uncertain).where(
            ledger.c.at > int(now) - LONG_DAY_S,
            ledger.c.outcome != Outcome.RECONCILED,
            sa.true() if run_ids is None else ledger.c.run_id.in_(run_ids),
        )
    )
    for row in rows:
        if day(row.at) == of_day:
            charged += row.charged
            uncertain += row.uncertain
    return charged, uncertain


Place = tuple[int | None, int]
"""The seed and the hop that an entry counts to."""


def _part(left: float, wanted: float) -> float:
    return min(1.0, max(0.0, left) / wanted) if wanted else 0.0


@dataclass(slots=True, kw_only=True)
class Room:
    """How many `credits` a run may still spend, and how many of them seeds and hops may take.

    `take` changes what is left, for whoever reckons with it. What no cap is about has room without end.
    """

    credits: int = 0
    per_seed: int | None = None
    seeds: dict[int, float] = field(default_factory=dict)
    hops: dict[int, float] = field(default_factory=dict)

    def copy(self) -> Room:
        """Return a room of its own to reckon with."""
        return replace(self, seeds=dict(self.seeds), hops=dict(self.hops))

    def left(self, seed_id: int | None, depth: int) -> float:
        """Return what the seed and the hop of an entry let its list cost."""
        return min(self._of_seed(seed_id), self._of_hop(depth))

    def cut(self, wanted: Mapping[Place, float]) -> Mapping[Place, float]:
        """Return what seeds and hops let these lists cost: what is too much for one of them is cut alike."""
        seeds, hops = defaultdict[int | None, float](float), defaultdict[int, float](float)
        for (seed_id, _), cost in wanted.items():
            seeds[seed_id] += cost
        paid = {place: cost * _part(self._of_seed(place[0]), seeds[place[0]]) for place, cost in wanted.items()}
        for (_, depth), cost in paid.items():
            hops[depth] += cost
        return {place: cost * _part(self._of_hop(place[1]), hops[place[1]]) for place, cost in paid.items()}

    def take(self, seed_id: int | None, depth: int, credits: float) -> None:
        """Spend credits on an entry's list."""
        if seed_id is not None and self.per_seed is not None:
            self.seeds[seed_id] = self._of_seed(seed_id) - credits
        if depth in self.hops:
            self.hops[depth] -= credits

    def _of_hop(self, depth: int) -> float:
        return self.hops.get(depth, inf)

    def _of_seed(self, seed_id: int | None) -> float:
        # Whoever was found before there were such budgets has no seed.
        return inf if self.per_seed is None or seed_id is None else self.seeds.get(seed_id, self.per_seed)


def room(
    conn: sa.Connection,
    caps: Caps,
    *,
    run_id: int | None,
    left: int,
    is_at_work: bool,
    now: float,
    until: float | None = None,
) -> Room:
    """Return the room of a run with so many credits left; of a run that has not begun where `run_id` is None.

    Open reservations of a run that `is_at_work` are of entries that wait, for now; any other's are as good as spent.
    The reserve for retries pays for no first call. A day's cap only makes a crawl wait: it keeps credits back where the
    crawl ends at a time, `until`, and not with its budget.
    """
    credits = left - caps.retry_reserve
    if caps.per_day is not None and until is not None:
        of_days, ends = caps.per_day - sum(today(conn, caps.day, now=now)), caps.day_ends(now)
        while ends < until and of_days < credits:
            of_days, ends = of_days + caps.per_day, caps.day_ends(ends)
        credits = min(credits, of_days)
    found = Room(
        credits=max(0, credits),
        per_seed=caps.per_seed,
        hops={depth: float(cap) for depth, cap in enumerate(caps.per_depth)},
    )
    if run_id is not None and caps.per_seed is not None:
        for seed_id, taken in _taken(conn, run_id, SEED, is_at_work=is_at_work):
            found.seeds[seed_id] = found.seeds.get(seed_id, caps.per_seed) - taken
    if run_id is not None and caps.per_depth:
        for depth, taken in _taken(conn, run_id, DEPTH, is_at_work=is_at_work):
            if depth in found.hops:
                found.hops[depth] -= taken
    return found


def _taken(conn: sa.Connection, run_id: int, kind: str, *, is_at_work: bool) -> Iterator[tuple[int, int]]:
    for key, charged, uncertain in _booked(conn, run_id, kind):
        yield key, charged + uncertain
    if not is_at_work:
        yield from _leased(conn, run_id, kind)


PARKED = {SEED: "seed_budget", DEPTH: "depth_budget"}
"""Why an entry is skipped whose seed or hop has used up its credits."""


def parked(conn: sa.Connection) -> list[sa.Row[Any]]:
    """Return the entries that wait for credits of their seed or hop, as rows of account, seed and depth."""
    return list(
        conn.execute(
            sa.select(frontier.c.account_id, frontier.c.seed_id, frontier.c.depth)
            .where(frontier.c.state == int(State.SKIPPED), frontier.c.reason.in_(PARKED.values()))
            .order_by(frontier.c.account_id)
        )
    )


def parked_counts(conn: sa.Connection) -> dict[str, int]:
    """Return how many entries wait for credits of their seed and of their hop; nothing where none does."""
    rows: Any = conn.execute(
        sa.select(frontier.c.reason, sa.func.count())
        .where(frontier.c.state == int(State.SKIPPED), frontier.c.reason.in_(PARKED.values()))
        .group_by(frontier.c.reason)
    )
    counts = dict(iter(rows))
    return {kind: int(counts[reason]) for kind, reason in PARKED.items() if reason in counts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a sub-budget has taken: `key` is the day, the account of the seed, or the hop."""

    kind: str
    key: str
    charged: int
    uncertain: int
    reserved: int


def counted(conn: sa.Connection, run_id: int) -> list[Counted]:
    """Return what was counted for the sub-budgets of a run and for the day, those with most credits first."""
    rows: Any = conn.execute(
        sa.select(*(allowances.c[name] for name in ("kind", "key", "charged", "uncertain", "reserved")))
        .where(allowances.c.run_id.in_((run_id, EVERY_RUN)))
        .order_by(allowances.c.kind, allowances.c.charged.desc(), allowances.c.key)
    )
    return [Counted(**row._mapping) for row in rows]
