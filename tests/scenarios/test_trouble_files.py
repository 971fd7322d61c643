"""Disks that are full, files that are locked, refused, left over, cut short or damaged: none loses a committed page.

Each trouble is made for real, on a file, by a process.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest
import rehearsal
from aftermath import (
    DATABASE,
    Provider,
    check_going_on,
    check_ledgers,
    check_words,
    crawling,
    ending,
    limited,
    provider,
    reachable,
    stored_pages,
    wait_for_pages,
)
from processes import environment, result, run, start
from rehearsal import edges, findings, rows, state

from socialfetch.simulator import network
from storage.driver import BUSY_TIMEOUT_S
from storage.errors import Corrupt


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of eight megabytes; skips the test where nothing may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up_ends_the_crawl_before_anything_is_lost(small_disk: Path) -> None:
    """A crawl leaves off while the answers in flight still fit, and the next buys nothing where there is no room."""
    database = small_disk / DATABASE
    with provider(latency_s=0.005) as api:
        check_words(run(crawling(api.url), cwd=small_disk), 5, "the disk is full", "Free some space")
        stored, charged = stored_pages(database), api.charged
        assert len(stored) == charged > 0
        fill(small_disk / "filler", leave=2_000_000)
        check_words(run(crawling(api.url), cwd=small_disk), 5, "the disk is full", "MB needed")
        assert api.charged == charged
        check_ledgers(database, api.pages)
        assert [(run.reserved, run.uncertain) for run in state(database).runs] == [(0, 0)]
        subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
        check_going_on(api, small_disk, stored=stored)


def test_a_disk_that_is_suddenly_full_costs_what_was_in_flight(small_disk: Path) -> None:
    """Another program takes all that is left: the crawl ends with 5, reading works, trying again buys nothing."""
    database = small_disk / DATABASE
    with provider(latency_s=0.05) as api, ending(start(crawling(api.url), cwd=small_disk)) as process:
        wait_for_pages(database, 10, process)
        fill(small_disk / "filler")
        out, err = process.communicate(timeout=300)
        check_words(subprocess.CompletedProcess([], process.returncode, out, err), 5, "the disk is full", "Free some")
        stored, charged = stored_pages(database), api.charged
        status = run(["--json", "status"], cwd=small_disk)
        check_words(status, 0)
        assert result(status)["pages"] == len(stored)
        check_words(run(crawling(api.url), cwd=small_disk), 5, "the disk is full")
        assert api.charged == charged
        check_ledgers_of_the_unfinished(database, api)
        (small_disk / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
        check_going_on(api, small_disk, stored=stored)


def fill(path: Path, *, leave: int = 0) -> None:
    """Write zeros until the disk has no more than so many bytes left."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while shutil.disk_usage(path.parent).free > leave or not leave:
            file.write(bytes(4096))


def check_ledgers_of_the_unfinished(database: Path, api: Provider) -> None:
    """Check the ledgers while leases of a dead process are open: their credits are reserved, not yet uncertain."""
    found = state(database)
    reserved = sum(run.reserved for run in found.runs)
    assert reserved == found.frontier["leased"]
    assert found.charged <= api.charged <= found.charged + found.uncertain + reserved
    assert findings(database) == []


def test_a_limit_on_the_size_of_files_ends_the_crawl_in_words(tmp_path: Path) -> None:
    """A file that may not grow ends the crawl with 5 and a sentence that does not deny what was spent before."""
    database = tmp_path / DATABASE
    with provider(latency_s=0.005) as api:
        done = limited(crawling(api.url), cwd=tmp_path, limit=(resource.RLIMIT_FSIZE, 600_000))
        check_words(done, 5, "the disk refused a read or a write", "What was committed before is safe.")
        stored = stored_pages(database)
        assert stored
        assert api.charged > 0
        check_ledgers_of_the_unfinished(database, api)
        check_going_on(api, tmp_path, stored=stored)


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    """Another program that locks the database for longer than SQLite waits delays the crawl; no paid page is lost."""
    database = tmp_path / DATABASE
    with provider(latency_s=0.1) as api, ending(start(crawling(api.url), cwd=tmp_path)) as process:
        wait_for_pages(database, 10, process)
        with held(database):
            time.sleep(1.0)
            calls = api.charged
            time.sleep(BUSY_TIMEOUT_S + 0.5)
            assert api.charged == calls  # every worker waits for its commit
            assert process.poll() is None, process.communicate()
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert '"frontier_empty"' in out
        assert err.count("database.waited") == err.count("another program keeps the database locked") == 1
        assert set(api.pages.values()) == {1}
        assert edges(database) == reachable()
        check_ledgers(database, api.pages)


