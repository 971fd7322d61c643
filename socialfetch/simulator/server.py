"""The simulated API over real HTTP on loopback.

Beside the API's own routes it serves what nobody outside could know: `/_sim/ledger` and `/_sim/truth`, without a key.
Nothing is ever logged: paths hold handles.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from socialfetch.simulator.answers import SLOW_S, Answer, Delivery, refusal, success
from socialfetch.simulator.errors import AddressUnavailable
from socialfetch.simulator.service import Service

LEDGER = "/_sim/ledger"
TRUTH = "/_sim/truth"

_BACKLOG = 1024
_SLOW_PIECES = 60
_CLOSING_S = 0.1
"""How long closing waits for answers under way; a stalled one would keep it for ever."""


@asynccontextmanager
async def serve(service: Service, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve as long as the context lasts; its value is the URL. Port 0 takes a free one. Raises AddressUnavailable."""
    server = web.Server(
        _Handler(service).handle,
        handler_cancellation=True,  # a client that went away need not be waited for
        access_log=None,
        logger=_Silence(),
    )
    loop = asyncio.get_running_loop()
    try:
        listener = await loop.create_server(server, host, port, backlog=_BACKLOG)
    except OSError as error:
        raise AddressUnavailable(host, port, error.strerror or str(error)) from error
    try:
        yield f"http://{host}:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        await server.shutdown(_CLOSING_S)
        await listener.wait_closed()


class _Silence:
    """Takes the place of aiohttp's logger."""

    def debug(self, *_args: object, **_more: object) -> None:
        """Say nothing."""

    exception = warning = debug


class _Handler:
    """Turns HTTP requests into questions to the service, and its answers into HTTP."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request as the service says."""
        path, _, query = request.raw_path.partition("?")
        if request.method != "GET":
            answer = refusal(405, "method_not_allowed", "Only GET is served.", request_id=None)
        elif path == LEDGER:
            answer = success(self._service.ledger)
        elif path == TRUTH:
            network = self._service.network
            answer = success(msgspec.json.encode({"accounts": network.accounts, "edges": network.edges}))
        else:
            asked = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
            answer = self._service.answer(path, asked, request.headers)
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        return await _deliver(request, answer)


async def _deliver(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Send the answer the way it wants to be sent."""
    match answer.delivery:
        case Delivery.WHOLE:
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        case Delivery.SLOWLY:
            size = -(-len(answer.body) // _SLOW_PIECES)
            pieces = [answer.body[at : at + size] for at in range(0, len(answer.body), size)]
            return await _stream(request, answer, pieces, pause_s=SLOW_S / len(pieces))
        case Delivery.CUT:
            stream = await _stream(request, answer, [answer.body[: len(answer.body) // 2]], pause_s=0.0)
            return _hung_up(request, stream)
        case Delivery.HANG_UP:
            return _hung_up(request, web.Response())
        case Delivery.NEVER:
            never: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()
            return await never  # ends by cancellation: the client goes away or the server closes


async def _stream(
    request: web.BaseRequest, answer: Answer, pieces: list[bytes], *, pause_s: float
) -> web.StreamResponse:
    """Send pieces of the body under the whole body's length."""
    stream = web.StreamResponse(status=answer.status, headers=answer.headers)
    stream.content_length = len(answer.body)
    await stream.prepare(request)
    for piece in pieces:
        await stream.write(piece)
        await asyncio.sleep(pause_s)
    return stream


def _hung_up(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """Close the connection under a response. What was written before is still sent, the rest is not."""
    if request.transport is not None:
        request.transport.close()
    return response
