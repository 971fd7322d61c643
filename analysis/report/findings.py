"""What a report says, as values: every number of its HTML, JSON and CSV is taken from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import Any

import numpy as np

from analysis import centrality, communities, structure, tail
from analysis.brokers import brokers
from analysis.communities import NOWHERE, Consensus, Partition
from analysis.coverage import Coverage
from analysis.graph import LISTED, STANDINGS, UNKNOWN, VISITED, FollowGraph, Ints, Mask
from analysis.ranks import RankIntervals, tiers
from analysis.report.change import Changes
from analysis.report.estimates import Estimates, Queue, estimate
from analysis.report.groups import Groups, group
from analysis.sample import Drawn
from analysis.seeds import Without, leave_one_out
from storage.incidents import Incident

THIN_SUPPORT = 5
"""Followed by fewer visited accounts than this, a score rests on next to nothing."""

TOP_OF_COMMUNITY, BROKERS = 5, 10

SUSPICIOUS = 20
"""Accounts with suspicious follower counts that are listed at most."""

SCATTERED = 2_000
"""Accounts of the figure of reported and observed followers, but for those that are marked in it."""

NUMBERED = 10
"""Accounts of the top list that the figure of followers numbers."""

Progress = Callable[[str, int, int], None]
"""Told which step begins, how many are done and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the report was asked for."""

    top: int
    resolution: float
    rng_seed: int
    min_followers_to_name: int = 0
    show_names: bool = False
    unnamed: int = 0
    """Accounts that the report calls by a pseudonym."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Central:
    """An account of the top list. `community` counts from 1; None where an account has no current follow, and where
    its community is unstable (then `unstable`): another run would put the account elsewhere.

    `rank` is by imputed PageRank, `low` to `high` its 95 % interval where there is one, `tier` as `analysis.ranks` has
    it. `places` are its ranks by what else one may rank by, None where it has none. `suspicious` says that its reported
    followers are far beyond what the listings make plausible.
    """

    rank: int
    low: int | None
    high: int | None
    tier: int
    places: Mapping[str, int | None]
    suspicious: bool
    score: float
    id: int
    handle: str | None
    name: str | None
    standing: str
    seed: bool
    followers_reported: int | None
    followers_observed: int
    pagerank: float
    community: int | None
    unstable: bool

    @property
    def role(self) -> str:
        """Its role in the words of the exports."""
        return "seed" if self.seed else "expanded" if STANDINGS.index(self.standing) < LISTED else "boundary"

    @property
    def completeness(self) -> str | None:
        """How its list was read, in the words of the exports."""
        return self.standing if STANDINGS.index(self.standing) < VISITED else None

    @property
    def thin(self) -> bool:
        """Whether the score rests on next to nothing."""
        return self.followers_observed < THIN_SUPPORT


