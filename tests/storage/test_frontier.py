"""Leases are reservations; states change as the diagram says; dead processes are tidied up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import sqlalchemy as sa
from study import NOT_UNIQUE, Study, facts

from crawler.purchase import Purchases
from storage import errors, frontier, ranking, runs, seeding, summary
from storage.checkup import problems
from storage.runs import Credits

Make = Callable[..., Study]


def credits(s: Study) -> tuple[int, int, int]:
    """Return the run's charged, uncertain and reserved credits."""
    found: Credits = s.read(partial(runs.read_credits, run_id=s.started.run_id))
    return found.charged, found.uncertain, found.reserved


def entry(s: Study, handle: str = "a") -> tuple[object, ...]:
    """Return state, cursor, attempts and reason of an entry."""
    [row] = s.ask(
        "SELECT state, cursor, attempts, reason FROM frontier JOIN accounts ON id = account_id WHERE handle = ?", handle
    )
    return row


def test_a_lease_reserves_and_a_commit_settles(study: Make) -> None:
    """One credit is reserved while a page is asked for, and charged with its answer."""
    s = study("a")
    [lease] = s.lease()
    assert credits(s) == (0, 0, 1)
    s.commit(s.answer(lease, [facts("x")]))
    assert credits(s) == (1, 0, 0)


def test_no_more_is_leased_than_the_budget_holds(study: Make) -> None:
    """With six credits three entries are leased, for each may cost two; the last credit is spent alone."""
    s = study(*"abcdef", budget=6)
    leases = s.lease(10)
    assert len(leases) == 3
    assert s.lease(10) == []
    assert credits(s) == (0, 0, 3)
    s.commit(*(s.answer(lease, []) for lease in leases))
    for spent in (3, 4, 5):
        assert credits(s) == (spent, 0, 0)
        [lease] = s.lease(10)
        assert s.lease(10) == []
        s.commit(s.answer(lease, []))
    assert s.lease(10) == []
    assert credits(s) == (6, 0, 0)


@pytest.mark.parametrize("price", [1, 2])
def test_whatever_is_in_flight_may_cost_two(study: Make, price: int) -> None:
    """Lists that go on give their place up near the end, so that no answer passes the budget."""
    s = study(*"abcdef", budget=12)
    leases = s.lease(10)
    assert len(leases) == 6
    for lease in leases:
        s.commit(s.answer(lease, [facts(f"of-{lease.handle}")], cursor="c2", charged=price))
        charged, _, reserved = credits(s)
        assert charged + 2 * reserved <= 12


def test_no_entry_is_leased_twice(study: Make) -> None:
    """What is leased is not offered again."""
    s = study(*"abcdef")
    first, second = s.lease(4), s.lease(4)
    ids = [lease.account_id for lease in first + second]
    assert len(ids) == len(set(ids)) == 6


def test_the_best_come_first(study: Make) -> None:
    """Entries come by priority, equal ones in the order they were met."""
    s = study("a", strategy="rank")
    s.visit(
        "a",
        facts("low", followers=5),
        facts("high", followers=900),
        facts("mid", followers=50),
        facts("low2", followers=5),
    )
    assert [lease.handle for lease in s.lease(4)] == ["high", "mid", "low", "low2"]


def test_the_next_page_is_reserved_in_the_same_transaction(study: Make) -> None:
    """A list that goes on keeps its lease with the next cursor and one reserved credit."""
    s = study("a")
    [lease] = s.lease()
    [stored] = s.commit(s.answer(lease, [facts("x")], cursor="c2"))
    assert stored.next is not None
    assert (stored.next.cursor, stored.next.pages, stored.next.listed) == ("c2", 1, 1)
    assert (entry(s)[:2], credits(s)) == ((1, "c2"), (1, 0, 1))


@pytest.mark.parametrize(("free", "following"), [(0, [None, "b", None]), (2, ["d", "b", None]), (9, ["d", "b", "e"])])
def test_whoever_is_through_with_a_list_has_the_next_where_a_slot_is_free(
    study: Make, free: int, following: list[str | None]
) -> None:
    """Of three pages two are the last of their lists; the list that goes on has a slot before them."""
    s = study(*"abcdef")
    units = Purchases(started=s.started, rules=s.rules, taking=s.taking, active_s=lambda: 1.0, free_slots=lambda: free)
    leases = s.lease(3)
    answers = [
        s.answer(lease, [facts(f"x{lease.handle}")], cursor="c2" if lease.handle == "b" else None) for lease in leases
    ]
    stored = s.db.transact(lambda conn: units.commit(conn, [(each, s.now) for each in answers]))
    assert [each.end is None for each in stored] == [False, True, False]
    assert [each.next and each.next.handle for each in stored] == following
    assert credits(s) == (3, 0, 3 - following.count(None))
    assert s.read(problems) == []


