"""Between communities: flows and brokers counted by hand and by plain loops."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from analysis.brokers import brokerage, brokers, flows
from analysis.communities import NOWHERE, consensus, leiden
from analysis.graph import FollowGraph, load_graph
from analysis.portraits import portraits
from tests.analysis.sample import Sample, Visit, closed, edges, write
from tests.analysis.test_graph import change


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> FollowGraph:
    return load_graph(write(tmp_path_factory.mktemp("graph") / "graph.db", closed(edges("polblogs"))))


def test_flows_are_the_follows_that_cross(graph: FollowGraph) -> None:
    """Every follow between two communities is counted once, in its direction."""
    partition = leiden(graph)
    found = flows(graph, partition)
    source, target = partition.label[graph.src].tolist(), partition.label[graph.dst].tolist()
    expected = Counter(pair for pair in zip(source, target, strict=True) if pair[0] != pair[1])
    pairs = zip(found.source.tolist(), found.target.tolist(), strict=True)
    assert dict(zip(pairs, found.follows.tolist(), strict=True)) == expected
    assert found.follows.tolist() == sorted(found.follows.tolist(), reverse=True)


def test_brokerage_is_its_definition(graph: FollowGraph) -> None:
    """Pairs outside and participation are what a loop over each account's neighbours gives."""
    partition = leiden(graph)
    found = brokerage(graph, partition)
    neighbours: list[set[int]] = [set() for _ in range(len(graph))]
    for one, other in zip(graph.src.tolist(), graph.dst.tolist(), strict=True):
        neighbours[one].add(other)
        neighbours[other].add(one)
    for at in range(0, len(graph), 7):
        groups = Counter(partition.label[other] for other in neighbours[at])
        assert found.outside[at] == len(neighbours[at]) - groups[partition.label[at]]
        spread = 1 - sum((count / len(neighbours[at])) ** 2 for count in groups.values()) if groups else 0
        assert found.participation[at] == pytest.approx(spread)
        assert found.connections[at] == len(neighbours[at])
    among = np.arange(len(graph)) % 2 == 0
    best = brokers(graph, found, among, 5)
    eligible = [at for at in range(0, len(graph), 2) if len(neighbours[at]) >= 10]
    assert found.participation[best].tolist() == sorted(found.participation[eligible].tolist(), reverse=True)[:5]
    assert set(best.tolist()) <= set(eligible)


def test_equally_spread_accounts_stand_by_pairs_outside_and_id(graph: FollowGraph) -> None:
    """Equal participations are equal whatever the order their squares were added in: compared in whole numbers."""
    partition = leiden(graph, resolution=8)  # many communities, many squares
    found = brokerage(graph, partition)
    groups: list[Counter[int]] = [Counter() for _ in range(len(graph))]
    for one, other in {tuple(sorted(pair)) for pair in zip(graph.src.tolist(), graph.dst.tolist(), strict=True)}:
        groups[one][int(partition.label[other])] += 1
        groups[other][int(partition.label[one])] += 1

    def key(at: int) -> tuple[Fraction, int, int]:
        together = Fraction(sum(count**2 for count in groups[at].values()), groups[at].total() ** 2)
        return together, -int(found.outside[at]), int(graph.accounts.id[at])

    order = brokers(graph, found, np.ones(len(graph), dtype=np.bool_), len(graph)).tolist()
    keys = [key(at) for at in order]
    assert len({together for together, _, _ in keys}) < len(keys)
    assert keys == sorted(keys)


def test_nothing_lies_between_when_there_is_nothing(tmp_path: Path) -> None:
    """A graph without follows has no flows and no brokers."""
    empty = load_graph(write(tmp_path / "graph.db", Sample(seeds=("a", "b"))))
    partition = leiden(empty)
    assert partition.label.tolist() == [NOWHERE, NOWHERE]
    assert len(flows(empty, partition).follows) == 0
    assert len(brokers(empty, brokerage(empty, partition), np.ones(2, dtype=np.bool_))) == 0
    assert brokerage(empty, partition).participation.tolist() == [0, 0]


