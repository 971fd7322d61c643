"""Whole crawls in virtual time: they finish, stop exactly at the budget, and repeat to the byte."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import rehearsal
import virtual_time

from crawler.engine import Crawl
from crawler.policy import Retry
from crawler.strategies.registry import NAMES
from socialfetch import errors
from socialfetch.simulator import network
from storage.errors import BudgetMissing, BudgetTooSmall, LockedByCrawl
from storage.writer import InlineWriter

SMALL = network.generate(400, rng_seed=3)
SEEDS = ("u1", "u2", "u3")


@pytest.mark.parametrize("strategy", NAMES)
def test_a_crawl_to_the_end_stores_exactly_what_can_be_reached(tmp_path: Path, strategy: str) -> None:
    """Every follow in a reachable list is stored, nothing else, and every page is bought once."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=SEEDS, budget=100_000, strategy=strategy)
    assert result.stop_reason == "frontier_empty"
    assert rehearsal.edges(path) == rehearsal.follows(api, SEEDS)
    assert set(api.ledger.pages.values()) == {1}
    assert rehearsal.state(path).charged == api.ledger.charged
    assert rehearsal.findings(path) == []


@pytest.mark.parametrize("budget", [1, 2, 7, 50, 300])
@pytest.mark.parametrize("concurrency", [1, 20, 500])
def test_the_budget_is_spent_to_the_last_credit_and_no_further(tmp_path: Path, budget: int, concurrency: int) -> None:
    """What was truly charged equals the budget, however many requests are in flight."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=SEEDS, budget=budget, concurrency=concurrency)
    state = rehearsal.state(path)
    assert result.stop_reason == "budget_exhausted"
    assert api.ledger.charged == budget == state.charged == state.pages
    assert rehearsal.findings(path) == []


def test_accounts_that_were_given_up_are_not_called_visited(tmp_path: Path) -> None:
    """Where every call failed for good, the end says how many accounts were given up."""
    api, path = rehearsal.service(SMALL, faults={"lookup_failed": 1.0}), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=SEEDS, budget=50, retry=Retry(attempts=1, maybe_charged_attempts=1))
    assert result.stop_reason == "frontier_empty"
    assert "3 accounts were given up" in result.detail


def test_every_page_keeps_how_long_the_run_has_worked(tmp_path: Path) -> None:
    """While a run works, and after a kill, its seconds are those up to its last page."""
    api, path = rehearsal.service(SMALL, latency_s=1.0), tmp_path / "a.db"
    seen: list[float] = []

    async def look(_: Crawl) -> None:
        await asyncio.sleep(10.2)  # before the first heartbeat
        seen.append(rehearsal.state(path).runs[-1].active_s)

    virtual_time.run(rehearsal.crawl(path, api, seeds=SEEDS, budget=40, concurrency=1, meanwhile=look))
    assert len(seen) == 1
    assert 5.0 < seen[0] <= 10.2


def test_a_new_run_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    """After a spent budget the next crawl buys the rest, no page twice, lists cut in the middle included."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    for _ in range(40):
        result = rehearsal.go(path, api, seeds=SEEDS, budget=37)
        if result.stop_reason == "frontier_empty":
            break
    assert result.stop_reason == "frontier_empty"
    assert rehearsal.edges(path) == rehearsal.follows(api, SEEDS)
    assert set(api.ledger.pages.values()) == {1}
    assert len(rehearsal.state(path).runs) > 2


def test_two_crawls_with_one_seed_are_the_same_to_the_byte(tmp_path: Path) -> None:
    """Same simulator, seeds and rng seed give the same database, row for row, faults and all."""
    dumps = []
    for name in ("a.db", "b.db"):
        api = rehearsal.service(SMALL, faults={"lookup_failed": 0.05, "overloaded": 0.05}, latency_spread=0.5)
        rehearsal.go(tmp_path / name, api, seeds=SEEDS, budget=200, rng_seed=11)
        dumps.append([line for line in rehearsal.contents(tmp_path / name) if 'INSERT INTO "processes"' not in line])
    assert dumps[0] == dumps[1]


def test_depth_is_the_number_of_hops(tmp_path: Path) -> None:
    """A limit of two hops visits exactly the accounts within two hops, and every stored depth is the shortest way."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=100_000, strategy="bfs", max_depth=2)
    graph = api.network
    hops = dict.fromkeys(SEEDS, 0)
    layer = list(SEEDS)
    for depth in (1, 2, 3):
        following = []
        for source in layer:
            index = graph.index(source)
            assert index is not None
            if graph.status(index) != network.Status.FOUND:
                continue
            following += [graph.handle(int(target)) for target in graph.following(index)[0]]
        layer = [handle for handle in dict.fromkeys(following) if handle not in hops]
        hops |= dict.fromkeys(layer, depth)
    stored = rehearsal.rows(path, "SELECT handle, depth FROM frontier JOIN accounts ON id = account_id")
    assert dict(stored) == hops
    assert {f"{handle}" for handle, depth in hops.items() if depth <= 2} >= {
        key.split("|")[0] for key in api.ledger.pages
    }


def test_a_raised_depth_limit_buys_what_was_too_deep(tmp_path: Path) -> None:
    """Accounts skipped for their depth are bought once a later run allows it; a lower limit holds them back again."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=100_000, max_depth=1)
    few = api.ledger.charged
    assert rehearsal.state(path).skipped["depth"] > 0
    rehearsal.go(path, api, budget=100_000)
    assert api.ledger.charged > few
    assert rehearsal.edges(path) == rehearsal.follows(api, SEEDS)


