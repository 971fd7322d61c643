"""The simulated API as a process of its own: prints its address, serves until its standard input ends.

It is what `followgraph simulate` serves, but for the free routes: a crawl that is killed and started again all the time
would meet their 120 calls a minute, and the torture would measure only how it waits.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

import uvloop

from socialfetch.simulator import network
from socialfetch.simulator.faults import Faults
from socialfetch.simulator.server import serve
from socialfetch.simulator.service import Service
from socialfetch.simulator.settings import Settings


async def _until_the_end_of_input(service: Service) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    async with serve(service) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await ended.wait()


def main() -> None:
    """Serve an edge list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("graph", type=Path)
    parser.add_argument("--page-size", type=int, required=True)
    parser.add_argument("--latency", type=float, required=True, help="milliseconds")
    parser.add_argument("--rng-seed", type=int, required=True)
    asked = parser.parse_args()
    service = Service(
        network=network.load_edge_list(asked.graph, rng_seed=asked.rng_seed),
        settings=Settings(
            credits=1_000_000_000,
            page_size=asked.page_size,
            latency_s=asked.latency / 1000,
            latency_spread=0.5,
            free_calls_per_minute=None,
            rng_seed=asked.rng_seed,
        ),
        faults=Faults(),
        now=time.time,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_the_end_of_input(service))


if __name__ == "__main__":
    main()