def test_nobody_goes_on_to_another_list_while_draining(study: Make) -> None:
    """Free slots or not."""
    s = study("a", "b")
    units = Purchases(started=s.started, rules=s.rules, taking=s.taking, active_s=lambda: 1.0, free_slots=lambda: 9)
    [lease] = s.lease()
    s.may_go_on = False
    [stored] = s.db.transact(lambda conn: units.commit(conn, [(s.answer(lease), s.now)]))
    assert (stored.next, credits(s)) == (None, (1, 0, 0))


def test_a_list_waits_with_its_cursor_when_the_budget_ends(study: Make) -> None:
    """Without a free credit the entry is queued at its cursor, and a new budget goes on from there."""
    s = study("a", budget=1)
    [lease] = s.lease()
    [stored] = s.commit(s.answer(lease, [facts("x")], cursor="c2", reported_total=20))
    assert (stored.next, entry(s)[:2]) == (None, (0, "c2"))
    s.begin(5)
    [again] = s.lease()
    assert (again.handle, again.cursor, again.pages, again.visit_id) == ("a", "c2", 1, lease.visit_id)


def test_a_draining_crawl_reserves_nothing_more(study: Make) -> None:
    """While draining, the page in flight is stored and the list waits."""
    s = study("a")
    [lease] = s.lease()
    s.may_go_on = False
    [stored] = s.commit(s.answer(lease, [facts("x")], cursor="c2"))
    assert (stored.next, entry(s)[:2], credits(s)) == (None, (0, "c2"), (1, 0, 0))


def test_a_page_is_stored_once(study: Make) -> None:
    """The same page committed a second time is refused and changes nothing."""
    s = study("a", "b")
    [lease] = s.lease()
    s.commit(s.answer(lease, [facts("x")], cursor="c2"))
    before = s.ask("SELECT count(*) FROM ledger")
    with pytest.raises(NOT_UNIQUE):
        s.commit(s.answer(lease, [facts("y")], cursor="c3"))
    assert s.ask("SELECT count(*) FROM ledger") == before
    assert credits(s) == (1, 0, 1)


@pytest.mark.parametrize(("maybe_charged", "expected"), [(False, (0, 0, 0)), (True, (0, 1, 0))])
def test_a_failed_call_releases_or_becomes_uncertain(
    study: Make, *, maybe_charged: bool, expected: tuple[int, int, int]
) -> None:
    """What surely cost nothing is free again; what may have cost stays counted."""
    s = study("a")
    [lease] = s.lease()
    s.give_back(lease, maybe_charged=maybe_charged, not_before=s.now + 10, cause="lookup_failed")
    assert credits(s) == expected
    assert s.ask("SELECT outcome, charged, uncertain, cause FROM ledger") == [
        ("uncertain" if maybe_charged else "released", 0, int(maybe_charged), "lookup_failed")
    ]


def test_a_deferred_entry_waits_for_its_time(study: Make) -> None:
    """Not before its time, then again, with its attempts counted."""
    s = study("a")
    [lease] = s.lease()
    s.give_back(lease, not_before=s.now + 60)
    assert s.lease() == []
    ahead = s.outlook()
    assert (ahead.has_queued, ahead.next_due_at, ahead.limit) == (False, s.now + 60, None)
    assert s.read(summary.read).frontier["queued"] == 1
    s.now += 60
    [again] = s.lease()
    assert again.attempts == 1


def test_a_failed_entry_is_not_taken_again(study: Make) -> None:
    """A failed entry keeps its reason; where pages were stored before, its visit is partial."""
    s = study("a", "b")
    [lease] = s.lease()
    s.give_back(lease, failed="bad_request", cause="bad_request")
    [other] = s.lease()
    [stored] = s.commit(s.answer(other, [facts("x")], cursor="c2"))
    assert stored.next is not None
    s.give_back(stored.next, failed="lookup_failed", maybe_charged=True)
    found = s.read(summary.read)
    assert (entry(s, "a")[0], entry(s, "a")[3]) == (3, "bad_request")
    assert (found.accounts["failed"], found.accounts["visited"]) == (1, 1)
    assert s.ask("SELECT completeness, reason FROM visits ORDER BY id") == [
        ("partial", "bad_request"), ("partial", "lookup_failed"),
    ]  # fmt: skip


def test_the_leases_of_a_dead_process_become_uncertain_and_return(study: Make) -> None:
    """After a kill every page in flight is uncertain, queued again at its cursor, and the budget still holds."""
    s = study("a", "b", budget=4)
    first, _ = s.lease(2)
    [stored] = s.commit(s.answer(first, [facts("x")], cursor="c2", charged=2))
    assert stored.next is None
    assert s.db.transact(partial(frontier.reclaim, now=s.now + 1)) == 1
    assert credits(s) == (2, 1, 0)
    assert s.ask("SELECT cursor, outcome, cause FROM ledger WHERE outcome != 'settled'") == [
        ("", "uncertain", "process_died")
    ]
    assert s.read(problems) == []
    assert len(s.lease(2)) == 1