@dataclass(frozen=True, slots=True, kw_only=True)
class Community:
    """A community; `inside` of the `touching` connected pairs that touch it lie within it, `top` are its accounts of
    highest rank as (id, handle), none where it is unstable. `stability` is the mean Jaccard similarity over the seeded
    runs. Of the follows that touch it `follows_inside` stay in it, `follows_out` lead out and `follows_in` come in."""

    number: int
    accounts: int
    visited: int
    inside: int
    touching: int
    follows_inside: int
    follows_out: int
    follows_in: int
    stability: float
    top: tuple[tuple[int, str | None], ...]

    @property
    def trust(self) -> str:
        """What its stability means, in a word (Hennig 2007)."""
        if self.stability >= communities.STABLE:
            return "stable"
        return "doubtful" if self.stability >= communities.DOUBTFUL else "unstable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """An account whose connected pairs are spread over communities. `community` counts from 1."""

    id: int
    handle: str | None
    community: int
    connections: int
    outside: int
    participation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that is shown. `groups` is None where the graph is too large for communities."""

    settings: Settings
    graph: FollowGraph
    coverage: Coverage
    seeds: tuple[tuple[int, str | None], ...]
    central: tuple[Central, ...]
    estimates: Estimates
    groups: Groups | None
    too_many_pairs: int | None
    communities: tuple[Community, ...]
    brokers: tuple[Broker, ...]
    """Completely visited accounts of communities that are not unstable, the most evenly spread first."""
    components: structure.Components
    bow_tie: structure.BowTie
    cores: structure.CoreProfile
    assortativity: structure.Assortativity
    """Over the follows between completely visited accounts, of the degrees inside them."""
    clustering: structure.Clustering | None
    """Of the graph of the completely visited accounts; None where it is too large."""
    betweenness: structure.Betweenness
    """In the graph of the visited accounts."""
    tails: Mapping[str, tail.Tail | None]
    """The tail of the follows of completely visited accounts, and of the reported followers of known accounts."""
    reciprocity: structure.Reciprocity
    reciprocity_visited: structure.Reciprocity
    reciprocity_complete: structure.Reciprocity
    followers: structure.Distribution
    following: structure.Distribution
    observed: Ints
    """Followers observed of each account, shape (n,)."""
    vanished: Vanished
    without: tuple[Without, ...]
    """What is left of the first ten and of the largest stable community without each seed."""
    changes: Changes | None = None
    """What lists that were read again show; None where none was."""
    policy: Mapping[str, str] = field(default_factory=dict)
    """How the study treats people, in words, by what it is about."""
    doi: str | None = None
    """What the report is published under; foreign text."""
    purges: Sequence[Mapping[str, Any]] = ()
    """What was deleted by the study's rules, purge by purge."""
    incidents: Sequence[Incident] = ()
    renamed: tuple[int, int] = (0, 0)
    """Accounts seen under another handle than before, and accounts that lost theirs to another account."""
    seeded_at: Sequence[int] = ()
    """When the seeds were named, as far as the database tells."""
    content: str = ""
    """SHA-256 of the graph, by `analysis.report.provenance.content_of`."""

    @property
    def partition(self) -> Partition | None:
        """What the seeded runs agree on; None where the graph is too large for communities."""
        return None if self.groups is None else self.groups.consensus.partition


@dataclass(frozen=True, slots=True, kw_only=True)
class Vanished:
    """Accounts that no longer exist, against all others: medians of the followers observed. None of nobody."""

    accounts: int
    followers_observed: float | None
    rest_followers_observed: float | None


def find(
    graph: FollowGraph,
    coverage: Coverage,
    *,
    drawn: Drawn,
    seed_of: Ints,
    queues: tuple[Queue, ...],
    facts: Mapping[str, list[Any]],
    settings: Settings,
    names: Callable[[list[int]], dict[int, str]],
    progress: Progress,
) -> Findings:
    """Compute everything. `names` returns what the accounts of some ids call themselves; `facts` has columns of
    length n that averages are taken of, `seed_of` is of `analysis.seeds`."""
    accounts = graph.accounts
    progress("PageRank", 1, 5)
    observed = centrality.in_degree(graph)
    scores = centrality.pagerank(graph)
    estimates = estimate(
        graph, drawn, queues, facts, top=settings.top, rng_seed=settings.rng_seed, within=scores, observed=observed
    )
    order = estimates.order
    progress("communities", 2, 5)
    groups: Groups | None = None
    too_many: int | None = None
    try:
        groups = group(graph, resolution=settings.resolution, rng_seed=settings.rng_seed)
    except communities.TooManyPairs as refused:
        too_many = refused.pairs
    progress("structure", 3, 5)
    following = centrality.out_degree(graph)[accounts.complete]
    return Findings(
        settings=settings,
        graph=graph,
        coverage=coverage,
        seeds=_named(graph, np.flatnonzero(accounts.depth == 0)),
        central=_central(
            graph,
            estimates,
            settings.top,
            scores=scores,
            observed=observed,
            consensus=None if groups is None else groups.consensus,
            names=names,
        ),
        estimates=estimates,
        groups=groups,
        too_many_pairs=too_many,
        communities=_communities(graph, groups, order),
        brokers=_brokers(graph, groups),
        components=structure.components(graph),
        bow_tie=structure.bow_tie(graph),
        cores=structure.core_profile(graph),
        assortativity=structure.assortativity(graph, accounts.complete),
        clustering=structure.clustering(graph, accounts.complete),
        betweenness=structure.betweenness(graph, accounts.listed, rng_seed=settings.rng_seed),
        tails={
            name: tail.fit(values, rng_seed=settings.rng_seed)
            for name, values in (("following", following), ("followers", accounts.followers))
        },
        reciprocity=structure.reciprocity(graph),
        reciprocity_visited=structure.reciprocity(graph, accounts.listed),
        reciprocity_complete=structure.reciprocity(graph, accounts.complete),
        followers=structure.distribution(observed),
        following=structure.distribution(following),
        observed=observed,
        vanished=_vanished(graph, observed),
        without=leave_one_out(drawn.sample, seed_of, estimates.followers, group=_largest_stable(graph, groups)),
    )


