"""Strategies, overlays, filters and sub-budgets in whole crawls: exact, repeatable, replayable, safe to kill."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
import rehearsal
import virtual_time
from dying import Died, dying

from crawler import prospects, seeding
from crawler.engine import Crawl
from crawler.filter import Filter
from crawler.options import Options
from crawler.phases import Spent, phases
from crawler.replay import replay
from crawler.stopping import StopRules
from crawler.strategies.registry import NAMES
from crawler.worker import BETWEEN_KEYS
from socialfetch.client import Client
from socialfetch.simulator import network
from socialfetch.simulator.faults import Faults
from socialfetch.simulator.service import Service
from socialfetch.simulator.settings import Settings
from socialfetch.simulator.transport import InProcess
from storage import budgets, yields
from storage.allowances import Caps
from storage.database import Database
from storage.errors import BudgetMissing
from storage.writer import InlineWriter, ThreadWriter

SMALL = network.generate(300, rng_seed=3)
SEEDS = ("u1", "u2", "u3")

WAYS: dict[str, dict[str, Any]] = {
    **{name: {"strategy": name} for name in NAMES},
    "core page by page": {"strategy": "core", "page_rules": "on", "core_size": 50},
    "discover page by page": {"strategy": "discover", "page_rules": "on"},
    "cost exponent": {"strategy": "core", "cost_exponent": 0.5},
    "explore": {"strategy": "rank", "explore": 0.5},
    "control": {"strategy": "flow", "control": 0.4},
    "audit": {"strategy": "rank", "audit": 0.3},
    "audit and control": {"strategy": "discover", "audit": 0.2, "control": 0.3, "explore": 0.1},
    "filter": {"wanted": Filter(min_followers=5, max_following=60)},
    "sub-budgets": {"caps": Caps(per_seed=25, per_depth=(3, 20), retry_reserve=2)},
    "a day at a time": {"caps": Caps(per_day=75)},
}
FAULTS = {"lookup_failed": 0.05, "internal_error_charged": 0.03, "renamed": 0.02}


def go(path: Path, way: str, budget: int = 90, **more: Any) -> Any:
    """Crawl a network that fails now and then, in one of the ways."""
    api = rehearsal.service(SMALL, faults=FAULTS, rng_seed=2)
    seeds = {"seeds": SEEDS} if not path.exists() else {}
    result = rehearsal.go(path, api, budget=budget, concurrency=4, **seeds, **WAYS[way], **more)
    return api, result


@pytest.mark.parametrize("way", WAYS)
def test_every_way_keeps_the_budget_and_repeats_itself(tmp_path: Path, way: str) -> None:
    """Charged and uncertain credits stay within the budget, every check holds, and a second crawl is the same."""
    api, _ = go(tmp_path / "a.db", way)
    state = rehearsal.state(tmp_path / "a.db")
    assert state.charged <= api.ledger.charged <= state.charged + state.uncertain <= 90
    again = "SELECT account_id, cursor FROM ledger WHERE outcome = 'settled' GROUP BY 1, 2 HAVING count(*) > 1"
    assert rehearsal.rows(tmp_path / "a.db", again) == []
    assert rehearsal.findings(tmp_path / "a.db") == []
    go(tmp_path / "b.db", way)
    assert rehearsal.contents(tmp_path / "a.db") == rehearsal.contents(tmp_path / "b.db")


@pytest.mark.parametrize("way", WAYS)
def test_every_way_survives_deaths_and_is_replayed(tmp_path: Path, way: str) -> None:
    """Killed at two commits and continued, the books are right and the archive gives the same database again."""
    path = tmp_path / "a.db"
    for commits in (24, 59):
        with suppress(Died):
            go(path, way, writer=dying(commits))
    _, result = go(path, way)
    assert result.stop_reason in {"budget_exhausted", "frontier_empty"}
    state = rehearsal.state(path)
    assert state.charged + state.uncertain <= 90
    assert rehearsal.findings(path) == []
    source, target = (
        Database.open(path, now=lambda: 0.0, mode="read"),
        Database.open(tmp_path / "b.db", now=lambda: 0.0),
    )
    done = replay(source, target)
    source.close()
    target.close()
    assert done.source == done.result
    for table in ("accounts", "follows", "visits", "frontier", "ledger", "journal", "control_draws"):
        query = f"SELECT * FROM {table} ORDER BY 1, 2, 3"
        assert rehearsal.rows(path, query) == rehearsal.rows(tmp_path / "b.db", query), table


def test_a_strategy_can_be_changed_to_any_other(tmp_path: Path) -> None:
    """From strategy to strategy in one database: everything reachable is stored in the end, every page bought once."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    for name in (*NAMES, "bfs", *reversed(NAMES)):
        rehearsal.go(path, api, seeds=SEEDS, budget=12, new_run=True, strategy=name, explore=0.2 * (name == "flow"))
        assert rehearsal.findings(path) == []
    result = rehearsal.go(path, api, budget=100_000)
    assert result.stop_reason == "frontier_empty"
    assert rehearsal.edges(path) == rehearsal.follows(api, SEEDS)
    assert set(api.ledger.pages.values()) == {1}


