"""A whole database written into another, in a file or on a server, and then compared with it row for row.

Invariant: from its first row until every table was found to be what the source's is, a copy says in the place of its
migration that it is unfinished, and no program opens it. Rows go over in the order of their keys: the last key that
arrived says where to go on, so nothing else has to be kept of how far a copy is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from storage import crew, daemons, errors, lock, postgres, schema
from storage.database import Database
from storage.driver import file_of, log_bytes, translated, write_engine
from storage.schema import Outcome, accounts, follows, ledger, meta, optouts, processes, receipts, runs
from storage.statement import Row, Statement

ROWS = 20_000
"""Rows that are read, written and committed at a time."""

BODIES = 500
"""The same where a row holds a raw answer or a dictionary: some 5 kB and 100 kB."""

_PATIENCE = "5s"
"""How long another program that writes a copy to the same place is waited for: one that was killed is gone by then."""

_COPYING = schema.APPLICATION_ID + 1
"""The advisory lock of whoever writes a copy to a server."""

Writing = Callable[[], AbstractContextManager[sa.Connection]]
"""Begins a transaction of the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What a copy holds. `rows` by table; `edges` are follows that have not ended, `pages` those in the ledger."""

    rows: Mapping[str, int]
    edges: int
    pages: int
    kept_out: int
    """People who are kept out of the study."""

    @property
    def accounts(self) -> int:
        """Known accounts."""
        return self.rows[accounts.name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far a copy is: `act` is copied or compared, `done` and `total` are rows of all tables."""

    act: str
    done: int
    total: int


def copy(
    source: Database,
    place: str | Path,
    *,
    now: Callable[[], float],
    on_begin: Callable[[Copied], None],
    on_progress: Callable[[Step], None],
) -> Copied:
    """Write everything that a database holds to an empty one, or go on with that, and compare the two.

    The source is read in one state, and nobody may crawl it meanwhile: who went on there would buy what the copy buys
    again. `on_begin` is called before the first row goes over.

    Raises ItsOwnCopy, NothingToCopy, TargetTaken, SourceChanged, CopyDiffers and a DatabaseError; the source is only
    read. The target stays unfinished where it is begun; the same call goes on with it.
    """
    if _is_itself(source, place):
        raise errors.ItsOwnCopy(source.name)
    source.claim()
    with source.read() as conn:
        _refuse_crawlers(conn, source.name, now=now())
        found = _counted(conn)
        if not any(found.rows.values()):
            raise errors.NothingToCopy(source.name)
        state = _state(conn)
        with _target(place, now=now) as (name, writing):
            with writing() as sink:
                _begin(sink, name, state)
            on_begin(found)
            total = sum(found.rows.values())
            _write(conn, writing, _counter("copied", total, on_progress))
            _compare(conn, writing, _counter("compared", total, on_progress))
            with source.read() as again:  # a crawler on a server asks nobody
                if _state(again) != state:
                    raise errors.SourceChanged(f"{source.name} has changed while it was copied")
            with writing() as sink:
                if sink.dialect.name == "postgresql":  # or its first plans would be those for empty tables
                    sink.exec_driver_sql(f"ANALYZE {', '.join(schema.metadata.tables)}")
                _mark(sink, schema.HEAD)
    return found


def _is_itself(source: Database, place: str | Path) -> bool:
    if postgres.is_address(place):
        return source.is_shared and postgres.Server(str(place)).name == source.name
    return not source.is_shared and file_of(place).resolve() == source.path.resolve()


