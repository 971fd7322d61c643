"""The knobs of a simulated API that are no faults."""

from __future__ import annotations

import msgspec

from socialfetch.simulator.errors import InvalidSetting


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How the service answers. Raises InvalidSetting when made with a value out of range."""

    key: str | None = None
    """The one key that is taken; None takes any."""
    credits: int = 1_000_000
    """Credits to spend at the start."""
    page_size: int = 20
    """Accounts a page."""
    page_jitter: int = 0
    """How many accounts more or fewer a page may have, fixed for each page."""
    latency_s: float = 0.0
    """Median time before an answer."""
    latency_spread: float = 0.0
    """Standard deviation of the logarithm of the latency: 0 is a fixed latency, 0.5 a lifelike log-normal one."""
    free_calls_per_minute: int | None = 120
    """Calls a minute to each free route before it answers 429; None sets no limit."""
    rng_seed: int = 0
    """Fixes request ids, latencies and page sizes."""

    def __post_init__(self) -> None:
        for name, lowest in (("credits", 0), ("page_size", 1), ("page_jitter", 0), ("latency_spread", 0)):
            if not getattr(self, name) >= lowest:  # so written, it refuses NaN too
                raise InvalidSetting(name, getattr(self, name), f"{lowest} or more")
        if not 0 <= self.latency_s < float("inf"):
            raise InvalidSetting("latency_s", self.latency_s, "a number of seconds, 0 or more")
        if self.page_jitter >= self.page_size:
            raise InvalidSetting("page_jitter", self.page_jitter, f"less than page_size ({self.page_size})")
        if self.key == "":
            raise InvalidSetting("key", self.key, "a text, or left out to take any key")