def _largest_stable(graph: FollowGraph, groups: Groups | None) -> Mask:
    """Mark the accounts of the largest stable community: nobody's where there is none, for what other runs put
    together otherwise is nothing to measure a seed by."""
    if groups is not None:
        for number in np.flatnonzero(groups.consensus.stability >= communities.STABLE)[:1].tolist():
            marked: Mask = groups.consensus.partition.label == number
            return marked
    return np.zeros(len(graph), dtype=np.bool_)


def _vanished(graph: FollowGraph, observed: Ints) -> Vanished:
    gone = np.equal(graph.accounts.standing, STANDINGS.index("not_found"))
    medians = [float(np.median(part)) if len(part) else None for part in (observed[gone], observed[~gone])]
    return Vanished(accounts=int(gone.sum()), followers_observed=medians[0], rest_followers_observed=medians[1])


def scattered(findings: Findings) -> Ints:
    """Return the positions of the accounts in the figure of followers, the most reported first.

    Of those that have both counts these are the SCATTERED that report most, and whoever is marked: the observed count
    is what is asked about, so it chooses nobody.
    """
    accounts, observed = findings.graph.accounts, findings.observed
    both = np.flatnonzero((accounts.followers > 0) & (observed > 0))
    order = both[np.lexsort((both, -accounts.followers[both]))]
    ids = [row.id for row in findings.central[:NUMBERED]] + [row.id for row in suspicious(findings)]
    is_drawn = np.isin(accounts.id[order], np.array(ids, dtype=np.int64))
    is_drawn[:SCATTERED] = True
    found: Ints = order[is_drawn]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicious:
    """An account whose reported followers are far beyond what is plausible, with its letter in the figure."""

    letter: str
    id: int
    handle: str | None
    followers_reported: int
    followers_plausible: float
    followers_observed: int


def suspicious(findings: Findings) -> tuple[Suspicious, ...]:
    """Return the flagged accounts furthest beyond what is plausible, SUSPICIOUS at most."""
    ranking, accounts = findings.estimates.ranking, findings.graph.accounts
    if ranking is None:
        return ()
    mended = ranking.mended
    flagged = np.flatnonzero(mended.flagged)
    order = flagged[np.lexsort((accounts.id[flagged], -mended.reported[flagged] / mended.followers[flagged]))]
    return tuple(
        Suspicious(
            letter=letter,
            id=int(accounts.id[at]),
            handle=accounts.handle[at],
            followers_reported=int(mended.reported[at]),
            followers_plausible=float(mended.followers[at]),
            followers_observed=int(findings.observed[at]),
        )
        for letter, at in zip(ascii_lowercase[:SUSPICIOUS], order.tolist(), strict=False)
    )


def _named(graph: FollowGraph, positions: Ints) -> tuple[tuple[int, str | None], ...]:
    return tuple((int(graph.accounts.id[at]), graph.accounts.handle[at]) for at in positions.tolist())


