"""The limiter: slots, rate, blocks, and what it does after trouble."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random

import pytest
import virtual_time

from crawler.limiter import Limiter


async def requests(limiter: Limiter, count: int, *, seconds: float) -> list[float]:
    """Make requests of a fixed length as fast as the limiter allows; returns when each began."""
    loop = asyncio.get_running_loop()
    began: list[float] = []

    async def one() -> None:
        assert await limiter.acquire()
        began.append(loop.time())
        await asyncio.sleep(seconds)
        limiter.release()

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(one())
    return began


def made(concurrency: int, rate: float | None = None) -> Limiter:
    """Return a limiter on the running loop's clock."""
    return Limiter(concurrency=concurrency, rate=rate, time=asyncio.get_running_loop().time)


def test_never_more_in_flight_than_slots() -> None:
    """Ten requests of one second with three slots take four rounds."""

    async def main() -> list[float]:
        return await requests(made(3), 10, seconds=1.0)

    assert virtual_time.run(main()) == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0]


def test_the_rate_is_kept_evenly() -> None:
    """At five a second the requests start a fifth of a second apart, whatever the slots."""

    async def main() -> list[float]:
        return await requests(made(100, rate=5.0), 21, seconds=0.0)

    began = virtual_time.run(main())
    assert abs(began[-1] - 4.0) < 0.2
    assert all(later - earlier >= 0.19 for earlier, later in pairwise(began[1:]))


def test_a_rate_and_a_latency_keep_their_product_in_flight() -> None:
    """100 requests a second of one second each: at least 97 a second in the long run."""

    async def main() -> list[float]:
        return await requests(made(200, rate=100.0), 1000, seconds=1.0)

    began = virtual_time.run(main())
    assert 970 <= sum(start < 10.0 for start in began) <= 1010


def test_a_block_holds_everybody() -> None:
    """Retry-After holds all who wait, not only who met it."""

    async def main() -> list[float]:
        limiter = made(5)
        limiter.block(120.0)
        return await requests(limiter, 5, seconds=0.1)

    assert virtual_time.run(main()) == [120.0] * 5


def test_a_slot_is_free_where_nobody_would_have_to_wait_for_it() -> None:
    """None is where somebody waits already, during a block or a pause, after a close, and where there is a rate."""

    async def main() -> None:
        limiter = made(3)
        assert limiter.free == 3
        await limiter.acquire()
        assert limiter.free == 2
        limiter.block(5.0)
        assert limiter.free == 0
        await asyncio.sleep(5.0)
        assert limiter.free == 2
        limiter.hold()
        assert limiter.free == 0
        limiter.let_go()
        limiter.narrow()
        waiting = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(0)
        assert limiter.free == 0
        limiter.widen()
        await waiting
        assert limiter.free == 1
        limiter.close()
        assert limiter.free == 0
        assert made(3, rate=10.0).free == 0

    virtual_time.run(main())


def test_trouble_halves_the_slots_once_a_round_and_success_brings_them_back() -> None:
    """Many refusals of one round count once; answers add about one slot a round."""

    async def main() -> None:
        limiter = made(64)
        await asyncio.sleep(1.0)
        sent_at = asyncio.get_running_loop().time()
        await asyncio.sleep(0.5)
        for _ in range(30):
            limiter.overloaded(sent_at=sent_at)
        assert limiter.limit == 32
        for _ in range(33):
            limiter.succeeded()
        assert limiter.limit == 33
        for _ in range(10_000):
            limiter.succeeded()
        assert limiter.limit == 64

    virtual_time.run(main())


def test_there_is_always_one_slot() -> None:
    """However bad it gets, one request at a time goes on trying."""

    async def main() -> int:
        limiter = made(8)
        for _ in range(50):
            limiter.overloaded(sent_at=asyncio.get_running_loop().time())
            await asyncio.sleep(1.0)
        return limiter.limit

    assert virtual_time.run(main()) == 1


