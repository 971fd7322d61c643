"""`followgraph plan`: what a budget would buy, before it is spent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli import asking, durations
from cli.amounts import amount
from cli.failure import usage
from cli.session import Bound

if TYPE_CHECKING:  # what the help page does without
    from crawler.forecast import Forecast
    from storage.database import Database

CONTROL_LEAST = 1_500
"""Credits at which a fifth for the control sample gives each wave a hundred, below which no interval is printed."""

MONTH_S = 30 * 86_400.0
"""A month of a standing cost."""


def plan(
    *,
    budget: int | None = None,
    strategy: str | None = None,
    control: float | None = None,
    audit: float | None = None,
    session: Bound,
) -> None:
    """Say what a budget would buy under each strategy, and what the known frontier costs. Spends nothing.

    With policy.refresh_every it also says what the duty to read lists again costs, now and after the budget.

    Parameters
    ----------
    budget
        Credits to plan with.
    strategy
        The strategy whose forecast comes first: flow, rank, core, community, discover, unbiased or bfs.
    control
        Share of the budget for a random control sample.
    audit
        Share of the budget for a sample that shows how far follower counts can be trusted.
    """
    from crawler.forecast import PILOT  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up

    flags = {"budget.total": budget, "crawl.strategy": strategy, "crawl.control": control, "crawl.audit": audit}
    configuration = session.configure(flags)
    settings = configuration.settings
    asking.refuse_contradictions(settings)
    credits, every_s = settings.budget.total, settings.policy.refresh_every
    if credits is None:
        raise usage(
            "no_budget",
            "a plan needs a budget",
            hint="Say how many credits it is about: followgraph plan --budget 2000",
        )
    database = Database.open(settings.storage.database, now=session.now, mode="read")
    try:
        forecasts = _forecasts(database, credits, settings.crawl)
        duty = _duty(database, credits, every_s)
    finally:
        database.close()
    chosen = forecasts[settings.crawl.strategy]
    output = session.output
    output.line(f"{amount(chosen.frontier_cost, 'credit')} for all that waits now, each list once", label="frontier")
    output.line(f"{credits:,} credits buy, in new accounts, new follows and lists:", label="budget")
    for name, each in forecasts.items():
        mark = " (chosen)" if name == settings.crawl.strategy else ""
        output.line(
            f"{_span(each.accounts)} accounts · {_span(each.edges)} follows · {_span(each.visits)} lists{mark}",
            label=name,
        )
    seconds = chosen.seconds
    output.line(
        f"{durations.clock_face(seconds.low)} to {durations.clock_face(seconds.high)} at the speed seen or asked for",
        label="time",
    )
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
    output.line(session.following("crawl", {**flags, "budget.total": credits}), label="next")
    output.finish(
        {
            "budget": credits,
            "strategy": settings.crawl.strategy,
            "frontier_cost": chosen.frontier_cost,
            "forecast": chosen.document(),
            "strategies": {name: each.document() for name, each in forecasts.items()},
            "basis": chosen.basis,
            "pilot_credits": PILOT if needs_pilot else None,
            "shares": {
                "control": round(settings.crawl.control * credits),
                "audit": round(settings.crawl.audit * credits),
            },
            "refresh_duty": duty,
        }
    )


def _forecasts(database: Database, credits: int, asked: Any) -> dict[str, Forecast]:
    from crawler.forecast import forecast  # noqa: PLC0415 - start-up
    from crawler.strategies import registry  # noqa: PLC0415 - start-up
    from storage import yields  # noqa: PLC0415 - start-up

    with database.read() as conn:
        known = yields.read(conn, concurrency=asked.concurrency, rate=asked.rate)
    names = [asked.strategy, *(name for name in registry.NAMES if name != asked.strategy)]
    return {name: forecast(known, registry.build(name), credits) for name in names}


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


def _span(of: Any) -> str:
    return f"{int(of.low):,}–{round(of.high):,}"


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
        told.append(("control", "off: the report prints no interval (0.2 of 1,500 credits and more buys them)"))
    if audit:
        told.append(
            ("audit", f"{amount(round(audit * credits), 'credit')} to learn how far follower counts can be trusted")
        )
    else:
        told.append(("audit", "off: rankings trust reported followers as they are"))
    if explore:
        told.append(("explore", f"about {amount(round(explore * credits), 'credit')} for accounts picked by lot"))
    return told
