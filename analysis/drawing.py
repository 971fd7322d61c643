"""What a file for programs that draw says of an account beside what is stored: its place and its rank.

Both are those of the report with the same settings, and are found by the account's id as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from analysis.communities import NOWHERE, consensus, runs_for
from analysis.graph import FollowGraph
from analysis.layout import by_followers, colour, packed
from analysis.ranks import RankIntervals, ranked
from analysis.sample import Drawn
from storage.graphfiles import Place, Rank


def places(
    graph: FollowGraph, *, resolution: float, rng_seed: int, ties: Mapping[int, str] | None = None
) -> Callable[[str], Place | None]:
    """Return what gives an account's place by its id, None for one without a current follow.

    The communities are those of the report with this resolution and seed. `ties` orders accounts that as many follow,
    so that the order of discovery does not show. Raises TooManyPairs.
    """
    found = consensus(graph, resolution=resolution, rng_seed=rng_seed, runs=runs_for(graph))
    label = found.partition.label
    layout = packed(found.partition, by_followers(graph, ties))

    def place(key: str) -> Place | None:
        at = graph.position(int(key))
        if at is None or label[at] == NOWHERE:
            return None
        community = int(label[at])
        x, y = layout.place[at].tolist()
        return Place(community + 1, round(float(found.stability[community]), 4), x, y, colour(community))

    return place


def ranks(graph: FollowGraph, drawn: Drawn, *, top: int, rng_seed: int) -> Callable[[str], Rank | None]:
    """Return what gives an account's rank by its id, None for everybody where no follow was read.

    Imputed PageRank is everybody's; the interval is of the first `top` alone, and only where the report with this
    seed prints intervals.
    """
    if not len(graph.src):
        return lambda key: None
    found, doubt = ranked(drawn, top, rng_seed)
    score = found.imputed.scores
    limits: dict[int, tuple[int, int]] = {}
    if isinstance(doubt, RankIntervals):
        bounds = zip(doubt.low.tolist(), doubt.high.tolist(), strict=True)
        limits = dict(zip(doubt.accounts.tolist(), bounds, strict=True))

    def rank(key: str) -> Rank | None:
        at = graph.position(int(key))
        return None if at is None else Rank(float(score[at]), *limits.get(at, (None, None)))

    return rank