def test_portraits_say_what_a_community_is(tmp_path: Path) -> None:
    """Size, density, conductance, accounts, words and regions are those of the community, in plain words."""
    left, right = [f"cat{at}" for at in range(6)], [f"dog{at}" for at in range(5)]
    lists = {name: [other for other in side if other != name] for side in (left, right) for name in side}
    lists["cat0"].append("dog0")
    path = write(tmp_path / "graph.db", Sample(seeds=("cat0",), visits={k: Visit(tuple(v)) for k, v in lists.items()}))
    change(path, "UPDATE accounts SET bio = 'Loves THE CATS and tea', region = 'DE' WHERE handle LIKE 'cat%'")
    change(path, "UPDATE accounts SET bio = 'Walks dogs für Sie, and tea', language = 'fr' WHERE handle LIKE 'dog%'")
    graph = load_graph(path)
    cats, dogs = portraits(graph, consensus(graph, runs=4))
    assert (cats.accounts, cats.visited, cats.density, cats.stability) == (6, 6, 1.0, 1.0)
    assert cats.conductance == pytest.approx(1 / 21)  # one connection out, over the dogs' 21 ends
    assert cats.words == (("cats", 1.0, 0.0), ("loves", 1.0, 0.0))  # what all say, and what five say, does not
    # Nor do words of grammar, though each side alone says "the" or "für".
    assert (dogs.words, dogs.described) == ((("dogs", 1.0, 0.0), ("walks", 1.0, 0.0)), 5)
    assert (cats.regions, dogs.languages) == ((("DE", 1.0),), (("fr", 1.0),))
    assert [graph.accounts.handle[at] for at in cats.bridges] == ["cat0"]
    text = cats.sentence(graph)
    assert text.startswith(
        "Community 1: 6 accounts, 6 of them visited, stable (1.00). 100.0% of its pairs are connected, "
        "and its conductance is 0.05."
    )
    assert "Most connected outside: cat0." in text
    assert "Words that stand out, of the crawl: cats (100%, elsewhere 0%), loves (100%, elsewhere 0%)." in text
    assert "Regions, of the crawl: DE (100%)." in text
    assert portraits(graph, leiden(graph))[0].trust == "one run, stability not measured"


def spoken(tmp_path: Path, *, planted: int) -> list[tuple[str, ...]]:
    """The words told of two groups of 200 whose bios are of one vocabulary; so many of the first say `kraken`."""
    rng = random.Random(3)
    names = [[f"{side}{at:03}" for at in range(200)] for side in ("cat", "dog")]
    lists = {one: Visit(tuple(rng.sample(side, 12))) for side in names for one in side}
    path = write(tmp_path / "graph.db", Sample(seeds=("cat000",), visits=lists))
    vocabulary = ["".join(rng.choice("bcdfgl") + rng.choice("aeiou") for _ in range(3)) for _ in range(300)]
    cases = []
    for at, one in enumerate(name for side in names for name in side):
        words = [rng.choice(vocabulary[: rng.choice((5, 300))]) for _ in range(8)]
        if at < planted or at == 399:
            words.append("Kraken")
        cases.append(f"WHEN '{one}' THEN '{' '.join(words)}'")
    change(path, f"UPDATE accounts SET bio = CASE handle {' '.join(cases)} END")
    graph = load_graph(path)
    found = portraits(graph, consensus(graph, runs=2), largest=2)
    assert [one.accounts for one in found] == [200, 200]
    assert all("No word of their profiles stands out." in one.sentence(graph) for one in found if not one.words)
    return sorted(tuple(word for word, _, _ in one.words) for one in found)


def test_planted_words_stand_out_and_chance_ones_do_not(tmp_path: Path) -> None:
    """Bios drawn at random have no telling word; a word that a tenth of one group adds is told, and it alone."""
    for planted, told in ((0, [(), ()]), (20, [(), ("kraken",)])):
        folder = tmp_path / str(planted)
        folder.mkdir()
        assert spoken(folder, planted=planted) == told


def test_portraits_agree_with_networkx(graph: FollowGraph) -> None:
    """Density and conductance are networkx's, for every community of a real graph."""
    import networkx as nx

    partition = leiden(graph)
    plain = graph.pairs().to_networkx(attributes=False)
    ids = graph.accounts.id
    for portrait in portraits(graph, partition, largest=6):
        members = set(ids[np.flatnonzero(partition.label == portrait.number)].tolist())
        assert portrait.density == pytest.approx(nx.density(plain.subgraph(members)))
        assert portrait.conductance == pytest.approx(nx.conductance(plain, members))
