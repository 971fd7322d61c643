"""`followgraph report`: one HTML file that works offline, its numbers as JSON, its tables as CSV."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cli import durations, policies
from cli.amounts import amount
from cli.escaping import shortened
from cli.exporting import noted
from cli.failure import usage
from cli.session import Bound, Session

if TYPE_CHECKING:  # pydantic, which the help page does without
    from cli.config import Configuration
    from storage.secret import ProjectKey

FOLDER = Path("followgraph-report")

EPOCH = "SOURCE_DATE_EPOCH"
LAST_EPOCH = 253_402_300_799
"""The last second of the year 9999, after which there is no date to write."""


def report(
    *,
    output: Annotated[Path, Parameter(show_default=True)] = FOLDER,
    top: int | None = None,
    resolution: float | None = None,
    rng_seed: int | None = None,
    show_names: bool = False,
    session: Bound,
) -> None:
    """Write the report: report.html, which works offline, report.json, methods.md and tables/*.csv. Spends nothing.

    The database is only read. Same database, same seed: same report but for the time it was made; with
    SOURCE_DATE_EPOCH set that is the time told, and the files are the same byte for byte. An older report is replaced;
    where any other file stands in its place, the command ends with exit code 2.

    Parameters
    ----------
    output
        The folder to write into.
    top
        Accounts in each ranking.
    resolution
        Larger finds more and smaller communities.
    rng_seed
        Seed of everything random in the report.
    show_names
        Name everybody, for a private copy that says so. Without it only the seeds and accounts with
        policy.min_followers_to_name reported followers are named.
    """
    configuration = session.configure({"report.top": top, "report.resolution": resolution, "report.rng_seed": rng_seed})
    files = written(configuration, session, output, show_names=show_names)
    session.output.line(f"open {files['html']} in a browser", label="next", is_command=True)
    session.output.finish(files)


def written(
    configuration: Configuration, session: Session, folder: Path, *, show_names: bool = False
) -> dict[str, Any]:
    """Write the report of the settings' database into `folder`, say so, and return the JSON of it.

    Raises CommandFailed, DatabaseError and OutputNotWritable.
    """
    settings, now = configuration.settings, _clock(session)
    from analysis.report.build import build  # noqa: PLC0415 - the graph libraries, which the help page does without
    from analysis.report.page import LARGE  # noqa: PLC0415 - likewise
    from storage.database import beside  # noqa: PLC0415 - start-up
    from storage.places import require_free  # noqa: PLC0415 - start-up

    database = beside(settings.storage.database)
    require_free(database, _replaced(folder))
    _require_memory(settings.storage.database, session)
    begun = session.now()
    # A whole line for each step, no bar: it reads the same in a log, and no step takes long.
    files = build(
        settings.storage.database,
        folder,
        now=now,
        top=settings.report.top,
        resolution=settings.report.resolution,
        rng_seed=settings.report.rng_seed,
        min_followers_to_name=settings.policy.min_followers_to_name,
        show_names=show_names,
        doi=settings.report.doi,
        key=lambda: _key(configuration, session),
        # Whom it names the report says itself: in a rehearsal, or when asked to, it names everybody.
        policy={heading: words for heading, words in policies.lines(settings).items() if heading != policies.NAMED},
        progress=lambda step, done, of: session.output.note(f"{step} ({done} of {of})", label="report"),
    )
    seconds = session.now() - begun
    noted(
        database,
        [files.html, files.json, files.methods, files.bibliography, *files.tables],
        session,
        kind="report",
        level="raw",  # seeds are named in every report
        accounts=files.accounts,
        edges=files.edges,
        begun=begun,
    )
    line = session.output.line
    size = f"{amount(files.accounts, 'account')} · {amount(files.edges, 'follow')}"
    line(f"{size}, in {durations.clock_face(seconds)}", label="read")
    line(f"{files.html} · {files.html.stat().st_size / 1e6:,.1f} MB, opens offline", label="wrote")
    if files.html.stat().st_size > LARGE:
        session.output.note(
            "so large a page opens slowly or not at all: a smaller --top makes it smaller", label="WARN"
        )
    line(f"{files.json} · the same numbers for programs", label="")
    line(f"{files.methods} · the method, ready to paste; {files.bibliography.name} for BibTeX", label="")
    line(f"{folder / 'tables'} · {amount(len(files.tables), 'table')}", label="")
    return {
        "html": str(files.html),
        "json": str(files.json),
        "methods": str(files.methods),
        "bibliography": str(files.bibliography),
        "tables": [str(path) for path in files.tables],
        "accounts": files.accounts,
        "edges": files.edges,
        "seconds": round(seconds, 3),
    }


def _clock(session: Session) -> Callable[[], float]:
    """Return the clock that a report is dated by: SOURCE_DATE_EPOCH where it is set (reproducible-builds.org)."""
    written = session.environ.get(EPOCH, "")
    if not written:
        return session.now
    # Looked at before it is read: Python refuses to read thousands of digits.
    is_number = written.isascii() and written.isdigit() and len(written) <= len(str(LAST_EPOCH))
    if not is_number or int(written) > LAST_EPOCH:
        raise usage(
            "bad_epoch",
            f'{EPOCH} is "{shortened(written)}": that is no time',
            hint="Set it to whole seconds since 1970-01-01 00:00 UTC, or unset it.",
        )
    return lambda: float(written)


def _require_memory(place: str, session: Session) -> None:
    """Refuse what would not fit into memory, before the kernel ends it amid its work."""
    from analysis import footprint  # noqa: PLC0415 - start-up
    from cli import memory  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up

    room = memory.room()
    with closing(Database.open(place, now=session.now, mode="read")) as database:
        known, edges = footprint.counted(database)
    needed = footprint.needed(known, edges)
    if room is not None and needed > room:
        raise usage(
            "too_large",
            f"a report on {amount(known, 'account')} and {amount(edges, 'follow')} needs about {needed / 1e9:,.1f} GB "
            f"of memory, and {room / 1e9:,.1f} GB are free",
            hint="Copy the database to a machine with more, or analyse it in parts on a disk or a cluster: followgraph "
            "export --format parquet, then followgraph analyse --engine spark (docs/scale.md).",
        )


def _replaced(folder: Path) -> list[Path]:
    """Return what a report would replace; all in a folder with a report of ours is of that report."""
    from storage.places import is_ours  # noqa: PLC0415 - start-up

    page = folder / "report.html"
    if is_ours(page):
        return [folder, page]
    others = [folder / name for name in ("report.json", "methods.md", "references.bib")]
    return [folder, page, *others, *sorted((folder / "tables").glob("*.csv"))]


def _key(configuration: Configuration, session: Session) -> ProjectKey | None:
    """Return the project key, None where there is no place for one: then the report numbers those it does not name."""
    from cli import projectkey  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up

    database = Database.open(configuration.settings.storage.database, now=session.now, mode="read")
    try:
        return projectkey.find(configuration, session, database)
    finally:
        database.close()
