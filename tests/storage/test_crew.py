"""Crawlers of one database: who is taken for dead, what becomes of late answers, and what the key allows each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from study import Study, facts

from crawler.limiter import Limiter
from crawler.purchase import Purchases
from storage import budgets, crew, daemons, errors, frontier, runs, summary
from storage.allowances import Caps
from storage.checkup import problems
from storage.frontier import Lease, Returned
from storage.listing import Stored

Make = Callable[..., Study]


def purchases(s: Study) -> Purchases:
    """Return a crawler's units of work; its part in the run is the study's newest."""
    return Purchases(started=s.started, rules=s.rules, taking=s.taking, active_s=lambda: 1.0)


def leased(s: Study, mine: Purchases, count: int = 1) -> list[Lease]:
    """Lease entries."""
    found = s.db.transact(lambda conn: mine.lease(conn, [s.now] * count))
    return [lease for lease in found if lease is not None]


def taken_for_dead(s: Study, but: Purchases) -> int:
    """Take back the leases of every crawler but one."""
    return s.db.transact(partial(frontier.reclaim, but_process=but.started.process_id, now=s.now))


def committed(s: Study, mine: Purchases, lease: Lease, *listed: Any, cursor: str | None = None) -> Stored:
    """Store an answer."""
    [stored] = s.db.transact(lambda conn: mine.commit(conn, [(s.answer(lease, listed, cursor=cursor), s.now)]))
    return stored


def credits(s: Study) -> tuple[int, int, int]:
    """Return the run's charged, uncertain and reserved credits."""
    found = s.read(partial(runs.read_credits, run_id=s.started.run_id))
    return found.charged, found.uncertain, found.reserved


@pytest.fixture
def pair(study: Make) -> tuple[Study, Purchases, Purchases]:
    """Two crawlers of one run."""
    s = study("a", "b", "c", budget=10)
    first = purchases(s)
    s.begin(None)
    return s, first, purchases(s)


def test_a_late_answer_is_stored_where_nobody_took_the_page_since(pair: tuple[Study, Purchases, Purchases]) -> None:
    """It was paid and is there: the credit that was uncertain is charged, and the list goes on under a new number."""
    s, slow, other = pair
    [lease] = leased(s, slow)
    assert taken_for_dead(s, other) == 1
    assert credits(s) == (0, 1, 0)
    stored = committed(s, slow, lease, facts("x"), cursor="c2")
    assert not stored.is_late
    assert stored.next is not None
    assert stored.next.process_id == slow.started.process_id not in {lease.process_id, other.started.process_id}
    assert credits(s) == (1, 0, 1)
    assert s.read(problems) == []


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_late_answer_to_somebody_elses_page_is_refused(
    pair: tuple[Study, Purchases, Purchases], is_stored: bool
) -> None:
    """While another holds the lease, or has stored the page, nothing is stored; what was paid is booked as paid."""
    s, slow, other = pair
    [lease] = leased(s, slow)
    taken_for_dead(s, other)
    theirs = leased(s, other, 3)
    again = next(each for each in theirs if each.account_id == lease.account_id)
    if is_stored:
        committed(s, other, again, facts("x"))
    before = s.ask("SELECT * FROM follows ORDER BY src, dst")
    stored = committed(s, slow, lease, facts("x"), facts("y"))
    assert stored.is_late
    assert stored.next is None
    assert s.ask("SELECT * FROM follows ORDER BY src, dst") == before
    assert credits(s) == (1 + is_stored, 0, 3 - is_stored)
    assert s.read(problems) == []
    if not is_stored:
        assert not committed(s, other, again, facts("x")).is_late


@pytest.mark.parametrize(("maybe_charged", "uncertain"), [(False, 0), (True, 1)])
def test_a_late_error_settles_what_it_knows(
    pair: tuple[Study, Purchases, Purchases], maybe_charged: bool, uncertain: int
) -> None:
    """A call that cost nothing is no longer uncertain; one that may have cost a credit still is. The entry waits."""
    s, slow, other = pair
    [lease] = leased(s, slow)
    taken_for_dead(s, other)
    returned = Returned(lease=lease, maybe_charged=maybe_charged, cause="lookup_failed", failed="lookup_failed")
    s.db.transact(lambda conn: slow.give_back(conn, [(returned, s.now)]))
    assert credits(s) == (0, uncertain, 0)
    assert s.ask("SELECT state FROM frontier WHERE account_id = ?", lease.account_id) == [(0,)]
    assert s.read(problems) == []


