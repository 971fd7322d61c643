"""One request, one typed answer or one typed error.

The client never sleeps, retries or logs: what to do after an error is decided elsewhere. The transport is a seam with
two real implementations: HTTP (here) and the simulator's service in process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Protocol, Self, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from socialfetch import errors, wire
from socialfetch.patience import patience

KEY_HEADER = "x-api-key"

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading JSON of strangers raises: not JSON or not as agreed, not UTF-8, nested too deep."""

_T = TypeVar("_T")


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer as the transport saw it. Headers are asked for in lower case, however they came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """One GET on the API's host. Raises Unreachable, TimedOut, Disconnected or Malformed; every status is an answer."""

    async def get(self, path: str, query: Mapping[str, str]) -> Reply:
        """Send one request, once."""
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


class Page(msgspec.Struct, frozen=True):
    """One paid page of a following list, as the crawler needs it."""

    status: str
    """`found`, `hidden`, `private`, `not_found`, or a word not known yet (lists nothing)."""
    accounts: Sequence[wire.Account]
    next_cursor: str | None
    """Where to go on; None when the list ends here by the provider's own rule (has-more and a non-empty cursor)."""
    has_more: bool
    """As answered. With `next_cursor` None it says that the list was cut by the answer itself."""
    total_accounts: int | None
    credits_charged: int
    request_id: str | None
    cached: bool
    unreadable_accounts: int
    """Listed accounts that broke the contract and could not be read; the raw body keeps them."""
    withheld_accounts: int
    """Listed accounts that were taken out of an archived body since: people who are forgotten."""
    body: bytes


class HttpTransport:
    """Kept-alive connections to one host: no redirects, no cookies, a size limit, never a silent second send."""

    def __init__(
        self,
        *,
        base_url: str,
        key: str | None,
        user_agent: str,
        connections: int,
        timeout_s: float,
        connect_timeout_s: float,
        max_body_bytes: int,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._max_body_bytes = max_body_bytes
        self._timeout_s = timeout_s
        headers = {"User-Agent": user_agent, "Accept": "application/json"}
        if key is not None:
            headers[KEY_HEADER] = key
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=60.0, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_send_once,),
            raise_for_status=False,
        )

    async def get(self, path: str, query: Mapping[str, str]) -> Reply:
        """Send one request, once. The key goes to the configured host only: redirects are not followed."""
        try:
            url = URL(f"{self._base_url}{path}?{urlencode(query)}" if query else self._base_url + path, encoded=True)
            async with patience(self._timeout_s), self._session.get(url, allow_redirects=False) as response:
                body = bytearray()
                while chunk := await response.content.readany():
                    body += chunk
                    if len(body) > self._max_body_bytes:
                        raise errors.Malformed(
                            f"answer larger than {self._max_body_bytes:,} bytes (api.max_body_bytes)",
                            status=response.status,
                        )
                return Reply(response.status, response.headers, bytes(body))
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise errors.Unreachable(_reason(error)) from error
        except TimeoutError as error:
            raise errors.TimedOut(f"no whole answer within {self._timeout_s:g} s (api.timeout_s)") from error
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError) as error:
            raise errors.Unreachable(
                f"{self._base_url!r} is not an address that can be asked (api.base_url)"
            ) from error
        except aiohttp.ClientPayloadError as error:
            raise errors.Malformed("the answer was cut short or badly encoded") from error
        except aiohttp.ClientResponseError as error:
            raise errors.Malformed("the answer is not HTTP") from error
        except (aiohttp.ClientError, OSError) as error:
            raise errors.Disconnected(_reason(error)) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Turn a broken connection into our error before aiohttp sees it.

    aiohttp sends a GET again, unasked, when a connection breaks before the answer. Here each send may cost a credit.
    """
    try:
        return await handler(request)
    except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise errors.Disconnected(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """Name what broke, without the address asked: it holds a handle."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {error.host} could not be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate of {error.host} was refused: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection to {error.host}:{error.port}: {error.os_error.strerror or error.os_error}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection in time (api.connect_timeout_s)"
    return type(error).__name__


