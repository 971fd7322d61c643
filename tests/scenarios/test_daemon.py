"""The daemon's life in virtual time: days, budgets, sleep, outages, orders, deaths."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from random import Random

import pytest
import rehearsal
import structlog
import virtual_time
from living import Died, Flaky, Mortal, config, live
from people import holding
from refreshing import DAY, ordered

from crawler import calendar, seeding
from crawler.breakers import Limits
from crawler.daemon import Daemon
from crawler.duty import State
from socialfetch.simulator import network
from storage import budgets, daemons, driver, orders
from storage.database import Database
from storage.retention import Rules

BERLIN = calendar.zone("Europe/Berlin")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Keep months of log lines out of memory, and set the virtual calendar back."""
    epoch = virtual_time.EPOCH
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()
    virtual_time.EPOCH = epoch


def study(path: Path, *seeds: str) -> None:
    """Make a database with seeds."""
    db = Database.open(path, now=virtual_time.now)
    seeding.seed(db, seeds, now=virtual_time.now())
    db.close()


def days(path: Path) -> dict[str, int]:
    """Return what every day's runs spent."""
    db = Database.open(path, now=lambda: 0.0, mode="read")
    with db.read() as conn:
        found = budgets.standing(conn, None, today="").by_day
    db.close()
    return found


def state(path: Path) -> daemons.Daemon:
    """Return what the daemon says of itself."""
    db = Database.open(path, now=lambda: 0.0, mode="read")
    with db.read() as conn:
        found = daemons.read(conn)
    db.close()
    assert found is not None
    return found


def after(
    seconds: float, act: Callable[[Daemon], Awaitable[None]] | None = None
) -> Callable[[Daemon], Awaitable[None]]:
    """Return what waits, acts and drains."""

    async def meanwhile(daemon: Daemon) -> None:
        await asyncio.sleep(seconds)
        if act is not None:
            await act(daemon)
        daemon.drain("test")

    return meanwhile


def in_a_life(path: Path, transport: Flaky, asked: object, **more: object) -> None:
    """Run one daemon in a virtual loop of its own."""
    # What a test asks for is of many types.
    virtual_time.run(live(path, transport, asked, **more))  # type: ignore[arg-type]


def test_a_day_has_its_budget_also_when_clocks_change(tmp_path: Path) -> None:
    """Each local day spends exactly its budget: the short day of March, the long one of October, the others."""
    for month, name in ((3, "march"), (10, "october")):
        virtual_time.EPOCH = datetime(2026, month, 23, 12, tzinfo=BERLIN).timestamp()
        api, path = rehearsal.service(network.generate(400, rng_seed=3)), tmp_path / f"{name}.db"

        async def week(path: Path = path, transport: Flaky = Flaky(api)) -> None:  # noqa: B008 - one each
            study(path, "u1", "u2", "u3")
            await live(path, transport, config(), meanwhile=after(7 * DAY))

        virtual_time.run(week())
        spent = days(path)
        assert set(spent.values()) == {20}
        assert len(spent) == 8
        # Every credit was spent on the day that its run says, by the clock on the wall.
        rows = rehearsal.rows(path, "SELECT ledger.at, json_extract(settings, '$.daemon_day') FROM ledger JOIN runs "
                                    "ON runs.id = run_id WHERE ledger.charged")  # fmt: skip
        assert {calendar.day(at, BERLIN) == day for at, day in rows} == {True}
        assert api.ledger.charged == 160
        assert state(path).state == State.STOPPED
        assert rehearsal.findings(path) == []


def test_a_day_counts_what_crawls_took_of_it(tmp_path: Path) -> None:
    """The budget of a day is over all runs: what a crawl bought in the morning the daemon does not buy again."""
    api, path = rehearsal.service(network.generate(2_000, rng_seed=3)), tmp_path / "a.db"

    async def act(daemon: Daemon) -> None:
        assert api.ledger.charged == 100
        assert daemon.hold.state == State.DAY_DONE

    async def life() -> None:
        await rehearsal.crawl(path, api, seeds=["u1", "u2"], budget=80)
        await live(path, Flaky(api), config(per_day=100), meanwhile=after(600, act))

    virtual_time.run(life())


