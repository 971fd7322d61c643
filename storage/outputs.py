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

Level = Literal["raw", "pseudonymous", "aggregate"]
LEVELS: tuple[Level, ...] = ("raw", "pseudonymous", "aggregate")

COPIES = ("backup", "replay")
"""Kinds that are databases of their own."""

SEEDS = "seeds"
"""The kind of a list of seeds: nothing was made, but it names people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Files made at one time (Unix seconds). `files` maps absolute paths to their SHA-256 then.

    On the list, paths inside the database's folder are relative to it: the folder may be moved.
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
    database: Path, paths: Iterable[Path], *, at: float, kind: str, level: str, accounts: int, edges: int,
    key: str | None = None, begun: float | None = None,
) -> Output | None:  # fmt: skip
    """Add to the list, on disk when this returns. None where the database's folder takes no file: nothing is kept."""
    files = {
        str(file.resolve()): checksum(file)
        for path in paths
        for file in (sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path])
    }
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
    folder = database.parent.resolve()
    inside = {_relative(path, folder): checksum for path, checksum in files.items()}
    line = json.dumps(asdict(made) | {"files": inside}, sort_keys=True) + "\n"
    try:
        descriptor = os.open(list_of(database), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    except OSError:
        return None
    try:
        os.write(descriptor, line.encode("ascii"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return made


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
        yield replace(made, files={str(folder / path): checksum for path, checksum in made.files.items()})


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
