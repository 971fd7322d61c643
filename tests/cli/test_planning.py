"""`plan` says what a budget would buy, spends nothing, and comes close."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import rehearsal
import virtual_time
from dying import Died, dying
from postgres_server import Postgres
from storages import empty

from cli import clock
from cli.exits import Exit
from crawler import prospects
from crawler.engine import Crawl
from crawler.filter import Filter
from crawler.options import Options
from crawler.strategies.registry import NAMES
from socialfetch.simulator import network
from storage import budgets
from storage.allowances import Caps, Room
from storage.database import Database
from storage.sampling import CREDITS_A_WAVE, SHARE_A_WAVE, UNSPENT, WAVES, control_waves
from tests.analysis.sample import edges

if TYPE_CHECKING:
    from conftest import Run

GRAPH = network.generate(1500, rng_seed=3)
SEEDS = ("u1", "u2", "u3")


def bought(start: Path, budget: int, **options: Any) -> tuple[dict[str, int], str, int]:
    """Crawl on in a copy; returns what came, the stop reason and the credits charged."""
    path = start.with_name("copy.db")
    shutil.copy(start, path)
    before = rehearsal.state(path)
    result = rehearsal.go(path, rehearsal.service(GRAPH), budget=budget, new_run=True, rng_seed=1, **options)
    after = rehearsal.state(path)
    run_id = after.runs[-1].id
    [(visits,)] = rehearsal.rows(path, f"SELECT count(*) FROM visits WHERE run_id = {run_id} AND pages > 0")
    came = {
        "accounts": after.accounts["known"] - before.accounts["known"],
        "edges": after.edges - before.edges,
        "visits": visits,
    }
    return came, result.stop_reason, after.runs[-1].charged


def holds(forecast: dict[str, dict[str, int]], came: dict[str, int], of: Sequence[str]) -> bool:
    """Tell whether what came lies between low and high."""
    return all(forecast[name]["low"] <= came[name] <= forecast[name]["high"] for name in of)


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
    shown = run("plan", "--budget", 1000).out
    assert "a pilot of 50 credits" in shown
    assert "at least 2 credits for all that waits now" in shown
    assert found["frontier_cost_is_least"]
    small = run("plan", "--budget", 20).out
    assert "a pilot of" not in small
    assert "this budget is a pilot" in small
    assert run("plan", "--budget", 20, "--json").document["pilot_credits"] is None


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


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database after 200 credits of bfs, which keeps neither cash nor listings."""
    path = tmp_path_factory.mktemp("lean") / "lean.db"
    rehearsal.go(path, rehearsal.service(GRAPH), seeds=SEEDS, budget=200, strategy="bfs", rng_seed=1)
    return path


@pytest.mark.parametrize("strategy", NAMES)
def test_after_a_lean_strategy_each_forecast_is_of_its_own_order(run: Run, lean: Path, strategy: str) -> None:
    """What a strategy needs to know is worked out from the lists read, as its crawl would, and nothing is written."""
    before = lean.read_bytes()
    found = run("--db", lean, "plan", "--json", "--budget", 300).document
    assert lean.read_bytes() == before
    came, _, _ = bought(lean, 300, strategy=strategy)
    assert holds(found["strategies"][strategy], came, ["accounts", "edges", "visits"])
    orders = {name: tuple(span.values()) for name, each in found["strategies"].items() for span in [each["edges"]]}
    assert len({orders[name] for name in ("flow", "core", "community", "discover", "bfs")}) == 5


@pytest.fixture
def place(postgres: Postgres) -> Iterator[str]:
    """Give the address of an empty database with all tables."""
    name = postgres.fresh(of=empty(postgres))
    yield postgres.url(name)
    postgres.drop(name)


def test_a_plan_on_a_server_is_the_plan_in_a_file(run: Run, tmp_path: Path, place: str) -> None:
    """The same crawl has the same prospects, whatever its database, filters and depth limit included."""
    plans = []
    for database in (tmp_path / "a.db", place):
        crawl = {"strategy": "bfs", "budget": 80, "concurrency": 1, "max_depth": 1, "rng_seed": 1}
        rehearsal.go(database, rehearsal.service(GRAPH), seeds=SEEDS, **crawl)
        flags = ("--budget", 200, "--rate", 2, "--min-followers", 5, "--max-depth", 2, "--budget-per-day", 150)
        found = run("--db", database, "plan", "--json", *flags).document
        plans.append({name: found[name] for name in ("frontier_cost", "spends", "days")})
        plans[-1] |= {name: {**each, "seconds": None} for name, each in found["strategies"].items()}
    assert plans[0] == plans[1]
    assert plans[0]["days"] == 2


