"""The one transaction of a page: accounts, follows, discoveries with their priorities, the cursor, the visit, the
archive row, the settled credit and the reservation of the next page.

Invariant: a page is in the ledger as settled if and only if everything it said is stored; it is stored once.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from storage import follows, optout, picking, rereads, runs
from storage.accounts import Register
from storage.admission import admit
from storage.allowances import Allowances
from storage.listing import Evidence, GoOn, Listing, Rules, Stored
from storage.ordering import AHEAD_LANE, STATE
from storage.schema import Completeness, Outcome, State, frontier, ledger, visits
from storage.statement import Insert, Statement

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
        entry, stored, targets = admit(conn, register, listing, rules, ordering)
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
                entry.account_id,
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