def test_what_a_balance_settled_is_not_settled_again(pair: tuple[Study, Purchases, Purchases]) -> None:
    """After a balance has said what became of an uncertain credit, a late answer changes neither books nor graph."""
    from storage import readings

    s, slow, other = pair
    [lease] = leased(s, slow)
    taken_for_dead(s, other)
    s.db.transact(partial(readings.settle, run_id=s.started.run_id, uncertain=1, charged=1, now=s.now))
    assert committed(s, slow, lease, facts("x")).is_late
    assert credits(s) == (1, 0, 0)
    assert s.read(problems) == []


def test_whoever_was_taken_for_dead_goes_on_under_a_new_number(pair: tuple[Study, Purchases, Purchases]) -> None:
    """It leases again, and nobody takes those leases for the old ones."""
    s, slow, other = pair
    before = slow.started.process_id
    taken_for_dead(s, other)
    [lease] = leased(s, slow)
    assert lease.process_id == slow.started.process_id != before
    assert not committed(s, slow, lease, facts("x")).is_late
    assert s.read(problems) == []


def test_pages_in_time_and_late_ones_share_a_transaction(pair: tuple[Study, Purchases, Purchases]) -> None:
    """Each answer gets its own result, in the order they came."""
    s, slow, other = pair
    [late] = leased(s, slow)
    taken_for_dead(s, other)
    leased(s, other, 1)
    [mine] = leased(s, slow, 1)
    items = [(s.answer(late, [facts("x")]), s.now), (s.answer(mine, [facts("y")]), s.now)]
    first, second = s.db.transact(lambda conn: slow.commit(conn, items))
    assert (first.is_late, second.is_late) == (True, False)
    assert second.new_accounts == 1
    assert s.read(problems) == []


def test_sub_budgets_follow_leases_that_change_hands(study: Make) -> None:
    """A credit of a seed that was promised to a dead crawler is uncertain, and counts as such."""
    s = study("a", "b", budget=10)
    caps = Caps(per_seed=1)
    s.taking = type(s.taking)(ordering=s.strategy, caps=caps)
    s.rules = type(s.rules)(
        ordering=s.strategy, judge=s.rules.judge, max_depth=None, archive=None, may_go_on=lambda _: True, caps=caps
    )
    slow = purchases(s)
    s.begin(None)
    other = purchases(s)
    [lease] = leased(s, slow)
    s.db.transact(lambda conn: conn.exec_driver_sql("UPDATE processes SET heartbeat_at = 1 WHERE id = 1"))
    assert s.db.transact(partial(other.reclaim, now=s.now)) == 1
    assert s.ask("SELECT charged, uncertain, reserved FROM allowances WHERE kind = 'seed'") == [(0, 1, 0)]
    assert [each.handle for each in leased(s, other, 3)] == ["b"]
    assert lease.handle == "a"


def test_only_the_silent_are_taken_for_dead(pair: tuple[Study, Purchases, Purchases]) -> None:
    """Who gave a sign of life lately keeps its leases; who gave none for longer than the limit loses them."""
    s, slow, other = pair
    leased(s, slow)
    assert s.db.transact(partial(other.reclaim, now=s.now)) == 0
    found = s.db.transact(partial(crew.beat, process_id=other.started.process_id, pages=3, in_flight=2, now=s.now))
    assert (found.count, found.silent) == (2, ())
    s.db.transact(
        lambda conn: conn.exec_driver_sql(
            f"UPDATE processes SET heartbeat_at = heartbeat_at - {crew.SILENT_S + 2} WHERE id = 1"
        )
    )
    found = s.db.transact(partial(crew.beat, process_id=other.started.process_id, pages=3, in_flight=2, now=s.now))
    assert (found.count, found.silent) == (1, (slow.started.process_id,))
    assert s.db.transact(partial(other.reclaim, now=s.now)) == 1
    [member] = s.read(partial(crew.members, now=s.now))
    assert (member.id, member.pages, member.in_flight, member.share) == (other.started.process_id, 3, 2, 1.0)


def test_crawlers_of_a_run_want_the_same(study: Make) -> None:
    """Who would order the frontier otherwise is refused while others are at work, and may do so once they are gone."""
    s = study("a", budget=10)
    asked = {"strategy": "flow", "concurrency": 5}

    def begin(**settings: object) -> runs.Started:
        return s.db.transact(
            partial(
                runs.start, budget=None, new_run=False, strategy="flow", rng_seed=None, fresh_rng_seed=1,
                settings=settings, host="here", pid=2, now=s.now,
            )
        )  # fmt: skip

    s.db.transact(partial(frontier.reclaim, now=s.now))
    begin(**asked)
    begin(**asked | {"concurrency": 9, "retry": {"attempts": 2}, "breakers": {"error_share": 1.0}})
    with pytest.raises(errors.OtherSettings, match=r"strategy = 'flow'.*'core'"):
        begin(**asked | {"strategy": "core"})
    s.db.transact(partial(frontier.reclaim, now=s.now))
    begin(**asked | {"strategy": "core"})


