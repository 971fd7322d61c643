"""`followgraph budget` and `followgraph spending`: raise a budget, and see where the credits went."""

from __future__ import annotations

import csv
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cli import asking
from cli.amounts import amount
from cli.failure import usage
from cli.session import Bound, Session
from cli.standing import daemons_money, is_crawled, moment

if TYPE_CHECKING:  # SQLAlchemy, which the help page does without
    from storage.database import Database
    from storage.summary import RunRow

_MOST = 10**12

_KEYS = ("day", "outcome", "cause", "run")


_OF_REFRESH = ("crawl.strategy", "crawl.concurrency", "crawl.rate", "api.base_url")
"""Settings that `refresh` has flags for."""


def budget(
    action: Literal["add", "show"],
    credits: Annotated[int | None, Parameter(name="N")] = None,
    /,
    *,
    note: str | None = None,
    until: str | None = None,
    session: Bound,
) -> None:
    """`budget add N` raises the budget by N credits, also while a crawl runs; `budget show` says where it stands.

    It raises the daemon's total where a daemon crawls, else the budget of the run that was at work last. Every
    change is kept.

    Parameters
    ----------
    action
        add or show.
    credits
        How many credits more.
    note
        Why, kept with the change: `--note "grant 7b"`.
    until
        The last day on which a daemon may spend them, of budget.time_zone: `--until 2026-12-01`. What is left then
        lapses; of several such the ones that end first are spent first.
    """
    if action == "add" and (credits is None or not 0 < credits <= _MOST):
        given = (
            "how many credits more?" if credits is None else f"{credits:,} credits more: from 1 to {_MOST:,} it may be"
        )
        raise usage("no_budget", given, hint="Write: followgraph budget add 10000 --note 'grant 7b'")
    if action == "show" and until is not None:
        raise usage("usage", "`budget show` takes no --until", hint="Write: followgraph budget add N --until DATE")
    if action == "show" and credits is not None:
        raise usage("usage", "`budget show` takes no number", hint="Write: followgraph budget add N")

    from storage import budgets  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up

    settings = session.configure().settings
    last_day = None if until is None else _last_day(until, session.now(), settings.budget.time_zone)
    mode: Literal["write", "read"] = "write" if action == "add" else "read"
    database = Database.open(settings.storage.database, now=session.now, mode=mode)
    change = None
    try:
        if credits is not None:
            add = partial(budgets.add, credits=credits, note=note, origin="command", until=last_day, now=session.now())
            change = database.transact(add)
            if change is None:
                raise usage("no_run", "no run has a budget yet", hint="Begin one: followgraph crawl --budget N")
            what = "the daemon's total" if change.run_id is None else f"run {change.run_id}"
            ends = "" if last_day is None else f", to be spent until {last_day}"
            session.output.line(f"{amount(credits, 'credit')} more for {what}{ends}", label="added")
        _show(database, session, goes_on=change is not None and change.run_id is not None)
    finally:
        database.close()


def _last_day(until: str, now: float, time_zone: str) -> str:
    """Return the day that is named, as YYYY-MM-DD. Raises UsageError for what is none, or is over."""
    from crawler import calendar  # noqa: PLC0415 - start-up

    today = calendar.day(now, calendar.zone(time_zone))
    try:
        day = date.fromisoformat(until).isoformat()
    except ValueError:
        raise usage("bad_date", f"--until: {until!r} is no day", hint=f"Write a day like {today}.") from None
    if day < today:
        raise usage("bad_date", f"--until: {day} is over, today is {today}", hint="Name today or a later day.")
    return day


def _show(database: Database, session: Session, *, goes_on: bool) -> None:
    """Say where the budget stands; where the last run `goes_on` with it and stands still, how to let it go on."""
    from storage import budgets, crew, daemons, summary  # noqa: PLC0415 - start-up

    asked = session.configure().settings.budget
    with database.read() as conn:
        changes = budgets.changes(conn)
        last = summary.last_run(conn)
        daemon = daemons.read(conn)
        crawlers = crew.members(conn, now=session.now())
        money = None if daemon is None else daemons_money(conn, daemon, asked, now=session.now())
    document: dict[str, Any] = {
        "run": _of_run(last),
        "daemon": None,
        "changes": [
            {
                "at": moment(each.at),
                "run": each.run_id,
                "credits": each.credits,
                "until": each.until,
                "note": each.note,
                "by": each.origin,
            }
            for each in changes
        ],
    }
    line = session.output.line
    if last is not None:
        line(
            f"{last.id} · {last.charged:,} spent · {last.uncertain:,} uncertain · {last.remaining:,} left"
            f" of {last.budget:,}",
            label="run",
        )
    if money is not None:
        document["daemon"] = money.document()
        in_all, this_day = money.lines()
        line(in_all, label="daemon")
        line(this_day, label="today")
    for each in changes:
        whose = "total" if each.run_id is None else f"run {each.run_id}"
        ends = "" if each.until is None else f" until {each.until}"
        line(f"{moment(each.at)} · {each.credits:+,} · {whose}{ends} · {each.note or 'no note'}", label="change")
    if last is not None and goes_on and not is_crawled(database, crawlers):
        _next(last, session)
    session.output.finish(document)


