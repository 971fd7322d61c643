"""The engine: one run from preflight to stop reason.

Invariant: whatever ends a run, it ends with a reason, nothing in flight is bought twice, and the next crawl goes on.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from crawler import policy
from crawler.breakers import Breakers
from crawler.course import Course
from crawler.limiter import Limiter
from crawler.options import Options
from crawler.progress import Progress
from crawler.purchase import Purchases
from crawler.quiet import Quiet
from crawler.worker import BETWEEN_KEYS, Desk, work
from socialfetch import errors
from socialfetch.client import Client
from socialfetch.wire import BalanceData
from storage import archive, crew, daemons, frontier, runs, summary
from storage.database import Database
from storage.errors import Cut

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from structlog.stdlib import BoundLogger

T = TypeVar("T")

HEARTBEAT_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a run stopped. `detail` says which rule and value stopped it, `key` the setting behind the rule, or
    both where two did (`worker.BETWEEN_KEYS`).
    """

    run_id: int
    stop_reason: str
    detail: str
    key: str | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What is known before the first credit is spent. `balance` is None where the provider did not tell.

    `changed` are the settings under which a run goes on otherwise than before, as `summary.Terms` has them.
    """

    run_id: int
    is_new_run: bool
    budget: int
    charged: int
    uncertain: int
    balance: int | None
    refill_state: str | None
    queued: int
    reclaimed: int
    settled: int | None
    strategy: str
    changed: Mapping[str, Mapping[str, Any]]

    @property
    def left(self) -> int:
        """Credits that may still be spent."""
        return max(0, self.budget - self.charged - self.uncertain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Which run a crawl takes part in, and that run's budget in credits: None where it keeps the one it has."""

    budget: int | None
    new_run: bool


