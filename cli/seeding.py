"""`followgraph seed`: the accounts that a crawl starts from."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from cli.escaping import escaped, shortened
from cli.exits import Exit
from cli.exporting import noted
from cli.failure import Failure, usage
from cli.session import Bound, Session
from socialfetch.handle import InvalidHandle, parse

_SHOWN = 20
"""Rejected handles shown to a person; --json has them all."""

_COMMENT = re.compile(r"(?:^|\s)#.*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A seed as somebody wrote it; `line` counts from 1 in the file, None on the command line."""

    text: str
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A seed that is no handle, and why."""

    text: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        place = "" if self.line is None else f"line {self.line}: "
        return f"{place}{shortened(self.text)}: {self.reason}"


def seed(
    *handles: str,
    file: Annotated[str | None, Parameter(name="--file", allow_leading_hyphen=True)] = None,
    session: Bound,
) -> int:
    """Name the accounts that the crawl starts from. Spends nothing; makes the database if there is none.

    All or nothing: if one is no handle, none is stored, so that a corrected file can be given again.

    Parameters
    ----------
    handles
        @name, name or https://www.tiktok.com/@name.
    file
        A file with one a line (# begins a comment), or - for standard input.
    """
    from crawler import seeding  # noqa: PLC0415 - SQLAlchemy, which the help page does without
    from storage.database import Database  # noqa: PLC0415 - start-up

    settings = session.configure().settings
    good, rejected = sorted_out([Written(text=text) for text in handles], file)
    if rejected:
        return refuse(rejected, session)
    distinct = list(dict.fromkeys(good))
    database = Database.open(settings.storage.database, now=session.now, mode="create")
    try:
        seeded = seeding.seed(database, distinct, now=session.now())
    finally:
        database.close()
    note_list(database.beside, file, session)
    output = session.output
    repeated = len(good) - len(distinct)
    known = f" · {len(seeded.known):,} known before" if seeded.known else ""
    ignored = f" · {repeated:,} repeated" if repeated else ""
    output.line(f"{len(seeded.added):,} added{known}{ignored}", label="seeds")
    if seeded.withheld:
        output.line(f"{len(seeded.withheld):,} not added: they are kept out (opted out or forgotten)", label="WARN")
    output.line(session.following("crawl --budget N"), label="next", is_command=True)
    output.finish(
        {
            "added": len(seeded.added),
            "known": len(seeded.known),
            "repeated": repeated,
            "kept_out": len(seeded.withheld),
            "rejected": [],
        }
    )
    return Exit.DONE


def note_list(database: Path, file: str | None, session: Session) -> None:
    """Remember where a list of seeds lies, beside the database: once, and nothing for standard input."""
    from storage import outputs  # noqa: PLC0415 - start-up

    if file is None or file == "-" or Path(file).resolve() in outputs.seed_lists(database):
        return
    noted(database, [Path(file)], session, kind=outputs.SEEDS, level="raw", accounts=0, edges=0, begun=session.now())


def sorted_out(given: Iterable[Written], file: str | None) -> tuple[list[str], list[Rejected]]:
    """Return the normalised handles, repetitions included, and those that are none.

    `file` is a path or `-`. Raises CommandFailed where it cannot be read or where no handle was given at all.
    """
    good: list[str] = []
    rejected: list[Rejected] = []
    for written in [*given, *(lines(file) if file is not None else ())]:
        try:
            good.append(parse(written.text))
        except ValueError as error:
            # An InvalidHandle, or urlsplit's own complaint about what is written like a broken address.
            reason = error.problem if isinstance(error, InvalidHandle) else "neither a handle nor an address"
            rejected.append(Rejected(text=written.text, line=written.line, reason=reason))
    if not good and not rejected:
        if file is not None:
            hint = "Write accounts into it, one a line: @name, name or a profile address; # begins a comment."
            raise usage("no_seeds", f"{escaped(file)} names no account", hint=hint)
        hint = "Write: followgraph seed @name, or followgraph seed --file seeds.txt"
        raise usage("no_seeds", "no account was named", hint=hint)
    return good, rejected


def lines(place: str) -> Iterator[Written]:
    """Yield the entries of a file, or of standard input for `-`. Raises CommandFailed where it cannot be read."""
    try:
        # Undecodable bytes become signs that no handle has: the line is rejected by name, not the whole file.
        if place == "-":
            text = sys.stdin.buffer.read().decode("utf-8-sig", errors="surrogateescape")
        else:
            text = Path(place).read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise usage(
            "unreadable_file",
            f"{escaped(place)} cannot be read: {error.strerror}",
            hint="Name a text file with one account a line, or - for standard input.",
        ) from None
    for number, line in enumerate(text.split("\n"), start=1):
        bare = _COMMENT.sub("", line).strip()
        if bare:
            yield Written(text=bare, line=number)


def refuse(rejected: list[Rejected], session: Session) -> int:
    """Tell which seeds are none and return the exit code; nothing was stored."""
    shown = [str(each) for each in rejected[:_SHOWN]]
    if len(rejected) > _SHOWN:
        shown.append(f"and {len(rejected) - _SHOWN:,} more")
    count = "1 seed is no handle" if len(rejected) == 1 else f"{len(rejected):,} seeds are no handles"
    failure = Failure(
        code="rejected_seeds",
        message="\n".join([count, *shown]),
        meaning="None was stored, the good ones neither, and no credit was spent.",
        hint="Correct them and give all of them again: those already known are not added twice.",
        exit_code=Exit.USAGE,
    )
    details: list[dict[str, Any]] = [
        {"given": each.text, "line": each.line, "reason": each.reason} for each in rejected
    ]
    session.output.fail(failure, {"added": 0, "known": 0, "rejected": details})
    return failure.exit_code
