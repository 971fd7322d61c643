"""Communities as a report tells them: what many seeded runs agree on, at several resolutions, in portraits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis import communities
from analysis.brokers import Brokerage, Flows, brokerage, flows
from analysis.communities import RUNS, Consensus, Scale
from analysis.graph import FollowGraph
from analysis.portraits import Portrait, portraits

FACTORS, FEWER_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0), (0.5, 1.0, 2.0)
"""Resolutions that are swept, as multiples of the one asked for."""

SWEPT = 5_000_000
"""Connected pairs beyond which no other resolution is tried: the sweep would take longer than all the rest."""

PORTRAYED = 12


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Groups:
    """The consensus of `runs` seeded runs, the sweep over resolutions of `sweep_runs` each (none of a very large
    graph), portraits of the largest communities, and what lies between: `flows` among the communities that are not
    unstable, and how each account stands between all of them."""

    consensus: Consensus
    runs: int
    scales: tuple[Scale, ...]
    sweep_runs: int
    portraits: tuple[Portrait, ...]
    flows: Flows
    between: Brokerage

    @property
    def is_scaled_down(self) -> bool:
        """Whether the graph was too large for RUNS runs."""
        return self.runs < RUNS

    @property
    def unsettled(self) -> float:
        """The share of the accounts of communities that are in unstable ones."""
        sizes = self.consensus.partition.size
        return float(sizes[~self.consensus.trusted].sum() / max(int(sizes.sum()), 1))

    @property
    def is_settled(self) -> bool:
        """Whether the runs agree on a division: on more than one community, and most accounts in ones to be trusted."""
        return not self.consensus.is_trivial and self.unsettled <= 0.5

    def counted(self) -> tuple[int, int, int]:
        """Return how many communities are stable, doubtful and unstable."""
        stable = int((self.consensus.stability >= communities.STABLE).sum())
        unstable = int((~self.consensus.trusted).sum())
        return stable, len(self.consensus.stability) - stable - unstable, unstable


def group(graph: FollowGraph, *, resolution: float, rng_seed: int) -> Groups:
    """Find, repeat, sweep and describe. Raises TooManyPairs."""
    runs = communities.runs_for(graph)
    is_small = runs == RUNS
    found = communities.consensus(graph, resolution=resolution, rng_seed=rng_seed, runs=runs)
    factors: tuple[float, ...] = FACTORS if is_small else FEWER_FACTORS
    sweep_runs = 3 if is_small else 2
    if found.partition.pairs > SWEPT:
        factors, sweep_runs = (), 0
    between = brokerage(graph, found.partition)
    return Groups(
        consensus=found,
        runs=runs,
        scales=communities.scan(
            graph, tuple(resolution * factor for factor in factors), rng_seed=rng_seed, runs=sweep_runs
        ),
        sweep_runs=sweep_runs,
        portraits=portraits(graph, found, largest=PORTRAYED, between=between),
        flows=_trusted(flows(graph, found.partition), found),
        between=between,
    )


def _trusted(found: Flows, consensus: Consensus) -> Flows:
    """Return the flows between communities of which neither is unstable."""
    trusted = consensus.trusted
    kept = np.flatnonzero(trusted[found.source] & trusted[found.target])
    return Flows(found.source[kept], found.target[kept], found.follows[kept])
