"""What every crawler of the comparison reports, measured by itself: start-up and imports are not counted."""

from __future__ import annotations

import json
import time
from pathlib import Path


class Stretch:
    """From its making to `end`: the wall clock, this process's CPU time, and what of it the calling thread took."""

    def __init__(self) -> None:
        self._began = self._clocks()
        self.wall_s = self.cpu_s = self.loop_cpu_s = 0.0

    @staticmethod
    def _clocks() -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time(), time.thread_time()

    def end(self) -> None:
        """Note the time, on the thread that made it; the last note stands."""
        spent = (now - then for now, then in zip(self._clocks(), self._began, strict=True))
        self.wall_s, self.cpu_s, self.loop_cpu_s = spent


def peak_mb() -> float:
    """Return the most memory this process ever had."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def report(stretch: Stretch, *, pages: int, edges: int, **more: object) -> None:
    """Print the one line that is read."""
    found = {"pages": pages, "edges": edges, "peak_mb": peak_mb()}
    times = {"wall_s": stretch.wall_s, "cpu_s": stretch.cpu_s, "loop_cpu_s": stretch.loop_cpu_s}
    print(json.dumps(found | times | more), flush=True)
