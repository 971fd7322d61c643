"""SQLite's connections as the house wants them, and the driver's errors in the house's words."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from storage import errors, postgres, schema

BUSY_TIMEOUT_S = 5.0
_TURN_S = 6 * 3600.0
"""Longer than anything that is written takes."""
_ATTEMPTS = 50
"""How often programs that open the same new file together may meet."""

LOG_BYTES = 16_000_000
"""The write-ahead log is folded into the file when it is this long: what a crawl writes again and again until then,
the leaves of indexes above all, is folded in once."""

SMALL_LOG_BYTES, SMALL_DISK_BYTES = 4_000_000, 1_000_000_000
"""The length where there is less room on the disk than that."""

CACHE_KB = 8_000
"""What a connection keeps of the file: the operating system keeps the rest, and a crawl is no slower for it."""

_LOG_PAGE_BYTES = 4120
_EFFECTIVE = os.access in os.supports_effective_ids
_MAGIC = b"SQLite format 3\0"


def file_of(place: str | Path) -> Path:
    """Return the file meant by a path or a `sqlite:///` address. Raises DatabaseError for other addresses."""
    text = str(place)
    if postgres.is_address(text):
        raise errors.NeedsFile(postgres.Server(text).name)
    if "://" in text:
        if not text.startswith("sqlite:///"):
            scheme = text.split("://", 1)[0]
            raise errors.BadAddress(f"{scheme}:// is not a database this version can use")
        text = text.removeprefix("sqlite:///")
    if not text:
        raise errors.BadAddress("the name of the database is empty")
    return Path(text)


def check_file(path: Path) -> None:
    """Refuse what is no SQLite file before SQLite touches it."""
    try:
        if not path.is_file():
            raise errors.NotADatabase(f"{path} is not a file")
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except OSError as error:
        raise errors.DatabaseError(
            f"{path} cannot be read: {error.strerror}", hint="Check the file's owner and permissions."
        ) from error
    if start and start != _MAGIC:
        raise errors.NotADatabase(f"{path} is not a SQLite database")


def read_address(path: Path) -> str:
    """Return the address at which SQLite opens a file for reading only."""
    # On a read-only medium SQLite cannot make the file that readers of a write-ahead log share; nobody writes there.
    is_fixed = not os.access(path.parent, os.W_OK, effective_ids=_EFFECTIVE) and not Path(f"{path}-wal").exists()
    return f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if is_fixed else ''}"


def read_engine(path: Path) -> sa.Engine:
    address = read_address(path)

    def connect() -> sqlite3.Connection:
        conn = sqlite3.connect(
            address,
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT_S,
        )
        conn.execute("PRAGMA query_only = 1")
        conn.execute("PRAGMA trusted_schema = OFF")
        conn.execute("PRAGMA temp_store = MEMORY")
        conn.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        return conn

    # The first connection is kept: a crawl that has opened all the files it may could not tell its end otherwise.
    engine = sa.create_engine(
        "sqlite://",
        creator=connect,
        poolclass=sa.pool.QueuePool,
        pool_size=1,
        max_overflow=-1,
        hide_parameters=True,  # they name people, and a fault report goes to the maintainers
    )

    @sa.event.listens_for(engine, "begin")
    def _begin(conn: sa.Connection) -> None:
        conn.exec_driver_sql("BEGIN")

    return engine


def log_bytes(folder: Path) -> int:
    """Return how long the write-ahead log of a database in this folder may become."""
    try:
        return LOG_BYTES if shutil.disk_usage(folder).free >= SMALL_DISK_BYTES else SMALL_LOG_BYTES
    except OSError:
        return SMALL_LOG_BYTES


def write_engine(path: Path, *, create: bool, log_bytes: int = SMALL_LOG_BYTES) -> sa.Engine:
    """Return the one connection that writes. Its log is folded in once it is `log_bytes` long."""
    if create:
        try:
            # Before SQLite does it, so that the graph of real people is readable by its owner only.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            pass
        except OSError as error:
            raise errors.ReadOnly(f"{path} cannot be created: {error.strerror}") from error
    elif not all(os.access(place, os.W_OK, effective_ids=_EFFECTIVE) for place in (path, path.parent)):
        raise errors.ReadOnly(f"{path} or its folder cannot be written")
    else:
        _make_private(path)

    def connect() -> sqlite3.Connection:
        conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_S)
        try:
            conn.execute("PRAGMA trusted_schema = OFF")
            _write_ahead(conn)
            conn.execute("PRAGMA synchronous = FULL")
            conn.execute(f"PRAGMA wal_autocheckpoint = {log_bytes // _LOG_PAGE_BYTES}")
            # While somebody reads for long it grows beyond that; afterwards the disk has the rest back.
            conn.execute(f"PRAGMA journal_size_limit = {log_bytes}")
            conn.execute(f"PRAGMA cache_size = -{CACHE_KB}")
            conn.execute("PRAGMA temp_store = MEMORY")
        except sqlite3.Error:
            conn.close()
            raise
        return conn

    # One connection, which a thread that wants it while another has it waits for: a purge beside a daemon's writer.
    engine = sa.create_engine(
        "sqlite://",
        creator=connect,
        poolclass=sa.pool.QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=_TURN_S,
        hide_parameters=True,  # as above
    )

    @sa.event.listens_for(engine, "begin")
    def _begin(conn: sa.Connection) -> None:
        conn.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _write_ahead(conn: sqlite3.Connection) -> None:
    """Have a write-ahead log from now on.

    SQLite begins one by turning a reader into the only writer, and for that, lest two wait for each other, it waits for
    nobody. Asking for the whole file does wait, up to BUSY_TIMEOUT_S; then it is tried again.
    """
    for _ in range(_ATTEMPTS):
        try:
            conn.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            conn.execute("BEGIN EXCLUSIVE")
            conn.execute("COMMIT")
    conn.execute("PRAGMA journal_mode = WAL")


@contextmanager
def sorting_on_disk(conn: sa.Connection) -> Iterator[None]:
    """Let SQLite sort in the system's temporary folder what its cache cannot hold: numbers only, nobody's names.

    On a connection that holds temporary views or tables the sorting stays in memory: the setting would drop them.
    """
    if conn.dialect.name != "sqlite" or "temp" in {row[1] for row in conn.exec_driver_sql("PRAGMA database_list")}:
        yield
        return
    conn.exec_driver_sql("PRAGMA temp_store = FILE")
    try:
        yield
    finally:
        conn.exec_driver_sql("PRAGMA temp_store = MEMORY")


def _make_private(path: Path) -> None:
    """Let nobody but the owner read a database that came from elsewhere; where it is somebody else's, it stays."""
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        with suppress(OSError):
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & 0o077:
                file.chmod(mode & 0o700)


