"""Four crawlers of one PostgreSQL database in trouble, and the books compared at the end.

    make torture-postgres                          50 kills, 20 cuts and stalls, 3 pauses, 2 restarts of the database
    make torture-postgres KILLS=200 SEED=7

Kills are SIGKILL; a cut resets connections to the database, a stall lets no byte through on them; a pause is SIGSTOP
for longer than a crawler may be silent; a restart of the database is an immediate one, as after a power cut. Prints a
table and ends with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import processes
import psycopg
from postgres_server import Postgres, postgres
from proxy import Network

from socialfetch.simulator import network as networks
from storage import crew
from storage.checkup import problems
from storage.database import Database

SEEDS = ("u1", "u2", "u3")
CRAWLERS = 4
LONGEST_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is done to the crew. `accounts` is the size of the network.

    The budget begins at `budget` credits and is raised by as many whenever fewer than that are left, until everything
    was done: the run is to outlast the trouble, and to end soon after it.
    """

    accounts: int
    budget: int
    kills: int
    cuts: int
    stalls: int
    pauses: int
    restarts: int
    rng_seed: int
    concurrency: int = 24
    rate: float | None = None
    latency_ms: float = 40.0
    gap_s: float = 1.0
    """Seconds between two troubles, on average."""

    def troubles(self) -> list[str]:
        """Return what happens, in order; the long ones are spread evenly."""
        rng = Random(self.rng_seed)
        drawn = ["kill"] * self.kills + ["cut"] * self.cuts + ["stall"] * self.stalls
        rng.shuffle(drawn)
        for name, count in (("pause", self.pauses), ("restart", self.restarts)):
            for number in range(count):
                drawn.insert(round((number + 0.5) * len(drawn) / count), name)
        return drawn


@dataclass
class Outcome:
    """What came of it."""

    broken: list[str] = field(default_factory=list)
    rows: list[tuple[str, str]] = field(default_factory=list)


class Crew:
    """The crawlers: started, killed, paused, started again, until the run is over."""

    def __init__(self, url: str, api: processes.Simulator, plan: Plan, folder: Path) -> None:
        self._url = url
        self._api = api
        self._plan = plan
        self._folder = folder
        self._logs = 0
        self.running: list[subprocess.Popen[bytes]] = []
        self.is_over = False
        self.ends: Counter[int] = Counter()
        self.started = 0

    def start(self, *more: str) -> None:
        """Start one more; the first one brings budget and seeds."""
        self._logs += 1
        plan = self._plan
        limits = ["--concurrency", str(plan.concurrency)]
        if plan.rate is not None:
            limits += ["--rate", str(plan.rate)]
        with (self._folder / f"crawler-{self._logs}.log").open("wb") as log:
            self.running.append(
                subprocess.Popen(
                    [
                        sys.executable, "-m", "cli.main", "--json", "--db", self._url, "crawl",
                        "--api-url", self._api.url, "--max-wait", "5m", *limits, *more,
                    ],
                    cwd=self._folder,
                    env=processes.environment(),
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                )
            )  # fmt: skip
        self.started += 1

    def tidy(self) -> None:
        """See who has ended by itself, and put another in the place of each that did not end well."""
        for each in list(self.running):
            code = each.poll()
            if code is None:
                continue
            self.running.remove(each)
            self.ends[code] += 1
            if code in {0, 2}:  # the budget is used up; a late starter is told that a new run needs one
                self.is_over = True
        while not self.is_over and len(self.running) < CRAWLERS:
            self.start()

    def kill(self, rng: Random) -> None:
        """Kill one."""
        victim = rng.choice(self.running)
        victim.kill()
        victim.wait()
        self.running.remove(victim)
        self.ends[-9] += 1

    def pause(self, rng: Random) -> None:
        """Stop one for longer than it may be silent, and let it go on: it does not know what happened meanwhile."""
        victim = rng.choice(self.running)
        victim.send_signal(signal.SIGSTOP)
        time.sleep(crew.SILENT_S + 3 * crew.BEAT_S)
        victim.send_signal(signal.SIGCONT)

    def abandon(self) -> None:
        """Kill whoever is left."""
        for each in self.running:
            each.kill()
            each.wait()


