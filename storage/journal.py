"""The journal: what was done to the database that no page says, each act with the last ledger row before it.

Ledger and archive hold every answer; with the journal between them they tell how a database came about, so that it can
be replayed. Invariant: an act and its note are one transaction.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
import sqlalchemy as sa

from storage.schema import journal, ledger
from storage.statement import Statement


class Act:
    """What was done. The details of each are keyword arguments of `note`."""

    SEEDED = "seeded"
    """`handle` became a seed at the time `at`."""
    BEGAN = "began"
    """`process` began to work on `run` with `strategy` and `settings`."""
    DEPTH_LIMITED = "depth_limited"
    """The frontier was made to obey `max_depth`."""
    CASH_REBUILT = "cash_rebuilt"
    """Every entry's cash was worked out anew (before schema 0003)."""
    TALLIED = "tallied"
    """What the strategy of the process keeps of every entry was worked out anew."""
    RANKED = "ranked"
    """The `at_most` entries after the account `after` were ranked by the strategy of the process."""
    PARKED = "parked"
    """The entries of `accounts` were set aside for this `reason`."""
    UNPARKED = "unparked"
    """The entries of `accounts` were queued again."""
    FILTERED = "filtered"
    """The entries of `accounts` were refused by the user's filters."""
    UNFILTERED = "unfiltered"
    """The entries of `accounts` were no longer refused."""
    RESCORED = "rescored"
    """The entries of `accounts` were given their places anew by what the strategy of the process had learned."""
    LOTTED = "lotted"
    """The `at_most` entries after the account `after` were put into the explore queue, or taken out of it."""
    CHOSE = "chose"
    """`process` ordered the frontier by `strategy` for a phase, whose `queue` it is, at the time `at`. Older notes tell
    the strategy only."""
    STOPPED = "stopped"
    """`process` ended well, for this `reason`; the run's own row keeps the last one only."""
    NAMELESS = "nameless"
    """The entry of `account` was passed over: it had no handle."""
    REMEMBERED = "remembered"
    """`value` was kept under `key`."""
    REQUEUED = "requeued"
    """The `entries`, pairs of account and priority, were queued again."""


_Count = Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]
_Accounts = [("accounts", list[_Count])]
_Pass = [("after", _Count), ("at_most", _Count)]
_FIELDS: dict[str, list[tuple[str, Any]]] = {
    Act.SEEDED: [("handle", str), ("at", _Count)],
    Act.BEGAN: [("process", _Count), ("strategy", str), ("settings", dict[str, Any])],
    Act.DEPTH_LIMITED: [("max_depth", _Count | None)],
    Act.RANKED: _Pass,
    Act.LOTTED: [*_Pass, ("explores", bool)],
    Act.PARKED: [*_Accounts, ("reason", str)],
    Act.UNPARKED: _Accounts,
    Act.FILTERED: _Accounts,
    Act.UNFILTERED: _Accounts,
    Act.RESCORED: _Accounts,
    Act.CHOSE: [("strategy", str)],
    Act.STOPPED: [("process", _Count), ("reason", str)],
    Act.NAMELESS: [("account", _Count)],
    Act.REMEMBERED: [("key", str), ("value", str)],
    Act.REQUEUED: [("entries", list[tuple[_Count, _Count, float]])],
}
"""What the details of an act hold at least; of the others nothing is read."""

_DETAILS = {act: msgspec.defstruct(act, fields) for act, fields in _FIELDS.items()}


def read(act: str, text: str) -> dict[str, Any]:
    """Return the details of a note. Raises ValueError or RecursionError where they are not what `note` writes."""
    details = json.loads(text)
    msgspec.convert(details, _DETAILS.get(act, dict[str, Any]))  # its error is a ValueError
    found: dict[str, Any] = details
    return found


_NOTE = Statement(
    sa.insert(journal).values(
        ledger_id=sa.select(sa.func.coalesce(sa.func.max(ledger.c.id), 0)).scalar_subquery(),
        act=sa.bindparam("of_act"),
        details=sa.bindparam("in_detail"),
    ),
    ("of_act", "in_detail"),
)


def note(conn: sa.Connection, act: str, **details: Any) -> None:
    """Note an act in the transaction that does it."""
    _NOTE.run(conn, act, json.dumps(details, sort_keys=True))


def last(conn: sa.Connection) -> int:
    """Return the id of the newest note, 0 without any."""
    return int(conn.execute(sa.select(sa.func.coalesce(sa.func.max(journal.c.id), 0))).scalar_one())


def mark_inferred(conn: sa.Connection, *, after: int) -> None:
    """Mark the notes after this one as concluded, not witnessed: they are of a time before there was a journal."""
    rows = conn.execute(sa.select(journal.c.id, journal.c.details).where(journal.c.id > after)).all()
    for row in rows:
        details = json.loads(row.details) | {"inferred": True}
        conn.execute(
            sa.update(journal).where(journal.c.id == row.id).values(details=json.dumps(details, sort_keys=True))
        )