def _central(
    graph: FollowGraph,
    estimates: Estimates,
    top: int,
    *,
    scores: centrality.Scores,
    observed: Ints,
    consensus: Consensus | None,
    names: Callable[[list[int]], dict[int, str]],
) -> tuple[Central, ...]:
    # Without a single follow every score is the same, and a list of the first ids would look like a finding.
    if estimates.ranking is None:
        return ()
    accounts, order = graph.accounts, estimates.order[:top]
    called = names(accounts.id[order].tolist())
    found, tier = estimates.ranking.scores, tiers(estimates.ranking.scores)
    nowhere = np.full(len(graph), NOWHERE, dtype=np.int64)
    told, label = (nowhere, nowhere) if consensus is None else (consensus.told, consensus.partition.label)
    doubt = estimates.intervals if isinstance(estimates.intervals, RankIntervals) else None

    def row(rank: int, at: int) -> Central:
        community = int(told[at])
        followers = int(accounts.followers[at])
        return Central(
            rank=rank,
            low=None if doubt is None else int(doubt.low[rank - 1]),
            high=None if doubt is None else int(doubt.high[rank - 1]),
            tier=int(tier[at]),
            places={name: int(places[at]) or None for name, places in estimates.places.items()},
            suspicious=bool(estimates.flagged[at]),
            score=float(found[at]),
            id=int(accounts.id[at]),
            handle=accounts.handle[at],
            name=called.get(int(accounts.id[at])),
            standing=STANDINGS[accounts.standing[at]],
            seed=bool(accounts.depth[at] == 0),
            followers_reported=None if followers == UNKNOWN else followers,
            followers_observed=int(observed[at]),
            pagerank=float(scores[at]),
            community=None if community == NOWHERE else community + 1,
            unstable=bool(label[at] != NOWHERE and community == NOWHERE),
        )

    return tuple(row(rank, at) for rank, at in enumerate(order.tolist(), start=1))


def _communities(graph: FollowGraph, groups: Groups | None, order: Ints) -> tuple[Community, ...]:
    if groups is None:
        return ()
    partition = groups.consensus.partition
    inside = partition.label != NOWHERE
    source, target = partition.label[graph.src], partition.label[graph.dst]
    given, received = (np.bincount(ends, minlength=len(partition.size)) for ends in (source, target))
    within = np.bincount(source[source == target], minlength=len(partition.size))
    visited = np.bincount(partition.label[inside & graph.accounts.listed], minlength=len(partition.size))
    by_rank = order[inside[order]]
    # A stable sort by community keeps the order of rank within each.
    grouped = by_rank[np.argsort(partition.label[by_rank], kind="stable")]
    starts = np.concatenate(([0], np.cumsum(partition.size)))
    named = np.where(groups.consensus.trusted, np.minimum(partition.size, TOP_OF_COMMUNITY), 0)
    return tuple(
        Community(
            number=number + 1,
            accounts=int(partition.size[number]),
            visited=int(visited[number]),
            inside=int(partition.inside[number]),
            touching=int(partition.touching[number]),
            follows_inside=int(within[number]),
            follows_out=int(given[number] - within[number]),
            follows_in=int(received[number] - within[number]),
            stability=float(groups.consensus.stability[number]),
            top=_named(graph, grouped[starts[number] : starts[number] + named[number]]),
        )
        for number in range(len(partition.size))
    )


def _brokers(graph: FollowGraph, groups: Groups | None) -> tuple[Broker, ...]:
    """Return the first brokers; none where runs agree on no division, for then there is nothing to stand between."""
    if groups is None or not groups.is_settled:
        return ()
    told, found = groups.consensus.told, groups.between
    chosen = brokers(graph, found, graph.accounts.complete & (told != NOWHERE), BROKERS)
    return tuple(
        Broker(
            id=int(graph.accounts.id[at]),
            handle=graph.accounts.handle[at],
            community=int(told[at]) + 1,
            connections=int(found.connections[at]),
            outside=int(found.outside[at]),
            participation=float(found.participation[at]),
        )
        for at in chosen.tolist()
    )
