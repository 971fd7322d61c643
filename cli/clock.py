"""The wall clock, read in this one place and handed into everything that needs it."""

from __future__ import annotations

import time


def now() -> float:
    """Return Unix seconds."""
    return time.time()  # noqa: TID251 - the one place