def test_what_an_earlier_depth_limit_kept_out_is_counted_again(run: Run, tmp_path: Path) -> None:
    """After a crawl that read all within a hop nothing is left there, and behind it what a crawl would find."""
    path = tmp_path / "followgraph.db"
    rehearsal.go(path, rehearsal.service(GRAPH), seeds=SEEDS, budget=10_000, strategy="bfs", max_depth=1)
    within = run("plan", "--json", "--budget", 300, "--max-depth", 1).document
    assert (within["frontier_cost"], within["spends"]) == (0, 0)
    assert set(within["forecast"]["edges"].values()) == {0}
    shown = run("plan", "--budget", 300, "--max-depth", 1).out
    why = "no list waits within 1 hop of a seed (crawl.max_depth)"
    assert f"nothing is left to buy with these settings: {why}" in shown
    assert "0–0–0" not in shown
    beyond = run("plan", "--json", "--budget", 300).document
    [(waits,)] = rehearsal.rows(
        path,
        "SELECT sum(max(1, (following + 19) / 20)) FROM frontier JOIN accounts ON id = account_id"
        " WHERE reason = 'depth'",
    )
    assert beyond["frontier_cost"] == waits
    came, _, charged = bought(path, 300)
    assert beyond["spends"] == charged == 300
    assert holds(beyond["forecast"], came, ["accounts", "edges", "visits"])


def test_a_depth_limit_ends_a_crawl_and_its_forecast(run: Run, lean: Path) -> None:
    """Where nothing within the limit is left to buy, neither the crawl nor the plan goes on to the budget."""
    found = run("--db", lean, "plan", "--json", "--budget", 20_000, "--max-depth", 1).document
    came, reason, charged = bought(lean, 20_000, max_depth=1)
    assert reason == "frontier_empty"
    assert found["spends"] == found["frontier_cost"]
    assert found["spends"] == pytest.approx(charged, rel=0.1)
    assert holds(found["forecast"], came, ["accounts", "edges", "visits"])
    shown = run("--db", lean, "plan", "--budget", 20_000, "--max-depth", 1).out
    assert f"about {found['spends']:,} credits will be spent: then nothing is left to buy" in shown


def test_what_filters_keep_out_is_not_counted_and_comes_back_with_them(run: Run, tmp_path: Path) -> None:
    """The frontier costs what a crawl with these filters would pay for it, whatever filters an earlier crawl had."""
    path, wanted = tmp_path / "followgraph.db", Filter(min_followers=60)
    rehearsal.go(path, rehearsal.service(GRAPH), seeds=SEEDS, budget=150, wanted=wanted)
    cost = "SELECT sum(max(1, (following + 19) / 20)) FROM frontier f JOIN accounts ON id = account_id"
    for flags, where in (
        (["--min-followers", 60], "state IN (0, 5)"),
        ([], "state IN (0, 5) OR reason = 'filtered'"),
        (["--min-followers", 20], "followers >= 20 AND (state IN (0, 5) OR reason = 'filtered')"),
    ):
        halves = "coalesce((SELECT pages FROM visits v WHERE v.id = f.visit_id), 0)"
        [(waits,)] = rehearsal.rows(path, cost.replace("/ 20)", f"/ 20 - {halves})") + f" WHERE {where}")
        assert run("plan", "--json", "--budget", 300, *flags).document["frontier_cost"] == waits
    found = run("plan", "--json", "--budget", 20_000, "--min-followers", 60).document
    came, reason, charged = bought(path, 20_000, wanted=wanted)
    assert reason == "frontier_empty"
    assert charged / 2 < found["spends"] < charged * 2
    assert holds(found["forecast"], came, ["accounts", "edges", "visits"])


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        (["--max-pages-per-account", 1], {"max_pages_per_account": 1}),
        (["--control", 0.3, "--audit", 0.2, "--explore", 0.3], {"control": 0.3, "audit": 0.2, "explore": 0.3}),
        (["--retry-reserve", 150], {"caps": Caps(retry_reserve=150)}),
        (["--budget-per-seed", 25], {"caps": Caps(per_seed=25)}),
        (["--strategy", "rank", "--cost-exponent", 0], {"strategy": "rank", "cost_exponent": 0.0}),
        (["--strategy", "discover", "--page-rules", "on"], {"strategy": "discover", "page_rules": "on"}),
        (["--strategy", "core", "--page-rules", "on"], {"strategy": "core", "page_rules": "on"}),
    ],
)
def test_a_plan_minds_the_settings_of_its_crawl(
    run: Run, lean: Path, flags: Sequence[object], options: dict[str, Any]
) -> None:
    """What a crawl with the same settings buys lies within the forecast, and costs what was said."""
    found = run("--db", lean, "plan", "--json", "--budget", 300, *flags).document
    came, _, charged = bought(lean, 300, **options)
    assert found["spends"] == charged
    assert holds(found["forecast"], came, ["accounts", "edges", "visits"])


