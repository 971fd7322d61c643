"""The one transaction of a page: accounts, follows, discoveries with their priorities, the cursor, the visit, the
archive row, the settled credit and the reservation of the next page.

Invariant: a page is in the ledger as settled if and only if everything it said is stored; it is stored once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from storage import follows, runs
from storage.accounts import Entry, Facts, Rank, Register, enter, reconsider
from storage.archive import Archive
from storage.depth import shorten
from storage.frontier import Lease
from storage.runs import Credits
from storage.schema import Completeness, Outcome, State, frontier, ledger, visits
from storage.statement import Insert, Statement

HYSTERESIS = 1.5
"""An indexed priority is rewritten only when it grew by this factor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One paid answer, in storage's words. `status` is `found` or why nothing is listed."""

    lease: Lease
    status: str
    facts: Sequence[Facts]
    unreadable: int
    has_more: bool
    next_cursor: str | None
    reported_total: int | None
    charged: int
    request_id: str | None
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a list after a page, for the decision whether it goes on; `edges` is of the whole visit."""

    status: str
    pages: int
    page_listed: int
    page_fresh: int
    edges: int
    has_more: bool
    next_cursor: str | None
    is_cursor_known: bool
    reported_total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The list ends here."""

    completeness: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoOn:
    """The list goes on at this cursor."""

    cursor: str


Judge = Callable[[Evidence], End | GoOn]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a crawl decides and storage applies, the same for all pages of a transaction.

    `spreads_cash` keeps the cash of `flow`; without it, known accounts are not written at all (the lean path).
    """

    rank: Rank
    judge: Judge
    spreads_cash: bool
    max_depth: int | None
    archive: Archive | None
    may_go_on: Callable[[], bool]
    """Whether a next page may be reserved; false while draining."""


@dataclass(slots=True)
class Stored:
    """What a page brought. `next` is the lease of the list's next page; `end` is set when the list ended."""

    next: Lease | None = None
    end: End | None = None
    listed: int = 0
    new_accounts: int = 0
    new_queued: int = 0
    new_edges: int = 0
    duplicates: int = 0
    self_follows: int = 0
    renamed: int = 0
    taken_over: int = 0
    credits: Credits = field(default_factory=lambda: Credits(0, 0, 0, 0, 0))
    overcharge: int = 0


_NEXT_CALL = Statement(sa.select(sa.func.coalesce(sa.func.max(ledger.c.id), 0) + 1))
_INSERT_CALL = Insert(
    ledger,
    ("id", "run_id", "visit_id", "account_id", "cursor", "at", "outcome", "charged", "uncertain", "request_id"),
)
_KNOWN_CURSOR = Statement(
    sa.select(ledger.c.id).where(
        ledger.c.visit_id == sa.bindparam("of_visit"),
        ledger.c.cursor == sa.bindparam("of_cursor"),
        sa.literal_column("outcome") == sa.literal_column(f"'{Outcome.SETTLED}'"),
    ),
    ("of_visit", "of_cursor"),
)
_VISIT = Statement(
    sa.update(visits)
    .where(visits.c.id == sa.bindparam("of_visit"))
    .values(
        pages=visits.c.pages + 1,
        listed=visits.c.listed + sa.bindparam("more_listed"),
        edges=visits.c.edges + sa.bindparam("more_edges"),
        new_edges=visits.c.new_edges + sa.bindparam("more_new_edges"),
        new_accounts=visits.c.new_accounts + sa.bindparam("more_accounts"),
        duplicates=visits.c.duplicates + sa.bindparam("more_duplicates"),
        self_follows=visits.c.self_follows + sa.bindparam("more_self"),
        unreadable=visits.c.unreadable + sa.bindparam("more_unreadable"),
        reported_total=sa.func.coalesce(sa.bindparam("total", type_=sa.BigInteger), visits.c.reported_total),
        ended_at=sa.bindparam("ended"),
        completeness=sa.bindparam("how_complete"),
        reason=sa.bindparam("why"),
    ),
    (
        "of_visit",
        "more_listed",
        "more_edges",
        "more_new_edges",
        "more_accounts",
        "more_duplicates",
        "more_self",
        "more_unreadable",
        "total",
        "ended",
        "how_complete",
        "why",
    ),
)
_ENTRY = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values(
        state=sa.bindparam("new_state"),
        priority=sa.bindparam("new_priority"),
        cash=sa.bindparam("new_cash"),
        depth=sa.bindparam("new_depth"),
        cursor=sa.bindparam("new_cursor"),
        visit_id=sa.bindparam("open_visit"),
        completeness=sa.func.coalesce(sa.bindparam("how_complete", type_=sa.Text), frontier.c.completeness),
        lease_process=sa.bindparam("holder"),
        attempts=0,
        reason=None,
    ),
    (
        "of_account",
        "new_state",
        "new_priority",
        "new_cash",
        "new_depth",
        "new_cursor",
        "open_visit",
        "how_complete",
        "holder",
    ),
)


