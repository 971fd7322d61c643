"""What processes take."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path


def cpu_s(pid: int) -> float:
    """Return the seconds of a core that a process has used, with those of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def usage(process: subprocess.Popen[str]) -> resource.struct_rusage:
    """Wait for a process's end and return what it took; its output has to be read before."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used
