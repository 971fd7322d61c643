"""`followgraph status`: where the database stands, for people and as the JSON that `crawl` ends with too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from cli import durations, stops
from cli.amounts import amount, off_by
from cli.session import Bound

if TYPE_CHECKING:  # pydantic and SQLAlchemy, which the help page does without
    from cli.settings import Budget
    from storage.allowances import Counted
    from storage.budgets import Standing
    from storage.crew import Member
    from storage.daemons import Daemon
    from storage.database import Database
    from storage.summary import RunRow, Summary


def status(*, session: Bound) -> None:
    """Where the database stands: credits, accounts, follows, what waits, and why the run at work last stopped.

    Reads only, at any time: also while a crawl runs, and after one was killed.
    """
    from crawler import calendar  # noqa: PLC0415 - start-up
    from storage import allowances, crew, daemons, summary, watching  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up

    configuration = session.configure()
    place = configuration.settings.storage.database
    asked = configuration.settings.budget
    today = calendar.day(session.now(), calendar.zone(asked.time_zone))
    database = Database.open(place, now=session.now, mode="read")
    try:
        with database.read() as conn:
            found = summary.read(conn)
            daemon = daemons.read(conn)
            is_alive = daemons.alive(conn, now=session.now()) is not None
            money = None if daemon is None else daemons_money(conn, daemon, asked, now=session.now())
            crawlers = crew.members(conn, now=session.now())
            counted = [] if found.run is None else allowances.counted(conn, found.run.id)
            brought = None if daemon is None else watching.new_per_page(conn, now=session.now())
        is_locked = is_crawled(database, crawlers)
        place = database.name
    finally:
        database.close()
    session.output.line(f"{place}, {configuration.whence('storage.database')}", label="database")
    if daemon is not None and money is not None:
        is_silent = daemon.state != "stopped" and not is_alive
        until = "" if daemon.until_at is None or is_silent else f" · until {moment(daemon.until_at)}"
        silent = f" · not heard of since {moment(daemon.heartbeat_at)}: killed?" if is_silent else ""
        up = "" if not is_alive else f" · up {durations.clock_face(session.now() - daemon.started_at)}"
        session.output.line(f"{daemon.state.replace('_', ' ')} · {daemon.detail}{until}{silent}{up}", label="daemon")
        for label, text in zip(("budget", "today"), money.lines(), strict=True):
            session.output.line(text, label=label)
        if brought is not None and brought["last_day"] is not None:
            before = "" if brought["week_before"] is None else f" ({brought['week_before']:g} in the week before)"
            session.output.line(f"{brought['last_day']:g} new accounts a page in 24 hours{before}", label="yield")
    parts = None if found.run is None else _sub_budgets(found.run, counted, today)
    for label, text in [*lines(found, is_locked=is_locked), *_sub_budget_lines(parts)]:
        session.output.line(text, label=label)
    for each in crawlers if len(crawlers) > 1 else ():
        state = "silent: killed, or cut off" if each.is_silent else "at work"
        pages = f"{each.pages:,} pages · {each.in_flight:,} in flight"
        session.output.line(f"{each.id} on {each.host} (pid {each.pid}) · {state} · {pages}", label="crawler")
    session.output.finish(
        {
            **document(found),
            "sub_budgets": parts,
            "is_crawling": is_locked,
            "crawlers": [_of_crawler(each) for each in crawlers],
            "daemon": None
            if daemon is None or money is None
            else {**_of_daemon(daemon), **money.document(), "new_per_page": brought},
        }
    )


def is_crawled(database: Database, crawlers: list[Member]) -> bool:
    """Tell whether a program works on the database, `crawlers` being those of whom it knows."""
    from storage import lock  # noqa: PLC0415 - start-up

    return any(not each.is_silent for each in crawlers) if database.is_shared else lock.is_held(database.path)


def document(found: Summary, *, has_run: bool = True) -> dict[str, Any]:
    """Return the JSON of `status` and of a finished crawl: credits and pages of the run, `totals` of the database.

    `has_run`: False for a crawl that ended before it began or went on with a run; the last one's figures are not its.
    """
    run = found.run if has_run else None
    accounts = {
        name: found.accounts[name]
        for name in ("known", "visited", "boundary", "hidden", "private", "not_found", "failed")
    }
    seconds = 0.0 if run is None else run.active_s
    pages = 0 if run is None else run.pages
    return {
        "run_id": None if run is None else run.id,
        "stop_reason": None if run is None else run.stop_reason,
        "credits": {
            "budget": None if run is None else run.budget,
            "charged": 0 if run is None else run.charged,
            "uncertain": 0 if run is None else run.uncertain,
            "reserved": 0 if run is None else run.reserved,
            "remaining": None if run is None else run.remaining,
        },
        "totals": {"charged": found.charged, "uncertain": found.uncertain, "pages": found.pages},
        "pages": pages,
        "accounts": accounts,
        "edges": found.edges,
        "seconds": round(seconds, 3),
        "pages_per_second": round(pages / seconds, 3) if seconds > 0 else 0.0,
        "frontier": {name: found.frontier[name] for name in ("queued", "leased", "done", "failed", "skipped")},
        "runs": [_of_run(each) for each in found.runs],
    }


def lines(found: Summary, *, is_locked: bool = False) -> list[tuple[str, str]]:
    """Return what `document` says, as labelled lines for people. `is_locked`: a program works on the database."""
    accounts, frontier, run = found.accounts, found.frontier, found.run
    shown = []
    if run is None:
        shown.append(("run", "none yet"))
    else:
        state = (
            f"not ended: {'a crawl works on it' if is_locked else f'cut off; the next {_kind(run)} goes on with it'}"
            if run.stop_reason is None
            else (f"stopped because: {stops.words(run.stop_reason)}")
        )
        shown.append(("run", f"{run.id}, {run.strategy} · {state}"))
        promised = f" · {run.reserved:,} reserved" if run.reserved else ""
        shown.append(
            (
                "credits",
                f"{run.charged:,} spent · {run.uncertain:,} uncertain{promised} · {run.remaining:,} left"
                f" of {run.budget:,}",
            )
        )
        pace = f" · {run.pages / run.active_s:,.1f} a second" if run.active_s > 0 else ""
        shown.append(("pages", f"{run.pages:,} in {durations.clock_face(run.active_s)}{pace}"))
        foreseen = run.foreseen
        if foreseen is not None:
            shown += zip(("forecast", "", ""), _foreseen(foreseen, run), strict=True)
    if (waits := found.put_off) is not None:
        left = f"{waits.remaining:,} left of {waits.budget:,}"
        shown.append(("waits", f"run {waits.id} · {left}: the next {_kind(waits)} goes on with it"))
    if len(found.runs) > 1:
        shown.append(
            (
                "in all",
                f"{len(found.runs):,} runs · {amount(found.charged, 'credit')} spent · {amount(found.pages, 'page')}",
            )
        )
    shown.append(
        (
            "accounts",
            f"{accounts['known']:,} known · {accounts['visited']:,} visited · {accounts['boundary']:,} not visited"
            f" · {accounts['hidden']:,} hidden · {accounts['private']:,} private · {accounts['not_found']:,} gone"
            f" · {accounts['failed']:,} failed",
        )
    )
    shown.append(("follows", f"{found.edges:,}"))
    shown.append(
        (
            "frontier",
            f"{frontier['queued']:,} waiting · {frontier['leased']:,} in flight · {frontier['done']:,} done"
            f" · {frontier['failed']:,} failed · {frontier['skipped']:,} skipped",
        )
    )
    return shown


def _kind(run: RunRow) -> str:
    return "refresh" if run.is_refresh else "crawl"


def _sub_budgets(run: RunRow, counted: list[Counted], today: str) -> dict[str, Any]:
    """Return the sub-budgets that the run was asked to keep, and what each has taken so far, in credits."""
    asked = run.asked

    def cap(value: object) -> int | None:
        return value if isinstance(value, int) else None  # somebody may have changed what was noted

    def taken(kind: str, key: str, budget: int) -> dict[str, int]:
        of = next((each for each in counted if (each.kind, each.key) == (kind, key)), None)
        charged, uncertain, reserved = (0, 0, 0) if of is None else (of.charged, of.uncertain, of.reserved)
        if kind == "day":  # whatever is promised now is today's
            reserved = run.reserved
        return {
            "budget": budget,
            "charged": charged,
            "uncertain": uncertain,
            "reserved": reserved,
            "remaining": max(0, budget - charged - uncertain),
        }

    per_day, per_seed, hops = cap(asked.get("per_day")), cap(asked.get("per_seed")), asked.get("per_depth")
    return {
        "per_day": None if per_day is None else {"day": today, **taken("day", today, per_day)},
        "per_seed": None
        if per_seed is None
        else {
            "budget": per_seed,
            "seeds": [
                {"account": int(each.key), **taken("seed", each.key, per_seed)}
                for each in counted
                if each.kind == "seed" and each.key.isdecimal()
            ],
        },
        "per_depth": [
            {"depth": depth, **taken("depth", str(depth), budget)}
            for depth, value in enumerate(hops if isinstance(hops, list) else [])
            if (budget := cap(value)) is not None
        ],
        "retry_reserve": cap(asked.get("retry_reserve")) or 0,
    }


def _sub_budget_lines(parts: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Yield the same for people; nothing of what is not asked for."""
    if parts is None:
        return
    if (day := parts["per_day"]) is not None:
        yield "today", f"{_spent_of(day)} · {day['remaining']:,} left"
    if (seeds := parts["per_seed"]) is not None:
        used_up = sum(not each["remaining"] for each in seeds["seeds"])
        most = f" · most: {_spent_of(seeds['seeds'][0])}" if seeds["seeds"] else ""
        yield "seeds", f"{used_up:,} of {len(seeds['seeds']):,} have used up {amount(seeds['budget'], 'credit')}{most}"
    if parts["per_depth"]:
        yield "hops", " · ".join(f"{each['depth']}: {_spent_of(each)}" for each in parts["per_depth"])
    if parts["retry_reserve"]:
        yield "retries", f"{amount(parts['retry_reserve'], 'credit')} kept for them"


