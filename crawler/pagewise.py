"""When a page-wise rule takes a strategy's place: where the lists of this crawl, as measured, allow it."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from statistics import median
from typing import TYPE_CHECKING

from crawler.options import Options
from crawler.strategies import registry
from crawler.strategy import Strategy
from storage import evidence

if TYPE_CHECKING:
    from sqlalchemy import Connection

ORDER_TESTS, ORDER_BIAS, ORDER_DEVIATION = 100, 0.2, 3.0
"""A list order counts as random when so many comparisons lean less than this, in share and in standard deviations."""

SPREAD_ACCOUNTS, SPREAD = 30, 0.5
"""Follower counts count as trustworthy when log(k/F) of so many accounts spreads less than this beyond chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of a crawl's lists. `order_bias` is -1 (hubs first) to 1 (hubs last); None: too little seen."""

    order_bias: float | None
    spread: float | None

    @property
    def allows_pages(self) -> bool:
        """Whether a page-wise rule may be trusted."""
        return self.order_bias is not None and self.spread is not None and self.spread <= SPREAD


def measure(order_tests: int, order_score: int, ratios: list[tuple[int, int]]) -> Measured:
    """Judge comparisons of list positions, and pairs of listings seen (k) and followers reported (F)."""
    order_bias = None
    if order_tests >= ORDER_TESTS:
        bias = order_score / order_tests
        if abs(bias) <= ORDER_BIAS and abs(order_score) <= ORDER_DEVIATION * order_tests**0.5:
            order_bias = bias
    spread = None
    logs = [log(k / followers) for k, followers in ratios if followers > 0]
    if len(logs) >= SPREAD_ACCOUNTS:
        middle = median(logs)
        deviation = 1.4826 * median(abs(value - middle) for value in logs)
        by_chance = sum(1 / k for k, _ in ratios) / len(ratios)
        spread = max(0.0, deviation**2 - by_chance) ** 0.5
    return Measured(order_bias=order_bias, spread=spread)


def measured_in(conn: Connection) -> Measured:
    """Measure the lists read so far, by any run."""
    return measure(*evidence.list_order(conn), evidence.listing_ratios(conn))


def rule(options: Options, name: str, measured: Measured | None, *, lot_seed: int) -> Strategy:
    """Return the strategy of this name, or its page-wise rule where one is asked for or what was measured allows it."""
    is_paged = options.page_rules == "on" if measured is None else measured.allows_pages
    kind = registry.PAGEWISE.get(name) if is_paged else None
    return options.strategy_of(name if kind is None else kind.name, lot_seed=lot_seed)