def test_a_shorter_way_is_passed_on_to_what_lies_behind(study: Make) -> None:
    """When an account turns out to be nearer to a seed, so do the accounts behind it."""
    s = study("a")
    s.visit("a", facts("b"), facts("z"))
    s.visit("b", facts("c"))
    s.visit("c", facts("d"))
    s.visit("d", facts("e"))
    depth = "SELECT handle, depth FROM frontier JOIN accounts ON id = account_id"
    assert dict(s.ask(depth)) == {"a": 0, "b": 1, "z": 1, "c": 2, "d": 3, "e": 4}
    s.visit("z", facts("d"))
    assert dict(s.ask(depth)) == {"a": 0, "b": 1, "z": 1, "c": 2, "d": 2, "e": 3}


def test_cash_is_conserved(study: Make) -> None:
    """Visited accounts hand on what they had: the sum stays the number of seeds."""
    s = study("a", "b")
    s.visit("a", facts("x", following=4), facts("y"), reported_total=2)
    s.visit("x", facts("a"), facts("y"), facts("z"), reported_total=4)
    [(total,)] = s.ask("SELECT sum(cash) FROM frontier")
    assert total == pytest.approx(2.0)
    cash = dict(s.ask("SELECT handle, cash FROM frontier JOIN accounts ON id = account_id"))
    assert cash == pytest.approx({"a": 0.125, "b": 1.0, "x": 0.125, "y": 0.625, "z": 0.125})


def test_replaying_the_visits_gives_the_same_cash(study: Make) -> None:
    """Cash worked out anew from what is stored equals the cash that was kept page by page."""
    s = study("a", "b")
    s.visit("a", facts("x"), facts("y"), reported_total=2)
    s.visit("x", facts("a"), facts("y"), facts("z"), reported_total=3)
    cash = "SELECT account_id, cash FROM frontier ORDER BY 1"
    kept = dict(s.ask(cash))
    s.db.transact(partial(ranking.rebuild, ordering=s.strategy))
    assert dict(s.ask(cash)) == pytest.approx(kept)


def test_seeds_are_added_once(study: Make) -> None:
    """A seed known already is reported; an account met in a list becomes a seed at depth 0."""
    s = study("a")
    s.visit("a", facts("x"))
    seeded = s.db.transact(partial(seeding.add, handles=["a", "x", "n", "n"], ordering=s.strategy, now=s.now))
    assert (seeded.added, seeded.known) == (["x", "n"], ["a"])
    assert s.ask("SELECT handle, depth FROM frontier JOIN accounts ON id = account_id ORDER BY id") == [
        ("a", 0), ("x", 0), ("n", 0),
    ]  # fmt: skip


def test_a_run_that_ended_by_itself_is_not_continued(study: Make) -> None:
    """A spent run is followed by a new one with a budget of its own; a killed or paused one goes on."""
    s = study("a")
    first = s.started.run_id
    s.db.transact(partial(frontier.reclaim, now=s.now))
    assert s.begin(None).run_id == first
    s.db.transact(partial(runs.stop, started=s.started, reason="interrupted", active_s=1.0, now=s.now))
    assert (s.begin(None).run_id, s.begin(2000).budget) == (first, 2000)
    s.db.transact(partial(frontier.reclaim, but_process=s.started.process_id, now=s.now))
    s.db.transact(partial(runs.stop, started=s.started, reason="budget_exhausted", active_s=1.0, now=s.now))
    assert s.begin(None).run_id == first  # something kept credits of it back
    s.db.transact(partial(frontier.reclaim, but_process=s.started.process_id, now=s.now))
    for reason in ("frontier_empty", "budget_exhausted"):
        s.db.transact(partial(runs.stop, started=s.started, reason=reason, active_s=1.0, now=s.now))
        with pytest.raises(errors.BudgetMissing):
            s.begin(None)
        s.db.transact(lambda conn: conn.execute(sa.text("UPDATE runs SET charged = budget - uncertain - reserved")))
    assert s.begin(7).run_id == first + 1


def test_a_run_stops_with_the_last_of_its_crawlers(study: Make) -> None:
    """While one of them is at work the run has not stopped, and whoever begins goes on with it."""
    s = study("a")
    first, second = s.started, s.begin(None)
    s.db.transact(partial(runs.stop, started=first, reason="budget_exhausted", active_s=1.0, now=s.now))
    assert s.ask("SELECT stop_reason, ended_at FROM runs") == [(None, None)]
    s.db.transact(partial(runs.stop, started=second, reason="interrupted", active_s=1.0, now=s.now))
    assert s.ask("SELECT stop_reason FROM runs") == [("interrupted",)]
