"""PostgreSQL's connections as the house wants them, and its errors in the house's words.

Invariant: in all crawlers of a database together one transaction writes at a time. It begins by waiting for the *turn*,
an advisory lock that ends with it, as SQLite's `BEGIN IMMEDIATE` does: what a transaction read stays true until its
commit, nobody waits in a circle, and ids follow each other without gaps.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from time import monotonic
from typing import Any, TypeVar
from weakref import WeakSet

import sqlalchemy as sa

from storage import errors, schema

T = TypeVar("T")

CONNECT_S = 5
ANSWER_S = 5.0
"""Half of the time that a pulse may take before every connection is given up."""

IDLE_S = 20
"""After this time the server ends a transaction whose program says nothing more: it has the turn. Long enough for what
a program works out amid one, on a machine that has more to do."""

RECONNECT_S = 0.5

_TURN = schema.APPLICATION_ID
"""The advisory lock of whoever writes."""


def is_address(place: object) -> bool:
    """Tell whether a place is the address of a PostgreSQL database."""
    return str(place).startswith(("postgresql://", "postgres://", "postgresql+psycopg://"))


def _say_what_indexes_leave_out() -> None:
    for table in schema.metadata.tables.values():
        for index in table.indexes:
            if (where := index.dialect_kwargs.get("sqlite_where")) is not None:
                index.dialect_kwargs["postgresql_where"] = where


class Server:
    """A database on a PostgreSQL server, as one program sees it."""

    def __init__(self, address: str) -> None:
        try:
            url = sa.make_url(address)
        except (sa.exc.ArgumentError, ValueError):  # whose words may have the password
            raise errors.BadAddress("the address of the database cannot be read") from None
        if address.partition("?")[0].count("@") > 1:  # it would be cut at the wrong one, the rest taken for a host
            raise errors.BadAddress("the address of the database has more than one @")
        if not url.database:
            raise errors.BadAddress("the address names no database")
        _say_what_indexes_leave_out()
        self._url = url.set(drivername="postgresql+psycopg")
        self.name = url.set(query={}).render_as_string(hide_password=True)
        """The address without its password, to be shown."""
        self.database = url.database
        self._opened: WeakSet[Any] = WeakSet()
        self._process_id: int | None = None
        self._number = 0
        self._writing: Any = None
        """The driver's connection that has the turn or waits for it."""
        self._suspect: tuple[int, object] | None = None
        self._is_closing = threading.Event()
        self.patience_s = 0.0
        """How long a server that is away is waited for where it alone knows whether something was written."""
        self._pulses: sa.Engine | None = None

    def readers(self) -> sa.Engine:
        """Return connections that see one state each and cannot write."""
        engine = self._engine(
            idle_s=0,  # who reads keeps nobody waiting, and may think for long between two questions
            pool_size=1,
            max_overflow=-1,
            isolation_level="REPEATABLE READ",
            pool_pre_ping=True,
        )

        @sa.event.listens_for(engine, "begin")
        def _begin(conn: sa.Connection) -> None:
            conn.exec_driver_sql("SET TRANSACTION READ ONLY")

        return engine

    def writer(self) -> sa.Engine:
        """Return the connection that writes, each transaction in its turn."""
        engine = self._engine(pool_size=1, max_overflow=0, pool_timeout=6 * 3600.0)
        engine.update_execution_options(was_committed=self._was_committed)

        @sa.event.listens_for(engine, "begin")
        def _begin(conn: sa.Connection) -> None:
            self._writing = conn.connection.driver_connection
            conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN})")

        @sa.event.listens_for(engine, "commit")
        def _commit(conn: sa.Connection) -> None:
            if self._process_id is not None:
                self._number += 1
                conn.exec_driver_sql(
                    "UPDATE processes SET commits = %(number)s WHERE id = %(process)s",
                    {"number": self._number, "process": self._process_id},
                )

        @sa.event.listens_for(engine, "checkin")
        def _checkin(*_: object) -> None:
            self._writing = None

        return engine

    def _engine(self, *, idle_s: int | None = None, **options: Any) -> sa.Engine:
        try:
            engine = sa.create_engine(
                self._url,
                poolclass=sa.pool.QueuePool,
                hide_parameters=True,  # they name people, and a fault report goes to the maintainers
                connect_args={
                    "connect_timeout": CONNECT_S,
                    "application_name": "followgraph",
                    "keepalives_idle": 5,
                    "keepalives_interval": 2,
                    "keepalives_count": 3,
                    "tcp_user_timeout": 10_000,
                },
                **options,
            )
        except ModuleNotFoundError as error:
            raise errors.DatabaseError(
                "PostgreSQL needs the package psycopg, which is not installed",
                hint="Install it once with: pip install 'followgraph[postgres]'",
            ) from error

        @sa.event.listens_for(engine, "connect")
        def _connect(opened: Any, _: object) -> None:
            _adapt(opened)
            opened.autocommit = True
            limit = IDLE_S if idle_s is None else idle_s
            opened.execute(f"SET idle_in_transaction_session_timeout = '{limit}s'; SET statement_timeout = 0")
            with suppress(engine.dialect.loaded_dbapi.Error):  # not every system of a server can watch
                opened.execute("SET client_connection_check_interval = '1s'")
            opened.autocommit = False
            self._opened.add(opened)

        return engine

    def sign_as(self, process_id: int) -> None:
        """Sign every transaction from now on, so that it can be told whether one whose answer was lost went through."""
        self._process_id = process_id

    def _was_committed(self) -> bool:
        """Tell whether the last transaction, whose answer was lost, went through. Raises InDoubt where nobody knows."""
        if self._process_id is None:
            raise errors.InDoubt
        began_s = monotonic()
        while not self._is_closing.wait(RECONNECT_S) and monotonic() - began_s <= self.patience_s + CONNECT_S:
            with suppress(sa.exc.DBAPIError):
                engine = self._engine(pool_size=1)
                try:
                    with engine.begin() as conn:
                        # The turn comes when the transaction in doubt has ended, one way or the other.
                        conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN})")
                        found = conn.exec_driver_sql(
                            "SELECT commits FROM processes WHERE id = %(process)s", {"process": self._process_id}
                        ).scalar_one_or_none()
                        return bool(found == self._number)
                finally:
                    engine.dispose()
        raise errors.InDoubt

    def pulse(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a short work that takes no turn, and give up a writer's connection that has gone silent."""
        if self._pulses is None:
            self._pulses = self._engine(pool_size=1)
        with self._pulses.begin() as conn:
            self._mind_writer(conn)
            return work(conn)

    def _mind_writer(self, conn: sa.Connection) -> None:
        """Cut the writer's connection where at two pulses it waits for an answer to what the server has not, or had.

        A server that works on a statement is waited for, however long, and so is a program that thinks between two.
        """
        before, self._suspect = self._suspect, None
        opened = self._writing
        if opened is None or opened.closed or opened.info.transaction_status.name != "ACTIVE":
            return
        pid = opened.info.backend_pid
        row = conn.exec_driver_sql(
            "SELECT state = 'active' AND wait_event IS DISTINCT FROM 'ClientWrite', state_change"
            " FROM pg_stat_activity WHERE pid = %(pid)s",
            {"pid": pid},
        ).one_or_none()
        if row is not None and row[0]:
            return
        suspect = (pid, None if row is None else row[1])
        if suspect == before:
            self.cut(pid)
        else:
            self._suspect = suspect

    def cut(self, backend: int | None = None) -> None:
        """End connections at once, all or the one to this backend, whoever waits for an answer on them."""
        for opened in list(self._opened):
            with suppress(Exception):  # it may be closed by its own thread just now
                if backend is None or opened.info.backend_pid == backend:
                    with socket.socket(fileno=os.dup(opened.fileno())) as found:
                        found.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Wait for nobody any more."""
        self._is_closing.set()
        if self._pulses is not None:
            self._pulses.dispose()


def _adapt(opened: Any) -> None:
    """Let the driver take and give what SQLite's does: truth as 0 and 1, whole sums as int, no byte 0 in a text."""
    from psycopg.adapt import Dumper, Loader  # noqa: PLC0415 - an optional package
    from psycopg.types.numeric import IntDumper  # noqa: PLC0415 - as above
    from psycopg.types.string import StrDumper  # noqa: PLC0415 - as above

    class Truth(Dumper):  # of no type, so that it serves for our small numbers and for the server's own questions
        def dump(self, obj: bool) -> bytes:
            return b"1" if obj else b"0"

    class Sum(Loader):
        def load(self, data: Any) -> int | float:
            text = bytes(data)
            return float(text) if b"." in text or b"N" in text else int(text)

    class Text(StrDumper):
        def dump(self, obj: str) -> Any:
            return super().dump(storable(obj))

    opened.adapters.register_dumper(bool, Truth)
    opened.adapters.register_dumper(IntEnum, IntDumper)
    opened.adapters.register_dumper(str, Text)
    opened.adapters.register_loader("numeric", Sum)


def storable(text: str) -> str:
    """Return a text as the server keeps it: a byte 0 is in no text of its."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in text else text


def schema_version(conn: sa.Connection, name: str) -> str | None:
    """Return the migration a database stands at, None for an empty one. Raises NotADatabase for somebody else's."""
    found = set(sa.inspect(conn).get_table_names())
    if "alembic_version" not in found:
        if taken := sorted(found & set(schema.metadata.tables)):
            raise errors.NotADatabase(f"{name} has tables of another program: {', '.join(taken)}")
        return None
    version = conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
    if version is None:
        return None
    if not version.startswith(schema.UNFINISHED) and not (len(version) == len(schema.HEAD) and version.isdigit()):
        raise errors.NotADatabase(f"{name} is the database of another program")
    return str(version)


def finish(conn: sa.Connection) -> None:
    """Make new tables behave as SQLite's do: texts in the order of their bytes, ids that follow the largest one.

    Ids without gaps are safe because one transaction writes at a time.
    """
    for table, column in conn.exec_driver_sql(
        "SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN information_schema.tables t"
        " USING (table_schema, table_name) WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
        " AND c.data_type = 'text' AND c.collation_name IS NULL"
    ).all():
        conn.exec_driver_sql(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE text COLLATE "C"')
    for table, column in conn.exec_driver_sql(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND column_default LIKE 'nextval(%%'"
    ).all():
        body = f'SELECT coalesce(max("{column}"), 0) + 1 FROM "{table}"'  # noqa: S608 - our own names
        made = f'CREATE FUNCTION "next_{table}_{column}"() RETURNS bigint LANGUAGE sql VOLATILE'
        conn.exec_driver_sql(f"{made} AS '{body}'")
        conn.exec_driver_sql(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" SET DEFAULT "next_{table}_{column}"()')


_UNAVAILABLE = "the database server does not answer"
_CONDITIONS: tuple[tuple[str, type[errors.DatabaseError], str], ...] = (
    ("08", errors.Cut, _UNAVAILABLE),
    ("57P", errors.Cut, "the database server is being stopped or started"),
    ("25P03", errors.Cut, "the database server ended a transaction that said nothing for too long"),
    ("53300", errors.Busy, "the database server has no connection left"),
    ("40", errors.Busy, "another program changed the same rows at the same time"),
    ("55P03", errors.Busy, "another program keeps the database locked"),
    ("53100", errors.DiskFull, "the disk of the database server is full"),
    ("25006", errors.ReadOnly, "the database server takes no writing"),
    ("42501", errors.ReadOnly, "this user of the database may not do that"),
    ("28", errors.DatabaseError, "the database server refused the user or the password"),
    ("3D000", errors.MissingDatabase, "the server has no database of this name, or no such user"),
    ("XX001", errors.Corrupt, "the database is damaged"),
    ("XX002", errors.Corrupt, "the database is damaged"),
)
_HINTS: dict[str, str] = {
    "28": "Check the address given with --db; a password is best kept in ~/.pgpass or PGPASSWORD.",
    "3D000": "Make the database once with: createdb NAME",
    "42501": "Let its owner grant it, or make the database with this user.",
}


def translate(error: Exception) -> Exception | None:
    """Return our error for the server's or its driver's, None where it is none of theirs."""
    if not hasattr(error, "sqlstate"):
        return None
    said = (str(error).strip().splitlines() or [type(error).__name__])[0].strip()
    if not error.sqlstate and _ILL_FORMED.search(said):
        return errors.BadAddress(f"the address of the database cannot be used: {said}")
    state: str | None = error.sqlstate or _state_of_refusal(str(error))
    for prefix, kind, problem in _CONDITIONS:
        if state is not None and state.startswith(prefix):
            return kind(f"{problem} ({state})", hint=_HINTS.get(prefix))
    if state is None and type(error).__name__ in {"OperationalError", "ConnectionTimeout", "InterfaceError"}:
        return errors.Cut(f"{_UNAVAILABLE}: {said}")
    return None


_ILL_FORMED = re.compile(r"invalid (connection option|\w+ value|port number|integer value)")
"""What the driver says of an address that it cannot use, before it asks anybody."""

_REFUSALS = {"does not exist": "3D000", "authentication failed": "28P01", "no pg_hba.conf entry": "28000"}


def _state_of_refusal(said: str) -> str | None:
    """Return the code of a refused connection, which the driver hands on in words only."""
    if "no password supplied" in said:
        return "28P01"
    if "FATAL" not in said:
        return None
    return next((state for words, state in _REFUSALS.items() if words in said), None)
