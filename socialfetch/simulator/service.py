"""The rules of the API without I/O: a request in, an answer and how to deliver it out.

Invariants: every credit charged is in the ledger, and is charged when the request comes in, whether or not the client
waits for the answer. The answer to a paid call depends on the network, the settings, the faults and how often this page
was asked for, never on what else was asked meanwhile.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from math import exp
from statistics import NormalDist
from urllib.parse import unquote

import msgspec

from socialfetch import wire
from socialfetch.client import KEY_HEADER
from socialfetch.handle import MAX_LENGTH, normalise
from socialfetch.simulator import failures
from socialfetch.simulator.accounts import Accounts
from socialfetch.simulator.answers import Answer, Delivery, refusal, success
from socialfetch.simulator.chance import fraction, token
from socialfetch.simulator.faults import FAULTS, Faults
from socialfetch.simulator.ledger import Ledger
from socialfetch.simulator.lists import Lists, nothing
from socialfetch.simulator.network import Network, Status
from socialfetch.simulator.purse import Purse
from socialfetch.simulator.settings import Settings

BALANCE = "/v1/balance"
WHOAMI = "/v1/whoami"

_FOLLOWING = re.compile(r"/v1/tiktok/profiles/([^/]*)/following")
_CURSOR = re.compile(r"[0-9]{1,10}")
_TRIM = {None: False, "false": False, "true": True}
_VERSION = "v1"
_CHECKOUT_URL = "https://www.socialfetch.dev/checkout"
_USER = wire.User(id="usr_simulated", name="Simulated", email="simulated@example.com")
_MINUTE_S = 60.0


class _Call(msgspec.Struct, frozen=True):
    """A call of the paid route that was understood."""

    page: str
    """`handle|cursor` as asked: the page's name in the ledger."""
    index: int | None
    """The account asked for, None where nobody has the handle."""
    handle: str
    """The account's handle in the network."""
    cursor: str
    """Empty on the first page."""
    start: int
    """The place in the list that the cursor points to."""
    trim: bool
    asked: int
    """How often this page was asked for before."""


