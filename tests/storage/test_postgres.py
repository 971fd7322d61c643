"""A database on a server: who may use it, in which order it is written, and what a lost connection means."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from postgres_server import Postgres
from proxy import Network
from storages import empty

from storage import errors, runs, schema
from storage.database import Database
from storage.driver import file_of
from storage.writer import InlineWriter, ThreadWriter


def now() -> float:
    """Return a fixed time."""
    return 1_750_000_000.0


@pytest.fixture
def place(postgres: Postgres) -> Iterator[str]:
    """Give the address of an empty database with all tables."""
    name = postgres.fresh(of=empty(postgres))
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def bare(postgres: Postgres) -> Iterator[str]:
    """Give the address of a database without tables."""
    name = postgres.fresh()
    yield postgres.url(name)
    postgres.drop(name)


def test_without_the_driver_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL is an extra: who lacks it is told so, and how to get it."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(errors.DatabaseError, match="needs the package psycopg") as caught:
        Database.open("postgresql://nobody@127.0.0.1:1/none", now=now)
    assert "pip install 'followgraph[postgres]'" in caught.value.hint


@pytest.mark.parametrize(
    ("address", "kind", "words"),
    [
        ("postgresql://u:secret@127.0.0.1:1/none", errors.Cut, "does not answer"),
        ("postgresql://u:secret@127.0.0.1", errors.BadAddress, "names no database"),
        ("postgresql://u:secret@127.0.0.1:port/none", errors.BadAddress, "cannot be read"),
        ("postgresql://u:secret@secret@127.0.0.1/none", errors.BadAddress, "more than one @"),
        ("postgresql://u:secret@127.0.0.1:1/none?foo=1", errors.BadAddress, 'invalid connection option "foo"'),
        ("postgresql://u:secret@127.0.0.1:1/none?sslmode=bogus", errors.BadAddress, 'invalid sslmode value: "bogus"'),
        ("mysql://u:secret@127.0.0.1/none", errors.BadAddress, "mysql:// is not a database"),
    ],
)
def test_an_address_that_leads_nowhere(address: str, kind: type[errors.DatabaseError], words: str) -> None:
    """What is wrong is said without the password."""
    with pytest.raises(kind, match=words) as caught:
        Database.open(address, now=now)
    assert "secret" not in f"{caught.value}{caught.value.hint}"


def test_a_database_that_was_not_made(postgres: Postgres) -> None:
    """Tables are made by us, a database by its owner."""
    with pytest.raises(errors.MissingDatabase, match="no database of this name") as caught:
        Database.open(postgres.url("never_made"), now=now)
    assert "createdb" in caught.value.hint


def test_only_create_makes_tables(bare: str) -> None:
    """A database without tables is none to who wants to read or to go on."""
    for mode in ("read", "write"):
        with pytest.raises(errors.MissingDatabase):
            # The mode is a literal there, a parameter here.
            Database.open(bare, now=now, mode=mode)  # type: ignore[arg-type]
    Database.open(bare, now=now).close()
    Database.open(bare, now=now, mode="read").close()


def at_once(work: Callable[[], None]) -> None:
    """Do the same on four threads; none of them fails."""
    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(work) for _ in range(4)]:
            each.result()


def test_two_that_make_the_tables_at_once(bare: str) -> None:
    """One makes them, the other finds them."""
    at_once(lambda: Database.open(bare, now=now).close())


def execute(place: str, sql: str) -> list[Any]:
    """Run a statement as another program would."""
    import psycopg

    with psycopg.connect(place) as conn:
        done = conn.execute(sql)
        return done.fetchall() if done.description else []


def test_another_programs_tables_are_left_alone(bare: str) -> None:
    """Tables that have our names and are not ours are refused; others in the same database are no matter."""
    execute(bare, "CREATE TABLE theirs (id int)")
    execute(bare, "CREATE TABLE accounts (id int)")
    with pytest.raises(errors.NotADatabase, match="accounts"):
        Database.open(bare, now=now)
    assert execute(bare, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(2,)]
    execute(bare, "DROP TABLE accounts")
    Database.open(bare, now=now).close()


def test_a_newer_programs_tables_are_left_alone(place: str) -> None:
    """They are neither read nor written."""
    execute(place, "UPDATE alembic_version SET version_num = '9999'")
    for mode in ("read", "write", "create"):
        with pytest.raises(errors.NewerSchema):
            Database.open(place, now=now, mode=mode)  # type: ignore[arg-type]  # as above


def test_readers_cannot_write_and_see_one_state(place: str) -> None:
    """What is committed meanwhile is not seen, and nothing can be changed."""
    db = Database.open(place, now=now)
    with db.read() as conn:
        count = "SELECT count(*) FROM meta"
        before = conn.exec_driver_sql(count).scalar_one()
        db.transact(partial(runs.keep, key="a", value="b"))
        assert conn.exec_driver_sql(count).scalar_one() == before
        with pytest.raises(sa.exc.DBAPIError, match="read-only"):
            conn.exec_driver_sql("DELETE FROM meta")
    db.close()


def test_texts_are_sorted_by_their_bytes_and_ids_have_no_gaps(place: str) -> None:
    """As in a file, whatever the server's language, and although a transaction was rolled back."""
    db = Database.open(place, now=now)
    for handle in ("b", "B", "é", "_"):
        db.transact(lambda conn, handle=handle: _account(conn, handle))

    def fails(conn: sa.Connection) -> None:
        _account(conn, "z")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        db.transact(fails)
    db.transact(lambda conn: _account(conn, "a"))
    with db.read() as conn:
        found = conn.execute(sa.select(schema.accounts.c.handle).order_by(schema.accounts.c.handle)).scalars().all()
        assert found == ["B", "_", "a", "b", "é"]
        assert conn.execute(sa.select(sa.func.max(schema.accounts.c.id))).scalar_one() == 5
    db.close()


