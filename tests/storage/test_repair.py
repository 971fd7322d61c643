"""A repair mends what is safe, after a copy; a crawl goes on with what it leaves, and no credit is ever forgotten."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import rehearsal
from dying import Died, dying

from crawler.strategies.registry import NAMES
from socialfetch.simulator import network
from storage import errors, lock
from storage.ranking import MIXED
from storage.repair import Repaired, repair

SMALL = network.generate(200, rng_seed=3)
SEEDS = ("u1", "u2", "u3")
RANKINGS = {*NAMES, MIXED}


def now() -> float:
    """Return a time after that of the crawls."""
    return 1_760_000_000.0


def crawled(path: Path, **more: Any) -> rehearsal.Service:
    """Crawl for fifty credits, some of them capped and some of them uncertain."""
    api = rehearsal.service(SMALL, faults={"lookup_failed_charged": 0.05})
    rehearsal.go(path, api, seeds=SEEDS, budget=20, max_pages_per_account=1, strategy="rank")
    rehearsal.go(path, api, budget=30, **more)
    return api


def killed(path: Path) -> rehearsal.Service:
    """Crawl and die with ten leases open."""
    api = rehearsal.service(SMALL)
    with suppress(Died):
        rehearsal.go(path, api, seeds=SEEDS, budget=60, concurrency=10, strategy="rank", writer=dying(45))
    assert rehearsal.state(path).frontier["leased"] == 10
    return api


def damage(path: Path, sql: str) -> None:
    """Change a database by hand."""
    with closing(sqlite3.connect(path)) as conn:
        conn.executescript(sql)


def mended(path: Path) -> Repaired:
    """Repair."""
    return repair(path, now=now, rankings=RANKINGS)


def content(path: Path) -> list[str]:
    """Return everything in a database as text."""
    with closing(sqlite3.connect(path)) as conn:
        return list(conn.iterdump())


def copies(path: Path) -> list[Path]:
    """Return the copies beside a database."""
    return sorted(path.parent.glob(f"{path.name}.*.backup"))


def finished(path: Path, api: rehearsal.Service) -> None:
    """Crawl to the end and see that everything that can be reached is there and all books agree."""
    result = rehearsal.go(path, api, budget=100_000, new_run=True, strategy="flow")
    assert result.stop_reason == "frontier_empty"
    assert rehearsal.findings(path) == []
    state = rehearsal.state(path)
    assert state.charged <= api.ledger.charged <= state.charged + state.uncertain


def test_a_sound_database_is_left_alone(tmp_path: Path) -> None:
    """Nothing is copied and nothing is written where nothing is wrong."""
    path = tmp_path / "a.db"
    crawled(path)
    before = content(path)
    done = mended(path)
    assert (done.copy, list(done.mended), list(done.left)) == (None, [], [])
    assert content(path) == before
    assert copies(path) == []


SAFE = [
    ("UPDATE runs SET charged = charged + 3, pages = 0, errors = 99", "run_sums"),
    ("UPDATE runs SET uncertain = -5", "run_sums"),
    ("UPDATE runs SET reserved = 17", "run_sums"),
    ("UPDATE frontier SET cursor = 'old' WHERE state = 2 AND completeness = 'complete'", "stale_cursors"),
    ("UPDATE frontier SET lease_process = 1 WHERE state = 2", "lease_leftovers"),
    ("UPDATE frontier SET state = 5, not_before = NULL WHERE state = 0", "never_due"),
    ("UPDATE frontier SET depth = depth + 5 WHERE depth > 0", "too_deep"),
    ("UPDATE meta SET value = 'dice' WHERE key = 'ranked_by'", "ranking_unknown"),
    ("DELETE FROM frontier WHERE visit_id IS NULL AND account_id % 3 = 0", "accounts_without_entry"),
]


@pytest.mark.parametrize(("sql", "code"), SAFE)
def test_what_is_safe_is_mended(tmp_path: Path, sql: str, code: str) -> None:
    """After a copy the finding is gone, a second repair finds nothing to do, and a crawl goes on to the end."""
    path = tmp_path / "a.db"
    api = crawled(path)
    damage(path, sql)
    before = content(path)
    done = mended(path)
    assert code in {each.code for each in done.mended}
    assert all(each.change for each in done.mended)
    assert list(done.left) == []
    assert done.copy is not None
    assert copies(path) == [done.copy.path]
    assert content(done.copy.path) == before
    assert done.copy.path.stat().st_mode & 0o777 == 0o600
    after = content(path)
    assert mended(path).copy is None
    assert content(path) == after
    finished(path, api)


def test_books_and_pages_are_never_touched(tmp_path: Path) -> None:
    """However much is mended: ledger, archive, visits and follows are row for row what they were."""
    path = tmp_path / "a.db"
    crawled(path)
    kept = ("ledger", "archive", "visits", "follows", "accounts")
    before = {name: rehearsal.rows(path, f"SELECT * FROM {name}") for name in kept}
    damage(path, ";".join(sql for sql, _ in SAFE))
    done = mended(path)
    assert len({each.code for each in done.mended}) == len({code for _, code in SAFE})
    assert {name: rehearsal.rows(path, f"SELECT * FROM {name}") for name in kept} == before


def test_entries_come_back_as_they_were(tmp_path: Path) -> None:
    """State, depth and completeness of entries that were lost are those that the rest of the file tells."""
    path = tmp_path / "a.db"
    crawled(path)
    asked = "SELECT account_id, state, depth, completeness, reason FROM frontier WHERE visit_id IS NULL AND state <> 3"
    before = rehearsal.rows(path, asked)
    damage(path, "DELETE FROM frontier WHERE visit_id IS NULL AND state <> 3")
    mended(path)
    assert rehearsal.rows(path, asked) == before


def test_a_list_half_read_is_left_and_said(tmp_path: Path) -> None:
    """Where the place to go on at is lost with the entry, nothing is guessed."""
    path = tmp_path / "a.db"
    crawled(path)
    damage(path, "DELETE FROM frontier WHERE visit_id IS NOT NULL")
    done = mended(path)
    assert {problem.code for problem in done.left} == {"accounts_without_entry", "visits_forgotten"}
    assert all(problem.remedy for problem in done.left)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE visits SET pages = pages + 1",
        "DELETE FROM ledger WHERE id = 3",
        "DELETE FROM accounts WHERE id = 9",
        "UPDATE visits SET ended_at = 1 WHERE ended_at IS NULL",
    ],
)
def test_what_is_not_safe_is_left(tmp_path: Path, sql: str) -> None:
    """What only a backup can bring back is not touched, and the finding stays."""
    path = tmp_path / "a.db"
    crawled(path)
    damage(path, f"{sql}; UPDATE runs SET reserved = 9")
    done = mended(path)
    assert any(problem.severity == "failure" for problem in done.left)
    assert not any(problem.is_mendable for problem in done.left if problem.code != "accounts_without_entry")


def test_leases_of_a_killed_crawl_are_taken_back_as_a_crawl_would(tmp_path: Path) -> None:
    """Each page in flight is uncertain, as after the next crawl's own start, and no stored page is bought again."""
    path, other = tmp_path / "a.db", tmp_path / "b.db"
    api = killed(path)
    killed(other)
    done = mended(path)
    assert [each.code for each in done.mended] == ["leases_of_the_dead"]
    assert list(done.left) == []
    rehearsal.go(other, rehearsal.service(SMALL), budget=None, deadline_s=0.0)
    calls = "SELECT run_id, visit_id, account_id, cursor, outcome, uncertain, cause FROM ledger WHERE uncertain > 0"
    assert rehearsal.rows(path, calls) == rehearsal.rows(other, calls)
    assert len(rehearsal.rows(path, calls)) == 10
    stored = {(row[0], row[1]) for row in rehearsal.rows(path, "SELECT account_id, cursor FROM ledger WHERE charged")}
    finished(path, api)
    again = rehearsal.rows(
        path, "SELECT account_id, cursor FROM ledger WHERE outcome = 'settled' GROUP BY 1, 2 HAVING count(*) > 1"
    )
    assert stored.isdisjoint(again)


