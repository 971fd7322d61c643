"""What every process of a crawl is asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One crawl, over all its processes. `budget` in credits."""

    database: Path
    api_url: str
    seeds: Sequence[str]
    budget: int
    concurrency: int
