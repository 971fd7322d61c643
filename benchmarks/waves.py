"""How often a control sample of so many credits a wave gives intervals: crawls of drawn networks in virtual time.

    python benchmarks/waves.py [--shares 100,120,130,140,160] [--networks 4]

A wave ends before the list that would be more than its share, and lists of the main crawl that are in progress are paid
from the first one; an interval needs a least number of credits in each. The real crawler in process, on networks of the
simulator, which have long lists.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import rehearsal  # noqa: E402 - beside the tests

from socialfetch.simulator import network  # noqa: E402 - the repository is put on the path first
from storage.sampling import CONTROL_QUEUES, CREDITS_A_WAVE, UNSPENT, WAVES  # noqa: E402 - as above

ACCOUNTS, SEEDS, CONTROL = 20_000, 5, 0.2
STRATEGIES, CONCURRENCIES = ("flow", "rank", "core", "discover"), (20, 50)
PAID = "SELECT v.queue, sum(l.charged) FROM ledger l JOIN visits v ON v.id = l.visit_id GROUP BY v.queue"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", default="100,120,130,140,160")
    parser.add_argument("--networks", type=int, default=4)
    options = parser.parse_args()
    networks = [network.generate(ACCOUNTS, rng_seed=seed) for seed in range(1, options.networks + 1)]
    print("| credits a wave | crawls | with intervals | the smallest wave |\n| --- | --- | --- | --- |")
    for share in map(int, options.shares.split(",")):
        cells = product(networks, STRATEGIES, CONCURRENCIES)
        smallest = [smallest_wave(drawn, share, strategy, concurrency) for drawn, strategy, concurrency in cells]
        enough = sum(credits >= CREDITS_A_WAVE - UNSPENT for credits in smallest)
        print(f"| {share} | {len(smallest)} | {enough} | {min(smallest)} to {max(smallest)} |", flush=True)


def smallest_wave(drawn: network.Network, share: int, strategy: str, concurrency: int) -> int:
    """Crawl a network with that share for each wave; return the credits of the wave that got least."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.db"
        rehearsal.go(
            path,
            rehearsal.service(drawn),
            seeds=[drawn.handle(account) for account in range(SEEDS)],
            budget=round(share * WAVES / CONTROL),
            control=CONTROL,
            strategy=strategy,
            concurrency=concurrency,
        )
        paid = dict(rehearsal.rows(path, PAID))
    return min(paid.get(queue, 0) for queue in CONTROL_QUEUES)


if __name__ == "__main__":
    main()
