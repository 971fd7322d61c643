"""Prospects: what a crawl would buy, asked before it begins under each strategy, and while it goes on of what is left.

Invariant: nothing is written. What the crawl would make of the frontier for a strategy is worked out beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from crawler.forecast import Forecast, Forecaster, Step, by_day
from crawler.options import Options
from crawler.pagewise import measured_in, rule
from crawler.phases import Phase, Spent, phases, spent_before
from crawler.strategies import registry
from crawler.strategies.core_pages import CorePages
from crawler.strategies.expansion import Expansion
from crawler.strategies.unbiased import Unbiased
from storage import allowances, ranking, runs, sampling, yields
from storage.errors import BudgetTooSmall
from storage.ordering import STATE, Candidate, Ordering
from storage.schema import Queue

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from crawler.strategy import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the forecasts of a run rest on, all of one moment, when so many of its credits were `used`.

    `orderings` are by the names of the strategies; the one by lot is among them.
    """

    known: yields.Known
    room: allowances.Room
    used: int
    orderings: Mapping[str, Ordering]

    def steps(self, coming: Iterable[Phase], *, explore: float) -> list[Step]:
        """Return what is left of phases of the run as the steps of a forecast; `explore` is a share of the picks."""
        return [self._step(phase, explore) for phase in coming]

    def _step(self, phase: Phase, explore: float) -> Step:
        lots, left = self.orderings[Unbiased.name], self.room.credits
        ceiling = left if phase.ceiling is None else min(left, phase.ceiling - self.used)
        if phase.wave is not None:  # drawn from lists read, the less often the more follow an account: as lots are
            return Step(ordering=lots, ceiling=ceiling)
        ordering = self.orderings[phase.strategy]
        if phase.queue == Queue.AUDIT:
            return Step(ordering=ordering, ceiling=ceiling)
        return Step(ordering=ordering, ceiling=ceiling, explore=explore, lots=lots)


Part = Literal["audit", "main", "control"]
"""What a phase is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospects:
    """Forecasts by strategy, the chosen one first, of the credits that are `left` for first calls.

    `is_least`: what the known frontier costs is a minimum, for of some in it nobody knows yet how many they follow.
    `continues` is the run that the crawl would go on with, None where it begins a new one; `used` are the credits of
    the budget that this run has used. `new_run` tells whether the crawl must be told to begin a new one. `coming` are
    the credits that the chosen strategy's crawl still spends, by the `Part` of the run.
    """

    budget: int
    forecasts: dict[str, Forecast]
    coming: Mapping[Part, int]
    waves: Sequence[tuple[int, int]]
    """Credits that each wave of its control sample has used and still spends."""
    left: int
    continues: int | None
    used: int
    left_today: int | None
    """Of the day's cap; None without one."""
    new_run: bool
    is_least: bool


def read(conn: Connection, options: Options, budget: int | None, *, now: float) -> Prospects:
    """Say what a budget (credits) would buy under each strategy at a Unix time; None for that of the run to be
    continued.

    A budget below what the run to be continued has used, which a crawl refuses, is taken for a new run's. Raises
    BudgetMissing where a new run would have none.
    """
    new_run = options.new_run
    try:
        previous = runs.continued(conn, budget=budget, new_run=new_run)
    except BudgetTooSmall:
        previous, new_run = None, True
    if budget is None:
        assert previous is not None  # noqa: S101 - else BudgetMissing was raised
        budget = previous.budget
    continues = None if previous is None else previous.id
    caps = options.caps
    today = 0 if caps.per_day is None else sum(allowances.today(conn, caps.day, now=now))
    strategies = _strategies(conn, options)
    ground = survey(conn, options, strategies, run_id=continues, budget=budget, is_at_work=False, now=now)
    forecaster = Forecaster(ground.known, ground.room, options)
    spent = Spent() if continues is None else spent_before(conn, options, budget, continues)
    paid = {} if continues is None else sampling.used_by_queue(conn, continues)
    found, parts = {}, {}
    for name in dict.fromkeys((options.strategy, *registry.NAMES)):
        coming = phases(replace(options, strategy=name), budget, spent=spent)
        steps = ground.steps(coming, explore=options.explore)
        made = forecaster.under(steps)
        found[name] = by_day(made, caps, today=today, now=now)
        parts[name] = list(zip(coming, _shared(steps, made.cost), strict=True))
    return Prospects(
        budget=budget,
        forecasts=found,
        coming=_by_part(parts[options.strategy]),
        waves=[(paid.get(phase.queue, 0), cost) for phase, cost in parts[options.strategy] if phase.wave is not None],
        left=ground.room.credits,
        continues=continues,
        used=ground.used,
        left_today=None if caps.per_day is None else max(0, caps.per_day - today),
        new_run=new_run,
        is_least=any(entry.following is None for entry in ground.known.waiting.entries),
    )


