"""The flags that `plan` and `crawl` share, so that what was planned with is what is crawled with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from cyclopts import Parameter, Token, convert

from cli.escaping import shortened


def converted(kind: Any, tokens: Sequence[Token]) -> Any:
    """Convert as cyclopts does, but never a fraction to a whole number: it would round `--budget 2.7` to 3 credits."""
    for token in tokens:
        if kind is int and not re.fullmatch(r"[+-]?[0-9]+", token.value):
            raise ValueError(f'"{shortened(token.value)}" is not a whole number: write digits alone, such as 20')
    return convert(kind, tokens)


Whole = Annotated[int | None, Parameter(converter=converted)]
"""A whole number in a record of flags, which the converter of the parameters around it does not reach."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """On what terms lists are bought. Each field is a flag, and each flag a setting.

    Parameters
    ----------
    strategy
        What to buy first: flow, rank, core, community, discover, unbiased or bfs.
    cost_exponent
        How much a long list counts against an account: 0 not at all, 1 in proportion.
    core_size
        Accounts that count as important where core goes page by page.
    page_rules
        Let core and discover leave half-read lists for better ones: auto, on or off.
    explore
        Share of accounts picked by lot instead, from 0 to 1.
    control
        Share of the budget for a random control sample: the only source of intervals in the report.
    audit
        Share of the budget for a sample that shows how far follower counts can be trusted.
    budget_per_day
        Credits a day, over all runs; when they are spent the crawl waits for the next day.
    budget_per_seed
        Credits for all that was discovered through one seed.
    budget_per_depth
        Credits for accounts 0, 1, 2 … hops from a seed, separated by commas: 10,500.
    retry_reserve
        Credits kept for pages whose first call failed.
    min_followers
        Buy only accounts with so many followers at least.
    max_followers
        Buy only accounts with so many followers at most.
    min_following
        Buy only accounts that follow so many at least.
    max_following
        Buy only accounts that follow so many at most.
    region
        Buy only accounts of this region. May be given again.
    language
        Buy only accounts of this language. May be given again.
    verified
        Buy only verified accounts (others only: filter.verified = false).
    handle_pattern
        Buy only accounts whose whole handle matches this regular expression.
    concurrency
        Requests in flight at most.
    rate
        Requests a second at most.
    max_depth
        Hops from the nearest seed at most; 0 reads the seeds only.
    max_pages_per_account
        Pages bought of one list at most.
    rng_seed
        Seed of everything random in the run.
    """

    strategy: str | None = None
    cost_exponent: float | None = None
    core_size: Whole = None
    page_rules: str | None = None
    explore: float | None = None
    control: float | None = None
    audit: float | None = None
    budget_per_day: Whole = None
    budget_per_seed: Whole = None
    budget_per_depth: str | None = None
    retry_reserve: Whole = None
    min_followers: Whole = None
    max_followers: Whole = None
    min_following: Whole = None
    max_following: Whole = None
    region: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    verified: bool | None = None
    handle_pattern: str | None = None
    concurrency: Whole = None
    rate: float | None = None
    max_depth: Whole = None
    max_pages_per_account: Whole = None
    rng_seed: Whole = None

    def by_key(self) -> dict[str, object]:
        """Return them by the dotted keys of their settings; None for what was not given."""
        from cli.settings import every, flag_of  # noqa: PLC0415 - start-up

        keys = {flag_of(key): key for key in every() if key.startswith(("budget.", "crawl.", "filter."))}
        return {
            keys[f"--{name.replace('_', '-')}"]: None if value == () else value for name, value in asdict(self).items()
        }


NONE_GIVEN = Flags()
