"""What a crawl drew, as arrays: the crawl's own sample, its control sample and its audit.

Invariant: accounts are positions 0 to n - 1 in the columns of the graph; follows are distinct and without self-loops,
grouped by ascending source. Only lists that were read to their end speak for their account.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.graph import UNKNOWN, FollowGraph, Indices, Ints, Mask
from storage import sampling
from storage.schema import Queue


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sample:
    """The lists a crawl read and the facts they brought about n accounts.

    `src` and `dst` are the follows read, shape (m,). Columns of shape (n,): `followers` and `following` as reported,
    UNKNOWN where not; `complete`, whether the whole list was read; `main`, whether it was read for the crawl's own
    sake, neither for the control sample nor for the audit.
    """

    src: Indices
    dst: Indices
    followers: Ints
    following: Ints
    complete: Mask
    main: Mask

    def __len__(self) -> int:
        return len(self.followers)

    @property
    def listings(self) -> Ints:
        """By how many of the accounts with a list each account is followed, shape (n,): k."""
        return np.bincount(self.dst, minlength=len(self))

    @property
    def listed(self) -> Ints:
        """How many accounts each list has brought, shape (n,): L."""
        return np.bincount(self.src, minlength=len(self))


@dataclass(frozen=True, slots=True, eq=False)
class Wave:
    """One wave of the control sample: accounts drawn with replacement, each once, how often, and the credits spent.

    An account that was read before costs nothing when drawn, and neither does one that follows nobody: both count.
    """

    accounts: Ints
    draws: Ints
    credits: int


@dataclass(frozen=True, slots=True, eq=False)
class Control:
    """Three waves, each drawn with probabilities that the wave before brought, the first those of the crawl.

    With g = followers reported: wave 1 proportional to (sum over crawled u listing v of 1 / g_u) / g_v, wave 2 and 3 to
    (draws of the wave before that list v) / g_v. Source: three-wave control sample, docs/estimators.md.
    """

    waves: tuple[Wave, Wave, Wave]

    @property
    def credits(self) -> int:
        """Credits of the poorest wave: it decides what can be said."""
        return min(wave.credits for wave in self.waves)


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """The accounts read because they are many follows cheap and little listed: (following / cost) / (1 + listings).

    Such a crawl lists all accounts about in proportion to their followers, whatever strategy drew the rest. The control
    sample does so too, and can take its place.
    """

    accounts: Ints


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class History:
    """The visits in the order in which they began, columns of shape (v,).

    `account` is a position, `credits` what was charged, `listing` whether a list came; `own`, whether the visit was the
    crawl's own: neither for the control sample nor for the audit, and of an account whose list was not read before.
    """

    account: Ints
    credits: Ints
    listing: Mask
    own: Mask

    def __len__(self) -> int:
        return len(self.account)


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A crawl as drawn: its sample, the control sample and the audit where there is one, and how it went."""

    sample: Sample
    control: Control | None
    audit: Audit | None
    history: History


def read_drawn(conn: Any, graph: FollowGraph) -> Drawn:
    """Read how `graph` was drawn, through the connection that it was read through.

    A list counts for the crawl's own sake if any visit of its account was picked from the main or the explore queue.
    """
    n, ids = len(graph.accounts), graph.accounts.id
    queues = {name: np.zeros(n, dtype=np.bool_) for name in (Queue.MAIN, Queue.EXPLORE, Queue.AUDIT)}
    extra = {Queue.AUDIT, *sampling.CONTROL_QUEUES}
    own, seen = [], np.zeros(n, dtype=np.bool_)
    rows = list(sampling.visit_rows(conn))
    account = np.searchsorted(ids, np.array([row[0] for row in rows], dtype=np.int64))
    for place, (_, queue, _, has_list) in zip(account.tolist(), rows, strict=True):
        own.append(queue not in extra and not seen[place])
        if has_list:
            seen[place] = True
            if queue in queues:
                queues[queue][place] = True
    sample = Sample(
        src=graph.src,
        dst=graph.dst,
        followers=graph.accounts.followers,
        following=graph.accounts.following,
        complete=graph.accounts.complete,
        main=queues[Queue.MAIN] | queues[Queue.EXPLORE],
    )
    history = History(
        account=account,
        credits=np.array([row[2] for row in rows], dtype=np.int64),
        listing=np.array([row[3] for row in rows], dtype=np.bool_),
        own=np.array(own, dtype=np.bool_),
    )
    audited = np.flatnonzero(queues[Queue.AUDIT])
    return Drawn(sample, _read_control(conn, ids), Audit(audited) if len(audited) else None, history)


def _read_control(conn: Any, ids: Ints) -> Control | None:
    draws, credits = sampling.control_waves(conn)
    if not draws:
        return None
    number, account, count = np.array(draws, dtype=np.int64).T
    place = np.searchsorted(ids, account)
    first, second, third = (
        Wave(place[number == wave], count[number == wave], credits.get(wave, 0)) for wave in (1, 2, 3)
    )
    return Control((first, second, third))


def times(n: int, sources: Control | Audit) -> Ints:
    """Return how often each of n accounts is a source, shape (n,): an account drawn twice is one twice."""
    found = np.zeros(n, dtype=np.int64)
    match sources:
        case Audit(accounts):
            found[accounts] = 1
        case Control(waves):
            for wave in waves:
                found[wave.accounts] += wave.draws
    return found


def reported(counts: Ints) -> Mask:
    """Return which counts the platform reported, shape (n,)."""
    return np.not_equal(counts, UNKNOWN)


def counted(sample: Sample) -> npt.NDArray[np.float64]:
    """Return the followers of each account as reported, else by how many lists name it; shape (n,)."""
    return np.where(reported(sample.followers), sample.followers, sample.listings).astype(np.float64)