class Crawl:
    """One crawl of one database through one client."""

    def __init__(
        self,
        *,
        db: Database,
        client: Client,
        options: Options,
        now: Callable[[], float],
        rng: Random,
        log: BoundLogger,
        on_begin: Callable[[Preflight, Progress], None] = lambda *_: None,
        refill: Callable[[], Awaitable[bool]] | None = None,
        terms: Callable[[Connection], Terms] | None = None,
    ) -> None:
        """`refill` is asked when nothing is left to take: it queues more and tells whether it did.

        `terms` is asked within the transaction that begins or continues the run, where others may spend meanwhile:
        instead of `options.budget` and `options.new_run`.
        """
        self._db = db
        self._client = client
        self._options = options
        self._now = now
        self._rng = rng
        self._log = log
        self._on_begin = on_begin
        self._refill = refill
        self._terms = terms or self._own_terms
        self._stop: tuple[str, str, str | None] | None = None
        self._at: Desk | None = None
        self._quiet = Quiet(db=db, client=client, now=now, log=log)

    def stop(self, reason: str, detail: str, key: str | None = None) -> None:
        """Drain: what is in flight is finished and stored, nothing new is bought. The first reason stands."""
        if self._stop is None:
            self._stop = (reason, detail, key)
            if self._at is not None:
                self._at.go_home()

    def hold(self) -> None:
        """Ask for nothing new until `go_on`; what is in flight is stored."""
        if self._at is not None:
            self._at.limiter.hold()

    def go_on(self) -> None:
        """Go on after `hold`."""
        if self._at is not None:
            self._at.limiter.let_go()

    @property
    def limiter(self) -> Limiter | None:
        """The limiter of the crawl under way, to be looked at."""
        return None if self._at is None else self._at.limiter

    async def run(self) -> Result:
        """Crawl until a rule stops it. The caller holds the database's claim.

        Raises BudgetMissing, BudgetTooSmall, DaemonsBudget, a DatabaseError, or the SocialFetchError that the preflight
        met: then nothing was spent.
        """
        options = self._options
        await self._db.write(self._continued)
        await self._free_call(self._client.whoami)
        balance = await self._read_balance()
        silent_s = crew.SILENT_S if self._db.is_shared else None
        reclaimed = await self._db.write(partial(frontier.reclaim, silent_s=silent_s, now=self._now()))
        if reclaimed:
            self._quiet.last.abandoned_s = asyncio.get_running_loop().time()
        started = await self._db.write(self._start)
        self._db.sign_as(started.process_id)
        settlements = None if balance is None else await self._quiet.settle(balance, started.process_id)
        settled = None if settlements is None else sum(charged for _, charged in settlements.values())
        if reclaimed:
            self._log.warning("lease.reclaimed", count=reclaimed, uncertain_credits=reclaimed)
        self._db.be_patient(options.max_wait_s, lambda error: self._log.warning("database.waited", cause=error.problem))
        pages = archive.Archive(await self._db.write(archive.newest_dictionary)) if options.archive else None
        course = Course(
            db=self._db,
            options=options,
            started=started,
            archive=pages,
            is_stopping=lambda: self._stop is not None,
            now=self._now,
            log=self._log,
        )
        await course.prepare()
        desk = self._at = await self._desk(started, balance, reclaimed, settled, course=course)
        with self._deadline(desk.progress.started_s):
            await course.foresee(desk)
            await self._spend(desk, course)
        reason, detail, key = self._stop or desk.natural_end()
        active_s, started = desk.active_s(), desk.purchases.started
        await self._db.write(partial(runs.stop, started=started, reason=reason, active_s=active_s, now=self._now()))
        settings = [] if key is None else key.split(BETWEEN_KEYS)
        setting = settings if len(settings) > 1 else key
        self._log.info("run.stopped", run=started.run_id, reason=reason, detail=detail, setting=setting)
        return Result(run_id=started.run_id, stop_reason=reason, detail=detail, key=key, seconds=active_s)

    @contextmanager
    def _deadline(self, started_s: float) -> Iterator[None]:
        """Stop when the time is over that the crawl was given, counted once from its beginning, by the loop's clock."""
        seconds = self._options.deadline_s
        if seconds is None:
            yield
            return

        def time_is_up() -> None:
            detail, key = f"{seconds:g} s are over", "crawl.deadline"
            if self._at is not None and self._at.progress.waiting == "day":  # whoever gives it more time gains nothing
                spent = f"this day's {self._options.caps.per_day:,} credits were used up before"
                detail += f"; {spent}, so that more time helps from tomorrow on only"
                key = BETWEEN_KEYS.join((key, "budget.per_day"))
            self.stop("deadline", detail, key)

        timer = asyncio.get_running_loop().call_at(started_s + seconds, time_is_up)
        try:
            yield
        finally:
            timer.cancel()

    async def _spend(self, desk: Desk, course: Course) -> None:
        """Go through the phases, the first of which was entered already, until one stops or the last one ends."""
        desk.limiter.narrow()
        while True:
            await self._work(desk)
            entered = None if self._stop is not None else await course.proceed()
            if entered is not None:
                desk.purchases.rules, desk.purchases.taking = entered
            elif not await self._settle_at_end(desk) or self._stop is not None:
                return
            elif desk.natural_end()[0] != "budget_exhausted":
                return  # what turned out free is spent after all only where credits were short
            desk.reopen()

    async def _desk(
        self,
        started: runs.Started,
        balance: BalanceData | None,
        reclaimed: int,
        settled: int | None,
        *,
        course: Course,
    ) -> Desk:
        """Lay out what the workers share, and say what is about to be spent."""
        options = self._options
        time = asyncio.get_running_loop().time
        before = await self._db.write(summary.read)
        row = next(run for run in before.runs if run.id == started.run_id)
        progress = Progress(
            budget=row.budget,
            charged=row.charged,
            uncertain=row.uncertain,
            started_s=time(),
            frontier=before.frontier["queued"],
        )
        preflight = Preflight(
            run_id=started.run_id,
            is_new_run=started.is_new,
            budget=row.budget,
            charged=row.charged,
            uncertain=row.uncertain,
            balance=None if balance is None else balance.balance,
            refill_state=None if balance is None else balance.refill_state,
            queued=before.frontier["queued"],
            reclaimed=reclaimed,
            settled=settled,
            strategy=options.strategy,
            changed=next((each.changed for each in row.terms if each.process == started.process_id), {}),
        )
        self._log.info(
            "run.started",
            run=preflight.run_id,
            budget=preflight.budget,
            charged=preflight.charged,
            uncertain=preflight.uncertain,
            balance=preflight.balance,
            queued=preflight.queued,
            strategy=preflight.strategy,
            concurrency=options.concurrency,
        )
        if preflight.changed:
            self._log.warning("terms.changed", run=preflight.run_id, settings=preflight.changed)
        if preflight.balance is not None and preflight.balance < preflight.left:
            self._log.warning("balance.exceeded", balance=preflight.balance, left_in_budget=preflight.left)
        if preflight.refill_state is not None:
            self._log.warning("refill.noticed", refill_state=preflight.refill_state)
        self._on_begin(preflight, progress)
        rules, taking = await course.begin()

        def active_s() -> float:
            now_s = time()
            return started.active_s + now_s - progress.started_s - progress.idle_s(now_s)

        limiter = Limiter(concurrency=options.concurrency, rate=options.rate, time=time)
        return Desk(
            db=self._db,
            client=self._client,
            run_id=started.run_id,
            purchases=Purchases(
                started=started,
                rules=rules,
                taking=taking,
                active_s=active_s,
                left_out=options.left_out,
                free_slots=lambda: limiter.free,
                is_due=lambda more: course.is_due(progress.pages + more),
            ),
            active_s=active_s,
            limiter=limiter,
            breakers=Breakers(options.breakers, concurrency=options.concurrency),
            retry=options.retry,
            max_wait_s=options.max_wait_s,
            last=self._quiet.last,
            progress=progress,
            archive=rules.archive,
            now=self._now,
            time=time,
            rng=Random(started.rng_seed),  # noqa: S311 - jitter, not secrets
            log=self._log.bind(),  # a logger that is not bound is laid out anew for each event
            stop=self.stop,
            refill=self._refill,
            look=course.look,
        )

    async def _work(self, desk: Desk) -> None:
        """Run the workers until they all go home."""
        if self._stop is not None:  # asked to stop before anything began
            desk.go_home()
        try:
            async with asyncio.TaskGroup() as group:
                beats = group.create_task(self._beat(desk))
                readings = group.create_task(self._quiet.points(desk))
                async with asyncio.TaskGroup() as workers:
                    # As many workers as requests in flight, no more: a kill leaves at most so many credits uncertain.
                    for _ in range(self._options.concurrency):
                        workers.create_task(work(desk))
                beats.cancel()
                readings.cancel()
        except BaseExceptionGroup as group_error:
            raise _first(group_error) from group_error
        if desk.fault is not None:
            raise desk.fault

    def _own_terms(self, conn: Connection) -> Terms:
        options = self._options
        # A refresh has credits of its own, also where it goes on.
        brings_money = options.new_run or options.refresh_only
        daemons.refuse_other_money(conn, budget=options.budget, new_run=brings_money, now=self._now())
        return Terms(budget=options.budget, new_run=options.new_run)

    def _continued(self, conn: Connection) -> None:
        terms = self._terms(conn)
        refresh = self._options.refresh_only
        runs.continued(conn, budget=terms.budget, new_run=terms.new_run, refresh=refresh)

    def _start(self, conn: Connection) -> runs.Started:
        options, terms = self._options, self._terms(conn)
        return runs.start(
            conn,
            budget=terms.budget,
            new_run=terms.new_run,
            strategy=options.strategy,
            rng_seed=options.rng_seed,
            fresh_rng_seed=self._rng.getrandbits(31),
            settings=options.as_settings(),
            host=socket.gethostname(),
            pid=os.getpid(),
            now=self._now(),
        )

    async def _read_balance(self) -> BalanceData | None:
        try:
            return await self._free_call(self._client.balance)
        except errors.SocialFetchError as error:
            self._log.warning("balance.unread", cause=error.code)
            return None

    async def _free_call(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a free call; wait and ask again while the provider only asks for patience."""
        attempts = 0
        waited_s = 0.0
        while True:
            try:
                return await call()
            except (errors.Throttled, errors.InternalError, errors.ServerFault, errors.LookupFailed) as error:
                wait = policy.wait_s(error, attempts, now=self._now(), rng=self._rng, retry=self._options.retry)
                attempts += 1
                waited_s += wait
                is_ours = isinstance(error, errors.Throttled)
                if waited_s > self._options.max_wait_s or (not is_ours and attempts >= self._options.retry.attempts):
                    raise
                await asyncio.sleep(wait)

    async def _settle_at_end(self, desk: Desk) -> bool:
        """Tell whether a last reading of the balance freed credits; after a refused key nobody is asked."""
        if self._stop and self._stop[0] in {"unauthorized", "unreachable"}:
            return False
        return await self._quiet.settle_at_end(desk)

    async def _beat(self, desk: Desk) -> None:
        """Give signs of life until cancelled; in a crew also mind the others."""
        if self._db.is_shared:
            while True:
                await self._muster(desk)
                await asyncio.sleep(crew.BEAT_S)
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            started, active_s = desk.purchases.started, desk.active_s()
            await self._db.write(partial(runs.beat, started=started, active_s=active_s, now=self._now()))

    async def _muster(self, desk: Desk) -> None:
        """Give a sign of life, take one's share of the key's limits, and take over from those who give none."""
        try:
            found = await self._db.pulse(
                partial(
                    crew.beat,
                    process_id=desk.purchases.started.process_id,
                    pages=desk.progress.pages,
                    in_flight=desk.limiter.in_flight,
                    now=self._now(),
                )
            )
        except Cut:  # the writer minds it: what it cannot write it tries again
            return
        if found.count != desk.progress.crawlers:
            desk.progress.crawlers = found.count
            desk.limiter.share(found.count)
            self._log.info("crew.changed", crawlers=found.count)
        are_others_silent = bool(set(found.silent) - {desk.purchases.started.process_id})
        if are_others_silent and (count := await self._db.write(partial(desk.purchases.reclaim, now=self._now()))):
            self._log.warning("lease.reclaimed", count=count, uncertain_credits=count)
        desk.wake()  # others bring entries and give credits back


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error that is no cancellation: one fault usually cancels all other workers."""
    for error in group.exceptions:
        found = _first(error) if isinstance(error, BaseExceptionGroup) else error
        if not isinstance(found, asyncio.CancelledError):
            return found
    return group.exceptions[0]
