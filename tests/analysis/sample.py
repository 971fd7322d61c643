"""Databases for tests and for looking: hand-made ones, and partial crawls imitated over an edge list."""

from __future__ import annotations

import gzip
import random
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa

from storage.database import Database
from storage.schema import Completeness, Outcome, State, metadata
from storage.statement import Insert

Place = TypeVar("Place", bound="Path | str")
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Reference graphs beside the repository; tests that want them skip where they are absent."""

START = 1_793_000_000
"""When the sample crawls began: 2026-10-26, in Unix seconds."""

PAGE = 20


@dataclass(frozen=True, slots=True)
class Visit:
    """What reading one account's list brought."""

    listed: tuple[str, ...] = ()
    completeness: str = Completeness.COMPLETE


@dataclass(slots=True)
class Sample:
    """A crawl in words: who was visited with what result, in this order, and what else is known."""

    seeds: tuple[str, ...] = ()
    visits: dict[str, Visit] = field(default_factory=dict)
    followers: Mapping[str, int] = field(default_factory=dict)
    following: Mapping[str, int] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    without_handle: frozenset[str] = frozenset()
    uncertain: int = 0
    strategy: str = "flow"
    budget: int = 10_000
    stop_reason: str | None = "budget_exhausted"

    def ids(self) -> dict[str, int]:
        """Account ids by handle, in the order in which the accounts became known."""
        order: dict[str, None] = dict.fromkeys(self.seeds)
        for handle, visit in self.visits.items():
            order.setdefault(handle)
            order.update(dict.fromkeys(visit.listed))
        order.update(dict.fromkeys([*self.failed, *self.skipped]))
        return {handle: number for number, handle in enumerate(order, start=1)}


def write(path: Place, sample: Sample) -> Place:
    """Make a database of the newest schema that holds the sample."""
    with closing(Database.open(path, now=lambda: 0.0)) as database:
        database.transact(lambda conn: fill(conn, sample))
    return path


