"""The database: one writer, separate read-only readers, one lock against a second crawl.

Invariant: all writing goes through one connection and one immediate transaction at a time. A file has one crawl; a
database on a server is shared by many, whose transactions take turns.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import sqlalchemy as sa

from storage import errors, lock, postgres
from storage.driver import (
    check_file,
    file_of,
    log_bytes,
    read_engine,
    refuse_others,
    require_head,
    require_tables,
    translated,
    write_engine,
)
from storage.migration import bring_server_to_head, bring_to_head
from storage.writer import InlineWriter, ThreadWriter, Unit, Writer

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - the item of a unit of work, beside its result R
R = TypeVar("R")

Mode = Literal["read", "write", "create"]

PAGE_BYTES = 128_000
"""Room on the disk that writing a page may need, in the log and in the tables; the log itself comes to that."""

PLENTY, PLENTY_S = 32, 0.1
"""With so many times the room that is needed, nobody fills the disk in so many seconds."""


def graph_beside(path: Path) -> Path:
    """Return where a graph that was read from a database file is kept for the next reading, as numbers."""
    return path.with_name(f"{path.name}-graph.npz")


def beside(place: str | Path | postgres.Server) -> Path:
    """Return the path beside which lies what belongs to a database: its file, else its name in the current folder."""
    if isinstance(place, postgres.Server):
        return Path(f"{place.database}.postgresql")
    return beside(postgres.Server(str(place))) if postgres.is_address(place) else file_of(place)


class Database:
    """An open database. Made by `Database.open`."""

    def __init__(
        self,
        *,
        place: Path | postgres.Server,
        engine: sa.Engine | None,
        writer: Writer | None,
        readers: sa.Engine,
        log_bytes: int = 0,
    ) -> None:
        self._place = place
        self._engine = engine
        self._writer = writer
        self._readers = readers
        self._lock: lock.Held | None = None
        self._log_bytes = log_bytes
        self._roomy_until_s = 0.0
        self._patience_s = 0.0
        self._on_busy: Callable[[errors.Busy], None] = lambda _: None
        self._is_busy = False

    @classmethod
    def open(
        cls,
        place: str | Path,
        *,
        now: Callable[[], float],
        mode: Mode = "create",
        writer: Callable[[sa.Engine], Writer] = InlineWriter,
    ) -> Database:
        """Open a database by path or `sqlite:///` address; an older schema is upgraded after a backup copy.

        `mode` "read" never alters it, "write" wants it to exist, "create" makes it. Raises a DatabaseError. Of a
        `postgresql://` address the database itself must exist; "create" makes the tables.
        """
        if postgres.is_address(place):
            return cls._open_server(postgres.Server(str(place)), mode=mode, writer=writer)
        path = file_of(place)
        exists = path.exists()
        if not exists and mode != "create":
            raise errors.MissingDatabase(f"there is no database at {path}")
        if exists:
            check_file(path)
        readers = read_engine(path)
        if mode == "read":
            try:
                with translated(path), readers.connect() as conn:
                    require_head(conn, path)
            except errors.DatabaseError:
                readers.dispose()
                raise
            return cls(place=path, engine=None, writer=None, readers=readers)
        try:
            if exists:  # before a connection that writes changes even the kind of its log
                with translated(path), readers.connect() as conn:
                    refuse_others(conn, path)
            room = log_bytes(path.parent)
            engine = write_engine(path, create=not exists, log_bytes=room)
        except BaseException:
            readers.dispose()
            raise
        try:
            with translated(path):
                bring_to_head(engine, path, now=now)
        except BaseException:
            engine.dispose()
            readers.dispose()
            raise
        return cls(place=path, engine=engine, writer=writer(engine), readers=readers, log_bytes=room)

    @staticmethod
    def is_missing(place: str | Path) -> bool:
        """Tell whether there is no such file. A database on a server is made by its owner: it is there, or an error."""
        return not postgres.is_address(place) and not file_of(place).exists()

    @classmethod
    def _open_server(cls, server: postgres.Server, *, mode: Mode, writer: Callable[[sa.Engine], Writer]) -> Database:
        readers = server.readers()
        engine = None if mode == "read" else server.writer()
        try:
            with translated():
                if engine is None or mode == "write":
                    with readers.connect() as conn:
                        require_head(conn, server.name) if engine is None else require_tables(conn, server.name)
                if engine is not None:
                    bring_server_to_head(engine, readers, server.name)
        except BaseException:
            readers.dispose()
            if engine is not None:
                engine.dispose()
            raise
        return cls(place=server, engine=engine, writer=None if engine is None else writer(engine), readers=readers)

    @property
    def path(self) -> Path:
        """The file. Raises NeedsFile where the database is on a server."""
        self.require_file()
        assert isinstance(self._place, Path)  # noqa: S101 - said by the line before
        return self._place

    def require_file(self, *, hint: str | None = None) -> None:
        """Raise NeedsFile where the database is on a server; `hint` says what to do instead."""
        if isinstance(self._place, postgres.Server):
            raise errors.NeedsFile(self._place.name, hint=hint)

    @property
    def beside(self) -> Path:
        """Beside this path lies what belongs to the database on this machine, such as the list of exports."""
        return beside(self._place)

    @property
    def name(self) -> str:
        """The file or the address, to be shown."""
        return self._place.name if isinstance(self._place, postgres.Server) else str(self._place)

    @property
    def is_shared(self) -> bool:
        """Whether several crawlers may work on it at once."""
        return isinstance(self._place, postgres.Server)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A read-only connection that sees one consistent state."""
        with translated(self._file), self._readers.connect() as conn:
            yield conn

    async def look(
        self, work: Callable[[sa.Connection], T], *, offload: Callable[[Callable[[], T]], Awaitable[T]] | None = None
    ) -> T:
        """Read without keeping the event loop from its work, where the database is on a server.

        `offload` runs a reading elsewhere that takes long on a file, too. Waits for a lost connection as `submit` does.
        """
        time = asyncio.get_running_loop().time
        began_s = time()
        while True:
            try:
                return await (offload or self._elsewhere)(partial(self._look, work))
            except errors.Cut:
                if time() - began_s >= self._patience_s:
                    raise
                await asyncio.sleep(postgres.RECONNECT_S)

    def _look(self, work: Callable[[sa.Connection], T]) -> T:
        with self.read() as conn:
            return work(conn)

    async def _elsewhere(self, call: Callable[[], T]) -> T:
        # In virtual time, whose writer is inline, a thread would be in nobody's time.
        if not self.is_shared or not isinstance(self._writer, ThreadWriter):
            return call()
        return await asyncio.to_thread(call)

    async def pulse(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a short work that waits for no turn to write: a sign of life. Only of a shared database.

        Raises Cut where the server did not answer in time; every connection is given up then.
        """
        server = self._place
        assert isinstance(server, postgres.Server)  # noqa: S101 - the caller has asked `is_shared`
        try:
            async with asyncio.timeout(2 * postgres.ANSWER_S):
                with translated():
                    return await self._elsewhere(partial(server.pulse, work))
        except TimeoutError:
            server.cut()
            raise errors.Cut("the database server does not answer") from None

    def sign_as(self, process_id: int) -> None:
        """Let every transaction tell, from now on, whether it went through although its answer was lost."""
        if isinstance(self._place, postgres.Server):
            self._place.sign_as(process_id)

    @property
    def _file(self) -> Path | None:
        return self._place if isinstance(self._place, Path) else None

    def be_patient(self, seconds: float, on_busy: Callable[[errors.Busy], None]) -> None:
        """Let `submit` and `write` wait so long for another program's lock; `on_busy` is called when it begins to.

        What was paid for is in their hands: giving up loses it.
        """
        self._patience_s, self._on_busy = seconds, on_busy
        if isinstance(self._place, postgres.Server):
            self._place.patience_s = seconds

    def require_room(self, pages: int) -> None:
        """Raise DiskFull where the disk has not the room for so many pages: what is bought then could not be stored."""
        time = asyncio.get_running_loop().time()
        if self.is_shared or time < self._roomy_until_s:
            return
        try:
            disk = os.statvfs(self.path.parent)
        except OSError:  # the next write says what is wrong
            return
        need = self._log_bytes + pages * PAGE_BYTES
        free = disk.f_bavail * disk.f_frsize
        if free > PLENTY * need:  # asked for each page it would cost as much as sending one
            self._roomy_until_s = time + PLENTY_S
        if free < need:
            room = f"{free / 1e6:,.1f} MB free in {self.path.absolute().parent}, {need / 1e6:,.1f} MB needed"
            raise errors.DiskFull(f"the disk is full: {room}")

    async def submit(self, unit: Unit[I, R], item: I) -> R:
        """Run a unit of work on the writer; returns after its commit. Raises a DatabaseError."""
        assert self._writer is not None, "opened for reading"  # noqa: S101 - a fault of ours, not of a user
        time = asyncio.get_running_loop().time
        began_s = time()
        while True:
            try:
                result = await self._writer.submit(unit, item)
            except errors.Busy as error:  # after driver.BUSY_TIMEOUT_S
                if time() - began_s >= self._patience_s:
                    raise
                if not self._is_busy:
                    self._is_busy = True
                    self._on_busy(error)
                if self.is_shared:
                    await asyncio.sleep(postgres.RECONNECT_S)
            except errors.Corrupt as error:
                raise errors.Corrupt(f"{self.name}: {error.problem}") from error
            else:
                self._is_busy = False
                return result

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in one transaction on the writer; returns after its commit."""

        def unit(conn: sa.Connection, items: Sequence[None]) -> Sequence[T]:
            return [work(conn) for _ in items]

        return await self.submit(unit, None)

    def transact(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in one transaction at once: for commands that hold no event loop."""
        assert self._engine is not None, "opened for reading"  # noqa: S101 - a fault of ours, not of a user
        with translated(self._file), self._engine.begin() as conn:
            return work(conn)

    def scour(self) -> bool:
        """Write the file anew without a trace of what was deleted, and empty the log; tell whether that was possible.

        The graph kept beside it goes too: by numbers only, but whom those deleted followed stands there.
        Rows leave their bytes in pages that are used again only in part: nothing less removes them. Needs once more
        the room of the database, in its own folder; not while a crawl works. False where somebody reads just now.
        """
        assert self._engine is not None, "opened for reading"  # noqa: S101 - a fault of ours, not of a user
        self._readers.dispose()
        graph_beside(self.path).unlink(missing_ok=True)
        with translated(self.path), closing(self._engine.raw_connection()) as held:
            conn = held.driver_connection
            assert conn is not None  # noqa: S101 - an open connection has one
            conn.execute("PRAGMA temp_store = FILE")
            folder = str(self.path.absolute().parent).replace("'", "''")
            conn.execute(f"PRAGMA temp_store_directory = '{folder}'")
            try:
                conn.execute("VACUUM")
            finally:
                conn.execute("PRAGMA temp_store_directory = ''")
                conn.execute("PRAGMA temp_store = MEMORY")
            busy, *_ = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def claim(self) -> None:
        """Take the place of the one crawler of this file, until it is closed or the process dies.

        The kernel gives the lock back when a process ends, however it ends. A shared database has no such place: who
        is at work there is the crew's to say. Raises LockedByCrawl.
        """
        if isinstance(self._place, Path):
            self._lock = lock.take(self._place)

    def close(self) -> None:
        """Finish the writing, fold the write-ahead log into the file, give back the lock."""
        if isinstance(self._place, postgres.Server):
            self._place.close()
        if self._writer is not None:
            self._writer.close()
        self._readers.dispose()  # before the writer: only the last connection folds the log, and no reader can
        if self._engine is not None:
            self._engine.dispose()
        if self._lock is not None:  # last: it holds the file itself open
            self._lock.release()
