"""The client over real sockets: one request, one typed answer or one typed error that knows whether it was charged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from socialfetch import errors
from socialfetch.client import Client, HttpTransport, Page
from socialfetch.errors import Charged

KEY = "sfk_secret_of_the_test"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Recorded:
    """A raw server that answers each request with the same bytes and keeps what it was asked."""

    def __init__(self, answer: bytes | None, *, reset: bool = False) -> None:
        self.answer = answer
        self.reset = reset
        self.requests: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
                if self.answer is None:
                    if self.reset:
                        break
                    await asyncio.sleep(60)
                else:
                    writer.write(self.answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def reply(body: bytes, *, status: int = 200, headers: str = "") -> bytes:
    """Return a whole HTTP answer."""
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nContent-Type: application/json\r\n{headers}\r\n"
    return head.encode() + body


def page_body(**data: Any) -> bytes:
    """Return the body of a page with one account, changed by `data`."""
    account = {
        "handle": "Ada", "displayName": "Ada", "bio": None, "avatarUrl": None, "profileUrl": "x", "verified": True,
        "metrics": {"followers": 3, "following": 2, "posts": 1},
    }  # fmt: skip
    content = {
        "lookupStatus": "found",
        "accounts": [account],
        "page": {"nextCursor": "17", "hasMore": True},
        "totalAccounts": 9,
    } | data
    return json.dumps({"data": content, "meta": {"requestId": "req_1", "creditsCharged": 1, "version": "v1"}}).encode()


async def ask(
    server: Recorded,
    call: Callable[[Client], Awaitable[Any]],
    *,
    base: str = "http://127.0.0.1:{port}",
    **settings: Any,
) -> Any:
    """Run one call of a client against the server."""
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    options: dict[str, Any] = {"timeout_s": 5.0, "connect_timeout_s": 2.0, "max_body_bytes": 100_000} | settings
    transport = HttpTransport(
        base_url=base.format(port=port), key=KEY, user_agent="followgraph/test", connections=4, **options
    )
    try:
        async with Client(transport) as client:
            return await call(client)
    finally:
        listener.close()


def following(server: Recorded, handle: str = "ada", cursor: str | None = None, **settings: Any) -> Page:
    """Ask for one page."""
    page = asyncio.run(ask(server, lambda client: client.following(handle, cursor), **settings))
    assert isinstance(page, Page)
    return page


def test_a_page_is_read() -> None:
    """Status, accounts, cursor, total, price and request id come out typed, the body as it came."""
    body = page_body()
    page = following(Recorded(reply(body)))
    assert (page.status, page.next_cursor, page.total_accounts) == ("found", "17", 9)
    assert (page.credits_charged, page.request_id, page.cached, page.body) == (1, "req_1", False, body)
    assert page.accounts[0].handle == "Ada"
    assert page.accounts[0].metrics.followers == 3


def test_what_is_sent() -> None:
    """The key travels in its header alone, the cursor verbatim, the first page without one; no path is normalised."""
    server = Recorded(reply(page_body()))
    following(server)
    following(server, cursor="a/b+c=&d e")
    following(server, handle="..")
    first, second, third = server.requests
    assert first.startswith("GET /v1/tiktok/profiles/ada/following HTTP/1.1\r\n")
    assert second.startswith("GET /v1/tiktok/profiles/ada/following?cursor=a%2Fb%2Bc%3D%26d+e HTTP/1.1\r\n")
    assert third.startswith("GET /v1/tiktok/profiles/../following HTTP/1.1\r\n")
    assert first.count(KEY) == 1
    assert f"x-api-key: {KEY}" in first
    assert "User-Agent: followgraph/test" in first
    assert "Cookie" not in first


@pytest.mark.parametrize(
    "page",
    [{"nextCursor": None, "hasMore": True}, {"nextCursor": "", "hasMore": True}, {"nextCursor": "5", "hasMore": False}],
)
def test_a_list_goes_on_only_by_the_providers_own_rule(page: dict[str, Any]) -> None:
    """Has-more and a non-empty cursor, both, or the list ends."""
    assert following(Recorded(reply(page_body(page=page)))).next_cursor is None


def test_unknown_words_and_fields_survive() -> None:
    """An unknown status, unknown fields and both contracts of accountCreatedAt are read."""
    accounts = [
        {
            "handle": name,
            "metrics": {"followers": 1, "following": 1, "posts": 0, "likes": 9},
            "accountCreatedAt": created,
        }
        for name, created in (("a", 1579089600), ("b", "2020-01-15T12:00:00.000Z"), ("c", None))
    ]
    page = following(Recorded(reply(page_body(lookupStatus="restricted", accounts=accounts, shape="new"))))
    assert page.status == "restricted"
    assert [account.account_created_at for account in page.accounts] == [1579089600, "2020-01-15T12:00:00.000Z", None]


def test_a_paid_page_with_a_broken_account_is_kept() -> None:
    """One listed account that breaks the contract costs itself, not the page."""
    accounts: list[Any] = [{"handle": "a", "metrics": {"followers": 1, "following": 1}}, {"handle": 5}, "x"]
    page = following(Recorded(reply(page_body(accounts=accounts, totalAccounts="many"))))
    assert [account.handle for account in page.accounts] == ["a"]
    assert (page.unreadable_accounts, page.total_accounts, page.credits_charged) == (2, None, 1)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'{"data":{"balance":100}}', (100, None)),
        (
            b'{"data":{"balance":7,"refillState":"healthy","payg":7,"subscription":{"tier":"x"},"new":1}}',
            (7, "healthy"),
        ),
    ],
)
def test_both_contracts_of_the_balance_are_read(body: bytes, fields: tuple[int, str | None]) -> None:
    """The old balance has one field, the new one ten."""
    data = asyncio.run(ask(Recorded(reply(body)), lambda client: client.balance()))
    assert (data.balance, data.refill_state) == fields


@pytest.mark.parametrize(
    ("status", "code", "error", "charged"),
    [
        (400, "bad_request", errors.BadRequest, Charged.NO),
        (401, "unauthorized", errors.Unauthorized, Charged.NO),
        (402, "insufficient_credits", errors.InsufficientCredits, Charged.NO),
        (402, "payment_required", errors.PaymentRequired, Charged.NO),
        (402, "payment_settlement_failed", errors.PaymentRequired, Charged.NO),
        (403, "forbidden", errors.ClientFault, Charged.NO),
        (404, "not_found", errors.ClientFault, Charged.NO),
        (302, "moved", errors.ClientFault, Charged.NO),
        (429, "temporarily_unavailable", errors.Throttled, Charged.NO),
        (500, "internal_error", errors.InternalError, Charged.UNKNOWN),
        (502, "lookup_failed", errors.LookupFailed, Charged.UNKNOWN),
        (503, "temporarily_unavailable", errors.Throttled, Charged.NO),
        (504, "gateway", errors.ServerFault, Charged.UNKNOWN),
        (204, "nothing", errors.Malformed, Charged.UNKNOWN),
    ],
)
def test_every_refusal_knows_its_price(
    status: int, code: str, error: type[errors.SocialFetchError], charged: Charged
) -> None:
    """Each status is one typed error with the provider's code, request id and Retry-After."""
    body = (
        b"" if status == 204 else json.dumps({"error": {"code": code, "message": "m", "requestId": "req_9"}}).encode()
    )
    with pytest.raises(error) as caught:
        following(Recorded(reply(body, status=status, headers="Retry-After: 7\r\nLocation: http://127.0.0.1:1/\r\n")))
    assert type(caught.value) is error
    assert caught.value.charged is charged
    assert caught.value.retry_after == "7"
    assert (caught.value.request_id, caught.value.provider_code) == ((None, None) if status == 204 else ("req_9", code))


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"<html>Bad gateway</html>"),
        reply(b""),
        reply(page_body()[:60]),
        reply(b"[1,2]"),
        reply(b'{"data":{}}'),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nConnection: close\r\n\r\n" + page_body(),
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
    ],
    ids=["html", "empty", "cut_json", "array", "no_fields", "cut_body", "not_http"],
)
def test_what_cannot_be_read_may_have_been_paid(answer: bytes) -> None:
    """HTML, empty, cut and foreign answers are Malformed or Disconnected, charge unknown."""

    class Closing(Recorded):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            writer.close()

    with pytest.raises((errors.Malformed, errors.Disconnected)) as caught:
        following(Closing(None))
    assert caught.value.charged is Charged.UNKNOWN


