"""`followgraph diff`: follows gained and lost between two times."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cli import moments
from cli.amounts import amount
from cli.failure import usage
from cli.session import Bound
from cli.standing import moment

if TYPE_CHECKING:
    from storage.changes import Change

_SHOWN = 20
"""Changes shown to a person; --json and --output have them all."""

_WORDS = {"new": "gained", "gone": "lost", "back": "back again", "learned": "learned"}


def diff(
    *,
    since: Annotated[str, Parameter(name="--from")],
    until: Annotated[str, Parameter(name="--to")] = "now",
    output: Path | None = None,
    session: Bound,
) -> None:
    """Follows gained and lost between two times, as far as visits show. Reads only.

    A follow is gained where its account's whole list was known at the first time, else it is only learned.

    Parameters
    ----------
    since
        A date (2026-03-01), a date with a time (UTC), or how long ago (30d).
    until
        The same; without it, now.
    output
        Write every change into this CSV file.
    """
    from storage import changes, export  # noqa: PLC0415 - SQLAlchemy, which the help page does without
    from storage.database import Database  # noqa: PLC0415 - start-up

    now = session.now()
    first, last = moments.parse(since, flag="--from", now=now), moments.parse(until, flag="--to", now=now)
    if first > last:
        raise usage("not_a_time", "--from is later than --to", hint="Give the earlier time to --from.")
    database = Database.open(session.configure().settings.storage.database, now=session.now, mode="read")
    try:
        with database.read() as conn:
            found = list(changes.between(conn, first, last))
    finally:
        database.close()
    counts = Counter(change.kind for change in found)
    if output is not None:
        with export.replacing(output) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("change", "source", "target", "seen"))
            for change in found:
                writer.writerow([change.kind, *(export.cell(each) for each in _pair(change)), moment(change.at)])
    line = session.output.line
    line(f"{moment(first)} to {moment(last)}", label="between")
    line(" · ".join(f"{counts[kind]:,} {_WORDS[kind]}" for kind in changes.KINDS), label="follows")
    for change in found[:_SHOWN]:
        source, target = _pair(change)
        line(f"{source} → {target} · {moment(change.at)}", label=change.kind)
    if len(found) > _SHOWN:
        where = ": --output changes.csv, or --json" if output is None else ""
        line(f"and {len(found) - _SHOWN:,} more{where}", label="")
    if output is not None:
        line(f"{output} · {amount(len(found), 'change')}", label="wrote")
    session.output.finish(
        {
            "from": moment(first),
            "to": moment(last),
            **{kind: counts[kind] for kind in changes.KINDS},
            "follows": [[change.kind, *_pair(change), moment(change.at)] for change in found],
            "output": None if output is None else str(output),
        }
    )


def _pair(change: Change) -> tuple[str, str]:
    """Return how both ends are called: by handle, or by id where the account has none."""
    return change.source or f"id:{change.source_id}", change.target or f"id:{change.target_id}"
