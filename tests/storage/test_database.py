"""Opening databases good and bad; writing together; reading without a trace."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from study import Study, facts

from storage import errors, lock, schema, summary
from storage.database import Database
from storage.writer import ThreadWriter

Make = Callable[..., Study]


def now() -> float:
    """Return a fixed time."""
    return 1_750_000_000.0


def opened(path: Path | str, mode: Any = "create") -> Database:
    """Open a database."""
    return Database.open(path, now=now, mode=mode)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with one visited account."""
    study = Study(tmp_path / "a.db", "a")
    study.visit("a", facts("x"))
    study.db.close()
    return tmp_path / "a.db"


def test_a_new_database_is_private(tmp_path: Path) -> None:
    """Database and lock are readable by their owner only: they hold a graph of real people."""
    db = opened(tmp_path / "a.db")
    db.claim()
    db.close()
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


def test_a_database_can_be_named_by_address(tmp_path: Path) -> None:
    """A path and a sqlite:/// address mean the same file; other addresses are refused."""
    opened(f"sqlite:///{tmp_path}/a.db").close()
    opened(tmp_path / "a.db", "read").close()
    with pytest.raises(errors.DatabaseError, match="mysql://"):
        opened("mysql://host/x")


@pytest.mark.parametrize("reading", [True, False])
def test_an_error_of_the_database_names_nobody(tmp_path: Path, reading: bool) -> None:
    """What a statement was given stays out of its error, which may end in a report to the maintainers."""
    db = opened(tmp_path / "a.db")

    def fail(conn: sa.Connection) -> None:
        conn.execute(sa.text("SELECT no_such_function(:handle)"), {"handle": "private.person"})

    def read() -> None:
        with db.read() as conn:
            fail(conn)

    with pytest.raises(sa.exc.OperationalError) as refused:
        read() if reading else db.transact(fail)
    db.close()
    assert "no_such_function" in str(refused.value)
    assert "private.person" not in str(refused.value)


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_missing_database_is_not_made(tmp_path: Path, mode: str) -> None:
    """Reading and writing want a database that exists."""
    with pytest.raises(errors.MissingDatabase):
        opened(tmp_path / "none.db", mode)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["read", "write", "create"])
@pytest.mark.parametrize("content", [b"not a database, but a text that somebody needs\n" * 50, b"x", b"\x00" * 5000])
def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path, mode: str, content: bytes) -> None:
    """Whatever the mode, a foreign file keeps every byte."""
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(errors.NotADatabase):
        opened(path, mode)
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("mode", ["read", "write", "create"])
def test_a_database_of_another_program_is_left_alone(tmp_path: Path, mode: str) -> None:
    """A SQLite file that is not ours keeps its tables and its rows."""
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as conn:
        conn.execute("CREATE TABLE accounts (id INTEGER, name TEXT)")
        conn.execute("INSERT INTO accounts VALUES (1, 'theirs')")
    conn.close()
    with pytest.raises(errors.NotADatabase, match="another program"):
        opened(path, mode)
    conn = sqlite3.connect(path)
    assert conn.execute("SELECT * FROM accounts").fetchall() == [(1, "theirs")]
    assert conn.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)
    conn.close()


def stamp(path: Path, version: str) -> None:
    """Pretend that another version of the program wrote this database."""
    conn = sqlite3.connect(path)
    conn.execute("UPDATE alembic_version SET version_num = ?", (version,))
    conn.commit()
    conn.close()


@pytest.mark.parametrize("mode", ["read", "write", "create"])
def test_a_newer_database_is_refused(database: Path, mode: str) -> None:
    """An older program never touches a newer program's database."""
    stamp(database, "9999")
    before = database.read_bytes()
    with pytest.raises(errors.NewerSchema):
        opened(database, mode)
    assert database.read_bytes() == before


def test_an_older_database_is_not_upgraded_by_reading(database: Path) -> None:
    """A report on an older database says what to do instead of doing it."""
    stamp(database, "0000")
    with pytest.raises(errors.OlderSchema):
        opened(database, "read")


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be a user who may not write everywhere: tests often run as root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_read_only_folder_is_refused(database: Path) -> None:
    """Without the right to write, writing is refused with its reason, reading works, and nothing changes."""
    folder = Path(tempfile.mkdtemp())
    try:
        shutil.copy(database, folder / "a.db")
        (folder / "a.db").chmod(0o444)
        folder.chmod(0o555)
        before = (folder / "a.db").read_bytes()
        with unprivileged():
            with pytest.raises(errors.ReadOnly):
                opened(folder / "a.db", "write")
            with pytest.raises(errors.ReadOnly):
                opened(folder / "new.db")
            reader = opened(folder / "a.db", "read")
            with reader.read() as conn:
                assert summary.read(conn).accounts["known"] == 2
            reader.close()
        assert (folder / "a.db").read_bytes() == before
        assert [file.name for file in folder.iterdir()] == ["a.db"]
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)


