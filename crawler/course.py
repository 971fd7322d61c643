"""The course of a run: what the frontier has to be made for each phase, and when a strategy is looked at again.

Invariant: whatever is made here is made in transactions that a kill may cut short; the next process makes the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from crawler import policy, prospects
from crawler.forecast import PILOT, Forecaster
from crawler.options import Options
from crawler.pagewise import Measured, measured_in, rule
from crawler.phases import Phase, coming, cut
from crawler.prospects import Ground
from crawler.stopping import WINDOW
from crawler.strategies import registry
from crawler.strategies.unbiased import Unbiased
from crawler.strategy import Strategy, lot, pages_left, uniform
from crawler.worker import Desk
from storage import allowances, control, evidence, parking, ranking, runs
from storage.archive import Archive
from storage.database import Database
from storage.journal import Act, note
from storage.listing import Rules
from storage.ordering import Candidate
from storage.picking import Taking
from storage.runs import Credits, Started
from storage.schema import Queue

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from structlog.stdlib import BoundLogger

CHUNK = 50_000
"""Entries looked at in one transaction."""

LARGE = 200_000
"""Entries from which the indexes are made anew after a ranking instead of being kept during it."""

FILTERED_BY = "filtered_by"
EXPLORED = "explored"
DRAWN = "drawn_for_wave_"

RESCORE_AFTER, RESCORE_GROWTH = 20, 1.05
"""Pages after which the head of the frontier is scored again: so many, or so much growth."""

MEASURE_AFTER = 200
"""Pages after which it is measured again, as at the beginning, whether the page-wise rule may take a strategy's place;
then at each doubling."""


class Course:
    """Leads one process of a run through its phases."""

    def __init__(
        self,
        *,
        db: Database,
        options: Options,
        started: Started,
        archive: Archive | None,
        is_stopping: Callable[[], bool],
        now: Callable[[], float],
        log: BoundLogger,
    ) -> None:
        self._db = db
        self._options = options
        self._started = started
        self._coming: Sequence[Phase] = ()
        self._budget = started.budget
        self._archive = archive
        self._is_stopping = is_stopping
        self._now = now
        self._log = log
        self._phase: Phase | None = None
        self._chosen: Strategy | None = None
        self._rescore_at = RESCORE_AFTER
        self._measure_at = MEASURE_AFTER
        self._cash_at = WINDOW
        self._foreseen_of: int | None = None
        self._is_looking = False

    async def prepare(self) -> None:
        """Make the frontier obey this run's limits, filters and sub-budgets."""
        options, write = self._options, self._db.write
        caps, run_id = options.caps, self._started.run_id
        await write(ranking.make_indexes)
        # What a filter lets back may lie too deep, and what lay too deep was passed by the filter when that was set.
        await self._filter()
        await write(partial(parking.apply_depth_limit, max_depth=options.max_depth))
        await self._draw_lots()
        await write(partial(allowances.rebuild, caps=caps, run_id=run_id, now=self._now()))
        await write(partial(parking.unpark_payable, caps=caps, run_id=run_id, now=self._now()))

    async def _filter(self) -> None:
        wanted = self._options.wanted
        asked = repr(wanted.as_settings())
        if (await self._db.write(partial(runs.recall, key=FILTERED_BY)) or "{}") == asked:
            return
        wants = None if wanted.is_open else wanted.wants
        after: int | None = 0
        while after is not None:
            after = await self._db.write(partial(parking.apply_filter, wants=wants, after=after, at_most=CHUNK))
        await self._db.write(partial(runs.keep, key=FILTERED_BY, value=asked))

    async def _draw_lots(self) -> None:
        explores = self._options.explore > 0
        asked = "yes" if explores else "no"
        if (await self._db.write(partial(runs.recall, key=EXPLORED)) or "no") == asked:
            return
        after: int | None = 0 if explores else None
        while after is not None:
            after = await self._db.write(partial(ranking.draw_lots, chance=self._lot, after=after, at_most=CHUNK))
        await self._db.write(partial(runs.keep, key=EXPLORED, value=asked))

    def _lot(self, entry: Candidate) -> float:
        return lot(entry, self._started.lot_seed)

    async def begin(self) -> tuple[Rules, Taking]:
        """Enter the first phase that is not over; returns how its pages are stored and its entries taken."""
        self._budget, self._coming = await self._db.write(self._cut)
        return await self._enter(self._coming[0])

    async def proceed(self) -> tuple[Rules, Taking] | None:
        """Enter the next phase, None after the last one.

        Where the budget was raised meanwhile all are cut anew, and the next is the first that lacks some of its share.
        """
        budget, ahead = await self._db.write(self._cut)
        # This one may have ended short of its credits, and of those after it some may have none left.
        self._coming = [phase for phase in self._coming[1:] if phase in ahead] if budget == self._budget else ahead
        self._budget = budget
        return await self._enter(self._coming[0]) if self._coming else None

    def _cut(self, conn: Connection) -> tuple[int, Sequence[Phase]]:
        cut(conn, self._options, self._started.run_id)
        return self._ahead(conn)

    async def _share(self, desk: Desk) -> None:
        """End the last phase where the budget was raised in it, so that those before get their shares of that."""
        phase, strategy = self._phase, self._chosen
        if phase is None or strategy is None or phase.ceiling is not None or desk.progress.budget == self._budget:
            return
        budget, ahead = await self._db.write(self._ahead)
        if len(ahead) == 1:
            self._budget = budget
            return
        self._phase = replace(phase, ceiling=0)
        desk.purchases.rules, desk.purchases.taking = self._rules(strategy), self._taking(strategy, None)

    def _ahead(self, conn: Connection) -> tuple[int, Sequence[Phase]]:
        """Return the run's budget, and the phases that are not over as they would be cut from it."""
        run_id = self._started.run_id
        return runs.read_credits(conn, run_id).budget, coming(conn, self._options, run_id)

    async def _enter(self, phase: Phase) -> tuple[Rules, Taking]:
        """Make the frontier ready for a phase."""
        self._phase = phase
        only: list[int] | None = None
        if phase.wave is not None:
            only = await self._draws(phase)
        strategy = self._strategy(phase, await self._measured(phase))
        await self._rank(strategy)
        self._log.debug("phase.entered", queue=phase.queue, strategy=strategy.name, ceiling=phase.ceiling)
        return self._rules(strategy), self._taking(strategy, only)

    async def _measured(self, phase: Phase) -> Measured | None:
        """Measure the lists read so far, by any run; None where a page-wise rule does not depend on them."""
        return await self._db.write(measured_in) if self._depends_on_lists(phase) else None

    def _depends_on_lists(self, phase: Phase) -> bool:
        return self._options.page_rules == "auto" and phase.queue == "main" and phase.strategy in registry.PAGEWISE

    def _strategy(self, phase: Phase, measured: Measured | None) -> Strategy:
        return rule(self._options, phase.strategy, measured, lot_seed=self._started.lot_seed)

    def _rules(self, strategy: Strategy) -> Rules:
        options = self._options
        assert self._phase is not None  # noqa: S101 - set by `enter`
        ceiling = self._phase.ceiling

        def may_go_on(credits: Credits) -> bool:
            return not self._is_stopping() and (ceiling is None or credits.used < ceiling)

        return Rules(
            ordering=strategy,
            judge=partial(policy.judge, max_pages=options.max_pages_per_account),
            max_depth=options.max_depth,
            archive=self._archive,
            may_go_on=may_go_on,
            wants=None if options.wanted.is_open else options.wanted.wants,
            explore=self._lot if options.explore > 0 else None,
            caps=options.caps,
        )

    def _taking(self, strategy: Strategy, only: list[int] | None) -> Taking:
        phase, share, seed = self._phase, self._options.explore, self._started.rng_seed
        assert phase is not None  # noqa: S101 - set by `enter`

        def explores(visit: int) -> bool:
            return uniform(seed, visit) < share

        return Taking(
            ordering=strategy,
            queue=phase.queue,
            ceiling=phase.ceiling,
            only=only,
            explores=explores if share > 0 and phase.queue == "main" else None,
            ahead_only=self._options.refresh_only,
            caps=self._options.caps,
        )

    async def _rank(self, strategy: Strategy) -> None:
        """Rank the frontier by a strategy; after a kill or a stop in between the next process goes on where it was."""
        write, label = self._db.write, strategy.label
        ranked_by = await write(partial(runs.recall, key=ranking.RANKED_BY))
        assert self._phase is not None  # noqa: S101 - set by `enter`
        queue, process, at = self._phase.queue, self._started.process_id, int(self._now())
        await write(partial(note, act=Act.CHOSE, strategy=strategy.name, queue=queue, process=process, at=at))
        self._chosen = strategy
        if ranked_by == label:
            return
        ranked_to = (await write(partial(runs.recall, key=ranking.RANKED_TO)) or "").split(" ")
        after: int | None
        if ranked_by == ranking.MIXED and ranked_to[0] == label:
            after = int(ranked_to[1])
        else:
            await write(partial(self._begin_ranking, ranked_by=ranked_by, strategy=strategy))
            after = 0
        while after is not None:
            if self._is_stopping():  # nothing more is taken; the next crawl goes on ranking
                return
            after = await write(partial(ranking.rerank, ordering=strategy, after=after, at_most=CHUNK))
        await write(ranking.make_indexes)
        await write(partial(runs.remember, key=ranking.RANKED_BY, value=label))

    def _begin_ranking(self, conn: Connection, *, ranked_by: str | None, strategy: Strategy) -> None:
        runs.remember(conn, ranking.RANKED_BY, ranking.MIXED)
        runs.remember(conn, ranking.RANKED_TO, f"{strategy.label} 0")
        if evidence.frontier_size(conn) >= LARGE:
            ranking.drop_indexes(conn)
        if registry.has_to_tally(ranked_by, strategy):
            ranking.rebuild(conn, strategy)

    async def _draws(self, phase: Phase) -> list[int]:
        drawn = await self._db.write(partial(self._drawn, phase=phase))
        return list(dict.fromkeys(drawn))

    def _drawn(self, conn: Connection, *, phase: Phase) -> list[int]:
        """Return the draws of a wave, once for each share of the budget that it was given.

        A wave that was cut off, or whose share left a few credits, keeps its draws as they are.
        """
        credits, wave = runs.read_credits(conn, self._started.run_id), phase.wave or 0
        run_id = credits.run_id
        drawn = control.draws(conn, run_id=run_id, wave=wave)
        before = len(control.draws(conn, run_id=run_id, wave=wave - 1))
        of_run, drawn_for, drawn_from = map(int, (runs.recall(conn, f"{DRAWN}{wave}") or "0 0 0").split())
        if of_run != run_id:
            drawn_for = drawn_from = 0
        if drawn and phase.share <= drawn_for:
            return drawn
        runs.keep(conn, f"{DRAWN}{wave}", f"{run_id} {phase.share} {before}")
        return control.draw(
            conn,
            run_id=run_id,
            wave=wave,
            since=drawn_from,
            credits=max(0, (phase.ceiling or 0) - credits.used),
            pages=partial(pages_left, max_pages=self._options.max_pages_per_account),
            # Draws that are added must not repeat the chances of those before.
            rng=Random(f"{self._started.rng_seed} control {wave}" + (f" {len(drawn)}" if drawn else "")),  # noqa: S311 - a sample, not a secret
        )

    def is_due(self, pages: int) -> bool:
        """Tell whether what is taken next is looked at anew once this process has stored so many pages."""
        return self._is_rescore_due(pages) or self._is_measure_due(pages)

    def _is_rescore_due(self, pages: int) -> bool:
        strategy = self._chosen
        return strategy is not None and pages >= self._rescore_at and strategy.learns and strategy.lanes({}) is None

    def _is_measure_due(self, pages: int) -> bool:
        return pages >= self._measure_at and self._phase is not None and self._depends_on_lists(self._phase)

    async def look(self, desk: Desk) -> None:
        """Look at the crawl after a page was stored: score again, stop, or change to a page-wise rule, where it is due.

        Whoever stored the page asks for nothing before, so that with one worker each decision takes effect at its page.
        """
        if self._is_looking:
            return
        self._is_looking = True
        try:
            await self._look(desk, desk.progress.pages)
        finally:
            self._is_looking = False

    async def _look(self, desk: Desk, pages: int) -> None:
        strategy = self._chosen
        await self._share(desk)
        # A forecast is of a budget: where it is raised meanwhile there is a new one.
        if pages >= PILOT if self._foreseen_of is None else self._foreseen_of != desk.progress.budget:
            await self.foresee(desk)
        # An audit and a control sample are not for what they bring, and worth nothing when cut off.
        is_own = self._phase is not None and self._phase.queue == Queue.MAIN
        if is_own:
            self._mind_yield(desk)
        if is_own and strategy is not None and strategy.keeps_cash and pages >= self._cash_at:
            self._cash_at = max(pages + WINDOW, int(pages * RESCORE_GROWTH))
            await self._mind_cash(desk)
        if strategy is not None and self._is_rescore_due(pages):
            self._rescore_at = max(pages + RESCORE_AFTER, int(pages * RESCORE_GROWTH))
            await self._db.write(partial(ranking.rescore, ordering=strategy))
        if self._is_measure_due(pages):
            self._measure_at = max(self._measure_at, pages) * 2
            await self._choose_rule(desk)

    async def foresee(self, desk: Desk) -> None:
        """Forecast what the credits left will buy, once this crawl's own yield is known; kept with the run.

        A refresh has none: it is not for new accounts.
        """
        progress = desk.progress
        if self._chosen is None or not progress.left or self._options.refresh_only:
            return
        begun_from, gone_s = progress.accounts_new, desk.time() - progress.started_s
        ground, ahead, budget, at = await self._db.write(partial(self._ground, gone_s=gone_s))
        steps = ground.steps(ahead, explore=self._options.explore)
        made = Forecaster(ground.known, ground.room, self._options).under(steps)
        if made.basis == "prior":
            return
        self._foreseen_of = budget
        if not made.cost:  # nothing is left that may be bought, and nothing to be right or wrong about
            return
        progress.forecast, progress.forecast_from = made, begun_from
        progress.forecast_at = at["credits"]
        run_id = self._started.run_id
        await self._db.write(partial(runs.foretell, run_id=run_id, at=at, budget=budget, forecast=made.record()))

    def _ground(self, conn: Connection, *, gone_s: float) -> tuple[Ground, Sequence[Phase], int, Mapping[str, int]]:
        """Return what a forecast rests on, the phases ahead, the run's budget and what the run has gained so far."""
        options, run_id, now = self._options, self._started.run_id, self._now()
        budget, at = runs.read_credits(conn, run_id).budget, runs.gained(conn, run_id)
        measured = measured_in(conn) if options.page_rules == "auto" else None
        ahead = self._coming if budget == self._budget else self._ahead(conn)[1]
        strategies = {
            name: rule(options, name, measured, lot_seed=self._started.lot_seed)
            for name in {*(phase.strategy for phase in ahead), Unbiased.name}
        }
        if self._chosen is not None and self._phase is not None:  # this phase goes on by the rule that it is at
            strategies[self._phase.strategy] = self._chosen
        ground = prospects.survey(
            conn,
            options,
            strategies,
            run_id=run_id,
            budget=budget,
            is_at_work=True,
            now=now,
            until=None if options.deadline_s is None else now + options.deadline_s - gone_s,
        )
        return ground, ahead, budget, at

    def _mind_yield(self, desk: Desk) -> None:
        credits, new_accounts = desk.progress.recent
        why = self._options.stop_rules.by_yield(credits=credits, new_accounts=new_accounts)
        if why is not None:
            desk.stop("low_yield", why, "stop.new_accounts_per_credit")

    async def _mind_cash(self, desk: Desk) -> None:
        rules = self._options.stop_rules
        if rules.uncrawled_share is not None:
            why = rules.by_cash(await self._db.write(evidence.uncrawled_share))
            if why is not None:
                desk.stop("low_yield", why, "stop.uncrawled_share")

    async def _choose_rule(self, desk: Desk) -> None:
        """Let the page-wise rule take the strategy's place, or give it back, as the lists allow."""
        phase, chosen = self._phase, self._chosen
        if phase is None or chosen is None or (measured := await self._measured(phase)) is None:
            return
        strategy = self._strategy(phase, measured)
        if strategy.name == chosen.name:
            return
        async with desk.limiter.paused():
            await self._rank(strategy)
            desk.purchases.rules, desk.purchases.taking = self._rules(strategy), self._taking(strategy, None)
        self._log.info(
            "strategy.changed", strategy=strategy.name, order_bias=measured.order_bias, follower_spread=measured.spread
        )
        desk.wake()
