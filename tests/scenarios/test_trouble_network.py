"""Servers that are gone, mute, slow, false or cut off in the middle of a word: each call ends in a typed error, once.

Every server here is real, on a socket of this machine.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import pytest
import rehearsal
import uvloop
from aftermath import (
    DATABASE,
    check_going_on,
    check_ledgers,
    check_words,
    crawling,
    ending,
    provider,
    reachable,
    stored_pages,
    wait_for_pages,
)
from hostile_server import Hostile, answer, door, end, fetch, free_port, hostile
from processes import result, run, start

from socialfetch.client import Client, HttpTransport, Page
from socialfetch.errors import Charged, Disconnected, Malformed, SocialFetchError, TimedOut

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
HASTE = {"FOLLOWGRAPH_RETRY__FIRST_DELAY_S": "0.1", "FOLLOWGRAPH_RETRY__LONGEST_DELAY_S": "0.5"}
"""Settings of a crawl that does not wait long before it tries again."""


def page_body() -> bytes:
    """Return the body of an honest page that lists one account."""
    api = rehearsal.service([("a", "b")])
    found = api.answer("/v1/tiktok/profiles/a/following", {}, {"x-api-key": rehearsal.KEY})
    assert found.status == 200
    return found.body


BODY = page_body()
FRAMINGS = {
    "length": answer(BODY, "Server: raw"),
    "chunked": answer(BODY).replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked")[: -len(BODY)]
    + b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (100, BODY[:100], len(BODY) - 100, BODY[100:]),
    "until_close": answer(BODY).replace(b"Content-Length: %d" % len(BODY), b"Connection: close"),
}


def transport(url: str, *, timeout_s: float = 10.0) -> HttpTransport:
    """Return a transport as the command makes one."""
    return HttpTransport(
        base_url=url,
        key="sfk_test",
        user_agent="test",
        connections=1,
        timeout_s=timeout_s,
        connect_timeout_s=timeout_s,
        max_body_bytes=100_000,
    )


async def ask(client: Client) -> Page | SocialFetchError:
    """Ask for one page."""
    try:
        return await client.following("a")
    except SocialFetchError as error:
        return error


def ask_once(server: Hostile, *, timeout_s: float = 10.0) -> Page | SocialFetchError:
    """Ask for one page on a connection of its own, and check that it was asked for once."""

    async def asking() -> Page | SocialFetchError:
        async with Client(transport(server.url, timeout_s=timeout_s)) as client:
            return await ask(client)

    before = len(server.heads)
    found = asyncio.run(asking())
    assert len(server.heads) == before + 1
    return found


CUTS = [
    (loop, "length", is_reset, is_kept) for loop in LOOPS for is_reset in (False, True) for is_kept in (False, True)
] + [("uvloop", framing, is_reset, False) for framing in ("chunked", "until_close") for is_reset in (False, True)]


@pytest.mark.parametrize(("loop", "framing", "is_reset", "is_kept"), CUTS)
def test_an_answer_cut_at_any_byte_is_never_read_in_part(
    loop: str, framing: str, is_reset: bool, is_kept: bool
) -> None:
    """Closed or reset after n bytes, for every n: an error whose charge is unknown, or the whole page; asked once."""
    whole = FRAMINGS[framing]
    at = 0

    def cut(conn: socket.socket, _: bytes) -> None:
        if is_kept and len(server.heads) % 2:  # the first request of a connection is answered in full
            conn.sendall(FRAMINGS["length"])
        else:
            conn.sendall(whole[:at])
            end(conn, reset=is_reset)

    async def asking() -> None:
        nonlocal at
        async with Client(transport(server.url)) as client:
            for at in range(len(whole) + 1):
                if is_kept:
                    assert isinstance(await ask(client), Page)
                asked = len(server.heads)
                found = await ask(client)
                assert len(server.heads) == asked + 1
                if isinstance(found, Page):
                    assert at >= whole.index(BODY[-20:]) + 20
                    assert found.body == BODY
                    assert [account.handle for account in found.accounts] == ["b"]
                else:
                    assert at < len(whole) or is_reset
                    assert isinstance(found, Disconnected | Malformed)
                    assert found.charged is Charged.UNKNOWN

    with hostile(cut) as server, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(asking())
    assert server.connections == at + 1  # each cut request on its own, or on one that had worked before


NONSENSE: dict[str, bytes] = {
    "nothing": b"",
    "no_http": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "http_0_9": BODY,
    "endless_head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
    "endless_heads": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: a\r\n" % number for number in range(50_000)),
    "huge_body": answer(b" " * 200_000 + BODY),
    "bad_length": FRAMINGS["length"].replace(b"Content-Length: ", b"Content-Length: -"),
    "two_lengths": FRAMINGS["length"].replace(b"Server: raw", b"Content-Length: 5"),
    "bad_chunk": FRAMINGS["chunked"].replace(b"64\r\n", b"zz\r\n"),
    "no_gzip": answer(BODY, "Content-Encoding: gzip"),
    "bad_status": FRAMINGS["length"].replace(b"200 OK", b"2xx OK"),
    "null_bytes": b"\0" * 1000,
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_no_page(kind: str) -> None:
    """What is no HTTP answer, or one too large, is an error whose charge is unknown; asked once."""

    def talk(conn: socket.socket, _: bytes) -> None:
        with suppress(OSError):
            conn.sendall(NONSENSE[kind])
        end(conn, reset=False)

    with hostile(talk) as server:
        found = ask_once(server)
    assert isinstance(found, Disconnected | Malformed)
    assert found.charged is Charged.UNKNOWN


@pytest.mark.parametrize("begin", [0, FRAMINGS["length"].index(b"\r\n\r\n") + 4], ids=["head", "body"])
def test_an_answer_of_single_bytes_is_given_up_in_time(begin: int) -> None:
    """An answer that comes byte by byte, each in time, the whole beyond api.timeout_s, is an error; asked once."""
    whole = FRAMINGS["length"]

    def trickle(conn: socket.socket, _: bytes) -> None:
        conn.sendall(whole[:begin])
        for byte in whole[begin:]:
            conn.sendall(bytes([byte]))
            time.sleep(0.02)

    with hostile(trickle) as server:
        before = time.monotonic()
        found = ask_once(server, timeout_s=1.0)
        seconds = time.monotonic() - before
    assert isinstance(found, TimedOut)
    assert found.charged is Charged.UNKNOWN
    assert seconds < 8.0


def mute(_conn: socket.socket, _head: bytes) -> None:
    """Answer nothing, and keep the connection."""


def test_a_server_that_never_answers_ends_the_crawl_before_it_began(tmp_path: Path) -> None:
    """Accepted and never answered: exit code 4 after api.timeout_s, one sentence, nothing spent."""
    with hostile(mute) as server:
        done = run(crawling(server.url), cwd=tmp_path, FOLLOWGRAPH_API__TIMEOUT_S="1")
        check_words(done, 4, "no whole answer within 1 s", "Nothing was bought.")
    assert result(done)["stop_reason"] == "unreachable"
    assert rehearsal.state(tmp_path / DATABASE).runs == []


def test_a_server_that_falls_silent_stops_the_crawl(tmp_path: Path) -> None:
    """Pages that are never answered are in doubt, the breaker stops the run with 4, and the next crawl goes on."""
    database = tmp_path / DATABASE
    with provider(latency_s=0.02) as api:

        def behave(conn: socket.socket, head: bytes) -> None:
            found = fetch(api.url, head)  # asked for and charged, whether or not it is answered
            if len(server.heads) < 60:
                conn.sendall(found)
                end(conn, reset=False)

        with hostile(behave) as server:
            done = run(crawling(server.url), cwd=tmp_path, FOLLOWGRAPH_API__TIMEOUT_S="1.5", **HASTE)
        check_words(done, 4)
        outcome = result(done)
        assert outcome["stop_reason"] == "breaker_failures"
        assert outcome["frontier"]["leased"] == 0
        stored = stored_pages(database)
        check_ledgers(database, api.pages)
        check_going_on(api, tmp_path, stored=stored)


def self_signed(folder: Path) -> ssl.SSLContext:
    """Make a certificate that nobody vouches for."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
        + ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def test_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """A self-signed certificate ends the crawl with 4 and its reason; neither a request nor the key was sent."""
    with hostile(mute, tls=self_signed(tmp_path)) as server:
        done = run(crawling(server.url), cwd=tmp_path)
        check_words(done, 4, "the certificate of 127.0.0.1 was refused", "Nothing was bought.")
        assert server.heads == []
    assert result(done)["stop_reason"] == "unreachable"


