"""The checks find what is wrong: each broken invariant has its finding."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from study import Study, facts

from storage.checkup import problems

Make = Callable[..., Study]


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("UPDATE runs SET charged = charged + 1", "run_sums"),
        ("UPDATE runs SET pages = 0", "run_sums"),
        ("DELETE FROM ledger", "run_sums"),
        ("UPDATE runs SET reserved = 0", "reservations"),
        ("UPDATE runs SET budget = 0", "over_budget"),
        ("DELETE FROM accounts WHERE handle = 'x'", "edges_without_accounts"),
        ("INSERT INTO follows (src, dst, first_visit) VALUES (1, 1, 1)", "self_follows"),
        ("DELETE FROM frontier WHERE account_id = 3", "accounts_without_entry"),
        ("UPDATE visits SET ended_at = 1", "ended_visits_open"),
        ("UPDATE processes SET ended_at = 1", "leases_of_the_dead"),
    ],
)
def test_damage_is_found(study: Make, damage: str, code: str) -> None:
    """A sound database has no findings; a damaged one has the right one, with a remedy."""
    s = study("a", "b")
    s.visit("a", facts("x"))
    s.lease()
    assert s.read(problems) == []
    s.db.transact(lambda conn: conn.exec_driver_sql(damage))
    found = {problem.code: problem for problem in s.read(problems)}
    assert code in found
    assert found[code].finding
    assert found[code].remedy