@pytest.mark.parametrize("strategy", ["core", "community", "discover"])
def test_what_is_counted_page_by_page_is_what_a_change_counts_anew(tmp_path: Path, strategy: str) -> None:
    """Lists that name an account are counted alike by the crawl and by a change of strategy."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=60, strategy=strategy, page_rules="off")
    counted = dict(rehearsal.rows(path, "SELECT account_id, listings FROM frontier"))
    lists = dict(rehearsal.rows(path, "SELECT dst, count(*) FROM follows GROUP BY dst"))
    assert counted == {account: lists.get(account, 0) for account in counted}
    rehearsal.go(path, api, budget=1, strategy="bfs", new_run=True)
    rehearsal.go(path, api, budget=1, strategy=strategy, page_rules="off", new_run=True)
    counted = dict(rehearsal.rows(path, "SELECT account_id, listings FROM frontier"))
    lists = dict(rehearsal.rows(path, "SELECT dst, count(*) FROM follows GROUP BY dst"))
    assert counted == {account: lists.get(account, 0) for account in counted}


def test_visits_say_from_which_queue_they_were_picked(tmp_path: Path) -> None:
    """Each phase takes its share of the budget, and what was drawn is stored."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    rehearsal.go(
        path, api, seeds=SEEDS, budget=200, strategy="flow", audit=0.2, control=0.3, explore=0.2, concurrency=1
    )
    spent = dict(rehearsal.rows(path, "SELECT queue, sum(pages) FROM visits GROUP BY queue"))
    assert spent["audit"] <= 40
    assert sum(credits for queue, credits in spent.items() if queue.startswith("control")) <= 60
    assert spent["explore"] > 0
    assert sum(spent.values()) == 200 == api.ledger.charged
    waves = dict(rehearsal.rows(path, "SELECT wave, count(*) FROM control_draws GROUP BY wave"))
    assert set(waves) == {1, 2, 3}
    unread = rehearsal.rows(
        path,
        "SELECT count(*) FROM control_draws d JOIN frontier f USING (account_id) WHERE d.wave = 1 AND f.state = 0",
    )
    assert unread == [(0,)]


