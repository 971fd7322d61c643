"""The one transaction of a page: accounts, follows, discoveries with their priorities, the cursor, the visit, the
archive row, the settled credit and the reservation of the next page.

Invariant: a page is in the ledger as settled if and only if everything it said is stored; it is stored once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from math import log1p

import sqlalchemy as sa

from storage import follows, optout, picking, rereads, runs
from storage.accounts import Entry, Facts, Register, Wants, enter, reconsider
from storage.allowances import Allowances, Caps
from storage.archive import Archive
from storage.depth import shorten
from storage.frontier import Lease
from storage.ordering import AHEAD_LANE, STATE, Bought, Candidate, Ordering
from storage.runs import Credits
from storage.schema import Completeness, Outcome, State, frontier, ledger, visits
from storage.statement import Insert, Statement

HYSTERESIS = 1.5
"""An indexed priority is rewritten only when it grew or fell by this factor."""


ORDER_HALF = 5
"""Accounts that each half of a page must list at least for its order to be judged."""


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
    withheld: int = 0
    """Listed accounts that are neither in `facts` nor in `body`: they are kept out."""


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
    page_known: int = 0
    """Of a list that is read again: follows on this page that were known before."""
    current: int | None = None
    """How many accounts it is known to follow now; only where a list read again is to be judged by its order."""
    order_chance: float | None = None
    """log10 of the chance that its new follows always came first by accident; above 0: they did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The list ends here. `is_whole`: every page was read, so that a follow not listed has ended."""

    completeness: str
    reason: str | None = None
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GoOn:
    """The list goes on at this cursor."""

    cursor: str


Judge = Callable[[Evidence], End | GoOn]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a crawl decides and storage applies, the same for all pages of a transaction.

    Where the ordering keeps neither cash nor listings, known accounts are not written at all (the lean path).
    """

    ordering: Ordering
    judge: Judge
    max_depth: int | None
    archive: Archive | None
    may_go_on: Callable[[Credits], bool]
    """Whether a next page may be reserved; false while draining."""
    wants: Wants | None = None
    explore: Callable[[Candidate], float] | None = None
    """The priority of a new account in the explore queue, where there is one."""
    caps: Caps = field(default_factory=Caps)


