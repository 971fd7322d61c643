"""Processes that are suspended, have no file to open left, or whose clock jumps: they go on, or end with a clear word.

Suspensions and limits are made for real, on processes; clocks jump in virtual time.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
import rehearsal
import virtual_time
from aftermath import (
    BUDGET,
    DATABASE,
    SEEDS,
    check_going_on,
    check_ledgers,
    check_words,
    crawling,
    ending,
    limited,
    provider,
    reachable,
    stored_pages,
    wait_for_pages,
)
from hostile_server import answer, hostile
from processes import result, start

from crawler import seeding
from crawler.engine import Crawl, Result
from crawler.options import Options
from socialfetch import errors
from socialfetch.client import Client, HttpTransport, Reply, Transport
from socialfetch.patience import patience
from socialfetch.simulator import network
from socialfetch.simulator.answers import Answer
from socialfetch.simulator.faults import Faults
from socialfetch.simulator.service import BALANCE, Service
from socialfetch.simulator.settings import Settings
from socialfetch.simulator.transport import InProcess
from storage.database import Database

DAY_S = 86_400.0


def test_a_suspended_process_goes_on(tmp_path: Path) -> None:
    """After 5 s of SIGSTOP the answers to what was in flight are read, although their time-out passed; none is lost."""
    database = tmp_path / DATABASE
    hasty = {"FOLLOWGRAPH_API__TIMEOUT_S": "2"}
    with provider(latency_s=0.15) as api, ending(start(crawling(api.url), cwd=tmp_path, **hasty)) as process:
        wait_for_pages(database, 30, process)
        process.send_signal(signal.SIGSTOP)
        time.sleep(5.2)
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=300)
        check_words(subprocess.CompletedProcess([], process.returncode, out, err), 0, '"frontier_empty"')
        assert rehearsal.edges(database) == reachable()
        assert set(api.pages.values()) == {1}
        assert rehearsal.state(database).uncertain == 0
        check_ledgers(database, api.pages)


def test_a_lack_of_files_slows_a_crawl_down(tmp_path: Path) -> None:
    """With 200 requests wanted and few files to open the crawl is slower, loses nothing and ends as it should."""
    with provider(latency_s=0.005) as api:
        done = limited(
            crawling(api.url, "--concurrency", "200"), cwd=tmp_path, limit=(resource.RLIMIT_NOFILE, 40), timeout=120
        )
        check_words(done, 0)
        outcome = result(done)
        assert outcome["stop_reason"] == "frontier_empty"
        assert outcome["runs"][-1]["errors"] > 0, "files enough: the limit did not bite"
        assert rehearsal.edges(tmp_path / DATABASE) == reachable()
        assert set(api.pages.values()) == {1}
        check_ledgers(tmp_path / DATABASE, api.pages)


@pytest.mark.parametrize("files", [12, 18])
def test_a_process_that_can_open_hardly_any_file_says_so(tmp_path: Path, files: int) -> None:
    """Where not even the database or a connection can be opened, that is said, and nothing is spent."""
    with provider() as api:
        done = limited(crawling(api.url), cwd=tmp_path, limit=(resource.RLIMIT_NOFILE, files))
        assert done.returncode in {2, 4, 5}, done.stderr
        told = (done.stdout + done.stderr).lower()
        assert "too many" in told
        assert "in a way it should not" not in told
        if stored := stored_pages(tmp_path / DATABASE):
            check_ledgers(tmp_path / DATABASE, api.pages)
        check_going_on(api, tmp_path, stored=stored)


class Clock:
    """A wall clock that can be set wrong, in seconds."""

    def __init__(self) -> None:
        self.error_s = 0.0

    def __call__(self) -> float:
        return virtual_time.now() + self.error_s


async def crawl_by(
    path: Path,
    api: Service,
    *,
    clock: Callable[[], float] = virtual_time.now,
    transport: Transport | None = None,
    meanwhile: Coroutine[None, None, None] | None = None,
    **options: Any,
) -> tuple[Result, float]:
    """Crawl in virtual time by a clock and a transport of one's own; returns the virtual seconds that passed too."""
    db = Database.open(path, now=clock)
    try:
        db.claim()
        seeding.seed(db, SEEDS, now=clock())
        run = Crawl(
            db=db,
            client=Client(transport or InProcess(api, key=rehearsal.KEY, timeout_s=30.0)),
            options=Options(budget=BUDGET, **options),
            now=clock,
            rng=Random(7),
            log=rehearsal.LOG,
        )
        beside = asyncio.ensure_future(meanwhile) if meanwhile is not None else None
        try:
            return await run.run(), asyncio.get_running_loop().time()
        finally:
            if beside is not None:
                beside.cancel()
    finally:
        db.close()


async def jump(clock: Clock, jumps: list[tuple[float, float]]) -> None:
    """Set the clock wrong by so many seconds at these times of the crawl."""
    time_s = asyncio.get_running_loop().time
    for at_s, error_s in jumps:
        await asyncio.sleep(at_s - time_s())
        clock.error_s = error_s


ZIGZAG = [(0.3 * number, Random(number).uniform(-10, 10) * DAY_S) for number in range(1, 200)]