def test_filters_keep_and_never_buy_what_they_refuse(tmp_path: Path) -> None:
    """Refused accounts stay in the graph; when the filter is taken away they are bought."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    wanted = Filter(min_followers=20)
    rehearsal.go(path, api, seeds=SEEDS, budget=100_000, wanted=wanted)
    bought = rehearsal.rows(
        path, "SELECT min(a.followers) FROM visits v JOIN accounts a ON a.id = v.account_id WHERE a.handle NOT IN"
        " ('u1', 'u2', 'u3')"
    )  # fmt: skip
    assert bought[0][0] >= 20
    assert rehearsal.state(path).skipped["filtered"] > 0
    rehearsal.go(path, api, budget=100_000, new_run=True)
    assert rehearsal.edges(path) == rehearsal.follows(api, SEEDS)
    assert set(api.ledger.pages.values()) == {1}


def test_a_filter_and_a_depth_limit_hold_together_whichever_was_set_first(tmp_path: Path) -> None:
    """What the one lets back is kept out by the other."""
    api, path, wanted = rehearsal.service(SMALL), tmp_path / "a.db", Filter(min_followers=20)
    bought = (
        "SELECT max(f.depth), min(CASE WHEN f.depth > 0 THEN a.followers END) FROM visits v"
        " JOIN frontier f ON f.account_id = v.account_id JOIN accounts a ON a.id = v.account_id"
    )
    rehearsal.go(path, api, seeds=SEEDS, budget=100_000, max_depth=1, wanted=wanted)
    rehearsal.go(path, api, budget=100_000, new_run=True, max_depth=1)
    assert rehearsal.rows(path, bought)[0][0] == 1
    path = tmp_path / "b.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=6, max_depth=0)
    rehearsal.go(path, api, budget=100_000, new_run=True, max_depth=0, wanted=wanted)
    rehearsal.go(path, api, budget=100_000, new_run=True, wanted=wanted)
    [(depth, followers)] = rehearsal.rows(path, bought)
    assert depth > 1
    assert followers >= 20


@pytest.mark.parametrize("concurrency", [1, 50])
def test_no_seed_hop_or_day_gets_more_than_its_credits(tmp_path: Path, concurrency: int) -> None:
    """Sub-budgets are exact with many requests in flight, and what they leave over is bought when they are raised."""
    api, path = rehearsal.service(SMALL, faults={"internal_error": 0.1}), tmp_path / "a.db"
    caps = Caps(per_seed=20, per_depth=(6, 12), per_day=40)
    result = rehearsal.go(path, api, seeds=SEEDS, budget=100_000, caps=caps, concurrency=concurrency)
    assert result.stop_reason == "budget_exhausted"
    assert result.key is not None
    assert set(result.key.split(BETWEEN_KEYS)) <= {"budget.per_seed", "budget.per_depth"}
    used = "sum(l.charged + l.uncertain) FROM ledger l JOIN visits v ON v.id = l.visit_id"
    seeds = rehearsal.rows(path, f"SELECT v.seed_id, {used} GROUP BY 1")
    assert len(seeds) == 3
    assert max(credits for _, credits in seeds) <= 20
    depths = dict(rehearsal.rows(path, f"SELECT v.depth, {used} GROUP BY 1"))
    assert depths[0] <= 6
    assert depths[1] <= 12
    days = rehearsal.rows(path, "SELECT at / 86400, sum(charged + uncertain) FROM ledger GROUP BY 1")
    assert len(days) > 1
    assert max(credits for _, credits in days) <= 40
    rehearsal.go(path, api, budget=100_000, new_run=True)
    assert rehearsal.edges(path) == rehearsal.follows(api, SEEDS)


def test_a_stop_by_sub_budgets_names_the_settings_and_the_remedy(tmp_path: Path) -> None:
    """Whoever meets it knows which of the two it was, and what to do: the run goes on, nothing else need be paid."""
    for caps, what, key in (
        (Caps(per_seed=5), "seed", "budget.per_seed"),
        (Caps(per_depth=(3, 4)), "hop", "budget.per_depth"),
    ):
        api, path = rehearsal.service(SMALL), tmp_path / f"{key}.db"
        result = rehearsal.go(path, api, seeds=SEEDS, budget=1000, caps=caps, max_depth=1)
        assert (result.stop_reason, result.key) == ("budget_exhausted", key)
        assert re.fullmatch(
            rf"all accounts left wait for credits of their {what} \(\d+\); to go on with what is left raise the setting"
            r" and crawl without a budget",
            result.detail,
        )
        before = rehearsal.state(path).runs[0]
        assert before.foreseen is None
        more = Caps(per_seed=50) if caps.per_seed else Caps(per_depth=(3, 40))
        again = rehearsal.go(path, api, budget=None, caps=more, max_depth=1)
        [after] = rehearsal.state(path).runs
        assert again.run_id == before.id
        assert before.charged < after.charged <= after.budget == 1000


def test_credits_kept_for_retries_are_spent_once_they_are_not_kept(tmp_path: Path) -> None:
    """The run that ended for its reserve alone goes on; once its budget is used up a crawl needs a new one."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=SEEDS, budget=60, caps=Caps(retry_reserve=20))
    assert (result.stop_reason, result.key) == ("budget_exhausted", "budget.retry_reserve")
    assert "to go on with what is left lower the setting and crawl without a budget" in result.detail
    assert rehearsal.state(path).runs[0].charged == 40
    rehearsal.go(path, api, budget=None, caps=Caps(retry_reserve=5))
    rehearsal.go(path, api, budget=None)
    assert [run.charged for run in rehearsal.state(path).runs] == [60]
    with pytest.raises(BudgetMissing):
        rehearsal.go(path, api, budget=None)
    rehearsal.go(path, api, budget=30, caps=Caps(retry_reserve=20))
    rehearsal.go(path, api, budget=5)
    assert [run.charged for run in rehearsal.state(path).runs] == [60, 10, 5]  # who brings a budget begins anew


