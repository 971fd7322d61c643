"""What a crawl saw and what it did not: the numbers that stand before every finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.graph import LISTED, STANDINGS, UNKNOWN, FollowGraph, Ints, Mask
from storage import export, summary
from storage.summary import RunRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Credits:
    """Credits of all runs together. `uncertain` may have been charged; `booked` is what the ledger's rows add up to."""

    charged: int
    uncertain: int
    booked: int

    @property
    def agree(self) -> bool:
        """Whether the runs' totals and the ledger's rows say the same."""
        return self.charged == self.booked


@dataclass(frozen=True, slots=True)
class Announced:
    """Follows that profiles announce and follows that were read, of the same accounts."""

    accounts: int
    reported: int
    read: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The sample behind a graph. Counts are accounts unless they say otherwise; times are Unix seconds.

    `standings` counts every known account exactly once, and `spent` the credits charged for accounts of each standing.
    `announced` compares how many follows the visited accounts' profiles announce with how many were read, over those
    that announce a number; `announced_complete` the same for those whose list was read to its end.
    """

    known: int
    seeds: int
    standings: Mapping[str, int]
    spent: Mapping[str, int]
    frontier: Mapping[str, int]
    skipped: Mapping[str, int]
    failed: Mapping[str, int]
    announced: Announced
    announced_complete: Announced
    edges: int
    ended_edges: int
    pages: int
    first_page_at: int | None
    last_page_at: int | None
    credits: Credits
    runs: tuple[RunRow, ...]

    @property
    def visited(self) -> int:
        """Accounts of which a list was read, whole or not."""
        return sum(self.standings[word] for word in STANDINGS[:LISTED])

    @property
    def boundary(self) -> int:
        """Accounts never visited: those waiting and those that are never to be bought."""
        return self.standings["waiting"] + self.standings["skipped"]

    @property
    def unasked(self) -> int:
        """Accounts never visited of which it is unknown whom they follow: not those that are known to follow nobody."""
        return self.boundary - self.skipped.get("no_following", 0)

    @property
    def accounts(self) -> dict[str, int]:
        """The known accounts in the words of `followgraph status`: known is the sum of the others."""
        words = ("hidden", "private", "not_found", "failed")
        others = {word: self.standings[word] for word in words}
        return {"known": self.known, "visited": self.visited, "boundary": self.boundary, **others}

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies that drew the sample, each once, in the order of their first run."""
        return tuple(dict.fromkeys(name for run in self.runs for name in run.strategies))

    @property
    def sources(self) -> tuple[str, ...]:
        """The hosts that were asked, each once."""
        return tuple(dict.fromkeys(source for run in self.runs for source in run.sources))

    @property
    def is_rehearsal(self) -> bool:
        """Whether nothing came from anywhere but this machine: a simulated API, not the platform."""
        return summary.is_rehearsal(self.runs)


def read_coverage(conn: Any, graph: FollowGraph) -> Coverage:
    """Read the coverage of `graph` through the connection that it was read through."""
    accounts = graph.accounts
    state = summary.read(conn)
    first, last = export.page_times(conn)
    return Coverage(
        known=len(accounts),
        seeds=int((accounts.depth == 0).sum()),
        standings=_by_standing(graph, np.ones(len(accounts), dtype=np.int64)),
        spent=_by_standing(graph, _spent(conn, graph)),
        frontier=state.frontier,
        skipped=state.skipped,
        failed={reason or "not stated": count for reason, count in export.failure_rows(conn)},
        announced=_announced(graph, accounts.listed),
        announced_complete=_announced(graph, accounts.complete),
        edges=len(graph.src),
        ended_edges=export.ended_follows(conn),
        pages=state.pages,
        first_page_at=first,
        last_page_at=last,
        credits=Credits(
            charged=sum(run.charged for run in state.runs),
            uncertain=sum(run.uncertain for run in state.runs),
            booked=state.charged,
        ),
        runs=tuple(state.runs),
    )


def _spent(conn: Any, graph: FollowGraph) -> Ints:
    charged = dict(export.credit_rows(conn))
    return np.fromiter((charged.get(key, 0) for key in graph.accounts.id.tolist()), np.int64, len(graph))


def _by_standing(graph: FollowGraph, weights: Ints) -> dict[str, int]:
    sums = np.bincount(graph.accounts.standing, weights=weights, minlength=len(STANDINGS))
    return {word: int(total) for word, total in zip(STANDINGS, sums, strict=True)}


def _announced(graph: FollowGraph, among: Mask) -> Announced:
    among = among & (graph.accounts.following != UNKNOWN)
    read = np.bincount(graph.src, minlength=len(graph))
    return Announced(int(among.sum()), int(graph.accounts.following[among].sum()), int(read[among].sum()))
