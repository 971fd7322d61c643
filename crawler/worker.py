"""A worker: slot, lease, one request, one commit, and on to the next page. Many of them share one desk.

Invariant: a worker leases only where a slot is free, so that nobody sleeps on a lease, and asks for a next page only
after the page before it was committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING, assert_never

from crawler import calendar, policy
from crawler.breakers import Breakers, Row, Tripped
from crawler.budget import Last
from crawler.limiter import Limiter
from crawler.policy import Defer, Fail, Restart, Retry, Stop
from crawler.progress import STATUSES, Progress
from crawler.purchase import Purchases, listing
from socialfetch import errors
from socialfetch.client import Client, Page
from socialfetch.wire import LISTED
from storage import allowances, archive, frontier, outlook
from storage.accounts import FILTERED, TOO_DEEP
from storage.archive import Archive
from storage.database import Database
from storage.errors import DiskFull
from storage.frontier import Lease, Returned
from storage.listing import Stored
from storage.readings import ABANDONED
from storage.runs import Credits
from storage.schema import Completeness

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

BETWEEN_KEYS = ", "
"""Between the settings behind a stop, where there are two."""

BREATH = 8
"""How many times the first delay is waited when everybody failed at once: a server that was restarted is back then."""


@dataclass(kw_only=True)
class Desk:
    """What the workers of a run share."""

    db: Database
    client: Client
    run_id: int
    purchases: Purchases
    limiter: Limiter
    breakers: Breakers
    retry: Retry
    max_wait_s: float
    last: Last
    progress: Progress
    archive: Archive | None
    now: Callable[[], float]
    time: Callable[[], float]
    active_s: Callable[[], float]
    """How long the run has worked, in seconds, over all its processes; waits for a new day are no work."""
    rng: Random
    log: BoundLogger
    stop: Callable[[str, str, str | None], None]
    refill: Callable[[], Awaitable[bool]] | None
    """Asked when nothing is left to take while credits are; queues more and tells whether it did."""
    look: Callable[[Desk], Awaitable[None]]
    """Called by whoever stored a page before it asks for the next: what is taken may be decided anew."""
    refilling: asyncio.Lock = field(default_factory=asyncio.Lock)
    fault: DiskFull | None = None
    """Why nothing more may be bought although the run has not ended; raised once what was in flight is stored."""
    is_over: bool = False
    """Nothing is left to take and nobody can bring more."""
    end: tuple[str, str, str | None] | None = None
    trouble_since_s: float | None = None
    """When the provider stopped answering, by the loop's clock."""
    unanswered: Row = field(default_factory=Row)
    """Calls in a row that were refused for overload, or for which nobody was there."""
    is_probing: bool = False
    """Everybody failed at once: one call at a time, until one brings a page."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    found_nothing: asyncio.Event | None = None
    """The `changed` after which somebody looked for work in vain: nobody else need look before it is set."""

    def natural_end(self) -> tuple[str, str, str | None]:
        """Return why the workers went home by themselves."""
        assert self.end is not None  # noqa: S101 - workers leave only through a stop or an end
        return self.end

    def reopen(self) -> None:
        """Let workers begin again after an end."""
        self.is_over, self.end = False, None
        self.limiter.reopen()

    async def first_answer(self) -> None:
        """Wait until the first call of this process brought a page or an error."""
        while not self.progress.pages and not self.progress.errors:
            await self.changed.wait()

    def go_home(self) -> None:
        """Send every worker home once it has written what it holds."""
        self.limiter.close()
        self.wake()

    def wake(self) -> None:
        """Tell those who found nothing to look again."""
        self.changed.set()
        self.changed = asyncio.Event()


async def work(desk: Desk) -> None:
    """Buy pages until the run stops or nothing is left."""
    while not desk.is_over and await _slot(desk):
        changed = desk.changed  # before looking, so that no change in between is missed
        if desk.found_nothing is changed and not desk.is_over:
            desk.limiter.release()
            await changed.wait()
            continue
        try:
            lease = await desk.db.submit(desk.purchases.lease, desk.now())
        except BaseException:
            desk.limiter.release()
            raise
        if lease is None:
            desk.limiter.release()
            if desk.is_over:  # after the end nobody wakes anybody
                return
            if desk.found_nothing is changed:
                await changed.wait()
            else:
                await _wait_for_work(desk, changed)
        else:
            await _read(desk, lease)
            desk.wake()


async def _slot(desk: Desk) -> bool:
    """Wait for a slot; False where nothing more is to be bought.

    Where the disk has no room for the answers of all that may be in flight, everybody is sent home.
    """
    if not await desk.limiter.acquire():
        return False
    try:
        desk.db.require_room(desk.limiter.limit)
    except DiskFull as error:
        desk.fault = error
        desk.limiter.release()
        desk.go_home()
        return False
    return True


async def _wait_for_work(desk: Desk, changed: asyncio.Event) -> None:
    """Nothing could be leased: wait for those who hold a lease, for a deferred entry or a new day, or see the end.

    One worker does so for all that find nothing.
    """
    desk.found_nothing = changed
    ahead, credits = await desk.db.write(partial(desk.purchases.look_ahead, now=desk.now()))
    if changed.is_set() or desk.is_over:
        return
    if credits.reserved > 0:  # somebody holds a lease, and may bring new entries or give a credit back
        await changed.wait()
        return
    if not ahead.has_queued and ahead.next_due_at is None and (desk.refill is None or ahead.limit is None):
        if desk.refill is not None:
            async with desk.refilling:
                if changed.is_set() or desk.is_over:
                    return
                if await desk.refill():
                    desk.wake()
                    return
        desk.end = await _nothing_left(desk)
    elif ahead.limit in {"budget", "ceiling"}:
        desk.end = ("budget_exhausted", f"{desk.progress.budget:,} credits", "budget")
    elif ahead.limit == "day":
        await _wait_for_a_day(desk, changed)
        return
    elif ahead.has_queued and ahead.limit != "retry_reserve":
        desk.wake()
        return
    elif ahead.next_due_at is not None:
        await _wait_for_an_entry(desk, changed, ahead.next_due_at)
        return
    else:
        kept = desk.purchases.taking.caps.retry_reserve
        detail = f"the last {kept:,} credits are kept for retries; {_REMEDY.format(change='lower')}"
        desk.end = ("budget_exhausted", detail, "budget.retry_reserve")
    desk.is_over = True
    desk.go_home()


_REMEDY = "to go on with what is left {change} the setting and crawl without a budget"
"""What lets a run go on that ended with credits left; which setting that is and where it was set is said next."""


async def _nothing_left(desk: Desk) -> tuple[str, str, str | None]:
    if desk.purchases.taking.caps.are_counted and (counts := await desk.db.write(allowances.parked_counts)):
        return _sub_budgets_used_up(counts)
    if desk.purchases.taking.ahead_only:
        return ("frontier_empty", "no list is due to be read again", None)
    counts = await desk.db.write(outlook.left_out)
    words = [
        f"{count:,} {'account was' if count == 1 else 'accounts were'} {what}"
        for why, what in (("failed", "given up"), (TOO_DEEP, "too deep"), (FILTERED, "filtered out"))
        if (count := counts.get(why, 0))
    ]
    if words:
        return ("frontier_empty", f"every other account that can be reached was visited; {', '.join(words)}", None)
    return ("frontier_empty", "every account that can be reached was visited", None)


def _sub_budgets_used_up(counts: Mapping[str, int]) -> tuple[str, str, str | None]:
    """Say whose credits the accounts that are left wait for, by which settings, and what lets them be bought."""
    caps_of = {allowances.SEED: ("seed", "budget.per_seed"), allowances.DEPTH: ("hop", "budget.per_depth")}
    found = [(counts[kind], *caps_of[kind]) for kind in caps_of if kind in counts]
    waiting = " or ".join(f"of their {what} ({count:,})" for count, what, _ in found)
    detail = f"all accounts left wait for credits {waiting}; {_REMEDY.format(change='raise')}"
    return ("budget_exhausted", detail, BETWEEN_KEYS.join(key for _, _, key in found))


async def _wait_for_an_entry(desk: Desk, changed: asyncio.Event, due_at: float) -> None:
    wait = max(0.0, due_at - desk.now())
    if wait > desk.retry.longest_delay_s:
        # Nothing is deferred for longer once the limiter lets anybody look: the clock was set back meanwhile.
        await desk.db.write(frontier.wake)
        desk.wake()
        return
    try:
        async with asyncio.timeout(wait):
            await changed.wait()
    except TimeoutError:
        desk.wake()


LONGEST_NAP_S = 600.0
"""How long the wait for a new day goes on before the clock is looked at again: it may be set meanwhile."""


async def _wait_for_a_day(desk: Desk, changed: asyncio.Event) -> None:
    caps = desk.purchases.taking.caps
    now = desk.now()
    if desk.progress.waiting != "day":
        desk.progress.wait("day", desk.time())
        desk.log.info("day.exhausted", budget=caps.per_day, until=calendar.iso(caps.day_ends(now)))
    try:
        async with asyncio.timeout(min(max(0.0, caps.day_ends(now) - now), LONGEST_NAP_S)):
            await changed.wait()
    except TimeoutError:
        if caps.day(desk.now()) != caps.day(now):
            desk.progress.wait(None, desk.time())
        desk.wake()


async def _read(desk: Desk, lease: Lease) -> None:
    """Read a list page by page, and those leased on the way; the slot for the first page is held already."""
    while True:
        sent_at_s = desk.time()
        answer = await _ask(desk, lease)
        is_alone = desk.limiter.is_narrow
        if not is_alone:
            desk.limiter.release()
        try:
            if not isinstance(answer, Page):
                await _refused(desk, lease, answer, sent_at_s)
                return
            stored = await _store(desk, lease, answer, sent_at_s)
        finally:
            if is_alone:  # nobody starts before what the first answer means is written and obeyed
                desk.limiter.release()
        await desk.look(desk)
        if stored.next is None:
            return
        if stored.next.visit_id != lease.visit_id:  # this list may be taken by somebody else, or has freed a credit
            desk.wake()
        lease = stored.next
        if not await _slot(desk):
            await _give_back(desk, Returned(lease=lease, was_called=False, counts_as_attempt=False))
            return


async def _ask(desk: Desk, lease: Lease) -> Page | errors.SocialFetchError:
    """Make the one request of a lease."""
    sent_at = desk.time()
    try:
        page = await desk.client.following(lease.handle, lease.cursor)
    except errors.SocialFetchError as error:
        desk.last.called_s = desk.time()
        if error.code in ABANDONED:
            desk.last.abandoned_s = desk.last.called_s
        if isinstance(error, errors.Throttled | errors.TimedOut | errors.Unreachable):
            desk.limiter.overloaded(sent_at=sent_at)
        return error
    except BaseException:
        desk.limiter.release()
        raise
    desk.last.called_s = desk.time()
    desk.limiter.succeeded(took_s=desk.last.called_s - sent_at)
    desk.unanswered.succeed(sent_at_s=sent_at)
    if desk.is_probing:
        desk.is_probing = False
        desk.limiter.widen()
    desk.progress.latency.note(desk.last.called_s - sent_at)
    desk.trouble_since_s = None
    desk.progress.wait(None, desk.time())
    return page


async def _store(desk: Desk, lease: Lease, page: Page, sent_at_s: float) -> Stored:
    """Commit a page; a cancelled worker still waits for it, for what was paid is stored."""
    asked_at_s = desk.time()
    commit = desk.db.submit(desk.purchases.commit, (listing(lease, page), desk.now()))
    stored = await commit
    progress = desk.progress
    progress.commits.note(desk.time() - asked_at_s)
    _note_books(desk, stored.credits)
    if stored.is_late:
        desk.log.warning("page.refused", account=lease.account_id, charged=page.credits_charged)
        desk.wake()
        return stored
    progress.page(
        status=_status(lease, page),
        charged=page.credits_charged,
        new_accounts=stored.new_accounts,
        new_edges=stored.new_edges,
        now_s=desk.time(),
    )
    progress.frontier += stored.new_queued - (stored.end is not None)
    progress.renamed += stored.renamed
    progress.taken_over += stored.taken_over
    desk.log.debug(
        "page.committed",
        account=lease.account_id,
        page=lease.pages + 1,
        listed=stored.listed,
        new_accounts=stored.new_accounts,
        charged=page.credits_charged,
    )
    if stored.end is not None:
        _note_end(desk, lease, stored.end.completeness, stored.end.reason)
    if stored.new_accounts or progress.pages == 1:
        desk.wake()
    if stored.overcharge:
        desk.stop(
            "overcharged",
            f"an answer cost {page.credits_charged} credits where 1 was reserved; it is booked as charged",
            None,
        )
    # Of a list read again it is worth its credit that known follows are still there.
    brought = stored.new_edges + stored.confirmed
    _obey(desk, desk.breakers.page(sent_at_s=sent_at_s, credits=page.credits_charged, new_edges=brought))
    if desk.archive is not None and (samples := desk.archive.take_samples()) is not None:
        dictionary = await desk.db.write(partial(archive.train, samples=samples, now=int(desk.now())))
        if dictionary is not None:
            desk.archive.adopt(dictionary)
    return stored


def _status(lease: Lease, page: Page) -> str:
    """Return one of `STATUSES`: few words, whatever the provider may say."""
    if page.status == LISTED and not page.accounts and not page.unreadable_accounts and lease.pages == 0:
        return "empty"
    return page.status if page.status in STATUSES else "other"


def _note_end(desk: Desk, lease: Lease, completeness: str, reason: str | None) -> None:
    match completeness:
        case Completeness.HIDDEN:
            desk.progress.hidden += 1
        case Completeness.PRIVATE:
            desk.progress.private += 1
        case Completeness.NOT_FOUND:
            desk.progress.not_found += 1
        case _:
            desk.progress.lists_read += 1
    if completeness == Completeness.PARTIAL:
        desk.log.warning("visit.cut", account=lease.account_id, reason=reason)


async def _refused(desk: Desk, lease: Lease, error: errors.SocialFetchError, sent_at_s: float) -> None:
    """Decide after an error and write what was decided, once."""
    now = desk.now()
    attempts = lease.attempts
    is_unanswered = isinstance(error, errors.Throttled | errors.Unreachable)
    if is_unanswered:
        desk.unanswered.fail(sent_at_s=sent_at_s, now_s=desk.time())
        attempts = max(0, desk.unanswered.rounds - 1)
    decision = policy.decide(
        error,
        attempts=attempts,
        has_cursor=lease.cursor is not None,
        now=now,
        rng=desk.rng,
        retry=desk.retry,
    )
    maybe_charged = error.charged is not errors.Charged.NO
    returned = partial(
        Returned, lease=lease, maybe_charged=maybe_charged, cause=error.code, request_id=error.request_id
    )
    desk.progress.error(error.code)
    match decision:
        case Defer(until=until, counts=counts, blocks=blocks):
            if blocks:
                desk.limiter.block(until - now)
                desk.unanswered.pause(until_s=desk.time() + until - now)
                desk.progress.wait(error.code, desk.time())
                _mind_outage(desk, error, until - now)
            await _give_back(desk, returned(not_before=until, counts_as_attempt=counts))
            desk.log.warning("page.deferred", account=lease.account_id, cause=error.code, seconds=round(until - now, 3))
        case Restart(reason=reason):
            if await desk.db.write(partial(frontier.was_restarted, lease=lease, cause=reason)):
                await _give_back(desk, returned(failed=reason))
                desk.log.warning("entry.failed", account=lease.account_id, cause=reason)
            else:
                await _give_back(desk, returned(restart=True, cause=reason))
                desk.log.warning("visit.restarted", account=lease.account_id, cause=reason)
        case Fail(reason=reason):
            await _give_back(desk, returned(failed=reason))
            desk.log.warning("entry.failed", account=lease.account_id, cause=reason, request_id=error.request_id)
        case Stop(reason=reason):
            desk.stop(reason, str(error), None)
            await _give_back(desk, returned(counts_as_attempt=False))
        case _:
            assert_never(decision)
    if not is_unanswered and not isinstance(error, errors.PaymentRefused | errors.Unauthorized):
        tripped = desk.breakers.failure(sent_at_s=sent_at_s, now_s=desk.time(), maybe_charged=maybe_charged)
        _obey(desk, tripped)
        if tripped is None and desk.breakers.is_suspicious and not desk.is_probing:
            _probe(desk)


def _probe(desk: Desk) -> None:
    """Take a breath, and go on with one call at a time: many failed at once, and the next tells what that was."""
    desk.is_probing = True
    breath_s = min(desk.retry.longest_delay_s, BREATH * desk.retry.first_delay_s)
    desk.breakers.pause(until_s=desk.time() + breath_s)
    desk.limiter.narrow()
    desk.limiter.block(breath_s)
    desk.log.warning("limiter.narrowed", seconds=breath_s)


def _mind_outage(desk: Desk, error: errors.SocialFetchError, wait_s: float) -> None:
    """Stop when the provider has not answered for longer than the user wants to wait."""
    if desk.trouble_since_s is None:
        desk.trouble_since_s = desk.time()
        desk.log.warning("limiter.blocked", cause=error.code, seconds=round(wait_s, 3))
    if desk.time() - desk.trouble_since_s + wait_s > desk.max_wait_s:
        desk.stop("unreachable", f"no answer for {desk.max_wait_s:g} s ({error})", "crawl.max_wait")


async def _give_back(desk: Desk, returned: Returned) -> None:
    credits = await desk.db.submit(desk.purchases.give_back, (returned, desk.now()))
    _note_books(desk, credits)


def _note_books(desk: Desk, credits: Credits) -> None:
    """Note the run's money as it stands; its budget may have been raised meanwhile."""
    progress = desk.progress
    progress.budget, progress.charged, progress.uncertain = credits.budget, credits.charged, credits.uncertain


def _obey(desk: Desk, tripped: Tripped | None) -> None:
    if tripped is not None:
        desk.stop(tripped.reason, f"{tripped.key} reached {tripped.value:g}", tripped.key)