def torture(plan: Plan, server: Postgres, folder: Path) -> Outcome:
    """Let a crew crawl in trouble; returns what was broken and a table."""
    name = server.fresh()
    direct = server.url(name)
    found = Outcome()
    rng = Random(plan.rng_seed)
    begun = time.monotonic()
    arguments = ("--accounts", str(plan.accounts), "--latency", str(plan.latency_ms), "--rng-seed", "1", "--page-size")
    with (
        Network(server.port).up() as network,
        processes.simulator(*arguments, "20", "--credits", "10000000", cwd=folder) as api,
        _crew(server.url(name, port=network.port), api, plan, folder) as people,
    ):
        people.start("--budget", str(plan.budget), *(word for seed in SEEDS for word in ("--seed", seed)))
        _until(lambda: _ask(direct, "SELECT count(*) FROM ledger")[0][0] > 0, people)
        people.tidy()
        _until(lambda: _ask(direct, "SELECT count(*) FROM processes WHERE ended_at IS NULL")[0][0] >= CRAWLERS, people)
        for trouble in plan.troubles():
            time.sleep(rng.uniform(0.3, 1.7) * plan.gap_s)
            people.tidy()
            if people.is_over or not people.running:
                found.broken.append(f"the run was over before all troubles came: raise --budget from {plan.budget:,}")
                break
            match trouble:
                case "kill":
                    people.kill(rng)
                case "cut":
                    network.cut(rng, rng.choice([0.3, 1.0]))
                case "stall":
                    network.stall(rng, rng.choice([0.3, 1.0]), rng.uniform(2.0, 14.0))
                case "pause":
                    people.pause(rng)
                case _:
                    server.stop(at_once=True)
                    time.sleep(1.0)
                    server.start()
            _keeps_budget(direct, plan, folder, found)
        _until(lambda: people.is_over and not people.running, people)
        took_s = time.monotonic() - begun
        charged = api.pages
    _compare(direct, charged, plan, found)
    found.rows += [
        ("crawlers started", str(people.started)),
        ("ended by themselves", ", ".join(f"{count} with exit code {code}" for code, count in people.ends.items())),
        ("connections cut / stalled", f"{network.cuts} / {network.stalls} times"),
        ("seconds", f"{took_s:,.0f}"),
    ]
    server.drop(name)
    return found


@contextmanager
def _crew(url: str, api: processes.Simulator, plan: Plan, folder: Path) -> Iterator[Crew]:
    people = Crew(url, api, plan, folder)
    try:
        yield people
    finally:
        people.abandon()


def _until(condition: Any, people: Crew) -> None:
    deadline = time.monotonic() + LONGEST_S
    while not condition():
        assert time.monotonic() < deadline, "the run never ended"
        time.sleep(0.2)
        if people.started > 1 or people.is_over:
            people.tidy()
        else:
            assert people.running[0].poll() is None, "the first crawler ended at once"


def _ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    try:
        with psycopg.connect(url) as conn:
            return conn.execute(sql).fetchall()
    except psycopg.errors.UndefinedTable:
        return [(0,)]


def _keeps_budget(url: str, plan: Plan, folder: Path, found: Outcome) -> None:
    for promised, budget in _ask(url, "SELECT charged + uncertain + reserved, budget FROM runs"):
        if promised > budget:
            found.broken.append(f"{promised} credits were promised of a budget of {budget}")
        if budget - promised < plan.budget:
            done = processes.run(["--json", "--db", url, "budget", "add", str(plan.budget)], cwd=folder)
            assert done.returncode == 0, done.stderr


