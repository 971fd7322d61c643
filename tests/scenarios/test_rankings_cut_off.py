"""A crawl that dies while it ranks the frontier anew leaves nothing behind that a later crawl takes for a ranking."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import rehearsal
import virtual_time
from dying import Died, dying

from crawler.engine import Crawl
from crawler.steering import requeue_entries
from crawler.strategies.registry import NAMES, build
from socialfetch.simulator import network
from storage.accounts import Candidate
from storage.database import Database
from storage.writer import InlineWriter

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


@pytest.mark.parametrize("commits", [2, 6, 10])
def test_who_is_named_comes_first_whatever_the_strategy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    """Accounts queued by name are bought before an audit and under another strategy, also after a death in between."""
    monkeypatch.setattr("crawler.course.CHUNK", 50)
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=40, strategy="flow")
    last = "SELECT handle FROM accounts JOIN frontier ON account_id = id WHERE state = 0 ORDER BY priority LIMIT 2"
    named = [handle for (handle,) in rehearsal.rows(path, last)]
    [(before,)] = rehearsal.rows(path, "SELECT max(id) FROM visits")
    db = Database.open(path, now=virtual_time.now)
    db.transact(partial(requeue_entries, handles=named, failed=False, partial_lists=False, now=0.0))
    db.close()
    asked = {"strategy": "rank", "audit": 0.5, "concurrency": 1}
    with suppress(Died):
        rehearsal.go(path, api, budget=60, writer=dying(commits), **asked)
    rehearsal.go(path, api, budget=60, new_run=True, **asked)
    visits = "SELECT handle, queue FROM visits v JOIN accounts a ON a.id = account_id WHERE v.id > {} ORDER BY v.id"
    first, second, third, *_ = rehearsal.rows(path, visits.format(before))
    assert {first, second} == {(handle, "ahead") for handle in named}
    assert third[1] == "audit"
    assert rehearsal.findings(path) == []


@pytest.mark.parametrize("after", [1, 5])
def test_a_stop_ends_a_ranking_and_the_next_crawl_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """A crawl that is stopped while it ranks a frontier of many chunks does not rank the rest first."""
    monkeypatch.setattr("crawler.course.CHUNK", 10)
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=40, strategy="flow")
    crawls: list[Crawl] = []
    chunks: list[str | None] = []

    class Stopping(InlineWriter):
        def commit(self, batch: Sequence[Any]) -> list[Any]:
            results = super().commit(batch)
            if crawls and ranked_to() != chunks[-1:]:
                chunks.extend(ranked_to())
                if len(chunks) == after:
                    crawls[0].stop("interrupted", "a stop")
            return results

    def ranked_to() -> list[str | None]:
        found = rehearsal.rows(path, "SELECT value FROM meta WHERE key = 'ranked_to' AND value LIKE 'rank %'")
        return [value for (value,) in found]

    async def learn(crawl: Crawl) -> None:
        crawls.append(crawl)

    result = rehearsal.go(path, api, budget=60, strategy="rank", writer=Stopping, meanwhile=learn)
    assert result.stop_reason == "interrupted"
    assert len(chunks) == after
    assert rehearsal.rows(path, "SELECT value FROM meta WHERE key = 'ranked_by'") == [("mixed",)]
    rehearsal.go(path, api, budget=60, strategy="rank")
    assert rehearsal.rows(path, "SELECT value FROM meta WHERE key = 'ranked_by'") == [("rank",)]
    assert wrong(path, "rank") == []
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
