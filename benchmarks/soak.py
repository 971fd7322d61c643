"""A daemon under load for an hour: does its memory grow?

Starts the simulator and the daemon as processes of their own; lists are due again after a minute, so that new lists and
refreshes mix. Looks at the daemon's resident memory every ten seconds; the slope is of the second half, when
caches are full. With ten listeners on the page's events.

    PYTHONPATH=.:tests/support python benchmarks/soak.py --minutes 60
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path

import numpy as np
from meters import cpu_s
from processes import page_of, run, start

LISTENERS = 10


def listen(url: str, stop: threading.Event) -> None:
    """Read events until the daemon ends or told to stop."""
    try:
        with urllib.request.urlopen(f"{url}api/events", timeout=600) as events:
            while not stop.is_set() and events.read1(65_536):
                pass
    except (OSError, HTTPException):  # it ended in the middle of an event
        pass


def resident_mb(pid: int) -> float:
    """Return a process's resident memory."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found.group(1)) / 1024


def main() -> None:
    """Soak and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--accounts", type=int, default=200_000)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    api = start(["simulate", "--accounts", str(asked.accounts), "--latency", "50"], cwd=folder)
    assert api.stdout is not None
    url = api.stdout.readline().strip()
    run(["seed", "u1", "u2", "u3"], cwd=folder)
    more = {"FOLLOWGRAPH_REFRESH__SHORTEST": "60s"}
    command = ["daemon", "--json", "--log-level", "error", "--budget-per-day", str(10**9), "--rate", str(asked.rate)]
    daemon = start([*command, "--concurrency", "50", "--listen", "127.0.0.1:0", "--api-url", url], cwd=folder, **more)
    page = page_of(daemon)
    for _ in range(LISTENERS):
        threading.Thread(target=listen, args=(page, threading.Event()), daemon=True).start()
    samples: list[tuple[float, float]] = []
    begin = time.monotonic()
    try:
        while (passed := time.monotonic() - begin) < asked.minutes * 60 and daemon.poll() is None:
            samples.append((passed / 3600, resident_mb(daemon.pid)))
            print(f"{passed:7.0f} s  {samples[-1][1]:8.1f} MB  {cpu_s(daemon.pid):8.0f} CPU s", flush=True)
            time.sleep(10)
    finally:
        daemon.send_signal(signal.SIGTERM)
        out, _ = daemon.communicate(timeout=90)
        api.terminate()
        api.communicate(timeout=30)
    document = json.loads(out)
    half = np.array(samples[len(samples) // 2 :])
    slope = np.polyfit(half[:, 0], half[:, 1], 1)[0]
    pages = document["totals"]["pages"]
    print(f"{pages:,} pages, {pages / (asked.minutes * 60):.0f} a second; stopped: {document['stop_reason']}")
    print(f"memory grows by {slope:.1f} MB an hour over the second half ({half[0, 1]:.0f} to {half[-1, 1]:.0f} MB)")
    subprocess.run(["rm", "-r", str(folder)], check=True)


if __name__ == "__main__":
    main()
