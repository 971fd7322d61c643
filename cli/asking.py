"""What the settings ask of a crawl, the same for a crawl and for a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cli.failure import usage

if TYPE_CHECKING:  # what the help page does without
    from cli.settings import Budget, Settings
    from crawler.options import Options
    from storage.allowances import Caps


def refuse_contradictions(settings: Settings) -> None:
    """Raise a wrong input for settings that are each allowed and buy nothing together."""
    asked, budget, wanted = settings.crawl, settings.budget, settings.filter
    if asked.control + asked.audit >= 1:
        raise usage(
            "no_main_share",
            f"crawl.control ({asked.control:g}) and crawl.audit ({asked.audit:g}) leave nothing for the crawl itself",
            hint="Together they stay below 1; 0.2 each is usual.",
        )
    if budget.total is not None and 0 < budget.total <= budget.retry_reserve:
        raise usage(
            "no_main_share",
            f"budget.retry_reserve ({budget.retry_reserve:,}) keeps all of budget.total ({budget.total:,}) for retries",
            hint="Keep less of it, or raise the budget.",
        )
    for what in ("followers", "following"):
        least, most = getattr(wanted, f"min_{what}"), getattr(wanted, f"max_{what}")
        if least is not None and most is not None and least > most:
            raise usage(
                "nobody_wanted",
                f"filter.min_{what} ({least:,}) is above filter.max_{what} ({most:,}): nobody would be bought",
                hint="Lower the one or raise the other.",
            )


def options(settings: Settings) -> Options:
    """Return the options that every kind of crawl shares; a crawl adds its own."""
    from crawler.breakers import Limits  # noqa: PLC0415 - start-up
    from crawler.filter import Filter  # noqa: PLC0415 - start-up
    from crawler.options import Options  # noqa: PLC0415 - start-up
    from crawler.policy import Retry  # noqa: PLC0415 - start-up
    from crawler.stopping import StopRules  # noqa: PLC0415 - start-up

    asked = settings.crawl
    return Options(
        budget=settings.budget.total,
        strategy=asked.strategy,
        cost_exponent=asked.cost_exponent,
        core_size=asked.core_size,
        page_rules=asked.page_rules,
        explore=asked.explore,
        control=asked.control,
        audit=asked.audit,
        wanted=Filter(**settings.filter.model_dump()),
        caps=caps(settings.budget),
        stop_rules=StopRules(**settings.stop.model_dump()),
        concurrency=asked.concurrency,
        rate=asked.rate,
        max_depth=asked.max_depth,
        max_pages_per_account=asked.max_pages_per_account,
        rng_seed=asked.rng_seed,
        max_wait_s=asked.max_wait,
        archive=settings.storage.archive == "on",
        source=urlsplit(settings.api.base_url).hostname or "",
        left_out=settings.policy.left_out,
        retry=Retry(**settings.retry.model_dump()),
        breakers=Limits(**settings.breakers.model_dump()),
    )


def caps(budget: Budget) -> Caps:
    """Return the sub-budgets that the settings ask for."""
    from crawler import calendar  # noqa: PLC0415 - start-up
    from storage.allowances import Caps  # noqa: PLC0415 - start-up

    where = calendar.zone(budget.time_zone)
    return Caps(
        per_day=budget.per_day,
        per_seed=budget.per_seed,
        per_depth=budget.per_depth,
        retry_reserve=budget.retry_reserve,
        day=lambda now: calendar.day(now, where),
        day_ends=lambda now: calendar.next_midnight(now, where),
    )