def test_a_lock_for_ever_ends_the_crawl_soon(tmp_path: Path) -> None:
    """The crawl gives up with 5 after --max-wait, once for all that waited, and goes on when the lock is gone."""
    database = tmp_path / DATABASE
    many = "--concurrency", "100", "--max-wait", "3s"
    with provider(latency_s=0.2) as api, ending(start(crawling(api.url, *many), cwd=tmp_path)) as process:
        wait_for_pages(database, 10, process)
        with held(database):
            before = time.monotonic()
            out, err = process.communicate(timeout=300)
            seconds = time.monotonic() - before
        check_words(subprocess.CompletedProcess([], process.returncode, out, err), 5, "keeps the database locked")
        assert seconds < 100
        stored = stored_pages(database)
        check_ledgers_of_the_unfinished(database, api)
        check_going_on(api, tmp_path, stored=stored)


@contextmanager
def held(database: Path) -> Iterator[None]:
    """Hold the write lock by another connection."""
    conn = sqlite3.connect(database, isolation_level=None, timeout=30)
    try:
        conn.execute("BEGIN IMMEDIATE")
        yield
        conn.execute("ROLLBACK")
    finally:
        conn.close()


def bound_by_modes() -> list[str]:
    """Return the words before a command that make permissions hold for it: they mean nothing to the superuser."""
    if os.geteuid() != 0:
        return []
    words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if shutil.which("setpriv") is None or subprocess.run([*words, "true"], check=False).returncode:
        pytest.skip("permissions cannot be made to hold for the superuser here")
    return words