@pytest.mark.parametrize(
    "jumps",
    [[(1.0, 3 * DAY_S)], [(2.0, -3 * DAY_S)], [(1.0, 3 * DAY_S), (2.0, 0.0)], ZIGZAG],
    ids=["forwards", "backwards", "there_and_back", "zigzag"],
)
def test_a_clock_that_jumps_by_days_holds_nobody_up(tmp_path: Path, jumps: list[tuple[float, float]]) -> None:
    """Pages put off by a clock that was wrong are asked for within minutes, and the ledgers agree."""
    api, path, clock = faulty(), tmp_path / "a.db", Clock()
    result, seconds = virtual_time.run(crawl_by(path, api, clock=clock, meanwhile=jump(clock, jumps)))
    assert result.stop_reason == "frontier_empty"
    assert seconds < 1_800
    assert rehearsal.edges(path) == rehearsal.follows(api, SEEDS)
    check_ledgers(path, api.ledger.pages)


class SlowToCharge(Service):
    """A provider slow to book calls that were cut off; whenever its balance is asked, a clock is set to tomorrow."""

    clock: Clock

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """Answer one request."""
        if path != BALANCE:
            return super().answer(path, query, headers)
        self.clock.error_s += DAY_S
        unbooked = self.ledger.charged - len(
            self.ledger.pages
        )  # each page is charged once but where a call was cut off
        self.top_up(unbooked)
        answer = super().answer(path, query, headers)
        self.top_up(-unbooked)
        return answer


def test_a_clock_set_forwards_settles_nothing_too_early(tmp_path: Path) -> None:
    """A day that passed on the wall clock only is no day in which the provider could have charged what was cut off."""
    path, clock = tmp_path / "a.db", Clock()
    api = SlowToCharge(
        network=network.generate(200, rng_seed=2),
        settings=Settings(key=rehearsal.KEY, latency_s=0.2),
        faults=Faults({"hang_up": 0.1}),
        now=virtual_time.now,
    )
    api.clock = clock
    virtual_time.run(crawl_by(path, api, clock=clock))
    state = rehearsal.state(path)
    assert api.ledger.charged > len(api.ledger.pages)
    assert state.charged <= api.ledger.charged <= state.charged + state.uncertain
    check_ledgers(path, api.ledger.pages)


def faulty() -> Service:
    """Return a provider that fails now and then, so that pages are put off."""
    graph = network.generate(200, rng_seed=2)
    return rehearsal.service(graph, rng_seed=2, latency_s=0.2, faults={"lookup_failed": 0.2, "overloaded": 0.05})


def test_pages_put_off_by_an_earlier_process_with_a_wrong_clock_are_asked_for(tmp_path: Path) -> None:
    """A process whose clock was a month ahead leaves pages that wait for next month; the next one does not."""
    api, path = faulty(), tmp_path / "a.db"
    ahead = Clock()
    ahead.error_s = 30 * DAY_S
    virtual_time.run(crawl_by(path, api, clock=ahead, deadline_s=2.0))
    assert rehearsal.rows(path, "SELECT count(*) FROM frontier WHERE state = 5") > [(0,)]
    result, seconds = virtual_time.run(crawl_by(path, api))
    assert result.stop_reason == "frontier_empty"
    assert seconds < 1_800
    assert rehearsal.edges(path) == rehearsal.follows(api, SEEDS)
    check_ledgers(path, api.ledger.pages)


def test_a_retry_date_is_read_by_the_clock_of_who_wrote_it() -> None:
    """A Retry-After as a date, two seconds after the answer's own Date, is two seconds, whatever time it is here."""
    dates = "Date: Fri, 01 Mar 2030 23:59:59 GMT", "Retry-After: Sat, 02 Mar 2030 00:00:01 GMT"

    async def ask(url: str) -> str | None:
        transport = HttpTransport(
            base_url=url,
            key="sfk_test",
            user_agent="test",
            connections=1,
            timeout_s=10,
            connect_timeout_s=10,
            max_body_bytes=10_000,
        )
        async with Client(transport) as client:
            with pytest.raises(errors.Throttled) as refused:
                await client.following("a")
        return refused.value.retry_after

    with hostile(lambda conn, _: conn.sendall(answer(b"{}", *dates, status="503 Service Unavailable"))) as server:
        assert asyncio.run(ask(server.url)) == "2"


class Timed:
    """The simulator in process behind the timer that HTTP has, here of 30 s."""

    def __init__(self, api: Service) -> None:
        self._inner = InProcess(api, key=rehearsal.KEY, timeout_s=1e9)

    async def get(self, path: str, query: Mapping[str, str]) -> Reply:
        """Send one request."""
        try:
            async with patience(30.0):
                return await self._inner.get(path, query)
        except TimeoutError:
            raise errors.TimedOut("no whole answer within 30 s (api.timeout_s)") from None

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("concurrency", [4, 50])
def test_a_machine_that_slept_goes_on(tmp_path: Path, concurrency: int) -> None:
    """Eight hours of sleep with requests in flight lose none of the answers that had come, and hold nobody up."""
    graph = network.generate(200, rng_seed=2)
    api, path = rehearsal.service(graph, rng_seed=2, latency_s=0.2), tmp_path / "a.db"

    async def fall_asleep() -> None:
        await asyncio.sleep(1.5)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual_time.VirtualLoop)
        loop.suspend(8 * 3600.0)

    result, seconds = virtual_time.run(
        crawl_by(path, api, meanwhile=fall_asleep(), transport=Timed(api), concurrency=concurrency)
    )
    assert result.stop_reason == "frontier_empty"
    assert seconds < 8 * 3600 + 60
    assert set(api.ledger.pages.values()) == {1}
    assert rehearsal.state(path).uncertain == 0
    assert rehearsal.edges(path) == rehearsal.follows(api, SEEDS)
    check_ledgers(path, api.ledger.pages)
