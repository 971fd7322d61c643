"""What was made of a database: every export, report and copy, with its checksum, in a list beside the database.

A file of its own, one JSON object a line, only ever added to: the database is not altered by a report. It tells later
which copies held a person who is to be forgotten.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import Literal

import msgspec

from storage.postgres import is_address

Level = Literal["raw", "pseudonymous", "aggregate"]
LEVELS: tuple[Level, ...] = ("raw", "pseudonymous", "aggregate")

ORIGINAL = "original"
"""The kind of a database that this one is a copy of."""

COPIES = ("backup", "replay", "copy", ORIGINAL)
"""Kinds that are databases of their own."""

SEEDS = "seeds"
"""The kind of a list of seeds: nothing was made, but it names people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Files made at one time (Unix seconds). `files` maps absolute paths to their SHA-256 then.

    A database on a server stands there by its address, without a checksum. On the list, paths inside the database's
    folder are relative to it: the folder may be moved.
    """

    at: int
    kind: str
    level: str
    accounts: int
    edges: int
    key: str | None
    """Fingerprint of the key behind its pseudonyms."""
    files: dict[str, str]
    begun: int | None = None
    """When the database began to be read; None in older lists."""


def list_of(database: Path) -> Path:
    """Return the path of the list."""
    return database.with_name(f"{database.name}.outputs.jsonl")


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def record(
    database: Path, paths: Iterable[Path | str], *, at: float, kind: str, level: str, accounts: int, edges: int,
    key: str | None = None, begun: float | None = None,
) -> Output | None:  # fmt: skip
    """Add to the list, on disk when this returns. None where the database's folder takes no file: nothing is kept.

    `paths` are files, folders, and addresses of databases on a server.
    """
    files: dict[str, str] = {}
    for path in paths:
        if isinstance(path, str):
            files[path] = ""
        else:
            inside = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
            files |= {str(file.resolve()): checksum(file) for file in inside}
    made = Output(
        at=int(at),
        kind=kind,
        level=level,
        accounts=accounts,
        edges=edges,
        key=key,
        files=files,
        begun=None if begun is None else int(begun),
    )
    return made if _add(database, [made]) else None


def carry(database: Path, copy: Path, *, origin: Path | str, at: float) -> None:
    """Add to the list of a copy what is on the list of the database, and the database itself, `origin`.

    What was made before the move may hold somebody who is forgotten after it. The copy itself is left out.
    """
    earlier = [
        replace(made, files={path: said for path, said in made.files.items() if path != str(copy.resolve())})
        for made in recorded(database)
    ]
    _add(copy, [made for made in earlier if made.files])
    record(copy, [origin], at=at, kind=ORIGINAL, level="raw", accounts=0, edges=0)


def _add(database: Path, made: Iterable[Output]) -> bool:
    """Write to the list; tell whether its folder takes a file."""
    folder = database.parent.resolve()
    lines = [
        asdict(each) | {"files": {_relative(path, folder): said for path, said in each.files.items()}} for each in made
    ]
    try:
        descriptor = os.open(list_of(database), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    except OSError:
        return False
    try:
        os.write(descriptor, "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines).encode("ascii"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True


def recorded(database: Path) -> Iterator[Output]:
    """Yield what is on the list, oldest first; a line that cannot be read is passed over."""
    try:
        text = list_of(database).read_text(encoding="ascii", errors="replace")
    except OSError:
        return
    folder = database.parent.resolve()
    for line in text.splitlines():
        try:
            made = msgspec.json.decode(line, type=Output)
        except (msgspec.DecodeError, RecursionError):
            continue
        yield replace(made, files={_absolute(path, folder): said for path, said in made.files.items()})


def seed_lists(database: Path) -> set[Path]:
    """Return the lists of seeds that were read."""
    return {Path(path) for made in recorded(database) if made.kind == SEEDS for path in made.files}


def present(path: Path) -> str | None:
    """Return the checksum of what is at a path now, None where no file is, or none that can be read."""
    try:
        return checksum(path) if path.is_file() else None
    except (OSError, ValueError):  # a path that is none
        return None


def _relative(path: str, folder: Path) -> str:
    return Path(path).relative_to(folder).as_posix() if Path(path).is_relative_to(folder) else path


def _absolute(path: str, folder: Path) -> str:
    return path if is_address(path) else str(folder / path)
