"""The checks find what is wrong: each broken invariant has its finding."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import rehearsal
from study import Study, facts

from storage import invariants, schema
from storage.checkup import Problem, Surroundings, problems

Make = Callable[..., Study]

KNOWN = Surroundings(rankings={"flow", "mixed"})


def crawled(study: Make) -> Study:
    """A database in which every kind of thing has happened: visits of all kinds, renames, failures, open leases."""
    s = study("a", "b", "c", "d")
    s.visit("a", facts("x", platform_user_id="7"), facts("y"), facts("z"))
    s.now += 10
    s.visit("b", facts("x2", platform_user_id="7"), cursor="b2", has_more=True)
    s.visit("a", facts("x2", platform_user_id="7"), facts("z"))
    s.now += 10
    s.visit("a", facts("y"), facts("z"))
    s.visit("y", status="hidden")
    [lease] = s.lease()
    s.give_back(lease, cause="lookup_failed", maybe_charged=True, not_before=s.now + 60)
    [lease] = s.lease()
    s.give_back(lease, cause="bad_request", failed="bad_request")
    s.lease()
    return s


def damage(s: Study, sql: str) -> dict[str, Problem]:
    """Change a database by hand and return what is found."""
    s.db.transact(lambda conn: [conn.exec_driver_sql(each) for each in sql.split(";")])
    return {problem.code: problem for problem in s.read(lambda conn: problems(conn, KNOWN))}


DAMAGES = [
    ("UPDATE runs SET charged = charged + 1", "run_sums"),
    ("UPDATE runs SET pages = 0", "run_sums"),
    ("UPDATE runs SET errors = 7", "run_sums"),
    ("UPDATE runs SET uncertain = 0", "run_sums"),
    ("DELETE FROM ledger", "run_sums"),
    ("UPDATE runs SET reserved = 0", "reservations"),
    ("UPDATE runs SET budget = 0", "over_budget"),
    ("UPDATE runs SET new_edges = 0", "run_counters"),
    ("UPDATE runs SET new_accounts = 0", "run_counters"),
    ("DELETE FROM accounts WHERE handle = 'z'", "edges_without_accounts"),
    ("DELETE FROM accounts WHERE handle = 'a'", "edges_without_accounts"),
    ("INSERT INTO follows (src, dst, first_visit) VALUES (1, 1, 1)", "self_follows"),
    ("UPDATE follows SET first_visit = 99", "edges_without_visits"),
    ("UPDATE follows SET last_visit = 2 WHERE src = 1", "edges_without_visits"),
    ("UPDATE follows SET ended_visit = 2 WHERE src = 1", "edges_without_visits"),
    ("UPDATE follows SET first_visit = 4, last_visit = 3 WHERE src = 1", "follow_intervals"),
    ("UPDATE follows SET ended_visit = first_visit", "follow_intervals"),
    ("UPDATE past_follows SET last_visit = 0", "follow_intervals"),
    ("UPDATE past_follows SET ended_visit = 1", "follow_intervals"),
    ("UPDATE past_follows SET ended_visit = 99", "follow_intervals"),
    ("UPDATE past_follows SET dst = 99", "past_follows_orphaned"),
    ("UPDATE frontier SET depth = 9 WHERE account_id = 6", "too_deep"),
    ("DELETE FROM frontier WHERE account_id = 3", "accounts_without_entry"),
    ("UPDATE accounts SET handle = NULL WHERE handle = 'z'", "handles_lost"),
    ("INSERT INTO frontier (account_id, state, priority, depth) VALUES (99, 0, 0, 0)", "entries_without_account"),
    ("UPDATE visits SET ended_at = 1", "ended_visits_open"),
    ("UPDATE frontier SET visit_id = 1 WHERE visit_id IS NOT NULL", "foreign_visits_open"),
    ("UPDATE frontier SET visit_id = NULL", "visits_forgotten"),
    ("UPDATE frontier SET cursor = 'old' WHERE account_id = 1", "stale_cursors"),
    ("UPDATE frontier SET lease_process = NULL WHERE state = 1", "leases_without_process"),
    ("UPDATE frontier SET lease_process = 99 WHERE state = 1", "leases_without_process"),
    ("UPDATE frontier SET visit_id = NULL WHERE state = 1", "leases_without_visit"),
    ("UPDATE frontier SET lease_process = 1 WHERE state = 2", "lease_leftovers"),
    ("UPDATE frontier SET not_before = NULL", "never_due"),
    ("UPDATE frontier SET state = 9", "unknown_states"),
    ("UPDATE frontier SET state = 2 WHERE completeness IS NULL", "done_without_visit"),
    ("UPDATE frontier SET completeness = 'complete' WHERE completeness = 'hidden'", "completeness"),
    ("UPDATE frontier SET completeness = 'complete' WHERE completeness IS NULL", "completeness"),
    ("UPDATE visits SET account_id = 99 WHERE id = 1", "visits_orphaned"),
    ("UPDATE visits SET run_id = 99 WHERE id = 1", "visits_orphaned"),
    ("UPDATE visits SET pages = 5 WHERE id = 1", "visit_counters"),
    ("UPDATE visits SET listed = 99 WHERE id = 1", "visit_counters"),
    ("UPDATE visits SET new_edges = 2, edges = 3 WHERE id = 1", "visit_counters"),
    ("DELETE FROM follows WHERE dst = 6", "visit_counters"),
    ("UPDATE processes SET run_id = 99", "processes_orphaned"),
    ("UPDATE ledger SET run_id = 99 WHERE id = 1", "ledger_orphaned"),
    ("UPDATE ledger SET visit_id = 99 WHERE id = 1", "ledger_orphaned"),
    ("UPDATE ledger SET account_id = 2 WHERE id = 1", "ledger_orphaned"),
    ("UPDATE ledger SET charged = 1 WHERE outcome = 'uncertain'", "ledger_rows"),
    ("UPDATE ledger SET uncertain = 1 WHERE outcome = 'settled'", "ledger_rows"),
    ("UPDATE ledger SET outcome = 'guessed' WHERE id = 1", "ledger_rows"),
    ("DELETE FROM ledger WHERE id = 1", "ledger_gaps"),
    ("DELETE FROM archive WHERE ledger_id = 1", "archive_gaps"),
    ("UPDATE archive SET ledger_id = 99 WHERE ledger_id = 1", "archive_orphaned"),
    ("UPDATE archive SET dictionary_id = 99", "archive_unreadable"),
    ("UPDATE journal SET ledger_id = 99 WHERE id = 1", "journal_order"),
    ("UPDATE journal SET ledger_id = 1 WHERE id = 1", "journal_order"),
    ("INSERT INTO balances (at, ledger_id, balance) VALUES (1, 99, 1)", "balances_ahead"),
    ("UPDATE handle_history SET account_id = 99", "handles_orphaned"),
    ("UPDATE processes SET ended_at = 1", "leases_of_the_dead"),
    ("UPDATE accounts SET handle = 'Z' WHERE handle = 'z'", "handles_not_normalised"),
    ("UPDATE accounts SET handle = '@z' WHERE handle = 'z'", "handles_not_normalised"),
    ("UPDATE accounts SET handle = 'ÄÖ' WHERE handle = 'z'", "handles_not_normalised"),
    ("INSERT INTO meta VALUES ('ranked_by', 'dice')", "ranking_unknown"),
    ("DROP INDEX frontier_pick", "schema"),
    ("DROP TABLE balances", "schema"),
]


def test_a_file_that_does_not_say_that_it_is_ours_is_damaged(in_file: Make) -> None:
    """The mark in the head of a file is looked at as well."""
    assert damage(crawled(in_file), "PRAGMA application_id = 0")["schema"].severity == "failure"


@pytest.mark.parametrize(("sql", "code"), DAMAGES)
def test_damage_is_found(study: Make, sql: str, code: str) -> None:
    """A sound database has no findings; a damaged one has the right one, with a severity, sentences and a remedy."""
    s = crawled(study)
    assert s.read(lambda conn: problems(conn, KNOWN)) == []
    found = damage(s, sql)
    assert code in found
    assert found[code].severity in {"warning", "failure"}
    assert "{" not in found[code].finding
    assert found[code].remedy


def test_every_check_has_its_damage_here() -> None:
    """A check cannot be added without a test that it finds something."""
    told = {code for _, code in DAMAGES}
    assert {broken.code for question in invariants.ALL for broken in question.broken} <= told


def test_a_crawl_that_is_not_heard_of_is_taken_for_dead(study: Make) -> None:
    """Leases of a process without a heartbeat are a warning once it is overdue, and at once for who holds the lock."""
    s = crawled(study)
    [(beat,)] = s.ask("SELECT heartbeat_at FROM processes")

    def codes(around: Surroundings) -> list[str]:
        return [problem.code for problem in s.read(lambda conn: problems(conn, around))]

    assert codes(Surroundings(now=beat + 60)) == []
    assert codes(Surroundings(now=beat + 600)) == ["leases_of_the_dead"]
    assert codes(Surroundings(now=beat, is_alone=True)) == ["leases_of_the_dead"]


def test_a_cursor_kept_by_a_page_limit_is_none_too_many(study: Make) -> None:
    """A capped list keeps its cursor on purpose."""
    from functools import partial

    from crawler import policy

    s = study("a")
    s.rules = type(s.rules)(
        **{name: getattr(s.rules, name) for name in s.rules.__dataclass_fields__}
        | {"judge": partial(policy.judge, max_pages=1)}
    )
    s.visit("a", facts("x"), cursor="c2", has_more=True)
    assert s.ask("SELECT cursor, completeness FROM frontier WHERE account_id = 1") == [("c2", "capped")]
    assert s.read(problems) == []


def test_a_page_overwritten_with_noise_is_damage(in_file: Make, tmp_path: Path) -> None:
    """What the file's own structure says is asked first, and nothing else after it."""
    s = in_file(*(f"seed{number}" for number in range(500)))
    [(page,)] = s.ask("SELECT rootpage FROM sqlite_master WHERE name = 'accounts'")
    s.db.close()
    with (tmp_path / "a.db").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    [problem] = rehearsal.findings(tmp_path / "a.db")
    assert (problem.code, problem.severity) == ("integrity", "failure")
    assert "backup" in problem.remedy


def test_the_schema_named_is_this_programs(study: Make) -> None:
    """A version changed by hand under an open database is found."""
    s = study("a")
    found = damage(s, f"UPDATE alembic_version SET version_num = '{json.dumps(0)}'")
    assert schema.HEAD in found["schema"].finding
