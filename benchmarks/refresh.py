"""Weighted freshness of refreshed lists under churn: our policy, round-robin, and ours with the true rates known.

Virtual months: the simulator's graph changes daily, the real planner, crawler and database refresh with a fixed budget
a day, and every evening the share of lists is taken that are stored as they are, weighted by what accounts matter.

    PYTHONPATH=.:tests/support python benchmarks/refresh.py --accounts 3000 --days 180 --seeds 1

How many follow an account on the platform is drawn from a Pareto distribution with exponent 1.1, 2,000 at most: that is
its weight, and how often it is followed within the study. Lists are 30 follows long on average.

Rates of change are log-normal with a median of one change in 30 days (sigma 1.5, five a day at most); a fifth of the
changes swap one follow for another, so that counts in listings do not show them. The budget reads every list once in 45
days. The first half of the time is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import rehearsal
import structlog
import virtual_time
from refreshing import DAY, refresh

from crawler import refresh as policy
from crawler.refresh import Choice, Intervals, Plan, Weigh
from socialfetch.simulator import network
from storage.revisits import Revisit

INTERVALS = Intervals(shortest=DAY / 2)
Choose = Callable[..., Plan]


def round_robin(revisits: Iterable[Revisit], *, credits: int, now: float, **_: Any) -> Plan:
    """Choose what was read longest ago."""
    oldest = sorted(revisits, key=lambda revisit: (revisit.asked_at, revisit.account_id))
    due = [each for each in oldest if now - each.asked_at >= INTERVALS.shortest]
    choices = [Choice(account_id=each.account_id, value=0.0, cost=1) for each in due[:credits]]
    return Plan(choices=choices, due=len(choices), next_due_at=None)


class World:
    """A network that changes, the same for every policy of a seed."""

    def __init__(self, accounts: int, rng_seed: int) -> None:
        rng = np.random.default_rng(rng_seed)
        fame = np.minimum((1.0 - rng.random(accounts)) ** (-1 / 1.1), 2000)
        lengths = np.clip(rng.lognormal(np.log(20), 0.9, accounts).astype(np.int64), 1, accounts // 3)
        follows = {
            (source, target)
            for source, length in enumerate(lengths.tolist())
            for target in rng.choice(accounts, length, p=fame / fame.sum()).tolist()
            if source != target
        }
        pairs = np.array(sorted(follows), dtype=np.uint32)
        handles = [f"u{index}" for index in range(accounts)]
        self.graph = network.Network(handles=handles, source=pairs[:, 0], target=pairs[:, 1], rng_seed=rng_seed)
        self.weights = fame
        """How much an account matters: its followers on the platform, of whom those in the study are a part."""
        self.rates = np.minimum(np.exp(rng.normal(np.log(1 / 30), 1.5, accounts)), 5.0)
        """Changes a day."""
        self._rng = Random(rng_seed)

    def weigh(self, path: Path) -> Weigh:
        """Return the weights as the policy asks for them."""
        ids = dict(rehearsal.rows(path, "SELECT id, handle FROM accounts"))
        by_id = {key: float(self.weights[self.graph.index(handle)]) for key, handle in ids.items()}
        return lambda revisit: by_id[revisit.account_id]

    def day(self) -> set[str]:
        """Let a day pass; returns whose list changed."""
        rng, graph = self._rng, self.graph
        changed = set()
        for index, rate in enumerate(self.rates.tolist()):
            if rng.random() >= 1 - np.exp(-rate):
                continue
            handle = graph.handle(index)
            targets = graph.following(index)[0].tolist()
            kind = rng.random()
            if targets and kind < 0.6:
                graph.remove_follow(handle, graph.handle(rng.choice(targets)))
            if kind < 0.2 or kind >= 0.6 or not targets:
                other = rng.randrange(graph.accounts)
                if other == index or other in targets:
                    continue
                graph.add_follow(handle, graph.handle(other))
            changed.add(handle)
        return changed


def months(accounts: int, days: int, rng_seed: int, choose: Callable[[World, Path], Choose]) -> tuple[float, float]:
    """Return the weighted and the plain freshness under one policy."""
    world = World(accounts, rng_seed)
    path = Path(tempfile.mkdtemp()) / "refresh.db"
    api = rehearsal.service(world.graph, page_size=10_000, latency_s=0.01)
    weighted: list[float] = []
    plain: list[float] = []

    async def live() -> None:
        seeds = [world.graph.handle(index) for index in range(accounts)]
        await rehearsal.crawl(path, api, seeds=seeds, budget=accounts, archive=False)
        chosen = choose(world, path)
        stale: set[str] = set()
        for day in range(days):
            await asyncio.sleep(DAY)
            stale |= world.day()
            per_day = accounts // 45
            await refresh(path, api, budget=per_day, batch=per_day, intervals=INTERVALS, choose=chosen, archive=False)
            read = "SELECT handle FROM visits JOIN accounts ON accounts.id = account_id WHERE ended_at >= "
            stale -= {row[0] for row in rehearsal.rows(path, f"{read}{int(virtual_time.now() - DAY / 2)}")}
            if day >= days // 2:
                fresh = np.array([world.graph.handle(index) not in stale for index in range(accounts)])
                weighted.append(float((world.weights * fresh).sum() / world.weights.sum()))
                plain.append(float(fresh.mean()))

    virtual_time.run(live())
    return float(np.mean(weighted)), float(np.mean(plain))


def ours(world: World, path: Path) -> Choose:
    """Our policy as it is: rates learned, listings minded."""
    weigh = world.weigh(path)

    def choose(revisits: Iterable[Revisit], **more: Any) -> Plan:
        return policy.choose(revisits, **(more | {"weigh": weigh}))

    return choose


def known(world: World, path: Path) -> Choose:
    """Our policy with the true rates: what learning them costs."""
    ids = dict(rehearsal.rows(path, "SELECT id, handle FROM accounts"))
    by_id = {key: float(world.rates[world.graph.index(handle)]) / DAY for key, handle in ids.items()}
    weigh = world.weigh(path)

    def choose(revisits: Iterable[Revisit], **more: Any) -> Plan:
        truth = {"weigh": weigh, "rate": lambda revisit: by_id[revisit.account_id]}
        return policy.choose(revisits, **(more | truth))

    return choose


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=3000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    policies = {"round-robin": lambda *_: round_robin, "ours": ours, "ours, rates known": known}
    means: dict[str, float] = {}
    sizes = f"{asked.accounts} accounts, {asked.days} days, {asked.seeds} seeds"
    print(f"{sizes}, each list once in 45 days")
    print(f"{'policy':<20}{'weighted':>10}{'plain':>10}{'CPU s':>8}{'wall s':>8}")
    for name, choose in policies.items():
        cpu, wall = time.process_time(), time.perf_counter()
        found = [months(asked.accounts, asked.days, seed, choose) for seed in range(1, asked.seeds + 1)]
        means[name] = sum(each[0] for each in found) / len(found)
        plain = sum(each[1] for each in found) / len(found)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        print(f"{name:<20}{means[name]:>10.3f}{plain:>10.3f}{cpu:>8.0f}{wall:>8.0f}", flush=True)
    print(f"ours / round-robin   {means['ours'] / means['round-robin']:.2f} (goal 1.5)")
    print(f"ours / rates known   {means['ours'] / means['ours, rates known']:.2f} (goal 0.95)")


if __name__ == "__main__":
    main()
