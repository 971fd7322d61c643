"""soc-slashdot0902 crawled with 200 requests in flight while every twentieth call fails, in one of seventeen ways.

The whole graph takes minutes: `make slashdot` crawls it and prints what stands in docs/guarantees.md. `make test`
crawls what two hops reach, by the same code.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import rehearsal
import truth
import virtual_time
from aftermath import check_ledgers
from processes import edge_list

from crawler.engine import Result
from socialfetch.simulator import network
from socialfetch.simulator.service import Service
from storage.summary import Summary

SEED = "u20000"
CONCURRENCY = 200
PAGE_SIZE = 20
BUDGET = 1_000_000
"""Credits, more than everything costs."""

MIXED = (
    "internal_error", "internal_error_charged", "lookup_failed", "lookup_failed_charged", "overloaded",
    "overloaded_date", "overloaded_bare", "throttled", "gateway_timeout", "html_body", "empty_body", "hang_up",
    "hang_up_uncharged", "stall", "stall_uncharged", "cut_body", "slow",
)  # fmt: skip
"""Every fault of a single call, but those that end a run or give up an account, as they should."""

SHARE = 0.05
LATER_S = 300.0
"""When the provider is done with every call that was abandoned."""

CALLS = "SELECT a.handle || '|' || l.cursor FROM ledger l JOIN accounts a ON a.id = l.account_id"


@pytest.mark.parametrize("hops", [2, pytest.param(None, marks=pytest.mark.complete)], ids=["two_hops", "complete"])
def test_a_real_graph_is_stored_whole_through_mixed_faults(tmp_path: Path, hops: int | None) -> None:
    """Provider, ledger and stored pages agree page by page, doubts are listed, and all that can be reached is there."""
    path, graph = tmp_path / "a.db", edge_list("soc-slashdot0902")
    lists = truth.reachable(truth.read(graph), [SEED], hops=hops)
    api = rehearsal.service(
        network.load_edge_list(graph, rng_seed=1),
        faults=dict.fromkeys(MIXED, SHARE / len(MIXED)),
        latency_spread=0.5,
        page_size=PAGE_SIZE,
    )
    began_s = time.process_time()
    result, at_end = virtual_time.run(crawl_and_come_back(path, api, hops))
    cpu_s = time.process_time() - began_s

    assert result.stop_reason == "frontier_empty"
    charged = Counter(api.ledger.pages)
    settled, doubted, stored = (
        Counter(page for (page,) in rehearsal.rows(path, sql))
        for sql in (
            f"{CALLS} WHERE l.outcome = 'settled'",
            f"{CALLS} WHERE l.outcome = 'uncertain'",
            f"{CALLS} JOIN archive r ON r.ledger_id = l.id",
        )
    )
    assert stored == settled
    assert set(stored.values()) == {1}
    assert stored.total() == truth.pages(lists, PAGE_SIZE)
    assert settled <= charged <= settled + doubted
    assert rehearsal.edges(path) == {(source, target) for source, targets in lists.items() for target in targets}
    check_ledgers(path, charged)

    causes = rehearsal.rows(path, "SELECT cause, count(*) FROM ledger WHERE cause IS NOT NULL GROUP BY cause")
    failed = sum(count for _, count in causes)
    assert 0.8 * SHARE < failed / api.ledger.calls < 1.2 * SHARE
    assert at_end.uncertain > 0
    later = rehearsal.state(path)
    if hops is not None:  # so short a crawl that the balance settles all that was in doubt
        assert (later.charged, later.uncertain) == (api.ledger.charged, 0)
    figures = {
        "calls": api.ledger.calls,
        "calls that failed": failed,
        "credits the provider truly charged": charged.total(),
        "credits of failed calls among them": (charged - stored).total(),
        "our ledger at the end: charged": at_end.charged,
        "our ledger at the end: uncertain": at_end.uncertain,
        "our ledger five minutes later: charged": later.charged,
        "our ledger five minutes later: uncertain": later.uncertain,
        "pages that can be reached": truth.pages(lists, PAGE_SIZE),
        "pages stored": stored.total(),
        "follows that can be reached": sum(map(len, lists.values())),
        "follows stored": later.edges,
        "seconds of CPU": round(cpu_s),
        "seconds by the crawl's own clock": round(result.seconds),
    }
    sys.stdout.write("".join(f"| {name:<40} | {number:>7,} |\n" for name, number in figures.items()))


async def crawl_and_come_back(path: Path, api: Service, hops: int | None) -> tuple[Result, Summary]:
    """Crawl to the end, and once more, for nothing, when the provider is done with every call.

    Returns how the first crawl ended and where the database stood then.
    """
    options = {"seeds": [SEED], "budget": BUDGET, "concurrency": CONCURRENCY, "max_depth": hops}
    result = await rehearsal.crawl(path, api, **options)
    at_end = rehearsal.state(path)
    await asyncio.sleep(LATER_S)
    await rehearsal.crawl(path, api, **options)
    return result, at_end
