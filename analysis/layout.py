"""Positions for drawing: communities packed as circles, accounts inside theirs by importance.

The same graph, seed and resolution give the same positions in every process. Distance is a drawing aid: what stands
near what says only who shares a community.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.centrality import in_degree
from analysis.communities import NOWHERE, Partition
from analysis.engine import Floats
from analysis.graph import FollowGraph, Ints

SPAN = 9_000.0
"""The largest distance from the middle; programs that read GEXF clip beyond 10,000."""

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8c564b")
"""Of the largest communities: Okabe & Ito 2008, brown in the place of black. All others are OTHER."""

OTHER = "#8a8f99"

_GOLDEN = np.pi * (3 - np.sqrt(5))
_GAP = 1.15
"""Radius of a circle's place over that of its accounts."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Layout:
    """Where accounts and communities stand, within SPAN of the middle.

    `place` has shape (n, 2), NaN for accounts of no community; `centre` (k, 2) and `radius` (k,) are the communities'.
    Everywhere in a community an account has the same room: a square of this side.
    """

    place: Floats
    centre: Floats
    radius: Floats
    side: float


def packed(partition: Partition, order: Ints) -> Layout:
    """Pack the communities as circles in a circle, area by accounts, and place the accounts of each by `order`.

    `order` holds the position of every account, the most important first: it comes to the middle of its circle. There
    the accounts follow the spiral of a sunflower's seeds (Vogel 1979), which gives each the same room.
    """
    centre, radius = _rings(np.sqrt(partition.size.astype(np.float64)) * _GAP)
    label = partition.label[order]
    members = order[label != NOWHERE]
    grouped = members[np.argsort(partition.label[members], kind="stable")]
    group = partition.label[grouped]
    starts = np.cumsum(partition.size) - partition.size
    rank = np.arange(len(grouped)) - starts[group]
    # Half a step from the middle, but the only account of a circle is in the middle.
    away = np.where(partition.size[group] > 1, np.sqrt(rank + 0.5), 0.0)
    turn = rank * _GOLDEN
    scale = SPAN / max(float((np.hypot(*centre.T) + radius).max(initial=0.0)), 1.0)
    place = np.full((len(partition.label), 2), np.nan)
    place[grouped] = centre[group] + away[:, None] * np.stack((np.cos(turn), np.sin(turn)), axis=1)
    # A tenth is less than anybody sees, and hides how a processor rounds.
    return Layout(
        place=np.round(place * scale, 1) + 0.0,
        centre=np.round(centre * scale, 1) + 0.0,
        radius=np.round(radius * scale, 1),
        side=round(float(np.sqrt(np.pi)) * scale, 2),
    )


def _rings(radius: Floats) -> tuple[Floats, Floats]:
    """Place circles, given from the largest to the smallest: the first in the middle, the others in rings around it.

    The middles of a ring are as far out as its first and largest circle needs, and smaller ones of it have more room;
    what is left of the turn is shared out evenly between them.
    """
    centre = np.zeros((len(radius), 2))
    edge = float(radius[0]) if len(radius) else 0.0
    first, turn = 1, 0.0
    while first < len(radius):
        widest = float(radius[first])
        distance = edge + widest
        half = np.arcsin(np.minimum(radius[first:] / distance, 1.0))
        end = first + max(int(np.searchsorted(np.cumsum(2 * half[: _most(half)]), 2 * np.pi)), 1)
        half = half[: end - first]
        slack = max(2 * np.pi - 2 * float(half.sum()), 0.0) / len(half)
        angle = turn + np.cumsum(2 * half + slack) - half
        centre[first:end] = distance * np.stack((np.cos(angle), np.sin(angle)), axis=1)
        edge += 2 * widest
        first, turn = end, turn + _GOLDEN
    return centre, radius


def _most(half: Floats) -> int:
    """Return how many circles a ring can hold at most, so that not all that are left are summed for every ring."""
    smallest = float(half[-1])
    return min(len(half), int(np.pi / smallest) + 2) if smallest > 0 else len(half)


def by_followers(graph: FollowGraph, ties: Mapping[int, str] | None = None) -> Ints:
    """Return all positions by observed followers, the most first; equals by id, or by what `ties` has for their ids."""
    ids = graph.accounts.id.tolist()
    equal: npt.NDArray[np.generic] = graph.accounts.id if ties is None else np.array([ties[key] for key in ids], "U")
    return np.lexsort((equal, -in_degree(graph)))


def colour(community: int) -> str:
    """Return the colour of a community, counted from 0."""
    return COLOURS[community] if community < len(COLOURS) else OTHER
