"""`followgraph export`: the graph for other programs, under names, under pseudonyms, or as counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cli import moments, policies, projectkey
from cli.amounts import amount
from cli.failure import usage
from cli.session import Bound, Session

if TYPE_CHECKING:  # pyarrow and SQLAlchemy, which the help page does without
    from cli.config import Configuration
    from storage.export import Exported, Places, Ranks
    from storage.outputs import Level, Output
    from storage.pseudonyms import Mask
    from storage.secret import ProjectKey


def export(
    *,
    format: Literal["csv", "parquet", "graphml", "gexf", "graphology", "edgelist"] | None = None,
    output: Path | None = None,
    dataset: Path | None = None,
    partitions: int | None = None,
    as_of: Annotated[str | None, Parameter(name="--as-of")] = None,
    pseudonymise: bool = False,
    level: Annotated[str | None, Parameter(name="--level")] = None,
    key: str | None = None,
    session: Bound,
) -> None:
    """Write the graph for other programs. The database is only read; a file stands there only when it is whole.

    An older export is replaced; any other file that stands there is left alone, and the command ends with exit code 2.
    Every export is noted with its checksum in a list beside the database, so that `forget` can say who has what.

    Parameters
    ----------
    format
        csv and parquet write accounts and follows into a folder; all others write one file. gexf (for Gephi) and
        graphology (for sigma) draw the accounts: a position, a colour, the community and the rank of each, as in the
        report. The others are raw data.
    output
        The file or folder to write. A file whose name ends in .gz is compressed: graph.gexf.gz.
    dataset
        Write a data set fit to publish into this folder instead: tables, what describes them, a citation, checksums.
        Pseudonymous unless another level is asked for.
    partitions
        Of parquet: folders accounts/ and follows/ of at most so many files each, for programs that read them side by
        side, `followgraph analyse` among them.
    pseudonymise
        Keyed pseudonyms instead of handles and ids: the same as --level pseudonymous.
    level
        raw, pseudonymous or aggregate; policy.export_level where it is not given.
    key
        The project key's file: the same key gives the same person the same pseudonym in another wave.
    as_of
        The follows as they were known at this time: a date (2026-03-01), a date with a time (UTC), or how long ago.
    """
    # pyarrow and SQLAlchemy, which the help page does without
    from storage import export as exports  # noqa: PLC0415 - start-up
    from storage import partitions as parts  # noqa: PLC0415 - start-up
    from storage import past, places, summary  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up
    from storage.pseudonyms import Pseudonymous  # noqa: PLC0415 - start-up

    if pseudonymise:
        level = level or "pseudonymous"
    configuration = session.configure({"policy.export_level": level, "policy.key_file": key})
    chosen = configuration.settings.policy.export_level
    if pseudonymise and chosen != "pseudonymous":
        raise usage("levels", f"--pseudonymise contradicts --level {chosen}", hint="Give one of the two.")
    if dataset is not None and configuration.origins["policy.export_level"] == "default":
        chosen = "pseudonymous"
    place = _place(format, output, dataset)
    if dataset is None and chosen == "aggregate" and format not in {"csv", "parquet"}:
        raise usage("format", f"counts are no {format}", hint="Give --format csv or parquet.")
    if partitions is not None and (format != "parquet" or chosen == "aggregate"):
        raise usage("partitions", "--partitions is of parquet alone", hint="Give --format parquet, and no counts.")
    if partitions is not None and partitions < 1:
        raise usage("partitions", f"--partitions is {partitions}", hint="Give a whole number from 1 on.")
    when = None if as_of is None else moments.parse(as_of, flag="--as-of", now=session.now())
    words = policies.stated(configuration)
    database = Database.open(configuration.settings.storage.database, now=session.now, mode="read")
    secret: ProjectKey | None = None
    begun = session.now()
    try:
        has_notice = dataset is None and (chosen == "pseudonymous" or bool(words))
        replaced = _replaced(place, format, chosen, has_notice=has_notice)
        if partitions is not None:
            replaced += [*(place / name for name in parts.NAMES), *parts.files(place)]
        places.require_free(database.beside, [place, *replaced])
        if chosen == "pseudonymous":
            secret = projectkey.project_key(configuration, session, database)
            projectkey.warn_of_another(secret, session, database)
        with database.read() as conn, nullcontext() if when is None else past.as_of(conn, when):
            is_rehearsal = summary.is_rehearsal(summary.all_runs(conn))
            mask = exports.BARE if secret is None else Pseudonymous(conn, secret)
            if dataset is not None:
                done = _dataset(conn, dataset, chosen, mask, configuration, at=session.now())
            elif chosen == "aggregate":
                done = exports.write_counts(conn, "csv" if format == "csv" else "parquet", place)
            elif partitions is not None:
                done = parts.write(conn, place, partitions, mask)
            else:
                assert format is not None  # noqa: S101 - asked for above
                is_drawn = format in exports.DRAWN
                spots, ranks = _drawn(conn, configuration, session, secret) if is_drawn else (None, None)
                done = exports.write(conn, format, place, mask, places=spots, ranks=ranks)
        if partitions is not None:
            files = parts.files(place.resolve())
        else:
            files = [place.resolve()] if dataset is not None else exports.files(done)
        if dataset is None and (secret is not None or words):
            files.append(notice(done.path, words, is_pseudonymous=secret is not None, is_rehearsal=is_rehearsal))
        made = noted(
            database.beside,
            files,
            session,
            kind="export" if dataset is None else "dataset",
            level=chosen,
            accounts=done.accounts,
            edges=done.edges,
            begun=begun,
            key=secret,
        )
    finally:
        database.close()
    session.output.line(
        f"{done.path} · {amount(done.accounts, 'account')} · {amount(done.edges, 'follow')}", label="wrote"
    )
    session.output.line(_REHEARSED if is_rehearsal else _WORDS[chosen], label="note")
    if dataset is not None:
        session.output.line(
            f"read {place / 'README.md'}, then: followgraph verify {place}", label="next", is_command=True
        )
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


def _place(format: str | None, output: Path | None, dataset: Path | None) -> Path:
    if dataset is not None:
        if format is not None or output is not None:
            raise usage("usage", "--dataset writes all of it, where it says", hint="Leave --format and --output out.")
        return dataset
    if format is None or output is None:
        missing = "--format" if format is None else "--output"
        hint = "Give --format and --output, or --dataset DIR. See `followgraph export --help`."
        raise usage("usage", f"export needs {missing}", hint=hint)
    return output


def _replaced(place: Path, format: str | None, level: Level, *, has_notice: bool) -> list[Path]:
    """Return the files that an export would write beside or into its place."""
    if format not in {"csv", "parquet"}:
        return [place.with_name(f"{place.name}.NOTICE.txt")] if has_notice else []
    stems = ("counts",) if level == "aggregate" else ("accounts", "follows")
    return [place / name for name in (*(f"{stem}.{format}" for stem in stems), *(["NOTICE.txt"] if has_notice else []))]


def _drawn(
    conn: Any, configuration: Configuration, session: Session, secret: ProjectKey | None
) -> tuple[Places | None, Ranks]:
    """Return where a drawing has the accounts, None for a graph too large, and their ranks; says so."""
    from analysis import drawing  # noqa: PLC0415 - the graph libraries, which other formats do without
    from analysis.communities import TooManyPairs  # noqa: PLC0415 - start-up
    from analysis.graph import read_graph  # noqa: PLC0415 - start-up
    from analysis.sample import read_drawn  # noqa: PLC0415 - start-up
    from storage import persons  # noqa: PLC0415 - start-up

    asked = configuration.settings.report
    # Equals in the order of their ids would show in which order they were found.
    ties = None if secret is None else dict(persons.pseudonyms(conn, secret))
    graph = read_graph(conn)
    ranks = drawing.ranks(graph, read_drawn(conn, graph), top=asked.top, rng_seed=asked.rng_seed)
    try:
        return drawing.places(graph, resolution=asked.resolution, rng_seed=asked.rng_seed, ties=ties), ranks
    except TooManyPairs as refused:
        session.output.note(f"{refused}: the file has no positions, colours or communities", label="note")
        return None, ranks


def _dataset(conn: Any, folder: Path, level: Level, mask: Mask, configuration: Configuration, *, at: float) -> Exported:
    from cli.versions import versions  # noqa: PLC0415 - start-up
    from storage import datacard, dataset  # noqa: PLC0415 - start-up

    asked = configuration.settings.dataset
    described = datacard.Description(
        title=asked.title or "A follow graph",
        authors=[author.strip() for author in (asked.authors or "").split(";") if author.strip()],
        license=asked.license,
        level=level,
        policy=policies.lines(configuration.settings),
        versions=versions(),
        at=int(at),
    )
    return dataset.write(conn, folder, described, mask)


_WORDS = {
    "raw": "the accounts are real people, under their handles: mind where this goes",
    "pseudonymous": "pseudonymous is not anonymous: these are still real people's data; mind where this goes",
    "aggregate": "counts only; those of fewer than 10 accounts are left out, and others that would give them away",
}
_REHEARSED = "a rehearsal: the accounts come from an API simulated on this machine, not from the platform"


def notice(path: Path, words: Mapping[str, str], *, is_pseudonymous: bool, is_rehearsal: bool) -> Path:
    """Write what an export must say of itself beside or into it. Raises OutputNotWritable."""
    from storage.export import replacing  # noqa: PLC0415 - start-up
    from storage.places import RAW_NOTICE, REHEARSAL_NOTICE  # noqa: PLC0415 - start-up
    from storage.pseudonyms import NOTICE  # noqa: PLC0415 - start-up

    path = path.resolve()
    place = path / "NOTICE.txt" if path.is_dir() else path.with_name(f"{path.name}.NOTICE.txt")
    said = (REHEARSAL_NOTICE if is_rehearsal else "") + (NOTICE if is_pseudonymous else RAW_NOTICE)
    with replacing(place) as temporary:
        temporary.write_text(
            said + "".join(f"\n{word}: {text}" for word, text in words.items()) + "\n", encoding="utf-8"
        )
    return place


def noted(
    database: Path,
    files: Sequence[Path | str],
    session: Session,
    *,
    kind: str,
    level: str,
    accounts: int,
    edges: int,
    begun: float,
    key: ProjectKey | None = None,
) -> Output | None:
    """Note what was made in the list beside the database; a folder that takes no file is told, not an error.

    `begun` is when the database began to be read, in Unix seconds.
    """
    from storage import outputs  # noqa: PLC0415 - start-up

    made = outputs.record(
        database,
        files,
        at=session.now(),
        kind=kind,
        level=level,
        accounts=accounts,
        edges=edges,
        key=None if key is None else key.fingerprint,
        begun=begun,
    )
    if made is None:
        place = outputs.list_of(database)
        session.output.note(f"{place} cannot be written: `forget` will not know of this {kind}", label="WARN")
    return made
