"""The test of a crew in short: every trouble once or twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from crew import Plan, torture
from postgres_server import Postgres


@pytest.mark.complete
def test_a_crew_in_trouble_breaks_no_promise(postgres: Postgres, tmp_path: Path) -> None:
    """Kills, cuts, a stall, a pause and a restart: books equal, budget kept, nothing stored twice, lists whole."""
    if not postgres.is_ours:
        pytest.skip("a server that was given cannot be stopped and started")
    plan = Plan(
        accounts=1_000, budget=250, kills=2, cuts=1, stalls=1, pauses=1, restarts=1, rng_seed=1, rate=12.0, gap_s=0.5
    )
    found = torture(plan, postgres, tmp_path)
    assert found.broken == [], found.rows
