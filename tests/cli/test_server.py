"""The commands with a database on a server: what they do as with a file, what they tell of a crew, what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from postgres_server import Postgres
from storages import empty
from study import Study, facts

from storage.database import Database

if TYPE_CHECKING:
    from conftest import Run, Simulate


@pytest.fixture
def place(postgres: Postgres) -> Iterator[str]:
    """Give the address of an empty database with all tables."""
    name = postgres.fresh(of=empty(postgres))
    yield postgres.url(name)
    postgres.drop(name)


def test_a_study_from_seed_to_report(run: Run, simulate: Simulate, place: str) -> None:
    """Seeds, a crawl to the last credit, what it brought, the checks, an export and a report: as with a file."""
    url = simulate("--accounts", "60", "--rng-seed", "2")
    crawl = ("crawl", "--seed", "u1", "--budget", "12", "--api-url", url, "--rng-seed", "3", "--concurrency", "1")
    done = run("--db", place, "--json", *crawl)
    assert done.code == 0, done.err
    assert done.document["stop_reason"] == "budget_exhausted"
    assert done.document["credits"] == {"budget": 12, "charged": 12, "uncertain": 0, "reserved": 0, "remaining": 0}
    in_file = run("--db", "a.db", "--json", *crawl).document
    assert {name: done.document[name] for name in ("accounts", "edges", "frontier")} == {
        name: in_file[name] for name in ("accounts", "edges", "frontier")
    }
    assert run("--db", place, "doctor").code == 0
    for name in (place, "a.db"):
        target = f"{'server' if name == place else 'file'}.tsv"
        assert run("--db", name, "export", "--format", "edgelist", "--output", target).code == 0
    assert Path("server.tsv").read_bytes() == Path("file.tsv").read_bytes()
    assert run("--db", place, "report", "--output", "report").code == 0


def test_status_tells_of_every_crawler(run: Run, place: str) -> None:
    """Who is at work, since when, what each has bought and holds; one that is silent is said to be."""
    study = Study(place, "a", "b", "c", budget=9)
    study.visit("a", facts("x"))
    study.lease()
    study.begin(None)
    study.lease()
    study.db.transact(
        lambda conn: conn.exec_driver_sql("UPDATE processes SET heartbeat_at = 1, pages = 1 WHERE id = 1")
    )
    study.db.close()
    found = run("--db", place, "status", "--json").document
    first, second = found["crawlers"]
    assert (first["is_silent"], first["share"], first["pages"], first["leases"]) == (True, 0.0, 1, 1)
    assert (second["is_silent"], second["share"], second["leases"], second["host"]) == (False, 1.0, 1, "here")
    assert found["is_crawling"]
    shown = run("--db", place, "status").out
    assert "silent" in shown
    assert "at work" in shown


@pytest.mark.parametrize(
    "command",
    [("backup", "copy.db"), ("doctor", "--repair"), ("daemon", "--budget-per-day", "5"), ("forget", "a"),
     ("snapshot", "s"), ("policy", "purge")],
)  # fmt: skip
def test_what_is_about_files_is_refused(run: Run, place: str, command: tuple[str, ...]) -> None:
    """One sentence says why, another what to do instead; nothing is changed. So for a daemon that would delete."""
    Study(place, "a").db.close()
    environ = {"SOCIALFETCH_API_KEY": "sfk_of_the_tests", "FOLLOWGRAPH_POLICY__KEEP_DAYS": "30"}
    done = run("--db", place, "--json", *command, environ=environ)
    assert done.code == 5, done.err
    assert "SQLite files only" in done.err + done.out
    assert "Traceback" not in done.err
    with_one = Database.open(place, now=lambda: 0.0, mode="read")
    with with_one.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM accounts").scalar_one() == 1
    with_one.close()


def test_a_study_on_a_server_is_replayed_into_a_file(run: Run, simulate: Simulate, place: str, tmp_path: Path) -> None:
    """Its archive is read; the new database is noted beside the study, so that `forget` can name it."""
    run("--db", place, "seed", "u1")
    assert run("--db", place, "crawl", "--budget", "20", "--api-url", simulate("--accounts", "50")).code == 0
    done = run("--db", "again.db", "replay", "--from", place, "--json")
    assert done.code == 0, done.err
    assert done.document["pages"] == 20
    [noted] = tmp_path.rglob("*.postgresql.outputs.jsonl")
    assert "again.db" in noted.read_text()
    into = run("--db", place, "replay", "--from", "again.db", "--json")
    assert into.code == 5
    assert "SQLite files only" in into.document["error"]["message"]


def test_a_password_is_never_shown(run: Run, place: str) -> None:
    """Neither where the database is named, nor where it cannot be reached."""
    shown = run("--db", place.replace("postgres@", "postgres:hidden@"), "status")
    lost = run("--db", "postgresql://me:hidden@127.0.0.1:1/none", "status")
    assert lost.code == 5
    assert "hidden" not in shown.out + shown.err + lost.out + lost.err
