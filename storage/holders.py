"""Which exports, reports and copies held people who are gone, told as often as it is asked.

Of an erasure the database keeps when an output may have held what went, under the number of a keyed tombstone or as one
of all purges: times, nobody's name. The list beside the database says what was made in that time.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from storage import outputs, runs
from storage.outputs import Output
from storage.postgres import is_address
from storage.schema import meta

Matter = Literal["accounts", "answers", "fields"]
"""What went: everything of some accounts, raw answers, or profile fields of everybody."""

MATTERS: tuple[Matter, ...] = ("accounts", "answers", "fields")

_PREFIX = "held:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Outputs made from `since` to `until` (Unix seconds, both included) may have held what went."""

    since: int
    until: int
    of: Matter = "accounts"

    def holds(self, output: Output) -> bool:
        """Tell whether an output may hold it: one that was being made at the end of the span was read before it."""
        begun = output.at if output.begun is None else output.begun
        if output.at < self.since or begun > self.until or output.kind == outputs.SEEDS:
            return False
        match self.of:
            case "accounts":
                return output.level != "aggregate"
            case "answers":
                return output.kind in outputs.COPIES
            case "fields":
                return output.level == "raw" and output.kind != "snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What held somebody who is gone. `state` is there, changed, gone (deleted or moved since) or, of a database on a
    server, which is not looked at, elsewhere."""

    path: str
    kind: str
    state: str

    @property
    def is_copy(self) -> bool:
        """Whether it is a database of its own, out of which people can be taken."""
        return self.kind in outputs.COPIES


def keep_person(conn: sa.Connection, person: int, *, since: int, until: int) -> None:
    """Keep when outputs may have held somebody, by the number of their tombstone."""
    _keep(conn, str(person), since, until)


def keep_purge(conn: sa.Connection, of: Matter, *, since: int, until: int) -> None:
    """Keep when outputs may have held what a purge deleted. One span for all purges: from the first on."""
    _keep(conn, f"purged:{of}", since, until)


def _keep(conn: sa.Connection, name: str, since: int, until: int) -> None:
    before = _recall(conn, name)
    if before is not None:
        since, until = min(since, before[0]), max(until, before[1])
    runs.keep(conn, f"{_PREFIX}{name}", json.dumps([since, until]))


def _recall(conn: sa.Connection, name: str) -> tuple[int, int] | None:
    text = conn.execute(sa.select(meta.c.value).where(meta.c.key == f"{_PREFIX}{name}")).scalar_one_or_none()
    if text is None:
        return None
    since, until = json.loads(text)
    return int(since), int(until)


def of_persons(conn: sa.Connection, persons: Iterable[int]) -> list[Span]:
    """Return the spans kept of these persons."""
    found = (_recall(conn, str(person)) for person in sorted(set(persons)))
    return [Span(since=span[0], until=span[1]) for span in found if span is not None]


def of_purges(conn: sa.Connection) -> list[Span]:
    """Return the spans kept of all purges."""
    found = ((of, _recall(conn, f"purged:{of}")) for of in MATTERS)
    return [Span(since=span[0], until=span[1], of=of) for of, span in found if span is not None]


def find(database: Path, spans: Collection[Span], *, clean: Collection[str] = ()) -> list[Holder]:
    """Return every file on the list beside a database that may have held what went, with what became of it.

    A file that was replaced by a later output of ours is none any more, nor is one of `clean`: copies from which it
    was erased.
    """
    if not spans:
        return []
    versions: dict[str, list[tuple[str, Output, bool]]] = {}
    for output in outputs.recorded(database):
        held = any(span.holds(output) for span in spans)
        for path, expected in output.files.items():
            versions.setdefault(path, []).append((expected, output, held))
    found = []
    for path, made in versions.items():
        holding = [(expected, output) for expected, output, held in made if held]
        if not holding or path in clean:
            continue
        if is_address(path):
            found.append(Holder(path=path, kind=holding[-1][1].kind, state="elsewhere"))
            continue
        present = outputs.present(Path(path))
        kinds = {expected: output.kind for expected, output in holding}
        if present in kinds:
            found.append(Holder(path=path, kind=kinds[present], state="there"))
        elif present not in {expected for expected, *_ in made}:
            state = "gone" if present is None else "changed"
            found.append(Holder(path=path, kind=holding[-1][1].kind, state=state))
    return found


def delete(holders: Iterable[Holder]) -> list[str]:
    """Delete those that still are what was made; returns their paths.

    What was changed since is left alone, and so are copies: a database holds what was paid for, and people can be taken
    out of it.
    """
    deleted = []
    for holder in holders:
        if holder.state == "there" and not holder.is_copy:
            Path(holder.path).unlink()
            deleted.append(holder.path)
    return deleted