def test_a_server_that_does_not_speak_tls_is_refused(tmp_path: Path) -> None:
    """Plain HTTP where TLS was asked for ends the crawl with 4; the key was not sent."""
    with hostile(mute) as server:
        done = run(crawling(server.url.replace("http:", "https:")), cwd=tmp_path, FOLLOWGRAPH_API__TIMEOUT_S="2")
        check_words(done, 4, "Nothing was bought.")
        assert not any(b"sfk_" in head for head in server.heads)


def test_a_name_that_does_not_exist_ends_the_crawl(tmp_path: Path) -> None:
    """A host without an address ends the crawl with 4 and names it."""
    done = run(crawling("https://no-such-host.invalid"), cwd=tmp_path)
    check_words(done, 4, "no-such-host.invalid could not be resolved", "Nothing was bought.")
    assert result(done)["stop_reason"] == "unreachable"


def test_a_refused_connection_ends_the_crawl_before_it_began(tmp_path: Path) -> None:
    """Nobody listens: exit code 4, one sentence, nothing spent."""
    done = run(crawling(f"http://127.0.0.1:{free_port()}"), cwd=tmp_path)
    check_words(done, 4, "could not be reached", "Nothing was bought.")


def test_a_server_that_dies_and_comes_back_is_waited_for(tmp_path: Path) -> None:
    """Killed and restarted in the middle of a crawl: the crawl waits, goes on and finishes, only cut calls in doubt."""
    database = tmp_path / DATABASE
    asked = "--concurrency", "4", "--max-wait", "60s"
    with (
        provider(latency_s=0.03) as api,
        door(api.url) as entrance,
        ending(start(crawling(entrance.url, *asked), cwd=tmp_path, **HASTE)) as crawl,
    ):
        for pages in (30, 120):
            wait_for_pages(database, pages, crawl)
            entrance.slam()
            time.sleep(1.5)
            assert crawl.poll() is None
            entrance.open()
        out, err = crawl.communicate(timeout=300)
        check_words(subprocess.CompletedProcess([], crawl.returncode, out, err), 0, '"frontier_empty"')
        assert rehearsal.edges(database) == reachable()
        check_ledgers(database, api.pages)
        causes = rehearsal.rows(database, "SELECT DISTINCT cause FROM ledger WHERE cause IS NOT NULL")
        assert ("unreachable",) in causes
        assert rehearsal.state(database).uncertain <= 2 * 4