def test_waits_for_a_new_day_are_no_work(tmp_path: Path) -> None:
    """A run over several days was at work for seconds: its speed, by which time is forecast, is that of its work."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=SEEDS, budget=120, caps=Caps(per_day=40), concurrency=4)
    days = rehearsal.rows(path, "SELECT count(DISTINCT at / 86400), max(at) - min(at) FROM ledger WHERE charged > 0")[0]
    assert days[0] == 3
    assert days[1] > 86_400
    assert result.seconds < 60
    [run] = rehearsal.state(path).runs
    assert run.active_s == pytest.approx(result.seconds, abs=0.1)
    with closing(Database.open(path, now=virtual_time.now, mode="read")) as db, db.read() as conn:
        found = yields.pace(conn)
    assert found is not None
    assert found.pages_per_s > 2.0


def test_credits_kept_for_retries_are_spent_on_nothing_else(tmp_path: Path) -> None:
    """Without failures the reserve is left over; with failures it pays for them."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=50, caps=Caps(retry_reserve=8))
    assert api.ledger.charged == 42
    api, path = rehearsal.service(SMALL, faults={"lookup_failed": 0.3}, rng_seed=4), tmp_path / "b.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=50, caps=Caps(retry_reserve=8), concurrency=1)
    state = rehearsal.state(path)
    assert 42 < state.charged + state.uncertain <= 50


def test_credits_kept_for_retries_are_taken_from_no_wave_alone(tmp_path: Path) -> None:
    """The three waves of a control sample share alike in what first calls may cost, as is forecast."""
    api, path = rehearsal.service(network.generate(1500, rng_seed=5)), tmp_path / "a.db"
    asked: dict[str, Any] = {"control": 0.5, "caps": Caps(retry_reserve=100)}
    rehearsal.go(path, api, seeds=SEEDS, budget=130, strategy="flow", concurrency=1)
    with closing(Database.open(path, now=virtual_time.now, mode="read")) as db, db.read() as conn:
        found = prospects.read(conn, Options(budget=400, new_run=True, **asked), 400, now=0.0)
    assert found.forecasts["flow"].cost == 300
    rehearsal.go(path, api, budget=400, new_run=True, strategy="flow", concurrency=1, **asked)
    spent = dict(rehearsal.rows(path, "SELECT queue, sum(pages) FROM visits WHERE run_id = 2 GROUP BY queue"))
    assert sum(spent.values()) == 300
    assert 150 <= spent["main"] <= 160
    assert all(40 <= spent[f"control-{wave}"] <= 60 for wave in (1, 2, 3))


