"""Communities in words: how large and how closed they are, who is in them, what their accounts say of themselves.

Handles, words and regions are foreign text: escape them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, xlogy

from analysis.brokers import Brokerage, brokerage
from analysis.centrality import in_degree
from analysis.communities import DOUBTFUL, STABLE, Consensus, Partition
from analysis.graph import FollowGraph, Ints

Share = tuple[str, float]
"""What accounts say of themselves, and the share of those of the community that say it."""

Word = tuple[str, float, float]
"""A word, the share of a community's accounts with a bio that use it, and that of all other accounts with one."""

LEAST = 5
"""What fewer accounts of a community say of themselves says nothing about it."""

LIFT = 1.5
"""A word that is not this many times as usual here as elsewhere does not stand out, however sure that it is more so."""

SURE = 15.13
"""Least log-likelihood ratio of a word that stands out: by chance one in ten thousand has as much (Rayson, Berridge &
Francis 2004). Where so many words are tried that one of them is to be expected, more is asked: see `_asked`."""

_WORD = re.compile(r"[^\W\d_]{3,}")

COMMON = frozenset(
    _WORD.findall("""
    about after all also and any are been but can did for from had has have her here him his how its just more not
    now only our out she should some than that the their them then there these they this was were what when where
    which who why will with would you your
    como con del desde donde entre esta este esto estoy hay las los más mis muy nos nuestra nuestro para pero por
    porque que quien soy sobre sus también todo todos una unas uno unos
    aos até com dos das ela ele eles essa esse isso mais mas meu minha muito não nas numa pela pelo quando quem sem
    seu sua são também uma você
    aux avec aussi ces cette chez dans des elle elles est être ils les leur mes moi notre nous ont par pas plus pour
    qui sans ses sont sur tous tout toute très une vos votre vous
    aber alle als auch auf aus bei bin dass dem den der die doch durch eine einem einen einer eines für hat ich ihr
    ihre ist kein keine mein meine mir mich nach nicht noch nur oder ohne sich sie sind über und uns unser unsere
    vom von vor wenn wie wir zum zur
    alla anche che chi come dal dalla degli dei della delle gli loro mia mio nel nella noi non nostra nostro per più
    questa questo sono sul sulla tra
    aan bij dat deze dit een haar heb heeft het hij jij maar meer met mijn naar niet nog ook onze over ons van voor
    wat wij zijn zich
    adalah akan aku atau bagi bisa dalam dan dari dengan ini itu juga kami kamu karena kita oleh pada saya
    sebagai semua tidak untuk yang
    ama benim bir biz bizim daha değil gibi için ile kadar olan sen siz veya
    без был для его если есть еще или как когда кто меня мне мой мои моя наш нас она они при про так также тебя
    только уже что чтобы это
    إلى الذي التي الى أنا على هذا هذه
    """)
)
"""Words that hold sentences together in eleven large languages: they tell which language, and nothing else. What would
have weight elsewhere is not among them: German mit is also MIT, war and man, sin and son are English."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """One community. `density` is connected pairs, as far as lists tell, over possible ones; `conductance` that of
    `Partition`; `top` its accounts followed most from within and `bridges` those with most pairs outside, as positions.

    `described` of its accounts have a bio of words; `words` are those that stand out against the bios of all others,
    the most telling first, none of COMMON. `regions` and `languages` are the most usual ones, with their share among
    the accounts that state one, and empty where fewer than LEAST do. All of these are of the crawl: no estimate of
    anybody outside. `stability` is None where one run stands alone.
    """

    number: int
    accounts: int
    visited: int
    density: float
    conductance: float
    stability: float | None
    top: tuple[int, ...]
    bridges: tuple[int, ...]
    described: int
    words: tuple[Word, ...]
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
        # Of two accounts that were not visited nobody knows whether they are connected.
        at_least = "At least " if self.visited < self.accounts else ""
        parts = [
            f"Community {self.number + 1}: {self.accounts:,} accounts, {self.visited:,} of them visited, {self.trust}.",
            f"{at_least}{self.density:.1%} of its pairs are connected, and its conductance is {self.conductance:.2f}.",
        ]
        for lead, at in (("Most followed from within", self.top), ("Most connected outside", self.bridges)):
            if at:
                parts.append(f"{lead}: {', '.join(names[one] or f'id {graph.accounts.id[one]}' for one in at)}.")
        if self.words:
            told = ", ".join(f"{word} ({here:.0%}, elsewhere {there:.0%})" for word, here, there in self.words)
            parts.append(f"Words that stand out, of the crawl: {told}.")
        elif self.described:
            parts.append("No word of their profiles stands out.")
        for lead, shares in (("Regions, of the crawl", self.regions), ("Languages, of the crawl", self.languages)):
            if shares:
                parts.append(f"{lead}: {', '.join(f'{word} ({share:.0%})' for word, share in shares)}.")
        return " ".join(parts)


def portraits(
    graph: FollowGraph,
    found: Partition | Consensus,
    *,
    largest: int = 20,
    top: int = 5,
    between: Brokerage | None = None,
) -> tuple[Portrait, ...]:
    """Describe the largest communities; reads bios, regions and languages. Raises a DatabaseError.

    `between` is `brokerage` of the same partition, where it is known already.
    """
    partition = found.partition if isinstance(found, Consensus) else found
    shown = min(largest, len(partition.size))
    inside = partition.label[graph.src] == partition.label[graph.dst]
    followed = np.bincount(graph.dst[inside], minlength=len(graph))
    outside, observed = (between or brokerage(graph, partition)).outside, in_degree(graph)
    bios = [_words(bio) for bio in graph.accounts.column("bio")]
    everywhere = Counter(word for words in bios for word in words)
    described = sum(bool(words) for words in bios)
    tried = shown * sum(count >= LEAST for word, count in everywhere.items() if word not in COMMON)
    regions, languages = graph.accounts.column("region"), graph.accounts.column("language")

    def one(number: int) -> Portrait:
        members = np.flatnonzero(partition.label == number)
        size = len(members)
        own = [bios[at] for at in members.tolist() if bios[at]]
        return Portrait(
            number=number,
            accounts=size,
            visited=int(graph.accounts.listed[members].sum()),
            density=2 * int(partition.inside[number]) / (size * (size - 1)) if size > 1 else 0.0,
            conductance=float(partition.conductance[number]),
            stability=float(found.stability[number]) if isinstance(found, Consensus) else None,
            top=_first(members, followed, observed, top),
            bridges=_first(members, outside, observed, top),
            described=len(own),
            words=_telling(own, everywhere, described, top, asked=_asked(tried)),
            regions=_shares((regions[at] for at in members.tolist()), 3),
            languages=_shares((languages[at] for at in members.tolist()), 3),
        )

    return tuple(one(number) for number in range(shown))


def _first(members: Ints, value: Ints, then: Ints, top: int) -> tuple[int, ...]:
    order = members[np.lexsort((members, -then[members], -value[members]))][:top]
    return tuple(int(at) for at in order if value[at] > 0)


def _words(bio: object) -> frozenset[str]:
    return frozenset(_WORD.findall(str(bio).casefold())) if bio else frozenset()


def _asked(tried: int) -> float:
    """Return the least log-likelihood ratio that counts where so many words are tried: by chance in one study of a
    hundred a single one has as much (Bonferroni)."""
    return max(SURE, float(chdtri(1, 0.01 / max(tried, 1))))


def _telling(
    bios: list[frozenset[str]], everywhere: Counter[str], described: int, top: int, *, asked: float
) -> tuple[Word, ...]:
    """Return the words that set these bios apart from the others, by the log-likelihood ratio of Dunning 1993.

    G2 = 2 * sum of O * ln(O / E) over the four cells: bios here and elsewhere, with the word and without it.
    """
    own, others = len(bios), described - len(bios)
    scored = []
    for word, count in Counter(word for words in bios for word in words).items():
        elsewhere = everywhere[word] - count
        if word in COMMON or count < LEAST or not others or count * others < LIFT * elsewhere * own:
            continue
        seen = np.array(((count, own - count), (elsewhere, others - elsewhere)))
        expected = seen.sum(axis=1, keepdims=True) * seen.sum(axis=0) / described
        ratio = 2 * float(np.sum(xlogy(seen, seen) - xlogy(seen, expected)))
        if ratio >= asked:
            scored.append((-ratio, word, count / own, elsewhere / others))
    return tuple((word, here, there) for _, word, here, there in sorted(scored)[:top])


def _shares(values: Iterable[object], top: int) -> tuple[Share, ...]:
    counts = Counter(str(value) for value in values if value)
    total = counts.total()
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])) if total >= LEAST else []
    return tuple((word, count / total) for word, count in ordered[:top])
