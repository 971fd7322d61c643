"""Copies are of one moment, whole, private, and never in the place of something else."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest
import rehearsal
from study import Study, facts

from socialfetch.simulator import network
from storage import backup, errors
from storage.database import Database

SMALL = network.generate(200, rng_seed=3)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database of a crawl."""
    path = tmp_path / "a.db"
    rehearsal.go(path, rehearsal.service(SMALL), seeds=["u1", "u2"], budget=30)
    return path


def content(path: Path) -> list[str]:
    """Return everything in a database as text."""
    with closing(sqlite3.connect(path)) as conn:
        return list(conn.iterdump())


def test_a_copy_is_the_database(database: Path, tmp_path: Path) -> None:
    """Row for row, readable by its owner only, in one file, and told in numbers."""
    copied = backup.copy(database, tmp_path / "copy.db")
    state = rehearsal.state(database)
    assert (copied.accounts, copied.edges, copied.pages) == (state.accounts["known"], state.edges, state.pages)
    assert copied.bytes == (tmp_path / "copy.db").stat().st_size
    assert content(tmp_path / "copy.db") == content(database)
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    assert {file.name for file in tmp_path.iterdir()} == {"a.db", "a.db.lock", "copy.db"}
    assert rehearsal.findings(tmp_path / "copy.db") == []


@pytest.mark.parametrize("kind", ["file", "folder", "broken link"])
def test_nothing_is_overwritten(database: Path, tmp_path: Path, kind: str) -> None:
    """Whatever stands there is left alone."""
    place = tmp_path / "taken"
    if kind == "file":
        place.write_text("mine")
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to("nowhere")
    with pytest.raises(errors.PlaceTaken):
        backup.copy(database, place)
    assert kind != "file" or place.read_text() == "mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.db", "a.db.lock", "taken"]


def test_a_place_that_is_none(database: Path, tmp_path: Path) -> None:
    """A folder that is not there is named."""
    with pytest.raises(errors.PlaceNotWritable, match="nowhere"):
        backup.copy(database, tmp_path / "nowhere" / "copy.db")


def test_a_copy_while_others_write_is_of_one_moment(tmp_path: Path) -> None:
    """Every copy made beside a writer is sound and holds a state that was committed, no half of one."""
    study = Study(tmp_path / "a.db", *(f"s{number}" for number in range(40)), budget=1_000)
    done = threading.Event()
    copies = []

    def copying() -> None:
        while not done.is_set() and len(copies) < 20:
            copies.append(backup.copy(tmp_path / "a.db", tmp_path / f"copy{len(copies)}.db"))

    beside = threading.Thread(target=copying)
    beside.start()
    for number in range(40):
        study.visit(f"s{number}", *(facts(f"x{number}-{each}") for each in range(20)))
    done.set()
    beside.join()
    study.db.close()
    assert copies
    for copied in copies:
        assert (copied.edges, copied.accounts) == (20 * copied.pages, 40 + 20 * copied.pages)
        assert rehearsal.findings(copied.path) == []


def test_what_only_the_log_holds_is_copied(tmp_path: Path) -> None:
    """What a killed writer left in the write-ahead log is in the copy."""
    study = Study(tmp_path / "a.db", "a")
    study.visit("a", facts("x"))
    assert (tmp_path / "a.db-wal").stat().st_size > 0
    copied = backup.copy(tmp_path / "a.db", tmp_path / "copy.db")
    assert copied.pages == 1
    study.db.close()


def test_a_damaged_database_is_not_copied_as_if_it_were_sound(database: Path, tmp_path: Path) -> None:
    """The copy is checked: damage is said, and no file stands there."""
    [(page,)] = rehearsal.rows(database, "SELECT rootpage FROM sqlite_master WHERE name = 'visits'")
    with database.open("r+b") as file:
        file.seek((page - 1) * 4096 + 8)
        file.write(b"\xa5" * 4000)
    with pytest.raises(errors.DatabaseError, match="damaged"):
        backup.copy(database, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []


def test_a_crawl_goes_on_from_a_copy(database: Path, tmp_path: Path) -> None:
    """Put in the place of the database, a copy is crawled on: what was bought since is bought again, nothing else."""
    api = rehearsal.service(SMALL)
    path = tmp_path / "b.db"
    rehearsal.go(path, api, seeds=["u1", "u2"], budget=30)
    backup.copy(path, tmp_path / "copy.db")
    rehearsal.go(path, api, budget=20)
    since = {page for page, times in api.ledger.pages.items() if times == 1}
    (tmp_path / "copy.db").replace(path)
    stored = {
        f"{handle}|{cursor}"
        for handle, cursor in rehearsal.rows(
            path, "SELECT handle, cursor FROM ledger JOIN accounts a ON a.id = account_id WHERE outcome = 'settled'"
        )
    }
    assert len(since - stored) == 20
    result = rehearsal.go(path, api, budget=100_000)
    assert result.stop_reason == "frontier_empty"
    twice = {page for page, times in api.ledger.pages.items() if times > 1}
    assert twice == since - stored
    assert rehearsal.findings(path) == []
    assert rehearsal.edges(path) == rehearsal.follows(api, ["u1", "u2"])


def test_a_copy_on_a_read_only_folder_is_read(database: Path, tmp_path: Path) -> None:
    """A copy is one file without a log, so that it can be read where nothing can be written."""
    backup.copy(database, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_bytes()[18:20] == b"\x01\x01"
    reader = Database.open(tmp_path / "copy.db", now=lambda: 0.0, mode="read")
    reader.close()
    assert not (tmp_path / "copy.db-wal").exists()
    assert os.access(tmp_path / "copy.db", os.R_OK)
