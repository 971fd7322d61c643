from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rehearsal
import sqlalchemy as sa

from cli import stops
from cli.exits import Exit
from socialfetch.simulator import network
from storage import lock
from storage.allowances import Caps
from storage.database import Database
from storage.schema import processes, runs

if TYPE_CHECKING:
    from conftest import Run


def add_run(path: Path, **values: object) -> None:
    database = Database.open(path, now=lambda: 0.0)
    row = {
        "started_at": 1_700_000_000,
        "strategy": "flow",
        "rng_seed": 7,
        "settings": "{}",
        "budget": 100,
        "charged": 40,
        "uncertain": 2,
        "pages": 40,
        "active_s": 20.0,
        **values,
    }

    def insert(conn: sa.Connection) -> None:
        run_id = conn.execute(sa.insert(runs).values(row).returning(runs.c.id)).scalar_one()
        times = dict.fromkeys(("started_at", "heartbeat_at", "ended_at"), row["started_at"])
        conn.execute(sa.insert(processes).values(run_id=run_id, host="here", pid=1, **times))

    database.transact(insert)
    database.close()


def test_before_the_first_run(run: Run) -> None:
    """With seeds and no run yet, credits are nought and budget and rest are unknown."""
    run("seed", "@a", "@b")
    found = run("status", "--json").document
    assert found["run_id"] is None
    assert found["stop_reason"] is None
    assert found["credits"] == {"budget": None, "charged": 0, "uncertain": 0, "reserved": 0, "remaining": None}
    assert found["accounts"] == {
        "known": 2,
        "visited": 0,
        "boundary": 2,
        "hidden": 0,
        "private": 0,
        "not_found": 0,
        "failed": 0,
    }
    assert found["frontier"] == {"queued": 2, "leased": 0, "done": 0, "failed": 0, "skipped": 0}
    assert (found["edges"], found["pages"], found["seconds"], found["pages_per_second"], found["runs"]) == (
        0,
        0,
        0,
        0,
        [],
    )


def test_after_runs(run: Run, tmp_path: Path) -> None:
    """The newest run stands in front, every run in the list, and people read the same."""
    add_run(tmp_path / "followgraph.db", stop_reason="budget_exhausted", ended_at=1_700_000_020)
    add_run(tmp_path / "followgraph.db", strategy="bfs")
    found = run("status", "--json").document
    assert (found["run_id"], found["stop_reason"]) == (2, None)
    assert found["credits"] == {"budget": 100, "charged": 40, "uncertain": 2, "reserved": 0, "remaining": 58}
    assert (found["pages"], found["seconds"], found["pages_per_second"]) == (40, 20.0, 2.0)
    assert [each["stop_reason"] for each in found["runs"]] == ["budget_exhausted", None]
    assert found["runs"][0]["started_at"] == "2023-11-14T22:13:20+00:00"
    shown = run("status").out
    assert "2, bfs · not ended" in shown
    assert "40 spent · 2 uncertain · 58 left of 100" in shown
    assert "2 runs" in shown


def test_a_crawl_that_went_on_after_a_refresh_stands_in_front(run: Run, tmp_path: Path) -> None:
    """The run is the one that was at work last, as it is for `budget`, and not the newest; the other one waits."""
    path, api = tmp_path / "followgraph.db", rehearsal.service(network.generate(300, rng_seed=3))
    rehearsal.go(path, api, seeds=["u1", "u2"], budget=90, meanwhile=rehearsal.stop_after(0.3))
    rehearsal.go(path, api, budget=5, refresh_only=True)
    run("budget", "add", 7)
    assert "waits    run 1 · " in run("status").out
    rehearsal.go(path, api, budget=None)
    found, budget = run("status", "--json").document, run("budget", "show", "--json").document["run"]
    assert (found["run_id"], found["stop_reason"]) == (1, "budget_exhausted")
    assert found["run_id"] == budget.pop("id")
    assert found["credits"] == budget
    assert found["pages"] == found["runs"][0]["pages"] > 0
    shown = run("status").out
    assert "run      1, flow · stopped because: budget reached\n" in shown
    assert "waits    run 2 · 12 left of 12: the next refresh goes on with it\n" in shown