def commit_pages(conn: sa.Connection, listings: Sequence[Listing], *, rules: Rules, now: float) -> list[Stored]:
    """Store the pages of one run, settle their credits and reserve next pages; one result for each, in order."""
    register = Register(conn, now=int(now))
    register.load(
        (facts for listing in listings for facts in listing.facts), (item.lease.account_id for item in listings)
    )
    credits = runs.read_credits(conn, listings[0].lease.run_id)

    next_call: int = _NEXT_CALL.run(conn).scalar_one()
    calls, bodies, visit_rows, entry_rows = [], [], [], []
    results: list[Stored] = []
    for listing in listings:  # one after another, so that pages that share a transaction are as if each had its own
        lease = listing.lease
        entry, stored, targets = _admit(conn, register, listing, rules)
        recorded = follows.record(conn, lease.account_id, targets, visit_id=lease.visit_id, is_revisit=lease.is_revisit)
        stored.new_edges = recorded.new
        stored.duplicates += len(targets) - recorded.fresh
        calls.append(
            (
                next_call,
                lease.run_id,
                lease.visit_id,
                lease.account_id,
                lease.cursor or "",
                int(now),
                Outcome.SETTLED,
                listing.charged,
                0,
                listing.request_id,
            )
        )
        bodies.append((next_call, listing.body))
        next_call += 1
        credits.reserved -= 1
        credits.charged += listing.charged
        stored.overcharge = max(0, listing.charged - 1)

        verdict = rules.judge(_evidence(conn, listing, stored, recorded.fresh))
        cursor: str | None = None
        if isinstance(verdict, GoOn):
            cursor = verdict.cursor
            total = listing.reported_total if listing.reported_total is not None else lease.reported_total
            # Under another handle the list is somebody else's: the next lease asks by the account's present one.
            if entry.handle == lease.handle and rules.may_go_on() and credits.free > 0:
                credits.reserved += 1
                stored.next = lease.turned(
                    cursor=cursor, listed=stored.listed, edges=recorded.fresh, reported_total=total
                )
                state = State.LEASED
            else:
                state = State.QUEUED
        else:
            stored.end = verdict
            state = State.DONE
            if verdict.completeness == Completeness.CAPPED:
                cursor = listing.next_cursor  # kept, so that a larger cap can go on from here
            if verdict.completeness == Completeness.COMPLETE and lease.is_revisit:
                follows.end_missing(conn, lease.account_id, visit_id=lease.visit_id)
        end = stored.end
        visit_rows.append(
            (
                lease.visit_id,
                stored.listed,
                recorded.fresh,
                recorded.new,
                stored.new_accounts,
                stored.duplicates,
                stored.self_follows,
                listing.unreadable,
                listing.reported_total,
                None if end is None else int(now),
                Completeness.PARTIAL if end is None else end.completeness,
                None if end is None else end.reason,
            )
        )
        entry.state = state
        if end is None:  # leased again or not: a lease that is given back waits with this priority
            entry.priority = rules.rank(entry.candidate(pages_done=lease.pages + 1))
        entry_rows.append((entry, cursor, None if end is not None else lease.visit_id, end, lease.process_id))
        results.append(stored)

    register.flush_accounts()
    _INSERT_CALL.run(conn, calls)
    if rules.archive is not None:
        rules.archive.add(conn, bodies)
    _VISIT.run_many(conn, visit_rows)
    for entry, *_ in entry_rows:
        entry.is_dirty = False  # written below with everything else of the lister
    register.flush_frontier()
    _ENTRY.run_many(
        conn,
        [
            (
                entry.id,
                entry.state,
                entry.priority,
                entry.cash,
                entry.depth,
                cursor,
                visit_id,
                None if end is None else end.completeness,
                process_id if entry.state == State.LEASED else None,
            )
            for entry, cursor, visit_id, end, process_id in entry_rows
        ],
    )
    runs.write_credits(
        conn,
        credits,
        pages=len(results),
        edges=sum(stored.new_edges for stored in results),
        accounts=sum(stored.new_accounts for stored in results),
    )
    results[0].renamed, results[0].taken_over = register.renamed, register.taken_over
    for stored in results:
        stored.credits = credits
    return results


