"""A provider that fails for a moment is waited for; one that fails for good is found out before it costs much."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
import rehearsal
import sqlalchemy as sa
import virtual_time
from aftermath import check_ledgers

from socialfetch.simulator import network
from socialfetch.simulator.answers import Answer, refusal
from socialfetch.simulator.faults import Faults
from socialfetch.simulator.service import Service
from socialfetch.simulator.settings import Settings
from storage.writer import I, InlineWriter, R, Unit

GRAPH = network.generate(2_000, rng_seed=3)
SEEDS = tuple(f"u{number}" for number in range(600))


def passed_s() -> float:
    """Return the virtual seconds since the crawl began."""
    return virtual_time.now() - virtual_time.EPOCH


class Between(Faults):
    """One fault that strikes every call between two times, and none before or after."""

    def __init__(self, name: str, since_s: float, until_s: float) -> None:
        super().__init__({name: 1.0})
        self._name, self._since_s, self._until_s = name, since_s, until_s

    def strikes(self, name: str, *about: object) -> bool:
        """Whether the fault strikes now."""
        return name == self._name and self._since_s <= passed_s() < self._until_s


def provider(faults: Faults, kind: type[Service] = Service) -> Service:
    """Return a provider that answers after a fifth of a second."""
    settings = Settings(key=rehearsal.KEY, latency_s=0.2, rng_seed=1, free_calls_per_minute=None)
    return kind(network=GRAPH, settings=settings, faults=faults, now=virtual_time.now)


@pytest.mark.parametrize(
    ("fault", "concurrency"),
    [("lookup_failed_charged", 20), ("hang_up", 200), ("lookup_failed_charged", 500), ("forbidden", 200)],
)
def test_a_moment_of_failure_stops_nothing(tmp_path: Path, fault: str, concurrency: int) -> None:
    """While a server is restarted all that is in flight fails: the crawl takes a breath and goes on, nothing lost."""
    api, path = provider(Between(fault, 1.0, 1.5)), tmp_path / "a.db"
    budget = 2 * concurrency + 400
    result = rehearsal.go(path, api, seeds=SEEDS, budget=budget, concurrency=concurrency)
    assert result.stop_reason == "budget_exhausted"
    assert result.seconds < 60
    failed = rehearsal.rows(path, "SELECT count(*) FROM ledger WHERE cause IS NOT NULL")[0][0]
    assert concurrency <= failed <= 2 * concurrency
    state = rehearsal.state(path)
    assert state.charged + state.uncertain == budget
    check_ledgers(path, api.ledger.pages)


@pytest.mark.parametrize(("concurrency", "most"), [(1, 10), (20, 41)])
@pytest.mark.parametrize("fault", ["internal_error_charged", "empty_body"])
def test_a_provider_that_fails_for_good_is_found_out(tmp_path: Path, fault: str, concurrency: int, most: int) -> None:
    """The tenth failure of one call after the other stops the run; of many in flight, what was sent and one more."""
    api, path = provider(Between(fault, 1.0, 1e9)), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=SEEDS, budget=100_000, concurrency=concurrency)
    assert result.stop_reason == "breaker_failures"
    pages = rehearsal.state(path).pages
    assert pages > 0
    assert api.ledger.charged - pages <= most
    check_ledgers(path, api.ledger.pages)


def test_a_provider_that_never_worked_costs_ten_credits_and_what_was_in_flight(tmp_path: Path) -> None:
    """The first call fails alone, so that what fails after it is no single round any more: the tenth stops the run."""
    api, path = provider(Between("internal_error_charged", 0.0, 1e9)), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=SEEDS, budget=100_000, concurrency=20)
    assert result.stop_reason == "breaker_failures"
    assert 10 <= api.ledger.charged <= 10 + 2 * 20  # in flight, or in answers just being written down


class Impatient(Service):
    """A provider that is overloaded for a minute, and asks all who come to come again at once."""

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """Answer one request."""
        answer = super().answer(path, query, headers)
        if answer.status != 503:
            return answer
        return refusal(503, "temporarily_unavailable", "Overloaded.", request_id=None, retry_after="0")


def test_who_is_asked_to_come_back_at_once_takes_time_all_the_same(tmp_path: Path) -> None:
    """Retry-After: 0 is no leave to hammer: the waits grow as without it, and the crawl goes on afterwards."""
    api, path = provider(Between("overloaded", 1.0, 61.0), Impatient), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=SEEDS[:20], budget=300)
    assert result.stop_reason == "budget_exhausted"
    refused = rehearsal.rows(path, "SELECT count(*) FROM ledger WHERE cause = 'throttled'")[0][0]
    assert 20 <= refused < 60
    assert result.seconds < 200


class OneByOne(InlineWriter):
    """A writer on a slow disk: 20 ms for each unit of work, one after the other."""

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__(engine)
        self._turn = asyncio.Lock()

    async def submit(self, unit: Unit[I, R], item: I) -> R:
        """Run the unit when its turn has come."""
        async with self._turn:
            await asyncio.sleep(0.02)
            return await super().submit(unit, item)


def test_a_moment_of_overload_is_waited_out_once(tmp_path: Path) -> None:
    """Calls that had their slot when the provider asked for patience do not make the next wait longer.

    Most of them still wait for their first lease then: whoever has read a list has the next lease with its last page.
    """
    api, path = provider(Between("overloaded", 3.0, 5.0)), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=SEEDS, budget=700, concurrency=200, writer=OneByOne)
    assert result.stop_reason == "budget_exhausted"
    assert rehearsal.rows(path, "SELECT count(*) FROM ledger WHERE cause = 'throttled'")[0][0] > 20
    assert result.seconds < 60