def test_a_page_cap_marks_lists_as_capped(tmp_path: Path) -> None:
    """A list cut by the cap is capped, never complete, and costs as many pages as the cap says."""
    follows = [("hub", f"x{n}") for n in range(50)] + [("small", "hub")]
    api, path = rehearsal.service(follows), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=["small"], budget=100, max_pages_per_account=2)
    visits = rehearsal.rows(path, "SELECT handle, completeness, pages FROM visits JOIN accounts a ON a.id = account_id")
    assert sorted(visits) == [("hub", "capped", 2), ("small", "complete", 1)]


def test_accounts_that_would_bring_nothing_are_kept_and_never_bought(tmp_path: Path) -> None:
    """An account listed as private or as following nobody stays in the graph and costs nothing."""
    graph = network.from_follows([("a", "quiet"), ("a", "shy"), ("shy", "a"), ("a", "b"), ("b", "a")], rng_seed=1)
    graph.set_status("shy", network.Status.PRIVATE, flagged=True)
    api, path = rehearsal.service(graph), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=["a"], budget=100)
    state = rehearsal.state(path)
    assert state.skipped == {"no_following": 1, "private": 1}
    assert rehearsal.edges(path) == {("a", "quiet"), ("a", "shy"), ("a", "b"), ("b", "a")}
    assert sorted(api.ledger.pages) == ["a|", "b|"]


def test_statuses_are_told_apart_and_partition_the_accounts(tmp_path: Path) -> None:
    """Hidden, private and not-found answers are charged, counted once each, and never asked again."""
    pairs = [("a", "hidden"), ("a", "shy"), ("a", "gone"), ("hidden", "a"), ("shy", "a"), ("gone", "a")]
    graph = network.from_follows(pairs, rng_seed=1)
    graph.set_status("hidden", network.Status.HIDDEN)
    graph.set_status("shy", network.Status.PRIVATE)
    graph.set_status("gone", network.Status.NOT_FOUND)
    api, path = rehearsal.service(graph), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=["a"], budget=100)
    assert rehearsal.state(path).accounts == {
        "known": 4, "visited": 1, "boundary": 0, "hidden": 1, "private": 1, "not_found": 1, "failed": 0,
    }  # fmt: skip
    assert api.ledger.charged == 4
    rehearsal.go(path, api, budget=100)
    assert api.ledger.charged == 4


def test_a_stop_drains_and_the_next_crawl_buys_nothing_twice(tmp_path: Path) -> None:
    """What was in flight at an interruption is stored, and the run goes on with its own budget."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"

    async def interrupt(run: Crawl) -> None:
        await asyncio.sleep(0.27)
        run.stop("interrupted", "SIGINT")

    first = rehearsal.go(path, api, seeds=SEEDS, budget=10_000, meanwhile=interrupt)
    stopped = rehearsal.state(path)
    assert first.stop_reason == "interrupted"
    assert stopped.charged == api.ledger.charged == sum(api.ledger.pages.values())
    assert stopped.frontier["leased"] == 0
    second = rehearsal.go(path, api, budget=None)
    assert second.run_id == first.run_id
    assert second.stop_reason == "frontier_empty"
    assert set(api.ledger.pages.values()) == {1}
    assert rehearsal.edges(path) == rehearsal.follows(api, SEEDS)


def test_a_stop_does_not_wait_for_what_was_deferred(tmp_path: Path) -> None:
    """While every entry waits for its time, a stop is obeyed at once."""
    api, path = rehearsal.service(SMALL, faults={"lookup_failed": 1.0}), tmp_path / "a.db"

    async def interrupt(run: Crawl) -> None:
        await asyncio.sleep(2.0)
        run.stop("interrupted", "SIGINT")

    patient = Retry(first_delay_s=100_000.0, longest_delay_s=100_000.0)
    result = rehearsal.go(path, api, seeds=["u1"], budget=10, retry=patient, meanwhile=interrupt)
    assert result.stop_reason == "interrupted"
    assert result.seconds < 3.0


def test_a_deadline_stops_in_time(tmp_path: Path) -> None:
    """A deadline ends the run with that reason, and what was paid is stored."""
    api, path = rehearsal.service(SMALL, latency_s=1.0), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=SEEDS, budget=10_000, concurrency=2, deadline_s=30.0)
    assert result.stop_reason == "deadline"
    assert 30.0 <= result.seconds <= 32.0
    assert rehearsal.state(path).charged == api.ledger.charged


def test_a_deadline_is_of_the_crawl_and_not_of_each_of_its_phases(tmp_path: Path) -> None:
    """Where the budget would buy a phase after the other for longer, the time is over when it is over."""
    api, path = rehearsal.service(SMALL, latency_s=1.0), tmp_path / "a.db"
    ways: dict[str, Any] = {"audit": 0.3, "control": 0.4}
    result = rehearsal.go(path, api, seeds=SEEDS, budget=100, concurrency=1, deadline_s=40.0, **ways)
    assert result.stop_reason == "deadline"
    assert 40.0 <= result.seconds <= 42.0
    queues = {queue for (queue,) in rehearsal.rows(path, "SELECT DISTINCT queue FROM visits")}
    assert queues == {"audit", "main"}


def test_a_rate_is_kept(tmp_path: Path) -> None:
    """Ten requests a second are ten a second, with concurrency to spare, after the two seconds of the first page."""
    api, path = rehearsal.service(SMALL, latency_s=1.0), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=30, rate=1000.0)  # so that there is something to take
    before = api.ledger.calls
    rehearsal.go(path, api, budget=10_000, rate=10.0, concurrency=50, deadline_s=32.0)
    assert 0.97 * 300 <= api.ledger.calls - before <= 1.03 * 300


def test_a_new_run_needs_a_budget(tmp_path: Path) -> None:
    """Without a budget nothing is bought and nothing is stored."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    with pytest.raises(BudgetMissing):
        rehearsal.go(path, api, seeds=SEEDS, budget=None)
    assert api.ledger.calls == 0
    assert rehearsal.state(path).runs == []