USED_BY_QUEUE = "SELECT queue, sum(charged + uncertain) FROM ledger l JOIN visits v ON v.id = l.visit_id GROUP BY queue"


def shares_of(path: Path) -> dict[str, int]:
    """Return the credits of a run by queue, the waves of its control sample together."""
    found: dict[str, int] = {}
    for queue, credits in rehearsal.rows(path, USED_BY_QUEUE):
        name = queue.partition("-")[0]
        found[name] = found.get(name, 0) + credits
    return found


def test_a_raised_budget_gives_each_phase_its_share_of_it(tmp_path: Path) -> None:
    """What the waves lack is drawn in addition, what was drawn stays, and with the same budget nothing is."""
    api, path = rehearsal.service(network.generate(1500, rng_seed=5)), tmp_path / "a.db"
    asked: dict[str, Any] = {"strategy": "flow", "control": 0.5, "audit": 0.1, "concurrency": 1}
    draws = "SELECT wave, place, account_id FROM control_draws ORDER BY wave, place"

    class DyingInWaveTwo(InlineWriter):
        def commit(self, batch: Sequence[Any]) -> list[Any]:
            results = super().commit(batch)
            if rehearsal.rows(path, "SELECT 1 FROM visits WHERE queue = 'control-2' LIMIT 1"):
                raise Died
            return results

    with suppress(Died):
        rehearsal.go(path, api, seeds=SEEDS, budget=300, writer=DyingInWaveTwo, **asked)
    drawn = rehearsal.rows(path, draws)
    rehearsal.go(path, api, budget=300, **asked)
    assert [row for row in rehearsal.rows(path, draws) if row[0] < 3] == drawn
    drawn = rehearsal.rows(path, draws)
    before = shares_of(path)
    with closing(Database.open(path, now=virtual_time.now)) as db:
        db.transact(lambda conn: budgets.add(conn, 300, note=None, origin="cli", now=virtual_time.EPOCH))
        foreseen = db.transact(lambda conn: prospects.read(conn, Options(budget=None, **asked), None, now=0.0)).coming
    rehearsal.go(path, api, budget=600, **asked)
    more = rehearsal.rows(path, draws)
    assert set(drawn) < set(more)
    added = {wave: {row[2] for row in set(more) - set(drawn) if row[0] == wave} for wave in (1, 2, 3)}
    listed_by = rehearsal.rows(path, "SELECT dst, src FROM follows")
    for wave in (2, 3):
        assert added[wave]
        assert added[wave] <= {dst for dst, src in listed_by if src in added[wave - 1]}
    shares = shares_of(path)
    assert sum(shares.values()) == 600
    assert shares["audit"] == 60
    assert 285 <= shares["control"] <= 300
    for part in ("audit", "main", "control"):
        assert shares[part] - before[part] == pytest.approx(foreseen[part], abs=15)
    assert rehearsal.findings(path) == []


PICKED = "SELECT 1 FROM visits WHERE queue = "


@pytest.mark.parametrize(
    "is_reached",
    [
        f"{PICKED}'main'",
        f"{PICKED}'control-2'",
        f"{PICKED}'main' AND id > (SELECT max(id) FROM visits WHERE queue = 'control-3')",
    ],
)
def test_a_budget_raised_while_a_crawl_is_under_way_is_shared_alike(tmp_path: Path, is_reached: str) -> None:
    """Whichever phase it is in, the last one too."""
    api, path = rehearsal.service(network.generate(1500, rng_seed=5)), tmp_path / "a.db"

    class Raising(InlineWriter):
        is_raised = False

        def commit(self, batch: Sequence[Any]) -> list[Any]:
            results = super().commit(batch)
            if not self.is_raised and rehearsal.rows(path, f"{is_reached} LIMIT 1"):
                self.is_raised = True
                super().commit([(lambda conn, _: [conn.exec_driver_sql("UPDATE runs SET budget = 600")], None)])
            return results

    asked: dict[str, Any] = {"strategy": "flow", "control": 0.5, "concurrency": 1}
    rehearsal.go(path, api, seeds=SEEDS, budget=300, writer=Raising, **asked)
    shares = shares_of(path)
    assert sum(shares.values()) == 600
    assert 285 <= shares["control"] <= 300


