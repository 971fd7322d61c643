"""Live figures of a crawl, kept by the engine and read by whoever shows them. Costs nothing per page but additions."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field

from crawler.forecast import Forecast
from storage.summary import on_the_way

RECENT_PAGES = 200
"""Pages that `new_per_credit` looks back over."""

LEAST_EXPECTED = 20
"""New accounts that a forecast must have expected so far before its error is more than chance."""

PACE_S = 10.0
"""Seconds that `pace` looks back over."""

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds that times of answers are counted under, in seconds; the last count is of all longer ones."""

STATUSES = ("found", "empty", "hidden", "private", "not_found", "other")
"""What a page said of its list; "empty": the list was found, and its first page named nobody."""


def reason_to_wait(code: str) -> str:
    """Say what a crawl waits for, after the error that holds it back."""
    if code in {"unreachable", "timed_out", "disconnected"}:
        return f"the provider does not answer ({code})"
    return "the day's budget is used up" if code == "day" else f"the provider asks for patience ({code})"


@dataclass(slots=True)
class Latency:
    """How long answers took, in seconds."""

    total_s: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_PAGES))

    def note(self, seconds: float) -> None:
        """Note an answer."""
        self.total_s += seconds
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.recent.append(seconds)

    def add(self, other: Latency) -> None:
        """Add another's answers to these; the last ones stay its own."""
        self.total_s += other.total_s
        self.counts = [mine + others for mine, others in zip(self.counts, other.counts, strict=True)]

    def quantile(self, share: float) -> float | None:
        """Return the time that this share of the last answers did not exceed; None before the first."""
        ordered = sorted(self.recent)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


@dataclass(slots=True)
class Progress:
    """Counts since this process began, beside the run's credits. Seconds are of the event loop's clock."""

    budget: int
    charged: int
    uncertain: int
    started_s: float
    frontier: int = 0
    pages: int = 0
    accounts_new: int = 0
    edges_new: int = 0
    lists_read: int = 0
    hidden: int = 0
    private: int = 0
    not_found: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    renamed: int = 0
    taken_over: int = 0
    waiting: str | None = None
    """Why nothing is asked for now: the code of an error, or "day"; set by `wait`."""
    forecast: Forecast | None = None
    """What the credits left were expected to buy when it was made, `forecast_from` new accounts ago."""
    forecast_from: int = 0
    forecast_at: int = 0
    """Credits of the run that were spent then."""
    crawlers: int = 1
    """Crawlers at work on the same database, this one among them."""
    is_draining: bool = False
    latency: Latency = field(default_factory=Latency)
    """How long the provider took for pages."""
    commits: Latency = field(default_factory=Latency)
    """How long pages then waited until they were stored for good."""
    statuses: dict[str, int] = field(default_factory=dict)
    """Pages by what they said of the list: one of `STATUSES`."""
    _waits_since_s: float = 0.0
    _idle_s: float = 0.0
    _arrived: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))
    _recent: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=RECENT_PAGES))
    _recent_credits: int = 0
    _recent_new: int = 0

    @property
    def accounts_expected(self) -> tuple[int, int] | None:
        """New accounts that this process will have brought in the end, low and high; None while nobody can tell."""
        if self.forecast is None:
            return None
        span = self.forecast.accounts
        return self.forecast_from + int(span.low), self.forecast_from + round(span.high)

    @property
    def expected_so_far(self) -> float | None:
        """New accounts that were expected of the credits since the forecast.

        None while there are too few to tell, and where other crawlers spend as well: what they bring is not known here.
        """
        if self.forecast is None or self.crawlers > 1:
            return None
        expected, _ = on_the_way(self.forecast.path, self.charged + self.uncertain - self.forecast_at)
        return expected if expected >= LEAST_EXPECTED else None

    @property
    def forecast_error(self) -> float | None:
        """How far off the forecast is so far: new accounts over those expected, less 1; None while nobody can tell."""
        expected = self.expected_so_far
        return None if expected is None else (self.accounts_new - self.forecast_from) / expected - 1

    @property
    def left(self) -> int:
        """Credits neither charged nor uncertain."""
        return max(0, self.budget - self.charged - self.uncertain)

    @property
    def recent(self) -> tuple[int, int]:
        """Credits and new accounts of the last pages."""
        return self._recent_credits, self._recent_new

    @property
    def new_per_credit(self) -> float:
        """New accounts per credit over the last pages."""
        return self._recent_new / self._recent_credits if self._recent_credits else 0.0

    def wait(self, reason: str | None, now_s: float) -> None:
        """Note what is waited for from now on, None for nothing."""
        self._idle_s = self.idle_s(now_s)
        self.waiting, self._waits_since_s = reason, now_s

    def idle_s(self, now_s: float) -> float:
        """Seconds so far in which this process waited for a new day: nobody is at work then."""
        return self._idle_s + (now_s - self._waits_since_s if self.waiting == "day" else 0.0)

    def rate(self, now_s: float) -> float:
        """Pages per second at work, since this process began."""
        seconds = now_s - self.started_s - self.idle_s(now_s)
        return self.pages / seconds if seconds > 0 else 0.0

    def pace(self, now_s: float) -> float:
        """Pages per second over the last ten seconds."""
        while self._arrived and self._arrived[0] < now_s - PACE_S:
            self._arrived.popleft()
        return len(self._arrived) / max(1.0, min(PACE_S, now_s - self.started_s))

    def seconds_left(self, now_s: float) -> float | None:
        """Seconds until the budget or the known frontier ends at the rate so far; None while nobody can tell."""
        rate = self.rate(now_s) * self.crawlers  # the others are taken to be as fast
        return min(self.left, max(self.frontier, 0) or self.left) / rate if rate > 0 else None

    def page(self, *, status: str, charged: int, new_accounts: int, new_edges: int, now_s: float) -> None:
        """Note a stored page."""
        self._arrived.append(now_s)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.pages += 1
        self.accounts_new += new_accounts
        self.edges_new += new_edges
        if len(self._recent) == RECENT_PAGES:
            first_charged, first_new = self._recent[0]
            self._recent_credits -= first_charged
            self._recent_new -= first_new
        self._recent.append((charged, new_accounts))
        self._recent_credits += charged
        self._recent_new += new_accounts

    def error(self, code: str) -> None:
        """Note a call that brought no page."""
        self.errors[code] = self.errors.get(code, 0) + 1

    def add(self, other: Progress) -> None:
        """Add another process's or stint's counts to these."""
        for name in ("pages", "accounts_new", "edges_new", "lists_read", "hidden", "private", "not_found"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, others in ((self.errors, other.errors), (self.statuses, other.statuses)):
            for name, count in others.items():
                mine[name] = mine.get(name, 0) + count
        self.latency.add(other.latency)
        self.commits.add(other.commits)
