"""`/metrics` of a daemon in virtual time: each figure against what the simulator, the ledger and the clock say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rehearsal
import virtual_time
from living import Flaky, config, live
from prometheus_client.parser import text_string_to_metric_families
from refreshing import DAY, inline

from crawler import seeding
from crawler.daemon import Daemon
from crawler.metrics import Metrics
from crawler.panel import Panel
from socialfetch.simulator import network
from storage.database import Database

Figures = dict[tuple[str, str], float]
"""By name and the value of the one label, which is empty where there is none."""


async def read(path: Path, daemon: Daemon) -> Figures:
    """Return what Prometheus would read."""
    db = Database.open(path, now=virtual_time.now, mode="read")
    try:
        time = asyncio.get_running_loop().time
        panel = Panel(db=db, daemon=daemon, now=virtual_time.now, time=time, offload=inline)
        text = (await Metrics(panel=panel, path=path, version="1").text()).decode()
    finally:
        db.close()
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_who_asks_during_the_first_reading_waits_for_it(tmp_path: Path) -> None:
    """The first reading of a large database takes long: nobody gets a page without it meanwhile."""
    api, path = rehearsal.service(network.generate(60, rng_seed=3)), tmp_path / "a.db"
    found: list[set[str]] = []

    async def slowly(work: Callable[[], Any]) -> Any:
        await asyncio.sleep(60)
        return work()

    async def meanwhile(daemon: Daemon) -> None:
        db = Database.open(path, now=virtual_time.now, mode="read")
        time = asyncio.get_running_loop().time
        panel = Panel(db=db, daemon=daemon, now=virtual_time.now, time=time, offload=slowly)
        found.extend(set(each) for each in await asyncio.gather(*(panel.snapshot() for _ in range(3))))
        db.close()
        daemon.drain("test")

    async def life() -> None:
        db = Database.open(path, now=virtual_time.now)
        seeding.seed(db, ["u1"], now=virtual_time.now())
        db.close()
        await live(path, Flaky(api), config(), meanwhile=meanwhile)

    virtual_time.run(life())
    assert found[0] == found[1] == found[2]
    assert {"live", "accounts", "by_day", "edges"} <= found[0]


def test_two_days(tmp_path: Path) -> None:
    """Two days with an outage, hidden, private and empty lists: pages, credits, waits, balance, and what nobody knows
    is not there."""
    graph = network.generate(400, rng_seed=3)
    for number, status in ((1, network.Status.HIDDEN), (2, network.Status.PRIVATE), (3, network.Status.NOT_FOUND)):
        graph.set_status(f"u{number}", status)
    api, path = rehearsal.service(graph, credits=1_000), tmp_path / "a.db"
    seen: list[Figures] = []

    async def meanwhile(daemon: Daemon) -> None:
        seen.append(await read(path, daemon))
        await asyncio.sleep(DAY / 4)
        seen.append(await read(path, daemon))
        api.top_up(-40)  # somebody else spends with the same key
        await asyncio.sleep(DAY)
        seen.append(await read(path, daemon))
        daemon.drain("test")

    async def life() -> None:
        db = Database.open(path, now=virtual_time.now)
        seeding.seed(db, [f"u{number}" for number in range(12)], now=virtual_time.now())
        db.close()
        begun = virtual_time.now()
        transport = Flaky(api, outages=[(begun, begun + 7_200)])
        await live(path, transport, config(per_day=60, total=200), meanwhile=meanwhile, poll_s=200.0)

    virtual_time.run(life())
    first, evening, end = seen

    absent = ("last_success_timestamp_seconds", "new_accounts_per_credit", "provider_balance_credits")
    assert [name for name in absent if (f"followgraph_{name}", "") in first] == []

    statuses = {status: count for (name, status), count in evening.items() if name == "followgraph_pages_total"}
    assert (statuses["hidden"], statuses["private"], statuses["not_found"]) == (1, 1, 1)
    empty = [handle for handle in range(12) if not len(graph.following(graph.index(f"u{handle}"))[0])]
    assert statuses["empty"] >= len([handle for handle in empty if handle > 3])
    assert sum(statuses.values()) == evening["followgraph_credits_charged_total", ""] == 60
    assert evening["followgraph_credits_uncertain", ""] == 0
    assert evening["followgraph_commit_duration_seconds_count", ""] == 60
    assert evening["followgraph_request_duration_seconds_count", ""] == 60
    assert 7_000 < evening["followgraph_wait_seconds_total", "waiting"] < 15_000
    assert evening["followgraph_wait_seconds_total", "day_done"] > 5_000
    waited = sum(value for (name, _), value in evening.items() if name == "followgraph_wait_seconds_total")
    assert DAY / 4 - 600 < waited <= DAY / 4
    assert evening["followgraph_refresh_due", ""] == 0
    assert evening["followgraph_credits_unexplained", ""] == 0

    # Read when the day's crawl begins.
    assert api.balance <= end["followgraph_provider_balance_credits", ""] <= 1_000 - 60 - 40
    assert end["followgraph_credits_unexplained", ""] == 40
    assert end["followgraph_credits_charged_total", ""] == 120
