"""The kill test in short, and that it would see what it looks for."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import rehearsal
from books import Books, Tally
from processes import ROOT, environment
from table import text
from task import Task

from socialfetch.simulator import network

HERE = Path(__file__).parent


def torture(*arguments: str) -> str:
    """Run the kill test to its end; returns what it printed."""
    done = subprocess.run(
        # How fast it goes on is measured by `make torture`: beside other tests there is no telling.
        [sys.executable, str(HERE / "torture.py"), "--go-on", "60", *arguments],
        env=environment(PYTHONPATH=f"{ROOT}:{ROOT / 'tests' / 'support'}"),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_kills_at_random_moments_break_no_promise() -> None:
    """Eight kills of the command on a real graph: nothing lost or bought again, budget kept, all in flight listed."""
    printed = torture("--kills", "8", "--seed", "3", "--budget", "700", "--commits", "none")
    assert printed.startswith("**8 kills, every promise kept**"), printed


def test_a_death_at_a_commit_breaks_no_promise() -> None:
    """A crawl killed before or after one of its commits is ended by the next process, and the ledgers agree."""
    printed = torture("--kills", "0", "--commits", "few")
    kills = next(line for line in printed.splitlines() if line.startswith("| processes killed"))
    _, _, _, before, after, _, _ = (cell.strip() for cell in kills.split("|"))
    assert int(before) > 7, printed
    assert int(after) > 7, printed


FOLLOWS = [("u1", f"u{number}") for number in range(2, 30)] + [("u2", "u1"), ("u2", "u3"), ("u3", "u4")]
LISTS = {source: frozenset(b for a, b in FOLLOWS if a == source) for source in ("u1", "u2", "u3")}


class Evidence:
    """A finished crawl of four pages and its books, one of whose ledgers a test falsifies between two looks."""

    def __init__(self, path: Path, *, lists: dict[str, frozenset[str]] = LISTS, budget: int = 100) -> None:
        api = rehearsal.service(network.from_follows(FOLLOWS, rng_seed=1), rng_seed=1)
        rehearsal.go(path, api, seeds=["u1"], budget=100)
        self.path = path
        self.charged: dict[str, int] = {}
        task = Task(database=path, api_url="", seeds=["u1"], budget=budget, concurrency=3)
        self.books = Books("crawl", task, lambda: self.charged, lists)
        self.charged = dict(api.ledger.pages)

    def look(self) -> Tally:
        """Compare once more; returns the tally."""
        self.books.look(killed=True)
        return self.books.tally

    def falsify(self, *statements: str) -> None:
        """Change the database."""
        with closing(sqlite3.connect(self.path)) as conn, conn:
            for statement in statements:
                conn.execute(statement)

    def end(self) -> Tally:
        """Compare at the end; returns the tally."""
        self.books.close()
        return self.books.tally


def test_an_honest_crawl_has_no_finding(tmp_path: Path) -> None:
    """Two looks and the end of a crawl that went well find nothing."""
    evidence = Evidence(tmp_path / "a.db")
    evidence.look()
    evidence.look()
    assert evidence.end().findings == []
    assert evidence.books.pages == 4


def test_a_second_charge_for_a_stored_page_is_seen(tmp_path: Path) -> None:
    """A page that was settled at the last look and is charged again counts as bought again."""
    evidence = Evidence(tmp_path / "a.db")
    evidence.look()
    evidence.charged["u2|"] += 1
    assert evidence.look().bought_again == 1


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger WHERE id = 2",
        "UPDATE ledger SET charged = 0 WHERE id = 2",
        "DELETE FROM follows WHERE src = (SELECT id FROM accounts WHERE handle = 'u2')",
    ],
)
def test_a_lost_page_is_seen(tmp_path: Path, statement: str) -> None:
    """A settled row that went or changed, and a follow that went, count as lost."""
    evidence = Evidence(tmp_path / "a.db")
    evidence.look()
    evidence.falsify(statement)
    assert evidence.look().lost == 1


def test_a_page_without_its_follows_or_its_body_is_seen(tmp_path: Path) -> None:
    """A settled page whose follows or whose archived answer are not there counts as lost at the first look."""
    without_follow, without_body = Evidence(tmp_path / "a.db"), Evidence(tmp_path / "b.db")
    without_follow.falsify("DELETE FROM follows WHERE src = (SELECT id FROM accounts WHERE handle = 'u3')")
    without_body.falsify("DELETE FROM archive WHERE ledger_id = 2")
    assert without_follow.look().lost >= 1
    assert without_body.look().lost >= 1


def test_a_charge_that_is_nowhere_is_seen(tmp_path: Path) -> None:
    """A page that was charged and is neither stored, nor leased, nor listed as uncertain, is a finding."""
    evidence = Evidence(tmp_path / "a.db")
    evidence.charged["u9|"] = 1
    assert evidence.look().unlisted == 1


def test_a_page_in_flight_may_wait_for_the_next_start_but_no_longer(tmp_path: Path) -> None:
    """A charged page may be leased after the death; once the lease is gone it must be listed."""
    evidence = Evidence(tmp_path / "a.db")
    evidence.falsify(
        "UPDATE frontier SET state = 1 WHERE account_id = (SELECT id FROM accounts WHERE handle = 'u9')",
        "UPDATE runs SET reserved = 1",
    )
    evidence.charged["u9|"] = 1
    assert evidence.look().findings == []
    evidence.falsify("UPDATE frontier SET state = 0 WHERE state = 1", "UPDATE runs SET reserved = 0")
    assert evidence.look().unlisted == 1


def test_a_passed_budget_is_seen(tmp_path: Path) -> None:
    """Credits above the budget count, by the simulator's truth and by our books."""
    evidence = Evidence(tmp_path / "a.db", budget=3)
    assert evidence.look().passed == 1
    booked = Evidence(tmp_path / "b.db", budget=4)
    booked.falsify("UPDATE runs SET uncertain = uncertain + 2")
    assert booked.look().passed == 2


def test_a_hole_is_seen(tmp_path: Path) -> None:
    """A follow of the true graph that is not stored at the end counts as missing."""
    evidence = Evidence(tmp_path / "a.db", lists=LISTS | {"u4": frozenset({"u1", "u2"})})
    evidence.look()
    assert evidence.end().holes == 2


def test_a_page_settled_but_never_charged_is_seen(tmp_path: Path) -> None:
    """Our ledger may not say more than the simulator charged."""
    evidence = Evidence(tmp_path / "a.db")
    del evidence.charged["u2|"]
    assert any("never charged" in finding for finding in evidence.look().findings)


def test_a_finding_or_a_slow_start_breaks_the_promise() -> None:
    """The table says so, lists what went wrong, and names the command that does the same again."""
    good = Tally(kills=2, seconds=[0.5, 0.7, 9.0])
    assert not good.is_broken(2.0)
    assert good.is_broken(0.6)
    bad = replace(good, findings=["crawl 1: lost: page u1|"])
    printed = text({"at random": good, "at commits": bad}, about="", go_on_s=2.0, again="make torture SEED=4")
    assert printed.startswith("**4 kills, promises broken**")
    assert "- crawl 1: lost: page u1|" in printed
    assert printed.count("`make torture SEED=4`") == 2
