"""The daemon: crawls and refreshes for months, one stint after another, and sleeps where nothing may be bought.

Each day of the configured time zone has a run of its own, whose budget is what the day and the total leave; so a day's
limit is exact, whatever is in flight at midnight. On a database server other crawlers take part in the day's run; it is
closed to them when the day is over. Invariant: the daemon ends only when it is asked to, or by a fault.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from crawler import calendar, policy, retention
from crawler import refresh as revisiting
from crawler.duty import Config, Hold, State
from crawler.engine import Crawl, Preflight, Result, Terms
from crawler.planner import Offload, Planner
from crawler.progress import Progress, reason_to_wait
from socialfetch.client import Client
from socialfetch.errors import SocialFetchError
from storage import budgets, crew, daemons, frontier, orders, outlook, runs
from storage.daemons import Daemon as Standing
from storage.database import Database
from storage.errors import Busy, DiskFull, OtherSettings, OutOfFiles
from storage.orders import Act, Order
from storage.retention import Rules

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from structlog.stdlib import BoundLogger

HEARTBEAT_S = 15.0
FIRST_WAIT_S = 60.0
LONGEST_WAIT_S = 6 * 3600.0
"""How long to wait after trouble: doubled each time, from the one to the other."""

LATER_S = 900.0
"""How long until a file that somebody reads is tried again to be freed of deleted bytes."""

PASSING = Busy, DiskFull, OutOfFiles
"""What is wrong with a database that waiting helps."""

ROUND = 200
"""Credits after which the next lists to read again are chosen; more where a plan takes long (`Planner.batch`)."""


Tell = Callable[[str, str, dict[str, Any]], None]
"""Told of events: a word, what it is told about once only, details."""


class Daemon:
    """One daemon on one database. The caller holds the database's claim.

    `run` raises AlreadyServed where another daemon lives on the same database.
    """

    def __init__(
        self,
        *,
        db: Database,
        client: Client,
        config: Config,
        now: Callable[[], float],
        rng: Random,
        log: BoundLogger,
        offload: Offload,
        tell: Tell = lambda *_: None,
        poll_s: float = 1.0,
    ) -> None:
        self._db = db
        self._client = client
        self.config = config
        self._now = now
        self._rng = rng
        self._log = log
        self._offload = offload
        self._tell = tell
        self._poll_s = poll_s
        self.started_at = now()
        self._is_draining = False
        self._trouble: Hold | None = None
        self._troubles = 0
        self._nothing_left: Hold | None = None
        self._purged: tuple[str, bool] | None = None
        self._purge_not_before = 0.0
        self._asked = asyncio.Event()
        self._beaten_at = 0.0
        self._heard: int | None = None
        self.set_by_order: dict[str, Any] = {}
        """Settings that were changed by an order, and to what: until the daemon ends, or the file says otherwise."""
        self._planner = self._new_planner()
        self._planned_at = 0
        self.hold = Hold(state=State.STARTING, detail="starting")
        self.crawl: Crawl | None = None
        self.progress: Progress | None = None
        self.finished = Progress(budget=0, charged=0, uncertain=0, started_s=0.0)
        """Figures of the stints before, added up."""
        self.spent_before = 0
        """Credits that today's earlier runs used, as of the last stint."""
        self.answered_at: float | None = None
        """When the API answered last, in Unix seconds."""
        self.waited: dict[str, float] = {}
        """Seconds in which nothing was bought, by state, or by what the provider asked for patience with."""
        self._counted_s: float | None = None

    def drain(self, why: str) -> None:
        """Finish what is in flight and end, within the deadline."""
        self._is_draining = True
        self._stop("interrupted", why)
        if self.crawl is not None:
            asyncio.get_running_loop().call_later(self.config.drain_s, self._abandon)

    def reload(self, config: Config) -> None:
        """Go on with another configuration."""
        self.config = config
        self._planner = self._new_planner()
        self._trouble = self._nothing_left = self._purged = None
        self._stop("interrupted", "configuration changed")

    async def run(self) -> None:
        """Live until asked to drain. Raises a DatabaseError that waiting does not help."""
        self._task = asyncio.current_task()
        if self._db.is_shared:
            warn = self._log.warning
            self._db.be_patient(
                self.config.options.max_wait_s, lambda error: warn("database.waited", cause=error.problem)
            )
        await self._db.write(partial(daemons.take, found=self._standing()))
        try:
            while not self._is_draining:
                try:
                    await self._obey()
                    await self._purge()
                    hold = await self._reason_to_wait()
                except PASSING as error:
                    hold = self._in_trouble("database", error.problem, asked=None)
                if hold is None:
                    await self._stint()
                else:
                    await self._wait(hold)
        except asyncio.CancelledError:
            if not self._is_draining:
                raise
            self._uncancel()
            self._log.warning("drain.cut_off", seconds=self.config.drain_s)
            silent_s = crew.SILENT_S if self._db.is_shared else None  # others may be at work
            await self._db.write(partial(frontier.reclaim, silent_s=silent_s, now=self._now()))
        finally:
            await self._say(Hold(state=State.STOPPED, detail="drained" if self._is_draining else "ended by a fault"))

    def _uncancel(self) -> None:
        assert self._task is not None  # noqa: S101 - set by run
        self._task.uncancel()

    def _abandon(self) -> None:
        if self.crawl is not None and self._task is not None:
            self._task.cancel()

    def _stop(self, reason: str, detail: str) -> None:
        self._asked.set()
        if self.crawl is not None:
            self.crawl.stop(reason, detail)

    # what may be bought

    def _left_of(self, conn: Connection, standing: budgets.Standing, day: str) -> tuple[int | None, int | None]:
        """Return the credits that the total and the day leave, None where there is no such limit."""
        if self.config.per_day is None:
            return standing.left, None
        return standing.left, max(0, self.config.per_day - standing.by_day.get(day, 0) - self.elsewhere(conn))

    def elsewhere(self, conn: Connection) -> int:
        """Return what other runs took of the credits of this day; 0 where a day has no cap."""
        if self.config.per_day is None:
            return 0
        return budgets.elsewhere(conn, partial(calendar.day, where=self.config.zone), now=self._now())

    def _allowance(self, conn: Connection, day: str) -> tuple[int | None, int | None]:
        return self._left_of(conn, budgets.standing(conn, self.config.total, today=day), day)

    def _terms(self, conn: Connection, day: str) -> Terms:
        """Return the day's run and what it may use, as of one moment: crawlers beside this one spend, too."""
        last = runs.last(conn)
        goes_on = last is not None and runs.day_of(last.settings) == day and last.stop_reason not in runs.ENDED
        run = last if goes_on else None
        budgets.close(conn, but=None if run is None else run.id)
        standing = budgets.standing(conn, self.config.total, today=day)
        left = min(each for each in self._left_of(conn, standing, day) if each is not None)
        used = 0 if run is None else run.charged + run.uncertain + run.reserved
        self.spent_before = standing.by_day.get(day, 0) - used
        return Terms(budget=used + left, new_run=run is None)

    def today(self) -> str:
        """Return the day that it is in the budget's time zone."""
        return calendar.day(self._now(), self.config.zone)

    async def _reason_to_wait(self) -> Hold | None:
        now, today = self._now(), self.today()

        def look(conn: Connection) -> tuple[Order | None, bool, int | None, int | None]:
            return orders.pause(conn), outlook.has_queued(conn), *self._allowance(conn, today)

        pause, has_queued, total, day = await self._db.look(look)
        if pause is not None:
            why = pause.details.get("why", "paused by hand")
            return Hold(state=State.PAUSED, detail=f"{why}; followgraph resume goes on")
        if self._is_over():
            return Hold(state=State.LAST_DAY_OVER, detail="policy.retain_until is over: nobody is collected any more")
        if total == 0:
            return Hold(state=State.PAUSED_BUDGET, detail="the budget is used up; followgraph budget add goes on")
        if day == 0:
            midnight = calendar.next_midnight(now, self.config.zone)
            return Hold(state=State.DAY_DONE, detail="the day's budget is used up", until_at=midnight)
        for hold in (self._trouble, None if has_queued else self._nothing_left):
            if hold is not None and hold.until_at is not None and now < hold.until_at:
                return hold
        return None

    async def _wait(self, hold: Hold) -> None:
        if hold != self.hold:
            until = None if hold.until_at is None else calendar.iso(hold.until_at)
            self._log.info("daemon.waiting", state=hold.state, detail=hold.detail, until=until)
        await self._say(hold)
        wait = self._poll_s if hold.until_at is None else min(self._poll_s, max(0.0, hold.until_at - self._now()))
        self._asked.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._asked.wait()

    # what has to go

    def _is_over(self) -> bool:
        until = self.config.rules.retain_until
        return until is not None and self._now() >= until

    def _date(self) -> tuple[str, bool]:
        """Return what a stint ends with and a purge follows: the day, and whether the last one is over."""
        return self.today(), self._is_over()

    async def _purge(self) -> None:
        """Delete what the rules say is due: at the start, when a day begins, after the last. Nothing is in flight."""
        rules, date = self.config.rules, self._date()
        if rules == Rules() or date == self._purged or self._now() < self._purge_not_before:
            return
        await self._say(Hold(state=State.PURGING, detail="what policy says is due is deleted"))
        try:
            done = await self._offload(partial(retention.purge, self._db, rules, now=self._now))
        except PASSING as error:
            self._in_trouble("database", error.problem, asked=None)
            self._purge_not_before = self._now() + FIRST_WAIT_S
            return
        if done.counts:
            self._planner = self._new_planner()  # what it remembers of accounts may be of some that are gone
            self._log.info("people.purged", **done.counts, receipt=done.receipt, copies=len(done.copies))
            self._tell("purged", str(done.receipt), dict(done.counts))
        if done.counts and done.held:
            self._log.warning("exports.left", files=done.held)  # `followgraph policy purge` lists them
        if done.copies_left:
            self._log.warning("copies.left", paths=list(done.copies_left))
        if done.is_scoured:
            self._purged = date
        else:  # somebody reads the database: the bytes are still in the file
            self._log.warning("purge.unfinished", seconds=round(LATER_S))
            self._purge_not_before = self._now() + LATER_S

    # one stint: a crawl until something ends it

    async def _stint(self) -> None:
        day, _ = date = self._date()
        allowed = await self._db.look(partial(self._allowance, day=day))
        left = min(each for each in allowed if each is not None)
        crawl = self.crawl = Crawl(
            db=self._db,
            client=self._client,
            options=replace(
                self.config.options,
                deadline_s=None,
                labels={runs.DAY: day, **self.config.options.labels},
            ),
            now=self._now,
            rng=self._rng,
            log=self._log,
            on_begin=self._begun,
            refill=self._planner.refill(lambda: self._left(left), at_least=ROUND),
            terms=partial(self._terms, day=day),
        )
        await self._say(Hold(state=State.CRAWLING, detail=f"{left:,} credits may be spent today"))
        try:
            await self._planner.plan(round(min(self._planner.batch(ROUND), left) * self.config.share))
            self._planned_at = 0
            await self._digest(await self._watched(crawl, date))
        except SocialFetchError as error:
            self._in_trouble(error.code, str(error), asked=policy.retry_after_s(error.retry_after, now=self._now()))
        except PASSING as error:
            self._in_trouble("database", error.problem, asked=None)
        except OtherSettings as error:
            self._in_trouble("other_settings", str(error), asked=None)
        finally:
            self.crawl = None
            if self.progress is not None:
                self.finished.add(self.progress)
                self.progress = None

    def _left(self, left: int) -> int:
        return left if self.progress is None else self.progress.left

    def _begun(self, preflight: Preflight, progress: Progress) -> None:
        self.progress = progress
        self.answered_at = self._now()
        low = self.config.balance_low
        if low is not None and preflight.balance is not None and preflight.balance < low:
            self._tell("balance_low", self.today(), {"balance": preflight.balance, "limit": low})

    async def _watched(self, crawl: Crawl, date: tuple[str, bool]) -> Result:
        with _first_fault():
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch(crawl, date))
                try:
                    return await crawl.run()
                finally:
                    watch.cancel()
        raise AssertionError  # the group raised, or it returned

    async def _watch(self, crawl: Crawl, date: tuple[str, bool]) -> None:
        """Obey orders, mind the day, choose the next lists to read again, and beat, while a crawl runs."""
        bought, ordinary = 0, self.hold.detail
        while True:
            await asyncio.sleep(self._poll_s)
            await self._obey()
            if self._date() != date:
                crawl.stop("deadline", f"{date[0]} is over")
            if self.progress is not None:
                if self.progress.pages > bought:
                    bought, self.answered_at = self.progress.pages, self._now()
                await self._mind_budget()
                credits = self._planner.batch(ROUND)
                if self.progress.pages - self._planned_at >= credits:
                    self._planned_at = self.progress.pages
                    await self._planner.plan(round(min(credits, self.progress.left) * self.config.share))
            waiting = None if self.progress is None else self.progress.waiting
            detail = ordinary if waiting is None else reason_to_wait(waiting)
            await self._say(Hold(state=State.DRAINING if self._is_draining else State.CRAWLING, detail=detail))

    async def _digest(self, result: Result) -> None:
        """Draw conclusions from how a stint ended."""
        await self._mind_budget()
        match result.stop_reason:
            case "frontier_empty" | "low_yield":
                due = self._planner.next_due_at
                until = self._now() + LONGEST_WAIT_S if due is None else max(due, self._now() + FIRST_WAIT_S)
                self._nothing_left = Hold(state=State.IDLE, detail="nothing is due", until_at=until)
                self._troubles = 0
            case "budget_exhausted" | "deadline" | "interrupted":
                self._troubles = 0
            case "overcharged" | "breaker_no_yield":  # what comes next would be no better: somebody has to look
                told = {"cause": result.stop_reason, "detail": result.detail, "paused": "followgraph resume goes on"}
                self._tell("breaker", f"{result.run_id}:{result.stop_reason}:{self._now():.0f}", told)
                why = f"{result.stop_reason}: {result.detail}"
                await self._db.write(partial(orders.ask, act=Act.PAUSE, origin="daemon", now=self._now(), why=why))
            case _:
                self._in_trouble(result.stop_reason, result.detail, asked=None)

    def _in_trouble(self, code: str, detail: str, *, asked: float | None) -> Hold:
        wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**self._troubles) if asked is None else max(asked, FIRST_WAIT_S)
        self._troubles += 1
        hold = self._trouble = Hold(state=State.WAITING, detail=f"{code}: {detail}", until_at=self._now() + wait)
        self._log.warning("daemon.troubled", cause=code, detail=detail, seconds=round(wait))
        event = "breaker" if code.startswith("breaker") else "trouble"
        self._tell(event, f"{self.today()}:{code}", {"cause": code, "detail": detail, "seconds": round(wait)})
        return hold

    async def _mind_budget(self) -> None:
        if self.config.total is None:
            return
        standing = await self._db.look(partial(budgets.standing, total=self.config.total, today=self.today()))
        assert standing.total is not None  # noqa: S101 - there is a limit
        for share in (100, 80, 50):
            if standing.used * 100 >= standing.total * share:
                details = {"used": standing.used, "total": standing.total}
                self._tell(f"budget_{share}", str(standing.total), details)
                return

    # orders, and what is said of oneself

    async def _obey(self) -> None:
        for order in await self._db.look(self._asked_for):
            if self._heard is not None:
                self._heard = max(self._heard, order.id)
            answer = self._answer(order)
            self._log.info("order.obeyed", act=order.act, origin=order.origin, answer=answer)
            await self._db.write(partial(orders.obeyed, order_id=order.id, answer=answer, now=self._now()))

    def _asked_for(self, conn: Connection) -> list[Order]:
        """Return what is to be obeyed: what waits, and in a crew what others have obeyed for their part."""
        if self._heard is not None and self._db.is_shared:
            return orders.after(conn, self._heard, is_shared=True)
        asked = orders.waiting(conn)
        if self._db.is_shared:
            self._heard = max((order.id for order in orders.recent(conn, 1)), default=0)
        return asked

    def _answer(self, order: Order) -> str:
        match order.act:
            case Act.PAUSE:
                self._stop("interrupted", f"paused, asked by {order.origin}")
                return "paused"
            case Act.RESUME:
                self._trouble = self._nothing_left = None
                self._asked.set()
                return "going on"
            case Act.DRAIN:
                if order.at < self.started_at - 1:
                    return "not done: it was meant for a daemon before this one"
                self.drain(f"drain, asked by {order.origin}")
                return "draining"
            case Act.SET:
                key, value = str(order.details.get("key")), order.details.get("value")
                try:
                    self.reload(self.config.changed(key, value))
                except ValueError as error:
                    return f"not done: {error}"
                self.set_by_order[key] = value
                return "changed until the daemon ends"
            case _:
                return "not done: nobody knows this order"

    def _count_wait(self) -> None:
        """Add the time since the last look to what was waited for then."""
        now_s = asyncio.get_running_loop().time()
        since_s, self._counted_s = self._counted_s, now_s
        reason: str | None = self.hold.state
        if reason in {State.CRAWLING, State.DRAINING}:
            reason = None if self.progress is None else self.progress.waiting
        if since_s is not None and reason is not None:
            self.waited[reason] = self.waited.get(reason, 0.0) + now_s - since_s

    @property
    def lists_due(self) -> int | None:
        """How many lists were due to be read again at the last plan; None before the first."""
        return self._planner.due

    async def _say(self, hold: Hold) -> None:
        """Write the heartbeat, at once where the state changed."""
        self._count_wait()
        now = self._now()
        if hold == self.hold and now - self._beaten_at < HEARTBEAT_S:
            return
        self.hold, self._beaten_at = hold, now
        try:
            await self._db.write(partial(daemons.write, found=self._standing()))
        except PASSING as error:  # whoever asks sees an old heartbeat; it lives on
            self._log.warning("heartbeat.unwritten", cause=error.problem)

    def _standing(self) -> Standing:
        until_at = self.hold.until_at
        return Standing(
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=int(self.started_at),
            heartbeat_at=int(self._now()),
            state=self.hold.state,
            detail=self.hold.detail,
            until_at=None if until_at is None else int(until_at),
            total=self.config.total,
            per_day=self.config.per_day,
        )

    def _new_planner(self) -> Planner:
        return Planner(
            db=self._db,
            now=self._now,
            offload=self._offload,
            weigh=revisiting.WEIGHTS.get(self.config.options.strategy, revisiting.by_followers),
            intervals=self.config.intervals,
        )

    _task: asyncio.Task[Any] | None = None


@contextmanager
def _first_fault() -> Iterator[None]:
    """Raise the one error of a group as itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group
