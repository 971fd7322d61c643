"""`followgraph doctor`: is everything as a crawl needs it? Each finding with what to do about it; nothing is spent."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from cli.amounts import amount
from cli.exits import Exit
from cli.failure import of_call
from cli.session import Bound, Session

if TYPE_CHECKING:  # pydantic, SQLAlchemy, aiohttp, which the help page does without
    from cli.config import Configuration
    from cli.key import Key
    from cli.settings import Settings
    from socialfetch.errors import SocialFetchError
    from socialfetch.wire import BalanceData
    from storage.database import Database

_LITTLE_DISK = 1_000_000_000
"""Bytes free below which a long crawl may end in a full disk."""

_COLUMN = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. `remedy` is empty where nothing is to be done."""

    level: Literal["ok", "warn", "fail"]
    check: str
    finding: str
    remedy: str = ""


async def doctor(
    *,
    repair: bool = False,
    api_url: Annotated[str | None, Parameter(name="--api-url")] = None,
    session: Bound,
) -> int:
    """Check configuration, key, balance, database, disk and seeds. Spends nothing.

    Ends with exit code 0 where nothing failed; warnings do not count.

    Parameters
    ----------
    repair
        Upgrade a database of an older version, after a backup copy beside it.
    api_url
        Ask here instead of api.base_url.
    """
    configuration = session.configure({"api.base_url": api_url})
    findings = [_of_configuration(configuration)]
    findings += [finding async for finding in _of_api(configuration.settings, session)]
    findings += _of_database(configuration.settings.storage.database, session, repair=repair)
    counts = {level: sum(finding.level == level for finding in findings) for level in ("ok", "warn", "fail")}
    code = Exit.DATABASE if counts["fail"] else Exit.DONE
    for finding in findings:
        label = finding.level if finding.level == "ok" else finding.level.upper()
        session.output.line(f"{finding.check:<{_COLUMN}}{finding.finding}", label=label)
        if finding.remedy:
            session.output.line(f"{'':<{_COLUMN}}{finding.remedy}", label="")
    session.output.finish({**counts, "findings": [asdict(finding) for finding in findings], "exit_code": int(code)})
    return code


def _of_configuration(configuration: Configuration) -> Finding:
    from cli.config import DEFAULT  # noqa: PLC0415

    count = sum(origin != DEFAULT for origin in configuration.origins.values())
    where = "no config.toml, built-in defaults" if configuration.file is None else str(configuration.file)
    return Finding(level="ok", check="config", finding=f"{where} · {amount(count, 'value')} set")


async def _of_api(settings: Settings, session: Session) -> AsyncIterator[Finding]:
    from cli.config import ConfigError  # noqa: PLC0415
    from cli.connection import client  # noqa: PLC0415
    from cli.wording import KEY_VARIABLE  # noqa: PLC0415
    from socialfetch.errors import SocialFetchError  # noqa: PLC0415

    try:
        key = session.key(settings)
    except ConfigError as error:
        remedy = f"Correct it, or set {KEY_VARIABLE}."
        yield Finding(level="fail", check="key", finding=str(error), remedy=remedy)
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
    return Finding(level="fail", check="api", finding=finding, remedy=failure.hint)


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


def _of_database(place: str, session: Session, *, repair: bool) -> Iterator[Finding]:
    from storage.driver import file_of  # noqa: PLC0415
    from storage.errors import DatabaseError, MissingDatabase  # noqa: PLC0415

    try:
        path = file_of(place)
        yield _of_disk(path)
        database = _opened(place, session, repair=repair)
    except MissingDatabase:
        yield Finding(
            level="ok",
            check="database",
            finding=f"{place}, none yet",
            remedy="The first seed makes it: followgraph seed --file seeds.txt",
        )
        return
    except DatabaseError as error:
        yield Finding(level="fail", check="database", finding=error.problem, remedy=error.hint)
        return
    try:
        yield from _of_content(database, place)
    except DatabaseError as error:
        yield Finding(level="fail", check="database", finding=error.problem, remedy=error.hint)
    finally:
        database.close()


def _opened(place: str, session: Session, *, repair: bool) -> Database:
    from storage.database import Database  # noqa: PLC0415
    from storage.errors import OlderSchema  # noqa: PLC0415

    try:
        return Database.open(place, now=session.now, mode="read")
    except OlderSchema:
        if not repair:
            raise
    Database.open(place, now=session.now, mode="write").close()
    return Database.open(place, now=session.now, mode="read")


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


def _of_content(database: Database, place: str) -> Iterator[Finding]:
    from storage import checkup, summary  # noqa: PLC0415

    with database.read() as conn:
        problems = checkup.problems(conn)
        found = summary.read(conn)
    for problem in problems:
        level: Literal["warn", "fail"] = "warn" if problem.severity == "warning" else "fail"
        yield Finding(level=level, check="database", finding=problem.finding, remedy=problem.remedy)
    if not problems:
        size = f"{amount(found.accounts['known'], 'account')} · {amount(found.edges, 'follow')}"
        yield Finding(level="ok", check="database", finding=f"{place}, sound · {size}")
    waiting = found.frontier["queued"] + found.frontier["leased"]
    if found.accounts["known"] == 0:
        remedy = "followgraph seed --file seeds.txt"
        yield Finding(level="warn", check="seeds", finding="none: a crawl would have nothing to do", remedy=remedy)
    else:
        yield Finding(level="ok", check="frontier", finding=f"{amount(waiting, 'account')} still to visit")