@contextmanager
def _target(place: str | Path, *, now: Callable[[], float]) -> Iterator[tuple[str, Writing]]:
    """Give the name of a target and what begins its transactions; its tables are made where there are none."""
    try:
        Database.open(place, now=now, mode="read").close()
    except errors.UnfinishedCopy:
        pass
    except errors.MissingDatabase:
        Database.open(place, now=now, mode="create").close()
    if postgres.is_address(place):
        server = postgres.Server(str(place))
        engine = server.writer()
        try:
            with _transaction(engine, None) as conn:
                conn.exec_driver_sql(f"SET lock_timeout = '{_PATIENCE}'")
                conn.exec_driver_sql(f"SELECT pg_advisory_lock({_COPYING})")  # the connection's, to its end
                conn.exec_driver_sql("SET lock_timeout = 0")
            yield server.name, partial(_transaction, engine, None)
        finally:
            engine.dispose()
            server.close()
        return
    path = file_of(place)
    held = lock.take(path)
    try:
        engine = write_engine(path, create=False, log_bytes=log_bytes(path.parent))
        try:
            yield str(path), partial(_transaction, engine, path)
        finally:
            engine.dispose()
    finally:
        held.release()


@contextmanager
def _transaction(engine: sa.Engine, path: Path | None) -> Iterator[sa.Connection]:
    with translated(path), engine.begin() as conn:
        yield conn


def _refuse_crawlers(conn: sa.Connection, name: str, *, now: float) -> None:
    """Refuse a server's database while crawlers or a daemon give signs of life; a file's lock tells the same of a file.

    A daemon that waits for its next day is no crawler, and will be one.
    """
    if conn.dialect.name == "postgresql":
        at_work = sum(not each.is_silent for each in crew.members(conn, now=now))
        if at_work:
            raise errors.LockedByCrawl(f"crawlers work on {name} ({at_work} of them)")
        daemon = daemons.alive(conn, now=now)
        if daemon is not None:
            raise errors.LockedByCrawl(f"a daemon works on {name}: process {daemon.pid} on {daemon.host}")


def _counted(conn: sa.Connection) -> Copied:
    def count(of: Any) -> int:
        return int(conn.execute(sa.select(sa.func.count()).select_from(of)).scalar_one())

    return Copied(
        rows={table.name: count(table) for table in schema.metadata.sorted_tables},
        edges=count(sa.select(follows.c.src).where(follows.c.ended_visit.is_(None)).subquery()),
        pages=count(sa.select(ledger.c.id).where(ledger.c.outcome == Outcome.SETTLED).subquery()),
        kept_out=count(sa.select(optouts.c.person).distinct().subquery()),
    )


_TELLING = (runs, processes, meta, receipts, optouts)
"""Small tables of which one or another changes with whatever is done to a database."""


def _state(conn: sa.Connection) -> str:
    """Return a checksum by which a database is known again, and known to have changed; the comparison sees the rest."""
    seen = blake2b(digest_size=12)
    for table in schema.metadata.sorted_tables:
        passage = _Passage(table)
        seen.update(msgspec.msgpack.encode((str(table.name), passage.last(conn))))
        if table in _TELLING:
            for rows in passage.batches(conn, None):
                seen.update(msgspec.msgpack.encode(rows))
    return seen.hexdigest()


_MIGRATION = sa.table("alembic_version", sa.column("version_num", sa.Text))


def _begin(conn: sa.Connection, name: str, state: str) -> None:
    """Mark an empty database as an unfinished copy of a source in this state; one that is marked already may go on."""
    found = conn.execute(sa.select(_MIGRATION)).scalar_one()
    if found == schema.UNFINISHED + state:
        return
    if found.startswith(schema.UNFINISHED):
        raise errors.SourceChanged(f"{name} is an unfinished copy of something else, or its source has changed since")
    for table in schema.metadata.sorted_tables:
        if conn.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None:
            raise errors.TargetTaken(name)
    _mark(conn, schema.UNFINISHED + state)


def _mark(conn: sa.Connection, version: str) -> None:
    conn.execute(sa.update(_MIGRATION).values(version_num=version))


def _counter(act: str, total: int, on_progress: Callable[[Step], None]) -> Callable[[int], None]:
    done = 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        on_progress(Step(act=act, done=done, total=total))

    return count


