"""Prospects: what a crawl with these options would buy under each strategy, asked before it begins.

Invariant: nothing is written. What the crawl would make of the frontier for a strategy is worked out beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from crawler.course import has_to_tally, known_to, measure, rule
from crawler.forecast import Forecast, Forecaster, Step, by_day
from crawler.options import Options
from crawler.phases import Phase, phases
from crawler.strategies import registry
from crawler.strategies.core_pages import CorePages
from crawler.strategies.expansion import Expansion
from crawler.strategies.unbiased import Unbiased
from storage import allowances, evidence, ranking, runs
from storage.errors import BudgetTooSmall
from storage.ordering import STATE, Candidate, Ordering
from storage.schema import Queue

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from crawler.strategy import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospects:
    """Forecasts by strategy, the chosen one first, of the credits that are `left` for first calls.

    `continues` is the run that the crawl would go on with, None where it begins a new one; `used` are the credits of
    the budget that this run has used. `new_run` tells whether the crawl must be told to begin a new one.
    """

    forecasts: dict[str, Forecast]
    left: int
    continues: int | None
    used: int
    new_run: bool


def read(conn: Connection, options: Options, budget: int, *, now: float) -> Prospects:
    """Say what a budget (credits) would buy under each strategy at a Unix time.

    A budget below what the run to be continued has used, which a crawl refuses, is taken for a new run's.
    """
    new_run = options.new_run
    try:
        previous = runs.continued(conn, budget=budget, new_run=new_run)
    except BudgetTooSmall:
        previous, new_run = None, True
    used = 0 if previous is None else previous.charged + previous.uncertain + previous.reserved
    continues = None if previous is None else previous.id
    caps = options.caps
    room = allowances.room(conn, caps, run_id=continues, left=budget - used, now=now)
    today = 0 if caps.per_day is None else sum(allowances.today(conn, caps.day, now=now))
    known = known_to(conn, options)
    strategies = _strategies(conn, options)
    by_label = _ranked(conn, strategies.values(), known.waiting.entries)
    lots, expansion = strategies[Unbiased.name], strategies[Expansion.name]

    def step(phase: Phase, strategy: Strategy) -> Step:
        ceiling = room.credits if phase.ceiling is None else min(room.credits, phase.ceiling - used)
        if phase.queue == Queue.AUDIT:
            return Step(ordering=by_label[expansion.label], ceiling=ceiling)
        if phase.wave is not None:  # drawn from lists read, the less often the more follow an account: as lots are
            return Step(ordering=lots, ceiling=ceiling)
        return Step(ordering=by_label[strategy.label], ceiling=ceiling, explore=options.explore, lots=lots)

    forecaster = Forecaster(known, room, options)
    found = {}
    for name in dict.fromkeys((options.strategy, *registry.NAMES)):
        coming = phases(budget, strategy=name, audit=options.audit, control=options.control)
        made = forecaster.under([step(phase, strategies[name]) for phase in coming])
        found[name] = by_day(made, caps, today=today, now=now)
    return Prospects(forecasts=found, left=room.credits, continues=continues, used=used, new_run=new_run)


def _strategies(conn: Connection, options: Options) -> dict[str, Strategy]:
    """Return by name the rules that a crawl would begin with, and the audit's."""
    lot_seed = int(runs.recall(conn, runs.LOT_SEED) or options.rng_seed or 0)
    measured = None
    if options.page_rules == "auto":
        measured = measure(*evidence.list_order(conn), evidence.listing_ratios(conn))
    found = {name: rule(replace(options, strategy=name), name, measured, lot_seed=lot_seed) for name in registry.NAMES}
    return {**found, Expansion.name: options.strategy_of(Expansion.name, lot_seed=lot_seed)}


def _ranked(conn: Connection, strategies: Iterable[Strategy], entries: Iterable[Candidate]) -> dict[str, Ordering]:
    """Return the strategies by label with what they know, and give the entries what a crawl would work out for them."""
    ranked_by = runs.recall(conn, ranking.RANKED_BY)
    standing = ranked_by
    if ranked_by == ranking.MIXED:  # a crawl with the strategy that was cut off goes on ranking
        standing = (runs.recall(conn, ranking.RANKED_TO) or "").split(" ")[0]
    found: dict[str, Ordering] = {}
    missing: list[Ordering] = []
    for strategy in strategies:
        ordering: Ordering = strategy
        if strategy.label == standing:
            ordering = strategy.restored(runs.recall(conn, STATE))
        elif has_to_tally(ranked_by, strategy):
            ordering = ranking.acquainted(conn, strategy)
            missing.append(ordering)
        found[strategy.label] = ordering
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