@dataclass(slots=True)
class Stored:
    """What a page brought. `next` is the lease of the list's next page; `end` is set when the list ended."""

    next: Lease | None = None
    end: End | None = None
    listed: int = 0
    new_accounts: int = 0
    new_queued: int = 0
    new_edges: int = 0
    gone_edges: int = 0
    confirmed: int = 0
    """Known follows that a list read again showed."""
    duplicates: int = 0
    self_follows: int = 0
    renamed: int = 0
    taken_over: int = 0
    credits: Credits = field(default_factory=lambda: Credits(0, 0, 0, 0, 0))
    overcharge: int = 0
    is_late: bool = False
    """Nothing was stored: the lease had been taken away, and somebody else has the page."""
    hits: int = 0
    rate: float = 0.0
    log_followers: float = 0.0
    order_score: int = 0
    order_tests: int = 0


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
        hits=visits.c.hits + sa.bindparam("more_hits"),
        rate=sa.bindparam("expected"),
        log_followers=visits.c.log_followers + sa.bindparam("more_log_followers"),
        order_score=visits.c.order_score + sa.bindparam("more_score"),
        order_tests=visits.c.order_tests + sa.bindparam("more_tests"),
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
        "more_hits",
        "expected",
        "more_log_followers",
        "more_score",
        "more_tests",
    ),
)
_ENTRY = Statement(
    sa.update(frontier)
    .where(frontier.c.account_id == sa.bindparam("of_account"))
    .values(
        state=sa.bindparam("new_state"),
        priority=sa.bindparam("new_priority"),
        lane=sa.bindparam("new_lane"),
        cash=sa.bindparam("new_cash"),
        listings=sa.bindparam("new_listings"),
        merit=sa.bindparam("new_merit"),
        quality=sa.bindparam("new_quality"),
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
        "new_lane",
        "new_cash",
        "new_listings",
        "new_merit",
        "new_quality",
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
    allowances = Allowances(conn, rules.caps, run_id=credits.run_id, now=now)
    ordering = rules.ordering
    if ordering.learns:
        ordering = ordering.restored(runs.recall(conn, STATE))

    next_call: int = _NEXT_CALL.run(conn).scalar()
    calls, bodies, visit_rows, entry_rows = [], [], [], []
    results: list[Stored] = []
    for listing in listings:  # one after another, so that pages that share a transaction are as if each had its own
        lease = listing.lease
        entry, stored, targets = _admit(conn, register, listing, rules, ordering)
        recorded = follows.record(conn, lease.account_id, targets, visit_id=lease.visit_id, is_revisit=lease.is_revisit)
        stored.new_edges = recorded.new
        stored.confirmed = len(recorded.kept)
        if lease.is_revisit:
            rereads.note_page(conn, lease.visit_id, targets, recorded)
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
        allowances.charge(lease.seed_id, lease.visit_depth, listing.charged)
        stored.overcharge = max(0, listing.charged - 1)

        verdict = rules.judge(_evidence(conn, listing, stored, recorded))
        if listing.withheld:
            optout.count_withheld(conn, lease.visit_id, listing.withheld)
        cursor: str | None = None
        if isinstance(verdict, GoOn):
            cursor = verdict.cursor
            total = listing.reported_total if listing.reported_total is not None else lease.reported_total
            is_ahead = entry.lane == AHEAD_LANE
            if not is_ahead:
                entry.rank(ordering)  # leased again or not: a lease that is given back waits in this place
            # Under another handle the list is somebody else's: the next lease asks by the account's present one.
            if (
                entry.handle == lease.handle
                and credits.promisable > 0
                and rules.may_go_on(credits)
                and allowances.have_room(lease.seed_id, lease.visit_depth, credits)
                and (
                    is_ahead
                    or not ordering.is_pagewise
                    or not picking.is_surpassed(conn, ordering, entry.lane, entry.priority)
                )
            ):
                credits.reserved += 1
                allowances.reserve(lease.seed_id, lease.visit_depth)
                stored.next = lease.turned(
                    cursor=cursor,
                    listed=stored.listed,
                    edges=recorded.fresh,
                    reported_total=total,
                    log_followers=stored.log_followers,
                )
                state = State.LEASED
            else:
                state = State.QUEUED
        else:
            stored.end = verdict
            state = State.DONE
            if verdict.completeness == Completeness.CAPPED:
                cursor = listing.next_cursor  # kept, so that a larger cap can go on from here
            if lease.is_revisit:
                is_whole = verdict.completeness == Completeness.COMPLETE and verdict.is_whole
                if is_whole:
                    stored.gone_edges = follows.end_missing(conn, lease.account_id, visit_id=lease.visit_id)
                rereads.note_end(
                    conn,
                    lease.visit_id,
                    recorded,
                    gone=stored.gone_edges,
                    following=entry.following,
                    is_whole=is_whole,
                )
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
                stored.hits,
                stored.rate,
                stored.log_followers,
                stored.order_score,
                stored.order_tests,
            )
        )
        entry.state = state
        entry_rows.append((entry, cursor, None if end is not None else lease.visit_id, end, lease.process_id))
        results.append(stored)

    register.flush_accounts()
    _INSERT_CALL.run(conn, calls)
    if rules.archive is not None:
        rules.archive.add(conn, bodies)
    _VISIT.run_many(conn, visit_rows)
    for entry, *_ in entry_rows:
        entry.is_dirty = entry.has_grown = False  # written below with everything else of the lister
    register.flush_frontier()
    _ENTRY.run_many(
        conn,
        [
            (
                entry.id,
                entry.state,
                entry.priority,
                entry.lane,
                entry.cash,
                entry.listings,
                entry.merit,
                entry.quality,
                entry.depth,
                cursor,
                visit_id,
                None if end is None else end.completeness,
                process_id if entry.state == State.LEASED else None,
            )
            for entry, cursor, visit_id, end, process_id in entry_rows
        ],
    )
    if ordering.learns:
        runs.keep(conn, STATE, ordering.state() or "")
    allowances.write()
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