def _compare(url: str, charged: dict[str, int], plan: Plan, found: Outcome) -> None:
    """Hold our ledger against the provider's, page by page, and everything else against itself."""
    settled: Counter[str] = Counter()
    doubtful: Counter[str] = Counter()
    late: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for page, outcome, cause, cost in _ask(
        url,
        "SELECT a.handle || '|' || l.cursor, l.outcome, l.cause, l.charged FROM ledger l"
        " JOIN accounts a ON a.id = l.account_id",
    ):
        match outcome:
            case "settled":
                settled[page] += 1
            case "uncertain":
                doubtful[page] += 1
            case "reconciled":
                assert cause == crew.LATE
                late[page] += 1
                refused[page] += cost
            case _:
                pass
    for page in settled.keys() | charged.keys() | doubtful.keys():
        least = settled[page] + refused[page]
        most = least + doubtful[page] - late[page]
        if not least <= charged.get(page, 0) <= most:
            found.broken.append(f"{page}: charged {charged.get(page, 0)} times, known to us {least} to {most}")
        if settled[page] > 1:
            found.broken.append(f"{page} is stored {settled[page]} times")
        # Whoever bought a page again did so after its lease had been taken back, which left a row.
        if charged.get(page, 0) > 1 + doubtful[page]:
            found.broken.append(f"{page} was bought again while its lease was held")
    [run] = _ask(url, "SELECT charged, uncertain, reserved, budget, stop_reason FROM runs")
    total = sum(charged.values())
    if not run[0] <= total <= run[0] + run[1]:
        found.broken.append(f"the provider charged {total}, our ledger says {run[0]} and {run[1]} uncertain")
    if run[2] or run[0] + run[1] > run[3] or run[4] != "budget_exhausted":
        found.broken.append(f"the run ended so: {run}")
    [(deadlocks,)] = _ask(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    if deadlocks:
        found.broken.append(f"{deadlocks} deadlocks")
    database = Database.open(url, now=time.time, mode="read")
    with database.read() as conn:
        found.broken += [problem.finding for problem in problems(conn)]
    database.close()
    found.broken += _lists(url, plan)
    [(taken,)] = _ask(url, "SELECT count(*) FROM ledger WHERE cause = 'process_died'")
    found.rows += [
        ("credits charged by the provider", f"{total:,}"),
        ("settled + uncertain in our ledger", f"{run[0]:,} + {run[1]:,} of a budget of {run[3]:,}"),
        ("leases taken back", f"{taken:,}"),
        ("late answers kept / refused", f"{sum(late.values()) - sum(refused.values()):,} / {sum(refused.values()):,}"),
        ("pages stored", f"{sum(settled.values()):,}, none twice"),
        ("deadlocks", str(deadlocks)),
    ]


def _lists(url: str, plan: Plan) -> list[str]:
    """Compare every list that is said to be whole with the network's."""
    graph = networks.generate(plan.accounts, rng_seed=1)
    stored: dict[str, set[str]] = {}
    for source, target in _ask(
        url,
        "SELECT a.handle, b.handle FROM frontier f JOIN follows e ON e.src = f.account_id"
        " JOIN accounts a ON a.id = e.src JOIN accounts b ON b.id = e.dst WHERE f.completeness = 'complete'",
    ):
        stored.setdefault(source, set()).add(target)
    wrong = []
    for source, targets in stored.items():
        index = graph.index(source)
        assert index is not None
        if targets != {graph.handle(int(target)) for target in graph.following(index)[0]}:
            wrong.append(f"the list of {source} is not whole")
    return wrong


def main() -> int:
    """Run the long test."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--budget", type=int, default=600)
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=20.0)
    asked = parser.parse_args()
    kills = asked.kills
    plan = Plan(
        accounts=asked.accounts, budget=asked.budget, kills=kills, cuts=kills // 5, stalls=kills // 5,
        pauses=max(1, kills // 16), restarts=max(1, kills // 25), rng_seed=asked.seed, rate=asked.rate, gap_s=3.0,
    )  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="followgraph-crew-"))
    with postgres() as server:
        found = torture(plan, server, folder)
    verdict = "every promise kept" if not found.broken else f"{len(found.broken)} promises broken"
    counts = f"{kills} kills, {plan.cuts + plan.stalls} cuts and stalls, {plan.pauses} pauses, {plan.restarts} restarts"
    said = [f"**{CRAWLERS} crawlers, {counts}: {verdict}**", "", "| | |", "|---|---|"]
    said += [f"| {label} | {text} |" for label, text in found.rows]
    said += [f"BROKEN: {each}" for each in found.broken[:50]]
    if found.broken:
        said.append(f"logs: {folder}")
    sys.stdout.write("\n".join(said) + "\n")
    return int(bool(found.broken))


if __name__ == "__main__":
    sys.exit(main())