SPAN = {"accounts": {"low": 80, "mid": 100, "high": 130}, "edges": {"low": 900, "mid": 1000, "high": 1200}}
MADE = {"at": {"credits": 50, "accounts": 10, "edges": 20}, "budget": 250, **SPAN}
PATH = {"credits": 200, "path": [[100, 60.0, 500.0], [200, 100.0, 1000.0]]}
CAME = {"budget": 250, "uncertain": 0, "new_accounts": 70, "new_edges": 520}


def test_a_forecast_is_compared_at_the_credits_that_were_spent(run: Run, tmp_path: Path) -> None:
    """Of a run that stopped early it is as much of the forecast as was for its credits, and why it stopped is said."""
    forecast = json.dumps(MADE | PATH)
    add_run(tmp_path / "followgraph.db", charged=150, stop_reason="deadline", forecast=forecast, **CAME)
    found = run("status", "--json").document["runs"][-1]["forecast"]
    assert (found["is_whole"], found["credits"], found["spent"]) == (False, 200, 100)
    assert found["accounts"]["expected"] == {"low": 48, "mid": 60, "high": 78}
    assert (found["accounts"]["actual"], found["accounts"]["error"]) == (60, 0.0)
    assert {key: found["accounts"][key] for key in ("low", "mid", "high")} == SPAN["accounts"]
    shown = run("status").out
    assert "forecast 48–60–78 new accounts, 60 came (+0%)\n         450–500–600 new follows, 500 came (+0%)\n" in shown
    assert "for 100 of 200 credits; stopped before its budget was spent: time is up" in shown


@pytest.mark.parametrize(
    ("made", "values", "said"),
    [
        ({}, {"charged": 150, "stop_reason": "interrupted"}, "stopped before its budget was spent: you asked; no comp"),
        ({}, {"charged": 150}, "after 100 of 200 credits; no comparison\n"),
        (PATH, {"charged": 400, "budget": 400}, "no comparison: the budget was raised since"),
        ({}, {"charged": 150, "budget": 150, "stop_reason": "budget_exhausted"}, "lowered since; no comparison"),
    ],
)
def test_a_forecast_that_cannot_be_compared_has_no_error(
    run: Run, tmp_path: Path, made: dict[str, object], values: dict[str, object], said: str
) -> None:
    """Where nobody knows what was expected of the credits spent, no error is made up and the reason is told."""
    add_run(tmp_path / "followgraph.db", forecast=json.dumps(MADE | made), **(CAME | values))
    found = run("status", "--json").document["runs"][-1]["forecast"]
    assert (found["accounts"]["expected"], found["accounts"]["error"]) == (None, None)
    assert said in run("status").out


def test_sub_budgets_are_shown(run: Run, tmp_path: Path) -> None:
    """What day, seeds and hops may take and have taken, in text and JSON; their sums are those of the ledger."""
    path = tmp_path / "followgraph.db"
    caps = Caps(per_day=500, per_seed=20, per_depth=(3, 12), retry_reserve=2)
    api = rehearsal.service(network.generate(300, rng_seed=3))
    rehearsal.go(path, api, seeds=["u1", "u2", "u3"], budget=400, caps=caps)
    charged = rehearsal.state(path).charged
    found = run("status", "--json").document["sub_budgets"]
    assert (found["per_day"]["budget"], found["per_day"]["remaining"]) == (500, 500), "the day of that crawl is over"
    today = found["per_day"]["day"]
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("UPDATE allowances SET key = ? WHERE kind = 'day'", (today,))
    found = run("status", "--json").document["sub_budgets"]
    parts = {"budget": 500, "charged": charged, "uncertain": 0, "reserved": 0, "remaining": 500 - charged}
    assert found["per_day"] == {"day": today, **parts}
    used = "sum(l.charged) FROM ledger l JOIN visits v ON v.id = l.visit_id"
    seeds = dict(rehearsal.rows(path, f"SELECT v.seed_id, {used} GROUP BY 1"))
    assert {each["account"]: each["charged"] for each in found["per_seed"]["seeds"] if each["charged"]} == seeds
    assert found["per_seed"]["budget"] == 20
    assert all(each["remaining"] == 20 - each["charged"] for each in found["per_seed"]["seeds"])
    hops = dict(rehearsal.rows(path, f"SELECT v.depth, {used} GROUP BY 1"))
    assert [(each["depth"], each["budget"], each["charged"]) for each in found["per_depth"]] == [
        (0, 3, hops[0]),
        (1, 12, hops[1]),
    ]
    assert found["retry_reserve"] == 2
    shown = run("status").out
    assert f"{charged} of 500 · {500 - charged} left" in shown
    assert f"hops     0: {hops[0]} of 3 · 1: {hops[1]} of 12" in shown
    assert "have used up 20 credits" in shown
    assert "2 credits kept for them" in shown
    add_run(path)
    assert run("status", "--json").document["sub_budgets"] == {
        "per_day": None,
        "per_seed": None,
        "per_depth": [],
        "retry_reserve": 0,
    }
    assert "hops" not in run("status").out


