"""How many pages a second one, two and four crawlers of one PostgreSQL database store, and what bounds them.

    PYTHONPATH=.:tests/support python benchmarks/crew.py [--pages 4000] [--rounds 3]

All crawl one drawn network through one simulator (50 ms latency) with 100 requests in flight together, on a server of
this machine that flushes every commit; a crawl into a file stands beside it. Pages a second are the median of the
busier half of the seconds. CPU milliseconds a page of the crawlers (start-up included), of the database server and of
the simulator tell who had the machine: where they come to as many cores as there are, nothing else was the bound.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from meters import cpu_s, usage
from postgres_server import Postgres, postgres
from processes import run, start

from storage.database import Database


def finished(process: subprocess.Popen[str]) -> float:
    """Wait for a crawl's end; returns its CPU seconds."""
    assert process.stdout is not None
    assert process.stderr is not None
    said = process.stdout.read()
    used = usage(process)
    assert process.returncode == 0, said + process.stderr.read()
    assert json.loads(said)["stop_reason"] == "budget_exhausted"
    return used.ru_utime + used.ru_stime


def crawled(place: str, crawlers: int, pages: int, server: Postgres, folder: Path) -> dict[str, Any]:
    """Crawl with so many crawlers; returns what it took."""
    api = start(["simulate", "--accounts", "60000", "--latency", "50"], cwd=folder)
    assert api.stdout is not None
    assert server.process is not None
    url = api.stdout.readline().strip()
    at = ["--db", place]
    run([*at, "seed", "u1", "u2", "u3"], cwd=folder)
    before_api, before_server = cpu_s(api.pid), cpu_s(server.process.pid)
    crawl = [*at, "crawl", "--json", "--log-level", "error", "--concurrency", "100", "--api-url", url]
    first = start([*crawl, "--budget", str(pages)], cwd=folder)
    others = []
    if crawlers > 1:
        while not _spent(place):  # the first one begins the run
            time.sleep(0.05)
        others = [start(crawl, cwd=folder) for _ in range(crawlers - 1)]
    used = sum(finished(process) for process in (first, *others))
    api_s = cpu_s(api.pid) - before_api
    api.terminate()
    api.communicate(timeout=30)
    time.sleep(2)  # connections end, and their time is the server's
    server_s = cpu_s(server.process.pid) - before_server
    with closing(Database.open(place, now=time.time, mode="read")) as opened, opened.read() as conn:
        rows = conn.exec_driver_sql("SELECT at, count(*) FROM ledger WHERE charged > 0 GROUP BY at ORDER BY at").all()
    # Whole seconds, the busy half of them: the first has few at work, the last runs dry.
    whole = sorted((int(count) for _, count in rows[1:-1]), reverse=True)
    return {
        "pages": median(whole[: max(1, len(whole) // 2)]),
        "crawlers": 1000 * used / pages,
        "server": 1000 * server_s / pages,
        "api": 1000 * api_s / pages,
    }


def _spent(place: str) -> int:
    with closing(Database.open(place, now=time.time, mode="read")) as opened, opened.read() as conn:
        return int(conn.exec_driver_sql("SELECT coalesce(sum(charged), 0) FROM runs").scalar_one())


def main() -> None:
    """Measure, interleaved, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    ways = {"1, a file": 0, "1": 1, "2": 2, "4": 4}
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    with postgres() as server:
        server.stop()
        server.is_careful = True
        server.start()
        for number in range(asked.rounds):
            for way, crawlers in ways.items():
                with tempfile.TemporaryDirectory(prefix="followgraph-crew-") as name:
                    folder = Path(name)
                    place = server.url(server.fresh()) if crawlers else str(folder / "a.db")
                    found[way].append(crawled(place, max(1, crawlers), asked.pages, server, folder))
                    print(f"round {number + 1}, {way}: {found[way][-1]}", flush=True)
    print(f"\n{os.cpu_count()} cores, {asked.pages:,} pages, medians of {asked.rounds}\n")
    print("| crawlers | pages/s | CPU ms a page: crawlers | server | simulator |")
    print("| --- | --- | --- | --- | --- |")
    for way, rows in found.items():
        cells = [median(row[name] for row in rows) for name in ("pages", "crawlers", "server", "api")]
        print(f"| {way} | {cells[0]:,.0f} | {cells[1]:.1f} | {cells[2]:.1f} | {cells[3]:.1f} |")


if __name__ == "__main__":
    main()
