"""A small study that gets into trouble, and what must hold afterwards.

Nothing committed is lost or bought again, every credit that the provider charged is in our ledger, no traceback reached
the user, and the next crawl goes on and stores everything that can be reached.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import rehearsal
from background import served
from processes import environment, result, run

from socialfetch.simulator import network
from socialfetch.simulator.faults import Faults
from socialfetch.simulator.server import serve
from socialfetch.simulator.service import Service
from socialfetch.simulator.settings import Settings

ACCOUNTS = 200
RNG_SEED = 2
SEEDS = ("u1", "u2")
BUDGET = 1_000
"""Credits, more than the whole network costs."""

DATABASE = "followgraph.db"


class Provider:
    """The simulator on a socket of this process, and what it truly charged."""

    def __init__(self, api: Service) -> None:
        self._api = api
        self.url = ""

    @property
    def pages(self) -> dict[str, int]:
        """How often each page was charged, by `handle|cursor`."""
        return dict(self._api.ledger.pages)

    @property
    def charged(self) -> int:
        """Credits truly charged."""
        return self._api.ledger.charged

    async def serve(self, started: threading.Event, stopped: asyncio.Event) -> None:
        """Serve until told to stop."""
        async with serve(self._api) as self.url:
            started.set()
            await stopped.wait()


@contextmanager
def provider(*, latency_s: float = 0.0) -> Iterator[Provider]:
    """Serve the small network over HTTP on loopback for as long as the block lasts."""
    found = Provider(_service(latency_s=latency_s, now=time.time))
    with served(found.serve, asyncio.new_event_loop()):
        yield found


def _service(*, latency_s: float, now: Callable[[], float]) -> Service:
    graph = network.generate(ACCOUNTS, rng_seed=RNG_SEED)
    settings = Settings(latency_s=latency_s, rng_seed=RNG_SEED)
    return Service(network=graph, settings=settings, faults=Faults(), now=now)


@cache
def reachable() -> frozenset[tuple[str, str]]:
    """Return the follows that a crawl to the end must store."""
    return frozenset(rehearsal.follows(_service(latency_s=0.0, now=time.time), SEEDS))


def crawling(url: str, *more: str, budget: int = BUDGET) -> list[str]:
    """Return the arguments of the crawl."""
    seeds = [word for seed in SEEDS for word in ("--seed", seed)]
    return ["--json", "crawl", *seeds, "--budget", str(budget), "--api-url", url, *more]


@contextmanager
def ending(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Kill a process that still runs when the block is left, as after a test that failed."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def limited(
    arguments: Sequence[str], *, cwd: Path, limit: tuple[int, int], timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run the command under a limit of the system: which one (`resource.RLIMIT_…`) and how much."""
    # Not by preexec_fn: a fork must not run Python beside the thread of the provider.
    before = "import os, resource, sys; resource.setrlimit(*eval(sys.argv[1])); os.execv(sys.executable, sys.argv[2:])"
    which, most = limit
    return subprocess.run(
        [sys.executable, "-c", before, f"({which}, ({most}, {most}))", sys.executable, "-m", "cli.main", *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def stored_pages(database: Path) -> set[str]:
    """Return the pages that were paid and stored, as `handle|cursor`; none while the file is being made."""
    if not database.exists():
        return set()
    try:
        return {page for page, outcome in _calls(database) if outcome == "settled"}
    except Exception:
        return set()


def wait_for_pages(database: Path, count: int, process: subprocess.Popen[str], *, timeout_s: float = 120.0) -> None:
    """Wait until a crawl has stored so many pages."""
    wait_until(lambda: len(stored_pages(database)) >= count, process, timeout_s=timeout_s)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], *, timeout_s: float = 120.0) -> None:
    """Wait until a condition holds while a process runs."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.02)


def _calls(database: Path) -> Sequence[tuple[str, str]]:
    return [
        (page, outcome)
        for page, outcome in rehearsal.rows(
            database,
            "SELECT a.handle || '|' || l.cursor, l.outcome FROM ledger l JOIN accounts a ON a.id = l.account_id "
            "ORDER BY l.id",
        )
    ]


def check_words(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """Check how a command ended: its exit code, what it said, and that no traceback reached the user."""
    told = done.stdout + done.stderr
    assert done.returncode == code, told
    assert "Traceback" not in told
    assert "Nothing was changed" not in told or code == 2, "it had begun"
    for word in words:
        assert word in told, told


def check_ledgers(database: Path, charged: Mapping[str, int], *, begun_anew: str | None = None) -> None:
    """Check our ledger against the provider's: bounds, budget, each page's charges, nothing bought again once stored.

    `charged` says how often each page was charged; `begun_anew` begins the names of pages that may be bought again.
    """
    state = rehearsal.state(database)
    assert state.charged <= sum(charged.values()) <= state.charged + state.uncertain
    for each in state.runs:
        assert each.charged + each.uncertain + each.reserved <= each.budget
    told: dict[str, int] = {}
    stored: set[str] = set()
    for page, outcome in _calls(database):
        is_anew = begun_anew is not None and page.startswith(begun_anew)
        assert page not in stored or is_anew, f"{page} was asked for again although it was stored"
        if outcome == "settled":
            stored.add(page)
        if outcome != "released":
            told[page] = told.get(page, 0) + 1
    for page, times in charged.items():
        assert times <= told.get(page, 0), f"{page} was charged {times} times, known to us are {told.get(page, 0)}"
    assert rehearsal.findings(database) == []


def check_going_on(api: Provider, cwd: Path, *more: str, stored: set[str]) -> None:
    """Crawl to the end after the trouble; what was stored before is kept, and the three ledgers agree.

    `stored` are the pages that had been committed when the trouble was over.
    """
    database = cwd / DATABASE
    before = api.pages
    done = run(crawling(api.url, *more), cwd=cwd)
    check_words(done, 0)
    assert result(done)["stop_reason"] == "frontier_empty", done.stderr
    after = api.pages
    assert stored <= stored_pages(database), "a committed page was lost"
    assert {page: after[page] for page in stored} == {page: before[page] for page in stored}
    assert rehearsal.edges(database) == reachable()
    check_ledgers(database, after)
