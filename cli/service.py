"""`followgraph daemon`: crawl and refresh until asked to end, watched on a page, steered by signals and orders."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cli import asking, policies, seedlists, standing
from cli.crawling import api_key
from cli.draining import draining
from cli.exits import Exit
from cli.failure import CommandFailed, usage
from cli.session import Bound, Session
from cli.supervisor import Supervisor
from cli.version import version

if TYPE_CHECKING:  # what the help page does without
    from cli.config import Configuration
    from crawler.daemon import Daemon
    from crawler.dashboard.server import Dashboard
    from crawler.duty import Config
    from crawler.notifying import Notifier
    from storage.database import Database

RESTARTS = ("api.", "storage.", "daemon.listen", "daemon.token_file", "alerts.webhook", "alerts.command", "log.")
"""Settings that a running daemon takes over only when it is started again."""

_CONNECTIONS = 500
_WATCHDOG_S = 10.0


async def daemon(
    *,
    budget_per_day: int | None = None,
    budget: int | None = None,
    strategy: str | None = None,
    concurrency: int | None = None,
    rate: float | None = None,
    listen: str | None = None,
    api_url: Annotated[str | None, Parameter(name="--api-url")] = None,
    session: Bound,
) -> int:
    """Crawl new lists and refresh known ones for months, under a budget a day, a total, or both.

    Sleeps when nothing may be bought or nobody answers and wakes by itself. SIGTERM or Ctrl-C finishes what is in
    flight and ends well, SIGHUP reads config.toml again; pause, resume, drain and budget add work from any shell.

    Parameters
    ----------
    budget_per_day
        Credits a day at most; a day is one of budget.time_zone.
    budget
        Credits in all, over all days. When it is used up the daemon waits for `followgraph budget add`.
    strategy
        What to buy first: flow, rank, bfs and so on.
    concurrency
        Requests in flight at most.
    rate
        Requests a second at most.
    listen
        Address and port of the page, /metrics, /healthz and /readyz.
    api_url
        Ask here instead of api.base_url, for instance the address that `followgraph simulate` printed.
    """
    flags = {
        "budget.per_day": budget_per_day,
        "budget.total": budget,
        "crawl.strategy": strategy,
        "crawl.concurrency": concurrency,
        "crawl.rate": rate,
        "daemon.listen": listen,
        "api.base_url": api_url,
    }
    configuration = session.configure(flags)
    asked = configuration.settings
    if asked.budget.total is None and asked.budget.per_day is None:
        raise usage(
            "no_budget",
            "a daemon needs a budget",
            hint="Say how much it may spend: followgraph daemon --budget-per-day 1000, or --budget 50000, or both",
        )
    asking.refuse_contradictions(configuration)
    for words in asking.refuse_unused(configuration):
        session.output.note(words, label="WARN")
    token = _token(configuration, session.environ)
    key = api_key(configuration, session)

    from cli.connection import client  # noqa: PLC0415 - start-up
    from crawler.forgetting import forget_met  # noqa: PLC0415 - start-up
    from storage import daemons, summary  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up
    from storage.retention import Rules  # noqa: PLC0415 - start-up
    from storage.writer import ThreadWriter  # noqa: PLC0415 - start-up

    database = Database.open(asked.storage.database, now=session.now, mode="create", writer=ThreadWriter)
    try:
        if database.is_shared and policies.rules(asked.policy) != Rules():
            database.require_file(hint="Who deletes by rules keeps the study in a file: there, deleted is gone.")
        database.claim()
        if met := forget_met(database, now=session.now):
            session.output.note(f"{met:,} stored accounts are of people who are kept out: erased", label="WARN")
        seedlists.warn(database, session)
        with database.read() as conn:
            daemons.refuse_another(conn, now=session.now())  # before it takes a port
            if not summary.read(conn).accounts["known"]:
                raise usage(
                    "no_seeds", "there is no account to start from", hint="Name one: followgraph seed --file seeds.txt"
                )
        async with client(asked.api, key, connections=_CONNECTIONS) as api:
            await _live(_House(session, flags, configuration, database, token), api)
        with database.read() as conn:
            found = summary.read(conn)
    finally:
        database.close()
    for label, text in standing.lines(found):
        session.output.line(text, label=label)
    session.output.finish({**standing.document(found), "stop_reason": "interrupted"})
    return Exit.DONE


class _House:
    """What one daemon's life is made of."""

    def __init__(
        self,
        session: Session,
        flags: Mapping[str, object],
        configuration: Configuration,
        database: Database,
        token: str | None,
    ) -> None:
        self.session = session
        self.flags = flags
        self.configuration = configuration
        self.database = database
        self.token = token
        self.supervisor = Supervisor(session.environ)


