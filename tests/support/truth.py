"""The graph that is crawled, read from its file and from nothing of ours: what a crawl must find."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from pathlib import Path

Lists = Mapping[str, frozenset[str]]
"""Whom each account follows, by handle."""


def read(path: Path) -> Lists:
    """Read an edge list, plain or gzip. Account 7 of integers is u7; nobody follows itself."""
    lists: dict[str, set[str]] = {}
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        for line in file:
            source, target = (_handle(text) for text in line.split()[:2])
            if source != target:
                lists.setdefault(source, set()).add(target)
    return {source: frozenset(targets) for source, targets in lists.items()}


def _handle(text: str) -> str:
    return f"u{text}" if text.isdigit() else text.lower()


def reachable(lists: Lists, seeds: Iterable[str], *, hops: int | None = None) -> dict[str, frozenset[str]]:
    """Return the lists that a search from the seeds meets: what a crawl to the end must store, and nothing else.

    With `hops` only the lists of accounts at most so far from a seed.
    """
    found: dict[str, frozenset[str]] = {}
    layer, hop = set(seeds), 0
    while layer and (hops is None or hop <= hops):
        new = {source: lists[source] for source in layer if source in lists}
        found |= new
        layer = {target for targets in new.values() for target in targets} - found.keys()
        hop += 1
    return found


def pages(lists: Lists, page_size: int) -> int:
    """Return how many pages these lists have, and so how many credits they cost."""
    return sum(-(-len(targets) // page_size) for targets in lists.values())
