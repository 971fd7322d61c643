"""Numbers of the database as columns of 64-bit integers: what analysis computes on, with no Python object per value.

Two doors to the same queries. `through` reads over any connection of storage, in whatever it sees. `fast` opens a
snapshot of its own, of SQLite files through Arrow record batches, at twice to three times the speed. Invariant: both
give the same numbers in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from adbc_driver_manager import Error as ArrowError
from adbc_driver_sqlite import dbapi
from sqlalchemy.dialects import sqlite

from storage import schema
from storage.database import Database
from storage.driver import read_address
from storage.export import CURRENT, STANDINGS, UNLISTED, Row
from storage.schema import Completeness, State, accounts, follows, frontier, past_follows, visits

Ints = npt.NDArray[np.int64]
Batch = tuple[Ints, ...]
T = TypeVar("T")

MISSING = -1
"""Stands for a number that the database does not know."""

# Iterating a collection of columns gives columns, not their names.
ATTRIBUTES = tuple(name for name in accounts.c.keys() if name not in {"id", "facts_hash", "avatar_url"})  # noqa: SIM118
"""The facts of an account that can be read as a column of their own."""

_BATCH = 65_536


class Door(Protocol):
    """Runs a query whose columns are whole numbers and yields them batch by batch, a tuple of columns each."""

    def __call__(self, query: sa.Select[Any] | sa.CompoundSelect[Any]) -> Iterator[Batch]: ...


def through(conn: sa.Connection) -> Door:
    """Return the door that leads over a connection of storage, in the state that it sees."""

    def copied(query: sa.Select[Any] | sa.CompoundSelect[Any]) -> Iterator[Batch]:
        # A server's rows stay there until they are wanted, and come as text: a line a row.
        width = len(query.selected_columns)
        opened: Any = conn.connection.driver_connection
        with opened.cursor() as cursor, cursor.copy(f"COPY ({_text(query, conn.dialect)}) TO STDOUT") as lines:
            while part := b"".join(map(bytes, islice(lines, _BATCH))):
                values = np.fromstring(part.replace(b"\t", b"\n"), dtype=np.int64, sep="\n")
                yield tuple(values[at::width] for at in range(width))

    def door(query: sa.Select[Any] | sa.CompoundSelect[Any]) -> Iterator[Batch]:
        width = len(query.selected_columns)
        rows: Any = conn.exec_driver_sql(_text(query, conn.dialect)).cursor
        flat: Iterator[int] = chain.from_iterable(rows)
        # np.fromiter, never np.array over rows: that is 27 times slower.
        while len(values := np.fromiter(islice(flat, _BATCH * width), dtype=np.int64)):
            yield tuple(values[at::width] for at in range(width))

    return copied if conn.dialect.name == "postgresql" else door


def fast(database: Database, read: Callable[[Door], T]) -> T:
    """Return what `read` makes of one consistent state of the database, over the fastest door that there is.

    Raises a DatabaseError.
    """
    options = {"adbc.sqlite.query.batch_rows": _BATCH}
    if database.is_shared:
        with database.read() as conn:
            return read(through(conn))
    try:
        with dbapi.connect(read_address(database.path)) as connection:

            def door(query: sa.Select[Any] | sa.CompoundSelect[Any]) -> Iterator[Batch]:
                with connection.cursor(adbc_stmt_kwargs=options) as cursor:
                    cursor.execute(_text(query, sqlite.dialect()))
                    for batch in cursor.fetch_record_batch():
                        # A result without rows has columns without a type.
                        yield tuple(
                            column.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
                            for column in batch.columns
                        )

            return read(door)
    except ArrowError:
        # The ordinary door meets the same trouble and says it in our words, or there was none.
        with database.read() as conn:
            return read(through(conn))


def gathered(batches: Iterator[Batch], width: int) -> Batch:
    """Return the columns of all batches as whole arrays."""
    parts = list(batches)
    if not parts:
        return tuple(np.zeros(0, dtype=np.int64) for _ in range(width))
    return tuple(np.concatenate([part[at] for part in parts]) for at in range(width))


def account_columns(door: Door, as_of: float | None) -> Batch:
    """Return (id, standing, depth, followers, following, first_seen_at) of the known accounts, by id.

    `standing` indexes STANDINGS. With `as_of`, in Unix seconds, the accounts known then and how their lists stood
    then; failed and skipped carry no time and count as waiting, and reported counts are the newest in any case.
    """
    facts = (accounts.c.followers, accounts.c.following)
    known = sa.select(accounts.c.id, *(sa.func.coalesce(fact, MISSING) for fact in facts), accounts.c.first_seen_at)
    entries = sa.select(frontier.c.account_id, frontier.c.depth, _code(frontier.c.completeness), frontier.c.state)
    lists = sa.select(visits.c.account_id, _code(visits.c.completeness), visits.c.pages).order_by(visits.c.id)
    if as_of is not None:
        known = known.where(accounts.c.first_seen_at <= int(as_of))
        lists = lists.where(visits.c.started_at <= int(as_of))
    # Three scans put together here cost a third of what SQLite takes to join and group them.
    id_, followers, following, first_seen = gathered(door(known.order_by(accounts.c.id)), 4)
    entry, depths, last, state = gathered(door(entries.order_by(frontier.c.account_id)), 4)
    visited, outcome, pages = gathered(door(lists), 3)
    depth = np.full(len(id_), MISSING)
    standing = np.full(len(id_), STANDINGS.index("waiting"))
    at, there = positions(id_, entry)
    depth[at] = depths[there]
    if as_of is None:
        standing[at] = np.select(
            [_refused(last[there]), state[there] == State.FAILED, state[there] == State.SKIPPED],
            [last[there], STANDINGS.index("failed"), STANDINGS.index("skipped")],
            default=STANDINGS.index("waiting"),
        )
    else:
        refused = _refused(outcome)
        at, there = positions(id_, visited[refused])
        standing[at] = outcome[refused][there]  # of several visits the last one stays
    # The last visit that brought a list speaks for an account: what was read is known, though hidden today.
    listed = (outcome < len(Completeness.LISTED)) & (outcome >= 0) & (pages > 0)
    at, there = positions(id_, visited[listed])
    standing[at] = outcome[listed][there]
    return id_, standing, depth, followers, following, first_seen


def _code(word: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    return sa.case({name: number for number, name in enumerate(STANDINGS)}, value=word, else_=MISSING)


def _refused(codes: Ints) -> npt.NDArray[np.bool_]:
    return np.isin(codes, [STANDINGS.index(word) for word in UNLISTED])


def positions(ids: Ints, wanted: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Return the positions of wanted ids among sorted `ids`, and which of the wanted are there."""
    low, high = (int(ids[0]), int(ids[-1])) if len(ids) else (0, -1)
    if high - low + 1 == len(ids):  # no id is missing: the usual case
        at = wanted - low
        there = (at >= 0) & (at < len(ids))
    else:
        at = np.searchsorted(ids, wanted).astype(np.int64)
        at[at == len(ids)] = 0
        there = ids[at] == wanted
    return at[there], there