def test_a_crawl_forecasts_its_phases_as_its_plan_does(run: Run, lean: Path) -> None:
    """What was planned right before is what the run is compared with: the audit, its own share and the waves."""
    plan = ("--db", lean, "plan", "--json", "--budget", 300)
    found = run(*plan, "--audit", 0.3, "--control", 0.3).document
    came, _, charged = bought(lean, 300, audit=0.3, control=0.3)
    foreseen = rehearsal.state(lean.with_name("copy.db")).runs[-1].foreseen
    assert foreseen is not None
    assert (foreseen["from_credit"], foreseen["credits"]) == (0, charged)
    for name in ("accounts", "edges"):
        assert {key: foreseen[name][key] for key in ("low", "mid", "high")} == found["forecast"][name]
        assert foreseen[name]["actual"] == came[name]
        assert found["forecast"][name] != run(*plan).document["forecast"][name]


def test_a_forecast_made_within_a_phase_is_of_what_is_left_of_it(tmp_path: Path) -> None:
    """After the first fifty credits, all of the audit's, the rest of the audit and what follows is forecast."""
    path = tmp_path / "a.db"
    rehearsal.go(path, rehearsal.service(GRAPH), seeds=SEEDS, budget=300, audit=0.4, control=0.2)
    foreseen = rehearsal.state(path).runs[-1].foreseen
    assert foreseen is not None
    assert 50 <= foreseen["from_credit"] < 120
    assert foreseen["from_credit"] + foreseen["credits"] == 300
    for name in ("accounts", "edges"):
        assert foreseen[name]["low"] <= foreseen[name]["actual"] <= foreseen[name]["high"]
    assert abs(foreseen["edges"]["error"]) < 0.05  # by the audit's order to the end it was a sixth too much


def test_a_list_is_capped_and_a_cost_exponent_changes_the_order(run: Run, lean: Path) -> None:
    """With one page a list the frontier costs a credit each; without regard to cost `rank` begins fewer lists."""
    [(waiting,)] = rehearsal.rows(lean, "SELECT count(*) FROM frontier WHERE state IN (0, 5)")
    found = run("--db", lean, "plan", "--json", "--budget", 300, "--max-pages-per-account", 1).document
    assert found["frontier_cost"] == waiting
    ranks = ("--db", lean, "plan", "--json", "--budget", 300, "--strategy", "rank")
    dear = run(*ranks, "--cost-exponent", 0).document["forecast"]["visits"]["mid"]
    assert dear < run(*ranks).document["forecast"]["visits"]["mid"] / 2


def test_the_time_is_of_the_concurrency_and_the_rate_asked_for(run: Run, lean: Path) -> None:
    """An answer took as long as it took; how many are asked for at once decides, and the line says by what."""
    plan = ("--db", lean, "plan", "--budget", 3000)

    def seconds(*flags: object) -> dict[str, int]:
        found: dict[str, int] = run(*plan, *flags, "--json").document["forecast"]["seconds"]
        return found

    one, few, many = (seconds("--concurrency", count)["mid"] for count in (1, 20, 200))
    assert one == pytest.approx(20 * few, rel=0.15)
    assert few > 5 * many
    held = seconds("--rate", 2, "--concurrency", 200)
    assert held["mid"] == pytest.approx(3000 / 2, rel=0.05)
    answer_s = run(*plan, "--json").document["answer_seconds"]
    assert answer_s == pytest.approx(0.05, abs=0.05)  # though the run was at work for less than a second or so
    shown = run(*plan, "--rate", 2).out
    assert f"at {answer_s:.2g} s an answer, as the last run saw, 20 in flight, at most 2 a second" in shown
    run("seed", "@a")
    unknown = run("plan", "--budget", 100).out
    assert "at 0.2 to 5 s an answer, for none came yet" in unknown
    assert "all alike, for nothing is known to choose by" in unknown


