"""What the way a crawl was drawn lets one say: its bias, its size, averages, a ranking, and whether more would help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis import capture, sampling
from analysis.capture import Saturation, Size
from analysis.centrality import ranking
from analysis.graph import UNKNOWN, FollowGraph, Ints, Mask
from analysis.ranks import Ranking, RankIntervals, best, ranked
from analysis.sample import Drawn, counted
from analysis.sampling import Alarm, Average, Interval, NoInterval, NotIdentifiable

Floats = npt.NDArray[np.float64]

FIRST = 100
"""The accounts that rankings are compared on, and that the saturation curve watches."""

FOLLOWING_LIMITS = (10, 100, 1_000)
FOLLOWERS_LIMITS = (100, 1_000, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Why lists were read: visits picked from one queue, those that brought a list, and the credits charged."""

    name: str
    visits: int
    lists: int
    credits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """An average over the accounts with a follower; a share where `is_share`. `name` is for programs."""

    name: str
    words: str
    is_share: bool
    found: Average


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another way to rank: `shared` of the first `of` accounts of the ranking are among its own first as many."""

    name: str
    shared: int
    of: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Estimates:
    """What can be said beyond the lists read. `ranking` is None where no follow was read.

    `order` has the positions best first. `rivals` are the follower sort, PageRank within the crawl and the observed
    followers; `places`, by rival, the rank of each account from 1, shape (n,), 0 where it has none.
    """

    queues: tuple[Queue, ...]
    wave_credits: int | None
    """Credits of the poorest wave of the control sample; None without one."""
    draws: tuple[int, ...]
    """Draws of the three waves, each account as often as it was drawn."""
    is_audited: bool
    alarm: Alarm | NotIdentifiable
    size: Size | NotIdentifiable
    means: tuple[Mean, ...]
    ranking: Ranking | None
    order: Ints
    intervals: RankIntervals | NotIdentifiable
    rivals: tuple[Rival, ...]
    places: Mapping[str, Ints]
    followers: Floats
    """Followers of each account as the ranking takes them, shape (n,)."""
    saturation: Saturation

    @property
    def has_intervals(self) -> bool:
        """Whether any average has one: there was a control sample, and it was large enough."""
        return any(isinstance(mean.found, Interval) for mean in self.means)

    @property
    def flagged(self) -> Mask:
        """Accounts whose reported followers are far beyond what the listings make plausible, shape (n,)."""
        return np.zeros(0, dtype=np.bool_) if self.ranking is None else self.ranking.mended.flagged


def estimate(
    graph: FollowGraph,
    drawn: Drawn,
    queues: tuple[Queue, ...],
    facts: Mapping[str, list[Any]],
    *,
    top: int,
    rng_seed: int,
    within: Floats,
    observed: Ints,
) -> Estimates:
    """Estimate everything; `within` is PageRank within the crawl and `observed` the followers observed, both (n,).

    `facts` has columns of that length, None where unknown.
    """
    sample, control = drawn.sample, drawn.control
    accounts, found = graph.accounts, None
    order = np.zeros(0, dtype=np.int64)
    doubt: RankIntervals | NotIdentifiable = NotIdentifiable("no follow was read")
    if len(graph.src):
        found, doubt = ranked(drawn, top, rng_seed)
        order = best(found.scores, len(graph))
    orders = {
        "followers_reported": ranking(accounts.followers, accounts.id)[: int((accounts.followers != UNKNOWN).sum())],
        "pagerank_within_crawl": ranking(within, accounts.id),
        "followers_observed": ranking(observed, accounts.id),
    }
    first = order[:FIRST]
    followers = counted(sample) if found is None else found.mended.followers
    return Estimates(
        queues=queues,
        wave_credits=None if control is None else control.credits,
        draws=() if control is None else tuple(int(wave.draws.sum()) for wave in control.waves),
        is_audited=drawn.audit is not None,
        alarm=sampling.alarm(sample),
        size=capture.size(sample),
        means=_means(graph, drawn, facts),
        ranking=found,
        order=order,
        intervals=doubt,
        rivals=tuple(
            Rival(name=name, shared=len(np.intersect1d(first, other[: len(first)])), of=len(first))
            for name, other in orders.items()
        ),
        places={name: _places(len(graph), other) for name, other in orders.items()},
        followers=followers,
        saturation=capture.saturation(sample, drawn.history, followers, first=FIRST),
    )


def read_queues(rows: list[tuple[str, int, int, int]]) -> tuple[Queue, ...]:
    """Return the queues of `storage.sampling.queue_rows`."""
    return tuple(Queue(name=name, visits=visits, lists=lists, credits=paid) for name, visits, lists, paid in rows)


def _means(graph: FollowGraph, drawn: Drawn, facts: Mapping[str, list[Any]]) -> tuple[Mean, ...]:
    sample, control, accounts = drawn.sample, drawn.control, graph.accounts
    following, followers = (_known(counts) for counts in (accounts.following, accounts.followers))
    means = [
        Mean(
            name="following_mean",
            words="accounts followed, on average",
            is_share=False,
            found=sampling.average(sample, control, following),
        )
    ]
    for name, words, values, limits in (
        ("following", "accounts that follow", following, FOLLOWING_LIMITS),
        ("followers", "accounts that are followed by", followers, FOLLOWERS_LIMITS),
    ):
        shares = sampling.exceeding(sample, control, values, np.array(limits, dtype=np.float64))
        means += [
            Mean(name=f"{name}_over_{limit}", words=f"{words} more than {limit:,}", is_share=True, found=share)
            for limit, share in zip(limits, shares, strict=True)
        ]
    verified = _numbers(facts["verified"])
    if not np.isnan(verified).all():
        means.append(
            Mean(
                name="verified",
                words="accounts that are verified",
                is_share=True,
                found=sampling.average(sample, control, verified),
            )
        )
    language = np.array([word or "" for word in facts["language"]], dtype=object)
    one, other = language[graph.src], language[graph.dst]
    told = (one != "") & (other != "")
    if told.any():
        alike = np.where(told, (one == other).astype(np.float64), np.nan)
        found = sampling.ratio(sample, control, sampling.of_follows(sample, alike), (0.0, 1.0))
        means.append(
            Mean(
                name="follows_of_one_language",
                words="follows that join accounts of one language, of those whose ends both state one",
                is_share=True,
                found=found,
            )
        )
    return tuple(means)


def value_of(found: Average) -> float | None:
    """Return the value of an average; None where nothing can be said."""
    return None if isinstance(found, NotIdentifiable) else found.value


def reason_of(found: object) -> str | None:
    """Return why there is no interval, or nothing at all; None where there is no such reason."""
    return found.reason if isinstance(found, (NoInterval, NotIdentifiable)) else None


def _known(counts: Ints) -> Floats:
    return np.where(counts == UNKNOWN, np.nan, counts.astype(np.float64))


def _numbers(values: list[Any]) -> Floats:
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)


def _places(n: int, order: Ints) -> Ints:
    places = np.zeros(n, dtype=np.int64)
    places[order] = np.arange(1, len(order) + 1)
    return places
