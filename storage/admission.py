"""Who is on a page: each account is found or created, gets its share of the lister's cash, and has its place."""

from __future__ import annotations

from collections.abc import Collection
from math import log1p

import sqlalchemy as sa

from storage import follows
from storage.accounts import Entry, Facts, Register, enter, reconsider
from storage.depth import shorten
from storage.listing import Listing, Rules, Stored
from storage.ordering import AHEAD_LANE, Bought, Ordering
from storage.schema import State

HYSTERESIS = 1.5
"""An indexed priority is rewritten only when it grew or fell by this factor."""


ORDER_HALF = 5
"""Accounts that each half of a page must list at least for its order to be judged."""


def admit(
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
        elif entry.account_id in targets:
            stored.duplicates += 1
        else:
            targets[entry.account_id] = None
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
            counted = targets.keys() - follows.known(conn, lister.account_id, targets)
    depth = lister.depth + 1
    for entry, facts in entries:
        entry.cash += share
        is_counted = ordering.keeps_listings and entry.account_id in counted
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
                entry.chance = rules.explore(entry)
            entry.is_dirty = True
        else:
            reconsider(entry, facts, max_depth=rules.max_depth, wants=rules.wants)
            if depth < entry.depth:
                shorten(conn, register, entry, depth, ordering=ordering, max_depth=rules.max_depth)
            if share or is_counted:
                entry.has_grown = True
                if entry.state != State.DONE and entry.lane != AHEAD_LANE:
                    place = ordering.place(entry)
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