def test_a_server_that_stays_away_stops_the_crawl_in_time(tmp_path: Path) -> None:
    """Gone for longer than --max-wait: exit code 4, `unreachable`, a drained run that the next crawl continues."""
    database = tmp_path / DATABASE
    asked = "--concurrency", "4", "--max-wait", "3s"
    with (
        provider(latency_s=0.03) as api,
        door(api.url) as entrance,
        ending(start(crawling(entrance.url, *asked), cwd=tmp_path, **HASTE)) as crawl,
    ):
        wait_for_pages(database, 30, crawl)
        entrance.slam()
        before = time.monotonic()
        out, err = crawl.communicate(timeout=300)
        assert time.monotonic() - before < 60
        done = subprocess.CompletedProcess([], crawl.returncode, out, err)
        check_words(done, 4, '"unreachable"')
        assert result(done)["stop_reason"] == "unreachable"
        assert result(done)["frontier"]["leased"] == 0
        stored = stored_pages(database)
        check_ledgers(database, api.pages)
        check_going_on(api, tmp_path, stored=stored)
        assert len(rehearsal.state(database).runs) == 1


def test_a_line_that_cuts_every_fifth_answer_costs_only_what_it_cut(tmp_path: Path) -> None:
    """A crawl over a line that cuts answers at wandering bytes stores everything; each cut page is in doubt once."""
    database = tmp_path / DATABASE
    with provider() as api:
        met: set[bytes] = set()

        def behave(conn: socket.socket, head: bytes) -> None:
            found = fetch(api.url, head)
            target = head.split(b" ", 2)[1]
            if b"/following" in target and crc32(target) % 5 == 0 and target not in met:
                met.add(target)
                found = found[: crc32(target) // 5 % len(found)]
            conn.sendall(found)
            end(conn, reset=len(met) % 2 == 0)

        with hostile(behave) as server:
            done = run(crawling(server.url), cwd=tmp_path, **HASTE)
            paid = [head for head in server.heads if b"/following" in head]
        check_words(done, 0, '"frontier_empty"')
        assert len(met) > 20
        assert rehearsal.edges(database) == reachable()
        assert len(paid) == api.charged  # nothing was sent twice behind our back
        check_ledgers(database, api.pages)
        in_doubt = rehearsal.rows(database, "SELECT count(*) FROM ledger WHERE outcome = 'uncertain'")
        assert in_doubt[0][0] >= len(met)
