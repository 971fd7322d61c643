"""All strategies by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from crawler.strategies.bfs import Bfs
from crawler.strategies.community import Community
from crawler.strategies.core import Core
from crawler.strategies.core_pages import CorePages
from crawler.strategies.discover import Discover
from crawler.strategies.discover_pages import DiscoverPages
from crawler.strategies.expansion import Expansion
from crawler.strategies.flow import Flow
from crawler.strategies.rank import Rank
from crawler.strategies.unbiased import Unbiased
from crawler.strategy import Strategy, Tuning

CHOICES: Mapping[str, type[Strategy]] = {
    kind.name: kind for kind in (Flow, Rank, Core, Community, Discover, Unbiased, Bfs)
}
"""Those a user names."""

PAGEWISE: Mapping[str, type[Strategy]] = {Core.name: CorePages, Discover.name: DiscoverPages}
"""Those that take a chosen one's place where what was measured of this crawl's lists allows it."""

EVERY: Mapping[str, type[Strategy]] = {
    **CHOICES,
    **{kind.name: kind for kind in PAGEWISE.values()},
    Expansion.name: Expansion,
}
NAMES = tuple(CHOICES)
DEFAULT = Flow.name


def build(name: str, tuning: Tuning | None = None) -> Strategy:
    """Return a strategy by name. Raises KeyError."""
    return EVERY[name](Tuning() if tuning is None else tuning).restored(None)


def of_label(label: str) -> Strategy | None:
    """Return the strategy that a ranking is labelled with, None where nobody here knows it."""
    name, *tuned = label.split("/")
    given = {what: value for what, _, value in (each.partition("^") for each in tuned)}
    if name not in EVERY or not given.keys() <= {"cost", "core"}:
        return None
    tuning = Tuning()
    try:
        if "cost" in given:
            tuning = replace(tuning, cost_exponent=float(given["cost"]))
        if "core" in given:
            tuning = replace(tuning, core_size=int(given["core"]))
    except ValueError:
        return None
    return build(name, tuning)


def has_to_tally(ranked_by: str | None, strategy: Strategy) -> bool:
    """Tell whether what a strategy keeps of an entry has to be worked out anew where the frontier was ranked otherwise.

    Cash and listings may have been kept by the strategy before; what one learns is its own.
    """
    # A ranking that was cut off, or by a strategy unknown here, says nothing about what was kept either.
    before = strategy if ranked_by is None else of_label(ranked_by)
    return strategy.learns or (
        before is None
        or (strategy.keeps_cash and not before.keeps_cash)
        or (strategy.keeps_listings and not before.keeps_listings)
    )
