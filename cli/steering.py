"""`followgraph pause`, `resume`, `drain`, `requeue`: words to the crawl that works on a database, or to the next."""

from __future__ import annotations

from functools import partial as bound
from typing import TYPE_CHECKING

from cli.amounts import amount
from cli.failure import usage
from cli.seeding import Written, refuse, sorted_out
from cli.session import Bound, Session

if TYPE_CHECKING:  # SQLAlchemy, which the help page does without
    from storage.database import Database


def pause(*, session: Bound) -> None:
    """Let the running crawl or daemon ask for nothing new until `resume`. A daemon that starts later obeys too."""
    _order(
        session, "pause", running="asked: what is in flight is stored, nothing new is bought", idle="the next daemon"
    )


def resume(*, session: Bound) -> None:
    """Let a paused crawl or daemon go on."""
    _order(session, "resume", running="asked: it goes on within a second or two", idle="the next daemon")


def drain(*, session: Bound) -> None:
    """Let the running crawl or daemon finish what is in flight and end well, as Ctrl-C does."""
    _order(session, "drain", running="asked: it ends once what is in flight is stored", idle=None)


def _order(session: Session, act: str, *, running: str, idle: str | None) -> None:
    from storage import orders  # noqa: PLC0415 - start-up

    database = _open(session)
    try:
        with database.read() as conn:
            is_running = orders.is_running(conn, now=session.now())
        if is_running or idle is not None:
            database.transact(bound(orders.ask, act=act, origin="command", now=session.now()))
    finally:
        database.close()
    if is_running:
        session.output.line(running, label=act)
    elif idle is None:
        session.output.line("nothing runs on this database just now", label=act)
    else:
        session.output.line(f"nothing runs on this database just now; {idle} obeys", label=act)
    session.output.finish({"act": act, "running": is_running})


def requeue(*handles: str, failed: bool = False, partial: bool = False, session: Bound) -> int | None:
    """Queue entries again: lists that were given up or read in part, or accounts by name. Spends nothing by itself.

    Works while a crawl runs. What was read stays; the next visit reads the list anew. Named accounts come first,
    whatever the strategy; filters and limits hold for them too.

    Parameters
    ----------
    handles
        @name, name or https://www.tiktok.com/@name.
    failed
        Every list that was given up.
    partial
        Every list that was read in part.
    """
    if not (handles or failed or partial):
        raise usage("nothing_named", "nothing was named", hint="Name accounts, or give --failed, --partial or both.")
    wanted: list[str] = []
    if handles:
        good, rejected = sorted_out([Written(text=text) for text in handles], None)
        if rejected:
            return refuse(rejected, session)
        wanted = list(dict.fromkeys(good))

    from crawler.steering import requeue_entries  # noqa: PLC0415 - start-up

    database = _open(session)
    try:
        done = database.transact(
            bound(requeue_entries, handles=wanted, failed=failed, partial_lists=partial, now=session.now())
        )
    finally:
        database.close()
    if done.unknown:
        raise usage(
            "unknown_account",
            f"nobody here is called {', '.join(done.unknown)}",
            hint="Only accounts that were seen can be queued again; new ones: followgraph seed",
        )
    parts = []
    if failed:
        parts.append(f"{amount(done.failed, 'list')} given up")
    if partial:
        parts.append(f"{amount(done.partial, 'list')} read in part")
    if wanted:
        parts.append(f"{amount(done.named, 'account')} by name, before all others")
    session.output.line(" · ".join(parts), label="queued")
    session.output.finish(
        {
            "requeued": done.failed + done.partial + done.named,
            "failed": done.failed,
            "partial": done.partial,
            "named": done.named,
        }
    )
    return None


def _open(session: Session) -> Database:
    from storage.database import Database  # noqa: PLC0415 - start-up

    return Database.open(session.configure().settings.storage.database, now=session.now, mode="write")