def _admit(
    conn: sa.Connection, register: Register, listing: Listing, rules: Rules, ordering: Ordering
) -> tuple[Entry, Stored, list[int]]:
    """Find or create every listed account, pass on what it gets from the lister and give it its place.

    Returns the lister, the counts and the distinct targets.
    """
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
    new = [facts.followers or 0 for entry, facts in entries if entry.state is None]
    bought = lister.candidate()
    if ordering.learns:
        followers = [facts.followers or 0 for _, facts in entries]
        stored.hits, stored.rate = ordering.learn(Bought(bought, followers, new))
    _note_order(stored, listing)
    share = _share(listing, lister, len(entries)) if ordering.keeps_cash else 0.0
    merit = quality = 0.0
    counted: Collection[int] = targets
    if ordering.keeps_listings:
        merit, quality = ordering.merits(bought)
        if lease.pages or lease.is_revisit:  # a list counts once, however often it names somebody
            counted = targets.keys() - follows.known(conn, lister.id, targets)
    depth = lister.depth + 1
    for entry, facts in entries:
        entry.cash += share
        is_counted = ordering.keeps_listings and entry.id in counted
        if is_counted:
            entry.listings += 1
            entry.merit += merit
            entry.quality += quality
        if entry.state is None:
            stored.new_accounts += 1
            entry.seed_id = lister.seed_id
            enter(entry, facts, depth=depth, max_depth=rules.max_depth, wants=rules.wants)
            stored.new_queued += entry.state == State.QUEUED
            entry.rank(ordering)
            if rules.explore is not None:
                entry.chance = rules.explore(entry.candidate())
            entry.is_dirty = True
        else:
            reconsider(entry, facts, rules.wants)
            if depth < entry.depth:
                shorten(conn, register, entry, depth, ordering=ordering, max_depth=rules.max_depth)
            if share or is_counted:
                entry.has_grown = True
                if entry.state != State.DONE and entry.lane != AHEAD_LANE:
                    place = ordering.place(entry.candidate())
                    if place.lane != entry.lane or _has_moved(entry.priority, place.priority):
                        entry.lane, entry.priority = place
                        entry.is_dirty = True
    lister.cash -= share * len(entries)
    lister.pages += 1
    lister.listed += stored.listed
    lister.hits += stored.hits
    lister.rate = stored.rate
    return lister, stored, list(targets)


def _has_moved(before: float, now: float) -> bool:
    """Tell whether a priority changed enough to be worth two writes to an index."""
    if before <= 0:
        return now != before
    return now >= before * HYSTERESIS or now * HYSTERESIS <= before


def _note_order(stored: Stored, listing: Listing) -> None:
    """Compare where on the list the much-followed stand: this page with those before, its end with its beginning.

    In a list of random order either comparison comes out either way alike.
    """
    lease = listing.lease
    logs = [log1p(facts.followers or 0) for facts in listing.facts]
    stored.log_followers = sum(logs)
    half = len(logs) // 2
    comparisons = []
    if half >= ORDER_HALF:
        comparisons.append(sum(logs[-half:]) - sum(logs[:half]))
    if lease.listed and logs:
        comparisons.append(stored.log_followers / len(logs) - lease.log_followers / lease.listed)
    for difference in comparisons:
        if difference:
            stored.order_tests += 1
            stored.order_score += 1 if difference > 0 else -1


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


def _evidence(conn: sa.Connection, listing: Listing, stored: Stored, recorded: follows.Recorded) -> Evidence:
    lease = listing.lease
    cursor = listing.next_cursor
    is_known = cursor is not None and (
        cursor == lease.cursor
        or (lease.pages > 0 and _KNOWN_CURSOR.run(conn, lease.visit_id, cursor).first() is not None)
    )
    current, chance = None, None
    if recorded.kept and cursor is not None and listing.reported_total is not None:
        chance = rereads.order_chance(conn, lease.account_id)
        current = follows.current(conn, lease.account_id) if chance is not None and chance < 0 else None
    return Evidence(
        status=listing.status,
        pages=lease.pages + 1,
        page_listed=stored.listed + listing.withheld,
        page_fresh=recorded.fresh + listing.withheld,
        edges=lease.edges + recorded.fresh,
        has_more=listing.has_more,
        next_cursor=cursor,
        is_cursor_known=is_known,
        reported_total=listing.reported_total if listing.reported_total is not None else lease.reported_total,
        page_known=len(recorded.kept),
        current=current,
        order_chance=chance,
    )