def test_what_a_rate_held_may_be_faster_without_it(tmp_path: Path, run: Run) -> None:
    """Nobody saw how fast answers can come: the low end is that of a guess."""
    path = tmp_path / "followgraph.db"
    rehearsal.go(path, rehearsal.service(GRAPH), seeds=SEEDS, budget=100, rate=5.0)
    same = run("plan", "--budget", 400, "--new-run", "--rate", 5, "--json").document["forecast"]["seconds"]
    assert same["mid"] == pytest.approx(400 / 5, rel=0.4)  # it begins slowly
    free = run("plan", "--budget", 400, "--new-run", "--json").document["forecast"]["seconds"]
    assert free["low"] <= 400 * 0.2 / 20


def test_credits_for_all_there_is_make_strategies_alike(run: Run, lean: Path) -> None:
    """Seven equal rows are explained, and a time without a range is told once."""
    plan = ("--db", lean, "plan", "--budget", 20_000, "--max-depth", 1)
    assert "all alike, for the credits buy all that can be reached" in run(*plan).out
    assert "all alike" not in run("--db", lean, "plan", "--budget", 100).out
    [time] = [line for line in run(*plan, "--rate", 1000).out.splitlines() if line.startswith("time")]
    assert re.search(r"(\S+)–\1–\1", time) is None


def test_a_budget_above_a_days_lasts_several(run: Run, lean: Path) -> None:
    """The days are said, the nights between are part of the time, and what today has spent already counts."""
    found = run("--db", lean, "plan", "--json", "--budget", 300, "--budget-per-day", 100).document
    assert found["days"] == 3
    assert 86_400 < found["forecast"]["seconds"]["low"] < 3 * 86_400
    shown = run("--db", lean, "plan", "--budget", 300, "--budget-per-day", 100).out
    assert "100 credits a day: it lasts 3 days" in shown
    assert run("--db", lean, "plan", "--json", "--budget", 300).document["days"] is None
    database = Database.open(lean, now=lambda: 0.0, mode="read")
    with database.read() as conn:
        [at] = conn.exec_driver_sql("SELECT max(at) FROM ledger").one()
        days = [
            prospects.read(conn, Options(budget=300, caps=Caps(per_day=cap)), 300, now=at).forecasts["flow"].days
            for cap in (100, 250, 500)
        ]
    database.close()
    assert days == [3, 2, 1]  # from tomorrow on; with what is left of today; today


def test_more_credits_are_for_the_run_that_was_at_work_last(run: Run, tmp_path: Path) -> None:
    """A crawl that goes on after a refresh is the older run of the two."""
    path, api = tmp_path / "followgraph.db", rehearsal.service(GRAPH)

    rehearsal.go(path, api, seeds=SEEDS, budget=150, meanwhile=rehearsal.stop_after(0.3))
    rehearsal.go(path, api, budget=5, refresh_only=True)
    assert "for run 2" in run("budget", "add", 7).out
    rehearsal.go(path, api, budget=None)
    assert "for run 1" in run("budget", "add", 40).out
    assert [each.budget for each in rehearsal.state(path).runs] == [190, 12]
    refused = run("budget", "add", "-5")
    assert refused.code == 2
    assert "-5 credits more: from 1 to 1,000,000,000,000 it may be" in refused.err