@pytest.mark.parametrize(("rate", "latency_s", "slots"), [(100, 1.0, 200), (100, 0.2, 200), (50, 0.5, 50)])
def test_a_rate_that_nobody_told_is_found(rate: int, latency_s: float, slots: int) -> None:
    """Of a server that counts requests per second at least 90 % is used in the long run, and under 2 % are refused."""

    async def main() -> tuple[int, int]:
        limiter = made(slots)
        loop = asyncio.get_running_loop()
        rng = Random(1)
        free_at = 0.0
        served = refused = 0

        async def worker() -> None:
            nonlocal free_at, served, refused
            while loop.time() < 160.0:
                assert await limiter.acquire()
                sent_at = loop.time()
                is_counted = sent_at >= 40.0
                free_at = max(free_at, sent_at - 0.1)
                if free_at > sent_at:
                    await asyncio.sleep(latency_s)
                    limiter.overloaded(sent_at=sent_at)
                    limiter.block(rng.random())
                    refused += is_counted
                else:
                    free_at += 1 / rate
                    await asyncio.sleep(latency_s * rng.uniform(0.8, 1.2))
                    limiter.succeeded(took_s=loop.time() - sent_at)
                    served += is_counted
                limiter.release()

        async with asyncio.TaskGroup() as group:
            for _ in range(slots):
                group.create_task(worker())
        return served, refused

    served, refused = virtual_time.run(main())
    assert served >= 0.9 * rate * 120.0
    assert refused < 0.02 * (served + refused)


def test_a_refusing_server_is_used_close_to_its_rate() -> None:
    """Against a server that takes 50 at once and refuses more, most of it is used and few are refused."""

    async def main() -> tuple[int, int]:
        limiter = made(200)
        loop = asyncio.get_running_loop()
        inside = served = refused = 0

        async def worker() -> None:
            nonlocal inside, served, refused
            while loop.time() < 300.0:
                if not await limiter.acquire():
                    return
                sent_at = loop.time()
                inside += 1
                if inside > 50:
                    await asyncio.sleep(0.05)
                    refused += 1
                    limiter.overloaded(sent_at=sent_at)
                else:
                    await asyncio.sleep(1.0)
                    served += 1
                    limiter.succeeded()
                inside -= 1
                limiter.release()

        async with asyncio.TaskGroup() as group:
            for _ in range(200):
                group.create_task(worker())
        return served, refused

    served, refused = virtual_time.run(main())
    assert served >= 0.7 * 50 * 300
    assert refused <= 0.05 * served


def test_pauses_that_overlap_take_turns() -> None:
    """Both begin when nothing is in flight any more, nothing starts while either lasts, and both end."""

    async def main() -> tuple[list[float], list[tuple[float, float]]]:
        limiter = made(2)
        loop = asyncio.get_running_loop()
        lasted: list[tuple[float, float]] = []

        async def pause(seconds: float) -> None:
            await asyncio.sleep(0.5)
            async with limiter.paused():
                assert limiter.in_flight == 0
                since = loop.time()
                await asyncio.sleep(seconds)
                lasted.append((since, loop.time()))

        async with asyncio.timeout(60.0), asyncio.TaskGroup() as group:
            requesting = group.create_task(requests(limiter, 6, seconds=1.0))
            group.create_task(pause(2.0))
            group.create_task(pause(5.0))
        return requesting.result(), lasted

    began, lasted = virtual_time.run(main())
    assert [until - since for since, until in lasted] == [2.0, 5.0]
    assert not [at for at in began for since, until in lasted if since < at + 1.0 and at < until]
    assert len(began) == 6


def test_closing_sends_everybody_home() -> None:
    """Those who wait and those who come later get no slot."""

    async def main() -> list[bool]:
        limiter = made(1)
        assert await limiter.acquire()
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(limiter.acquire()) for _ in range(3)]
            await asyncio.sleep(1.0)
            limiter.close()
        return [task.result() for task in waiting] + [await limiter.acquire()]

    assert virtual_time.run(main()) == [False] * 4


def test_a_cancelled_waiter_leaves_no_hole() -> None:
    """A slot offered to somebody who gave up goes to the next."""

    async def main() -> None:
        limiter = made(1)
        assert await limiter.acquire()
        gone = asyncio.ensure_future(limiter.acquire())
        await asyncio.sleep(0.1)
        kept = asyncio.ensure_future(limiter.acquire())
        await asyncio.sleep(0.1)
        gone.cancel()
        limiter.release()
        assert await kept
        limiter.release()
        assert limiter.in_flight == 0

    virtual_time.run(main())


def test_a_high_rate_on_uvloop() -> None:
    """Moments that are nearly now are waited for on the loop of the command too, whose timers differ."""
    import uvloop

    async def hurry() -> int:
        limiter = Limiter(concurrency=50, rate=5000.0, time=asyncio.get_running_loop().time)
        waiting = [asyncio.ensure_future(limiter.acquire()) for _ in range(2000)]
        taken = 0
        while taken < len(waiting):
            await asyncio.sleep(0)
            done = sum(each.done() for each in waiting)
            for _ in range(done - taken):
                limiter.release()
            taken = done
        return sum(each.result() for each in waiting)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(hurry()) == 2000
