"""What a crawl is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from crawler.breakers import Limits
from crawler.filter import Filter
from crawler.policy import Retry
from crawler.stopping import StopRules
from crawler.strategies import registry
from crawler.strategy import Strategy, Tuning
from storage.allowances import Caps
from storage.runs import REFRESH

CORE_SIZE = 1000
"""Accounts of the core that `core-pages` looks for, where nothing else is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a crawl is asked to do. Times in seconds, `rate` in requests per second, `budget` in credits.

    `explore`, `control` and `audit` are shares, of the picks and of the budget. `page_rules` says whether a strategy's
    page-wise rule takes its place: "on", "off", or "auto" where what was measured of this crawl's lists allows it.
    """

    budget: int | None
    new_run: bool = False
    strategy: str = registry.DEFAULT
    cost_exponent: float | None = None
    core_size: int = CORE_SIZE
    page_rules: str = "auto"
    explore: float = 0.0
    control: float = 0.0
    audit: float = 0.0
    concurrency: int = 20
    rate: float | None = None
    max_depth: int | None = None
    max_pages_per_account: int | None = None
    wanted: Filter = field(default_factory=Filter)
    caps: Caps = field(default_factory=Caps)
    stop_rules: StopRules = field(default_factory=StopRules)
    deadline_s: float | None = None
    rng_seed: int | None = None
    max_wait_s: float = 1800.0
    archive: bool = True
    refresh_only: bool = False
    """Buy nothing but lists that were queued before everything else, to be read again."""
    labels: Mapping[str, Any] = field(default_factory=dict)
    """Kept with the run's settings."""
    source: str = ""
    """The host that is asked, kept with the run so that a rehearsal is never taken for the real thing."""
    origin: str | None = None
    """The same with scheme and port, for a command that goes on with the run; None where the address has a path, which
    may hold a secret."""
    left_out: tuple[str, ...] = ()
    """Profile fields that are not stored: bio, avatar, region, language."""
    retry: Retry = field(default_factory=Retry)
    breakers: Limits = field(default_factory=Limits)

    @property
    def shares(self) -> tuple[float, float]:
        """The shares of the audit and of the control sample; a refresh, which buys no new list, has neither."""
        return (0.0, 0.0) if self.refresh_only else (self.audit, self.control)

    def tuning(self, lot_seed: int) -> Tuning:
        """Return what the strategies are built with."""
        return Tuning(cost_exponent=self.cost_exponent, core_size=self.core_size, lot_seed=lot_seed)

    def strategy_of(self, name: str, *, lot_seed: int) -> Strategy:
        """Return a strategy; the audit's has no cost exponent of the user's."""
        tuning = (
            self.tuning(lot_seed) if name in {self.strategy, f"{self.strategy}-pages"} else Tuning(lot_seed=lot_seed)
        )
        return registry.build(name, tuning)

    def as_settings(self) -> Mapping[str, Any]:
        """Return what a later reader needs to repeat the run; no secrets are among the options.

        How long a call waits for its repetition is not among them: it changes when a page is bought, not which.
        """
        audit, control = self.shares
        return {
            "strategy": self.strategy,
            "cost_exponent": self.cost_exponent,
            "core_size": self.core_size,
            "page_rules": self.page_rules,
            "explore": self.explore,
            "control": control,
            "audit": audit,
            "concurrency": self.concurrency,
            "rate": self.rate,
            "max_depth": self.max_depth,
            "max_pages_per_account": self.max_pages_per_account,
            "filter": self.wanted.as_settings(),
            "stop": asdict(self.stop_rules),
            "retry": {
                "attempts": self.retry.attempts,
                "maybe_charged_attempts": self.retry.maybe_charged_attempts,
            },
            "breakers": asdict(self.breakers),
            "per_day": self.caps.per_day,
            "time_zone": None if self.caps.per_day is None else self.caps.time_zone,
            "per_seed": self.caps.per_seed,
            "per_depth": list(self.caps.per_depth),
            "retry_reserve": self.caps.retry_reserve,
            "deadline_s": self.deadline_s,
            "archive": self.archive,
            "left_out": list(self.left_out),
            "source": self.source,
            "origin": self.origin,
            **({REFRESH: True} if self.refresh_only else {}),
            **self.labels,
        }
