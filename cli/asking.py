"""What the settings ask of a crawl, the same for a crawl and for a daemon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cli.failure import usage

if TYPE_CHECKING:  # what the help page does without
    from cli.config import Configuration
    from cli.settings import Budget, Settings
    from crawler.options import Options
    from storage.allowances import Caps


def refuse_contradictions(configuration: Configuration) -> None:
    """Raise a wrong input for settings that are each allowed and buy nothing together."""
    settings = configuration.settings
    asked, budget, wanted = settings.crawl, settings.budget, settings.filter

    def told(key: str, value: float) -> str:
        return f"{key} = {value:,g} ({configuration.whence(key)})"

    if asked.control + asked.audit >= 1:
        raise usage(
            "no_main_share",
            f"{told('crawl.control', asked.control)} and {told('crawl.audit', asked.audit)} leave nothing for the crawl"
            " itself",
            hint="Together they stay below 1; 0.2 each is usual.",
        )
    if budget.total is not None and 0 < budget.total <= budget.retry_reserve:
        raise usage(
            "no_main_share",
            f"{told('budget.retry_reserve', budget.retry_reserve)} keeps all of {told('budget.total', budget.total)}"
            " for retries",
            hint="Keep less of it, or raise the budget.",
        )
    for what in ("followers", "following"):
        least, most = getattr(wanted, f"min_{what}"), getattr(wanted, f"max_{what}")
        if least is not None and most is not None and least > most:
            raise usage(
                "nobody_wanted",
                f"{told(f'filter.min_{what}', least)} is above {told(f'filter.max_{what}', most)}: nobody would be"
                " bought",
                hint="Lower the one or raise the other.",
            )


_OF_STRATEGIES: Mapping[str, str] = {
    "crawl.cost_exponent": "divide by pages",
    "crawl.core_size": "look for a core of so many accounts",
    "crawl.page_rules": "have a page-wise rule",
    "stop.uncrawled_share": "hand on cash",
}
"""Settings that some strategies have no use for, and what the others do with them."""


def refuse_unused(configuration: Configuration) -> list[str]:
    """Raise a wrong input for a setting that the strategy asked for has no use for.

    Where the strategy was named by something stronger, as on the command line against the file, that is what is wanted
    this once: then the setting is passed over, and what is to be said of it returned.
    """
    from cli.settings import every  # noqa: PLC0415 - start-up

    settings, passed_over = configuration.settings, []
    strategy = settings.crawl.strategy
    for key, what in _OF_STRATEGIES.items():
        section, _, name = key.partition(".")
        value = getattr(getattr(settings, section), name)
        if value in ("auto", "off") or value == every()[key].default:
            continue
        users = _users(key, settings.crawl.page_rules)
        if strategy in users:
            continue
        message = f"{key} = {value} ({configuration.whence(key)}) does nothing with the strategy {strategy}"
        if configuration.outweighs("crawl.strategy", key):
            passed_over.append(f"{message}, so it is passed over")
            continue
        others = f"{', '.join(users[:-1])} and {users[-1]}" if len(users) > 1 else users[0]
        raise usage(
            "unused_setting",
            f"{message} ({configuration.whence('crawl.strategy')})",
            hint=f"Take it away, or choose a strategy that has a use for it: only {others} can {what}.",
        )
    return passed_over


def _users(key: str, page_rules: str) -> list[str]:
    """Return the strategies that have a use for a setting."""
    from crawler.strategies import registry  # noqa: PLC0415 - start-up

    pagewise = registry.PAGEWISE
    if key == "crawl.core_size":
        return ["core"]
    if key == "crawl.page_rules":
        return list(pagewise)
    ruling = {**registry.CHOICES, **pagewise} if page_rules == "on" else registry.CHOICES
    of_kind = "keeps_cash" if key == "stop.uncrawled_share" else "has_cost"
    return [name for name in registry.NAMES if getattr(ruling[name], of_kind)]


def options(settings: Settings) -> Options:
    """Return the options that every kind of crawl shares; a crawl adds its own."""
    from crawler.breakers import Limits  # noqa: PLC0415 - start-up
    from crawler.filter import Filter  # noqa: PLC0415 - start-up
    from crawler.options import Options  # noqa: PLC0415 - start-up
    from crawler.policy import Retry  # noqa: PLC0415 - start-up
    from crawler.stopping import StopRules  # noqa: PLC0415 - start-up

    asked, address = settings.crawl, urlsplit(settings.api.base_url)
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
        source=address.hostname or "",
        origin=None if address.path else settings.api.base_url,
        left_out=settings.policy.left_out,
        retry=Retry(**settings.retry.model_dump()),
        breakers=Limits(**settings.breakers.model_dump()),
    )


def kept(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return by dotted key what a run was asked to do, as its settings keep it; what is no setting is left out."""
    from cli.settings import every  # noqa: PLC0415 - start-up

    found: dict[str, Any] = {}
    for name, value in asked.items():
        match name, value:
            case "filter" | "stop" | "retry" | "breakers", dict():
                found |= {f"{name}.{inside}": each for inside, each in value.items()}
            case "time_zone", None:
                pass  # no limit a day, so it decided nothing
            case "source", _:
                found["api.base_url"] = value
            case "archive", _:
                found["storage.archive"] = "on" if value else "off"
            case "left_out", list():
                found |= {f"policy.store_{each}": False for each in value}
            case _:
                found |= {f"{section}.{name}": value for section in ("crawl", "budget")}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in found.items() if key in every()}


def otherwise(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what two of a run's settings differ in, by dotted key; what one of them does not name has its default."""
    from cli.settings import every  # noqa: PLC0415 - start-up

    old, new = kept(before), kept(after)
    default = {key: every()[key].default for key in {**old, **new}}
    values = {key: (old.get(key, usual), new.get(key, usual)) for key, usual in default.items()}
    return {key: pair for key, pair in values.items() if pair[0] != pair[1]}


def differing(changed: Mapping[str, tuple[Any, Any]], configuration: Configuration) -> str:
    """Say what each setting was and is, and where it is set now."""
    from cli.config import DEFAULT  # noqa: PLC0415 - start-up

    def told(key: str, old: object, new: object) -> str:
        whence = "" if configuration.origins[key] == DEFAULT else f" ({configuration.whence(key)})"
        return f"{key} {spelt(old)} → {spelt(new)}{whence}"

    return ", ".join(told(key, *values) for key, values in changed.items())


def spelt(value: object) -> str:
    """Return the value of a setting as a flag takes it."""
    match value:
        case None | ():
            return "none"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case tuple():
            return ",".join(map(str, value))
        case _:
            return str(value)


def as_before(changed: Mapping[str, tuple[Any, Any]]) -> dict[str, object]:
    """Return the flags, by dotted key, that set what changed to what it was; None where no flag may be given for that.

    Of an address this is given the host, which no flag can name.
    """
    from cli.settings import flag_of  # noqa: PLC0415 - start-up

    flags: dict[str, object] = {}
    for key, (old, _) in changed.items():
        if flag_of(key) is not None and key != "api.base_url":
            value = spelt(old) if key == "budget.per_depth" and old else old
            flags[key] = None if value is False or value == () else value
    return flags


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
        time_zone=budget.time_zone,
        day=lambda now: calendar.day(now, where),
        day_ends=lambda now: calendar.next_midnight(now, where),
    )