def schema_version(conn: sa.Connection, path: Path | str) -> str | None:
    """Return the migration a database stands at, None for an empty file. Raises NotADatabase for somebody else's."""
    if conn.dialect.name == "postgresql":
        return postgres.schema_version(conn, str(path))
    tables = {row[0] for row in conn.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")}
    application: Any = conn.exec_driver_sql("PRAGMA application_id").scalar_one()
    if not tables and application in {0, schema.APPLICATION_ID}:
        return None
    if application != schema.APPLICATION_ID or "alembic_version" not in tables:
        raise errors.NotADatabase(f"{path} is a SQLite database of another program")
    if conn.exec_driver_sql("SELECT count(*) FROM sqlite_master WHERE type IN ('trigger', 'view')").scalar_one():
        # They run with every write of ours, and no followgraph makes any.
        raise errors.NotADatabase(f"{path} holds triggers or views that this program did not make")
    version = conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
    return None if version is None else str(version)


def refuse_others(conn: sa.Connection, path: Path | str) -> str | None:
    """Return the migration a database stands at.

    Raises NotADatabase, NewerSchema and UnfinishedCopy for what is not ours to write.
    """
    version = schema_version(conn, path)
    if version is not None and version.startswith(schema.UNFINISHED):
        raise errors.UnfinishedCopy(f"{path} is an unfinished copy of another database")
    if version is not None and version > schema.HEAD:
        raise errors.NewerSchema(f"{path} was written by a newer followgraph (schema {version}, known: {schema.HEAD})")
    return version


def require_tables(conn: sa.Connection, path: Path | str) -> str:
    version = refuse_others(conn, path)
    if version is None:
        raise errors.MissingDatabase(f"{path} is empty")
    return version


def require_head(conn: sa.Connection, path: Path | str) -> None:
    version = require_tables(conn, path)
    if version < schema.HEAD:
        raise errors.OlderSchema(f"{path} was written by an older followgraph (schema {version}, now: {schema.HEAD})")


def damages(conn: sa.Connection) -> list[str]:
    """Return what SQLite finds wrong with its file. A server minds its own files."""
    if conn.dialect.name == "postgresql":
        return []
    rows = [str(row[0]) for row in conn.exec_driver_sql("PRAGMA integrity_check(5)")]
    return [] if rows == ["ok"] else rows


def names(conn: sa.Connection) -> set[str]:
    """Return the names of all tables and indexes."""
    text = "SELECT name FROM sqlite_master WHERE type IN ('table', 'index')"
    if conn.dialect.name == "postgresql":
        text = "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
    return set(conn.exec_driver_sql(text).scalars())


@contextmanager
def shadowed(conn: sa.Connection, views: Mapping[str, str]) -> Iterator[None]:
    """Let views of this connection's own stand before tables, which they name with `main.` before them.

    The database itself stays closed to writing. On a server this begins a transaction.
    """
    if conn.dialect.name == "postgresql":
        conn.rollback()
        conn.exec_driver_sql("SET TRANSACTION READ WRITE")  # a view of one's own is something written there
        place = conn.exec_driver_sql("SELECT current_schema()").scalar_one()
        for name, query in views.items():
            conn.exec_driver_sql(f"CREATE TEMP VIEW {name} AS {query.replace('main.', f'{place}.')}")
        conn.exec_driver_sql("SET TRANSACTION READ ONLY")
        try:
            yield
        finally:
            conn.rollback()
        return
    conn.exec_driver_sql("PRAGMA query_only = 0")  # the file itself was opened for reading
    try:
        for name, query in views.items():
            conn.exec_driver_sql(f"CREATE TEMP VIEW {name} AS {query}")
        conn.exec_driver_sql("PRAGMA query_only = 1")
        yield
    finally:
        conn.exec_driver_sql("PRAGMA query_only = 0")
        for name in views:
            conn.exec_driver_sql(f"DROP VIEW IF EXISTS temp.{name}")
        conn.exec_driver_sql("PRAGMA query_only = 1")


def is_marked(conn: sa.Connection) -> bool:
    """Tell whether a file says that it is ours; on a server the tables alone do."""
    if conn.dialect.name == "postgresql":
        return True
    return bool(conn.exec_driver_sql("PRAGMA application_id").scalar_one() == schema.APPLICATION_ID)


def beyond_ascii(conn: sa.Connection, column: sa.Column[str]) -> Iterator[str]:
    """Yield the texts of a column that hold more than printable ASCII."""
    is_beyond = column.op("GLOB")("*[^ -~]*") if conn.dialect.name == "sqlite" else column.op("~")("[^ -~]")
    yield from conn.execute(sa.select(column).where(is_beyond)).scalars()


def clock(conn: sa.Connection, now: float) -> float:
    """Return the time by which the programs of a database judge each other: the server's, else `now`. Unix seconds."""
    if conn.dialect.name == "sqlite":
        return now
    return float(conn.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one())


@contextmanager
def translated(path: Path | None = None) -> Iterator[None]:
    """Turn the driver's errors into ours; `path` names the file where it is damaged."""
    try:
        yield
    except Exception as error:
        told = translate(error, path)
        if told is error:
            raise
        raise told from error


_CONDITIONS: dict[str, tuple[type[errors.DatabaseError], str]] = {
    "SQLITE_BUSY": (errors.Busy, "another program keeps the database locked"),
    "SQLITE_LOCKED": (errors.Busy, "another program keeps the database locked"),
    "SQLITE_READONLY": (errors.ReadOnly, "the database cannot be written"),
    "SQLITE_CANTOPEN": (errors.ReadOnly, "the database or a file beside it cannot be opened"),
    "SQLITE_PERM": (errors.ReadOnly, "the database cannot be written"),
    "SQLITE_FULL": (errors.DiskFull, "the disk is full"),
    "SQLITE_CORRUPT": (errors.Corrupt, "the database file is damaged"),
    "SQLITE_NOTADB": (errors.NotADatabase, "the file is not a SQLite database"),
    "SQLITE_IOERR": (errors.DiskFault, "the disk refused a read or a write"),
}


_UNREADABLE = ("unsupported file format", "malformed database schema")
"""What SQLite says, under no name of its own, of a file with a head or tables that it cannot make sense of."""


def translate(error: Exception, path: Path | None = None) -> Exception:
    """Return our error for the driver's, or the error itself where it is none of the driver's."""
    original = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    name = getattr(original, "sqlite_errorname", None)
    if name is None:
        told = None if original is None else postgres.translate(original)
        return error if told is None else told
    if name == "SQLITE_ERROR" and any(sign in str(original) for sign in _UNREADABLE):
        return errors.NotADatabase(f"the file is not a database that SQLite can read ({original})")
    for prefix, (kind, problem) in _CONDITIONS.items():
        if name.startswith(prefix):
            if kind is errors.ReadOnly and _is_out_of_files():
                return errors.OutOfFiles(f"too many files are open ({name})")
            place = f": {path}" if path is not None and kind is errors.Corrupt else ""
            return kind(f"{problem}{place} ({name})")
    return error


def _is_out_of_files() -> bool:
    """Whether no file can be opened just now: SQLite says the same of this and of a file that it may not open."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in {errno.EMFILE, errno.ENFILE}
    return False
