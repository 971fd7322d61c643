"""Coverage: every known account once, every credit where it went."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from analysis.coverage import Announced, Coverage, Credits, read_coverage
from analysis.graph import FollowGraph, read_graph
from storage import summary
from storage.database import Database
from tests.analysis.sample import START, Sample, Visit, insert, write

MIXED = Sample(
    seeds=("ann", "bob"),
    visits={
        "ann": Visit(tuple(f"fan{i}" for i in range(25))),
        "bob": Visit(("ann", "cat"), "capped"),
        "cat": Visit(("ann",), "partial"),
        "fan1": Visit((), "hidden"),
        "fan2": Visit((), "hidden"),
        "fan3": Visit((), "private"),
        "fan4": Visit((), "not_found"),
        "fan5": Visit(()),
    },
    following={"ann": 30, "bob": 9, "fan5": 0, "fan6": 99},
    failed={"fan7": "server_error", "fan8": "server_error", "fan9": "bad_answer"},
    skipped={"fan10": "private", "fan11": "opted_out", "fan12": "no_following"},
    uncertain=2,
)


def coverage_of(path: Path) -> tuple[Coverage, FollowGraph]:
    with closing(Database.open(path, now=lambda: 0.0, mode="read")) as database, database.read() as conn:
        graph = read_graph(conn)
        return read_coverage(conn, graph), graph


def change(path: Path, *statements: str) -> None:
    def run(conn: sa.Connection) -> None:
        for statement in statements:
            conn.exec_driver_sql(statement)

    with closing(Database.open(path, now=lambda: 0.0)) as database:
        database.transact(run)


def test_every_known_account_stands_once(tmp_path: Path) -> None:
    """The standings add up to the known accounts, and each is the number of accounts it says."""
    found, graph = coverage_of(write(tmp_path / "mixed.db", MIXED))
    assert found.standings == {
        "complete": 2,
        "capped": 1,
        "partial": 1,
        "hidden": 2,
        "private": 1,
        "not_found": 1,
        "failed": 3,
        "skipped": 3,
        "waiting": 14,
    }
    assert sum(found.standings.values()) == found.known == len(graph) == 28
    assert (found.visited, found.seeds, found.edges) == (4, 2, 28)
    assert (found.boundary, found.unasked) == (17, 16)


def test_accounts_are_those_of_status(tmp_path: Path) -> None:
    """The report and `followgraph status` count the same accounts under the same words."""
    path = write(tmp_path / "mixed.db", MIXED)
    found, _ = coverage_of(path)
    with closing(Database.open(path, now=lambda: 0.0, mode="read")) as database, database.read() as conn:
        assert found.accounts == summary.read(conn).accounts
    assert found.known == sum(count for word, count in found.accounts.items() if word != "known")


def test_credits_stand_with_what_they_bought(tmp_path: Path) -> None:
    """Credits of the ledger are counted by the standing of the account that they were charged for."""
    found, _ = coverage_of(write(tmp_path / "mixed.db", MIXED))
    assert {word: spent for word, spent in found.spent.items() if spent} == {
        "complete": 3,
        "capped": 1,
        "partial": 1,
        "hidden": 2,
        "private": 1,
        "not_found": 1,
    }
    assert found.credits == Credits(charged=9, uncertain=2, booked=9)
    assert found.credits.agree


def test_books_that_disagree_are_noticed(tmp_path: Path) -> None:
    """A run that says something else than its ledger rows is no agreement."""
    path = write(tmp_path / "mixed.db", MIXED)
    change(path, "UPDATE runs SET charged = 8")
    found, _ = coverage_of(path)
    assert (found.credits.charged, found.credits.booked, found.credits.agree) == (8, 9, False)


def test_announced_follows_are_compared_over_the_same_accounts(tmp_path: Path) -> None:
    """Announced and read follows are of the visited accounts that announce a number, and of no others."""
    found, _ = coverage_of(write(tmp_path / "mixed.db", MIXED))
    assert found.announced == Announced(accounts=3, reported=39, read=27)
    assert found.announced_complete == Announced(accounts=2, reported=30, read=25)


def test_the_frontier_and_its_reasons_are_counted(tmp_path: Path) -> None:
    """States are counted as they stand in the frontier, failures and skips by their reason."""
    found, _ = coverage_of(write(tmp_path / "mixed.db", MIXED))
    assert found.frontier == {"queued": 14, "leased": 0, "done": 8, "failed": 3, "skipped": 3}
    assert found.failed == {"bad_answer": 1, "server_error": 2}
    assert found.skipped == {"no_following": 1, "opted_out": 1, "private": 1}


def test_pages_and_runs_are_dated(tmp_path: Path) -> None:
    """First and last page are the first and last answered call; each run keeps its strategy and stop reason."""
    found, _ = coverage_of(write(tmp_path / "mixed.db", MIXED))
    assert (found.pages, found.first_page_at) == (9, START + 61)
    assert found.last_page_at is not None
    assert found.last_page_at > START + 8 * 60
    assert found.strategies == ("flow",)
    assert found.runs[0].stop_reason == "budget_exhausted"


def test_a_list_read_once_is_known_though_it_is_hidden_today(tmp_path: Path) -> None:
    """The last visit that brought a list speaks for the account; a later hidden one does not make it unread."""
    path = write(tmp_path / "mixed.db", MIXED)
    change(
        path,
        "INSERT INTO visits (id, account_id, run_id, started_at, ended_at, completeness, pages)"
        " VALUES (99, 1, 1, 1, 2, 'hidden', 1)",
        "UPDATE frontier SET completeness = 'hidden' WHERE account_id = 1",
    )
    found, _ = coverage_of(path)
    assert found.standings["complete"] == 2


def test_an_open_visit_without_a_page_is_no_visit(tmp_path: Path) -> None:
    """An account whose first page is still on its way is not yet visited."""
    path = write(tmp_path / "mixed.db", MIXED)
    change(
        path,
        "INSERT INTO visits (id, account_id, run_id, started_at, completeness, pages)"
        " VALUES (99, 9, 1, 1, 'partial', 0)",
        "UPDATE frontier SET state = 1, completeness = 'partial' WHERE account_id = 9",
    )
    found, _ = coverage_of(path)
    assert (found.standings["waiting"], found.visited, found.frontier["leased"]) == (14, 4, 1)


def test_follows_that_ended_are_counted_apart(tmp_path: Path) -> None:
    """Follows no longer current, here and in the past follows, are not edges but are counted."""
    path = write(tmp_path / "mixed.db", MIXED)
    change(path, "UPDATE follows SET ended_visit = 9 WHERE src = 2")
    with closing(Database.open(path, now=lambda: 0.0)) as database:
        columns = ["src", "dst", "first_visit", "last_visit", "ended_visit"]
        database.transact(lambda conn: insert(conn, "past_follows", columns, [(1, 3, 1, 1, 2)]))
    found, _ = coverage_of(path)
    assert (found.edges, found.ended_edges) == (26, 3)


def test_an_empty_database_has_no_coverage(tmp_path: Path) -> None:
    """Nothing known, nothing dated, nothing spent, no error."""
    found, _ = coverage_of(write(tmp_path / "empty.db", Sample()))
    assert (found.known, found.visited, found.pages, found.first_page_at) == (0, 0, 0, None)
