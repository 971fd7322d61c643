"""What was made of a database for others: every export and report, with its checksum, in a list beside the database.

A file of its own, one JSON object a line, only ever added to: the database is not altered by a report. It tells later
which copies held a person who is to be forgotten.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Literal

import msgspec

Level = Literal["raw", "pseudonymous", "aggregate"]
LEVELS: tuple[Level, ...] = ("raw", "pseudonymous", "aggregate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Files made at one time (Unix seconds). `files` maps absolute paths to their SHA-256 then."""

    at: int
    kind: str
    level: str
    accounts: int
    edges: int
    key: str | None
    """Fingerprint of the key behind its pseudonyms."""
    files: dict[str, str]


def list_of(database: Path) -> Path:
    """Return the path of the list."""
    return database.with_name(f"{database.name}.outputs.jsonl")


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def record(
    database: Path, paths: Iterable[Path], *, at: float, kind: str, level: str, accounts: int, edges: int,
    key: str | None = None,
) -> Output | None:  # fmt: skip
    """Add to the list, on disk when this returns. None where the database's folder takes no file: nothing is kept."""
    files = {
        str(file.resolve()): checksum(file)
        for path in paths
        for file in (sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path])
    }
    made = Output(at=int(at), kind=kind, level=level, accounts=accounts, edges=edges, key=key, files=files)
    line = json.dumps(asdict(made), sort_keys=True) + "\n"
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
    for line in text.splitlines():
        try:
            yield msgspec.json.decode(line, type=Output)
        except (msgspec.DecodeError, RecursionError):
            continue


State = Literal["there", "changed", "gone"]


def state(path: Path, expected: str) -> State:
    """Tell whether a file still is what was made."""
    try:
        return "there" if checksum(path) == expected else "changed"
    except OSError:
        return "gone"
