"""The graph behind the simulator: accounts, their states, and who follows whom since when.

Invariants: nobody follows an account twice or itself; counts of followers and following are the graph's true degrees;
a list is newest follow first, its times strictly decreasing; the same arguments give the same network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from socialfetch import wire
from socialfetch.simulator import edge_list, synthesis
from socialfetch.simulator.chance import generator
from socialfetch.simulator.errors import InvalidSetting, UnknownAccount
from socialfetch.simulator.facts import NEWEST, Facts

_LIST_SPAN_S = 5 * 365 * 86_400
"""A list reaches back at most about this far."""
_LONGEST_GAP_S = 4 * 86_400


class Status(StrEnum):
    """What asking for an account's list comes to."""

    FOUND = "found"
    HIDDEN = "hidden"
    PRIVATE = "private"
    NOT_FOUND = "not_found"


class ListOrder(StrEnum):
    """In which order an account came to follow those it follows; the newest follow is listed first."""

    RANDOM = "random"
    HUBS_FIRST = "hubs-first"
    HUBS_LAST = "hubs-last"


class _ChangedList(msgspec.Struct):
    """A list that no longer is what the network started with."""

    targets: NDArray[np.uint32]
    times: NDArray[np.uint32]
    removed_times: set[int]


class Network:
    """Accounts by number (0 to `accounts` - 1) and their lists, columnar. Made by the functions of this module."""

    def __init__(
        self,
        *,
        handles: Sequence[str],
        source: NDArray[np.uint32],
        target: NDArray[np.uint32],
        rng_seed: int,
        community: NDArray[np.uint32] | None = None,
    ) -> None:
        """Take follows grouped by ascending source, each list newest first, without repetitions."""
        accounts = len(handles)
        self._handles = list(handles)
        self._index = {handle: index for index, handle in enumerate(handles)}
        self._targets = target
        self.following_counts = np.bincount(source, minlength=accounts)
        """How many accounts each account follows."""
        self.follower_counts = np.bincount(target, minlength=accounts)
        """How many accounts follow each account."""
        self.community = community
        """Of each account the planted community, for generated networks."""
        self._offsets = np.concatenate(([0], np.cumsum(self.following_counts, dtype=np.int64)))
        self._times = _follow_times(source, self.following_counts, self._offsets, generator(rng_seed, "times"))
        self.changes = 0
        """How often the network was changed since it was made."""
        self._changed: dict[int, _ChangedList] = {}
        self._status: dict[int, Status] = {}
        self._flagged: set[int] = set()
        self._facts = Facts(accounts, rng_seed, community)

    @property
    def accounts(self) -> int:
        """Number of accounts, those not found any more included."""
        return len(self._handles)

    @property
    def edges(self) -> int:
        """Number of follows, those in hidden lists included."""
        return int(self.following_counts.sum(dtype=np.int64))

    def index(self, handle: str) -> int | None:
        """Return the number of an account, None where no account has this handle."""
        return self._index.get(handle)

    def handle(self, index: int) -> str:
        """Return the handle of an account."""
        return self._handles[index]

    def status(self, index: int) -> Status:
        """Return what asking for the account's list comes to."""
        return self._status.get(index, Status.FOUND)

    def account(self, index: int) -> wire.Account:
        """Return the account as lists show it."""
        return self._facts.account(
            index,
            self._handles[index],
            followers=int(self.follower_counts[index]),
            following=int(self.following_counts[index]),
            private=index in self._flagged,
        )

    def created_at(self, index: int) -> int:
        """Return when the account was made, in Unix seconds."""
        return self._facts.created_at(index)

    def following(self, index: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Return whom an account follows and since when (Unix seconds), newest follow first."""
        changed = self._changed.get(index)
        if changed is not None:
            return changed.targets, changed.times
        here = slice(self._offsets[index], self._offsets[index + 1])
        return self._targets[here], self._times[here]

    def after(self, index: int, time: int) -> int | None:
        """Return the place in the list where follows older than `time` begin.

        None where the account never followed anybody at that very time: such a cursor was not made for this list.
        """
        if time > np.iinfo(np.uint32).max:
            return None
        _, times = self.following(index)
        place = len(times) - int(np.searchsorted(times[::-1], np.uint32(time)))
        if place > 0 and times[place - 1] == time:
            return place
        changed = self._changed.get(index)
        return place if changed is not None and time in changed.removed_times else None

    def add_follow(self, source: str, target: str) -> None:
        """Make `source` follow `target`, as its newest follow. Nothing changes if it does already."""
        follower, followed = self._known(source), self._known(target)
        if follower == followed:
            raise ValueError("an account does not follow itself here; the fault self_follow lists it")
        changed = self._changeable(follower)
        if followed in changed.targets:
            return
        past = [*changed.times[:1].tolist(), *changed.removed_times]
        changed.targets = np.concatenate((np.array([followed], np.uint32), changed.targets))
        changed.times = np.concatenate((np.array([max(past, default=NEWEST) + 60], np.uint32), changed.times))
        self._count(follower, followed, +1)

    def remove_follow(self, source: str, target: str) -> None:
        """Make `source` no longer follow `target`. Nothing changes if it does not. Cursors given out stay good."""
        follower, followed = self._known(source), self._known(target)
        changed = self._changeable(follower)
        stays = changed.targets != followed
        if stays.all():
            return
        changed.removed_times.update(changed.times[~stays].tolist())
        changed.targets, changed.times = changed.targets[stays], changed.times[stays]
        self._count(follower, followed, -1)

    def set_status(self, handle: str, status: Status, *, flagged: bool = False) -> None:
        """Let an account's list be hidden, private, gone or found again. `flagged` shows it as private in lists."""
        index = self._known(handle)
        self.changes += 1
        self._status[index] = status
        if flagged:
            self._flagged.add(index)
        else:
            self._flagged.discard(index)

    def rename(self, handle: str, new: str) -> None:
        """Give an account another handle, which nobody has. The old one is free for somebody else from now on."""
        index = self._known(handle)
        if new in self._index:
            raise ValueError(f"{new} is somebody's handle")
        self.changes += 1
        del self._index[handle]
        self._handles[index] = new
        self._index[new] = index

    def _known(self, handle: str) -> int:
        index = self._index.get(handle)
        if index is None:
            raise UnknownAccount(handle)
        return index

    def _changeable(self, index: int) -> _ChangedList:
        if index not in self._changed:
            targets, times = self.following(index)
            self._changed[index] = _ChangedList(targets=targets, times=times, removed_times=set())
        return self._changed[index]

    def _count(self, follower: int, followed: int, difference: int) -> None:
        self.changes += 1
        self.following_counts[follower] += difference
        self.follower_counts[followed] += difference


def load_edge_list(path: Path, *, rng_seed: int, list_order: ListOrder = ListOrder.RANDOM) -> Network:
    """Make a network of an edge list; every account is found. Raises UnreadableGraph.

    Repeated lines count once, self-follows are dropped (the account stays).
    """
    edges = edge_list.read(path)
    source, target = _distinct(edges.source, edges.target, len(edges.handles))
    source, target = _ordered(source, target, list_order, generator(rng_seed, "order"))
    return Network(handles=edges.handles, source=source, target=target, rng_seed=rng_seed)


def from_follows(follows: Iterable[tuple[str, str]], *, rng_seed: int = 0) -> Network:
    """Make a network by hand from pairs (follower, followed) of handles: each list is served in the order given."""
    pairs = list(dict.fromkeys(follows))
    places: dict[str, int] = {}
    ends = [places.setdefault(name, len(places)) for pair in pairs for name in pair]
    both = np.array(ends, dtype=np.uint32).reshape(-1, 2)
    both = both[both[:, 0] != both[:, 1]]
    both = both[np.argsort(both[:, 0], kind="stable")]
    return Network(handles=list(places), source=both[:, 0], target=both[:, 1].copy(), rng_seed=rng_seed)


LARGEST = 10_000_000
"""Accounts of a drawn network at most: more would fill the memory of an ordinary machine."""


def generate(
    accounts: int,
    *,
    rng_seed: int,
    list_order: ListOrder = ListOrder.RANDOM,
    hidden: float = 0.02,
    private: float = 0.04,
    not_found: float = 0.005,
    mean_list: float = synthesis.MEAN_LIST,
) -> Network:
    """Draw a network of accounts `u0` to `u<accounts - 1>`. Raises InvalidSetting.

    `hidden`, `private` and `not_found` are shares of the accounts; every second private account is flagged in lists.
    The first ten accounts are found and follow somebody, so that a crawl can start there.
    """
    if not 1 <= accounts <= LARGEST:
        raise InvalidSetting("accounts", accounts, f"a number from 1 to {LARGEST:,}")
    drawn = synthesis.draw(accounts, rng_seed, mean_list)
    source, target = _distinct(drawn.source, drawn.target, accounts)
    source, target = _ordered(source, target, list_order, generator(rng_seed, "order"))
    handles = [f"u{index}" for index in range(accounts)]
    network = Network(handles=handles, source=source, target=target, rng_seed=rng_seed, community=drawn.community)
    others = generator(rng_seed, "status").permutation(np.arange(synthesis.SEEDS, accounts)).tolist()
    for status, share in ((Status.HIDDEN, hidden), (Status.PRIVATE, private), (Status.NOT_FOUND, not_found)):
        for number in range(min(round(share * accounts), len(others))):
            network.set_status(handles[others.pop()], status, flagged=status is Status.PRIVATE and number % 2 == 0)
    return network


def _distinct(
    source: NDArray[np.int64], target: NDArray[np.int64], accounts: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return each follow once, without self-follows, sorted."""
    keys = (source * accounts + target)[source != target]
    keys.sort()
    keys = keys[np.diff(keys, prepend=-1) != 0]
    return (keys // accounts).astype(np.uint32), (keys % accounts).astype(np.uint32)


def _ordered(
    source: NDArray[np.uint32], target: NDArray[np.uint32], order: ListOrder, rng: np.random.Generator
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return the follows grouped by source, each list in the order it will be served in."""
    shuffled = rng.permutation(len(source))
    if order == ListOrder.RANDOM:
        place = shuffled[np.argsort(source[shuffled], kind="stable")]
    else:
        followers = np.bincount(target)[target]
        hubs_come_last = order == ListOrder.HUBS_LAST
        place = np.lexsort((shuffled, followers if hubs_come_last else -followers, source))
    return source[place], target[place]


def _follow_times(
    source: NDArray[np.uint32],
    lengths: NDArray[np.int64],
    offsets: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.uint32]:
    """Return since when each follow stands, in Unix seconds: strictly decreasing within each list."""
    if not len(source):
        return np.empty(0, np.uint32)
    longest_gap = np.minimum(_LONGEST_GAP_S, _LIST_SPAN_S / np.maximum(lengths, 1))
    gaps = 1 + (rng.random(len(source)) * longest_gap[source]).astype(np.int64)
    elapsed = np.cumsum(gaps)
    before_list = (elapsed - gaps)[np.minimum(offsets[:-1], len(source) - 1)]
    return (NEWEST - (elapsed - before_list[source])).astype(np.uint32)