def test_the_total_pauses_and_a_raise_goes_on(tmp_path: Path) -> None:
    """When the total is used up the daemon lives on and waits; `budget add` lets it go on; thresholds are told once."""
    api, path = rehearsal.service(network.generate(400, rng_seed=3)), tmp_path / "a.db"
    told: list[tuple[str, str]] = []

    async def act(daemon: Daemon) -> None:
        assert daemon.hold.state == State.PAUSED_BUDGET
        assert sum(days(path).values()) == 50
        db = Database.open(path, now=virtual_time.now, mode="write")
        change = db.transact(partial(budgets.add, credits=30, note="more", origin="command", now=virtual_time.now()))
        db.close()
        assert change is not None
        assert change.run_id is None
        await asyncio.sleep(4 * DAY)
        assert sum(days(path).values()) == 80

    async def life() -> None:
        study(path, "u1", "u2", "u3")
        await live(path, Flaky(api), config(total=50, per_day=10), meanwhile=after(6 * DAY, act), told=told)

    virtual_time.run(life())
    assert api.ledger.charged == 80
    assert {event for event, _ in told} == {"budget_50", "budget_80", "budget_100"}
    assert {subject for event, subject in told if event == "budget_100"} == {"50", "80"}


def test_silence_amid_a_crawl_is_seen(tmp_path: Path) -> None:
    """Where the API answers no more, the time of its last answer stands still, and what is waited for is said."""
    api, path = rehearsal.service(network.generate(400, rng_seed=3)), tmp_path / "a.db"
    begun = virtual_time.EPOCH
    asked = config(per_day=300, options={"rate": 0.02, "max_wait_s": 4 * 3600.0})
    seen: list[tuple[float | None, str, str]] = []

    async def meanwhile(daemon: Daemon) -> None:
        for _ in range(3):
            await asyncio.sleep(3600)
            seen.append((daemon.answered_at, daemon.hold.state, daemon.hold.detail))
        daemon.drain("test")

    async def life() -> None:
        study(path, "u1", "u2", "u3")
        transport = Flaky(api, outages=[(begun + 3700, begun + 3600 * 2.5)])
        await live(path, transport, asked, meanwhile=meanwhile, poll_s=10.0)

    virtual_time.run(life())
    (first, _, _), (silent, state_then, why), (last, _, after_it) = seen
    assert first is not None
    assert silent is not None
    assert last is not None
    assert begun + 3500 < first <= silent <= begun + 3800
    assert (state_then, why) == (State.CRAWLING, "the provider does not answer (unreachable)")
    assert last > begun + 3600 * 2.5
    assert "credits may be spent today" in after_it


def test_emptiness_is_not_bought_for_long(tmp_path: Path) -> None:
    """Hidden and empty lists one after another: it pauses itself, tells why, and goes on only when it is asked to."""
    graph = network.generate(400, rng_seed=3)
    for number in range(400):
        if number % 2:
            graph.set_status(f"u{number}", network.Status.HIDDEN)
    api, path = rehearsal.service(graph), tmp_path / "a.db"
    told: list[tuple[str, str]] = []
    asked = config(per_day=200, options={"breakers": Limits(credits_without_new_edge=10)})

    async def act(daemon: Daemon) -> None:
        assert daemon.hold.state == State.PAUSED
        assert daemon.hold.detail.startswith("breaker_no_yield: breakers.credits_without_new_edge reached 10")
        await asyncio.sleep(DAY)
        assert 10 <= (bought := api.ledger.charged) < 10 + asked.options.concurrency
        ordered(path, "resume")
        await asyncio.sleep(3600)
        assert daemon.hold.state == State.PAUSED
        assert 10 <= api.ledger.charged - bought < 10 + asked.options.concurrency

    async def life() -> None:
        study(path, *(f"u{number}" for number in range(1, 80, 2)))
        await live(path, Flaky(api), asked, meanwhile=after(DAY, act), told=told)

    virtual_time.run(life())
    assert [event for event, _ in told] == ["breaker", "breaker"]
    assert len({subject for _, subject in told}) == 2, "each is told"
    assert rehearsal.findings(path) == []


