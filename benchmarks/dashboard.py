"""What ten open pages cost the daemon: its CPU time with and without them, in percent of one core.

Starts the simulator and a daemon that crawls slowly as processes of their own, and looks at the daemon's CPU time over
the same span without and with ten listeners to the page's events, twice by turns.

    PYTHONPATH=.:tests/support python benchmarks/dashboard.py --seconds 60
"""

from __future__ import annotations

import argparse
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

from meters import cpu_s
from processes import page_of, run, start
from soak import LISTENERS, listen


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1, help="pages a second that the daemon buys meanwhile")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    api = start(["simulate", "--accounts", "20000"], cwd=folder)
    assert api.stdout is not None
    url = api.stdout.readline().strip()
    run(["seed", "u1", "u2", "u3"], cwd=folder)
    command = ["daemon", "--json", "--log-level", "error", "--budget-per-day", "1000000", "--rate", str(asked.rate)]
    daemon = start([*command, "--listen", "127.0.0.1:0", "--api-url", url], cwd=folder)
    page = page_of(daemon)
    spent: dict[int, list[float]] = {0: [], LISTENERS: []}
    try:
        time.sleep(10)
        for _ in range(2):
            for listeners, shares in spent.items():
                stop = threading.Event()
                for _ in range(listeners):
                    threading.Thread(target=listen, args=(page, stop), daemon=True).start()
                time.sleep(3)
                before = cpu_s(daemon.pid)
                time.sleep(asked.seconds)
                shares.append(100 * (cpu_s(daemon.pid) - before) / asked.seconds)
                stop.set()
                time.sleep(3)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=90)
        api.terminate()
        api.communicate(timeout=30)
        shutil.rmtree(folder)
    for listeners, shares in spent.items():
        print(f"{listeners:>3} pages open: {', '.join(f'{share:.2f} %' for share in shares)} of one core")
    more = (sum(spent[LISTENERS]) - sum(spent[0])) / 2
    print(f"ten pages cost {more:.2f} % of one core (goal 1 %)")


if __name__ == "__main__":
    main()
