from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import rehearsal

if TYPE_CHECKING:
    from conftest import Run, Shell, Simulate


def test_a_backup(run: Run, tmp_path: Path) -> None:
    """The JSON says what is in the copy, the text what it does not hold, and the copy is readable by its owner only."""
    run("seed", "@a", "@b")
    ran = run("backup", "copy.db", "--json")
    assert ran.code == 0, ran.err
    size = (tmp_path / "copy.db").stat().st_size
    expected = {"schema": 1, "path": "copy.db", "bytes": size, "accounts": 2, "edges": 0, "pages": 0}
    assert ran.document == expected
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    told = run("backup", "second.db")
    assert "2 accounts" in told.out
    assert "buys them again" in told.out


def test_nothing_is_overwritten(run: Run, tmp_path: Path) -> None:
    """A file that exists is kept, with exit code 2 and a hint; so is the database itself."""
    run("seed", "@a")
    (tmp_path / "mine").write_text("mine")
    for place in ("mine", "followgraph.db"):
        ran = run("backup", place)
        assert ran.code == 2
        assert "exists already" in ran.err
        assert "another place" in ran.err
    assert (tmp_path / "mine").read_text() == "mine"
    assert run("status").code == 0


def test_a_backup_is_noted_and_no_export_replaces_it(run: Run, tmp_path: Path) -> None:
    """It stands on the list beside the database, inside its folder by its relative path, and is nobody's to replace."""
    run("seed", "@a")
    assert run("backup", "copy.db").code == 0
    [line] = (tmp_path / "followgraph.db.outputs.jsonl").read_text().splitlines()
    noted = json.loads(line)
    assert (noted["kind"], noted["level"], [*noted["files"]]) == ("backup", "raw", ["copy.db"])
    before = (tmp_path / "copy.db").read_bytes()
    assert run("export", "--format", "edgelist", "--output", "copy.db").code == 2
    assert (tmp_path / "copy.db").read_bytes() == before


def test_a_place_that_is_none(run: Run) -> None:
    """A folder that is not there is bad input, not a fault."""
    run("seed", "@a")
    ran = run("backup", "no/where.db", "--json")
    assert ran.code == 2
    assert ran.document["error"]["code"] == "output_not_writable"


def test_no_database(run: Run, tmp_path: Path) -> None:
    """Where there is no database, none is made and nothing is written."""
    ran = run("backup", "copy.db")
    assert ran.code == 5
    assert list(tmp_path.iterdir()) == []


def test_backups_in_the_middle_of_a_crawl(run: Run, shell: Shell, simulate: Simulate, tmp_path: Path) -> None:
    """Copies made while a crawl's process runs are sound, and a crawl goes on from one after the first was killed."""
    url = simulate("--accounts", "1500", "--latency", "20")
    crawl = ("crawl", "--seed", "u1", "--seed", "u2", "--budget", "2500", "--api-url", url, "--json")
    process = shell(*crawl, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    database = tmp_path / "followgraph.db"
    documents: list[dict[str, Any]] = []
    try:
        for number in range(4):
            while _pages(database) < 20 + 40 * number:
                assert process.poll() is None, process.communicate()
                time.sleep(0.02)
            ran = run("backup", f"copy{number}.db", "--json")
            assert ran.code == 0, ran.err
            documents.append(ran.document)
    finally:
        process.kill()
        process.communicate()
    pages = [document["pages"] for document in documents]
    assert pages == sorted(pages)
    assert pages[0] >= 20
    for number, document in enumerate(documents):
        copy = tmp_path / f"copy{number}.db"
        assert rehearsal.findings(copy) == []
        state = rehearsal.state(copy)
        assert (state.pages, state.edges) == (document["pages"], document["edges"])
    stored = rehearsal.rows(tmp_path / "copy3.db", "SELECT count(*) FROM ledger WHERE outcome = 'settled'")
    for name in ("followgraph.db", "followgraph.db-wal", "followgraph.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "copy3.db").rename(database)
    ran = run("crawl", "--budget", "400", "--api-url", url, "--json")
    assert ran.code == 0, ran.err
    assert ran.document["stop_reason"] == "budget_exhausted"
    assert ran.document["pages"] > stored[0][0]
    assert rehearsal.findings(database) == []


def _pages(path: Path) -> int:
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as conn:
            return int(conn.execute("SELECT count(*) FROM ledger WHERE outcome = 'settled'").fetchone()[0])
    except sqlite3.Error:  # it is being made
        return 0


@pytest.mark.parametrize("arguments", [(), ("a.db", "b.db")])
def test_one_place(run: Run, arguments: tuple[str, ...]) -> None:
    """A backup goes to one place."""
    assert run("backup", *arguments).code == 2
