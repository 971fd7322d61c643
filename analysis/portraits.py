"""Communities in words: how large and how closed they are, who is in them, what their accounts say of themselves.

Handles, words and regions are foreign text: escape them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analysis.brokers import brokerage
from analysis.centrality import in_degree
from analysis.communities import DOUBTFUL, STABLE, Consensus, Partition
from analysis.graph import FollowGraph, Ints

Share = tuple[str, float]

_WORD = re.compile(r"[^\W\d_]{3,}")
_LEAST = 3
"""A word that fewer accounts of a community use says nothing about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """One community. `density` is connected pairs over possible ones; `conductance` the share of its ends of pairs that
    lead out; `top` its accounts followed most from within and `bridges` those with most pairs outside, as positions.

    `words` are the words of bios that are more usual here than elsewhere, with the share of its accounts with a bio
    that use them; `regions` and `languages` the most usual ones, with their share among the accounts that state one.
    `stability` is None where one run stands alone.
    """

    number: int
    accounts: int
    visited: int
    density: float
    conductance: float
    stability: float | None
    top: tuple[int, ...]
    bridges: tuple[int, ...]
    words: tuple[Share, ...]
    regions: tuple[Share, ...]
    languages: tuple[Share, ...]

    @property
    def trust(self) -> str:
        """What its stability means (Hennig 2007)."""
        if self.stability is None:
            return "one run, stability not measured"
        if self.stability >= STABLE:
            return f"stable ({self.stability:.2f})"
        return f"{'doubtful' if self.stability >= DOUBTFUL else 'unstable'} ({self.stability:.2f})"

    def sentence(self, graph: FollowGraph) -> str:
        """Return the community in one paragraph of plain text, its foreign parts as they stand."""
        names = graph.accounts.handle
        parts = [
            f"Community {self.number + 1}: {self.accounts:,} accounts, {self.visited:,} of them visited, {self.trust}.",
            f"{self.density:.1%} of its pairs are connected, and {self.conductance:.0%} of its connections lead out.",
        ]
        for lead, at in (("Most followed from within", self.top), ("Most connected outside", self.bridges)):
            if at:
                parts.append(f"{lead}: {', '.join(names[one] or f'id {graph.accounts.id[one]}' for one in at)}.")
        for lead, shares in (("Shared words", self.words), ("Regions", self.regions), ("Languages", self.languages)):
            if shares:
                parts.append(f"{lead}: {', '.join(f'{word} ({share:.0%})' for word, share in shares)}.")
        return " ".join(parts)


def portraits(
    graph: FollowGraph, found: Partition | Consensus, *, largest: int = 20, top: int = 5
) -> tuple[Portrait, ...]:
    """Describe the largest communities; reads bios, regions and languages. Raises a DatabaseError."""
    partition = found.partition if isinstance(found, Consensus) else found
    shown = min(largest, len(partition.size))
    inside = partition.label[graph.src] == partition.label[graph.dst]
    followed = np.bincount(graph.dst[inside], minlength=len(graph))
    outside, observed = brokerage(graph, partition).outside, in_degree(graph)
    bios = [_words(bio) for bio in graph.accounts.column("bio")]
    everywhere = Counter(word for words in bios for word in words)
    described = sum(bool(words) for words in bios)
    regions, languages = graph.accounts.column("region"), graph.accounts.column("language")

    def one(number: int) -> Portrait:
        members = np.flatnonzero(partition.label == number)
        size = len(members)
        return Portrait(
            number=number,
            accounts=size,
            visited=int(graph.accounts.listed[members].sum()),
            density=2 * int(partition.inside[number]) / (size * (size - 1)) if size > 1 else 0.0,
            conductance=float(partition.conductance[number]),
            stability=float(found.stability[number]) if isinstance(found, Consensus) else None,
            top=_first(members, followed, observed, top),
            bridges=_first(members, outside, observed, top),
            words=_telling([bios[at] for at in members.tolist()], everywhere, described, top),
            regions=_shares((regions[at] for at in members.tolist()), 3),
            languages=_shares((languages[at] for at in members.tolist()), 3),
        )

    return tuple(one(number) for number in range(shown))


def _first(members: Ints, value: Ints, then: Ints, top: int) -> tuple[int, ...]:
    order = members[np.lexsort((members, -then[members], -value[members]))][:top]
    return tuple(int(at) for at in order if value[at] > 0)


def _words(bio: object) -> frozenset[str]:
    return frozenset(_WORD.findall(str(bio).casefold())) if bio else frozenset()


def _telling(bios: list[frozenset[str]], everywhere: Counter[str], described: int, top: int) -> tuple[Share, ...]:
    """Return the words that set these bios apart, by the log-likelihood ratio of Dunning 1993."""
    here = Counter(word for words in bios for word in words)
    own = sum(bool(words) for words in bios)
    scored = []
    for word, count in here.items():
        expected = everywhere[word] * own / described
        if count >= _LEAST and count > expected:
            scored.append((-count * float(np.log(count / expected)), word, count / own))
    return tuple((word, share) for _, word, share in sorted(scored)[:top])


def _shares(values: Iterable[object], top: int) -> tuple[Share, ...]:
    counts = Counter(str(value) for value in values if value)
    total = counts.total()
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple((word, count / total) for word, count in ordered[:top])