class Service:
    """One simulated API with its network and its one customer."""

    def __init__(self, *, network: Network, settings: Settings, faults: Faults, now: Callable[[], float]) -> None:
        """`now` returns Unix seconds."""
        self.network = network
        """May be changed between two requests: follows added and removed, lists hidden."""
        self._settings = settings
        self._faults = faults
        self._failures = faults.on(failures.NAMES)
        self._now = now
        self._purse = Purse(credits=settings.credits, faults=faults, now=now)
        self._lists = Lists(network=network, settings=settings, faults=faults)
        self._accounts = Accounts(network=network, faults=faults, rng_seed=settings.rng_seed)
        self._asked: dict[str, int] = {}
        self._free_call_count = 0
        self._free_calls_at: dict[str, deque[float]] = {BALANCE: deque(), WHOAMI: deque()}

    @property
    def ledger(self) -> Ledger:
        """What was charged for what."""
        return self._purse.ledger

    @property
    def balance(self) -> int:
        """Credits left to spend."""
        return self._purse.balance

    def top_up(self, credits: int) -> None:
        """Buy credits."""
        self._purse.top_up(credits)

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """Answer one GET. `path` is percent-encoded as sent, `query` decoded, header names are lower case."""
        key = headers.get(KEY_HEADER)
        if profile := _FOLLOWING.fullmatch(path):
            return self._following(profile[1], query, key)
        if path in self._free_calls_at:
            return self._free(path, key)
        return refusal(404, "not_found", "There is no such route.", request_id=self._request_id("route", path))

    def _following(self, segment: str, query: Mapping[str, str], key: str | None) -> Answer:
        """Answer the paid route."""
        self.ledger.calls += 1
        refused_id = self._request_id("refused", self.ledger.calls)
        if not key:
            return refusal(402, "payment_required", "Send a key, or pay for the call.", request_id=refused_id)
        if not self._takes(key):
            return refusal(401, "unauthorized", "The API key is not valid.", request_id=refused_id)
        call = self._understand(segment, query)
        if isinstance(call, str):
            return refusal(400, "bad_request", call, request_id=refused_id)
        delay_s = self._latency_s(call.handle, call.cursor, call.asked)
        return msgspec.structs.replace(self._serve(call), delay_s=delay_s)

    def _understand(self, segment: str, query: Mapping[str, str]) -> _Call | str:
        """Read a call of the paid route, or say what is wrong with it."""
        written = unquote(segment)
        handle = normalise(written)
        cursor = query.get("cursor")
        trim = _TRIM.get(query.get("trim"))
        if not handle or not handle.isprintable():
            return "The handle is empty or not a text."
        if len(written) > MAX_LENGTH:
            return f"The handle is longer than {MAX_LENGTH} characters."
        if trim is None:
            return "trim is neither true nor false."
        index = self._accounts.resolve(handle)
        start = 0 if cursor is None else self._place(index, cursor)
        if start is None:
            return "The cursor is not one of this list."
        page = f"{handle}|{cursor or ''}"
        asked = self._asked.get(page, 0)
        self._asked[page] = asked + 1
        known_as = handle if index is None else self.network.handle(index)
        return _Call(page=page, index=index, handle=known_as, cursor=cursor or "", start=start, trim=trim, asked=asked)

    def _place(self, index: int | None, cursor: str) -> int | None:
        """Return the place in a list that a cursor points to, None for a cursor that this list never gave out."""
        if index is None or not _CURSOR.fullmatch(cursor):
            return None
        return self.network.after(index, int(cursor))

    def _serve(self, call: _Call) -> Answer:
        """Answer a call that was understood, with a page or with what comes instead of one."""
        strikes = self._faults.strikes
        this_page = (call.handle, call.cursor)
        this_call = (*this_page, call.asked)
        request_id = None if strikes("no_request_id", *this_page) else self._request_id(call.page, call.asked)
        if not self._purse.can_pay(*this_call):
            url = None if strikes("no_checkout_url", *this_page) else _CHECKOUT_URL
            return refusal(402, "insufficient_credits", "No credits left.", request_id=request_id, checkout_url=url)
        for name in self._failures:
            if strikes(name, *this_call):
                self._purse.charge(call.page, FAULTS[name].credits)
                return failures.answer(name, request_id=request_id, now=self._now())
        credits = FAULTS["dear"].credits if strikes("dear", *this_page) else 1
        self._purse.charge(call.page, credits)
        cached = strikes("cached", *this_page)
        meta = wire.Meta(credits_charged=credits, request_id=request_id, version=_VERSION, cached=cached)
        body = self._page(call, None if strikes("no_receipt", *this_page) else meta)
        age_s = 1 + int(3600 * fraction(self._settings.rng_seed, "age", *this_page)) if cached else None
        page = success(body, {} if age_s is None else {"age": str(age_s)})
        if strikes("cut_body", *this_call):
            return msgspec.structs.replace(page, delivery=Delivery.CUT)
        if strikes("slow", *this_call):
            return msgspec.structs.replace(page, delivery=Delivery.SLOWLY)
        return page

    def _page(self, call: _Call, meta: wire.Meta | None) -> bytes:
        """Return the page as JSON."""
        if call.index is None:
            listing = nothing(Status.NOT_FOUND)
        else:
            listing = self._lists.page(call.index, call.cursor, call.start)
        cursor: str | int | None = listing.next_cursor
        if cursor is not None and self._faults.strikes("integer_cursor", call.handle, call.cursor):
            cursor = int(cursor)
        # The lenient message holds accounts that are JSON already.
        data = wire.LenientData(
            lookup_status=listing.status,
            accounts=self._accounts.encoded(listing.accounts, lister=call.handle, cursor=call.cursor, trim=call.trim),
            page=wire.Cursor(next_cursor=cursor, has_more=listing.has_more),
            total_accounts=listing.total,
        )
        body = msgspec.json.encode(wire.LenientPage(data=data, meta=meta))
        if self._faults.strikes("unknown_fields", call.handle, call.cursor):
            return b'{"experiments":{"ranking":"b"},' + body[1:]
        return body

    def _free(self, path: str, key: str | None) -> Answer:
        """Answer a route that costs nothing."""
        self._free_call_count += 1
        number = self._free_call_count
        request_id = self._request_id(path, number)
        if not key or not self._takes(key):
            return refusal(401, "unauthorized", "The API key is missing or not valid.", request_id=request_id)
        wait_s = self._wait_s(self._free_calls_at[path])
        if wait_s:
            return refusal(
                429, "temporarily_unavailable", "Too many calls.", request_id=request_id, retry_after=str(wait_s)
            )
        meta = wire.Meta(credits_charged=0, request_id=request_id, version=_VERSION)
        if path == BALANCE:
            answer = success(wire.Balance(data=self._purse.told(number), meta=meta))
        else:
            answer = success(wire.Whoami(data=wire.WhoamiData(user=_USER), meta=meta))
        return msgspec.structs.replace(answer, delay_s=self._latency_s(path, number))

    def _wait_s(self, served_at: deque[float]) -> int:
        """Return how many seconds a free call has to wait, 0 if it is served now (and noted)."""
        limit = self._settings.free_calls_per_minute
        if limit is None:
            return 0
        now = self._now()
        while served_at and served_at[0] <= now - _MINUTE_S:
            served_at.popleft()
        if len(served_at) < limit:
            served_at.append(now)
            return 0
        return int(served_at[0] + _MINUTE_S - now) + 1

    def _takes(self, key: str) -> bool:
        return self._settings.key is None or key == self._settings.key

    def _request_id(self, *names: object) -> str:
        return f"req_{token(self._settings.rng_seed, *names)}"

    def _latency_s(self, *names: object) -> float:
        """Return the seconds before the answer to a call, log-normal around the median."""
        median = self._settings.latency_s
        if not median or not self._settings.latency_spread:
            return median
        drawn = max(fraction(self._settings.rng_seed, "latency", *names), 1e-9)
        return median * exp(self._settings.latency_spread * NormalDist().inv_cdf(drawn))