@pytest.mark.parametrize(
    ("before", "after", "shares"),
    [
        ({"budget": 400}, {"budget": 600, "control": 0.5}, {"control-1": 67, "control-2": 66, "control-3": 67}),
        ({"budget": 400}, {"budget": 500, "control": 0.3, "audit": 0.2}, {"audit": 40, "control-1": 20}),
        ({"budget": 400, "control": 0.6}, {"budget": 420, "control": 0.9}, {"control-1": 87, "control-3": 87}),
    ],
)
def test_shares_that_lack_more_than_is_left_are_cut_alike(
    tmp_path: Path, before: Mapping[str, Any], after: Mapping[str, Any], shares: Mapping[str, int]
) -> None:
    """Where an audit or a sample is asked for late each part of it gets some, as plan says, and no more is spent."""
    api, path = rehearsal.service(network.generate(1500, rng_seed=5)), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, concurrency=1, **before)
    with closing(Database.open(path, now=virtual_time.now)) as db:
        budget = after["budget"]
        if budget > before["budget"]:
            more = budget - before["budget"]
            db.transact(lambda conn: budgets.add(conn, more, note=None, origin="cli", now=virtual_time.EPOCH))
        foreseen = db.transact(lambda conn: prospects.read(conn, Options(**after), budget, now=0.0)).coming
    spent = shares_of(path)
    rehearsal.go(path, api, concurrency=1, **after)
    bought = shares_of(path)
    for part in ("audit", "control"):
        assert bought.get(part, 0) - spent.get(part, 0) == pytest.approx(foreseen[part], abs=10)
    used = dict(rehearsal.rows(path, USED_BY_QUEUE))
    for queue, credits in shares.items():
        assert used[queue] == pytest.approx(credits, abs=12)
    assert sum(bought.values()) == budget


def test_waves_that_lack_nothing_are_not_come_to(tmp_path: Path) -> None:
    """A run that goes on with a smaller share spends all on its strategy, and nothing is noted of a sample."""
    api, path = rehearsal.service(network.generate(1500, rng_seed=5)), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=300, control=0.5, concurrency=1)
    came = "SELECT details FROM journal WHERE act = 'chose' AND details LIKE '%control-%'"
    before, spent = rehearsal.rows(path, came), shares_of(path)
    with closing(Database.open(path, now=virtual_time.now)) as db:
        db.transact(lambda conn: budgets.add(conn, 100, note=None, origin="cli", now=virtual_time.EPOCH))
    rehearsal.go(path, api, budget=400, control=0.2, concurrency=1)
    assert rehearsal.rows(path, came) == before != []
    assert shares_of(path) == {**spent, "main": spent["main"] + 100}


def test_credits_that_turned_out_free_are_no_share_of_an_audit() -> None:
    """They stay in the books of the queue that called, and are the run's again."""
    spent = Spent(in_all=400, by_queue={"audit": 150, "main": 290})
    audit, main = phases(Options(budget=800, audit=0.3), 800, spent=spent)
    assert (audit.queue, audit.ceiling) == ("audit", 490)
    assert (main.queue, main.ceiling) == ("main", None)


def test_waves_are_drawn_for_what_lists_may_cost(tmp_path: Path) -> None:
    """Where a list may have one page alone, a wave has as many lists as it has credits."""
    api, path = rehearsal.service(network.generate(1500, rng_seed=5)), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=60, concurrency=1)
    asked: dict[str, Any] = {"budget": 300, "control": 0.5, "max_pages_per_account": 1, "new_run": True}
    rehearsal.go(path, api, concurrency=1, **asked)
    waves = rehearsal.rows(path, USED_BY_QUEUE.replace("GROUP", "WHERE queue LIKE 'control-%' GROUP"))
    assert [credits for _, credits in waves] == [50, 50, 50]


