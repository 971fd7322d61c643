"""Credits that nobody can be sure of: when the provider's balance settles them, and when it must not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import rehearsal
import virtual_time

from crawler.engine import Crawl
from socialfetch.simulator import network
from socialfetch.simulator.faults import Faults
from socialfetch.simulator.service import Service
from socialfetch.simulator.settings import Settings

GRAPH = network.generate(400, rng_seed=3)
SEEDS = ("u1", "u2", "u3")


@pytest.mark.parametrize("fault", ["lookup_failed", "lookup_failed_charged", "internal_error", "html_body"])
def test_a_prompt_balance_settles_what_was_answered(tmp_path: Path, fault: str) -> None:
    """Errors that came as answers are settled at the end of the run, exactly as the provider booked them."""
    api, path = rehearsal.service(GRAPH, faults={fault: 0.1}), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=10_000)
    state = rehearsal.state(path)
    assert rehearsal.rows(path, "SELECT count(*) FROM ledger WHERE outcome = 'uncertain'")[0][0] > 10
    assert (state.uncertain, state.charged) == (0, api.ledger.charged)
    assert rehearsal.edges(path) == rehearsal.follows(api, SEEDS)
    assert rehearsal.findings(path) == []


@pytest.mark.parametrize("fault", ["hang_up", "hang_up_uncharged", "stall", "stall_uncharged"])
def test_abandoned_calls_are_settled_by_a_later_crawl(tmp_path: Path, fault: str) -> None:
    """A call without an answer stays uncertain at the end of the run and is settled minutes later."""
    api, path = rehearsal.service(GRAPH, faults={fault: 0.05}), tmp_path / "a.db"

    async def twice() -> None:
        await rehearsal.crawl(path, api, seeds=SEEDS, budget=200, timeout_s=5.0)
        before = rehearsal.state(path)
        assert before.uncertain > 0
        assert before.charged <= api.ledger.charged <= before.charged + before.uncertain <= 200
        await asyncio.sleep(300)
        await rehearsal.crawl(path, api, budget=1, timeout_s=5.0)

    rehearsal.virtual_time.run(twice())
    rows = rehearsal.rows(path, "SELECT sum(charged), sum(uncertain) FROM ledger WHERE run_id = 1")
    [(charged, uncertain)] = rows
    truth = sum(api.ledger.pages.values())
    last = rehearsal.rows(path, "SELECT coalesce(sum(charged + uncertain), 0) FROM ledger WHERE run_id = 2")[0][0]
    assert uncertain == 0
    assert truth - last <= charged <= truth


def test_a_lagging_balance_settles_nothing_too_early(tmp_path: Path) -> None:
    """While the balance misses the last charges, uncertain credits stay uncertain; the budget holds by the truth."""
    faults = {"lookup_failed_charged": 0.1, "balance_lags": 1.0}
    api, path = rehearsal.service(GRAPH, faults=faults), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=300)
    state = rehearsal.state(path)
    assert state.uncertain > 0
    assert state.charged < api.ledger.charged <= state.charged + state.uncertain <= 300


def test_a_top_up_in_the_middle_settles_nothing(tmp_path: Path) -> None:
    """When the balance grew, its fall says nothing about uncertain credits."""
    api, path = rehearsal.service(GRAPH, faults={"lookup_failed": 0.1}), tmp_path / "a.db"

    async def top_up(_: Crawl) -> None:
        await asyncio.sleep(0.5)
        api.top_up(1_000)

    rehearsal.go(path, api, seeds=SEEDS, budget=300, meanwhile=top_up)
    state = rehearsal.state(path)
    assert state.uncertain > 0
    assert state.charged == api.ledger.charged


def test_another_program_on_the_same_key_is_noticed(tmp_path: Path) -> None:
    """When somebody else spends, nothing is settled on the strength of the balance."""
    api, path = rehearsal.service(GRAPH, faults={"lookup_failed": 0.1}, credits=10_000), tmp_path / "a.db"

    async def spend(_: Crawl) -> None:
        while True:
            api.top_up(-1)
            await asyncio.sleep(0.02)

    rehearsal.go(path, api, seeds=SEEDS, budget=300, meanwhile=spend)
    state = rehearsal.state(path)
    assert state.uncertain > 0
    assert state.charged == api.ledger.charged


def test_uncertain_credits_free_their_part_of_the_budget_once_settled(tmp_path: Path) -> None:
    """A long crawl reads the balance now and then: what turned out free is spent after all, to the last credit."""
    api, path = rehearsal.service(GRAPH, faults={"lookup_failed": 0.1}, latency_s=20.0), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=SEEDS, budget=400, concurrency=2, timeout_s=60.0)
    assert result.stop_reason == "budget_exhausted"
    assert api.ledger.charged > 390
    assert rehearsal.rows(path, "SELECT count(*) FROM ledger WHERE outcome = 'reconciled'")[0][0] > 1


class DearFrom(Faults):
    """Every answer costs two credits once so many were charged."""

    def __init__(self, service: Callable[[], Service], charged: int) -> None:
        super().__init__({"dear": 1.0})
        self._service, self._charged = service, charged

    def strikes(self, name: str, *about: object) -> bool:
        """Whether the fault strikes now."""
        return name == "dear" and self._service().ledger.charged >= self._charged


@pytest.mark.parametrize("concurrency", [1, 20, 500])
@pytest.mark.parametrize(("cheap", "most"), [(100, 300), (200, 300), (280, 300), (297, 300), (298, 300), (299, 301)])
def test_answers_that_turn_dear_do_not_pass_the_budget(tmp_path: Path, concurrency: int, cheap: int, most: int) -> None:
    """The budget pays for all that are in flight when prices double; the very last page alone may pass it."""
    graph = network.generate(2_000, rng_seed=3)
    api: Service
    faults = DearFrom(lambda: api, cheap)
    settings = Settings(key=rehearsal.KEY, latency_s=0.2, rng_seed=1, free_calls_per_minute=None)
    api = Service(network=graph, settings=settings, faults=faults, now=virtual_time.now)
    path = tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=[f"u{n}" for n in range(600)], budget=300, concurrency=concurrency)
    assert result.stop_reason == "overcharged"
    assert cheap < api.ledger.charged == rehearsal.state(path).charged <= most


def test_the_first_page_is_bought_alone(tmp_path: Path) -> None:
    """An API that charges too much is found out by one request, not by twenty."""
    api, path = rehearsal.service(GRAPH, faults={"dear": 1.0}), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=[f"u{n}" for n in range(50)], budget=100, concurrency=20)
    assert result.stop_reason == "overcharged"
    assert api.ledger.calls == 1
