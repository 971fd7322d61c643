"""`followgraph doctor`: is everything as a crawl needs it? Each finding with what to do about it; nothing is spent."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cli.amounts import amount
from cli.exits import Exit
from cli.failure import describe, of_call
from cli.session import Bound, Session

if TYPE_CHECKING:  # pydantic, SQLAlchemy, aiohttp, which the help page does without
    from cli.config import Configuration
    from cli.key import Key
    from cli.settings import Settings
    from socialfetch.errors import SocialFetchError
    from socialfetch.wire import BalanceData
    from storage.repair import Repaired

_LITTLE_DISK = 1_000_000_000
"""Bytes free below which a long crawl may end in a full disk."""

_COLUMN = 11

_UNREADABLE = {"integrity", "schema"}
"""Findings after which nothing else is asked of the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. `remedy` is empty where nothing is to be done; `code` is for machines."""

    level: Literal["ok", "warn", "fail"]
    check: str
    finding: str
    remedy: str = ""
    code: str = ""
    exit_code: Exit = Exit.DATABASE
    """What the command ends with where this failed."""

    def told(self) -> dict[str, str]:
        """Return it as the JSON says it."""
        return {
            "level": self.level,
            "check": self.check,
            "finding": self.finding,
            "remedy": self.remedy,
            "code": self.code or self.check,
        }


_WORST_FIRST = (Exit.DATABASE, Exit.REFUSED, Exit.GAVE_UP, Exit.USAGE)


async def doctor(
    *,
    repair: bool = False,
    api_url: Annotated[str | None, Parameter(name="--api-url")] = None,
    session: Bound,
) -> int:
    """Check configuration, key, balance, database, disk and seeds. Spends nothing.

    Ends with exit code 0 where nothing failed; warnings do not count. Otherwise with the worst of 5 (database, disk),
    3 (the API refuses the key), 4 (no API), 2 (key file). The database is read as a whole.

    Parameters
    ----------
    repair
        Upgrade a database of an older version and mend what can be mended safely, after a backup copy beside it. Only
        while no crawl works on it; what cannot be mended safely is left and said.
    api_url
        Ask here instead of api.base_url.
    """
    configuration = session.configure({"api.base_url": api_url})
    findings = [_of_configuration(configuration)]
    findings += [finding async for finding in _of_api(configuration.settings, session)]
    repaired: list[Repaired] = []
    findings += _of_database(configuration.settings.storage.database, session, repaired if repair else None)
    findings += _of_policy(configuration.settings, session, purges=repair)
    counts = {level: sum(finding.level == level for finding in findings) for level in ("ok", "warn", "fail")}
    failed = {finding.exit_code for finding in findings if finding.level == "fail"}
    code = next((each for each in _WORST_FIRST if each in failed), Exit.DONE)
    for finding in findings:
        label = finding.level if finding.level == "ok" else finding.level.upper()
        session.output.line(f"{finding.check:<{_COLUMN}}{finding.finding}", label=label)
        if finding.remedy:
            session.output.line(f"{'':<{_COLUMN}}{finding.remedy}", label="")
    document: dict[str, Any] = {
        **counts,
        "findings": [finding.told() for finding in findings],
        "exit_code": int(code),
    }
    if repair:
        copies = [str(each.copy.path) for each in repaired if each.copy is not None]
        document["backup"] = copies[0] if copies else None
        document["mended"] = [asdict(mended) for each in repaired for mended in each.mended]
    session.output.finish(document)
    return code


def _of_configuration(configuration: Configuration) -> Finding:
    from cli.config import DEFAULT  # noqa: PLC0415 - start-up

    count = sum(origin != DEFAULT for origin in configuration.origins.values())
    where = "no config.toml, built-in defaults" if configuration.file is None else str(configuration.file)
    return Finding(level="ok", check="config", finding=f"{where} · {amount(count, 'value')} set")


async def _of_api(settings: Settings, session: Session) -> AsyncIterator[Finding]:
    from cli.config import ConfigError  # noqa: PLC0415 - start-up
    from cli.connection import client  # noqa: PLC0415 - start-up
    from cli.wording import KEY_VARIABLE  # noqa: PLC0415 - start-up
    from socialfetch.errors import SocialFetchError  # noqa: PLC0415 - start-up

    try:
        key = session.key(settings)
    except ConfigError as error:
        remedy = f"Correct it, or set {KEY_VARIABLE}."
        yield Finding(level="fail", check="key", finding=str(error), remedy=remedy, exit_code=Exit.USAGE)
        return
    if key is None:
        remedy = f"Set {KEY_VARIABLE}, or name its file in api.key_file. Without one: followgraph demo."
        yield Finding(level="warn", check="key", finding="none given, so the API was not asked", remedy=remedy)
        return
    async with client(settings.api, key, connections=1) as api:
        try:
            await api.whoami()
            yield Finding(level="ok", check="key", finding=f"accepted ({key.told})")
            balance = await api.balance()
        except SocialFetchError as error:
            yield _of_refusal(error, key, settings)
            return
    for finding in _of_balance(balance):
        yield finding


def _of_refusal(error: SocialFetchError, key: Key, settings: Settings) -> Finding:
    failure = of_call(error)
    finding = f"{failure.message} · {settings.api.base_url} · key {key.told}"
    return Finding(
        level="fail",
        check="api",
        finding=finding,
        remedy=failure.hint,
        code=failure.code,
        exit_code=failure.exit_code,
    )


def _of_balance(balance: BalanceData) -> Iterator[Finding]:
    if balance.balance > 0:
        yield Finding(level="ok", check="balance", finding=amount(balance.balance, "credit"))
    else:
        remedy = "Buy credits at the provider; a crawl would stop at its first page."
        yield Finding(level="warn", check="balance", finding=amount(balance.balance, "credit"), remedy=remedy)
    if balance.refill_state is not None:
        yield Finding(
            level="warn",
            check="top-up",
            finding=f"automatic top-up seems to be on at the provider (state: {balance.refill_state})",
            remedy="Your budget here is the only limit. Turn it off in the provider's account.",
        )
    if balance.billing_alert not in {None, "none"}:
        yield Finding(
            level="warn",
            check="billing",
            finding=f"the provider reports: {balance.billing_alert}",
            remedy="Look into the provider's account before a long crawl.",
        )


def _of_database(place: str, session: Session, repaired: list[Repaired] | None) -> Iterator[Finding]:
    """Check the database. With a list, repair it first and put there what was done."""
    from storage.driver import file_of  # noqa: PLC0415 - start-up
    from storage.errors import DatabaseError, MissingDatabase  # noqa: PLC0415 - start-up
    from storage.postgres import is_address  # noqa: PLC0415 - start-up

    try:
        if repaired is not None or not is_address(place):  # a server has its disk for itself, and is not repaired here
            path = file_of(place)
            yield _of_disk(path)
            if repaired is not None and path.exists():
                repaired.append(_repair(path, session))
                yield from _of_repair(repaired[0])
        yield from _of_content(place, session)
    except MissingDatabase:
        yield Finding(
            level="ok",
            check="database",
            finding=f"{place}, none yet",
            remedy="The first seed makes it: followgraph seed --file seeds.txt",
        )
    except DatabaseError as error:
        failure = describe(error)
        yield Finding(
            level="fail",
            check="database",
            finding=error.problem,
            remedy=error.hint,
            code="" if failure is None else failure.code,
            exit_code=Exit.DATABASE if failure is None else failure.exit_code,
        )


def _of_policy(settings: Settings, session: Session, *, purges: bool) -> Iterator[Finding]:
    """Check whether the database holds what should be gone by the policy; with `purges` delete it."""
    from cli import policies  # noqa: PLC0415 - start-up
    from crawler import retention as purging  # noqa: PLC0415 - start-up
    from storage import optout, retention  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up
    from storage.errors import DatabaseError, KeyUnusable  # noqa: PLC0415 - start-up

    rules = policies.rules(settings.policy)
    try:
        if purges:
            database = Database.open(settings.storage.database, now=session.now, mode="write")
            try:
                database.claim()
                done = purging.purge(database, rules, now=session.now)
            finally:
                database.close()
            if done.counts:
                yield Finding(level="ok", check="purged", finding=" · ".join(policies.told(done)))
                if done.held:
                    what = f"{amount(done.held, 'file')} made before may hold what went"
                    remedy = "followgraph policy purge lists them"
                    yield Finding(level="warn", check="exports", finding=what, remedy=remedy, code="exports_left")
        database = Database.open(settings.storage.database, now=session.now, mode="read")
        try:
            with database.read() as conn:
                due = retention.due(conn, rules, now=session.now())
                optout.gate(conn)
        finally:
            database.close()
    except KeyUnusable as error:
        yield Finding(level="fail", check="key file", finding=error.problem, remedy=error.hint, code="key_unusable")
        return
    except DatabaseError:
        return  # told above, with everything else of the database
    if not due.is_nothing:
        what = "everybody" if due.everybody else ", ".join(f"{name} {count:,}" for name, count in due.counts.items())
        remedy = "followgraph policy purge, or doctor --repair"
        yield Finding(level="warn", check="policy", finding=f"due to be deleted: {what}", remedy=remedy, code="due")


def _rankings() -> frozenset[str]:
    from crawler.strategies.registry import EVERY  # noqa: PLC0415 - start-up
    from storage.ranking import MIXED  # noqa: PLC0415 - start-up

    return frozenset({*EVERY, MIXED})


def _repair(path: Path, session: Session) -> Repaired:
    from storage.repair import repair  # noqa: PLC0415 - start-up

    return repair(path, now=session.now, rankings=_rankings())


def _of_repair(done: Repaired) -> Iterator[Finding]:
    if done.copy is not None:
        size = f"{done.copy.bytes / 1e6:,.1f} MB"
        yield Finding(level="ok", check="backup", finding=f"{done.copy.path} · {size}, as the database was before")
    for mended in done.mended:
        yield Finding(level="ok", check="mended", finding=mended.change, code=mended.code)
    if done.copy is None:
        yield Finding(level="ok", check="repair", finding="nothing that could be mended safely, nothing was changed")


def _of_disk(path: Path) -> Finding:
    folder = path.absolute().parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        finding = f"{folder} cannot be looked at: {error.strerror}"
        return Finding(level="fail", check="disk", finding=finding, remedy="Name another place with --db.")
    if free < _LITTLE_DISK:
        finding = f"{free / 1e6:,.0f} MB free in {folder}"
        return Finding(level="warn", check="disk", finding=finding, remedy="A crawl stops when the disk is full.")
    return Finding(level="ok", check="disk", finding=f"{free / 1e9:,.0f} GB free")


def _of_content(place: str, session: Session) -> Iterator[Finding]:
    from storage import checkup, summary  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up

    database = Database.open(place, now=session.now, mode="read")
    try:
        with database.read() as conn:
            problems = checkup.problems(conn, checkup.Surroundings(now=session.now(), rankings=_rankings()))
            found = None if any(problem.code in _UNREADABLE for problem in problems) else summary.read(conn)
    finally:
        database.close()
    for problem in problems:
        level: Literal["warn", "fail"] = "warn" if problem.severity == "warning" else "fail"
        yield Finding(level=level, check="database", finding=problem.finding, remedy=problem.remedy, code=problem.code)
    if found is None:
        return
    if not problems:
        size = f"{amount(found.accounts['known'], 'account')} · {amount(found.edges, 'follow')}"
        yield Finding(level="ok", check="database", finding=f"{place}, sound · {size}")
    waiting = found.frontier["queued"] + found.frontier["leased"]
    if found.accounts["known"] == 0:
        remedy = "followgraph seed --file seeds.txt"
        yield Finding(level="warn", check="seeds", finding="none: a crawl would have nothing to do", remedy=remedy)
    else:
        yield Finding(level="ok", check="frontier", finding=f"{amount(waiting, 'account')} still to visit")