def test_a_budget_below_what_is_spent_is_refused(tmp_path: Path) -> None:
    """A continued run cannot be given less than it has used; a larger one lets it go on."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"

    async def interrupt(run: Crawl) -> None:
        await asyncio.sleep(0.5)
        run.stop("interrupted", "SIGINT")

    rehearsal.go(path, api, seeds=SEEDS, budget=500, meanwhile=interrupt)
    used = api.ledger.charged
    with pytest.raises(BudgetTooSmall):
        rehearsal.go(path, api, budget=used - 1)
    result = rehearsal.go(path, api, budget=used + 5)
    assert (result.stop_reason, api.ledger.charged) == ("budget_exhausted", used + 5)


@pytest.mark.parametrize("key", ["wrong", None])
def test_a_wrong_key_is_refused_before_anything_is_bought(tmp_path: Path, key: str | None) -> None:
    """The preflight asks for free whose key it is; no run is begun with a bad one."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    with pytest.raises(errors.Unauthorized):
        rehearsal.go(path, api, seeds=SEEDS, budget=10, key=key)
    assert api.ledger.calls == 0
    assert rehearsal.state(path).runs == []


def test_an_empty_balance_pauses_the_run(tmp_path: Path) -> None:
    """402 stops with its reason, nothing is lost, and after a top-up the run goes on."""
    api, path = rehearsal.service(SMALL, credits=30), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=SEEDS, budget=100)
    assert result.stop_reason == "insufficient_credits"
    assert rehearsal.state(path).charged == api.ledger.charged == 30
    api.top_up(1_000)
    again = rehearsal.go(path, api, budget=None)
    assert (again.run_id, again.stop_reason) == (result.run_id, "budget_exhausted")
    assert api.ledger.charged == 100


def test_a_second_crawl_on_the_same_database_is_refused(tmp_path: Path) -> None:
    """Two crawls never share a database file."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(rehearsal.crawl(path, api, seeds=SEEDS, budget=50))
            await asyncio.sleep(0.1)
            with pytest.raises(LockedByCrawl):
                await rehearsal.crawl(path, api, budget=50)

    virtual_time.run(both())
    assert api.ledger.charged == 50


class Counting(InlineWriter):
    """A writer that counts its transactions."""

    count = 0

    def commit(self, batch: Sequence[Any]) -> list[Any]:
        """Commit a batch."""
        Counting.count += 1
        return super().commit(batch)


def test_workers_without_work_leave_the_database_alone(tmp_path: Path) -> None:
    """Two lists among 500 workers: one of the idle looks for work whenever something changed, not all of them."""
    follows = [("a", f"x{n}") for n in range(200)] + [("b", "a")]
    api, path = rehearsal.service(follows), tmp_path / "a.db"
    Counting.count = 0
    result = rehearsal.go(path, api, seeds=["b"], budget=100, concurrency=500, writer=Counting)
    assert result.stop_reason == "frontier_empty"
    assert api.ledger.calls == 11
    assert Counting.count < 100


def test_changing_the_strategy_between_runs_loses_nothing(tmp_path: Path) -> None:
    """A frontier ranked by one strategy is ranked anew for the next, and the whole graph is stored in the end."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    for strategy in ("bfs", "flow", "rank", "flow"):
        rehearsal.go(path, api, seeds=SEEDS, budget=60, strategy=strategy)
    result = rehearsal.go(path, api, budget=100_000, strategy="rank")
    assert result.stop_reason == "frontier_empty"
    assert rehearsal.edges(path) == rehearsal.follows(api, SEEDS)
    assert set(api.ledger.pages.values()) == {1}
