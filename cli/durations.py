"""Lengths of time as people write them (`90s`, `10m`, `1h30m`, `2d`), kept as seconds."""

from __future__ import annotations

import math
import re

_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def parse(text: str) -> float:
    """Return seconds. Raises ValueError for anything but numbers with the units d, h, m and s."""
    written = text.strip().replace(" ", "")
    if not _WHOLE.fullmatch(written):
        raise ValueError(f"not a duration: {text!r}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(written))
    if not math.isfinite(seconds):
        raise ValueError("a duration without end")
    return seconds


def written(seconds: float) -> str:
    """Return the shortest text that `parse` reads as `seconds`, for whole seconds: 5400 is `1h30m`."""
    parts: list[str] = []
    rest = seconds
    for unit, length in _UNITS.items():
        count, rest = divmod(rest, length) if unit != "s" else (rest, 0.0)
        if count:
            parts.append(f"{count:g}{unit}")
    return "".join(parts) or "0s"


def clock_face(seconds: float) -> str:
    """Return `h:mm:ss` (or `m:ss` below an hour, `4 d 22 h` from two days), as a person reads the length of a crawl."""
    minutes, whole_seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02d}:{whole_seconds:02d}" if hours else f"{minutes}:{whole_seconds:02d}"