def test_a_day_that_is_spent_is_said(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is bought before tomorrow, though the budget lasts one day."""
    path = tmp_path / "followgraph.db"
    rehearsal.go(path, rehearsal.service(GRAPH), seeds=SEEDS, budget=120)
    monkeypatch.setattr(clock, "now", lambda: virtual_time.EPOCH + 60.0)
    shown = run("plan", "--budget", 100, "--budget-per-day", 110).out
    assert "110 credits a day: it lasts 1 day, from tomorrow on: today's are spent" in shown
    assert "from tomorrow on" not in run("plan", "--budget", 100, "--budget-per-day", 300).out


def test_a_run_that_was_cut_off_is_planned_to_its_end(run: Run, tmp_path: Path) -> None:
    """A crawl would go on with it: the budget is its total. A smaller one, or a new run asked for, begins anew."""
    path = tmp_path / "followgraph.db"

    rehearsal.go(
        path, rehearsal.service(GRAPH, latency_s=1.0), seeds=SEEDS, budget=200, meanwhile=rehearsal.stop_after(8.0)
    )
    used = rehearsal.state(path).runs[-1].charged
    assert 50 <= used < 190
    found = run("plan", "--json", "--budget", 200).document
    assert (found["continues"], found["used"], found["spends"]) == (1, used, 200 - used)
    assert f"200 credits of run 1, which goes on: {used} are used" in run("plan", "--budget", 200).out
    for budget, flags in ((10, []), (200, ["--new-run"])):
        found = run("plan", "--json", "--budget", budget, *flags).document
        assert (found["continues"], found["used"], found["spends"]) == (None, 0, budget)
        assert f"--budget {budget} --db" not in run("plan", "--budget", budget, *flags).out
        assert "--new-run" in run("plan", "--budget", budget, *flags).out


@pytest.mark.parametrize("caps", [Caps(), Caps(per_seed=60), Caps(per_depth=(3, 80, 60))])
def test_a_run_that_was_killed_is_planned_without_what_was_in_flight(tmp_path: Path, caps: Caps) -> None:
    """Its open reservations become uncertain when a crawl goes on with it: of the run, and of their seeds and hops."""
    path, asked = tmp_path / "a.db", {"concurrency": 20, "caps": caps, "max_depth": 2}
    api = rehearsal.service(GRAPH)
    with suppress(Died):
        rehearsal.go(path, api, seeds=SEEDS, budget=300, writer=dying(100), **asked)
    [before] = rehearsal.state(path).runs
    assert before.reserved == 20
    with closing(Database.open(path, now=virtual_time.now, mode="read")) as db, db.read() as conn:
        found = prospects.read(conn, Options(budget=None, **asked), None, now=virtual_time.EPOCH)
    assert found.used == before.charged + 20
    rehearsal.go(path, api, budget=None, **asked)
    [after] = rehearsal.state(path).runs
    assert after.charged - before.charged == found.forecasts["flow"].cost


def test_a_plan_shows_low_mid_and_high_within_eighty_columns(run: Run, lean: Path) -> None:
    """Each strategy has a line with all three of each number."""
    found = run("--db", lean, "plan", "--json", "--budget", 500).document
    shown = run("--db", lean, "plan", "--budget", 500).out.splitlines()
    for name in NAMES:
        [line] = [line for line in shown if line.startswith(f"{name} ")]
        for of in ("accounts", "edges", "visits"):
            assert "–".join(f"{count:,}" for count in found["strategies"][name][of].values()) in line
        assert line.startswith(f"{name:<9} {found['strategies'][name]['accounts']['low']:,}–")
    assert all(len(line) <= 80 for line in shown if not line.startswith("next"))


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
    "seeds of a closed hop": {"budget": 5000, "caps": Caps(per_seed=120, per_depth=(3, 30))},
    "one seed of a closed hop": {"budget": 5000, "caps": Caps(per_seed=80, per_depth=(3, 20)), "strategy": "bfs"},
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


def test_what_seeds_and_hops_keep_out_costs_nothing(run: Run, tmp_path: Path) -> None:
    """The known frontier of a run that its sub-budgets ended is free: these settings let no list of it be bought."""
    caps = Caps(per_seed=20, per_depth=(3, 12))
    rehearsal.go(tmp_path / "followgraph.db", rehearsal.service(GRAPH), seeds=SEEDS, budget=400, caps=caps)
    flags = ("--budget-per-depth", "3,12", "--budget-per-seed")
    closed = run("plan", *flags, 20, "--json").document
    assert (closed["continues"], closed["spends"], closed["frontier_cost"]) == (1, 0, 0)
    assert "0 credits for all that waits now" in run("plan", *flags, 20).out
    is_open = run("plan", *flags, 25, "--json").document
    assert 0 < is_open["spends"] <= 15 < is_open["frontier_cost"]


def test_a_run_that_stops_early_is_compared_with_what_was_expected_by_then(tmp_path: Path) -> None:
    """Half way through its budget about as much has come as the way to the forecast passes there."""
    path = tmp_path / "a.db"

    rehearsal.go(path, rehearsal.service(GRAPH), seeds=["u1", "u2"], budget=400, meanwhile=rehearsal.stop_after(0.6))
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


def test_a_room_is_what_is_left_of_seeds_and_hops() -> None:
    """Each list takes of its seed and of its hop; what no cap is about has room without end."""
    room = Room(per_seed=10, seeds={1: 4.0}, hops={0: 5.0, 1: 0.0})
    ours = room.copy()
    ours.take(1, 0, 3.0)
    assert [ours.left(1, 0), ours.left(2, 0), ours.left(2, 1), ours.left(2, 7)] == [1.0, 2.0, 0.0, 10.0]
    wanted = {(1, 7): 4.0, (2, 0): 1.0, (3, 0): 3.0, (4, 0): 0.0, (2, 1): 4.0, (None, 7): 9.0}
    paid = {(1, 7): 1.0, (2, 0): 0.5, (3, 0): 1.5, (4, 0): 0.0, (2, 1): 0.0, (None, 7): 9.0}
    assert ours.cut(wanted) == paid  # seed 1 has a credit left, hop 0 two, hop 1 none
    assert room.left(1, 0) == 4.0
    assert Room().left(1, 0) == Room(per_seed=10).left(None, 0) == inf


def test_what_overlays_cost_is_said(run: Run) -> None:
    """Shares are told in credits, and whether they suffice for an interval."""
    run("seed", "@a")
    shown = run("plan", "--budget", 1000, "--control", 0.2, "--audit", 0.1).out
    assert "200 credits for a random sample: no interval yet" in shown
    assert "100 credits to learn how far follower counts can be trusted" in shown
    between = run("plan", "--budget", 1500, "--control", 0.2).out
    assert "300 credits for a random sample: it may be too small for intervals (420 are enough, as a rule)" in between
    enough = run("plan", "--budget", 2100, "--control", 0.2).out
    assert "420 credits for a random sample: intervals for averages in the report, as a rule" in enough


def test_an_overlay_that_is_off_says_what_it_would_bring(run: Run) -> None:
    """The budget that it names for intervals is one of which a plan promises them; the manual names the same."""
    run("seed", "@a")
    shown = run("plan", "--budget", 1000).out
    named = re.search(r"off: no intervals in the report \((0.2) of ([0-9,]+) credits mostly buys them\)", shown)
    assert named is not None
    share, budget = named[1], int(named[2].replace(",", ""))
    assert "random sample: intervals" in run("plan", "--budget", budget, "--control", share).out
    assert "random sample: intervals" not in run("plan", "--budget", budget - 10, "--control", share).out
    manual = Path(__file__).parents[2].joinpath("docs", "strategies.md").read_text(encoding="utf-8")
    assert f"at {SHARE_A_WAVE} credits a wave ({share} of {named[2]} credits)" in manual
    assert "off: rankings trust" in shown
    assert "off: the strategy alone chooses" in shown


@pytest.mark.parametrize("seed", range(3))
def test_a_plan_that_promises_intervals_is_right(tmp_path: Path, seed: int) -> None:
    """The least share of which intervals are said leaves each wave enough of it: at shares of 100 most had too few."""
    path, budget = tmp_path / "a.db", round(SHARE_A_WAVE * WAVES / 0.4)
    api = rehearsal.service(network.generate(4000, rng_seed=seed))
    rehearsal.go(path, api, seeds=SEEDS, budget=budget, control=0.4, strategy=("flow", "core", "rank")[seed])
    db = Database.open(path, now=lambda: 0.0, mode="read")
    with db.read() as conn:
        _, credits = control_waves(conn)
    db.close()
    assert min(credits.values()) >= CREDITS_A_WAVE - UNSPENT


def test_a_sample_asked_for_late_takes_all_that_is_left(run: Run, lean: Path) -> None:
    """Then it makes no difference by which strategy the rest is bought, and the seven equal rows say so."""
    path = lean.with_name("late.db")
    shutil.copy(lean, path)
    run("--db", path, "budget", "add", 10)
    shown = run("--db", path, "plan", "--control", 0.5).out
    assert "all alike, for the audit and the control sample take all credits" in shown
    assert "10 of " in shown


def test_lots_are_a_share_of_what_the_strategy_picks(run: Run, lean: Path) -> None:
    """Not of the whole budget: the audit and the control sample are drawn otherwise, and what is spent is spent."""
    path = lean.with_name("lots.db")
    shutil.copy(lean, path)
    shares = ("--audit", 0.3, "--control", 0.3, "--explore", 0.3)
    plan = ("--db", path, "plan", "--budget", 1000, *shares)
    found = run(*plan, "--json").document
    assert found["shares"] == {"audit": 300, "control": 300}
    assert found["coming"] == {"audit": 300, "main": 400, "control": 300, "explore": 120}
    assert "about 120 credits for accounts picked by lot" in run(*plan).out

    options = {"audit": 0.3, "control": 0.3, "explore": 0.3}
    rehearsal.go(
        path,
        rehearsal.service(GRAPH),
        budget=1000,
        new_run=True,
        rng_seed=1,
        meanwhile=rehearsal.stop_after(1.4),
        **options,
    )
    used = rehearsal.state(path).runs[-1].charged
    assert 300 < used < 700
    found = run(*plan, "--json").document
    assert found["coming"]["audit"] == 0
    assert found["coming"]["main"] == 700 - used
    shown = run(*plan).out
    assert "0 of 300 credits to learn how far" in shown
    assert f"about {round(0.3 * (700 - used))} credit" in shown


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
        (
            ["--control", 0.7, "--audit", 0.7],
            {},
            ["crawl.control = 0.7 (from --control)", "crawl.audit = 0.7 (from --audit)"],
        ),
        (
            [],
            {"FOLLOWGRAPH_BUDGET__RETRY_RESERVE": "20"},
            ["budget.retry_reserve = 20 (from FOLLOWGRAPH_BUDGET__RETRY_RESERVE)", "budget.total = 20 (from --budget)"],
        ),
        (
            [],
            {"FOLLOWGRAPH_FILTER__MIN_FOLLOWERS": "10", "FOLLOWGRAPH_FILTER__MAX_FOLLOWERS": "5"},
            ["filter.min_followers = 10 (from FOLLOWGRAPH_FILTER__MIN_FOLLOWERS)", "filter.max_followers = 5 (from "],
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
    assert "followgraph crawl --budget 50 --strategy core\n" in out


def test_a_pilot_goes_without_what_so_few_credits_cannot_pay(run: Run, tmp_path: Path) -> None:
    """Neither shares nor the reserve, wherever they were set: a pilot of nothing but those is refused."""
    run("seed", "@a")
    (tmp_path / "config.toml").write_text("[crawl]\naudit = 0.5\n")
    shown = run("plan", "--budget", 600, "--retry-reserve", 150, "--control", 0.4, "--rate", 20).out.splitlines()
    [pilot] = [line.strip() for line in shown if "--budget 50" in line]
    assert pilot == "followgraph crawl --budget 50 --audit 0 --rate 20"
    refused = run(*shlex.split(pilot)[1:])
    assert "no API key" in refused.err  # and nothing else


def test_without_a_budget_the_run_that_goes_on_is_planned_with_its_own(run: Run, tmp_path: Path) -> None:
    """A crawl needs none either; where there is no run to go on with, both say so."""
    run("seed", "@a")
    assert run("plan", "--json").document["error"]["code"] == "no_budget"
    path = tmp_path / "other.db"

    rehearsal.go(path, rehearsal.service(GRAPH), seeds=SEEDS, budget=300, meanwhile=rehearsal.stop_after(0.3))
    found = run("--db", path, "plan", "--json").document
    assert (found["budget"], found["continues"]) == (300, 1)
    assert f"next     followgraph crawl --db {path}\n" in run("--db", path, "plan").out
    rehearsal.go(path, rehearsal.service(GRAPH), budget=300)
    assert run("--db", path, "plan", "--json").document["error"]["code"] == "no_budget"
