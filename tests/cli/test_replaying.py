from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import rehearsal

from socialfetch.simulator import network

if TYPE_CHECKING:
    from conftest import Run

SMALL = network.generate(200, rng_seed=3)


def crawled(path: Path, **options: bool) -> Path:
    """Crawl for forty credits."""
    rehearsal.go(path, rehearsal.service(SMALL), seeds=["u1", "u2"], budget=40, **options)
    return path


def content(path: Path) -> list[str]:
    """Return everything in a database as text, in no order."""
    with closing(sqlite3.connect(path)) as conn:
        return sorted(conn.iterdump())


def test_a_replay(run: Run, tmp_path: Path) -> None:
    """The new database is the old one, made of its archive alone; the JSON tells both sides."""
    source = crawled(tmp_path / "old.db")
    before = source.read_bytes()
    ran = run("replay", "--from", "old.db", "--db", "new.db", "--json")
    assert ran.code == 0, ran.err
    assert content(tmp_path / "new.db") == content(source)
    assert source.read_bytes() == before
    document = ran.document
    assert document["path"] == "new.db"
    assert document["calls"] == document["pages"] == 40
    assert document["credits"]["charged"] == 40
    assert document["inferred"] == 0
    assert {name: document[name] for name in document["before"]} == document["before"]
    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600
    beside = ["new.db", "old.db", "old.db.lock", "old.db.outputs.jsonl"]
    assert sorted(file.name for file in tmp_path.iterdir()) == beside
    assert run("status", "--db", "new.db", "--json").document["edges"] == document["edges"]


def test_what_a_person_reads(run: Run, tmp_path: Path) -> None:
    """The text names what was read and written and that nothing was spent."""
    crawled(tmp_path / "old.db")
    ran = run("replay", "--from", "old.db", "--db", "new.db")
    assert ran.code == 0, ran.err
    assert "40 calls, 40 pages" in ran.out
    assert "as many as in the other database" in ran.out
    assert "0 credits" in ran.out


def test_a_database_that_exists_is_never_written_over(run: Run, tmp_path: Path) -> None:
    """Neither a file that stands there nor the source itself: exit code 2."""
    crawled(tmp_path / "old.db")
    (tmp_path / "new.db").write_text("mine")
    for place in ("new.db", "old.db"):
        ran = run("replay", "--from", "old.db", "--db", place)
        assert ran.code == 2
        assert "exists already" in ran.err
    assert (tmp_path / "new.db").read_text() == "mine"


def test_without_an_archive(run: Run, tmp_path: Path) -> None:
    """What was crawled without an archive is refused with exit code 5, and nothing is left behind."""
    crawled(tmp_path / "old.db", archive=False)
    ran = run("replay", "--from", "old.db", "--db", "new.db", "--json")
    assert ran.code == 5
    assert ran.document["error"]["code"] == "nothing_archived"
    assert "storage.archive" in ran.document["error"]["hint"]
    assert [file.name for file in tmp_path.iterdir() if not file.name.startswith("old.db")] == []


def test_with_answers_missing(run: Run, tmp_path: Path) -> None:
    """How many answers are missing is said, with exit code 5."""
    crawled(tmp_path / "old.db")
    with closing(sqlite3.connect(tmp_path / "old.db")) as conn, conn:
        conn.execute("DELETE FROM archive WHERE ledger_id < 6")
    ran = run("replay", "--from", "old.db", "--db", "new.db")
    assert ran.code == 5
    assert "5 of 40 answers were not archived" in ran.err
    assert [file.name for file in tmp_path.iterdir() if not file.name.startswith("old.db")] == []


def test_without_a_source(run: Run, tmp_path: Path) -> None:
    """A source that is not there, or not named, makes no database."""
    assert run("replay", "--from", "none.db", "--db", "new.db").code == 5
    assert run("replay", "--db", "new.db").code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_source_older_than_its_journal(run: Run, tmp_path: Path) -> None:
    """An older database is upgraded first, which is said; then what was inferred is told."""
    dump = Path(__file__).parents[1] / "storage" / "schemas" / "0001.sql"
    with closing(sqlite3.connect(tmp_path / "old.db")) as conn:
        conn.executescript(dump.read_text())
    ran = run("replay", "--from", "old.db", "--db", "new.db")
    assert ran.code == 5
    assert "doctor --repair" in ran.err
    assert run("doctor", "--repair", "--db", "old.db").code == 0
    ran = run("replay", "--from", "old.db", "--db", "new.db", "--json")
    assert ran.code == 0, ran.err
    assert ran.document["inferred"] > 0
    for table in ("accounts", "follows", "ledger", "archive"):
        query = f"SELECT * FROM {table} ORDER BY 1, 2"
        assert rehearsal.rows(tmp_path / "new.db", query) == rehearsal.rows(tmp_path / "old.db", query)