def test_an_outage_of_days_is_survived(tmp_path: Path) -> None:
    """While nobody answers nothing is lost or charged, the waits grow, and afterwards it goes on by itself."""
    api, path = rehearsal.service(network.generate(400, rng_seed=3)), tmp_path / "a.db"
    begin = virtual_time.EPOCH
    transport = Flaky(api, [(begin + 3600, begin + 1.25 * DAY)])
    told: list[tuple[str, str]] = []

    async def life() -> None:
        study(path, "u1", "u2", "u3")
        asked = config(per_day=2000, options={"rate": 0.01})
        await live(path, transport, asked, meanwhile=after(2 * DAY), told=told)

    virtual_time.run(life())
    per_day = days(path)
    assert rehearsal.state(path).uncertain == 0
    assert list(per_day.values())[-1] > 300
    assert ("trouble" in {event for event, _ in told}) is True
    assert rehearsal.findings(path) == []


def test_a_disk_that_is_full_for_a_while_is_survived(tmp_path: Path) -> None:
    """Not even the heartbeat can be written: it waits, and goes on by itself once there is room."""
    api, path = rehearsal.service(network.generate(400, rng_seed=3)), tmp_path / "a.db"
    Mortal.full_from, Mortal.full_until = virtual_time.EPOCH + 600, virtual_time.EPOCH + 1.2 * DAY
    told: list[tuple[str, str]] = []

    async def life() -> None:
        study(path, "u1", "u2", "u3")
        await live(path, Flaky(api), config(), meanwhile=after(3 * DAY), told=told)

    virtual_time.run(life())
    assert state(path).state == State.STOPPED
    assert list(days(path).values())[-1] == 20
    assert rehearsal.findings(path) == []


def test_orders(tmp_path: Path) -> None:
    """Pause stops the spending, resume goes on, a changed budget holds from then on, drain ends; each is answered."""
    api, path = rehearsal.service(network.generate(2000, rng_seed=3)), tmp_path / "a.db"

    async def act(daemon: Daemon) -> None:
        ordered(path, orders.Act.PAUSE)
        await asyncio.sleep(120)
        here = api.ledger.charged
        assert 0 < here < 1000
        await asyncio.sleep(3600)
        assert api.ledger.charged == here
        assert state(path).state == State.PAUSED
        ordered(path, orders.Act.RESUME)
        await asyncio.sleep(600)
        assert api.ledger.charged > here
        db = Database.open(path, now=virtual_time.now, mode="write")
        for key, value in (("budget.per_day", here + 100), ("crawl.rate", 0), ("crawl.strategy", "rank")):
            db.transact(partial(orders.ask, act="set", origin="page", now=virtual_time.now(), key=key, value=value))
        db.close()
        await asyncio.sleep(12 * 3600)
        assert api.ledger.charged == here + 100
        assert daemon.config.options.strategy == "rank"
        ordered(path, orders.Act.DRAIN)
        await asyncio.sleep(DAY)
        raise AssertionError("it did not drain")

    virtual_time.EPOCH = datetime(2026, 6, 1, 0, 30, tzinfo=BERLIN).timestamp()

    async def life() -> None:
        study(path, "u1", "u2", "u3")
        await live(
            path, Flaky(api), config(per_day=1000, options={"rate": 0.1}), meanwhile=after(1800, act), poll_s=30.0
        )

    virtual_time.run(life())
    answers = rehearsal.rows(path, "SELECT act, answer FROM orders WHERE done_at IS NOT NULL ORDER BY id")
    assert [act for act, _ in answers] == ["pause", "resume", "set", "set", "set", "drain"]
    assert "not done" in answers[3][1]
    assert rehearsal.findings(path) == []


def test_nothing_due_sleeps_and_a_seed_wakes(tmp_path: Path) -> None:
    """When all is read it rests until lists are due again; a seed named meanwhile wakes it at once."""
    graph = network.from_follows([("a", "b"), ("b", "c"), ("y", "z")])
    api, path = rehearsal.service(graph), tmp_path / "a.db"

    async def act(daemon: Daemon) -> None:
        assert daemon.hold.state == State.IDLE
        assert api.ledger.charged == 2
        study(path, "y")
        await asyncio.sleep(3000)
        assert api.ledger.charged == 3
        await asyncio.sleep(12 * DAY)
        assert api.ledger.charged > 20  # each of three lists once a day, the interval between two visits

    async def life() -> None:
        study(path, "a")
        await live(path, Flaky(api), config(), meanwhile=after(3600, act), poll_s=1800.0)

    virtual_time.run(life())
    assert rehearsal.findings(path) == []


