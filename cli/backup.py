"""`followgraph backup`: a copy of the database, at any time."""

from __future__ import annotations

import os
from pathlib import Path

from cli.amounts import amount
from cli.exporting import noted
from cli.failure import CommandFailed, usage
from cli.session import Bound


def backup(
    path: Path,
    *,
    session: Bound,
) -> None:
    """Copy the database to a new file, also while a crawl runs. Spends nothing; the database is only read.

    The copy is of one moment, is checked before it gets its name, and is readable by you only. To go back to it, put it
    in the place of the database while no crawl runs, and remove what stands beside that (its -wal and -shm). Pages
    bought after the copy was made are not in it: a crawl that goes on from it buys them again. The copy is noted in a
    list beside the database, so that `forget` can name it.

    Parameters
    ----------
    path
        The file to write. A file that exists is never overwritten.
    """
    from storage import backup as backups  # noqa: PLC0415 - SQLAlchemy, which the help page does without
    from storage.database import Database  # noqa: PLC0415 - start-up
    from storage.errors import PlaceNotWritable, PlaceTaken  # noqa: PLC0415 - start-up

    begun = session.now()
    database = Database.open(session.configure().settings.storage.database, now=session.now, mode="read")
    try:
        copied = backups.copy(database.path, path)
        noted(
            database.path,
            [path],
            session,
            kind="backup",
            level="raw",
            accounts=copied.accounts,
            edges=copied.edges,
            begun=begun,
        )
    except (PlaceTaken, PlaceNotWritable) as error:
        raise refused(error, "a backup") from None
    finally:
        database.close()
    line = session.output.line
    size = f"{amount(copied.accounts, 'account')} · {amount(copied.edges, 'follow')} · {amount(copied.pages, 'page')}"
    line(f"{path} · {copied.bytes / 1e6:,.1f} MB · {size}, checked", label="wrote")
    line("pages bought from now on are not in it: a crawl that goes on from it buys them again", label="note")
    line("it holds every account under its handle: mind where it goes", label="")
    session.output.finish(
        {
            "path": os.fspath(path),
            "bytes": copied.bytes,
            "accounts": copied.accounts,
            "edges": copied.edges,
            "pages": copied.pages,
        }
    )


def refused(error: Exception, what: str) -> CommandFailed:
    """Return the error of a place where `what` cannot be put."""
    return usage(
        "output_not_writable",
        str(error),
        meaning="The database was only read; what stood at that place still does.",
        hint=f"Name another place for {what}.",
    )