def start_bound(arguments: Sequence[str], *, cwd: Path) -> subprocess.Popen[str]:
    """Start the command as somebody to whom permissions apply."""
    return subprocess.Popen(
        [*bound_by_modes(), sys.executable, "-m", "cli.main", *arguments],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_bound(arguments: Sequence[str], *, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end as somebody to whom permissions apply."""
    with ending(start_bound(arguments, cwd=cwd)) as process:
        out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_turns_read_only_under_a_crawl_loses_nothing(tmp_path: Path, what: str) -> None:
    """A crawl ends well although its file or folder turned read-only; the next is refused with 5 until it may write."""
    study = tmp_path / "study"
    study.mkdir()
    database = study / DATABASE
    place, mode = (database, 0o400) if what == "file" else (study, 0o500)
    with (
        provider(latency_s=0.02) as api,
        ending(start_bound(crawling(api.url, budget=150), cwd=study)) as process,
    ):
        wait_for_pages(database, 10, process)
        usual = place.stat().st_mode
        place.chmod(mode)
        try:
            out, err = process.communicate(timeout=300)
            assert process.returncode in {0, 5}, err
            check_words(subprocess.CompletedProcess([], process.returncode, out, err), process.returncode)
            status = run_bound(["--json", "status"], cwd=study)
            check_words(status, 0)
            stored = stored_pages(database)
            assert len(stored) == result(status)["pages"] >= 10
            charged = api.charged
            refused = run_bound(crawling(api.url), cwd=study)
            check_words(refused, 5, "cannot be written", "Make the file and its folder writable")
            assert api.charged == charged
        finally:
            place.chmod(usual)
        check_going_on(api, study, stored=stored)


def killed(api: Provider, *, cwd: Path, pages: int) -> set[str]:
    """Kill a crawl that has stored so many pages; returns those that it has stored."""
    with ending(start(crawling(api.url), cwd=cwd)) as process:
        wait_for_pages(cwd / DATABASE, pages, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return stored_pages(cwd / DATABASE)


def test_what_a_kill_leaves_in_the_log_is_seen_by_all(tmp_path: Path) -> None:
    """Pages that a killed process left in the write-ahead log are seen by readers, checks and the next crawl."""
    database = tmp_path / DATABASE
    with provider(latency_s=0.02) as api:
        stored = killed(api, cwd=tmp_path, pages=30)
        log = Path(f"{database}-wal")
        assert log.stat().st_size > 0
        alone = tmp_path / "alone"
        alone.mkdir()
        shutil.copy(database, alone)
        assert stored_pages(alone / DATABASE) < stored, "the log held nothing that the file had not"
        status = run(["--json", "status"], cwd=tmp_path)
        assert result(status)["pages"] == len(stored)
        assert log.stat().st_size > 0  # looking at it did not alter it
        check_words(run(["--json", "doctor", "--api-url", api.url], cwd=tmp_path), 0, "sound")
        check_going_on(api, tmp_path, stored=stored)


def test_a_log_that_can_be_read_only_is_read_all_the_same(tmp_path: Path) -> None:
    """After a kill, in a folder that may not be written, status still shows every committed page."""
    study = tmp_path / "study"
    study.mkdir()
    with provider(latency_s=0.02) as api:
        stored = killed(api, cwd=study, pages=30)
    study.chmod(0o500)
    try:
        status = run_bound(["--json", "status"], cwd=study)
    finally:
        study.chmod(0o700)
    check_words(status, 0)
    assert result(status)["pages"] == len(stored)


FRAME = 24 + 4096
HEADER = 32


def cuts(size: int, rng: Random) -> list[int]:
    """Return where a log of this many bytes is cut: its edges, inside its header, around frames, anywhere."""
    frames = (size - HEADER) // FRAME
    middle = HEADER + FRAME * (frames // 2)
    places = [0, 1, HEADER - 1, HEADER, HEADER + 1, middle - 1, middle, middle + 25, size - FRAME, size - 1, size]
    return places + [rng.randrange(size) for _ in range(13)]


def commits(log: bytes) -> list[int]:
    """Return ends of transactions, spread over the log: a frame that ends one has the size of the file, others 0."""
    ends = [at + FRAME for at in range(HEADER, len(log) - FRAME + 1, FRAME) if struct.unpack_from(">I", log, at + 4)[0]]
    return ends[:: max(1, len(ends) // 10)]


def test_a_log_cut_short_anywhere_is_sound_and_goes_on(tmp_path: Path) -> None:
    """Wherever a power loss cuts the write-ahead log, what is left is whole: no broken invariant, no page in part."""
    rng = Random(11)
    with provider(latency_s=0.02) as api:
        stored = killed(api, cwd=tmp_path, pages=60)
        database = tmp_path / DATABASE
        log, shared = Path(f"{database}-wal"), Path(f"{database}-shm")
        folded = struct.unpack_from("=I", shared.read_bytes(), 96)[0]
        assert folded == 0, "frames were folded into the file already: a cut before them is no power loss"
        size = log.stat().st_size
        study = tmp_path / "cut"
        seen = set()
        for number, cut in enumerate([*cuts(size, rng), *commits(log.read_bytes())]):
            study.mkdir()
            shutil.copy(database, study)
            # What follows the cut: nothing, or what stood on the disk before.
            rest = rng.randbytes(size - cut) if number % 2 else b""
            (study / log.name).write_bytes(log.read_bytes()[:cut] + rest)
            left = study / DATABASE
            kept = stored_pages(left)
            seen.add(len(kept))
            assert kept <= stored
            if kept:
                assert findings(left) == []
                assert rows(left, "SELECT sum(pages) FROM visits") == [(len(kept),)]
            if number in GOES_ON:
                check_going_on_after_a_lying_disk(api, study, kept)
            shutil.rmtree(study)
        assert len(seen) > 5
        assert max(seen) == len(stored)


GOES_ON = (0, 6, 15)
"""Of the cuts: nothing is left, the middle, anywhere. A whole crawl after each would take too long."""


def check_going_on_after_a_lying_disk(api: Provider, study: Path, kept: set[str]) -> None:
    """Crawl to the end: what was lost is bought again, what was kept is not, and the budget holds by our ledger."""
    before = api.pages
    done = run(crawling(api.url), cwd=study)
    check_words(done, 0)
    outcome = result(done)
    assert outcome["stop_reason"] == "frontier_empty"
    assert outcome["credits"]["remaining"] >= 0
    after = api.pages
    assert {page: after[page] for page in kept} == {page: before[page] for page in kept}
    assert edges(study / DATABASE) == reachable()
    assert findings(study / DATABASE) == []


def damage(database: Path, table: str) -> None:
    """Overwrite the first page of a table with noise."""
    conn = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        [(root,)] = conn.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchall()
    finally:
        conn.close()
    with database.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(Random(1).randbytes(4096))


def test_a_damaged_page_is_told_by_every_command(tmp_path: Path) -> None:
    """With a page overwritten every command ends with 5 and says so, no credit is spent, and the backup goes on."""
    database = tmp_path / DATABASE
    with provider() as api:
        check_words(run(crawling(api.url, budget=120), cwd=tmp_path), 0)
        stored = stored_pages(database)
        check_words(run(["backup", "backup.db"], cwd=tmp_path), 0)
        damage(database, "follows")
        charged = api.charged
        doctor = run(["--json", "doctor", "--api-url", api.url], cwd=tmp_path)
        check_words(doctor, 5, "the file is damaged", "the last backup")
        for command in (["--json", "status"], ["report", "--output", "report"], crawling(api.url)):
            done = run(command, cwd=tmp_path)
            check_words(done, 5, "the database file is damaged", DATABASE, "replay --from")
            assert "is safe" not in done.stdout + done.stderr
        assert api.charged == charged
        shutil.copy(tmp_path / "backup.db", database)
        check_going_on(api, tmp_path, stored=stored)


@pytest.mark.parametrize("table", ["accounts", "frontier", "runs", "ledger", "visits"])
def test_damage_stops_a_crawl_wherever_it_is(tmp_path: Path, table: str) -> None:
    """Whichever table is damaged, the checks find it and a crawl ends as Corrupt, having lost no other page."""
    path = tmp_path / "a.db"
    api = rehearsal.service(network.generate(200, rng_seed=2))
    rehearsal.go(path, api, seeds=["u1"], budget=60)
    before = api.ledger.charged
    damage(path, table)
    assert [problem.code for problem in findings(path)] == ["integrity"]  # nothing else is asked of such a file
    with pytest.raises(Corrupt):
        rehearsal.go(path, api, budget=60)
    assert api.ledger.charged - before <= 20