def test_a_drain_has_a_deadline(tmp_path: Path) -> None:
    """What is still in flight at the deadline is given up, listed as uncertain at once, and found by the next life."""
    api, path = (
        rehearsal.service(network.generate(400, rng_seed=3), latency_s=20.0, latency_spread=0.0),
        tmp_path / "a.db",
    )

    async def life() -> None:
        study(path, "u1", "u2", "u3")
        asked = config(drain_s=5.0, per_day=1000)
        daemon = await live(path, Flaky(api), asked, meanwhile=after(605.0), poll_s=1.0)
        assert daemon.hold.state == State.STOPPED

    virtual_time.run(life())
    found = rehearsal.state(path)
    assert found.uncertain > 0
    assert found.frontier["leased"] == 0
    assert found.charged + found.uncertain == api.ledger.charged
    assert rehearsal.findings(path) == []


def test_sixty_days_with_outages_churn_and_a_hundred_deaths(tmp_path: Path) -> None:
    """After two months of everything every invariant holds, no day exceeded its budget, every credit is booked."""
    virtual_time.EPOCH = datetime(2026, 10, 1, 9, tzinfo=BERLIN).timestamp()
    graph = network.generate(150, rng_seed=3)
    api, path = rehearsal.service(graph, latency_s=2.0, page_size=10), tmp_path / "a.db"
    begin, end = virtual_time.EPOCH, virtual_time.EPOCH + 60 * DAY
    transport = Flaky(api, [(begin + 10.2 * DAY, begin + 12.7 * DAY), (begin + 30 * DAY, begin + 30.1 * DAY)])
    rng = Random(5)
    died = 0

    async def churn(daemon: Daemon) -> None:
        while virtual_time.now() < end:
            await asyncio.sleep(DAY / 2)
            source, target = (f"u{rng.randrange(150)}" for _ in range(2))
            if source != target:
                (graph.add_follow if rng.random() < 0.5 else graph.remove_follow)(source, target)
            if rng.random() < 0.1:
                graph.set_status(f"u{rng.randrange(20, 150)}", rng.choice(list(network.Status)))
        daemon.drain("the end")

    async def months() -> None:
        nonlocal died
        study(path, "u1", "u2", "u3")
        while virtual_time.now() < end:
            # Soon after it came to life, within hours, or a day later; the last life is not cut off.
            away = rng.choice([5.0, 90.0, rng.random() * DAY / 4, rng.random() * 1.6 * DAY])
            Mortal.dies_at = virtual_time.now() + away if died < 100 else float("inf")
            try:
                await live(path, transport, config(per_day=30), meanwhile=churn, poll_s=1800.0, rng_seed=died)
            except Died:
                died += 1

    virtual_time.run(months())
    assert died == 100
    spent = days(path)
    assert len(spent) >= 58
    assert max(spent.values()) <= 30
    found = rehearsal.state(path)
    assert found.charged <= api.ledger.charged <= found.charged + found.uncertain
    assert found.uncertain <= 4 * died
    assert rehearsal.rows(path, "SELECT count(*) FROM rereads")[0][0] > 300
    assert rehearsal.findings(path) == []


# --- retention -----------------------------------------------------------------------------------------------------


def receipts(path: Path) -> list[tuple[float, dict[str, int]]]:
    """Return when each purge was and what went."""
    return [
        (at, json.loads(details))
        for at, details in rehearsal.rows(path, "SELECT at, details FROM receipts WHERE act = 'purged' ORDER BY id")
    ]


