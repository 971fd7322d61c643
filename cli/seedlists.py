"""Lists of seeds on the disk: who is kept out may still stand in one. It is said, with the count and nobody's name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.failure import CommandFailed
from cli.seeding import lines
from cli.session import Session
from socialfetch.handle import parse

if TYPE_CHECKING:  # SQLAlchemy, which a help page does without
    from storage.database import Database

USUAL = "seeds.txt"
"""What `init` makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list that names people who are kept out."""

    path: str
    kept_out: int


def warn(database: Database, session: Session) -> list[Listing]:
    """Say which lists name people who are kept out; returns them. They are neither stored nor bought."""
    from storage import optout, outputs  # noqa: PLC0415 - start-up

    with database.read() as conn:
        gate = optout.gate(conn)
    if gate is None:
        return []
    beside = {database.beside.resolve().parent / USUAL}
    if session.config_file is not None:
        beside.add(session.config_file.resolve().parent / USUAL)
    found = []
    for path in sorted(outputs.seed_lists(database.beside) | beside):
        count = sum(gate.person(handle, None) is not None for handle in _handles(path))
        if count:
            found.append(Listing(path=str(path), kept_out=count))
            who = "1 account that is" if count == 1 else f"{count:,} accounts that are"
            session.output.note(
                f"{path} still names {who} kept out: never bought, and not stored; take them out of it", label="WARN"
            )
    return found


def _handles(path: Path) -> set[str]:
    found: set[str] = set()
    try:
        written = list(lines(str(path)))
    except (CommandFailed, ValueError):  # not there, or no path
        return found
    for each in written:
        try:
            found.add(parse(each.text))
        except ValueError:
            continue
    return found