def test_a_damaged_file_is_named_as_such(database: Path) -> None:
    """A page overwritten with noise ends in Corrupt, not in a traceback of the driver."""
    with database.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 4000)
    with pytest.raises(errors.DatabaseError):
        opened(database, "read")


def test_reading_leaves_the_file_as_it_was(database: Path) -> None:
    """A reader cannot write, and the file's bytes stay the same."""
    before = database.read_bytes()
    db = opened(database, "read")
    with db.read() as conn:
        assert summary.read(conn).accounts["known"] == 2
    with pytest.raises(errors.ReadOnly), db.read() as conn:
        conn.exec_driver_sql("DELETE FROM accounts")
    db.close()
    assert database.read_bytes() == before


def test_what_a_killed_writer_committed_is_read(database: Path, tmp_path: Path) -> None:
    """A write-ahead log left behind belongs to the database: readers and writers see what it holds."""
    db = opened(database, "write")
    db.transact(lambda conn: conn.exec_driver_sql("INSERT INTO meta VALUES ('left', 'in the log')"))
    copy = tmp_path / "killed.db"
    shutil.copy(database, copy)
    shutil.copy(f"{database}-wal", f"{copy}-wal")
    db.close()
    for mode in ("read", "write"):
        again = opened(copy, mode)
        with again.read() as conn:
            assert conn.exec_driver_sql("SELECT value FROM meta WHERE key = 'left'").scalar() == "in the log"
        again.close()


def test_one_crawler_at_a_time(database: Path) -> None:
    """The second claim on a database is refused until the first is closed."""
    first, second = opened(database, "write"), opened(database, "write")
    first.claim()
    with pytest.raises(errors.LockedByCrawl):
        second.claim()
    first.close()
    second.claim()
    second.close()