def test_each_day_begins_with_a_purge(tmp_path: Path) -> None:
    """At the start and at every midnight old answers and vanished accounts go, deaths and churn beside; it is told."""
    virtual_time.EPOCH = datetime(2026, 3, 20, 9, tzinfo=BERLIN).timestamp()
    graph = network.generate(300, rng_seed=3)
    api, path = rehearsal.service(graph, latency_s=2.0, page_size=10), tmp_path / "a.db"
    rng, end = Random(2), virtual_time.EPOCH + 8 * DAY
    rules = Rules(keep_days=3, delete_missing=True)
    told: list[tuple[str, str]] = []

    async def churn(daemon: Daemon) -> None:
        while virtual_time.now() < end:
            await asyncio.sleep(DAY / 4)
            graph.set_status(f"u{rng.randrange(5, 300)}", network.Status.NOT_FOUND)
        daemon.drain("the end")

    async def days_of_it() -> None:
        study(path, "u1", "u2", "u3")
        while virtual_time.now() < end:
            Mortal.dies_at = virtual_time.now() + rng.uniform(0.2, 3) * DAY
            asked = config(per_day=60, rules=rules, options={"archive": True}, share=0.5)
            with suppress(Died):
                await live(path, Flaky(api), asked, meanwhile=churn, told=told, rng_seed=rng.randrange(99))

    virtual_time.run(days_of_it())
    made = receipts(path)
    assert len(made) >= 5
    assert len([subject for event, subject in told if event == "purged"]) == len(made)
    assert sum(each.get("raw_answers", 0) for _, each in made) > 100
    assert sum(each.get("accounts_missing", 0) for _, each in made) > 3
    midnight = calendar.next_midnight(end - DAY, BERLIN)
    oldest = rehearsal.rows(path, "SELECT min(at) FROM ledger JOIN archive ON archive.ledger_id = ledger.id")[0][0]
    assert midnight - 3 * DAY <= oldest < midnight
    gone = rehearsal.rows(
        path, "SELECT count(*) FROM frontier f JOIN visits v ON v.id = f.visit_id"
              f" WHERE f.completeness = 'not_found' AND v.ended_at < {midnight}"
    )  # fmt: skip
    assert gone == [(0,)]
    assert max(days(path).values()) <= 60
    assert rehearsal.findings(path) == []


def test_after_the_last_day_nobody_is_left_and_nothing_is_bought(tmp_path: Path) -> None:
    """In the middle of a day of the budget's zone everybody goes; a seed named later waits; a later day goes on."""
    virtual_time.EPOCH = datetime(2026, 6, 1, 9, tzinfo=BERLIN).timestamp()
    api, path = rehearsal.service(network.generate(400, rng_seed=3)), tmp_path / "a.db"
    until = virtual_time.EPOCH + 2 * DAY + 17 * 3600  # 2 in the morning in Berlin, midnight of UTC

    async def act(daemon: Daemon) -> None:
        charged = api.ledger.charged
        assert daemon.hold.state == State.LAST_DAY_OVER
        assert rehearsal.state(path).accounts["known"] == 0
        [(at, counts)] = receipts(path)
        assert until <= at < until + 900
        assert counts["accounts"] > 50
        study(path, "u7")
        await asyncio.sleep(2 * DAY)
        assert api.ledger.charged == charged == rehearsal.state(path).charged
        assert rehearsal.state(path).accounts["known"] == 0  # u7 went at the next midnight
        study(path, "u8")
        daemon.reload(replace(daemon.config, rules=Rules(retain_until=until + 30 * DAY)))
        await asyncio.sleep(DAY)
        assert api.ledger.charged > charged

    async def life() -> None:
        study(path, "u1", "u2", "u3")
        asked = config(per_day=60, options={"archive": True}, rules=Rules(retain_until=until))
        await live(path, Flaky(api), asked, meanwhile=after(3 * DAY, act))

    virtual_time.run(life())
    assert rehearsal.findings(path) == []


def test_a_reader_delays_the_last_byte_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody reads, deleted bytes stay in the file; the daemon tries again until they are gone."""
    monkeypatch.setattr(driver, "BUSY_TIMEOUT_S", 0.1)
    virtual_time.EPOCH = datetime(2026, 6, 1, 9, tzinfo=BERLIN).timestamp()
    api, path = rehearsal.service(network.generate(400, rng_seed=3)), tmp_path / "a.db"

    async def act(daemon: Daemon) -> None:
        db = Database.open(path, now=virtual_time.now, mode="read")
        with db.read() as conn:
            bios = [bio for (bio,) in conn.exec_driver_sql("SELECT bio FROM accounts WHERE length(bio) > 12")]
            daemon.reload(replace(daemon.config, rules=Rules(left_out=("bio",))))
            await asyncio.sleep(600)
            assert len(receipts(path)) == 1
            assert holding(tmp_path, [bio.encode() for bio in bios])
        db.close()
        await asyncio.sleep(1200)
        assert len(receipts(path)) == 1
        assert holding(tmp_path, [bio.encode() for bio in bios]) == []

    async def life() -> None:
        study(path, "u1", "u2", "u3")
        await live(path, Flaky(api), config(), meanwhile=after(3600, act), poll_s=60.0)

    virtual_time.run(life())
    assert rehearsal.findings(path) == []
