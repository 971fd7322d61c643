"""The units of work of a purchase: lease, commit, give back. Each composes storage's functions in one transaction.

Invariant: the check of the budget and the reservation are one atomic step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from crawler import budget
from socialfetch import handle, wire
from socialfetch.client import Page
from socialfetch.errors import Malformed
from socialfetch.scrubbing import scrubbed
from storage import crew, frontier, optout, outlook, pages, parking, readings, runs
from storage.accounts import Facts
from storage.allowances import Allowances, rebuild
from storage.frontier import Lease, Returned
from storage.listing import Listing, Rules, Stored
from storage.ordering import STATE
from storage.outlook import Outlook
from storage.picking import Taking
from storage.runs import Credits, Started

if TYPE_CHECKING:
    from sqlalchemy import Connection


def listing(lease: Lease, page: Page) -> Listing:
    """Translate the vendor's page into storage's words."""
    return Listing(
        lease=lease,
        status=page.status,
        facts=[found for account in page.accounts if (found := facts(account)).handle],
        unreadable=page.unreadable_accounts,
        has_more=page.has_more,
        next_cursor=page.next_cursor,
        reported_total=page.total_accounts,
        charged=page.credits_charged,
        request_id=page.request_id,
        body=page.body,
        withheld=page.withheld_accounts,
    )


def screened(conn: Connection, listing: Listing, *, left_out: Collection[str] = (), now: float) -> Listing:
    """Return the listing without people who are kept out and without the profile fields `left_out`, body and all.

    Whoever was met under a new name is kept out under that as well. Raises KeyUnusable where that cannot be told.
    """
    gate = optout.gate(conn)
    if gate is None and not left_out:
        return listing
    facts = listing.facts
    if gate is not None:
        people = [gate.person(each.handle, each.platform_user_id) for each in facts]
        for each, person in zip(facts, people, strict=True):
            if person is not None:
                optout.learn(conn, person, each.handle, each.platform_user_id, now=now)
        facts = [each for each, person in zip(facts, people, strict=True) if person is None]
    try:
        body, gone = scrubbed(listing.body, None if gate is None else gate.person, left_out=left_out)
    except Malformed:  # nothing was read in it either, and nobody can tell whom it names
        body, gone = b"", []
    columns: dict[str, Any] = {COLUMNS[name]: None for name in left_out}
    return replace(
        listing,
        facts=[each._replace(**columns) for each in facts] if columns else facts,
        body=body,
        withheld=listing.withheld + len(gone),
    )


COLUMNS = {"bio": "bio", "avatar": "avatar_url", "region": "region", "language": "language"}
"""Where a profile field that can be left out is stored."""


def facts(account: wire.Account) -> Facts:
    """Translate one listed account."""
    metrics = account.metrics
    stable = account.platform_user_id
    created = account.account_created_at
    return Facts(
        handle.normalise(account.handle),
        str(stable) if isinstance(stable, int) else stable,
        account.display_name,
        account.bio,
        account.avatar_url,
        account.region,
        account.language,
        account.verified,
        account.private_account,
        max(0, metrics.followers),
        max(0, metrics.following),
        max(0, metrics.posts),
        None if created is None else _created_at(created),
    )


def _created_at(value: str | int | float) -> int | None:
    """Read both contracts: integer epoch seconds and ISO-8601; None for anything else."""
    if isinstance(value, str):
        try:
            return int(datetime.fromisoformat(value).timestamp())
        except (ValueError, OverflowError):
            return None
    return int(value)


class Purchases:
    """The units of work of one run, for the database's writer: many items, one transaction."""

    def __init__(
        self,
        *,
        started: Started,
        rules: Rules,
        taking: Taking,
        active_s: Callable[[], float],
        left_out: Collection[str] = (),
        free_slots: Callable[[], int] = lambda: 0,
        is_due: Callable[[int], bool] = lambda _: False,
    ) -> None:
        """`is_due` tells whether after so many more pages it is decided anew what is taken: no list is begun before."""
        self.started = started
        """This process's part in the run; its number changes where it was taken for dead."""
        self._active_s = active_s
        self._left_out = left_out
        self._free_slots = free_slots
        self._is_due = is_due
        self.rules = rules
        """How pages are stored; changed between phases of a run, while nothing is in flight."""
        self.taking = taking
        """How entries are taken; changed together with `rules`."""

    def lease(self, conn: Connection, times: Sequence[float]) -> list[Lease | None]:
        """Lease one entry for each waiting worker, None where there is none or no free credit.

        The items are the times of asking (Unix seconds).
        """
        leases = self._lease(conn, len(times), now=max(times))
        return [*leases, *[None] * (len(times) - len(leases))]

    def _lease(self, conn: Connection, at_most: int, *, now: float) -> list[Lease]:
        self.started = crew.present(conn, self.started, now=now)
        credits = runs.read_credits(conn, self.started.run_id)
        leases = frontier.lease(
            conn, credits, self._known(conn), process_id=self.started.process_id, at_most=at_most, now=now
        )
        if leases:
            runs.write_credits(conn, credits)
        return leases

    def _lease_on(self, conn: Connection, stored: Sequence[Stored], *, now: float) -> None:
        """Give whoever is through with a list the next one at once, as far as slots are free: asking costs a commit."""
        through = [each for each in stored if each.next is None]
        slots = self._free_slots() - (len(stored) - len(through))
        if through and slots > 0 and not self._is_due(len(stored)) and self.rules.may_go_on(through[0].credits):
            for each, lease in zip(through, self._lease(conn, min(slots, len(through)), now=now), strict=False):
                each.next = lease

    def _known(self, conn: Connection) -> Taking:
        """Return how entries are taken with what the strategy has learned so far."""
        ordering = self.taking.ordering
        if not ordering.learns:
            return self.taking
        return replace(self.taking, ordering=ordering.restored(runs.recall(conn, STATE)))

    def look_ahead(self, conn: Connection, *, now: float) -> tuple[Outlook, Credits]:
        """Return what is left to take, and the run's credits at the same instant.

        Entries whose seed or hop turned out to have credits after all are queued again.
        """
        credits = runs.read_credits(conn, self.started.run_id)
        ahead = outlook.read(conn, credits, self.taking, now=now)
        caps = self.taking.caps
        may_be_parked = not ahead.has_queued and self.taking.only is None and caps.are_counted
        if may_be_parked and parking.unpark_payable(conn, caps, run_id=credits.run_id, now=now):
            ahead = replace(ahead, has_queued=True)
        return ahead, credits

    def commit(self, conn: Connection, items: Sequence[tuple[Listing, float]]) -> list[Stored]:
        """Store answers; the items are listings and the times of their answers (Unix seconds).

        An answer whose lease was taken away meanwhile is stored only where nobody else has taken it since.
        """
        now = max(at for _, at in items)
        listings = [item for item, _ in items]
        late: dict[int, Stored] = {}
        gone = crew.ended(conn, {each.lease.process_id for each in listings})
        if gone:
            listings, late = self._sort_out(conn, listings, gone, now=now)
        listings = [screened(conn, each, left_out=self._left_out, now=now) for each in listings]
        stored = pages.commit_pages(conn, listings, rules=self.rules, now=now) if listings else []
        self._lease_on(conn, stored, now=now)
        runs.worked(conn, self.started.run_id, active_s=self._active_s())
        in_time = iter(stored)
        return [late[index] if index in late else next(in_time) for index in range(len(items))]

    def _sort_out(
        self, conn: Connection, listings: Sequence[Listing], gone: Collection[int], *, now: float
    ) -> tuple[list[Listing], dict[int, Stored]]:
        """Return the listings that may be stored, and by their places what becomes of the others."""
        self.started = crew.present(conn, self.started, now=now)
        kept: list[Listing] = []
        late: dict[int, Stored] = {}
        credits = runs.read_credits(conn, self.started.run_id)
        for index, each in enumerate(listings):
            lease: Lease | None = each.lease
            if each.lease.process_id in gone:
                lease = crew.regain(conn, credits, each.lease, process_id=self.started.process_id, now=now)
            if lease is not None:
                kept.append(replace(each, lease=lease))
            else:
                crew.settle(conn, credits, each.lease, charged=each.charged, now=now)
                late[index] = Stored(credits=credits, is_late=True)
        runs.write_credits(conn, credits)
        self._count_anew(conn, now=now)
        return kept, late

    def _count_anew(self, conn: Connection, *, now: float) -> None:
        """Let the sums of seeds, hops and days follow leases that changed hands."""
        if self.rules.caps.are_counted:
            rebuild(conn, self.rules.caps, run_id=self.started.run_id, now=now)

    def reclaim(self, conn: Connection, *, now: float) -> int:
        """Take back the leases of crawlers of the same database that give no sign of life; returns how many."""
        count = frontier.reclaim(conn, but_process=self.started.process_id, silent_s=crew.SILENT_S, now=now)
        if count:
            self._count_anew(conn, now=now)
        return count

    def give_back(self, conn: Connection, items: Sequence[tuple[Returned, float]]) -> list[Credits]:
        """End leases that brought no page. Of one that was taken away only the credit is still to be settled."""
        credits = runs.read_credits(conn, self.started.run_id)
        now, asked = max(at for _, at in items), len(items)
        gone = crew.ended(conn, {returned.lease.process_id for returned, _ in items})
        for returned, at in items:
            if returned.lease.process_id in gone and not (returned.was_called and returned.maybe_charged):
                crew.settle(conn, credits, returned.lease, charged=0, now=at)
        if gone:
            items = [item for item in items if item[0].lease.process_id not in gone]
            self._count_anew(conn, now=now)
        allowances = Allowances(conn, self.rules.caps, run_id=credits.run_id, now=now)
        for returned, at in items:
            frontier.give_back(conn, credits, returned, now=at, allowances=allowances)
        allowances.write()
        runs.write_credits(conn, credits, failures=sum(returned.was_called for returned, _ in items))
        return [credits] * asked


def reconcile(
    conn: Connection,
    *,
    process_id: int,
    balance: int,
    refill_state: str | None,
    now: float,
    last: budget.Last,
    now_s: float,
) -> dict[int, tuple[int, int]] | None:
    """Note a balance read while nothing was in flight, and settle uncertain credits where it leaves one answer.

    Returns by run how many uncertain credits were settled and how many of them were charged; None without an answer,
    or where this process is not the only one at work.
    """
    if not crew.is_alone(conn, process_id):
        return None
    settled = budget.weigh(readings.intervals(conn, balance=balance, now=now), last=last, now_s=now_s)
    for run_id, (uncertain, charged) in (settled or {}).items():
        readings.settle(conn, run_id, uncertain=uncertain, charged=charged, now=now)
    readings.note(conn, balance=balance, refill_state=refill_state, now=now)
    return settled
