"""The simulated API over real sockets on loopback."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import msgspec
import pytest
import uvloop

from socialfetch import errors
from socialfetch.client import HttpTransport, Reply, Transport
from socialfetch.simulator.answers import SLOW_S
from socialfetch.simulator.errors import AddressUnavailable
from socialfetch.simulator.faults import FAULTS, Decided, Faults
from socialfetch.simulator.network import Network, Status, generate
from socialfetch.simulator.server import serve
from socialfetch.simulator.service import Service
from socialfetch.simulator.settings import Settings
from socialfetch.simulator.transport import InProcess

NOW = 1_760_000_000.0
KEY = "sfk_test"
FOLLOWING = "/v1/tiktok/profiles/{}/following"

REQUESTS: list[tuple[str, dict[str, str]]] = [
    (FOLLOWING.format("u0"), {}),
    (FOLLOWING.format("u0"), {}),
    (FOLLOWING.format("%40U1"), {"trim": "true"}),
    (FOLLOWING.format("u2"), {"trim": "perhaps"}),
    (FOLLOWING.format("nobody"), {}),
    (FOLLOWING.format("zo%C3%AB%2Fx"), {}),
    (FOLLOWING.format("hidden"), {}),
    (FOLLOWING.format(""), {}),
    (FOLLOWING.format("x" * 200), {}),
    (FOLLOWING.format("u0"), {"cursor": ""}),
    (FOLLOWING.format("u0"), {"cursor": "a b&c=d+ü"}),
    ("/v1/balance", {}),
    ("/v1/whoami", {}),
    ("/v1/balance", {}),
    ("/v1/nothing", {"a": "b"}),
    ("/", {}),
]


def network() -> Network:
    """Return a small network with one hidden account."""
    made = generate(200, rng_seed=1)
    made.set_status("u11", Status.HIDDEN)
    return made


def service(settings: Settings | None = None, **rates: float) -> Service:
    """Return a service whose clock stands still."""
    return Service(network=network(), settings=settings or Settings(), faults=Faults(rates), now=lambda: NOW)


def over_http(url: str, key: str | None = KEY, timeout_s: float = 10.0) -> HttpTransport:
    """Return the project's own HTTP transport."""
    return HttpTransport(
        base_url=url,
        key=key,
        user_agent="test",
        connections=20,
        timeout_s=timeout_s,
        connect_timeout_s=5.0,
        max_body_bytes=10_000_000,
    )


async def outcome(transport: Transport, path: str, query: dict[str, str]) -> object:
    """Return what a call comes to: the parts of an answer that matter, or the kind of error."""
    try:
        reply: Reply = await transport.get(path, query)
    except errors.SocialFetchError as error:
        return type(error)
    told = {name: reply.headers.get(name) for name in ("content-type", "retry-after", "age")}
    return reply.status, told, reply.body