async def _live(house: _House, api: Any) -> None:
    import structlog  # noqa: PLC0415 - start-up

    from cli import hooks  # noqa: PLC0415 - start-up
    from crawler.daemon import Daemon  # noqa: PLC0415 - start-up
    from crawler.dashboard.server import Dashboard  # noqa: PLC0415 - start-up
    from crawler.notifying import Notifier  # noqa: PLC0415 - start-up
    from crawler.panel import Panel  # noqa: PLC0415 - start-up

    session, settings, log = house.session, house.configuration.settings, structlog.get_logger()
    ways = []
    if settings.alerts.webhook is not None:
        ways.append(hooks.webhook(settings.alerts.webhook))
    if settings.alerts.command is not None:
        ways.append(hooks.command(settings.alerts.command))
    notifier = Notifier(db=house.database, ways=ways, now=session.now, log=log, study=_study(house.database))
    life = Daemon(
        db=house.database,
        client=api,
        config=config(house.configuration),
        now=session.now,
        rng=Random(int.from_bytes(os.urandom(8))),  # noqa: S311 - a fresh seed, which is stored with each run
        log=log,
        offload=asyncio.to_thread,
        tell=notifier.tell,
    )
    time = asyncio.get_running_loop().time
    panel = Panel(db=house.database, daemon=life, now=session.now, time=time, offload=asyncio.to_thread)
    host, _, port = settings.daemon.listen.rpartition(":")
    page = Dashboard(
        db=house.database,
        panel=panel,
        host=host.strip("[]"),
        port=int(port),
        token=house.token,
        now=session.now,
        log=log,
        version=version(),
    )
    try:
        await page.start()
    except OSError as error:
        raise usage(
            "address_taken",
            f"{settings.daemon.listen} cannot be listened on: {error.strerror or error}",
            hint="Name another address with --listen or daemon.listen; port 0 takes any free one.",
        ) from None
    session.output.note(f"http://{host}:{page.port}/", label="page")
    try:
        await _beside(house, life, notifier, page)
    finally:
        await page.close()


def _study(database: Database) -> str:
    """Return what a reader of notices knows a study by: its database's name, or its folder's where that is usual."""
    path = database.beside
    return path.absolute().parent.name if path.stem == "followgraph" else path.stem


async def _beside(house: _House, life: Daemon, notifier: Notifier, page: Dashboard) -> None:
    """Run the daemon with everything that serves it; whatever fails beside it is a fault of ours and ends it."""
    outcome: BaseException | None = None
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, _reload, house, life)
    async with draining(life.drain, house.session), asyncio.TaskGroup() as group:
        others = [group.create_task(work) for work in (notifier.run(), page.run(), _watchdog(house.supervisor, life))]
        house.supervisor.tell("READY=1")
        try:
            await life.run()
        except Exception as error:  # raised below: inside the group it would become a group of errors
            outcome = error
        house.supervisor.tell("STOPPING=1")
        for other in others:
            other.cancel()
    loop.remove_signal_handler(signal.SIGHUP)
    notifier.tell("stopped", f"{os.getpid()}:{int(house.session.now())}", {"detail": life.hold.detail})
    await notifier.flush(within_s=5.0)
    if outcome is not None:
        raise outcome


async def _watchdog(supervisor: Supervisor, life: Daemon) -> None:
    while True:
        supervisor.tell("WATCHDOG=1", f"STATUS={life.hold.state}: {life.hold.detail}")
        await asyncio.sleep(_WATCHDOG_S)