def fill(conn: sa.Connection, sample: Sample) -> None:
    """Put the sample into empty tables."""
    ids = sample.ids()
    depth = dict.fromkeys(sample.seeds, 0)
    follows, visits, ledger = [], [], []
    clock = START
    for number, (handle, visit) in enumerate(sample.visits.items(), start=1):
        pages = max(1, -(-len(visit.listed) // PAGE))
        started = clock = clock + 60
        for page in range(pages):
            clock += 1
            cursor = f"{page}" if page else ""
            ledger.append((1, number, ids[handle], cursor, clock, Outcome.SETTLED, 1, 0, None))
        visits.append((number, ids[handle], 1, started, clock, visit.completeness, pages))
        follows += [(ids[handle], ids[other], number) for other in dict.fromkeys(visit.listed)]
        for other in visit.listed:
            depth.setdefault(other, depth.get(handle, 1) + 1)
    for _ in range(sample.uncertain):
        clock += 1
        ledger.append((1, None, None, "", clock, Outcome.UNCERTAIN, 0, 1, "timeout"))

    states = {handle: (State.DONE, visit.completeness, None) for handle, visit in sample.visits.items()}
    states |= {handle: (State.FAILED, None, reason) for handle, reason in sample.failed.items()}
    states |= {handle: (State.SKIPPED, None, reason) for handle, reason in sample.skipped.items()}
    accounts, frontier = [], []
    for handle, key in ids.items():
        state, completeness, reason = states.get(handle, (State.QUEUED, None, None))
        name = None if handle in sample.without_handle else handle
        facts = sample.names.get(handle), sample.followers.get(handle), sample.following.get(handle)
        accounts.append((key, name, *facts, START, START))
        frontier.append((key, int(state), 0.0, depth.get(handle, 1), completeness, reason))

    charged = sum(row[6] for row in ledger)
    run = (1, START, clock, sample.stop_reason, sample.strategy, 7, "{}", sample.budget, charged, sample.uncertain)
    for table, columns, rows in (
        ("runs", "id started_at ended_at stop_reason strategy rng_seed settings budget charged uncertain", [run]),
        ("accounts", "id handle display_name followers following first_seen_at updated_at", accounts),
        ("frontier", "account_id state priority depth completeness reason", frontier),
        ("visits", "id account_id run_id started_at ended_at completeness pages", visits),
        ("follows", "src dst first_visit", sorted(follows)),
        ("ledger", "run_id visit_id account_id cursor at outcome charged uncertain cause", ledger),
    ):
        insert(conn, table, columns.split(), rows)


def insert(conn: sa.Connection, table: str, columns: list[str], rows: Iterable[tuple[object, ...]]) -> None:
    """Insert rows through the driver, so that large samples are made in seconds."""
    Insert(metadata.tables[table], columns).run(conn, list(rows))


def edges(name: str) -> list[tuple[int, int]]:
    """Read the edges of a reference graph, without self-loops; skip the test where the folder is absent."""
    path = DATA / name / "edges.tsv.gz"
    if not path.exists():
        pytest.skip(f"reference graph {name} is not at {path}")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        pairs = (line.split()[:2] for line in file)
        return [(int(source), int(target)) for source, target in pairs if source != target]


def values(name: str, file: str) -> dict[int, float]:
    """Read the expected outputs of a reference graph."""
    path = DATA / name / file
    if not path.exists():
        pytest.skip(f"reference values {name} are not at {path}")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [line.split() for line in lines]
    return {int(row[0]): float(row[-1]) for row in rows if row[0].isdigit()}


def closed(pairs: Iterable[tuple[int, int]], nodes: Iterable[int] = ()) -> Sample:
    """A crawl that visited every account of a graph, completely. Ids are handles `u<i>`, in the order of `i`."""
    lists: dict[int, list[int]] = {node: [] for node in nodes}
    for source, target in pairs:
        lists.setdefault(source, []).append(target)
        lists.setdefault(target, [])
    order = sorted(lists)
    return Sample(
        seeds=tuple(f"u{node}" for node in order),
        visits={f"u{node}": Visit(tuple(f"u{other}" for other in lists[node])) for node in order},
    )


def partial(pairs: Iterable[tuple[int, int]], *, pages: int, rng_seed: int = 1, seeds: int = 10) -> Sample:
    """A breadth-first crawl of a graph that stops after so many pages, with some of everything that can go wrong."""
    rng = random.Random(rng_seed)
    lists: dict[int, list[int]] = {}
    followers: dict[int, int] = {}
    for source, target in pairs:
        lists.setdefault(source, []).append(target)
        lists.setdefault(target, [])
        followers[target] = followers.get(target, 0) + 1
    first = rng.sample(sorted(lists), seeds)
    known, queue, spent = set(first), deque(first), 0
    visits: dict[str, Visit] = {}
    failed: dict[str, str] = {}
    skipped: dict[str, str] = {}
    while queue and spent < pages:
        node = queue.popleft()
        luck = rng.random()
        listed, completeness = lists[node], Completeness.COMPLETE
        if luck < 0.03:
            listed, completeness = [], Completeness.HIDDEN
        elif luck < 0.04:
            listed, completeness = [], Completeness.NOT_FOUND
        elif luck < 0.05:
            listed, completeness = listed[:PAGE], Completeness.PARTIAL
        elif luck < 0.055:
            failed[f"u{node}"] = "server_error"
            continue
        elif luck < 0.07:
            skipped[f"u{node}"] = "private"
            continue
        elif len(listed) > 40 * PAGE:
            listed, completeness = listed[: 40 * PAGE], Completeness.CAPPED
        cost = max(1, -(-len(listed) // PAGE))
        if spent + cost > pages:
            continue
        spent += cost
        visits[f"u{node}"] = Visit(tuple(f"u{other}" for other in listed), completeness)
        for other in listed:
            if other not in known:
                known.add(other)
                queue.append(other)
    return Sample(
        seeds=tuple(f"u{node}" for node in first),
        visits=visits,
        followers={f"u{node}": int(followers.get(node, 0) * rng.lognormvariate(2, 0.5)) for node in known},
        following={f"u{node}": len(lists[node]) for node in known},
        names={f"u{node}": f"Account number {node}" for node in known},
        failed=failed,
        skipped=skipped,
        uncertain=3,
        budget=pages,
        strategy="bfs",
    )