def test_the_limits_of_a_key_are_shared() -> None:
    """Of rate and slots each of three crawlers takes a third, at least one slot; a dead one's part returns."""
    limiter = Limiter(concurrency=20, rate=9.0, time=lambda: 0.0)
    limiter.share(3)
    assert limiter.limit == 6
    limiter.share(40)
    assert limiter.limit == 1
    limiter.share(1)
    assert limiter.limit == 20


def begun(s: Study, *, budget: int | None, new_run: bool = False, **labels: str) -> runs.Started:
    """Begin a run, or take part in the last one."""
    about: dict[str, Any] = {"strategy": "flow", "rng_seed": None, "fresh_rng_seed": 1, "host": "here", "pid": 1}
    start = partial(runs.start, budget=budget, new_run=new_run, settings=labels, now=s.now, **about)
    return s.db.transact(start)


def test_who_goes_on_with_a_daemons_run_spends_on_its_day(study: Make) -> None:
    """A crawl knows nothing of days: what it buys in a daemon's run counts to that day and to the daemon's total."""
    s = study("a", "b", budget=10)
    s.started = begun(s, budget=9, new_run=True, **{runs.DAY: "2026-03-01"})
    s.started = begun(s, budget=None)
    s.visit("a")
    assert s.read(partial(budgets.standing, total=100, today="2026-03-01")).by_day == {"2026-03-01": 1}


def test_a_crawl_waits_for_a_refresh_at_work(study: Make) -> None:
    """It would buy what the refresh has queued; where that one has ended it goes on with its own run."""
    s = study("a", budget=10)
    ours = s.started = begun(s, budget=9, new_run=True)
    s.db.transact(partial(runs.stop, started=ours, reason="interrupted", active_s=1.0, now=s.now))
    refresh = begun(s, budget=5, **{runs.REFRESH: "yes"})
    with pytest.raises(errors.OtherSettings, match="refresh"):
        begun(s, budget=None)
    s.db.transact(partial(runs.stop, started=refresh, reason="interrupted", active_s=1.0, now=s.now))
    assert begun(s, budget=None).run_id == ours.run_id
    assert begun(s, budget=None, **{runs.REFRESH: "yes"}).run_id == refresh.run_id


def test_a_day_that_is_over_is_closed_to_all_but_what_is_in_flight(study: Make) -> None:
    """Its run keeps the budget that it has used: crawls at work on it end, and nothing is spent beside the next day."""
    s = study("a", "b", "c", budget=10)
    yesterday = s.started = begun(s, budget=9, new_run=True, **{runs.DAY: "2026-03-01"})
    mine = purchases(s)
    [lease] = leased(s, mine)
    s.db.transact(partial(budgets.close, but=yesterday.run_id))
    assert s.read(partial(runs.read_credits, run_id=yesterday.run_id)).budget == 9
    today = begun(s, budget=9, new_run=True, **{runs.DAY: "2026-03-02"})
    s.db.transact(partial(budgets.close, but=today.run_id))
    assert leased(s, mine) == []
    committed(s, mine, lease)
    assert s.read(partial(runs.read_credits, run_id=yesterday.run_id)).charged == 1
    found = {run.id: run.budget for run in s.read(summary.read).runs}
    assert found == {s.ask("SELECT min(id) FROM runs")[0][0]: 10, yesterday.run_id: 1, today.run_id: 9}


def test_a_database_on_a_server_has_one_daemon(study: Make) -> None:
    """A second one is refused while the first gives signs of life; one that is late finds its place taken."""
    s = study("a")
    is_shared = s.db.is_shared

    def daemon(pid: int) -> daemons.Daemon:
        about: dict[str, Any] = {"host": "here", "started_at": int(s.now), "detail": "", "until_at": None}
        return daemons.Daemon(pid=pid, heartbeat_at=int(s.now), state="crawling", total=None, per_day=None, **about)

    s.db.transact(partial(daemons.take, found=daemon(1)))
    s.db.transact(partial(daemons.write, found=daemon(1)))
    if not is_shared:  # a file has one by its lock: whoever is there now is the only one
        s.db.transact(partial(daemons.take, found=daemon(2)))
        return
    with pytest.raises(errors.AlreadyServed, match="process 1 on here"):
        s.db.transact(partial(daemons.take, found=daemon(2)))
    s.db.transact(lambda conn: conn.execute(sa.text("UPDATE daemon SET heartbeat_at = heartbeat_at - 61")))
    s.db.transact(partial(daemons.take, found=daemon(2)))
    with pytest.raises(errors.AlreadyServed, match="process 2 on here"):
        s.db.transact(partial(daemons.write, found=daemon(1)))
