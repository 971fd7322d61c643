"""`followgraph export`: the graph for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cli.amounts import amount
from cli.session import Bound


def export(
    *,
    format: Literal["csv", "parquet", "graphml", "edgelist"],
    output: Path,
    session: Bound,
) -> None:
    """Write the graph for other programs. The database is only read; a file stands there only when it is whole.

    Parameters
    ----------
    format
        csv and parquet write accounts and follows into a folder; graphml and edgelist write one file.
    output
        The file or folder to write.
    """
    from storage import export as exports  # noqa: PLC0415 - pyarrow and SQLAlchemy, which the help page does without
    from storage.database import Database  # noqa: PLC0415

    database = Database.open(session.configure().settings.storage.database, now=session.now, mode="read")
    try:
        with database.read() as conn:
            done = exports.write(conn, format, output)
    finally:
        database.close()
    session.output.line(
        f"{done.path} · {amount(done.accounts, 'account')} · {amount(done.edges, 'follow')}", label="wrote"
    )
    session.output.line("the accounts are real people, under their handles: mind where this goes", label="note")
    session.output.finish({"path": str(done.path), "accounts": done.accounts, "edges": done.edges})