def _next(run: RunRow, session: Session) -> None:
    """Say what goes on with a run as it was asked before, and what no flag can say of that."""
    configuration = session.configure()
    now = asking.options(configuration.settings).as_settings()
    kept = [name for name in run.asked if name in now]  # an older program kept fewer
    before, after = ({name: each[name] for name in kept} for each in (run.asked, now))
    changed = asking.otherwise(before, after)
    command = "refresh" if run.is_refresh else "crawl"
    flags = asking.as_before(changed)
    origin = run.asked.get("origin")
    if origin is not None and origin != configuration.settings.api.base_url:
        flags["api.base_url"] = str(origin)
    if run.is_refresh:
        flags = {key: value for key, value in flags.items() if key in _OF_REFRESH}
    session.output.line(session.following(command, flags), label="next", is_command=True)
    if unsaid := {key: values for key, values in changed.items() if flags.get(key) is None}:
        differing = asking.differing(unsaid, configuration)
        session.output.note(f"that would go on otherwise than run {run.id} did: {differing}", label="WARN")


def _of_run(run: RunRow | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "id": run.id,
        "budget": run.budget,
        "charged": run.charged,
        "uncertain": run.uncertain,
        "reserved": run.reserved,
        "remaining": run.remaining,
    }


def spending(*, by: str = "day,outcome", output: Path | None = None, session: Bound) -> None:
    """Where the credits went: calls and credits of the ledger, summed. Reads only.

    Parameters
    ----------
    by
        What to sum by, in this order: day, outcome, cause, run. Days are of budget.time_zone.
    output
        Write the sums into this CSV file as well.
    """
    keys = tuple(dict.fromkeys(key.strip() for key in by.split(",") if key.strip()))
    if not keys or not set(keys) <= set(_KEYS):
        raise usage("unknown_key", f"--by: {by!r} cannot be summed by", hint=f"Write some of: {','.join(_KEYS)}.")

    from crawler import calendar  # noqa: PLC0415 - start-up
    from storage import budgets, export  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up

    settings = session.configure().settings
    where = calendar.zone(settings.budget.time_zone)
    database = Database.open(settings.storage.database, now=session.now, mode="read")
    try:
        with database.read() as conn:
            rows = budgets.spending(conn)
    finally:
        database.close()
    sums: dict[tuple[Any, ...], list[int]] = {}
    for at, outcome, cause, run, *counts in rows:
        found = {"day": calendar.day(at, where), "outcome": outcome, "cause": cause or "", "run": run}
        place = sums.setdefault(tuple(found[key] for key in keys), [0, 0, 0])
        place[:] = [old + more for old, more in zip(place, counts, strict=True)]
    header = (*keys, "calls", "charged", "uncertain")
    table = [(*key, *counts) for key, counts in sorted(sums.items())]
    if output is not None:
        with export.replacing(output) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *(map(export.cell, row) for row in table)])
    for *key, calls, charged, uncertain in table:
        doubtful = f" · {uncertain:+,} uncertain" if uncertain else ""
        words = " · ".join(str(each) for each in key if each != "")
        session.output.line(f"{words}: {charged:,} charged{doubtful} · {amount(calls, 'call')}")
    charged, uncertain = sum(row[-2] for row in table), sum(row[-1] for row in table)
    session.output.line(f"{charged:,} charged · {uncertain:,} uncertain", label="in all")
    if output is not None:
        session.output.line(f"{output} · {amount(len(table), 'row')}", label="wrote")
    session.output.finish(
        {
            "by": list(keys),
            "rows": [dict(zip(header, row, strict=True)) for row in table],
            "charged": charged,
            "uncertain": uncertain,
            "output": None if output is None else str(output),
        }
    )