def test_leases_of_nobody_are_never_taken_for_free(tmp_path: Path) -> None:
    """A lease whose process is not known may have been charged: it is queued again, its credit uncertain."""
    path = tmp_path / "a.db"
    api = killed(path)
    damage(path, "UPDATE frontier SET lease_process = NULL WHERE state = 1 AND account_id % 2")
    damage(path, "UPDATE frontier SET lease_process = 99 WHERE state = 1 AND account_id % 2 = 0")
    done = mended(path)
    assert list(done.left) == []
    assert rehearsal.state(path).uncertain == 10
    assert rehearsal.state(path).frontier["leased"] == 0
    finished(path, api)


def test_no_repair_while_a_crawl_works(tmp_path: Path) -> None:
    """The crawl's lock is respected: nothing is copied, nothing is written."""
    path = tmp_path / "a.db"
    crawled(path)
    damage(path, "UPDATE runs SET reserved = 9")
    before = content(path)
    held = lock.take(path)
    with pytest.raises(errors.LockedByCrawl):
        mended(path)
    held.release()
    assert content(path) == before
    assert copies(path) == []
    assert mended(path).mended


def test_a_damaged_file_is_not_written_to(tmp_path: Path) -> None:
    """Where SQLite itself says that the file is damaged, a repair leaves every byte of it."""
    path = tmp_path / "a.db"
    crawled(path)
    damage(path, "UPDATE runs SET reserved = 9")
    [(page,)] = rehearsal.rows(path, "SELECT rootpage FROM sqlite_master WHERE name = 'follows'")
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    before = path.read_bytes()
    done = mended(path)
    assert [problem.code for problem in done.left] == ["integrity"]
    assert path.read_bytes() == before


def test_a_copy_never_takes_anothers_name(tmp_path: Path) -> None:
    """Two repairs within one second make two copies."""
    path = tmp_path / "a.db"
    crawled(path)
    names = []
    for _ in range(2):
        damage(path, "UPDATE runs SET reserved = 9")
        done = mended(path)
        assert done.copy is not None
        names.append(done.copy.path.name)
    stem = f"a.db.before-repair.{int(now())}"
    assert names == [f"{stem}.backup", f"{stem}-1.backup"]


def test_depths_written_by_the_first_release_are_put_right(tmp_path: Path) -> None:
    """What the follows say of depth is the shortest way, for every account, after a repair."""
    path = tmp_path / "a.db"
    crawled(path)
    right = rehearsal.rows(path, "SELECT account_id, depth FROM frontier")
    damage(path, "UPDATE frontier SET depth = depth + account_id % 4 WHERE depth > 0")
    mended(path)
    assert rehearsal.rows(path, "SELECT account_id, depth FROM frontier") == right