def test_another_writer_is_named_after_a_while(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write lock held by somebody else ends in Busy, not in waiting for ever."""
    monkeypatch.setattr("storage.driver.BUSY_TIMEOUT_S", 0.1)
    other = sqlite3.connect(database, isolation_level=None)
    db = opened(database, "write")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(errors.Busy):
        db.transact(lambda conn: conn.exec_driver_sql("DELETE FROM meta"))
    other.execute("ROLLBACK")
    other.close()
    db.close()


def test_the_tables_are_those_of_the_schema(tmp_path: Path) -> None:
    """Migrations from nothing lead to exactly the tables and indexes that the program believes in."""
    import sqlalchemy as sa

    opened(tmp_path / "a.db").close()
    engine = sa.create_engine("sqlite://")
    schema.metadata.create_all(engine)

    def shape(conn: Any) -> dict[str, str]:
        rows = conn.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'alembic%'"))
        return {name: " ".join(str(sql).split()).lower() for name, sql in rows if sql}

    with engine.connect() as expected, sa.create_engine(f"sqlite:///{tmp_path}/a.db").connect() as found:
        assert shape(found) == shape(expected)


def test_head_is_the_last_migration() -> None:
    """The version the program expects is the one its migrations lead to."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(schema.__file__).parent / "migrations"))
    assert script.get_current_head() == schema.HEAD


def add(conn: Any, items: Sequence[int]) -> list[int]:
    """Insert numbers; refuse the number 13."""
    for item in items:
        conn.exec_driver_sql("INSERT INTO meta VALUES (?, 'x')", (str(item),))
    if 13 in items:
        raise ValueError("13")
    return [item * 2 for item in items]


def test_units_that_wait_are_committed_together(tmp_path: Path) -> None:
    """Many units at once take far fewer transactions, each gets its own result, and a failing one fails alone."""
    sizes: list[int] = []

    class Counting(ThreadWriter):
        def commit(self, batch: Sequence[Any]) -> list[Any]:
            sizes.append(len(batch))
            return super().commit(batch)

    db = Database.open(tmp_path / "a.db", now=now, writer=Counting)

    async def main() -> list[Any]:
        return await asyncio.gather(*(db.submit(add, item) for item in range(100)), return_exceptions=True)

    results = asyncio.run(main())
    assert [result for result in results if not isinstance(result, ValueError)] == [
        n * 2 for n in range(100) if n != 13
    ]
    assert isinstance(results[13], ValueError)
    assert sum(sizes) == 100
    assert len(sizes) < 50
    with db.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM meta").scalar() == 99
    db.close()


def test_what_waits_is_committed_by_halves_until_the_writer_is_behind(tmp_path: Path) -> None:
    """Of twenty who always wait ten are committed together, so that they part; after eight commits in a row all are."""
    sizes: list[int] = []
    are_waiting = threading.Event()

    class Fed(ThreadWriter):
        def commit(self, batch: Sequence[Any]) -> list[Any]:
            are_waiting.wait(30)
            sizes.append(len(batch))
            if len(sizes) < 12:  # whoever is committed asks again
                asyncio.run_coroutine_threadsafe(submit(len(batch)), loop).result(30)
            return super().commit(batch)

    db = Database.open(tmp_path / "a.db", now=now, writer=Fed)
    loop = asyncio.new_event_loop()
    waiting: list[asyncio.Future[int]] = []

    numbers = itertools.count(1000)
    is_fed = asyncio.Event()

    async def submit(count: int) -> None:
        waiting.extend([asyncio.ensure_future(db.submit(add, next(numbers))) for _ in range(count)])
        await asyncio.sleep(0)
        if len(sizes) == 11:
            is_fed.set()

    async def main() -> None:
        await submit(20)
        are_waiting.set()
        await is_fed.wait()
        await asyncio.gather(*waiting)

    loop.run_until_complete(main())
    loop.close()
    db.close()
    assert sizes[1:10] == [10] * 7 + [20, 20]


def test_closing_finishes_what_was_submitted(tmp_path: Path) -> None:
    """Units submitted before the close are committed, also when nobody waits for them any more."""
    db = Database.open(tmp_path / "a.db", now=now, writer=ThreadWriter)

    async def main() -> None:
        for item in range(50):
            task = asyncio.ensure_future(db.submit(add, item + 100))
            await asyncio.sleep(0)
            task.cancel()

    asyncio.run(main())
    db.close()
    reader = opened(tmp_path / "a.db", "read")
    with reader.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM meta").scalar() == 50
    reader.close()


def test_a_command_waits_for_the_writer_and_the_writer_for_a_command(tmp_path: Path) -> None:
    """What runs on another thread and the writer's units take turns: they share the one connection."""
    db = Database.open(tmp_path / "a.db", now=now, writer=ThreadWriter)
    is_in, may_end = threading.Event(), threading.Event()
    order: list[str] = []

    def held(conn: Any) -> None:
        is_in.set()
        may_end.wait(30)
        order.append("held")

    async def both() -> None:
        with ThreadPoolExecutor(1) as pool:
            beside = pool.submit(db.transact, held)
            assert await asyncio.to_thread(is_in.wait, 30)
            waiting = asyncio.ensure_future(db.write(lambda conn: order.append("written")))
            await asyncio.sleep(0.2)
            may_end.set()
            await waiting
            beside.result(30)

    asyncio.run(both())
    db.close()
    assert order == ["held", "written"]


@pytest.mark.parametrize("way", ["symlink", "hardlink", "without the lock file"])
def test_another_name_is_no_other_database(tmp_path: Path, way: str) -> None:
    """One file is claimed once, whatever name leads to it, and also after its lock file was deleted."""
    path, other = tmp_path / "a.db", tmp_path / "other.db"
    with closing(opened(path)) as first:
        first.claim()
        match way:
            case "symlink":
                other.symlink_to(path)
            case "hardlink":
                other.hardlink_to(path)
            case _:
                other = path
                Path(f"{path}.lock").unlink()
        with pytest.raises(errors.LockedByCrawl):
            lock.take(other)
    lock.take(other).release()


def test_a_database_from_elsewhere_becomes_private(database: Path) -> None:
    """A database that others could read is its owner's only once we write to it; a reader changes nothing."""
    database.chmod(0o644)
    opened(database, "read").close()
    assert stat.S_IMODE(database.stat().st_mode) == 0o644
    opened(database, "write").close()
    assert stat.S_IMODE(database.stat().st_mode) == 0o600


def test_the_log_gives_the_disk_back_what_a_long_reading_made_it_take(tmp_path: Path) -> None:
    """It cannot be folded in while somebody reads an older state; once nobody does, it is cut to its usual length."""
    path, log = tmp_path / "a.db", tmp_path / "a.db-wal"
    db = opened(path)

    def write() -> None:
        work = "UPDATE meta SET value = hex(randomblob(1000000)) WHERE key = 'big'"
        db.transact(lambda conn: conn.exec_driver_sql(work))

    db.transact(lambda conn: conn.exec_driver_sql("INSERT INTO meta VALUES ('big', '')"))
    with db.read() as conn:
        conn.exec_driver_sql("SELECT count(*) FROM meta").all()
        for _ in range(15):
            write()
        assert log.stat().st_size > 25_000_000
    for _ in range(3):
        write()
    assert log.stat().st_size <= 16_000_000
    db.close()
