"""What every crawler of the comparison reports, measured by itself: start-up and imports are not counted."""

from __future__ import annotations

import json
import time
from pathlib import Path


class Stretch:
    """From its making to `end`: the wall clock and this process's CPU time."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self.wall_s = self.cpu_s = 0.0

    def end(self) -> None:
        """Note the time; the last note stands."""
        self.wall_s, self.cpu_s = time.perf_counter() - self._wall, time.process_time() - self._cpu


def peak_mb() -> float:
    """Return the most memory this process ever had."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def report(stretch: Stretch, *, pages: int, edges: int, **more: object) -> None:
    """Print the one line that is read."""
    found = {"pages": pages, "edges": edges, "wall_s": stretch.wall_s, "cpu_s": stretch.cpu_s, "peak_mb": peak_mb()}
    print(json.dumps(found | more), flush=True)
