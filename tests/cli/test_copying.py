"""`followgraph copy`: what it says, what it refuses, and that who is forgotten later is looked for in copies too."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rehearsal
from people import popular, study
from postgres_server import Postgres

if TYPE_CHECKING:
    from conftest import Run


@pytest.fixture
def place(postgres: Postgres) -> Iterator[str]:
    """Give the address of a database without a table."""
    made = postgres.fresh()
    yield postgres.url(made)
    postgres.drop(made)


@pytest.fixture
def crawled(tmp_path: Path) -> Path:
    """The database of a small study."""
    return study(tmp_path, accounts=60, budget=20)


def test_a_study_moves_to_a_server_and_back(run: Run, crawled: Path, place: str, tmp_path: Path) -> None:
    """Each copy is compared, says what to do next, and is the study: status and checks say the same. No password is
    shown."""
    before = run("--db", crawled, "status", "--json").document
    there = run("--db", crawled, "copy", "--to", place.replace("postgres@", "postgres:hidden@"), "--json")
    assert there.code == 0, there.err
    told = there.document
    assert "hidden" not in there.out + there.err
    assert (told["from"], told["verified"]) == (str(crawled), True)
    assert (told["accounts"], told["edges"], told["pages"]) == (before["accounts"]["known"], before["edges"], 20)
    assert told["rows"] == sum(told["tables"].values())
    assert told["tables"]["ledger"] == 20
    back = run("--db", place, "copy", "--to", "b.db")
    assert back.code == 0, back.err
    assert "each as in the database" in back.out
    assert "followgraph --db b.db status" in back.out
    assert (tmp_path / "b.db").stat().st_mode & 0o777 == 0o600
    for other in (place, "b.db"):
        found = run("--db", other, "status", "--json").document
        assert {key: found[key] for key in ("accounts", "edges", "frontier", "totals", "runs")} == {
            key: before[key] for key in ("accounts", "edges", "frontier", "totals", "runs")
        }
        assert run("--db", other, "doctor").code == 0


def test_what_is_in_the_way(run: Run, crawled: Path, tmp_path: Path) -> None:
    """A place that holds something, an empty study, an unfinished copy of another: exit 2, what to do, nothing done."""
    run("--db", "other.db", "seed", "someone")
    run("--db", "empty.db", "optout", "--file", "/dev/null")
    for target, said in (("other.db", "other.db is not empty"), (crawled, "is the database that is to be copied")):
        ran = run("--db", crawled, "copy", "--to", target, "--json")
        assert ran.code == 2
        assert said in ran.document["error"]["message"]
        assert "a file that does not exist yet" in ran.document["error"]["hint"]
    assert run("--db", "other.db", "status", "--json").document["accounts"]["known"] == 1
    assert not (tmp_path / "study" / "a.db.outputs.jsonl").exists()


@pytest.mark.parametrize(
    "command",
    [("status",), ("crawl", "--budget", "5"), ("seed", "x"), ("report",), ("backup", "c.db"), ("copy", "--to", "c.db"),
     ("doctor",), ("doctor", "--repair"), ("forget", "x"), ("export", "--format", "csv", "--output", "e")],
)  # fmt: skip
def test_an_unfinished_copy_is_no_study(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Every other command says what it is and what to do, with exit code 2, and leaves it alone."""
    run("--db", "half.db", "seed", "someone")
    with closing(sqlite3.connect("half.db")) as conn, conn:
        conn.execute("UPDATE alembic_version SET version_num = 'copying 0123456789abcdef01234567'")
    before = (tmp_path / "half.db").read_bytes()
    key = {"SOCIALFETCH_API_KEY": "sfk_x"} if command[0] == "crawl" else {}  # with one doctor asks the provider
    ran = run("--db", "half.db", *command, environ={**key, "HOME": str(tmp_path / "home")})
    assert ran.code == 2, ran.err + ran.out
    assert "unfinished copy" in ran.err + ran.out
    assert "Go on with the `followgraph copy`" in ran.err + ran.out
    assert (tmp_path / "half.db").read_bytes() == before
    assert not (tmp_path / "c.db").exists()


def test_who_is_forgotten_may_be_in_a_copy(run: Run, crawled: Path, place: str, tmp_path: Path) -> None:
    """A copy in a file and one on a server are named, with what to do; a copy knows what was made before the move."""
    home = {"HOME": str(tmp_path / "home")}
    assert run("--db", crawled, "export", "--format", "csv", "--output", "made").code == 0
    (tmp_path / "copies").mkdir()
    for target in (place, "copies/b.db"):
        assert run("--db", crawled, "copy", "--to", target).code == 0
    person = popular(crawled)
    forgotten = run("--db", crawled, "forget", f"@{person}", "--json", environ=home).document
    found = {each["path"]: (each["kind"], each["state"]) for each in forgotten["exports"]}
    assert found[place] == ("copy", "elsewhere")
    assert found[str(tmp_path / "copies" / "b.db")] == ("copy", "there")
    assert str(tmp_path / "made" / "follows.csv") in found
    in_the_copy = run("--db", "copies/b.db", "forget", f"@{person}", "--json", environ=home).document
    found = {each["path"]: each["kind"] for each in in_the_copy["exports"]}
    assert found[str(crawled)] == "original"
    assert found[place] == "copy"
    assert str(tmp_path / "made" / "follows.csv") in found
    assert str(tmp_path / "copies" / "b.db") not in found
    told = run("--db", crawled, "forget", f"@{person}", environ=home).out
    assert "copied back to a file" in told


def test_who_is_kept_out_stays_out(run: Run, crawled: Path, place: str, tmp_path: Path) -> None:
    """Keyed hashes and receipts go along; the copy says what it needs of the project key."""
    home = {"HOME": str(tmp_path / "home")}
    person = popular(crawled)
    assert run("--db", crawled, "forget", f"@{person}", environ=home).code == 0
    ran = run("--db", crawled, "copy", "--to", place)
    assert ran.code == 0, ran.err
    assert "1 kept out there too" in ran.out
    seeded = run("--db", place, "seed", person, "--json", environ=home)
    assert json.dumps(seeded.document["rejected"]).count(person) == 1 or seeded.document["added"] == 0
    assert rehearsal.rows(place, "SELECT count(*) FROM receipts") == [(1,)]
