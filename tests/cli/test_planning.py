"""`plan` says what a budget would buy, spends nothing, and comes close."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rehearsal
import virtual_time

from cli.exits import Exit
from crawler.engine import Crawl
from crawler.strategies.registry import NAMES
from socialfetch.simulator import network
from storage import budgets
from storage.allowances import Caps, Room
from storage.database import Database
from tests.analysis.sample import edges

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from conftest import Run

GRAPH = network.generate(1500, rng_seed=3)


def test_without_a_crawl_a_pilot_is_suggested(run: Run) -> None:
    """With seeds alone the ranges are wide, a pilot is named, and the frontier costs a credit a seed."""
    run("seed", "@a", "@b")
    found = run("plan", "--json", "--budget", 1000).document
    assert found["frontier_cost"] == 2
    assert found["pilot_credits"] == 50
    assert found["basis"] == "prior"
    spans = found["forecast"]
    assert set(spans) == {"accounts", "edges", "visits", "seconds"}
    assert all(span["low"] <= span["mid"] <= span["high"] for span in spans.values())
    assert "a pilot of 50 credits" in run("plan", "--budget", 1000).out


def test_a_plan_says_what_each_strategy_would_buy_and_alters_nothing(run: Run, tmp_path: Path) -> None:
    """After a pilot every strategy has its forecast, and what the crawl then buys lies within that of its own."""
    path, api = tmp_path / "followgraph.db", rehearsal.service(GRAPH)
    rehearsal.go(path, api, seeds=["u1", "u2", "u3"], budget=100)
    before = path.read_bytes()
    found = run("plan", "--json", "--budget", 150).document
    assert path.read_bytes() == before
    assert set(found["strategies"]) == set(NAMES)
    assert found["basis"] == "crawl"
    waiting = rehearsal.rows(
        path,
        "SELECT sum(max(1, (following + 19) / 20 - coalesce(v.pages, 0))) FROM frontier f JOIN accounts a"
        " ON a.id = f.account_id LEFT JOIN visits v ON v.id = f.visit_id WHERE f.state = 0",
    )
    assert found["frontier_cost"] == waiting[0][0]
    known, follows = rehearsal.state(path).accounts["known"], rehearsal.state(path).edges
    rehearsal.go(path, api, budget=150, new_run=True)
    state = rehearsal.state(path)
    spans = found["forecast"]
    assert spans["accounts"]["low"] <= state.accounts["known"] - known <= spans["accounts"]["high"]
    assert spans["edges"]["low"] <= state.edges - follows <= spans["edges"]["high"]
    foreseen = state.runs[-1].foreseen
    assert foreseen is not None
    assert foreseen["is_whole"]
    assert foreseen["accounts"]["actual"] == state.accounts["known"] - known
    status = run("status")
    assert f"{foreseen['accounts']['actual']:,} came" in status.out


def test_a_run_that_begins_with_nothing_forecasts_after_its_pilot(tmp_path: Path) -> None:
    """The first fifty credits show the yield; from there on the run has its forecast."""
    path = tmp_path / "a.db"
    rehearsal.go(path, rehearsal.service(GRAPH), seeds=["u1", "u2", "u3"], budget=300)
    foreseen = rehearsal.state(path).runs[-1].foreseen
    assert foreseen is not None
    assert 50 <= foreseen["from_credit"] <= 90
    assert foreseen["accounts"]["low"] <= foreseen["accounts"]["actual"] <= foreseen["accounts"]["high"]


def test_a_network_that_ends_is_foreseen_to_end(tmp_path: Path) -> None:
    """On wiki-vote two accounts in three can never be listed: near the end of the others no more is promised."""
    pairs = edges("wiki-vote")
    path, api = tmp_path / "wiki.db", rehearsal.service([(f"u{one}", f"u{other}") for one, other in pairs])
    seeds = [f"u{number}" for number in sorted({one for one, _ in pairs})[:200:20]]
    rehearsal.go(path, api, seeds=seeds, budget=200, strategy="unbiased", concurrency=8, archive=False, rng_seed=1)
    rehearsal.go(path, api, budget=300, new_run=True, strategy="unbiased", concurrency=8, archive=False, rng_seed=1)
    foreseen = rehearsal.state(path).runs[-1].foreseen
    assert foreseen is not None
    assert foreseen["accounts"]["low"] <= foreseen["accounts"]["actual"] <= foreseen["accounts"]["high"]
    assert abs(foreseen["accounts"]["error"]) < 0.2  # by the fall of newness alone it was a third too much


CAPS: Mapping[str, Mapping[str, Any]] = {
    "retries": {"budget": 400, "caps": Caps(retry_reserve=250)},
    "seeds": {"budget": 5000, "caps": Caps(per_seed=60)},
    "hops": {"budget": 5000, "caps": Caps(per_depth=(3, 80, 60)), "max_depth": 2},
    "depth": {"budget": 5000, "max_depth": 1},
    "day": {"budget": 5000, "caps": Caps(per_day=180), "deadline_s": 3600.0},
}


@pytest.mark.parametrize("what", CAPS)
def test_a_run_foresees_no_more_than_it_may_spend(tmp_path: Path, what: str) -> None:
    """Credits that sub-budgets, the reserve for retries or the depth keep back buy nothing, and none is promised."""
    path = tmp_path / "a.db"
    rehearsal.go(path, rehearsal.service(GRAPH), seeds=["u1", "u2", "u3"], concurrency=4, **CAPS[what])
    run = rehearsal.state(path).runs[-1]
    foreseen = run.foreseen
    assert foreseen is not None
    assert run.charged < run.budget
    assert foreseen["from_credit"] + foreseen["credits"] == pytest.approx(run.charged, rel=0.1)
    assert foreseen["accounts"]["low"] <= foreseen["accounts"]["actual"] <= foreseen["accounts"]["high"]
    assert foreseen["edges"]["low"] <= foreseen["edges"]["actual"] <= foreseen["edges"]["high"]


def test_a_run_that_stops_early_is_compared_with_what_was_expected_by_then(tmp_path: Path) -> None:
    """Half way through its budget about as much has come as the way to the forecast passes there."""
    path = tmp_path / "a.db"

    async def leave_off(crawl: Crawl) -> None:
        await asyncio.sleep(0.6)
        crawl.stop("interrupted", "asked")

    rehearsal.go(path, rehearsal.service(GRAPH), seeds=["u1", "u2"], budget=400, meanwhile=leave_off)
    foreseen = rehearsal.state(path).runs[-1].foreseen
    assert foreseen is not None
    assert not foreseen["is_whole"]
    assert foreseen["spent"] < 0.7 * foreseen["credits"]
    for name in ("accounts", "edges"):
        of = foreseen[name]
        assert of["expected"]["low"] <= of["actual"] <= of["expected"]["high"]
        assert of["expected"]["high"] < of["high"]
        assert abs(of["error"]) < 0.3


def test_a_raised_budget_has_a_forecast_of_its_own(tmp_path: Path) -> None:
    """Once more may be spent, what was forecast for less is no longer what the run is compared with."""
    path = tmp_path / "a.db"

    async def raise_it(_: Crawl) -> None:
        await asyncio.sleep(0.4)
        db = Database.open(path, now=virtual_time.now, mode="write")
        db.transact(partial(budgets.add, credits=200, note=None, origin="command", now=virtual_time.now()))
        db.close()

    rehearsal.go(path, rehearsal.service(GRAPH), seeds=["u1", "u2"], budget=400, meanwhile=raise_it)
    run = rehearsal.state(path).runs[-1]
    assert (run.budget, run.charged) == (600, 600)
    assert run.foreseen is not None
    assert run.foreseen["from_credit"] + run.foreseen["credits"] == 600
    assert run.foreseen["accounts"]["error"] is not None


def test_room_ends_where_nobody_is_discovered_any_more() -> None:
    """A hop without credits cuts off those behind it; what is left of seeds is theirs who have begun."""
    room = Room(per_seed=10, seeds={1: 4.0}, hops={0: 5.0, 1: 0.0, 2: 50.0}, seed_of={7: 1, 8: 2})
    room.take(7, 0, 3.0)
    assert room.left(7, 0) == 1.0
    assert room.left(8, 0) == 2.0
    assert room.left(8, 1) == 0.0
    assert room.beyond() == 0.0
    room = Room(per_seed=10, seeds={1: 4.0}, seed_of={7: 1, 8: 2})
    room.take(7, 0, 3.0)
    assert room.beyond() == 1.0


def test_what_overlays_cost_is_said(run: Run) -> None:
    """Shares are told in credits, and whether they suffice for an interval."""
    run("seed", "@a")
    shown = run("plan", "--budget", 1000, "--control", 0.2, "--audit", 0.1).out
    assert "200 credits for a random sample: no interval yet" in shown
    assert "100 credits to learn how far follower counts can be trusted" in shown
    assert "300 credits for a random sample: intervals" in run("plan", "--budget", 1500, "--control", 0.2).out


def test_a_plan_needs_a_budget_and_a_database(run: Run) -> None:
    """Without a budget or without a database it says what is missing."""
    assert run("plan", "--budget", 10).code == Exit.DATABASE
    run("seed", "@a")
    found = run("plan")
    assert found.code == Exit.USAGE
    assert "followgraph plan --budget 2000" in found.err


def test_what_the_duty_to_read_again_costs_is_said(run: Run, tmp_path: Path) -> None:
    """Lists read so far cost their pages each time, a budget adds its own; without the duty nothing is said of it."""
    path = tmp_path / "followgraph.db"
    rehearsal.go(path, rehearsal.service(GRAPH), seeds=["u1", "u2", "u3"], budget=100)
    assert run("plan", "--budget", 200, "--json").document["refresh_duty"] is None
    (tmp_path / "config.toml").write_text('[policy]\nrefresh_every = "15d"\n')
    [(pages,)] = rehearsal.rows(path, "SELECT sum(pages) FROM visits")
    assert pages > 90
    assert run("plan", "--budget", 200, "--json").document["refresh_duty"] == {
        "credits_each_time": {"now": pages, "added": 200},
        "credits_a_month": {"now": 2 * pages, "added": 400},
    }
    shown = run("plan", "--budget", 200).out
    assert f"15d: {2 * pages:,} credits a month ({pages:,} each time) for the lists read so far" in shown
    assert "up to 400 credits a month (200 each time) for what this buys" in shown


def test_the_duty_of_a_study_that_has_not_begun(run: Run, tmp_path: Path) -> None:
    """Nothing is to be read again yet; what the budget brings is known."""
    (tmp_path / "config.toml").write_text('[policy]\nrefresh_every = "60d"\n')
    run("seed", "@a")
    found = run("plan", "--budget", 1000, "--json").document["refresh_duty"]
    assert found["credits_a_month"] == {"now": 0, "added": 500}


@pytest.mark.parametrize("command", ["plan", "crawl"])
@pytest.mark.parametrize(
    ("flags", "environ", "named"),
    [
        (["--control", 0.7, "--audit", 0.7], {}, ["crawl.control (0.7)", "crawl.audit (0.7)"]),
        ([], {"FOLLOWGRAPH_BUDGET__RETRY_RESERVE": "20"}, ["budget.retry_reserve (20)", "budget.total (20)"]),
        (
            [],
            {"FOLLOWGRAPH_FILTER__MIN_FOLLOWERS": "10", "FOLLOWGRAPH_FILTER__MAX_FOLLOWERS": "5"},
            ["filter.min_followers (10)", "filter.max_followers (5)"],
        ),
    ],
)
def test_what_buys_nothing_together_is_refused(
    run: Run, command: str, flags: list[str], environ: dict[str, str], named: list[str]
) -> None:
    """Each is allowed by itself; together they would spend the study's time or credits on nobody."""
    run("seed", "@a")
    done = run(command, "--budget", 20, *flags, environ=environ)
    assert done.code == 2
    assert all(words in done.err for words in named), done.err


def test_a_plan_is_followed_by_the_crawl_that_it_was_of(run: Run) -> None:
    """What is typed next has the strategy and the shares that were planned with."""
    run("seed", "@a")
    out = run("plan", "--budget", 100, "--strategy", "core", "--control", 0.2).out
    assert "followgraph crawl --budget 100 --strategy core --control 0.2" in out
    assert "(followgraph crawl --budget 50 --strategy core --control 0.2" in out
