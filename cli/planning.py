"""`followgraph plan`: what a budget would buy, before it is spent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cli import asking, durations
from cli.amounts import amount
from cli.failure import usage
from cli.flags import NONE_GIVEN, Flags
from cli.session import Bound, Session

if TYPE_CHECKING:  # what the help page does without
    from cli.settings import Crawl, Settings
    from crawler.forecast import Forecast, Range
    from crawler.prospects import Part, Prospects
    from storage.database import Database

USUAL_CONTROL = 0.2
"""The share of a budget that is usual for a control sample."""

MONTH_S = 30 * 86_400.0
"""A month of a standing cost."""


def plan(*, budget: int | None = None, new_run: bool = False, asked: Flags = NONE_GIVEN, session: Bound) -> None:
    """Say what a budget would buy under each strategy, and what the known frontier costs. Spends nothing.

    Takes the settings of a crawl and counts what a crawl with them would buy. With policy.refresh_every it also says
    what the duty to read lists again costs, now and after the budget.

    Parameters
    ----------
    budget
        Credits to plan with. A run that was cut off is planned with its own.
    new_run
        Plan for a new run even where the last one was cut off.
    """
    from crawler.forecast import PILOT  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up

    flags: dict[str, object] = {"budget.total": budget, **asked.by_key()}
    configuration = session.configure(flags)
    settings = configuration.settings
    asking.refuse_contradictions(configuration)
    for words in asking.refuse_unused(configuration):
        session.output.note(words, label="WARN")
    every_s = settings.policy.refresh_every
    database = Database.open(settings.storage.database, now=session.now, mode="read")
    try:
        found = _prospects(database, settings, new_run=new_run, now=session.now())
        credits = found.budget
        duty = _duty(database, credits, every_s)
    finally:
        database.close()
    chosen = found.forecasts[settings.crawl.strategy]
    output = session.output
    least = "at least " if found.is_least else ""
    cost = amount(chosen.frontier_cost, "credit")
    output.line(f"{least}{cost} for all that waits now, each list once", label="frontier")
    for at, text in enumerate(_of_budget(credits, found, chosen, settings)):
        output.line(text, label="" if at else "budget")
    if any(each.cost for each in found.forecasts.values()):
        _tell_forecasts(found, chosen, settings.crawl, session)
    needs_pilot = chosen.basis == "prior" and credits > PILOT
    if needs_pilot:
        output.line(
            f"nothing of this crawl is known yet, so the ranges are wide: a pilot of {PILOT} credits tells more",
            label="pilot",
        )
        output.line(session.following("crawl", _of_pilot(flags, session)), label="", is_command=True)
    elif chosen.basis == "prior":
        output.line("nothing of this crawl is known yet, so the ranges are wide: this budget is a pilot", label="pilot")
    shared = max(0, credits - settings.budget.retry_reserve)  # what the shares are of
    shares: dict[Part, int] = {
        "control": round(settings.crawl.control * shared),
        "audit": round(settings.crawl.audit * shared),
    }
    by_lot = round(settings.crawl.explore * found.coming["main"])
    for label, text in _overlays(found, settings.crawl, shares, by_lot):
        output.line(text, label=label)
    if duty is not None and every_s is not None:
        output.line(_of_duty(duty, every_s), label="duty")
    next_command = session.following("crawl", {**flags, "budget.total": settings.budget.total})
    output.line(f"{next_command} --new-run" if found.new_run else next_command, label="next", is_command=True)
    output.finish(
        {
            "budget": credits,
            "strategy": settings.crawl.strategy,
            "frontier_cost": chosen.frontier_cost,
            "frontier_cost_is_least": found.is_least,
            "forecast": chosen.document(),
            "strategies": {name: each.document() for name, each in found.forecasts.items()},
            "basis": chosen.basis,
            "pilot_credits": PILOT if needs_pilot else None,
            "shares": shares,
            "coming": {**found.coming, "explore": by_lot},
            "continues": found.continues,
            "used": found.used,
            "reserved": settings.budget.retry_reserve,
            "spends": chosen.cost,
            "days": chosen.days,
            "answer_seconds": chosen.answer_s,
            "refresh_duty": duty,
        }
    )


def _prospects(database: Database, settings: Settings, *, new_run: bool, now: float) -> Prospects:
    from crawler import prospects  # noqa: PLC0415 - start-up
    from storage.errors import BudgetMissing  # noqa: PLC0415 - start-up

    options = replace(asking.options(settings), new_run=new_run)
    try:
        with database.read() as conn:
            return prospects.read(conn, options, settings.budget.total, now=now)
    except BudgetMissing:
        raise usage(
            "no_budget",
            "a plan needs a budget, for there is no run to go on with",
            hint="Say how many credits it is about: followgraph plan --budget 2000",
        ) from None


_NOT_OF_PILOT = ("crawl.control", "crawl.audit", "budget.retry_reserve")
"""Settings that keep credits from the crawl itself, of which a pilot is to tell."""


def _of_pilot(flags: Mapping[str, object], session: Session) -> dict[str, object]:
    """Return the flags of a pilot: those of the crawl, without what a few credits cannot pay beside it."""
    from crawler.forecast import PILOT  # noqa: PLC0415 - start-up

    bare = {**flags, "budget.total": PILOT, **dict.fromkeys(_NOT_OF_PILOT)}
    settings = session.configure(bare).settings
    for key in _NOT_OF_PILOT:  # set where no flag can be left out
        section, _, name = key.partition(".")
        if getattr(getattr(settings, section), name):
            bare[key] = 0
    return bare


def _tell_forecasts(found: Prospects, chosen: Forecast, asked: Crawl, session: Session) -> None:
    """Print what each strategy buys, in columns under one another, and how long the chosen one takes."""
    line = session.output.line
    width = max(map(len, found.forecasts))
    line("new accounts · new follows · lists, as low–mid–high of each", label="buys".ljust(width))
    for name, each in found.forecasts.items():
        mark = " (chosen)" if each is chosen else ""
        spans = " · ".join(map(_span, (each.accounts, each.edges, each.visits)))
        line(f"{spans}{mark}", label=name.ljust(width))
    if len(found.forecasts) > 1 and len({str(each.document()) for each in found.forecasts.values()}) == 1:
        why = "the credits buy all that can be reached"
        if chosen.basis == "prior":
            why = "nothing is known to choose by"
        elif chosen.cost and not found.coming["main"]:
            why = "the audit and the control sample take all credits"
        line(f"all alike, for {why}", label="".ljust(width))
    seconds = chosen.seconds
    faces = [durations.clock_face(each) for each in (seconds.low, seconds.mid, seconds.high)]
    clock = faces[0] if len(set(faces)) == 1 else "–".join(faces)
    line(f"{clock} {_basis_of_time(chosen, asked)}", label="time")


def _basis_of_time(chosen: Forecast, asked: Crawl) -> str:
    """Say by which answers the time is reckoned, and with which settings."""
    from crawler.forecast import ANSWER_S  # noqa: PLC0415 - start-up

    low, _, high = ANSWER_S
    answers = f"{low:g} to {high:g} s an answer, for none came yet"
    if chosen.answer_s is not None:
        answers = f"{chosen.answer_s:.2g} s an answer, as the last run saw"
    rate = "" if asked.rate is None else f", at most {asked.rate:g} a second"
    return f"at {answers}, {asked.concurrency:,} in flight{rate}"


def _of_budget(credits: int, found: Prospects, chosen: Forecast, settings: Settings) -> Iterator[str]:
    """Say which part of the budget buys lists, and what becomes of the rest."""
    asked = settings.budget
    if found.continues is None:
        yield amount(credits, "credit")
    else:
        yield f"{amount(credits, 'credit')} of run {found.continues}, which goes on: {found.used:,} are used"
    if asked.retry_reserve:
        yield f"{asked.retry_reserve:,} of them are kept for pages whose first call failed"
    if not chosen.cost:
        yield f"nothing is left to buy with these settings: {_why_nothing(found, settings)}"
    elif chosen.cost < found.left:
        yield f"about {amount(chosen.cost, 'credit')} will be spent: then nothing is left to buy"
    if asked.per_day is not None:
        begins = "" if found.left_today else ", from tomorrow on: today's are spent"
        yield f"{asked.per_day:,} credits a day: it lasts {amount(chosen.days or 1, 'day')}{begins}"


def _why_nothing(found: Prospects, settings: Settings) -> str:
    """Say what keeps a crawl from buying anything, in words that name the settings."""
    if not found.left:
        return "no credits are left for first calls"
    limits = []
    if (depth := settings.crawl.max_depth) is not None:
        limits.append(f"within {amount(depth, 'hop')} of a seed (crawl.max_depth)")
    if any(value not in (None, ()) for value in settings.filter.model_dump().values()):
        limits.append("that the filters let pass")
    if settings.budget.per_seed is not None or settings.budget.per_depth:
        limits.append("with credits for its seed and hop")
    return " ".join(["no list waits", *limits])


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


def _overlays(found: Prospects, asked: Crawl, shares: Mapping[Part, int], by_lot: int) -> Iterator[tuple[str, str]]:
    """Say what each overlay still costs of its share, in credits, and what it makes possible."""

    def costs(part: Part) -> str:
        in_all, left = shares[part], found.coming[part]
        return amount(left, "credit") if left == in_all else f"{left:,} of {amount(in_all, 'credit')}"

    if asked.control:
        yield "control", f"{costs('control')} for a random sample: {_intervals(found.waves)}"
    else:
        yield "control", f"off: no intervals in the report ({_enough_control()} mostly buys them)"
    if asked.audit:
        yield "audit", f"{costs('audit')} to learn how far follower counts can be trusted"
    else:
        yield "audit", "off: rankings trust reported followers as they are"
    if asked.explore:
        credits = amount(by_lot, "credit")
        yield "explore", f"about {credits} for accounts picked by lot, which the strategy might never come to"
    else:
        yield "explore", "off: the strategy alone chooses (0.1 is usual against tunnel vision)"


def _intervals(waves: Sequence[tuple[int, int]]) -> str:
    """Say whether a control sample gives intervals whose waves have used so many credits and spend so many more."""
    from storage.sampling import CREDITS_A_WAVE, SHARE_A_WAVE, UNSPENT, WAVES  # noqa: PLC0415 - start-up

    least = CREDITS_A_WAVE - UNSPENT
    if all(used >= least or used + coming >= SHARE_A_WAVE for used, coming in waves):
        return "intervals for averages in the report, as a rule"
    if all(used + coming >= least for used, coming in waves):
        return f"it may be too small for intervals ({SHARE_A_WAVE * WAVES:,} are enough, as a rule)"
    return f"no interval yet: each of its {WAVES} waves needs {SHARE_A_WAVE} credits"


def _enough_control() -> str:
    """Return the usual share of the least budget of which it gives intervals."""
    from storage.sampling import SHARE_A_WAVE, WAVES  # noqa: PLC0415 - start-up

    return f"{USUAL_CONTROL:g} of {amount(round(SHARE_A_WAVE * WAVES / USUAL_CONTROL), 'credit')}"
