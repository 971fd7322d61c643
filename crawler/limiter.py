"""The limiter: how many requests may be in flight, how many may start in a second, and who waits.

Additive increase, multiplicative decrease; once the slots are found that the provider bears, it keeps close to them, as
TCP's CUBIC does (Ha, Rhee & Xu 2008). A block (Retry-After) holds everybody. It never speeds up on an error.
Time is the event loop's own, so that it runs in virtual time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

BURST_S = 0.1
"""How far the rate may lag behind and catch up, in seconds: timers are never exact."""

DECREASE, SLIGHT_DECREASE = 0.5, 0.9
"""What is left of the slots after a refusal, and after one where they had been enough for a while."""

CAREFUL, CURIOUS, BOLD = 0.004, 0.01, 0.03
"""Growth of the slots per second below the number that was refused last, above it, and where none is known."""

GROWN = 1.01
"""Slots that grew by this since the last refusal had been enough for a while."""

SMOOTHING = 0.05
"""Weight of the newest answer in the time that answers take."""


class Limiter:
    """Slots for requests. `concurrency` is the most in flight, `rate` the most started per second (None: no limit)."""

    def __init__(self, *, concurrency: int, rate: float | None, time: Callable[[], float]) -> None:
        self._most = self._whole_most = float(concurrency)
        self._limit = float(concurrency)
        self._rate = self._whole_rate = rate
        self._time = time
        self._in_flight = 0
        self._next_at = 0.0
        self._blocked_until = 0.0
        self._decreased_at = -1.0
        self._left = self._limit
        """The slots that the last refusal left."""
        self._found = self._limit
        """The slots that were too many after they had been enough for a while."""
        self._refused_at: float | None = None
        """The slots that were too many, where they are known."""
        self._took_s = 0.0
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = 0.0
        self._is_closed = False
        self._is_paused = False
        self._is_held = False
        self._is_narrow = False
        self._quiet: asyncio.Future[None] | None = None
        self._turn = asyncio.Lock()

    @property
    def in_flight(self) -> int:
        """Slots taken."""
        return self._in_flight

    @property
    def limit(self) -> int:
        """Slots there are just now."""
        return 1 if self._is_narrow else max(1, int(self._limit))

    @property
    def free(self) -> int:
        """Slots that nobody would have to wait for; none where there is a rate. Any thread may ask."""
        is_shut = self._is_closed or self._is_paused or self._is_held or self._waiting or self.blocked_s > 0
        return 0 if is_shut or self._pace() is not None else max(0, self.limit - self._in_flight)

    @property
    def blocked_s(self) -> float:
        """Seconds until a block ends."""
        return max(0.0, self._blocked_until - self._time())

    async def acquire(self) -> bool:
        """Wait for a slot, first come, first served; False where the limiter was closed meanwhile."""
        if self._is_closed:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._grant()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.result():
                self.release()
            raise

    def release(self) -> None:
        """Give a slot back."""
        self._in_flight -= 1
        if self._in_flight == 0 and self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(None)
        self._grant()

    def succeeded(self, *, took_s: float = 0.0) -> None:
        """An answer came: one slot more per round of answers, up to the most; far less where the right number is known.

        `took_s` is how long it took, 0 where nobody can tell.
        """
        self._took_s = self._took_s + SMOOTHING * (took_s - self._took_s) if self._took_s else took_s
        if self._limit < self._most:
            # So many answers come in a second that a share of `took_s` for each makes that share of the slots.
            step = max(1.0 / self._limit, BOLD * took_s)
            if self._refused_at is not None and took_s:
                step = took_s * (CAREFUL if self._limit < self._refused_at else CURIOUS)
            self._limit = min(self._most, self._limit + step)
            self._grant()

    def overloaded(self, *, sent_at: float) -> None:
        """The provider was too slow or refused: half the slots, once for all requests that were in flight together."""
        if sent_at >= self._decreased_at:
            had_grown = self._decreased_at >= 0 and self._limit > self._left * GROWN
            if had_grown:
                self._found = self._limit
            is_near = had_grown or (self._refused_at is not None and self._limit > DECREASE * self._found)
            self._refused_at = self._limit if is_near else None
            self._limit = self._left = max(1.0, self._limit * (SLIGHT_DECREASE if is_near else DECREASE))
            self._decreased_at = self._time()

    def share(self, count: int) -> None:
        """Take an equal part of rate and slots where so many share one key; one slot at least."""
        was_whole = self._limit >= self._most
        self._most = max(1.0, self._whole_most // count)
        self._limit = self._most if was_whole else min(self._limit, self._most)
        self._rate = None if self._whole_rate is None else self._whole_rate / count
        self._grant()

    def block(self, seconds: float) -> None:
        """Start nothing for so many seconds."""
        self._blocked_until = max(self._blocked_until, self._time() + seconds)

    @property
    def is_narrow(self) -> bool:
        """Whether one request at a time is allowed."""
        return self._is_narrow

    def narrow(self) -> None:
        """Let one request be in flight at a time, until widened."""
        self._is_narrow = True

    def widen(self) -> None:
        """Give all slots free again."""
        self._is_narrow = False
        self._grant()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Start nothing, and wait until nothing is in flight; pauses that overlap take turns."""
        async with self._turn:
            self._is_paused = True
            try:
                if self._in_flight:
                    self._quiet = asyncio.get_running_loop().create_future()
                    await self._quiet
                yield
            finally:
                self._is_paused = False
                self._grant()

    def hold(self) -> None:
        """Start nothing until let go, without waiting for what is in flight."""
        self._is_held = True

    def let_go(self) -> None:
        """Go on after a hold."""
        self._is_held = False
        self._grant()

    def reopen(self) -> None:
        """Grant slots again after a close."""
        self._is_closed = False

    def close(self) -> None:
        """Grant nothing any more: everybody who waits goes home."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(False)

    def _grant(self) -> None:
        if self._is_closed or self._is_paused or self._is_held:
            return
        now = self._time()
        while self._waiting and self._in_flight < self.limit:
            if self._waiting[0].done():  # cancelled
                self._waiting.popleft()
                continue
            due = max(self._blocked_until, self._next_at)
            if due > now:
                self._wake_at(due)
                return
            if (rate := self._pace()) is not None:
                self._next_at = max(self._next_at, now - BURST_S) + 1.0 / rate
            self._in_flight += 1
            self._waiting.popleft().set_result(True)

    def _pace(self) -> float | None:
        """Return how many may start per second, None for any number.

        Once somebody was refused the slots are not filled at one blow, after a block above all: a provider that counts
        requests per second would refuse most of them.
        """
        if self._decreased_at < 0 or not self._took_s:
            return self._rate
        pace = self._limit / self._took_s
        return pace if self._rate is None else min(pace, self._rate)

    def _wake_at(self, due: float) -> None:
        if self._timer is not None:
            if self._wakes_at <= due and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._wakes_at = due  # uvloop's handle of a moment that is nearly now does not say when
        self._timer = asyncio.get_running_loop().call_at(due, self._woken)

    def _woken(self) -> None:
        self._timer = None
        self._grant()