def run(main: Coroutine[Any, Any, None], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> None:
    """Run on a real loop."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main)


@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("key", [KEY, "wrong", None])
def test_both_doors_answer_alike(key: str | None, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
    """The same requests bring the same answers over HTTP and in process, and the same ledger."""

    async def compare() -> None:
        far, near = (service(Settings(key=KEY)) for _ in range(2))
        async with serve(far) as url:
            http, direct = over_http(url, key), InProcess(near, key=key, timeout_s=10.0)
            for path, query in REQUESTS:
                assert await outcome(http, path, query) == await outcome(direct, path, query)
            await http.close()
        assert far.ledger == near.ledger
        assert (far.ledger.charged > 0) == (key == KEY)

    run(compare(), loop_factory)


@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("fault", [name for name in FAULTS if FAULTS[name].decided is Decided.CALL])
def test_both_doors_fail_alike(fault: str, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
    """Each failing call fails the same way over HTTP and in process, at the same price, and the next one is served."""

    async def compare() -> None:
        far, near = (service(**{fault: 0.5}) for _ in range(2))
        paths = [FOLLOWING.format(f"u{number}") for number in range(12)]
        async with serve(far) as url:
            http, direct = over_http(url, timeout_s=0.6), InProcess(near, key=KEY, timeout_s=0.6)
            outcomes = await asyncio.gather(*(outcome(http, path, {}) for path in paths))
            assert outcomes == await asyncio.gather(*(outcome(direct, path, {}) for path in paths))
            await http.close()
        assert far.ledger == near.ledger
        assert 0 < sum("lookupStatus" in str(each) for each in outcomes) < len(paths)

    run(compare(), loop_factory)


def test_ledger_and_truth_need_no_key() -> None:
    """The ledger and the size of the network are served to anybody, as plain JSON, uncounted."""

    async def look() -> None:
        asked = service(Settings(key=KEY))
        async with serve(asked) as url, aiohttp.ClientSession(url, headers={"x-api-key": KEY}) as paying:
            for handle in ("u0", "u1", "u1"):
                async with paying.get(FOLLOWING.format(handle)) as answer:
                    assert answer.status == 200
            async with aiohttp.ClientSession(url) as anybody:
                async with anybody.get("/_sim/ledger") as answer:
                    assert await answer.json() == {"charged": 3, "calls": 3, "pages": {"u0|": 1, "u1|": 2}}
                async with anybody.get("/_sim/truth") as answer:
                    assert await answer.json() == {"accounts": 200, "edges": asked.network.edges}

    run(look())


def test_many_connections_are_served_at_once() -> None:
    """A hundred calls in flight take as long as one."""

    async def crowd() -> None:
        async with serve(service(Settings(latency_s=0.2))) as url, aiohttp.ClientSession(url) as session:

            async def call(number: int) -> int:
                async with session.get(FOLLOWING.format(f"u{number}"), headers={"x-api-key": KEY}) as answer:
                    return answer.status

            began = time.monotonic()
            assert set(await asyncio.gather(*(call(number) for number in range(100)))) == {200}
            assert time.monotonic() - began < 5

    run(crowd())


def test_a_client_that_hangs_up_has_paid() -> None:
    """A call is charged when it comes in, even if the client is gone before the answer; the server lives on."""

    async def leave() -> None:
        asked = service(Settings(latency_s=30))
        async with serve(asked) as url:
            transport = over_http(url, timeout_s=0.1)
            with pytest.raises(errors.TimedOut):
                await transport.get(FOLLOWING.format("u0"), {})
            assert asked.ledger.pages == {"u0|": 1}
            assert (await transport.get("/_sim/ledger", {})).status == 200
            await transport.close()

    run(leave())


def test_a_slow_body_trickles() -> None:
    """Of a slow body the beginning comes at once, the rest not soon."""

    async def watch() -> None:
        async with serve(service(slow=1.0)) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(f"GET {FOLLOWING.format('u0')} HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            assert len(await reader.read(length)) < length / 10
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readexactly(length), 0.3)
            writer.close()

    assert SLOW_S >= 30
    run(watch())


def test_stalled_calls_do_not_keep_the_server_open() -> None:
    """Closing takes a moment only, even while calls are stalled."""

    async def close() -> None:
        asked = service(stall=1.0)
        request = f"GET {FOLLOWING.format('u0')} HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\n\r\n".encode()
        async with serve(asked) as url:
            connections = [await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2])) for _ in range(5)]
            for _, writer in connections:
                writer.write(request)
            transport = over_http(url)
            while asked.ledger.calls < len(connections):
                await transport.get("/_sim/ledger", {})
            await transport.close()
            began = time.monotonic()
        assert time.monotonic() - began < 2
        for reader, writer in connections:
            assert await reader.read() == b""
            writer.close()

    run(close())


def test_other_methods_are_refused() -> None:
    """Anything but GET is a 405 and costs nothing, whatever its body."""

    async def post() -> None:
        asked = service()
        async with serve(asked) as url, aiohttp.ClientSession(url) as session:
            for path in (FOLLOWING.format("u0"), "/_sim/ledger"):
                async with session.post(path, data=b"secret" * 1000, headers={"x-api-key": KEY}) as answer:
                    assert answer.status == 405
        assert asked.ledger.calls == 0

    run(post())


def test_a_port_in_use_is_named() -> None:
    """A second server on the same port raises a typed error with the address."""

    async def collide() -> None:
        async with serve(service()) as url:
            port = int(url.rpartition(":")[2])
            with pytest.raises(AddressUnavailable, match=f"127.0.0.1:{port}") as caught:
                async with serve(service(), port=port):
                    pass
            assert caught.value.port == port

    run(collide())


def test_nothing_is_ever_logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither served, refused, broken nor abandoned requests leave a trace in logs or on the terminal."""
    caplog.set_level(logging.DEBUG)

    async def misbehave() -> None:
        async with serve(service(Settings(latency_s=0.05))) as url:
            port = int(url.rpartition(":")[2])
            for request in (
                b"GET /v1/tiktok/profiles/secret/following HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\n\r\n",
                b"GET /v1/tiktok/profiles/secr\xe9t/following HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\n\r\n",
                b"GET /secret" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                b"secret nonsense\r\n\r\n",
                b"POST /secret HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nsecret",
            ):
                for waits in (True, False):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(request)
                    await writer.drain()
                    if waits:
                        await asyncio.wait_for(reader.read(100), 5)
                    writer.close()
            async with aiohttp.ClientSession(url) as session, session.get("/_sim/ledger") as answer:
                assert msgspec.json.decode(await answer.read())["charged"] == 2

    run(misbehave())
    assert [record for record in caplog.records if record.name != "asyncio"] == []
    assert "secr" not in caplog.text
    assert capfd.readouterr() == ("", "")