def _account(conn: sa.Connection, handle: str) -> None:
    conn.execute(sa.insert(schema.accounts).values(handle=handle, first_seen_at=0, updated_at=0))


def test_writers_take_turns(place: str) -> None:
    """Sums that are read, changed and written by many at once lose nothing, and nobody waits in a circle."""
    execute(place, "INSERT INTO meta VALUES ('sum', '0')")

    def add(conn: sa.Connection) -> None:
        runs.keep(conn, "sum", str(int(runs.recall(conn, "sum") or 0) + 1))

    def work() -> None:
        db = Database.open(place, now=now)
        for _ in range(25):
            db.transact(add)
        db.close()

    at_once(work)
    assert execute(place, "SELECT value FROM meta WHERE key = 'sum'") == [("100",)]


def signed(place: str, writer: Callable[[sa.Engine], Any]) -> tuple[Database, sa.Engine]:
    """Open a database as a crawl does, and return the engine that its writer got as well."""
    engines: list[sa.Engine] = []

    def made(engine: sa.Engine) -> Any:
        engines.append(engine)
        return writer(engine)

    db = Database.open(place, now=now, writer=made)
    db.sign_as(db.transact(partial(runs.enrol, run_id=1, host="here", pid=1, now=now())))
    return db, engines[0]


def cut(conn: sa.Connection) -> None:
    """End the connection to the server under a transaction."""
    opened: Any = conn.connection.driver_connection
    with socket.socket(fileno=os.dup(opened.fileno())) as found:
        found.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_commit_whose_answer_is_lost_counts_once(place: str, is_committed: bool) -> None:
    """The server knows whether it went through: then its results stand, else it is done again; never twice."""
    db, engine = signed(place, ThreadWriter)
    left = [1]

    @sa.event.listens_for(engine, "commit")
    def _lose(conn: sa.Connection) -> None:
        if left and left.pop():
            if is_committed:
                conn.connection.driver_connection.commit()
            cut(conn)

    def add(conn: sa.Connection) -> str:
        value = str(int(runs.recall(conn, "sum") or 0) + 1)
        runs.keep(conn, "sum", value)
        return value

    async def write() -> str:
        db.be_patient(30.0, lambda _: None)
        return await db.write(add)

    assert asyncio.run(write()) == "1"
    db.close()
    assert execute(place, "SELECT value FROM meta WHERE key = 'sum'") == [("1",)]


