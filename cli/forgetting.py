"""`followgraph forget` and `followgraph optout`: people taken out of a study, and kept out of it."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from cli import holding, projectkey, seedlists
from cli.amounts import amount
from cli.escaping import shortened
from cli.failure import usage
from cli.seeding import Rejected, lines, refuse
from cli.session import Bound, Session
from cli.standing import moment
from socialfetch.handle import InvalidHandle, parse

if TYPE_CHECKING:  # SQLAlchemy, which the help page does without
    from crawler.forgetting import Forgotten
    from storage.persons import Wanted

_PSEUDONYM = re.compile(r"[A-Z2-7]{26}|acct-[A-Z2-7]{4,26}")
_TAG = re.compile(r"[0-9a-f]{64}")
_STABLE = re.compile(r"id:(\S{1,128})")


def forget(
    *accounts: str,
    file: Annotated[str | None, Parameter(name="--file", allow_leading_hyphen=True)] = None,
    delete_exports: bool = False,
    key: str | None = None,
    session: Bound,
) -> int:
    """Erase people from the database, its archive and its copies, and keep them out. Spends nothing.

    Their account, follows both ways, raw answers, former handles, seeds and notes go in one transaction; of their calls
    the price stays. A keyed hash keeps them from being collected again. Not while a crawl works on the database.

    Parameters
    ----------
    accounts
        @name, name, a profile address, id:NUMBER, or a pseudonym of an export.
    file
        A file with one a line (# begins a comment), or - for standard input.
    delete_exports
        Delete the exports and reports made while they were stored, where they still are as they were made. Works for
        people who were forgotten before, too.
    key
        The project key's file.
    """
    return _run(accounts, file, session, reason="forgotten", delete_exports=delete_exports, key=key)


def optout(
    *,
    file: Annotated[str, Parameter(name="--file", allow_leading_hyphen=True)],
    key: str | None = None,
    session: Bound,
) -> int:
    """Keep people out: never stored, never bought; those that are stored are erased. Spends nothing.

    Lists that name them are kept without them, and how often that happened is counted.

    Parameters
    ----------
    file
        A file with one a line: @name, name, a profile address, id:NUMBER, or a keyed hash of the same project key; or -
        for standard input.
    key
        The project key's file.
    """
    return _run((), file, session, reason="opted_out", delete_exports=False, key=key)


def _run(
    given: tuple[str, ...], file: str | None, session: Session, *, reason: str, delete_exports: bool, key: str | None
) -> int:
    from crawler import forgetting  # noqa: PLC0415 - start-up
    from storage import holders  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up
    from storage.persons import NotFound  # noqa: PLC0415 - start-up

    configuration = session.configure({"policy.key_file": key})
    wanted, rejected = _wanted(given, file)
    if rejected:
        return refuse(rejected, session)
    # An opt-out may come before the first page.
    mode: Literal["write", "create"] = "write" if reason == "forgotten" else "create"
    database = Database.open(configuration.settings.storage.database, now=session.now, mode=mode)
    try:
        database.require_file(hint="Who keeps people out, or may have to forget some, keeps the study in a file.")
        database.claim()
        secret = projectkey.project_key(configuration, session, database)
        try:
            done = forgetting.forget(database, wanted, key=secret, reason=reason, now=session.now)
        except NotFound as error:
            hint = "Give the whole pseudonym, the handle, or id:NUMBER; for an export of another key also --key."
            raise usage("not_found", str(error), hint=hint) from None
        listings = seedlists.warn(database, session)
    finally:
        database.close()
    deleted = holders.delete(done.holders) if delete_exports else []
    _tell(done, deleted, session)
    session.output.finish(
        {
            "forgotten": done.erased.accounts,
            "not_stored": done.unknown,
            "kept_out": done.kept_out,
            "erased": asdict(done.erased),
            "copies": list(done.copies),
            "copies_left": list(done.copies_left),
            "exports": [asdict(holder) for holder in done.holders],
            "exports_deleted": deleted,
            "seed_lists": [asdict(listing) for listing in listings],
            "scoured": done.is_scoured,
            "receipt": {"date": moment(done.at), "act": done.act, "hash": done.receipt},
        }
    )
    return 0


def _wanted(given: tuple[str, ...], file: str | None) -> tuple[list[Wanted], list[Rejected]]:
    from storage.persons import Wanted  # noqa: PLC0415 - start-up

    wanted: list[Wanted] = []
    rejected: list[Rejected] = []
    numbered = [(text, None) for text in given] + ([] if file is None else [(w.text, w.line) for w in lines(file)])
    for text, line in numbered:
        if _PSEUDONYM.fullmatch(text):
            wanted.append(Wanted(pseudonym=text.removeprefix("acct-")))
        elif _TAG.fullmatch(text):
            wanted.append(Wanted(tag=text))
        elif found := _STABLE.fullmatch(text):
            wanted.append(Wanted(platform_user_id=found[1]))
        else:
            try:
                wanted.append(Wanted(handle=parse(text)))
            except InvalidHandle as error:
                rejected.append(Rejected(text=text, line=line, reason=error.problem))
    if not numbered:
        where = "no account was named" if file is None else f"{shortened(file)} names no account"
        raise usage("no_accounts", where, hint="Write: followgraph forget @name, or: followgraph forget --file FILE")
    return list(dict.fromkeys(wanted)), rejected


def _tell(done: Forgotten, deleted: list[str], session: Session) -> None:
    line = session.output.line
    erased = done.erased
    line(f"{amount(erased.accounts, 'account')} · {amount(erased.follows, 'follow')}", label="erased")
    line(
        f"{amount(erased.answers_deleted, 'raw answer')} deleted, {erased.answers_rewritten:,} rewritten without them"
        f" · {amount(erased.calls, 'call')} left without a name",
        label="",
    )
    if erased.known_only_through:
        line(f"{amount(erased.known_only_through, 'account')} known only from their lists went too", label="")
    if done.unknown:
        line(f"{done.unknown:,} of those named were not stored", label="")
    line(f"{done.kept_out:,} more from now on, by keyed hashes", label="kept out")
    if done.copies:
        line(f"copies beside the database they were erased from too: {len(done.copies):,}", label="")
    for path in done.copies_left:
        line(f"{path} cannot be changed and may hold them: delete it", label="WARN")
    if not done.is_scoured:
        line("somebody reads the database: deleted bytes are still in the file; run it again later", label="WARN")
    for path in deleted:
        line(path, label="deleted")
    holding.tell([each for each in done.holders if each.path not in deleted], session)
    line(f"{moment(done.at)} · {done.receipt}", label="receipt")
