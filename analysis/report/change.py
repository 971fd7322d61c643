"""What changed among the follows while lists were read again: month by month, and who won and lost followers.

Only lists that were read again show anything, and what came and went between two visits was never seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from analysis.graph import FollowGraph
from storage.changes import Kind, Revisited

MOVERS = 10
"""Accounts named that won most, and that lost most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """Changes seen by the visits of a calendar month (UTC), written 2026-03."""

    month: str
    new: int
    back: int
    gone: int

    @property
    def net(self) -> int:
        """Follows more than before."""
        return self.new + self.back - self.gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """Followers that an account won and lost among the lists that were read again."""

    id: int
    handle: str | None
    won: int
    lost: int

    @property
    def net(self) -> int:
        """Followers more than before."""
        return self.won - self.lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """All that was seen to change; `movers` are all accounts with a change, by what they won, most first."""

    revisited: Revisited
    months: tuple[Month, ...]
    movers: tuple[Mover, ...]

    def total(self, kind: Kind) -> int:
        """Return how many changes of a kind there were."""
        return sum(getattr(month, kind) for month in self.months)

    @property
    def winners(self) -> tuple[Mover, ...]:
        """Return those that won most followers on balance."""
        return tuple(mover for mover in self.movers[:MOVERS] if mover.net > 0)

    @property
    def losers(self) -> tuple[Mover, ...]:
        """Return those that lost most followers on balance, the greatest loss first."""
        return tuple(mover for mover in self.movers[: -MOVERS - 1 : -1] if mover.net < 0)


def changes(graph: FollowGraph, revisited: Revisited, events: Iterable[tuple[Kind, int, int]]) -> Changes:
    """Sum up changes as `storage.changes` tells them; accounts are called as the graph calls them."""
    by_month: Counter[tuple[str, Kind]] = Counter()
    won: Counter[int] = Counter()
    lost: Counter[int] = Counter()
    for kind, target, at in events:
        by_month[datetime.fromtimestamp(at, UTC).strftime("%Y-%m"), kind] += 1
        (lost if kind == "gone" else won)[target] += 1
    handles = dict(zip(graph.accounts.id.tolist(), graph.accounts.handle, strict=True)) if by_month else {}
    movers = [
        Mover(id=key, handle=handles.get(key), won=won[key], lost=lost[key]) for key in sorted(won.keys() | lost.keys())
    ]
    return Changes(
        revisited=revisited,
        months=tuple(
            Month(month=month, new=by_month[month, "new"], back=by_month[month, "back"], gone=by_month[month, "gone"])
            for month in sorted({month for month, _ in by_month})
        ),
        movers=tuple(sorted(movers, key=lambda mover: (-mover.net, -mover.won, mover.id))),
    )