def _admit(conn: sa.Connection, register: Register, listing: Listing, rules: Rules) -> tuple[Entry, Stored, list[int]]:
    """Find or create every listed account and pass on depth and cash; returns the lister, counts, distinct targets."""
    lease = listing.lease
    lister = register.by_id(lease.account_id)
    stored = Stored(listed=len(listing.facts))
    targets: dict[int, None] = {}
    entries: list[tuple[Entry, Facts]] = []
    for facts in listing.facts:
        entry = register.admit(facts)
        if entry is lister:
            stored.self_follows += 1
        elif entry.id in targets:
            stored.duplicates += 1
        else:
            targets[entry.id] = None
            entries.append((entry, facts))
    share = _share(listing, lister, len(entries)) if rules.spreads_cash else 0.0
    depth = lister.depth + 1
    for entry, facts in entries:
        entry.cash += share
        if entry.state is None:
            stored.new_accounts += 1
            enter(entry, facts, depth=depth, max_depth=rules.max_depth)
            stored.new_queued += entry.state == State.QUEUED
            entry.priority = rules.rank(entry.candidate())
            entry.is_dirty = True
        else:
            reconsider(entry, facts)
            if depth < entry.depth:
                shorten(conn, register, entry, depth, rank=rules.rank, max_depth=rules.max_depth)
            if share:
                entry.is_dirty = True
                priority = rules.rank(entry.candidate())
                if priority >= entry.priority * HYSTERESIS:
                    entry.priority = priority
    lister.cash -= share * len(entries)
    return lister, stored, list(targets)


def _share(listing: Listing, lister: Entry, count: int) -> float:
    """Return what each account of this page gets: cash/D of what the lister had when its visit began.

    D is the length that the list itself reports, else the account's reported following; never more than is there is
    handed out.
    """
    if count == 0:
        return 0.0
    lease = listing.lease
    reported = listing.reported_total or lease.reported_total or lister.following or 0
    length = max(reported, lease.edges + count)
    return min(lease.cash / length, max(lister.cash, 0.0) / count)


def _evidence(conn: sa.Connection, listing: Listing, stored: Stored, fresh: int) -> Evidence:
    lease = listing.lease
    cursor = listing.next_cursor
    is_known = cursor is not None and (
        cursor == lease.cursor
        or (lease.pages > 0 and _KNOWN_CURSOR.run(conn, lease.visit_id, cursor).first() is not None)
    )
    return Evidence(
        status=listing.status,
        pages=lease.pages + 1,
        page_listed=stored.listed,
        page_fresh=fresh,
        edges=lease.edges + fresh,
        has_more=listing.has_more,
        next_cursor=cursor,
        is_cursor_known=is_known,
        reported_total=listing.reported_total if listing.reported_total is not None else lease.reported_total,
    )
