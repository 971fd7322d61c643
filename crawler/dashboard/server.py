"""Serves the page, its live events, the orders given on it, metrics and health. aiohttp.web, no cookie, no asset from
outside.

Who may do what: on loopback everybody who can reach it, under its own name only (a checked Host keeps other sites from
pointing their name here). Everywhere else a token is needed. An order needs a header that no foreign page can send.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from importlib.resources import files
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from aiohttp import web

from crawler.duty import State
from crawler.metrics import CONTENT_TYPE, Metrics
from crawler.panel import Panel
from crawler.steering import requeue_entries
from socialfetch.handle import InvalidHandle, parse
from storage import budgets, orders
from storage.database import Database
from storage.errors import Cut, NoTotal
from storage.orders import Act

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

EVERY_S = 2.0
"""Seconds between two events."""
BEAT_S = 15.0
"""A sign of life at least this often, also when nothing changed."""
READY_S = 900.0
"""The API must have answered within this time while the daemon crawls."""
MOST_LISTENERS = 50

HEADER = "X-Followgraph"
"""Every order carries it: no form and no foreign page can send it without being asked first, and nobody is answered."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ASSETS = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
_OPEN = {"/", "/page.js", "/page.css", "/healthz", "/readyz"}
"""What is served without a token: nothing in it is about anybody."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Dashboard:
    """The daemon's server. `token` is None only where it listens on loopback."""

    def __init__(
        self,
        *,
        db: Database,
        panel: Panel,
        host: str,
        port: int,
        token: str | None,
        now: Callable[[], float],
        log: BoundLogger,
        version: str,
    ) -> None:
        if token is None and not is_loopback(host):
            raise ValueError(f"{host} is not this machine alone: it needs a token")
        self._db = db
        self._panel = panel
        self._host = host
        self._port = port
        self._token = token
        self._now = now
        self._log = log
        self._metrics = Metrics(panel=panel, path=None if db.is_shared else db.path, version=version)
        self._snapshot = b""
        self._changed = asyncio.Condition()
        self._number = 0
        self._listeners = 0
        self._runner: web.AppRunner | None = None
        self.port = port
        """The port it listens on, also where 0 was asked for."""

    async def start(self) -> None:
        """Listen. Raises OSError where the address is taken."""
        app = web.Application(middlewares=[self._guard], client_max_size=65_536)
        for path in _ASSETS:
            app.router.add_get(path, self._asset)
        app.router.add_get("/api/state", self._state)
        app.router.add_get("/api/events", self._events)
        app.router.add_post("/api/orders", self._order)
        app.router.add_get("/metrics", self._measure)
        app.router.add_get("/healthz", self._alive)
        app.router.add_get("/readyz", self._ready)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        [self.port] = {address[1] for address in self._runner.addresses}

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def run(self) -> None:
        """Make one snapshot for everybody who listens, again and again, until cancelled."""
        while True:
            if self._listeners:
                with suppress(Cut):  # before the first reading; the pages say for how long they heard nothing
                    await self._take()
            await asyncio.sleep(EVERY_S)

    async def _take(self) -> None:
        found = json.dumps(await self._panel.snapshot(), ensure_ascii=True, separators=(",", ":")).encode()
        async with self._changed:
            self._snapshot = found
            self._number += 1
            self._changed.notify_all()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check who asks, and let nothing be embedded, sniffed or kept."""
        refused = self._refusal(request)
        answer: web.StreamResponse
        if refused is not None:
            answer = web.json_response({"error": refused[1]}, status=refused[0])
        else:
            try:
                answer = await handler(request)
            except web.HTTPException as error:
                answer = web.json_response({"error": error.reason}, status=error.status)
            except Cut as error:
                answer = web.json_response({"error": error.problem}, status=503)
        if not answer.prepared:
            answer.headers.update(_headers())
        return answer

    def _refusal(self, request: web.Request) -> tuple[int, str] | None:
        if not self._is_own_name(request.headers.get("Host", "")):
            return 421, "this name does not lead here"
        if request.method not in {"GET", "HEAD"}:
            if request.headers.get(HEADER) != "1" or request.content_type != "application/json":
                return 403, "an order comes from the page itself"
            origin = request.headers.get("Origin")
            if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
                return 403, "an order comes from the page itself"
        if self._token is None or request.path in _OPEN:
            return None
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        if kind == "Bearer" and hmac.compare_digest(given.strip().encode(), self._token.encode()):
            return None
        return 401, "the token is missing or wrong"

    def _is_own_name(self, host: str) -> bool:
        """Tell whether a Host header names this server; with a token any name may, for proxies have theirs."""
        if self._token is not None:
            return True
        name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
        return is_loopback(name.strip("[]"))

    async def _asset(self, request: web.Request) -> web.Response:
        name, kind = _ASSETS[request.path]
        return web.Response(
            body=files("crawler.dashboard").joinpath(name).read_bytes(), content_type=kind, charset="utf-8"
        )

    async def _state(self, _: web.Request) -> web.Response:
        return web.json_response(await self._panel.snapshot())

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._listeners >= MOST_LISTENERS:
            raise web.HTTPServiceUnavailable(reason="too many pages are open")
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", **_headers()})
        await answer.prepare(request)
        self._listeners += 1
        try:
            if not self._snapshot or self._listeners == 1:
                await self._take()
            seen = -1
            while True:
                if seen != self._number:
                    seen = self._number
                    await answer.write(b"id: %d\ndata: %b\n\n" % (seen, self._snapshot))
                try:
                    async with asyncio.timeout(BEAT_S), self._changed:
                        await self._changed.wait_for(lambda: self._number != seen)  # noqa: B023 - asked at once
                except TimeoutError:
                    await answer.write(b": still here\n\n")
        except (ConnectionError, asyncio.CancelledError):
            return answer  # the page was closed
        finally:
            self._listeners -= 1

    async def _order(self, request: web.Request) -> web.Response:
        """Take an order from the page: an object with `act` and what belongs to it."""
        try:
            asked = await request.json()
        except (ValueError, RecursionError, LookupError):  # the last one of an unknown charset
            raise web.HTTPBadRequest(reason="this is not JSON") from None
        if not isinstance(asked, dict):
            raise web.HTTPBadRequest(reason="this is no order")
        try:
            answer = await self._do(asked)
        except (ValueError, InvalidHandle, NoTotal) as error:
            return web.json_response({"error": str(error)}, status=400)
        self._log.info("order.given", act=asked.get("act"), origin="page", answer=answer)
        self._panel.stale()
        return web.json_response({"answer": answer})

    async def _do(self, asked: dict[str, Any]) -> str:
        act, now = asked.get("act"), self._now()
        match act:
            case Act.PAUSE | Act.RESUME | Act.DRAIN:
                await self._db.write(partial(orders.ask, act=act, origin="page", now=now))
                return "asked"
            case Act.SET:
                key, value = asked.get("key"), asked.get("value")
                self._panel.daemon.config.changed(str(key), value)  # raises where it cannot be changed so
                await self._db.write(partial(orders.ask, act=act, origin="page", now=now, key=key, value=value))
                return "asked"
            case "budget":
                credits, note = asked.get("credits"), asked.get("note")
                if not isinstance(credits, int) or isinstance(credits, bool) or not 0 < credits <= 10**12:
                    raise ValueError("the budget is raised by a whole number of credits, 1 or more")
                if asked.get("until") is not None:
                    raise ValueError("credits with a last day are given by followgraph budget add N --until DATE")
                note = None if note is None else str(note)[:200]
                await self._db.write(partial(budgets.add, credits=credits, note=note, origin="page", now=now))
                return f"{credits:,} credits more"
            case "requeue":
                handle = parse(str(asked.get("handle")))
                queue = partial(requeue_entries, handles=[handle], failed=False, partial_lists=False, now=now)
                done = await self._db.write(queue)
                return "queued before all others" if done.named else "nobody here is called so"
            case _:
                raise ValueError("nobody knows this order")

    async def _measure(self, _: web.Request) -> web.Response:
        return web.Response(body=await self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _alive(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, _: web.Request) -> web.Response:
        problem = await self._problem()
        status = 200 if problem is None else 503
        return web.json_response({"status": "ready" if problem is None else problem}, status=status)

    async def _problem(self) -> str | None:
        """Return why nothing is bought just now although it should be, None where all is well."""
        hold = self._panel.daemon.hold
        if hold.state not in {State.STARTING, State.CRAWLING, State.DAY_DONE, State.IDLE}:
            return f"{hold.state}: {hold.detail}"
        answered = self._panel.daemon.answered_at
        if hold.state == State.CRAWLING and (answered is None or self._now() - answered > READY_S):
            return "the API has not answered lately"
        try:
            async with asyncio.timeout(5.0):
                await self._db.write(lambda conn: conn.exec_driver_sql("SELECT 1"))
        except Exception as error:
            return f"the database cannot be written ({type(error).__name__})"
        return None


def _headers() -> dict[str, str]:
    return {
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