class Client:
    """The API's three calls."""

    def __init__(self, transport: Transport, *, trim: bool = False) -> None:
        self._transport = transport
        self._trim = trim

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the transport."""
        await self._transport.close()

    async def following(self, handle: str, cursor: str | None = None) -> Page:
        """Buy one page of the accounts that `handle` follows. `cursor` None asks for the first page.

        Raises a SocialFetchError, which knows whether the call was charged.
        """
        query = {} if cursor is None else {"cursor": cursor}
        if self._trim:
            query["trim"] = "true"
        reply = await self._transport.get(f"/v1/tiktok/profiles/{quote(handle, safe='')}/following", query)
        _raise_for(reply)
        return read_page(reply.body)

    async def balance(self) -> wire.BalanceData:
        """Read the spendable credits; free of charge. Raises a SocialFetchError."""
        return (await self._free("/v1/balance", wire.Balance)).data

    async def whoami(self) -> wire.User:
        """Ask whose key it is; free of charge. Raises a SocialFetchError."""
        return (await self._free("/v1/whoami", wire.Whoami)).data.user

    async def _free(self, path: str, kind: type[_T]) -> _T:
        reply = await self._transport.get(path, {})
        _raise_for(reply)
        try:
            return msgspec.json.decode(reply.body, type=kind)
        except UNREADABLE as error:
            raise errors.Malformed(f"{path} answered something unreadable", status=reply.status) from error


_PAGE = msgspec.json.Decoder(wire.FollowingPage)


def read_page(body: bytes) -> Page:
    """Read the body of a 200, just come or out of an archive. Raises Malformed for what is no page of this API."""
    try:
        page = _PAGE.decode(body)
    except UNREADABLE:
        return _read_leniently(body)
    data = page.data
    return Page(
        status=data.lookup_status,
        accounts=data.accounts,
        next_cursor=_continuation(data.page),
        has_more=data.page.has_more,
        total_accounts=data.total_accounts,
        credits_charged=page.meta.credits_charged,
        request_id=page.meta.request_id,
        cached=page.meta.cached,
        unreadable_accounts=0,
        withheld_accounts=0 if data.withheld is msgspec.UNSET else data.withheld,
        body=body,
    )


def _continuation(cursor: wire.Cursor) -> str | None:
    """Return the next cursor by the provider's own paginator: has-more and a non-empty cursor, or nothing."""
    if not cursor.has_more or cursor.next_cursor is None or cursor.next_cursor == "":
        return None
    return str(cursor.next_cursor)


def _read_leniently(body: bytes) -> Page:
    """Read a paid page that breaks the contract as far as it goes: it was bought, so what can be read is kept.

    A page without a receipt counts as one credit: every 200 costs one, and to book less would overspend.
    """
    try:
        page = msgspec.json.decode(body, type=wire.LenientPage)
    except UNREADABLE as error:
        raise errors.Malformed("the answer is not a page of this API", status=200) from error
    accounts: list[wire.Account] = []
    broken = 0
    for raw in page.data.accounts or ():
        try:
            accounts.append(msgspec.json.decode(raw, type=wire.Account))
        except UNREADABLE:
            broken += 1
    total = page.data.total_accounts
    withheld = page.data.withheld
    return Page(
        status=page.data.lookup_status,
        accounts=accounts,
        next_cursor=_continuation(page.data.page),
        has_more=page.data.page.has_more,
        total_accounts=total if isinstance(total, int) and not isinstance(total, bool) else None,
        credits_charged=1 if page.meta is None else page.meta.credits_charged,
        request_id=None if page.meta is None else page.meta.request_id,
        cached=page.meta is not None and page.meta.cached,
        unreadable_accounts=broken,
        withheld_accounts=withheld if isinstance(withheld, int) and 0 <= withheld <= wire.MAX_LISTED else 0,
        body=body,
    )


_BY_STATUS: Mapping[int, type[errors.SocialFetchError]] = {
    400: errors.BadRequest,
    401: errors.Unauthorized,
    402: errors.PaymentRequired,
    429: errors.Throttled,
    500: errors.InternalError,
    502: errors.LookupFailed,
    503: errors.Throttled,
}


def _raise_for(reply: Reply) -> None:
    """Raise the typed error of every answer that is not a 200."""
    if reply.status == 200:
        return
    body: wire.ErrorBody | None
    try:
        body = msgspec.json.decode(reply.body, type=wire.ErrorEnvelope).error
    except UNREADABLE:
        body = None
    kind = _BY_STATUS.get(reply.status)
    if kind is None:
        if 200 <= reply.status < 300:
            kind = errors.Malformed
        else:
            kind = errors.ServerFault if reply.status >= 500 else errors.ClientFault
    if reply.status == 402 and body is not None and body.code == "insufficient_credits":
        kind = errors.InsufficientCredits
    raise kind(
        f"HTTP {reply.status}" if body is None else f"HTTP {reply.status} {body.code[:64]}",
        status=reply.status,
        provider_code=None if body is None else body.code,
        request_id=None if body is None else body.request_id,
        retry_after=_retry_after(reply.headers),
    )


def _retry_after(headers: Mapping[str, str]) -> str | None:
    """Return how long to wait, as sent; a date as seconds by the sender's own clock where it told it: ours may err."""
    asked = headers.get("retry-after")
    try:
        until, sent_at = (parsedate_to_datetime(text) for text in (asked or "", headers.get("date", "")))
        return str(max(0, round((until - sent_at).total_seconds())))
    except (TypeError, ValueError, OverflowError):
        return asked