def _spent_of(part: Mapping[str, int]) -> str:
    return f"{part['charged'] + part['uncertain']:,} of {part['budget']:,}"


def _foreseen(foreseen: dict[str, Any], run: RunRow) -> list[str]:
    """Say what was forecast and what came, for as many credits as were spent; or why the two cannot be compared.

    Returns a line for the accounts, one for the follows, and one of notes.
    """
    said = []
    for name, word in (("accounts", "accounts"), ("edges", "follows")):
        of = foreseen[name]
        span = of["expected"] or of
        off = "" if of["error"] is None else f" ({off_by(of['error'])})"
        low, mid, high = (f"{span[at]:,}" for at in ("low", "mid", "high"))
        said.append(f"{low}–{mid}–{high} new {word}, {of['actual']:,} came{off}")
    notes = [f"from credit {foreseen['from_credit']:,} on"]
    is_compared = foreseen["accounts"]["expected"] is not None
    if not foreseen["is_whole"]:
        part = f"{max(0, foreseen['spent']):,} of {amount(foreseen['credits'], 'credit')}"
        notes.append(f"{'for' if is_compared else 'after'} {part}")
        if run.stop_reason == "budget_exhausted":
            notes.append("its budget was lowered since")
        elif run.stop_reason is not None:
            notes.append(f"stopped before its budget was spent: {stops.words(run.stop_reason)}")
    if not is_compared:
        notes.append("no comparison" if not foreseen["is_whole"] else "no comparison: the budget was raised since")
    return [*said, "; ".join(notes)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonsMoney:
    """Where a daemon's money stands, in credits; other runs took `elsewhere` of what counts as `today`'s."""

    standing: Standing
    today: str
    per_day: int | None
    elsewhere: int

    @property
    def spent_today(self) -> int:
        """What the daemon spends by: a day's cap is over all runs."""
        return self.standing.by_day.get(self.today, 0) + self.elsewhere

    def document(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "total": self.standing.total,
            "used": self.standing.used,
            "left": self.standing.left,
            "expiring": self.standing.expiring,
            "per_day": self.per_day,
            "today": self.spent_today,
            "today_elsewhere": self.elsewhere,
        }

    def lines(self) -> tuple[str, str]:
        """Return the same for people: in all, with how long it lasts, and today."""
        from storage.budgets import lasting  # noqa: PLC0415 - start-up

        money = self.standing
        ends = "".join(f", {credits:,} of them until {day}" for day, credits in money.expiring.items())
        limit = "no total" if money.total is None else f"{money.left:,} left of {money.total:,}{ends}"
        coming = lasting(money, today=self.today)
        lasts = f", for {coming['days']:g} days ({coming['low']:g} to {coming['high']:g})" if coming else ""
        spent = f"{self.spent_today:,}" + (f" of {self.per_day:,}" if self.per_day else "")
        others = f", {self.elsewhere:,} of them by other runs" if self.elsewhere else ""
        return f"{money.used:,} spent in all · {limit}{lasts}", f"{spent}{others}"


def daemons_money(conn: Any, daemon: Daemon, asked: Budget, *, now: float) -> DaemonsMoney:
    """Read where a daemon's money stands at a Unix time; `conn` is of one of storage's readings."""
    from crawler import calendar  # noqa: PLC0415 - start-up
    from storage import budgets  # noqa: PLC0415 - start-up

    day = partial(calendar.day, where=calendar.zone(asked.time_zone))
    return DaemonsMoney(
        standing=budgets.standing(conn, daemon.total, today=day(now)),
        today=day(now),
        per_day=daemon.per_day,
        elsewhere=0 if daemon.per_day is None else budgets.elsewhere(conn, day, now=now),
    )


def _of_daemon(daemon: Daemon) -> dict[str, Any]:
    return {
        "state": daemon.state,
        "detail": daemon.detail,
        "until": None if daemon.until_at is None else moment(daemon.until_at),
        "started_at": moment(daemon.started_at),
        "heartbeat_at": moment(daemon.heartbeat_at),
        "pid": daemon.pid,
    }


def _of_crawler(crawler: Member) -> dict[str, Any]:
    return {
        "id": crawler.id,
        "run_id": crawler.run_id,
        "host": crawler.host,
        "pid": crawler.pid,
        "started_at": moment(crawler.started_at),
        "heartbeat_at": moment(crawler.heartbeat_at),
        "is_silent": crawler.is_silent,
        "pages": crawler.pages,
        "in_flight": crawler.in_flight,
        "leases": crawler.leases,
        "share": crawler.share,
    }


def _of_run(run: RunRow) -> dict[str, Any]:
    return {
        "id": run.id,
        "started_at": moment(run.started_at),
        "ended_at": None if run.ended_at is None else moment(run.ended_at),
        "stop_reason": run.stop_reason,
        "strategy": run.strategy,
        "rng_seed": run.rng_seed,
        "budget": run.budget,
        "charged": run.charged,
        "uncertain": run.uncertain,
        "reserved": run.reserved,
        "remaining": run.remaining,
        "pages": run.pages,
        "new_edges": run.new_edges,
        "new_accounts": run.new_accounts,
        "errors": run.errors,
        "seconds": round(run.active_s, 3),
        "forecast": run.foreseen,
        "began": {"strategy": run.began.strategy, "budget": run.budget_began},
        "changes": [
            *(
                {"at": moment(terms.at or 0), "from_credit": terms.from_credit, "settings": terms.changed}
                for terms in run.terms[1:]
            ),
            *({"at": moment(at), "budget": credits} for at, credits in run.raised),
        ],
    }


def moment(at: float) -> str:
    """Return Unix seconds as UTC in ISO 8601, to the second."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
