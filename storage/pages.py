"""The one transaction of a page: accounts, follows, discoveries with their priorities, the cursor, the visit, the
archive row, the settled credit and the reservation of the next page.

Invariant: a page is in the ledger as settled if and only if everything it said is stored; it is stored once.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from storage import follows, optout, picking, rereads, runs
from storage.accounts import Entry, Register
from storage.admission import admit
from storage.allowances import Allowances
from storage.frontier import Lease
from storage.listing import End, Evidence, GoOn, Listing, Rules, Stored
from storage.ordering import AHEAD_LANE, STATE
from storage.schema import Completeness, Outcome, State, frontier, ledger, visits
from storage.statement import Insert, Row, Statement

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
    pages = _Pages(conn, listings, rules=rules, now=now)
    # One after another, so that pages that share a transaction are as if each had its own.
    results = [pages.take_in(listing) for listing in listings]
    pages.write(results)
    return results


class _Pages:
    """The pages of one transaction: what they touch is read once, changed in memory, and written at the end."""

    def __init__(self, conn: sa.Connection, listings: Sequence[Listing], *, rules: Rules, now: float) -> None:
        self._conn = conn
        self._rules = rules
        self._at = int(now)
        self._register = Register(conn, now=int(now))
        self._register.load(
            (facts for listing in listings for facts in listing.facts), (each.lease.account_id for each in listings)
        )
        self._credits = runs.read_credits(conn, listings[0].lease.run_id)
        self._allowances = Allowances(conn, rules.caps, run_id=self._credits.run_id, now=now)
        self._ordering = rules.ordering
        if self._ordering.learns:
            self._ordering = self._ordering.restored(runs.recall(conn, STATE))
        self._next_call: int = _NEXT_CALL.run(conn).scalar()
        self._calls: list[Row] = []
        self._bodies: list[tuple[int, bytes]] = []
        self._visits: list[Row] = []
        self._listers: list[tuple[Entry, str | None, Listing, End | None]] = []

    def take_in(self, listing: Listing) -> Stored:
        """Take in what a page says, settle its credit and decide how its list goes on."""
        conn, lease = self._conn, listing.lease
        lister, stored, targets = admit(conn, self._register, listing, self._rules, self._ordering)
        recorded = follows.record(conn, lease.account_id, targets, visit_id=lease.visit_id, is_revisit=lease.is_revisit)
        stored.new_edges = recorded.new
        stored.confirmed = len(recorded.kept)
        stored.duplicates += len(targets) - recorded.fresh
        if lease.is_revisit:
            rereads.note_page(conn, lease.visit_id, targets, recorded)
        if listing.withheld:
            optout.count_withheld(conn, lease.visit_id, listing.withheld)
        self._settle(listing, stored)
        verdict = self._rules.judge(_evidence(conn, listing, stored, recorded))
        if isinstance(verdict, GoOn):
            cursor: str | None = verdict.cursor
            if self._may_go_on(lister, lease):
                stored.next = self._reserved(listing, verdict, stored, recorded)
            lister.state = State.QUEUED if stored.next is None else State.LEASED
        else:
            # The cursor of a list that was capped is kept, so that a larger cap can go on from there.
            cursor = listing.next_cursor if verdict.completeness == Completeness.CAPPED else None
            stored.end = verdict
            lister.state = State.DONE
            if lease.is_revisit:
                self._end_revisit(lister, lease, verdict, stored, recorded)
        self._note_visit(listing, stored, recorded)
        self._listers.append((lister, cursor, listing, stored.end))
        return stored

    def _settle(self, listing: Listing, stored: Stored) -> None:
        lease, call, charged = listing.lease, self._next_call, listing.charged
        where = (lease.run_id, lease.visit_id, lease.account_id, lease.cursor or "", self._at)
        self._calls.append((call, *where, Outcome.SETTLED, charged, 0, listing.request_id))
        self._bodies.append((call, listing.body))
        self._next_call += 1
        self._credits.reserved -= 1
        self._credits.charged += charged
        self._allowances.charge(lease.seed_id, lease.visit_depth, charged)
        stored.overcharge = max(0, charged - 1)

    def _may_go_on(self, lister: Entry, lease: Lease) -> bool:
        """Tell whether the next page of a list is to be reserved for whoever brought this one."""
        lister.rank(self._ordering)  # leased again or not: a lease that is given back waits in this place
        return (
            # Under another handle the list is somebody else's: the next lease asks by the account's present one.
            lister.handle == lease.handle
            and self._credits.promisable > 0
            and self._rules.may_go_on(self._credits)
            and self._allowances.have_room(lease.seed_id, lease.visit_depth, self._credits)
            and (
                lister.lane == AHEAD_LANE
                or not self._ordering.is_pagewise
                or not picking.is_surpassed(self._conn, self._ordering, lister.lane, lister.priority)
            )
        )

    def _reserved(self, listing: Listing, verdict: GoOn, stored: Stored, recorded: follows.Recorded) -> Lease:
        lease = listing.lease
        self._credits.reserved += 1
        self._allowances.reserve(lease.seed_id, lease.visit_depth)
        return lease.turned(
            cursor=verdict.cursor,
            listed=stored.listed,
            edges=recorded.fresh,
            reported_total=_total(listing),
            log_followers=stored.log_followers,
        )

    def _end_revisit(self, lister: Entry, lease: Lease, end: End, stored: Stored, recorded: follows.Recorded) -> None:
        is_whole = end.completeness == Completeness.COMPLETE and end.is_whole
        if is_whole:
            stored.gone_edges = follows.end_missing(self._conn, lease.account_id, visit_id=lease.visit_id)
        rereads.note_end(
            self._conn,
            lease.visit_id,
            recorded,
            gone=stored.gone_edges,
            following=lister.following,
            is_whole=is_whole,
        )

    def _note_visit(self, listing: Listing, stored: Stored, recorded: follows.Recorded) -> None:
        end = stored.end
        self._visits.append(
            (
                listing.lease.visit_id,
                stored.listed,
                recorded.fresh,
                recorded.new,
                stored.new_accounts,
                stored.duplicates,
                stored.self_follows,
                listing.unreadable,
                listing.reported_total,
                None if end is None else self._at,
                Completeness.PARTIAL if end is None else end.completeness,
                None if end is None else end.reason,
                stored.hits,
                stored.rate,
                stored.log_followers,
                stored.order_score,
                stored.order_tests,
            )
        )

    def write(self, results: Sequence[Stored]) -> None:
        """Write everything, the run's money last, and complete the results."""
        conn, register = self._conn, self._register
        register.flush_accounts()
        _INSERT_CALL.run(conn, self._calls)
        if self._rules.archive is not None:
            self._rules.archive.add(conn, self._bodies)
        _VISIT.run_many(conn, self._visits)
        for lister, *_ in self._listers:
            lister.is_dirty = lister.has_grown = False  # written below with everything else of the lister
        register.flush_frontier()
        _ENTRY.run_many(
            conn,
            [
                (
                    lister.account_id,
                    lister.state,
                    lister.priority,
                    lister.lane,
                    lister.cash,
                    lister.listings,
                    lister.merit,
                    lister.quality,
                    lister.depth,
                    cursor,
                    listing.lease.visit_id if end is None else None,
                    None if end is None else end.completeness,
                    listing.lease.process_id if lister.state == State.LEASED else None,
                )
                for lister, cursor, listing, end in self._listers
            ],
        )
        if self._ordering.learns:
            runs.keep(conn, STATE, self._ordering.state() or "")
        self._allowances.write()
        runs.write_credits(
            conn,
            self._credits,
            pages=len(results),
            edges=sum(stored.new_edges for stored in results),
            accounts=sum(stored.new_accounts for stored in results),
        )
        results[0].renamed, results[0].taken_over = register.renamed, register.taken_over
        for stored in results:
            stored.credits = self._credits


def _total(listing: Listing) -> int | None:
    """Return how long the list says it is, now or on a page before."""
    return listing.reported_total if listing.reported_total is not None else listing.lease.reported_total


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
        reported_total=_total(listing),
        page_known=len(recorded.kept),
        current=current,
        order_chance=chance,
    )