def test_a_connection_lost_amid_a_transaction_is_made_again(place: str) -> None:
    """Nothing of it was written; it runs again on a new connection."""
    db, _ = signed(place, ThreadWriter)
    runs_made = []

    def work(conn: sa.Connection) -> int:
        runs_made.append(1)
        runs.keep(conn, f"run {len(runs_made)}", "x")
        if len(runs_made) == 1:
            cut(conn)
            runs.keep(conn, "more", "x")
        return len(runs_made)

    async def write() -> int:
        db.be_patient(30.0, lambda _: None)
        return await db.write(work)

    assert asyncio.run(write()) == 2
    db.close()
    assert execute(place, "SELECT key FROM meta") == [("run 2",)]


def test_who_says_nothing_amid_a_transaction_loses_its_turn(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that was stopped keeps the others from writing for a while only, and nothing it wrote stays."""
    monkeypatch.setattr("storage.postgres.IDLE_S", 1)
    slow, _ = signed(place, InlineWriter)
    quick, _ = signed(place, InlineWriter)
    others: list[threading.Thread] = []

    def stopped(conn: sa.Connection) -> None:
        runs.keep(conn, "slow", "x")
        thread = threading.Thread(target=quick.transact, args=[partial(runs.keep, key="quick", value="x")])
        thread.start()
        others.append(thread)
        thread.join(60)
        assert not thread.is_alive()
        runs.keep(conn, "slow", "y")

    with pytest.raises(errors.Cut):
        slow.transact(stopped)
    assert others
    slow.close()
    quick.close()
    assert execute(place, "SELECT key FROM meta") == [("quick",)]


def test_a_connection_that_hangs_is_given_up_and_one_that_thinks_is_not(postgres: Postgres, place: str) -> None:
    """What the server never got, or had answered, is written on another connection; long thoughts are left alone."""
    with Network(postgres.port).up() as network:
        db, _ = signed(postgres.url(place.rpartition("/")[2], port=network.port), ThreadWriter)
        db.be_patient(60.0, lambda _: None)
        tries: list[str] = []

        def keep(conn: sa.Connection, key: str) -> None:
            tries.append(key)
            runs.keep(conn, key, "x")
            if key == "thoughtful":
                time.sleep(2.0)
            runs.keep(conn, key, "y")

        async def write(key: str) -> None:
            async with asyncio.timeout(30.0), asyncio.TaskGroup() as group:
                writing = group.create_task(db.write(partial(keep, key=key)))
                while not writing.done():
                    await db.pulse(lambda conn: conn.exec_driver_sql("SELECT 1").scalar_one())
                    await asyncio.sleep(0.3)

        network.stall(Random(1), 0.9999, 300.0)  # the writer's: whoever comes later goes through
        time.sleep(0.2)
        asyncio.run(write("hanging"))
        asyncio.run(write("thoughtful"))
        assert tries[-1] == "thoughtful" != tries[-2]
        db.close()
    assert sorted(execute(place, "SELECT key, value FROM meta")) == [("hanging", "y"), ("thoughtful", "y")]


def test_what_is_about_files_says_so(place: str) -> None:
    """The sentence names the database without a password, and the tools that do it on a server."""
    db = Database.open(place, now=now, mode="read")
    with pytest.raises(errors.NeedsFile, match="SQLite files only") as caught:
        _ = db.path
    assert "pg_dump" in caught.value.hint
    db.close()
    with pytest.raises(errors.NeedsFile):
        file_of("postgresql://u:secret@127.0.0.1/a")