def _reload(house: _House, life: Daemon) -> None:
    """Read the configuration again; a bad one is refused and the old one stays."""
    import structlog  # noqa: PLC0415 - start-up

    from cli.config import ConfigError  # noqa: PLC0415 - start-up

    log = structlog.get_logger()
    house.supervisor.reloading()
    try:
        fresh = house.session.configure(house.flags)
        if fresh.settings.budget.total is None and fresh.settings.budget.per_day is None:
            raise usage("no_budget", "a daemon needs a budget", hint="Set budget.per_day or budget.total.")
        # What the next start would refuse is refused now.
        asking.refuse_contradictions(fresh)
        asking.refuse_unused(fresh)
        _token(fresh, house.session.environ)
        api_key(fresh, house.session)
    except (ConfigError, CommandFailed) as error:
        log.error("configuration.refused", problem=str(error), kept="the old one")
    else:
        changed = differences(house.configuration, fresh)
        for key, (old, new) in sorted(changed.items()):
            log.info("setting.changed", setting=key, before=old, now=new, needs_restart=key.startswith(RESTARTS))
        house.configuration = fresh
        asked = config(fresh)
        for key, value in list(life.set_by_order.items()):
            if key in changed:
                del life.set_by_order[key]  # the file has the last word
            else:
                asked = asked.changed(key, value)
                log.info("setting.kept", setting=key, now=value)
        life.reload(asked)
    house.supervisor.tell("READY=1")


def differences(before: Configuration, after: Configuration) -> dict[str, tuple[Any, Any]]:
    """Return what two configurations differ in, by dotted key."""
    old, new = (each.settings.model_dump() for each in (before, after))
    return {
        f"{section}.{key}": (old[section][key], value)
        for section, values in new.items()
        for key, value in values.items()
        if old[section][key] != value
    }


def config(configuration: Configuration) -> Config:
    """Return what the daemon is asked to do."""
    from crawler import calendar  # noqa: PLC0415 - start-up
    from crawler.duty import Config  # noqa: PLC0415 - start-up
    from crawler.refresh import Intervals  # noqa: PLC0415 - start-up

    settings = configuration.settings
    wanted = asking.options(settings)
    return Config(
        # A daemon's day is a run of its own.
        options=replace(wanted, budget=None, caps=replace(wanted.caps, per_day=None)),
        total=settings.budget.total,
        per_day=settings.budget.per_day,
        zone=calendar.zone(settings.budget.time_zone),
        share=settings.refresh.share,
        intervals=Intervals(**settings.refresh.intervals()),
        drain_s=settings.daemon.drain,
        balance_low=settings.alerts.balance_low,
        rules=policies.rules(settings.policy),
    )


def _token(configuration: Configuration, environ: Mapping[str, str]) -> str | None:
    """Return the page's token. Raises CommandFailed where one is needed or cannot be used."""
    from cli.key import is_handed_over  # noqa: PLC0415 - start-up
    from crawler.dashboard.server import is_loopback  # noqa: PLC0415 - start-up

    asked = configuration.settings.daemon
    host = asked.listen.rpartition(":")[0].strip("[]")
    if asked.token_file is None:
        if is_loopback(host):
            return None
        raise usage(
            "no_token",
            f"{asked.listen} can be reached from other machines, and there is no token",
            hint="Write 16 characters or more into a file (chmod 600) and name it in daemon.token_file.",
        )
    path = Path(asked.token_file)
    try:
        text = path.read_text(encoding="utf-8").strip()
        is_open = bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)) and not is_handed_over(path, environ)
    except (OSError, UnicodeDecodeError) as error:
        raise usage("no_token", f"daemon.token_file: {path} cannot be read", hint="Check the path.") from error
    if is_open:
        raise usage("no_token", f"daemon.token_file: others can read {path}", hint=f"Run: chmod 600 {path}")
    if len(text) < 16 or not text.isascii() or not text.isprintable():
        raise usage(
            "no_token",
            f"daemon.token_file: {path} holds no token",
            hint="It takes 16 printable ASCII characters or more.",
        )
    return text
