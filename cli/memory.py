"""How much memory this process may still take."""

from __future__ import annotations

import resource
from pathlib import Path

OWN_GROUP, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Where the kernel tells in which control group a process is, and what a group may take."""

_FIRST = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
_SECOND = "memory.max", "memory.current", "inactive_file"
"""What a group may take, what it takes, and what of that are pages of files that the kernel can have back at any time;
in the first and the second version of control groups."""


def room() -> int | None:
    """Return the bytes that the machine, the container and this process's own limit leave; None where nobody tells."""
    return min((each for each in (_of_machine(), _of_container(), _of_process()) if each is not None), default=None)


def _of_machine() -> int | None:
    return _kilobytes(Path("/proc/meminfo"), "MemAvailable")


def _of_container() -> int | None:
    """Of the control group that this process is in, and of every group around it; of either version."""
    try:
        lines = OWN_GROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    left = []
    for _, kinds, path in (line.split(":", 2) for line in lines):
        if kinds and "memory" not in kinds.split(","):
            continue
        root, names = (GROUPS / "memory", _FIRST) if kinds else (GROUPS, _SECOND)
        place = root / path.lstrip("/")
        for group in (place, *place.parents[: len(place.parts) - len(root.parts)]):
            most, used = _number(group / names[0]), _number(group / names[1])
            if most is not None and used is not None:
                left.append(max(0, most - used + _stat(group / "memory.stat", names[2])))
    return min(left, default=None)


def _of_process() -> int | None:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _kilobytes(Path("/proc/self/status"), "VmSize")
    return None if limit == resource.RLIM_INFINITY or used is None else max(0, limit - used)


def _kilobytes(path: Path, name: str) -> int | None:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


def _stat(path: Path, name: str) -> int:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.split(" ")[0] == name), 0)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such group, or "max"
        return None
