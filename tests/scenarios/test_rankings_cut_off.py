"""A crawl that dies while it ranks the frontier anew leaves nothing behind that a later crawl takes for a ranking."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
import rehearsal
from dying import Died, dying

from crawler.strategies.registry import NAMES, build
from socialfetch.simulator import network
from storage.accounts import Candidate

SMALL = network.generate(400, rng_seed=3)
SEEDS = ("u1", "u2", "u3")


def wrong(path: Path, strategy: str) -> list[int]:
    """Return the waiting entries whose priority is not what the strategy says, those of lists under way left out."""
    ordering = build(strategy)
    found = rehearsal.rows(
        path,
        "SELECT account_id, followers, following, depth, cash, priority FROM frontier JOIN accounts ON id = account_id "
        "WHERE state IN (0, 5) AND visit_id IS NULL",
    )
    return [
        row[0] for row in found if row[5] > 0 and not 0.5 < ordering.place(Candidate(*row[:5])).priority / row[5] < 2.0
    ]


@pytest.mark.parametrize("commits", range(1, 12))
def test_a_ranking_cut_off_is_made_anew(tmp_path: Path, commits: int) -> None:
    """Wherever the process dies, the next crawl finds every priority of one strategy: its own."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=40, strategy="flow")
    with suppress(Died):
        rehearsal.go(path, api, budget=1, strategy="rank", writer=dying(commits))
    rehearsal.go(path, api, budget=1, strategy="flow", new_run=True)
    assert wrong(path, "flow") == []
    assert rehearsal.findings(path) == []


def test_every_strategy_follows_on_a_ranking_that_nobody_knows(tmp_path: Path) -> None:
    """A database ranked by a strategy that this program does not have is ranked anew, and seeds can be added."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=20, strategy="rank")
    for strategy in NAMES:
        with closing(sqlite3.connect(path)) as conn, conn:
            conn.execute("UPDATE meta SET value = 'of-tomorrow' WHERE key = 'ranked_by'")
        rehearsal.go(path, api, seeds=[f"u{len(strategy)}"], budget=5, strategy=strategy)
        assert rehearsal.rows(path, "SELECT value FROM meta WHERE key = 'ranked_by'") == [(strategy,)]
