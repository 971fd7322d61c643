"""`followgraph replay`: a database written anew from the archive of another, for nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cli import durations, standing
from cli.amounts import amount
from cli.backup import refused
from cli.exporting import noted
from cli.session import Bound, Session

if TYPE_CHECKING:  # SQLAlchemy, which the help page does without
    from crawler.replay import Replayed

_NOTE_EVERY_S = 10.0


def replay(
    *,
    from_: Annotated[str, Parameter(name="--from")],
    session: Bound,
) -> None:
    """Write the database named by --db anew from the answers archived in another. Spends nothing, asks nobody.

    Every answer is read, judged and stored by today's program: after a correction of how answers are read, the data
    gets better without being bought again. Calls, credits, times and reasons stay as they were. The other database is
    only read; the new one is noted in the list beside it, so that `forget` can name it.

    Parameters
    ----------
    from_
        The database that holds the archive (it was crawled with storage.archive = on).
    """
    from storage.database import beside  # noqa: PLC0415 - start-up
    from storage.draft import drafted  # noqa: PLC0415 - start-up
    from storage.driver import file_of  # noqa: PLC0415 - start-up
    from storage.errors import PlaceNotWritable, PlaceTaken  # noqa: PLC0415 - start-up

    place = file_of(session.configure().settings.storage.database)
    begun = session.now()
    try:
        with drafted(place) as draft:
            done = _written(from_, draft, session)
    except (PlaceTaken, PlaceNotWritable) as error:
        raise refused(error, "the new database with --db") from None
    noted(
        beside(from_),
        [place],
        session,
        kind="replay",
        level="raw",
        accounts=done.result.accounts["known"],
        edges=done.result.edges,
        begun=begun,
    )
    seconds = session.now() - begun
    _tell(done, place, seconds, session)
    session.output.finish(_document(done, place, seconds))


def _written(source_place: str, draft: Path, session: Session) -> Replayed:
    from crawler import replay as replays  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up

    told_at = session.now()

    def on_progress(done: int, calls: int) -> None:
        nonlocal told_at
        if session.now() - told_at >= _NOTE_EVERY_S:
            told_at = session.now()
            session.output.note(f"{done:,} of {amount(calls, 'call')}", label="replay")

    source = Database.open(source_place, now=session.now, mode="read")
    try:
        target = Database.open(draft, now=session.now, mode="create")
        try:
            return replays.replay(source, target, on_progress=on_progress)
        finally:
            target.close()
    finally:
        source.close()


def _tell(done: Replayed, place: Path, seconds: float, session: Session) -> None:
    line = session.output.line
    accounts, edges = done.result.accounts["known"], done.result.edges
    line(f"{amount(done.calls, 'call')}, {amount(done.result.pages, 'page')}", label="read")
    line(f"{place} · {amount(accounts, 'account')} · {amount(edges, 'follow')}", label="wrote")
    before = done.source.accounts["known"], done.source.edges
    if (accounts, edges) == before:
        line("as many as in the other database", label="")
    else:
        line(f"there were {amount(before[0], 'account')} · {amount(before[1], 'follow')}", label="before")
    if done.inferred:
        line("the other database is older than its journal: seeds and settings were inferred", label="note")
    line(f"{durations.clock_face(seconds)}, 0 credits", label="took")


def _document(done: Replayed, place: Path, seconds: float) -> dict[str, Any]:
    before = standing.document(done.source)
    return {
        **standing.document(done.result),
        "path": os.fspath(place),
        "calls": done.calls,
        "inferred": done.inferred,
        "before": {name: before[name] for name in ("accounts", "edges", "totals", "frontier")},
        "took_seconds": round(seconds, 3),
    }
