"""Accounts whose handle somebody else takes: nobody can ask for their list until they are seen under a new one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import rehearsal
from study import Study, facts

from socialfetch.simulator import network

SMALL = network.generate(250, rng_seed=3)
Make = Callable[..., Study]


@pytest.mark.parametrize(
    "faults",
    [{"taken_over": 1.0}, {"taken_over": 0.5, "renamed": 0.5, "no_ids": 0.5}],
    ids=["taken over", "taken over and renamed"],
)
def test_a_crawl_ends_though_handles_are_lost(tmp_path: Path, faults: dict[str, float]) -> None:
    """Whoever has no handle is passed over, the crawl goes on to its end, and no page is bought twice."""
    api, path = rehearsal.service(SMALL, faults=faults), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=["u1", "u2", "u3"], budget=100_000)
    assert result.stop_reason == "frontier_empty"
    nameless = "SELECT state, reason FROM frontier JOIN accounts ON id = account_id WHERE handle IS NULL"
    assert {row for row in rehearsal.rows(path, nameless) if row[0] == 0} == set()
    assert rehearsal.state(path).skipped["no_handle"] > 0
    assert rehearsal.findings(path) == []


def test_an_account_without_a_handle_is_never_leased(tmp_path: Path) -> None:
    """It is passed over for the next best, and queued again once it shows under a new handle."""
    s = Study(tmp_path / "a.db", "a", "b", "c")
    s.visit("a", facts("x", platform_user_id="7", followers=900))
    s.visit("b", facts("x", platform_user_id="8"))
    leases = {lease.handle: lease for lease in s.lease(9)}
    assert list(leases) == ["c", "x"]
    entry = "SELECT state, reason FROM frontier JOIN accounts ON id = account_id WHERE platform_user_id = '7'"
    assert s.ask(entry) == [(4, "no_handle")]
    s.commit(s.answer(leases["c"], [facts("y", platform_user_id="7")]))
    assert s.ask(entry) == [(0, None)]
    assert [lease.handle for lease in s.lease(9)] == ["y"]
    s.db.close()


def test_a_list_goes_on_under_the_new_handle(tmp_path: Path) -> None:
    """A list whose account was renamed meanwhile is not continued under the old handle, which may be another's."""
    s = Study(tmp_path / "a.db", "a", "b")
    s.visit("a", facts("x", platform_user_id="7"))
    leases = {lease.handle: lease for lease in s.lease(2)}
    s.commit(s.answer(leases["b"], [facts("y", platform_user_id="7")]))
    [stored] = s.commit(s.answer(leases["x"], [facts("z")], cursor="c2"))
    assert stored.next is None
    found = {lease.handle: lease.cursor for lease in s.lease(9)}
    assert found["y"] == "c2"
    s.db.close()