def test_a_broken_connection_is_never_asked_again_by_itself() -> None:
    """A GET whose connection breaks before the answer is sent once: each send may cost a credit."""
    server = Recorded(None, reset=True)

    async def warm_then_break(client: Client) -> None:
        server.answer = reply(page_body())
        await client.following("ada")  # the connection is kept alive now
        server.answer = None
        await client.following("ada")

    with pytest.raises(errors.Disconnected) as caught:
        asyncio.run(ask(server, warm_then_break))
    assert caught.value.charged is Charged.UNKNOWN
    assert len(server.requests) == 2


def test_connections_are_kept() -> None:
    """Many requests one after the other use one connection."""
    ports = set()

    class Counting(Recorded):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            ports.add(writer.get_extra_info("peername")[1])
            await super().serve(reader, writer)

    async def many(client: Client) -> None:
        for _ in range(20):
            await client.following("ada")

    asyncio.run(ask(Counting(reply(page_body())), many))
    assert len(ports) == 1


def test_silence_times_out_with_unknown_charge() -> None:
    """A server that accepts and never answers ends in TimedOut."""
    with pytest.raises(errors.TimedOut) as caught:
        following(Recorded(None), timeout_s=0.2)
    assert caught.value.charged is Charged.UNKNOWN


def test_an_answer_beyond_the_limit_is_dropped() -> None:
    """A body larger than the limit is not read to its end."""
    with pytest.raises(errors.Malformed, match="larger than 1,000 bytes"):
        following(Recorded(reply(b"x" * 200_000)), max_body_bytes=1000)


@pytest.mark.parametrize("base", ["http://127.0.0.1:1", "http://no-such-host.invalid"])
def test_nobody_there_costs_nothing(base: str) -> None:
    """A refused connection and a name that does not exist are Unreachable: nothing was sent."""
    with pytest.raises(errors.Unreachable) as caught:
        following(Recorded(None), base=base)
    assert caught.value.charged is Charged.NO


def test_a_plain_server_behind_https_is_refused() -> None:
    """TLS is verified: a server without it gets no request and no key."""
    server = Recorded(reply(page_body()))
    with pytest.raises(errors.Unreachable):
        following(server, base="https://127.0.0.1:{port}")
    assert server.requests == []


def test_no_error_names_the_handle_or_the_key() -> None:
    """What an error says can be logged: neither handle nor key is in it."""
    for server, settings in ((Recorded(None, reset=True), {}), (Recorded(None), {"timeout_s": 0.1})):
        with pytest.raises(errors.SocialFetchError) as caught:
            following(server, handle="somebody", **settings)
        assert "somebody" not in repr(caught.value) + str(caught.value)
        assert KEY not in repr(caught.value) + str(caught.value)
