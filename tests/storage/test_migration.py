"""Older databases are led to the newest schema after a copy; newer and foreign ones keep every byte."""

from __future__ import annotations

import resource
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier, Timer

import pytest
import rehearsal
from study import Study, facts

from crawler.replay import replay
from socialfetch.simulator import network
from storage import errors, lock, schema
from storage.database import Database


def now() -> float:
    """Return a fixed time."""
    return 1_750_000_000.0


@pytest.mark.parametrize("mode", ["write", "create"])
def test_a_restored_newer_database_keeps_every_byte(tmp_path: Path, mode: str) -> None:
    """A newer program's database without a write-ahead log, as a backup is, is refused before anything is written."""
    study = Study(tmp_path / "a.db", "a")
    study.visit("a", facts("x"))
    study.db.close()
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '9999'")
        conn.execute("PRAGMA journal_mode = DELETE")
    before = (tmp_path / "a.db").read_bytes()
    with pytest.raises(errors.NewerSchema):
        # The mode is a literal there, a parameter here.
        Database.open(tmp_path / "a.db", now=now, mode=mode)  # type: ignore[arg-type]
    assert (tmp_path / "a.db").read_bytes() == before


@pytest.mark.parametrize("mode", ["write", "create"])
def test_another_programs_database_keeps_every_byte(tmp_path: Path, mode: str) -> None:
    """A SQLite file that is not ours is not even switched to a write-ahead log."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("CREATE TABLE theirs (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(errors.NotADatabase):
        # The mode is a literal there, a parameter here.
        Database.open(path, now=now, mode=mode)  # type: ignore[arg-type]
    assert path.read_bytes() == before


SCHEMAS = Path(__file__).parent / "schemas"
RELEASED = sorted(path.stem for path in SCHEMAS.glob("*.sql"))


def released(path: Path, version: str) -> Path:
    """Make a database as the program that was released with this schema left it."""
    with closing(sqlite3.connect(path)) as conn:
        conn.executescript((SCHEMAS / f"{version}.sql").read_text())
        conn.execute("PRAGMA journal_mode = WAL")
    return path


def content(path: Path) -> list[str]:
    """Return everything in a database as text."""
    with closing(sqlite3.connect(path)) as conn:
        return list(conn.iterdump())


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows of every table but the schema's version."""
    with closing(sqlite3.connect(path)) as conn:
        names = [row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: conn.execute(f"SELECT * FROM {name}").fetchall() for name in names if name != "alembic_version"}


def backups(path: Path) -> list[Path]:
    """Return the copies beside a database."""
    return sorted(path.parent.glob(f"{path.name}.*.backup"))


