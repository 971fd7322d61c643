"""Loading the follow graph: from the database, or from what the last load left beside it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from analysis import cache
from analysis.accounts import LISTED, NUMBERS, UNKNOWN, VISITED, Accounts, FromDatabase, Ints, Mask
from analysis.columnar import FollowGraph, PairGraph, Removed
from analysis.engine import Indices
from storage import columns
from storage.columns import Door
from storage.database import Database, graph_beside
from storage.export import STANDINGS

__all__ = [  # what this module gives on, so that one import serves who works with a graph
    "LISTED",
    "STANDINGS",
    "UNKNOWN",
    "VISITED",
    "Accounts",
    "FollowGraph",
    "Indices",
    "Ints",
    "Mask",
    "PairGraph",
    "Removed",
    "from_pairs",
    "load_graph",
    "read_graph",
]


def load_graph(place: str | Path, as_of: float | datetime | None = None, *, keep: bool = True) -> FollowGraph:
    """Read the graph of a database, by path or address, through a read-only connection.

    Nodes are account ids as ints; exports and report.json write the same ids as texts.
    `as_of` asks for the follows that were current at a time, in Unix seconds or with a time zone. The arrays are kept
    beside the database as NAME-graph.npz for the next load, unless `keep` is false, the place cannot be written or the
    database is on a server.
    Raises a DatabaseError, and ValueError for a time without a zone or what is no time.
    """
    at = _moment(as_of)
    # Only the upgrade of an older database would ask for the time, and reading never upgrades.
    with closing(Database.open(place, now=lambda: 0.0, mode="read")) as database:
        if database.is_shared:
            graph = columns.fast(database, lambda door: _read(door, at))
            graph.accounts.read_from(FromDatabase(place))
            return graph
        path = graph_beside(database.path)

        def read(door: Door) -> FollowGraph:
            before = columns.file_state(database.path)
            key = cache.key_of(before, columns.marks(door), at)
            arrays = cache.stored(path, key) if keep else None
            if arrays is None:
                graph = _read(door, at)
                if keep and columns.file_state(database.path) == before:
                    cache.store(path, key, _packed(graph), changed_ns=max(before[1::2]))
            else:
                graph = _unpacked(arrays)
            return graph

        graph = columns.fast(database, read)
    graph.accounts.read_from(FromDatabase(place))
    return graph


def read_graph(conn: Any) -> FollowGraph:
    """Read the graph through an open connection of storage, with handles: in the very state that it sees."""
    graph = _read(columns.through(conn), None)
    graph.accounts.read_from(lambda name: dict(columns.attribute_rows(conn, name)))
    graph.accounts.column("handle")
    return graph


def _moment(as_of: float | datetime | None) -> float | None:
    if as_of is None or isinstance(as_of, Real):
        return as_of
    if not isinstance(as_of, datetime):
        raise ValueError(f"as_of={as_of!r} is no time; give a datetime with a time zone, or Unix seconds")
    if as_of.tzinfo is None:
        raise ValueError(f"as_of={as_of.isoformat()} has no time zone; add one, such as datetime.UTC")
    return as_of.timestamp()


def _read(door: Door, as_of: float | None) -> FollowGraph:
    id_, standing, depth, followers, following, first_seen = columns.account_columns(door, as_of)
    accounts = Accounts(
        id=id_,
        standing=standing.astype(np.uint8),
        depth=depth,
        followers=followers,
        following=following,
        first_seen=first_seen,
    )
    return _assembled(accounts, door(columns.follow_query(as_of)))


def from_pairs(accounts: Accounts, sources: Ints, targets: Ints) -> FollowGraph:
    """Make the graph of follows given as account ids, in any order; what is taken out is counted."""
    return _assembled(accounts, iter([(sources, targets)]))


def _assembled(accounts: Accounts, batches: Iterable[tuple[Ints, ...]]) -> FollowGraph:
    parts: list[tuple[Indices, Indices]] = []
    loops = orphans = 0
    is_sorted = True
    last = -1
    for sources, targets in batches:
        followers, is_source = columns.positions(accounts.id, sources)
        followed, is_target = columns.positions(accounts.id, targets)
        known = is_source & is_target
        if not known.all():
            orphans += len(known) - int(known.sum())
            followers, followed = followers[known[is_source]], followed[known[is_target]]
        other = followers != followed
        if not other.all():
            loops += len(other) - int(other.sum())
            followers, followed = followers[other], followed[other]
        if len(followers):
            keys = followers << 32 | followed
            is_sorted = is_sorted and keys[0] > last and bool(np.all(keys[1:] > keys[:-1]))
            last = int(keys[-1])
            parts.append((followers.astype(np.uint32), followed.astype(np.uint32)))
    none = np.zeros(0, dtype=np.uint32)
    src, dst = (np.concatenate([none, *(part[at] for part in parts)]) for at in (0, 1))
    duplicates = 0
    if not is_sorted:
        pairs = np.sort(src.astype(np.uint64) << np.uint64(32) | dst)  # np.unique is 17 times slower
        first = np.concatenate(([True], pairs[1:] != pairs[:-1]))
        duplicates = int(len(pairs) - first.sum())
        pairs = pairs[first]
        src, dst = (pairs >> np.uint64(32)).astype(np.uint32), pairs.astype(np.uint32)
    return FollowGraph(accounts, src, dst, Removed(loops, duplicates, orphans))


def _packed(graph: FollowGraph) -> cache.Arrays:
    removed = graph.removed
    return {
        "src": graph.src,
        "dst": graph.dst,
        "removed": np.array([removed.loops, removed.duplicates, removed.orphans]),
        **{name: getattr(graph.accounts, name) for name in NUMBERS},
    }


def _unpacked(arrays: cache.Arrays) -> FollowGraph:
    # The types of the arrays stand in the file; whoever wrote it had them from here.
    accounts = Accounts(**{name: arrays[name] for name in NUMBERS})  # type: ignore[arg-type]
    return FollowGraph(accounts, arrays["src"], arrays["dst"], Removed(*arrays["removed"].tolist()))  # type: ignore[arg-type]  # as above