def _write(source: sa.Connection, writing: Writing, count: Callable[[int], None]) -> None:
    for table in schema.metadata.sorted_tables:
        passage = _Passage(table)
        with writing() as sink:
            after = passage.last(sink)
            if after is not None:  # an earlier call came so far
                count(int(sink.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()))
        for rows in passage.batches(source, after):
            with writing() as sink:
                passage.write(sink, rows)
            count(len(rows))


def _compare(source: sa.Connection, writing: Writing, count: Callable[[int], None]) -> None:
    """Raise CopyDiffers where a table of the target is not what the source's is: the same rows, values and types."""
    differing = []
    for table in schema.metadata.sorted_tables:
        passage = _Passage(table)
        after: Row | None = None
        while True:
            here = passage.batch(source, after)
            with writing() as sink:
                there = passage.batch(sink, after)
                expected = passage.stored(sink, here)
            if msgspec.msgpack.encode(expected) != msgspec.msgpack.encode(there):
                differing.append(table.name)
                break
            count(len(here))
            if not here:
                break
            after = passage.key(here[-1])
    if differing:
        raise errors.CopyDiffers(differing)


class _Passage:
    """How the rows of a table go over: whole, in the order of the primary key, a batch at a time."""

    def __init__(self, table: sa.Table) -> None:
        self._table = table
        keys = list(table.primary_key.columns)
        self._has_texts = any(isinstance(column.type, sa.Text) for column in table.columns)
        self._at = [list(table.columns).index(key) for key in keys]
        size = BODIES if any(isinstance(column.type, sa.LargeBinary) for column in table.columns) else ROWS
        rows = sa.select(table).order_by(*keys).limit(sa.literal_column(str(size)))
        names = [f"after_{key.name}" for key in keys]
        marks = [sa.bindparam(name, type_=key.type) for name, key in zip(names, keys, strict=True)]
        self._from_the_first = Statement(rows)
        self._from_a_key = Statement(rows.where(sa.tuple_(*keys) > sa.tuple_(*marks)), names)
        self._last = Statement(sa.select(*keys).order_by(*(key.desc() for key in keys)).limit(sa.literal_column("1")))
        self._insert = Statement(sa.insert(table), [column.name for column in table.columns])

    def last(self, conn: sa.Connection) -> Row | None:
        """Return the key of the last row."""
        return self._last.run(conn).first()

    def key(self, row: Row) -> Row:
        """Return the primary key of a row."""
        return tuple([row[at] for at in self._at])

    def batch(self, conn: sa.Connection, after: Row | None) -> list[Row]:
        """Return the next rows whose key comes after this one, none where there are no more."""
        return (self._from_the_first.run(conn) if after is None else self._from_a_key.run(conn, *after)).all()

    def batches(self, conn: sa.Connection, after: Row | None) -> Iterator[list[Row]]:
        """Yield all rows whose key comes after this one."""
        while rows := self.batch(conn, after):
            yield rows
            after = self.key(rows[-1])

    def stored(self, conn: sa.Connection, rows: Sequence[Row]) -> Sequence[Row]:
        """Return rows as this database keeps them: PostgreSQL has no byte 0 in a text, whoever writes it there."""
        if conn.dialect.name == "sqlite" or not self._has_texts:
            return rows
        return [tuple([postgres.storable(value) if isinstance(value, str) else value for value in row]) for row in rows]

    def write(self, conn: sa.Connection, rows: Sequence[Row]) -> None:
        """Write a batch; what PostgreSQL takes in no text its connections replace by themselves."""
        if conn.dialect.name == "sqlite":
            self._insert.run_many(conn, rows)
            return
        columns = ", ".join(f'"{column.name}"' for column in self._table.columns)
        opened: Any = conn.connection.driver_connection
        with opened.cursor() as cursor, cursor.copy(f'COPY "{self._table.name}" ({columns}) FROM STDIN') as lines:
            for row in rows:
                lines.write_row(row)
