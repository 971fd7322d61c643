"""`followgraph plan`: what a budget would buy, before it is spent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from cli import asking, durations
from cli.amounts import amount
from cli.failure import usage
from cli.session import Bound

if TYPE_CHECKING:  # what the help page does without
    from cli.settings import Budget, Settings
    from crawler.forecast import Forecast, Range
    from crawler.prospects import Prospects
    from storage.database import Database

CONTROL_LEAST = 1_500
"""Credits at which a fifth for the control sample gives each wave a hundred, below which no interval is printed."""

MONTH_S = 30 * 86_400.0
"""A month of a standing cost."""


def plan(
    *,
    budget: int | None = None,
    new_run: bool = False,
    strategy: str | None = None,
    cost_exponent: float | None = None,
    core_size: int | None = None,
    page_rules: str | None = None,
    explore: float | None = None,
    control: float | None = None,
    audit: float | None = None,
    budget_per_day: int | None = None,
    budget_per_seed: int | None = None,
    budget_per_depth: str | None = None,
    retry_reserve: int | None = None,
    min_followers: int | None = None,
    max_followers: int | None = None,
    min_following: int | None = None,
    max_following: int | None = None,
    region: tuple[str, ...] = (),
    language: tuple[str, ...] = (),
    verified: bool | None = None,
    handle_pattern: str | None = None,
    concurrency: int | None = None,
    rate: float | None = None,
    max_depth: int | None = None,
    max_pages_per_account: int | None = None,
    rng_seed: int | None = None,
    session: Bound,
) -> None:
    """Say what a budget would buy under each strategy, and what the known frontier costs. Spends nothing.

    Takes the settings of a crawl and counts what a crawl with them would buy. With policy.refresh_every it also says
    what the duty to read lists again costs, now and after the budget.

    Parameters
    ----------
    budget
        Credits to plan with.
    new_run
        Plan for a new run even where the last one was cut off.
    strategy
        The strategy whose forecast comes first: flow, rank, core, community, discover, unbiased or bfs.
    cost_exponent
        How much a long list counts against an account: 0 not at all, 1 in proportion.
    core_size
        Accounts that count as important where core goes page by page.
    page_rules
        Let core and discover leave half-read lists for better ones: auto, on or off.
    explore
        Share of accounts picked by lot instead, from 0 to 1.
    control
        Share of the budget for a random control sample.
    audit
        Share of the budget for a sample that shows how far follower counts can be trusted.
    budget_per_day
        Credits a day: a larger budget lasts several.
    budget_per_seed
        Credits for all that was discovered through one seed.
    budget_per_depth
        Credits for accounts 0, 1, 2 … hops from a seed, separated by commas: 10,500.
    retry_reserve
        Credits kept for pages whose first call failed.
    min_followers
        Count only accounts with so many followers at least.
    max_followers
        Count only accounts with so many followers at most.
    min_following
        Count only accounts that follow so many at least.
    max_following
        Count only accounts that follow so many at most.
    region
        Count only accounts of this region. May be given again.
    language
        Count only accounts of this language. May be given again.
    verified
        Count only verified accounts (others only: filter.verified = false).
    handle_pattern
        Count only accounts whose whole handle matches this regular expression.
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
    from crawler.forecast import PILOT  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up

    flags: dict[str, object] = {
        "budget.total": budget,
        "crawl.strategy": strategy,
        "crawl.cost_exponent": cost_exponent,
        "crawl.core_size": core_size,
        "crawl.page_rules": page_rules,
        "crawl.explore": explore,
        "crawl.control": control,
        "crawl.audit": audit,
        "budget.per_day": budget_per_day,
        "budget.per_seed": budget_per_seed,
        "budget.per_depth": budget_per_depth,
        "budget.retry_reserve": retry_reserve,
        "filter.min_followers": min_followers,
        "filter.max_followers": max_followers,
        "filter.min_following": min_following,
        "filter.max_following": max_following,
        "filter.regions": region or None,
        "filter.languages": language or None,
        "filter.verified": verified,
        "filter.handle": handle_pattern,
        "crawl.concurrency": concurrency,
        "crawl.rate": rate,
        "crawl.max_depth": max_depth,
        "crawl.max_pages_per_account": max_pages_per_account,
        "crawl.rng_seed": rng_seed,
    }
    configuration = session.configure(flags)
    settings = configuration.settings
    asking.refuse_contradictions(settings)
    for words in asking.refuse_unused(configuration):
        session.output.note(words, label="WARN")
    credits, every_s = settings.budget.total, settings.policy.refresh_every
    if credits is None:
        raise usage(
            "no_budget",
            "a plan needs a budget",
            hint="Say how many credits it is about: followgraph plan --budget 2000",
        )
    database = Database.open(settings.storage.database, now=session.now, mode="read")
    try:
        found = _prospects(database, credits, settings, new_run=new_run, now=session.now())
        duty = _duty(database, credits, every_s)
    finally:
        database.close()
    chosen = found.forecasts[settings.crawl.strategy]
    output = session.output
    output.line(f"{amount(chosen.frontier_cost, 'credit')} for all that waits now, each list once", label="frontier")
    for at, text in enumerate(_of_budget(credits, found, chosen, settings.budget)):
        output.line(text, label="" if at else "budget")
    output.line("new accounts · new follows · lists, as low–mid–high of each", label="buys")
    for name, each in found.forecasts.items():
        mark = " (chosen)" if name == settings.crawl.strategy else ""
        output.line(f"{_span(each.accounts)} · {_span(each.edges)} · {_span(each.visits)}{mark}", label=name)
    seconds = chosen.seconds
    clock = "–".join(durations.clock_face(each) for each in (seconds.low, seconds.mid, seconds.high))
    output.line(f"{clock} at the speed seen, or 0.2 to 5 s an answer", label="time")
    needs_pilot = chosen.basis == "prior"
    if needs_pilot:
        output.line(
            f"nothing of this crawl is known yet, so the ranges are wide: a pilot of {PILOT} credits tells more"
            f" ({session.following('crawl', {**flags, 'budget.total': PILOT})})",
            label="pilot",
        )
    for label, text in _overlays(credits, settings.crawl.control, settings.crawl.audit, settings.crawl.explore):
        output.line(text, label=label)
    if duty is not None and every_s is not None:
        output.line(_of_duty(duty, every_s), label="duty")
    next_command = session.following("crawl", {**flags, "budget.total": credits})
    output.line(f"{next_command} --new-run" if found.new_run else next_command, label="next")
    output.finish(
        {
            "budget": credits,
            "strategy": settings.crawl.strategy,
            "frontier_cost": chosen.frontier_cost,
            "forecast": chosen.document(),
            "strategies": {name: each.document() for name, each in found.forecasts.items()},
            "basis": chosen.basis,
            "pilot_credits": PILOT if needs_pilot else None,
            "shares": {
                "control": round(settings.crawl.control * credits),
                "audit": round(settings.crawl.audit * credits),
            },
            "continues": found.continues,
            "used": found.used,
            "reserved": settings.budget.retry_reserve,
            "spends": chosen.cost,
            "days": chosen.days,
            "refresh_duty": duty,
        }
    )


