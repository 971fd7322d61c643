"""`followgraph report`: one HTML file that works offline, its numbers as JSON, its tables as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cli import durations
from cli.amounts import amount
from cli.session import Bound, Session

if TYPE_CHECKING:  # pydantic, which the help page does without
    from cli.settings import Settings

FOLDER = Path("followgraph-report")


def report(
    *,
    output: Annotated[Path, Parameter(show_default=True)] = FOLDER,
    top: int | None = None,
    resolution: float | None = None,
    rng_seed: int | None = None,
    session: Bound,
) -> None:
    """Write the report: report.html, which works offline, report.json and tables/*.csv. Spends nothing.

    The database is only read. Same database, same seed: same report.

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
    """
    settings = session.configure(
        {"report.top": top, "report.resolution": resolution, "report.rng_seed": rng_seed}
    ).settings
    files = written(settings, session, output)
    session.output.line(f"open {files['html']} in a browser", label="next")
    session.output.finish(files)


def written(settings: Settings, session: Session, folder: Path) -> dict[str, Any]:
    """Write the report of the settings' database into `folder`, say so, and return the JSON of it.

    Raises DatabaseError and OutputNotWritable.
    """
    from analysis.report.build import build  # noqa: PLC0415 - the graph libraries, which the help page does without

    begun = session.now()
    # A whole line for each step, no bar: it reads the same in a log, and no step takes long.
    files = build(
        settings.storage.database,
        folder,
        now=session.now,
        top=settings.report.top,
        resolution=settings.report.resolution,
        rng_seed=settings.report.rng_seed,
        progress=lambda step, done, of: session.output.note(f"{step} ({done} of {of})", label="report"),
    )
    seconds = session.now() - begun
    line = session.output.line
    size = f"{amount(files.accounts, 'account')} · {amount(files.edges, 'follow')}"
    line(f"{size}, in {durations.clock_face(seconds)}", label="read")
    line(f"{files.html} · {files.html.stat().st_size / 1e6:,.1f} MB, opens offline", label="wrote")
    line(f"{files.json} · the same numbers for programs", label="")
    line(f"{folder / 'tables'} · {amount(len(files.tables), 'table')}", label="")
    return {
        "html": str(files.html),
        "json": str(files.json),
        "tables": [str(path) for path in files.tables],
        "accounts": files.accounts,
        "edges": files.edges,
        "seconds": round(seconds, 3),
    }