def test_every_released_schema_has_its_dump() -> None:
    """A migration cannot be added without a real database of the schema before it."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(schema.__file__).parent / "migrations"))
    older = sorted(revision.revision for revision in script.walk_revisions() if revision.revision != schema.HEAD)
    assert [version for version in RELEASED if version != schema.HEAD] == older


@pytest.mark.parametrize("version", RELEASED)
def test_an_older_database_is_upgraded_after_a_copy(tmp_path: Path, version: str) -> None:
    """Every row is still there, the checks find nothing, and the copy beside it is the database as it was."""
    path = released(tmp_path / "a.db", version)
    before, rows = content(path), tables(path)
    Database.open(path, now=now).close()
    after = tables(path)
    for name, old in rows.items():  # columns are only ever added, at the end
        assert [row[: len(before)] for row, before in zip(after[name], old, strict=True)] == old
    [copy] = backups(path)
    assert copy.name == f"a.db.schema-{version}.{int(now())}.backup"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert content(copy) == before
    assert rehearsal.rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert rehearsal.findings(path) == []
    Database.open(path, now=now).close()
    assert backups(path) == [copy]


def definitions(path: Path) -> dict[str, object]:
    """Return what every table and index of a database is, however it was written."""
    with closing(sqlite3.connect(path)) as conn:
        found: dict[str, object] = {}
        for kind, name, sql in conn.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master"):
            if kind == "table":
                columns = conn.execute(f"PRAGMA table_info({name})").fetchall()
                references = sorted(row[2:] for row in conn.execute(f"PRAGMA foreign_key_list({name})"))
                found[name] = (columns, references, "WITHOUT ROWID" in sql, "CHECK" in sql)
            else:
                found[name] = " ".join(sql.split())
        return found


@pytest.mark.parametrize("version", RELEASED)
def test_migrations_lead_to_what_a_new_database_is(tmp_path: Path, version: str) -> None:
    """Column by column in the same order, with the same keys, defaults and indexes."""
    old, new = released(tmp_path / "old.db", version), tmp_path / "new.db"
    for path in (old, new):
        Database.open(path, now=now).close()
    assert definitions(old) == definitions(new)


@pytest.mark.parametrize("version", RELEASED)
def test_a_crawl_goes_on_with_an_upgraded_database(tmp_path: Path, version: str) -> None:
    """What a killed crawl of the released program left is taken up: its leases uncertain, no page bought again."""
    path = released(tmp_path / "a.db", version)
    with closing(sqlite3.connect(path)) as conn:
        bought = set(conn.execute("SELECT account_id, cursor FROM ledger WHERE outcome = 'settled'"))
    api = rehearsal.service(network.generate(60, rng_seed=5))
    result = rehearsal.go(path, api, budget=5_000)
    assert result.stop_reason == "frontier_empty"
    assert rehearsal.rows(path, "SELECT count(*) FROM frontier WHERE state = 1") == [(0,)]
    again = rehearsal.rows(
        path, "SELECT account_id, cursor FROM ledger WHERE outcome = 'settled' GROUP BY 1, 2 HAVING count(*) > 1"
    )
    assert bought.isdisjoint(again)
    assert rehearsal.findings(path) == []


@pytest.mark.parametrize("version", RELEASED)
def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path, version: str) -> None:
    """An error in the middle of the migrations leaves every table as it was, and the copy in its place."""
    path = released(tmp_path / "a.db", version)
    with closing(sqlite3.connect(path)) as conn, conn:
        is_there = conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'budget_changes'").fetchone()
        by_hand = "ALTER TABLE budget_changes ADD COLUMN used" if is_there else "CREATE TABLE budget_changes (id)"
        conn.execute(by_hand)
    before = content(path)
    with pytest.raises(errors.UpgradeFailed, match=r"could not be upgraded.*\.backup"):
        Database.open(path, now=now)
    assert content(path) == before
    [copy] = backups(path)
    assert content(copy) == before


def test_no_upgrade_while_a_crawl_works(tmp_path: Path) -> None:
    """A crawl of the older program keeps its tables: the upgrade is refused, nothing is written."""
    path = released(tmp_path / "a.db", RELEASED[0])
    before = content(path)
    held = lock.take(path)
    with pytest.raises(errors.LockedByCrawl):
        Database.open(path, now=now)
    held.release()
    assert content(path) == before
    assert backups(path) == []


def test_no_upgrade_where_no_copy_fits(tmp_path: Path) -> None:
    """Without room for the copy nothing is upgraded."""
    path = released(tmp_path / "a.db", RELEASED[0])
    before = content(path)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, limit[1]))
    try:
        with pytest.raises(errors.DatabaseError):
            Database.open(path, now=now)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert content(path) == before
    assert backups(path) == []
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []


@pytest.mark.parametrize("version", RELEASED)
def test_an_upgraded_database_is_replayed(tmp_path: Path, version: str) -> None:
    """Of a crawl that was not continued with other settings the journal, inferred or not, tells all.

    What today's program measures of a list is known in the replay only.
    """
    path = released(tmp_path / "a.db", version)
    Database.open(path, now=now).close()
    source = Database.open(path, now=now, mode="read")
    target = Database.open(tmp_path / "b.db", now=now)
    done = replay(source, target)
    source.close()
    target.close()
    old, new = tables(path), tables(tmp_path / "b.db")
    assert done.inferred == sum("inferred" in str(row[3]) for row in old["journal"])
    assert (done.inferred > 0) == (version == "0001")
    with closing(sqlite3.connect(path)) as conn:
        columns = [row[1] for row in conn.execute("PRAGMA table_info(visits)")]
    del old["rereads"], new["rereads"]  # what reading a list again showed, older programs did not write
    measured = {columns.index(name) for name in ("hits", "rate", "log_followers", "order_score", "order_tests")}
    for found in (old, new):
        found["meta"].sort()  # facts by key, in the order in which they were first known
        found["visits"] = [tuple(v for at, v in enumerate(row) if at not in measured) for row in found["visits"]]
    assert new == old


def test_many_begin_with_the_same_new_file(tmp_path: Path) -> None:
    """Each finds it new and makes the tables; the first does, and all go on with them."""
    crowd = 4
    for number in range(4):
        path, ready = tmp_path / f"{number}.db", Barrier(crowd)

        def begin(path: Path = path, ready: Barrier = ready) -> None:
            ready.wait()
            Database.open(path, now=now).close()

        with ThreadPoolExecutor(crowd) as pool:
            for begun in [pool.submit(begin) for _ in range(crowd)]:
                begun.result()
        assert rehearsal.findings(path) == []


def test_a_file_without_a_log_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    """So is a restored backup, or a new file. SQLite by itself refuses at once to begin a log there."""
    path = tmp_path / "a.db"
    Database.open(path, now=now).close()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN IMMEDIATE")
        ending = Timer(0.3, other.execute, ["COMMIT"])
        ending.start()
        Database.open(path, now=now).close()
        ending.join()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