def _shared(steps: Iterable[Step], cost: int) -> Iterator[int]:
    """Yield how many credits each step spends of so many in all."""
    spent = 0
    for step in steps:
        ends = max(spent, min(step.ceiling, cost))
        yield ends - spent
        spent = ends


def _by_part(spends: Iterable[tuple[Phase, int]]) -> dict[Part, int]:
    found: dict[Part, int] = {"audit": 0, "main": 0, "control": 0}
    for phase, credits in spends:
        part: Part = "control" if phase.wave is not None else "audit" if phase.queue == Queue.AUDIT else "main"
        found[part] += credits
    return found


def survey(
    conn: Connection,
    options: Options,
    strategies: Mapping[str, Strategy],
    *,
    run_id: int | None,
    budget: int,
    is_at_work: bool,
    now: float,
    until: float | None = None,
) -> Ground:
    """Return what forecasts of a run rest on under strategies by name; of a run not begun where `run_id` is None.

    Of a run that `is_at_work` what is reserved is left: the lists of its leases are among those that wait. Of any other
    it is used, for whoever goes on with the run finds it uncertain. It ends at the Unix time `until` where that is not
    None.
    """
    used = 0
    if run_id is not None:
        credits = runs.read_credits(conn, run_id)
        used = credits.used - (credits.reserved if is_at_work else 0)
    room = allowances.room(
        conn, options.caps, run_id=run_id, left=budget - used, is_at_work=is_at_work, now=now, until=until
    )
    known = yields.read(
        conn,
        concurrency=options.concurrency,
        rate=options.rate,
        max_depth=options.max_depth,
        wants=None if options.wanted.is_open else options.wanted.wants,
    )
    return Ground(
        known=known,
        room=room,
        used=used,
        orderings=_ranked(conn, strategies, known.waiting.entries),
    )


def _strategies(conn: Connection, options: Options) -> dict[str, Strategy]:
    """Return by name the rules that a crawl would begin with, each as if it were chosen, and the audit's."""
    lot_seed = int(runs.recall(conn, runs.LOT_SEED) or options.rng_seed or 0)
    measured = measured_in(conn) if options.page_rules == "auto" else None
    found = {name: rule(replace(options, strategy=name), name, measured, lot_seed=lot_seed) for name in registry.NAMES}
    return {**found, Expansion.name: options.strategy_of(Expansion.name, lot_seed=lot_seed)}


def _ranked(conn: Connection, strategies: Mapping[str, Strategy], entries: Iterable[Candidate]) -> dict[str, Ordering]:
    """Return the strategies with what they know, and give the entries what a crawl would work out for them."""
    ranked_by = runs.recall(conn, ranking.RANKED_BY)
    standing = ranked_by
    if ranked_by == ranking.MIXED:  # a crawl with the strategy that was cut off goes on ranking
        standing = (runs.recall(conn, ranking.RANKED_TO) or "").split(" ")[0]
    found: dict[str, Ordering] = {}
    missing: list[Ordering] = []
    for name, strategy in strategies.items():
        ordering: Ordering = strategy
        if strategy.label == standing:
            ordering = strategy.restored(runs.recall(conn, STATE))
        elif registry.has_to_tally(ranked_by, strategy):
            ordering = ranking.acquainted(conn, strategy)
            missing.append(ordering)
        found[name] = ordering
    cash = any(ordering.keeps_cash for ordering in missing)
    listings = any(ordering.keeps_listings for ordering in missing)
    merits = next((each.merits for each in missing if isinstance(each, CorePages)), None)  # no other sums any
    tallies = ranking.tally(conn, cash=cash, listings=listings, merits=merits)
    for entry in entries:
        if cash:
            entry.cash = float(tallies.cash[entry.account_id])
        if listings:
            entry.listings = int(tallies.listings[entry.account_id])
        if merits is not None:
            entry.merit = float(tallies.merit[entry.account_id])
            entry.quality = float(tallies.quality[entry.account_id])
    return found
