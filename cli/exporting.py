"""`followgraph export`: the graph for other programs, under names, under pseudonyms, or as counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from cli import projectkey
from cli.amounts import amount
from cli.failure import usage
from cli.session import Bound, Session

if TYPE_CHECKING:  # pyarrow and SQLAlchemy, which the help page does without
    from storage.outputs import Output
    from storage.secret import ProjectKey


def export(
    *,
    format: Literal["csv", "parquet", "graphml", "edgelist"],
    output: Path,
    pseudonymise: bool = False,
    level: Annotated[str | None, Parameter(name="--level")] = None,
    key: str | None = None,
    session: Bound,
) -> None:
    """Write the graph for other programs. The database is only read; a file stands there only when it is whole.

    Every export is noted with its checksum in a list beside the database, so that `forget` can say who has what.

    Parameters
    ----------
    format
        csv and parquet write accounts and follows into a folder; graphml and edgelist write one file.
    output
        The file or folder to write.
    pseudonymise
        Keyed pseudonyms instead of handles and ids: the same as --level pseudonymous.
    level
        raw, pseudonymous or aggregate; policy.export_level where it is not given.
    key
        The project key's file: the same key gives the same person the same pseudonym in another wave.
    """
    from storage import export as exports  # noqa: PLC0415 - pyarrow and SQLAlchemy, which the help page does without
    from storage.database import Database  # noqa: PLC0415
    from storage.pseudonyms import Pseudonymous  # noqa: PLC0415

    if pseudonymise:
        level = level or "pseudonymous"
    configuration = session.configure({"policy.export_level": level, "policy.key_file": key})
    chosen = configuration.settings.policy.export_level
    if pseudonymise and chosen != "pseudonymous":
        raise usage("levels", f"--pseudonymise contradicts --level {chosen}", hint="Give one of the two.")
    database = Database.open(configuration.settings.storage.database, now=session.now, mode="read")
    secret: ProjectKey | None = None
    try:
        if chosen == "pseudonymous":
            secret = projectkey.project_key(configuration, session, database)
            projectkey.warn_of_another(secret, session, database)
        with database.read() as conn:
            if chosen == "aggregate":
                if format not in {"csv", "parquet"}:
                    raise usage("format", f"counts are no {format}", hint="Give --format csv or parquet.")
                done = exports.write_counts(conn, format, output)
            else:
                mask = exports.BARE if secret is None else Pseudonymous(conn, secret)
                done = exports.write(conn, format, output, mask)
        files = exports.files(done)
        if secret is not None:
            files.append(notice(done.path))
        made = noted(
            database.path,
            files,
            session,
            kind="export",
            level=chosen,
            accounts=done.accounts,
            edges=done.edges,
            key=secret,
        )
    finally:
        database.close()
    session.output.line(
        f"{done.path} · {amount(done.accounts, 'account')} · {amount(done.edges, 'follow')}", label="wrote"
    )
    session.output.line(_WORDS[chosen], label="note")
    session.output.finish(
        {
            "path": str(done.path),
            "accounts": done.accounts,
            "edges": done.edges,
            "level": chosen,
            "key": None if secret is None else secret.fingerprint,
            "files": None if made is None else made.files,
        }
    )


_WORDS = {
    "raw": "the accounts are real people, under their handles: mind where this goes",
    "pseudonymous": "pseudonymous is not anonymous: these are still real people's data; mind where this goes",
    "aggregate": "counts only; those of fewer than 10 accounts are left out",
}


def notice(path: Path) -> Path:
    """Write what a pseudonymous export must say of itself beside or into it. Raises OutputNotWritable."""
    from storage.export import replacing  # noqa: PLC0415
    from storage.pseudonyms import NOTICE  # noqa: PLC0415

    path = path.resolve()
    place = path / "NOTICE.txt" if path.is_dir() else path.with_name(f"{path.name}.NOTICE.txt")
    with replacing(place) as temporary:
        temporary.write_text(NOTICE, encoding="ascii")
    return place


def noted(
    database: Path,
    files: list[Path],
    session: Session,
    *,
    kind: str,
    level: str,
    accounts: int,
    edges: int,
    key: ProjectKey | None = None,
) -> Output | None:
    """Note what was made in the list beside the database; a folder that takes no file is told, not an error."""
    from storage import outputs  # noqa: PLC0415

    made = outputs.record(
        database,
        files,
        at=session.now(),
        kind=kind,
        level=level,
        accounts=accounts,
        edges=edges,
        key=None if key is None else key.fingerprint,
    )
    if made is None:
        place = outputs.list_of(database)
        session.output.note(f"{place} cannot be written: `forget` will not know of this {kind}", label="WARN")
    return made
