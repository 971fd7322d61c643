"""`followgraph crawl`: the main job. Says what may be spent, spends it, says what it bought."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from cyclopts import Parameter

from cli import asking, briefing, seedlists, standing, stops
from cli.briefing import Done
from cli.draining import draining
from cli.failure import CommandFailed, usage
from cli.flags import NONE_GIVEN, Flags
from cli.seeding import Written, note_list, refuse, sorted_out
from cli.session import Bound, Session
from cli.wording import KEY_VARIABLE

if TYPE_CHECKING:  # what the help page does without
    from cli.config import Configuration
    from cli.key import Key
    from crawler.engine import Preflight, Result
    from crawler.progress import Progress
    from socialfetch.client import Client
    from storage.database import Database


async def crawl(
    *,
    seed: tuple[str, ...] = (),
    seeds_file: Annotated[str | None, Parameter(name="--seeds-file")] = None,
    budget: int | None = None,
    new_run: bool = False,
    asked: Flags = NONE_GIVEN,
    stop_uncrawled_share: float | None = None,
    stop_new_accounts: float | None = None,
    deadline: str | None = None,
    max_wait: str | None = None,
    api_url: Annotated[str | None, Parameter(name="--api-url")] = None,
    session: Bound,
) -> int:
    """Buy the most useful following lists within a budget. Goes on where the database stands.

    The first Ctrl-C (or SIGTERM) finishes what is in flight and ends well; a second one stops at once.

    Parameters
    ----------
    seed
        An account to start from: @name, name or a profile address. May be given again.
    seeds_file
        A file with one a line (# begins a comment), or - for standard input.
    budget
        Credits that this run may spend in all, never exceeded. A run that was cut off goes on with its own.
    new_run
        Begin a new run even where the last one was cut off.
    stop_uncrawled_share
        Stop when less than this share of the seeds' cash lies on accounts not read yet.
    stop_new_accounts
        Stop when the last 200 credits brought fewer new accounts each.
    deadline
        Stop after this time: 90s, 10m, 2h, 1d.
    max_wait
        How long to wait for an API that cannot be reached, or a database that another program locks: 30m.
    api_url
        Ask here instead of api.base_url, for instance the address that `followgraph simulate` printed.
    """
    flags: dict[str, object] = {
        "budget.total": budget,
        **asked.by_key(),
        "stop.uncrawled_share": stop_uncrawled_share,
        "stop.new_accounts_per_credit": stop_new_accounts,
        "crawl.deadline": deadline,
        "crawl.max_wait": max_wait,
        "api.base_url": api_url,
    }
    configuration = session.configure(flags)
    asking.refuse_contradictions(configuration)
    for words in asking.refuse_unused(configuration):
        session.output.note(words, label="WARN")
    handles: list[str] = []
    if seed or seeds_file is not None:
        good, rejected = sorted_out([Written(text=text) for text in seed], seeds_file)
        if rejected:
            return refuse(rejected, session)
        handles = list(dict.fromkeys(good))
    key = api_key(configuration, session)

    from cli.connection import client  # noqa: PLC0415 - start-up

    connections = configuration.settings.crawl.concurrency
    async with client(configuration.settings.api, key, connections=connections) as api:
        done: Done = await buy(
            configuration, session, api, handles, flags=flags, new_run=new_run, seeds_file=seeds_file
        )
    if not done.is_told:
        for command in briefing.next_commands(done, session, flags):
            session.output.line(command, label="next", is_command=True)
        session.output.finish(done.document)
    return done.exit_code


async def buy(
    configuration: Configuration,
    session: Session,
    api: Client,
    handles: list[str],
    *,
    flags: Mapping[str, object],
    new_run: bool = False,
    refresh: bool = False,
    seeds_file: str | None = None,
) -> Done:
    """Crawl with settings that were checked, and say on the console what happened.

    `flags` are the command's own by dotted key. `refresh` reads known lists again instead of new ones; the JSON then
    says what that showed.
    """
    from crawler.forgetting import forget_met  # noqa: PLC0415 - start-up
    from crawler.seeding import seed  # noqa: PLC0415 - start-up
    from storage import daemons, rereads, runs, summary  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up
    from storage.errors import BudgetMissing  # noqa: PLC0415 - start-up
    from storage.writer import ThreadWriter  # noqa: PLC0415 - start-up

    settings = configuration.settings
    if Database.is_missing(settings.storage.database):  # a command that cannot begin makes no file
        if settings.budget.total is None:
            raise _no_budget(refresh=refresh)
        if not handles:
            raise _no_seeds()
    database = Database.open(settings.storage.database, now=session.now, mode="create", writer=ThreadWriter)
    try:
        database.claim()
        with database.read() as conn:
            budget = settings.budget.total
            daemons.refuse_other_money(conn, budget=budget, new_run=new_run or refresh, now=session.now())
            try:
                runs.continued(conn, budget=budget, new_run=new_run, refresh=refresh)
            except BudgetMissing:
                raise _no_budget(refresh=refresh) from None
            if not handles and not summary.read(conn).accounts["known"]:
                raise _no_seeds()
        if met := forget_met(database, now=session.now):
            session.output.note(f"{met:,} stored accounts are of people who are kept out: erased", label="WARN")
        note_list(database.beside, seeds_file, session)
        seedlists.warn(database, session)
        if handles:
            seed(database, handles, now=session.now())
        with database.read() as conn:
            before = summary.read(conn)
        if not before.accounts["known"]:  # all of them are kept out
            raise _no_seeds()
        try:
            result = await _run(configuration, session, api, database, flags=flags, new_run=new_run, refresh=refresh)
        except Exception as error:
            refused = briefing.refused(error, before, session)
            if refused is None:
                raise
            return refused
        found, (edges_new, edges_gone) = await database.look(
            lambda conn: (summary.read(conn, run_id=result.run_id), rereads.totals(conn, result.run_id))
        )
    finally:
        database.close()
    briefing.tell(result, before, found, configuration, session)
    document = {**standing.document(found), "stop_reason": result.stop_reason}
    if refresh:
        session.output.line(f"{edges_new:,} gained · {edges_gone:,} lost", label="change")
        document |= {"edges_new": edges_new, "edges_gone": edges_gone}
    return Done(
        document=document,
        exit_code=stops.exit_code(result.stop_reason),
        stop_reason=result.stop_reason,
    )


def _no_budget(*, refresh: bool) -> CommandFailed:
    hint = f"Say how many credits it may spend: followgraph {'refresh' if refresh else 'crawl'} --budget 2000"
    return usage("no_budget", "a new run needs a budget", hint=hint)


def _no_seeds() -> CommandFailed:
    hint = "Name one: followgraph crawl --seed @name, or: followgraph seed --file seeds.txt"
    return usage("no_seeds", "there is no account to start from", hint=hint)


async def _run(
    configuration: Configuration,
    session: Session,
    api: Client,
    database: Database,
    *,
    flags: Mapping[str, object],
    new_run: bool,
    refresh: bool,
) -> Result:
    import structlog  # noqa: PLC0415 - start-up

    from crawler import refresh as policy  # noqa: PLC0415 - start-up
    from crawler.engine import Crawl  # noqa: PLC0415 - start-up
    from crawler.planner import Planner  # noqa: PLC0415 - start-up
    from crawler.steering import obey  # noqa: PLC0415 - start-up

    settings = configuration.settings
    begun: asyncio.Future[Progress] = asyncio.get_running_loop().create_future()
    refill = None
    if refresh:
        planner = Planner(
            db=database,
            now=session.now,
            offload=asyncio.to_thread,
            weigh=policy.WEIGHTS.get(settings.crawl.strategy, policy.by_followers),
            intervals=policy.Intervals(**settings.refresh.intervals()),
        )
        refill = planner.refill(lambda: begun.result().left, at_least=max(50, 5 * settings.crawl.concurrency))

    def on_begin(preflight: Preflight, figures: Progress) -> None:
        briefing.announce(preflight, configuration, session, "refresh" if refresh else "crawl", flags)
        begun.set_result(figures)

    crawl = Crawl(
        db=database,
        client=api,
        options=replace(
            asking.options(settings),
            new_run=new_run,
            deadline_s=settings.crawl.deadline,
            refresh_only=refresh,
        ),
        now=session.now,
        rng=Random(int.from_bytes(os.urandom(8))),  # noqa: S311 - a fresh seed, which is stored with the run
        log=structlog.get_logger(),
        on_begin=on_begin,
        refill=refill,
    )
    outcome: Result | Exception
    async with draining(partial(crawl.stop, "interrupted"), session), asyncio.TaskGroup() as group:
        showing = group.create_task(_show(begun, session))
        steering = group.create_task(obey(database, crawl, now=session.now, log=structlog.get_logger()))
        try:
            outcome = await crawl.run()
        except Exception as error:  # raised below: inside the group it would become a group of errors
            outcome = error
        showing.cancel()
        steering.cancel()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def _show(begun: asyncio.Future[Progress], session: Session) -> None:
    from cli.progress import show  # noqa: PLC0415 - start-up

    await show(await begun, session.output.errors)


def api_key(configuration: Configuration, session: Session) -> Key | None:
    """Return the key. A rehearsal on this machine needs none of one's own; raises CommandFailed elsewhere."""
    from pydantic import SecretStr  # noqa: PLC0415 - start-up

    from cli.key import Key  # noqa: PLC0415 - start-up
    from storage.summary import LOOPBACK  # noqa: PLC0415 - start-up

    key = session.key(configuration.settings)
    if key is not None:
        return key
    if urlsplit(configuration.settings.api.base_url).hostname in LOOPBACK:
        return Key(SecretStr("rehearsal"), "a rehearsal on this machine")
    raise usage(
        "no_key",
        "there is no API key",
        hint=f"Set {KEY_VARIABLE}, or name a file that holds it in api.key_file. Without one: followgraph demo",
    )
