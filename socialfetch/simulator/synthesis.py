"""Drawn follow networks: who follows whom in a place that does not exist.

A degree-corrected block model: communities of Zipf sizes, log-normal list lengths, attractiveness with a Pareto tail
(hence the heavy-tailed in-degree), some follows of friends' friends, and follows that are returned, the rarer the more
popular the followed account is.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from socialfetch.simulator.chance import generator

SEEDS = 10
"""The accounts `u0` to `u9` always follow somebody, so that a crawl can start there."""

MEAN_LIST = 30.0
_LIST_SPREAD = 1.1
_FOLLOW_NOBODY = 0.01
_PARETO = 1.35
_LARGEST_HUB = 0.005
"""Share of all attractiveness that one account has at most, in a large network."""
_OUTSIDE = 0.35
_FRIEND_OF_FRIEND = 0.2
_RETURNED = 0.4
_RETURNED_BELOW = 60.0
"""In-degree above which a follow is returned less often."""


class Draw(msgspec.Struct, frozen=True):
    """A drawn network. Repeated follows are still in it."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    community: NDArray[np.uint32]
    """Of each account, the planted community."""


def draw(accounts: int, rng_seed: int, mean_list: float = MEAN_LIST) -> Draw:
    """Draw a network of `accounts` accounts (at least 1) that start `mean_list` follows each on average."""
    rng = generator(rng_seed, "synthesis")
    sizes = _community_sizes(accounts)
    block = np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes)
    # Accounts stand in blocks here, community by community; `account_at` scatters them over the numbers 0 to N-1.
    account_at = rng.permutation(accounts)
    lengths = _list_lengths(accounts, mean_list, rng)
    is_seed = account_at < SEEDS
    lengths[is_seed] = np.maximum(lengths[is_seed], min(5, accounts - 1))
    follows_nobody = ~is_seed & (rng.random(accounts) < _FOLLOW_NOBODY)
    lengths[follows_nobody] = 0
    source = np.repeat(np.arange(accounts), lengths)
    target = _befriend_friends(source, _targets(source, sizes, block, rng), lengths, rng)
    popularity = np.bincount(target, minlength=accounts)[target]
    damping = np.minimum(1.0, _RETURNED_BELOW / np.maximum(popularity, 1)) ** 0.7
    returned = (rng.random(len(source)) < _RETURNED * damping) & ~follows_nobody[target]
    community = np.empty(accounts, dtype=np.uint32)
    community[account_at] = block
    return Draw(
        source=account_at[np.concatenate((source, target[returned]))],
        target=account_at[np.concatenate((target, source[returned]))],
        community=community,
    )


def _community_sizes(accounts: int) -> NDArray[np.int64]:
    """Return sizes that follow Zipf's law and sum to `accounts`."""
    count = max(1, int(accounts**0.5 / 2))
    share = 1.0 / np.arange(1, count + 1)
    ends = np.round(np.cumsum(share) / share.sum() * accounts).astype(np.int64)
    sizes: NDArray[np.int64] = np.diff(ends, prepend=0)
    return sizes


def _list_lengths(accounts: int, mean_list: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return how many follows each account starts; returned follows come on top."""
    mean = min(mean_list, accounts / 4)
    longest = max(accounts // 4, min(5, accounts - 1))
    lengths = rng.lognormal(np.log(max(mean, 1.0)) - _LIST_SPREAD**2 / 2, _LIST_SPREAD, accounts)
    return np.minimum(lengths.astype(np.int64), longest)


def _targets(
    source: NDArray[np.int64], sizes: NDArray[np.int64], block: NDArray[np.uint32], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return whom each follow meets: somebody attractive, mostly of the same community, never the follower itself."""
    attractiveness = rng.pareto(_PARETO, len(block)) + 1.0
    most = max(_LARGEST_HUB * attractiveness.sum(), 10 * attractiveness.mean())
    weight = np.cumsum(np.minimum(attractiveness, most))
    upper = weight[np.cumsum(sizes) - 1]
    lower = np.concatenate(([0.0], upper[:-1]))
    outside = rng.random(len(source)) < _OUTSIDE
    own = block[source]
    low = np.where(outside, 0.0, lower[own])
    high = np.where(outside, weight[-1], upper[own])
    met: NDArray[np.int64] = np.searchsorted(weight, low + rng.random(len(source)) * (high - low), side="right")
    met = np.minimum(met, len(block) - 1)
    return np.where(met == source, (met + 1) % len(block), met)


def _befriend_friends(
    source: NDArray[np.int64], target: NDArray[np.int64], lengths: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Turn some follows into follows of an account that a followed account follows."""
    first = np.cumsum(lengths) - lengths
    chosen = np.flatnonzero(rng.random(len(source)) < _FRIEND_OF_FRIEND)
    follower = source[chosen]
    friend = target[first[follower] + rng.integers(0, lengths[follower])]
    has_list = lengths[friend] > 0
    chosen, friend = chosen[has_list], friend[has_list]
    met = target[first[friend] + rng.integers(0, lengths[friend])]
    somebody_else = met != source[chosen]
    closed = target.copy()
    closed[chosen[somebody_else]] = met[somebody_else]
    return closed