def test_a_sample_of_which_nothing_can_be_bought_ends_soon(tmp_path: Path) -> None:
    """Draws cost nothing then, and would go on until every account was drawn once."""
    api, path = rehearsal.service(network.generate(1500, rng_seed=5)), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=2_000, control=0.5, max_depth=1, concurrency=1)
    waves = rehearsal.rows(path, "SELECT wave, count(*) FROM control_draws GROUP BY wave")
    assert [wave for wave, _ in waves] == [1, 2, 3]
    assert all(count <= 1_100 for _, count in waves)


def test_what_a_sample_brings_stops_no_run(tmp_path: Path) -> None:
    """Its lists are drawn, not chosen for what they bring, and without its last wave it is worth nothing."""
    path, rules = tmp_path / "a.db", StopRules(new_accounts_per_credit=1.0)
    api = rehearsal.service(network.generate(1500, rng_seed=5))
    asked: dict[str, Any] = {"seeds": SEEDS, "budget": 900, "concurrency": 1, "control": 0.9, "stop_rules": rules}
    rehearsal.go(path, api, **asked)
    used = dict(rehearsal.rows(path, USED_BY_QUEUE))
    assert all(used[f"control-{wave}"] >= 255 for wave in (1, 2, 3))


def test_a_run_stops_when_credits_bring_little(tmp_path: Path) -> None:
    """Both rules stop with `low_yield`, and neither stops where it is off."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=SEEDS, budget=10_000, stop_rules=StopRules(new_accounts_per_credit=0.3))
    assert (result.stop_reason, result.key) == ("low_yield", "stop.new_accounts_per_credit")
    result = rehearsal.go(
        tmp_path / "b.db",
        rehearsal.service(SMALL),
        seeds=SEEDS,
        budget=10_000,
        stop_rules=StopRules(uncrawled_share=0.4),
    )
    assert (result.stop_reason, result.key) == ("low_yield", "stop.uncrawled_share")


@pytest.mark.parametrize(("order", "is_page_by_page"), [("random", True), ("hubs-last", False), ("hubs-first", False)])
def test_lists_are_left_half_read_only_where_their_order_was_measured_random(
    tmp_path: Path, order: str, is_page_by_page: bool
) -> None:
    """The page-wise rule takes the strategy's place by itself where lists are in random order, and only there."""
    graph = network.generate(1500, rng_seed=5, list_order=network.ListOrder(order))
    path = tmp_path / "a.db"
    rehearsal.go(path, rehearsal.service(graph), seeds=SEEDS, budget=450, strategy="core", archive=False)
    chosen = "SELECT details LIKE '%core-pages%' FROM journal WHERE act = 'chose' ORDER BY id"
    before = [row[0] for row in rehearsal.rows(path, chosen)]
    assert (1 in before) is is_page_by_page
    # What was measured is known to the next run as well, however short it is.
    rehearsal.go(path, rehearsal.service(graph), budget=20, strategy="core", archive=False, new_run=True)
    assert [row[0] for row in rehearsal.rows(path, chosen)][len(before) :] == [int(is_page_by_page)]


async def be_busy() -> None:
    """Keep the event loop from its other tasks for a moment, again and again: the thread that writes goes on."""
    while True:
        time.sleep(0.001)  # noqa: ASYNC251 - on purpose
        await asyncio.sleep(0)


async def in_real_time(path: Path, graph: network.Network, *, is_busy: bool, **asked: Any) -> None:
    """Crawl with one worker and a thread that writes."""
    settings = Settings(key=rehearsal.KEY, credits=10_000, latency_s=0.0 if is_busy else 0.006, rng_seed=1)
    api = Service(network=graph, settings=settings, faults=Faults({}, rng_seed=1), now=lambda: virtual_time.EPOCH)
    beside = asyncio.ensure_future(be_busy()) if is_busy else None
    with closing(Database.open(path, now=lambda: virtual_time.EPOCH, writer=ThreadWriter)) as db:
        db.claim()
        seeding.seed(db, SEEDS, now=virtual_time.EPOCH)
        crawl = Crawl(
            db=db,
            client=Client(InProcess(api, key=rehearsal.KEY, timeout_s=30.0)),
            options=Options(concurrency=1, rng_seed=42, **asked),
            now=lambda: virtual_time.EPOCH,
            rng=Random(7),
            log=rehearsal.LOG,
        )
        await crawl.run()
    if beside is not None:
        beside.cancel()


