"""`followgraph copy`: the whole study moved into another database, a file or one on a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli import durations
from cli.amounts import amount
from cli.exporting import noted
from cli.failure import usage
from cli.session import Bound, Session, password

if TYPE_CHECKING:  # SQLAlchemy, which the help page does without
    from storage.copying import Copied, Step
    from storage.database import Database

_NOTE_EVERY_S = 10.0


def copy(
    *,
    to: str,
    session: Bound,
) -> None:
    """Write everything that the database holds to another one, row for row, and compare the two. Spends nothing.

    So a study moves from a file to a server, where many crawlers share it, and back. Ids, books, the frontier, the
    archive and who is kept out go along, so crawling goes on there. Nobody may crawl meanwhile; the database is only
    read. A copy that is cut off goes on with the same command; until it is whole no other command takes it. It is noted
    in the list beside the database, so that `forget` can name it.

    Parameters
    ----------
    to
        An empty database, by path or address: a file that does not exist yet, or a new one on a PostgreSQL server.
    """
    from storage import copying, outputs  # noqa: PLC0415 - SQLAlchemy, which the help page does without
    from storage.database import Database, beside  # noqa: PLC0415 - start-up
    from storage.driver import file_of  # noqa: PLC0415 - start-up
    from storage.errors import CopyRefused  # noqa: PLC0415 - start-up
    from storage.postgres import Server, is_address  # noqa: PLC0415 - start-up

    place = session.configure().settings.storage.database
    session.redaction.add(password(to))
    begun = session.now()
    told_at = begun
    name = Server(to).name if is_address(to) else to
    target = name if is_address(to) else file_of(to)

    def on_progress(step: Step) -> None:
        nonlocal told_at
        if session.now() - told_at >= _NOTE_EVERY_S:
            told_at = session.now()
            session.output.note(f"{step.act} {step.done:,} of {amount(step.total, 'row')}", label="copy")

    database = Database.open(place, now=session.now, mode="read")
    try:
        try:
            done = copying.copy(
                database,
                to,
                now=session.now,
                # At once: what is half copied names people as well.
                on_begin=lambda found: _note(database, target, found, begun, session),
                on_progress=on_progress,
            )
        except CopyRefused as error:
            meaning = "The database was only read, the other left as it is."
            raise usage("copy_refused", str(error), hint=error.hint, meaning=meaning) from None
        _note(database, target, done, begun, session)
        source = database.name
        origin = source if database.is_shared else database.path
        outputs.carry(database.beside, beside(to), origin=origin, at=session.now())
    finally:
        database.close()
    seconds = session.now() - begun
    _tell(done, name, seconds, session, is_on_server=is_address(to))
    session.output.finish(
        {
            "from": source,
            "to": name,
            "rows": sum(done.rows.values()),
            "tables": dict(done.rows),
            "accounts": done.accounts,
            "edges": done.edges,
            "pages": done.pages,
            "verified": True,
            "took_seconds": round(seconds, 3),
        }
    )


def _note(database: Database, target: Path | str, found: Copied, begun: float, session: Session) -> None:
    noted(
        database.beside,
        [target],
        session,
        kind="copy",
        level="raw",
        accounts=found.accounts,
        edges=found.edges,
        begun=begun,
    )


def _tell(done: Copied, name: str, seconds: float, session: Session, *, is_on_server: bool) -> None:
    line = session.output.line
    size = f"{amount(done.accounts, 'account')} · {amount(done.edges, 'follow')} · {amount(done.pages, 'page')}"
    line(f"{name} · {size}", label="wrote")
    line(
        f"{amount(sum(done.rows.values()), 'row')}, each as in the database, in {durations.clock_face(seconds)}",
        label="ok",
    )
    if is_on_server and done.kept_out:
        line(
            f"{done.kept_out:,} kept out there too: each crawler needs the project key, in a file of the same path;"
            " forget and optout work on files only",
            label="note",
        )
    line("crawl one of the two from now on: both would buy the same lists", label="note")
    line(f"followgraph --db {name} status", label="next", is_command=True)
    line("it holds every account under its handle: mind where it goes", label="")