def follow_query(as_of: float | None) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """Select (src, dst) of the follows that are current, by source and target, or that were at `as_of`.

    A follow begins with the visit that first listed it and ends with the first complete one that no longer did; the
    time of a visit is when it began.
    """
    if as_of is None:
        return sa.select(follows.c.src, follows.c.dst).where(CURRENT).order_by(follows.c.src, follows.c.dst)

    def seen(table: sa.Table) -> sa.Select[Any]:
        first, last = visits.alias(), visits.alias()
        return (
            sa.select(table.c.src, table.c.dst)
            .join(first, first.c.id == table.c.first_visit)
            .outerjoin(last, last.c.id == table.c.ended_visit)
            .where(
                first.c.started_at <= int(as_of),
                sa.or_(table.c.ended_visit.is_(None), last.c.started_at > int(as_of)),
            )
        )

    return seen(follows).union_all(seen(past_follows))


def marks(door: Door) -> tuple[int, ...]:
    """Return the last id of each table that only grows; none of them costs a scan."""
    tables = (schema.accounts, schema.visits, schema.ledger, schema.journal, schema.handle_history)
    newest = (
        sa.select(sa.func.coalesce(sa.func.max(table.c.id), MISSING)).scalar_subquery().label(table.name)
        for table in tables
    )
    return tuple(int(column[0]) for column in gathered(door(sa.select(*newest)), len(tables)))


def file_state(path: Path) -> tuple[int, ...]:
    """Return size and time of change, in nanoseconds, of a database file and of its log: every write moves them."""
    state: list[int] = []
    for name in (path, Path(f"{path}-wal")):
        try:
            found = name.stat()
        except FileNotFoundError:
            state += (0, 0)
        else:  # a reader leaves an empty log behind, which says nothing
            state += (found.st_size, found.st_mtime_ns if found.st_size else 0)
    return tuple(state)


def attribute_rows(conn: sa.Connection, name: str) -> Iterator[Row]:
    """Yield (account id, value) of one of ATTRIBUTES where it is known, by id. Texts are foreign: escape them."""
    column = accounts.c[name]
    query = sa.select(accounts.c.id, column).where(column.is_not(None)).order_by(accounts.c.id)
    cursor: Any = conn.exec_driver_sql(_text(query, conn.dialect)).cursor
    return iter(cursor)


def _text(query: sa.Select[Any] | sa.CompoundSelect[Any], dialect: sa.Dialect) -> str:
    return str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