@pytest.mark.parametrize(
    ("strategy", "budget", "rules"),
    [("discover", 410, 2), ("core", 410, 2), ("community", 90, 1), ("flow", 90, 1)],
)
def test_one_worker_makes_the_same_crawl_whoever_is_faster(
    tmp_path: Path, strategy: str, budget: int, rules: int
) -> None:
    """What is decided at a page takes effect at that page, be the provider, the disk or the process the slowest."""
    graph = network.generate(5000, rng_seed=5)
    found = []
    for is_busy in (True, False):
        path = tmp_path / f"{is_busy}.db"
        asyncio.run(in_real_time(path, graph, is_busy=is_busy, strategy=strategy, budget=budget))
        chosen = rehearsal.rows(path, "SELECT details FROM journal WHERE act = 'chose' ORDER BY id")
        assert len(chosen) == rules
        tables = ("accounts", "follows", "visits", "frontier", "ledger")
        found.append([chosen, *(rehearsal.rows(path, f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables)])
    assert found[0] == found[1]


def test_another_size_of_the_core_ranks_anew(tmp_path: Path) -> None:
    """Who is of the core, and what its members' lists add, is what a crawl with this size from the start counts."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    asked: dict[str, Any] = {"strategy": "core", "page_rules": "on", "concurrency": 1}
    rehearsal.go(path, api, seeds=SEEDS, budget=60, core_size=100, **asked)
    merit = rehearsal.rows(path, "SELECT sum(merit) FROM frontier")[0][0]
    for size, is_ranked_anew in ((100, False), (5, True), (5, False)):
        before = rehearsal.rows(path, "SELECT max(id) FROM journal")[0][0]
        rehearsal.go(path, api, budget=1, new_run=True, core_size=size, **asked)
        acts = [act for (act,) in rehearsal.rows(path, f"SELECT act FROM journal WHERE id > {before}")]
        assert {"tallied", "ranked"} <= set(acts) if is_ranked_anew else not {"tallied", "ranked"} & set(acts)
    assert rehearsal.rows(path, "SELECT sum(merit) FROM frontier")[0][0] < merit
    assert rehearsal.rows(path, "SELECT value FROM meta WHERE key = 'ranked_by'") == [("core-pages/core^5",)]
    assert rehearsal.findings(path) == []


def test_what_limits_kept_out_is_told_at_the_end(tmp_path: Path) -> None:
    """A crawl that read all it was allowed to says how many accounts its own limits kept out."""
    result = rehearsal.go(tmp_path / "a.db", rehearsal.service(SMALL), seeds=SEEDS, budget=10_000, max_depth=0)
    deep = rehearsal.rows(tmp_path / "a.db", "SELECT count(*) FROM frontier WHERE reason = 'depth'")[0][0]
    assert deep > 1
    assert result.stop_reason == "frontier_empty"
    assert result.detail == f"every other account that can be reached was visited; {deep:,} accounts were too deep"


def test_the_rules_that_may_stop_a_run_are_kept_with_it(tmp_path: Path) -> None:
    """Whoever repeats a study finds them among the run's settings."""
    rules = StopRules(new_accounts_per_credit=0.5)
    rehearsal.go(tmp_path / "a.db", rehearsal.service(SMALL), seeds=SEEDS, budget=20, stop_rules=rules)
    settings = json.loads(rehearsal.rows(tmp_path / "a.db", "SELECT settings FROM runs")[0][0])
    assert settings["stop"] == {"new_accounts_per_credit": 0.5, "uncrawled_share": None}