def test_a_stop_is_told_in_its_own_words() -> None:
    """Two rules that share a reason for scripts do not share its words, and a reason alone claims neither."""
    told = {stops.words("low_yield", key) for key in ("stop.uncrawled_share", "stop.new_accounts_per_credit", None)}
    assert len(told) == 3
    assert stops.words("budget_exhausted", "budget") == stops.words("budget_exhausted") == "budget reached"


def test_why_it_stopped(run: Run, tmp_path: Path) -> None:
    """A person reads why the run stopped in words."""
    add_run(tmp_path / "followgraph.db", stop_reason="budget_exhausted")
    assert "stopped because: budget reached" in run("status").out


def test_while_another_writes(run: Run, tmp_path: Path) -> None:
    """status reads while a crawl is in the middle of writing."""
    run("seed", "@a")
    writer = sqlite3.connect(tmp_path / "followgraph.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    try:
        assert run("status").code == 0
    finally:
        writer.close()


def test_whether_a_crawl_works_on_it(run: Run, tmp_path: Path) -> None:
    """The lock tells a run that works from one that was cut off; looking makes no file and takes no lock."""
    add_run(tmp_path / "followgraph.db")
    before = sorted(each.name for each in tmp_path.iterdir())
    assert "not ended: cut off" in run("status").out
    assert sorted(each.name for each in tmp_path.iterdir() if each.suffix == ".lock") == [
        name for name in before if name.endswith(".lock")
    ]
    held = lock.take(tmp_path / "followgraph.db")
    assert "not ended: a crawl works on it" in run("status").out
    assert run("status", "--json").document["is_crawling"] is True
    held.release()
    assert run("status", "--json").document["is_crawling"] is False


def test_the_place_and_who_named_it(run: Run) -> None:
    """status says which database it read and where that was said."""
    run("seed", "@a", "--db", "x.db")
    assert "x.db, from --db" in run("status", "--db", "x.db").out
    assert (
        "x.db, from FOLLOWGRAPH_STORAGE__DATABASE"
        in run("status", environ={"FOLLOWGRAPH_STORAGE__DATABASE": "x.db"}).out
    )


def test_a_password_in_an_address_is_not_printed(run: Run) -> None:
    """The password of a database address reaches no output, whatever becomes of the address."""
    ran = run("status", "--db", "postgresql://me:hunter22@nowhere/graph")
    assert ran.code == 5
    assert "hunter22" not in ran.out + ran.err


def test_an_address_that_cannot_be_read(run: Run) -> None:
    """An address that is none ends with exit code 5, not with a fault of ours."""
    assert run("status", "--db", "postgresql://[nowhere/graph").code == 5


@pytest.mark.parametrize("reason", stops.REASONS)
def test_every_stop_reason_has_words_and_a_code(reason: str) -> None:
    """Every promised stop reason has words for people and one of the promised exit codes."""
    assert stops.words(reason)
    assert stops.exit_code(reason) in {Exit.DONE, Exit.REFUSED, Exit.GAVE_UP}