def _prospects(database: Database, credits: int, settings: Settings, *, new_run: bool, now: float) -> Prospects:
    from crawler import prospects  # noqa: PLC0415 - start-up

    with database.read() as conn:
        return prospects.read(conn, replace(asking.options(settings), new_run=new_run), credits, now=now)


def _of_budget(credits: int, found: Prospects, chosen: Forecast, asked: Budget) -> Iterator[str]:
    """Say which part of the budget buys lists, and what becomes of the rest."""
    if found.continues is None:
        yield amount(credits, "credit")
    else:
        yield f"{amount(credits, 'credit')} of run {found.continues}, which goes on: {found.used:,} are used"
    if asked.retry_reserve:
        yield f"{asked.retry_reserve:,} of them are kept for pages whose first call failed"
    if not chosen.cost:
        yield "nothing is left to buy with these settings"
    elif chosen.cost < found.left:
        yield f"about {amount(chosen.cost, 'credit')} will be spent: then nothing is left to buy"
    if asked.per_day is not None:
        yield f"{asked.per_day:,} credits a day: it lasts {amount(chosen.days or 1, 'day')}"


def _duty(database: Database, credits: int, every_s: float | None) -> dict[str, dict[str, float]] | None:
    """Return what reading every visited list again that often costs, each time and a month: now, and what is added.

    Each page that the budget buys is a page to read again, if all of it goes into lists not read before.
    """
    from storage import retention  # noqa: PLC0415 - start-up

    if every_s is None:
        return None
    with database.read() as conn:
        now = retention.standing_cost(conn, every_s) * every_s / retention.DAY_S
    each_time = {"now": round(now), "added": credits}
    return {
        "credits_each_time": dict(each_time),
        "credits_a_month": {when: round(cost * MONTH_S / every_s, 1) for when, cost in each_time.items()},
    }


def _of_duty(duty: dict[str, dict[str, float]], every_s: float) -> str:
    now, added = (
        f"{duty['credits_a_month'][when]:,.0f} credits a month ({duty['credits_each_time'][when]:,} each time)"
        for when in ("now", "added")
    )
    every = durations.written(every_s)
    return f"policy.refresh_every = {every}: {now} for the lists read so far, and up to {added} for what this buys"


def _span(of: Range) -> str:
    return "–".join(f"{count:,}" for count in of.document().values())


def _overlays(credits: int, control: float, audit: float, explore: float) -> list[tuple[str, str]]:
    """Say what each overlay costs and what it makes possible."""
    told = []
    if control:
        share = round(control * credits)
        makes = (
            "intervals for averages in the report"
            if share // 3 >= CONTROL_LEAST // 15
            else "no interval yet: each of its three waves needs 100 credits"
        )
        told.append(("control", f"{amount(share, 'credit')} for a random sample: {makes}"))
    else:
        told.append(("control", "off: no intervals in the report (0.2 of 1,500 credits buys them)"))
    if audit:
        told.append(
            ("audit", f"{amount(round(audit * credits), 'credit')} to learn how far follower counts can be trusted")
        )
    else:
        told.append(("audit", "off: rankings trust reported followers as they are"))
    if explore:
        told.append(("explore", f"about {amount(round(explore * credits), 'credit')} for accounts picked by lot"))
    return told
