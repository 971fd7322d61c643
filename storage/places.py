"""What an export or a report may replace: an older one of ours, and nothing else.

Invariant: neither the database, nor what stands beside it, nor a file of somebody else is ever written over.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage import aggregate, outputs
from storage.export import ACCOUNT_COLUMNS, FOLLOW_COLUMNS, OutputNotWritable
from storage.graphfiles import GEXF_SIGN, GRAPHOLOGY_SIGN
from storage.pseudonyms import NOTICE

RAW_NOTICE = "These are data of real people: mind where they go.\n"
REHEARSAL_NOTICE = """\
A rehearsal: the answers came from an API simulated on this machine, not from the platform.
Beside the data of a study would stand:

"""

_BESIDE = ("", "-wal", "-shm", "-journal", ".lock", ".outputs.jsonl")
"""What SQLite and we put beside a database, by ending."""

_TABLES = (tuple(ACCOUNT_COLUMNS), tuple(FOLLOW_COLUMNS), tuple(aggregate.COLUMNS))
_HEADS = (
    *(f"{','.join(columns)}\r\n".encode("ascii") for columns in _TABLES),
    NOTICE.encode("ascii"),
    RAW_NOTICE.encode("ascii"),
    REHEARSAL_NOTICE.encode("ascii"),
)
_SIGNS = (
    b'<key id="node_label" for="node" attr.name="label"',
    GEXF_SIGN.encode("ascii"),
    GRAPHOLOGY_SIGN.encode("ascii"),
    b'<meta name="generator" content="followgraph ',
)
"""What stands near the beginning of a file for graph programs and of a report of ours."""

_HEAD_BYTES = 4096

_GZIP = b"\x1f\x8b"


def require_free(database: Path, paths: Iterable[Path]) -> None:
    """Refuse to write to `paths` where that would replace the database or a file that is no export of ours.

    Ours is what the list beside the database names, unchanged since, and what begins as an export or a report does; an
    edge list begins with nothing of its own. Raises OutputNotWritable.
    """
    kept = {Path(f"{each}{ending}") for each in (database.absolute(), database.resolve()) for ending in _BESIDE}
    known: dict[str, set[str]] | None = None
    for path in paths:
        target = path.resolve()
        if target in kept or any(_is_same(target, each) for each in kept):
            hint = "Name another place with --output."
            raise OutputNotWritable(path, f"it belongs to the database {database}", hint=hint)
        if not target.is_file():
            continue
        if known is None:
            known = _recorded(database)
        if not (is_ours(target) or outputs.checksum(target) in known.get(str(target), ())):
            raise OutputNotWritable(
                path,
                "the file there is no export of this database, or was changed since",
                hint="Name another place with --output, or move that file away.",
            )


def is_ours(path: Path) -> bool:
    """Tell whether a file begins as an export or a report does, or would unpacked."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if head.startswith(b"PAR1"):
            return tuple(pq.read_schema(path).names) in _TABLES
        if head.startswith(_GZIP):
            with gzip.open(path) as packed:
                head = packed.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error, pa.ArrowException):
        return False
    return head.startswith(_HEADS) or any(sign in head for sign in _SIGNS)


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False


def _recorded(database: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for output in outputs.recorded(database):
        if output.kind in {*outputs.COPIES, outputs.SEEDS}:
            continue  # neither a database nor a list of somebody's is ever replaced
        for path, checksum in output.files.items():
            found.setdefault(path, set()).add(checksum)
    return found
