"""Communities: measured as networkx measures them, connected, and the same in every process."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from analysis import communities
from analysis.agreement import nmi
from analysis.communities import NOWHERE, consensus, described, leiden, scan
from analysis.engine import symmetrised
from analysis.graph import FollowGraph, from_pairs, load_graph
from tests.analysis.sample import DATA, Sample, Visit, closed, edges, write
from tests.analysis.test_graph import bare


def undirected(graph: FollowGraph) -> nx.Graph:
    """The graph of connected pairs, by networkx."""
    plain = nx.Graph()
    plain.add_edges_from(zip(graph.src.tolist(), graph.dst.tolist(), strict=True))
    return plain


def groups(graph: FollowGraph, name: str, column: int) -> np.ndarray:
    """The known group of each account by number, NOWHERE where none is known."""
    path = DATA / name / "labels.tsv.gz"
    if not path.exists():
        pytest.skip(f"labels of {name} are not at {path}")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        known = {row[0]: row[column] for row in (line.rstrip("\n").split("\t") for line in list(file)[1:])}
    words = sorted(set(known.values()))
    given = (known.get(handle[1:]) for handle in graph.accounts.handle if handle is not None)
    return np.array([NOWHERE if word is None else words.index(word) for word in given])


def sets(label: np.ndarray) -> list[set[int]]:
    return [set(np.flatnonzero(label == number).tolist()) for number in range(label.max() + 1)]


def test_pairs_are_counted_once_whatever_the_directions(tmp_path: Path) -> None:
    """A mutual follow is one connected pair, and pairs come sorted with the lower account first."""
    graph = load_graph(write(tmp_path / "graph.db", closed([(1, 2), (2, 1), (3, 1), (2, 3)])))
    low, high = symmetrised(graph.src, graph.dst)
    assert list(zip(low.tolist(), high.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2)]


@pytest.mark.parametrize(
    ("name", "resolution"), [("karate", 1.0), ("football", 1.0), ("polblogs", 0.7), ("karate", 1.8)]
)
def test_the_numbers_are_those_of_networkx(tmp_path: Path, name: str, resolution: float) -> None:
    """Modularity, sizes and pairs inside are what networkx computes for the same partition."""
    graph = load_graph(write(tmp_path / "graph.db", closed(edges(name))))
    found = leiden(graph, resolution=resolution, rng_seed=3)
    plain, parts = undirected(graph), sets(found.label)
    assert found.modularity == pytest.approx(nx.community.modularity(plain, parts, resolution=resolution))
    assert found.size.tolist() == [len(part) for part in parts] == sorted(found.size.tolist(), reverse=True)
    assert found.inside.tolist() == [plain.subgraph(part).number_of_edges() for part in parts]
    assert found.touching.tolist() == [len(plain.edges(part)) for part in parts]
    assert all(nx.is_connected(plain.subgraph(part)) for part in parts)


@pytest.mark.parametrize(
    ("name", "column", "least"),
    [
        ("lfr-n1000-mu0.1", 1, 0.97),
        ("karate", 1, 0.5),
        ("football", 2, 0.85),
        ("email-eu-core", 1, 0.5),
        ("lastfm-asia", 1, 0.55),
        ("polblogs", 1, 0.4),
        ("timme-p20-50-follow", 1, 0.5),
    ],
)
def test_known_groups_are_found(tmp_path: Path, name: str, column: int, least: float) -> None:
    """Leiden agrees with planted communities, departments, countries and parties as far as it is known to do."""
    graph = load_graph(write(tmp_path / "graph.db", closed(edges(name))))
    truth = groups(graph, name, column)
    found = leiden(graph).label
    known = (truth != NOWHERE) & (found != NOWHERE)
    assert nmi(found[known], truth[known]) > least


@pytest.mark.parametrize(("name", "optimum"), [("karate", 0.41979), ("football", 0.60457)])
def test_the_best_partition_known_is_found(tmp_path: Path, name: str, optimum: float) -> None:
    """The consensus reaches the modularity that Aloise et al. (2010) prove to be the largest there is."""
    graph = load_graph(write(tmp_path / "graph.db", closed(edges(name))))
    assert consensus(graph).partition.modularity == pytest.approx(optimum, abs=1e-5)


def test_a_consensus_is_stable_where_there_are_communities(tmp_path: Path) -> None:
    """On planted communities the runs agree on a stable consensus; on a random graph they do neither."""
    planted = load_graph(write(tmp_path / "planted.db", closed(edges("lfr-n1000-mu0.1"))))
    found = consensus(planted, runs=10)
    low, high = symmetrised(planted.src, planted.dst)
    assert nmi(found.partition.label, groups(planted, "lfr-n1000-mu0.1", 1)) > 0.97
    assert found.agreement > 0.95
    assert np.average(found.stability, weights=found.partition.size) > 0.9
    assert len(found.stability) == len(found.partition.size)
    assert len(found.counts) == 10
    assert found.partition.modularity == described(1_000, low, high, found.partition.label, resolution=1).modularity
    rng = random.Random(1)
    pairs = [(rng.randrange(500), rng.randrange(500)) for _ in range(3_000)]
    noise = consensus(load_graph(write(tmp_path / "noise.db", closed([pair for pair in pairs if len({*pair}) == 2]))))
    assert np.average(noise.stability, weights=noise.partition.size) < 0.6
    assert noise.agreement < 0.6
    assert len(noise.partition.size) < 2 * max(noise.counts)  # what runs disagree on is not left in pieces


def test_a_consensus_is_the_same_again(tmp_path: Path) -> None:
    """The same seed gives the same consensus and the same stability, another one may not."""
    graph = load_graph(write(tmp_path / "graph.db", closed(edges("polblogs"))))
    one, again = (consensus(graph, rng_seed=5, runs=5) for _ in range(2))
    assert one.partition.label.tolist() == again.partition.label.tolist()
    assert one.stability.tolist() == again.stability.tolist()
    parts = sets(one.partition.label)
    plain = undirected(graph)
    assert all(nx.is_connected(plain.subgraph(part)) for part in parts)


def test_nothing_has_a_consensus_too(tmp_path: Path) -> None:
    """Without a follow there is no community, and every measure has a value all the same."""
    graph = load_graph(write(tmp_path / "graph.db", Sample(seeds=("a",))))
    found = consensus(graph, runs=3)
    assert (found.partition.label.tolist(), len(found.stability), found.agreement) == ([NOWHERE], 0, 1.0)
    assert [(scale.communities, scale.largest) for scale in scan(graph, (1.0,))] == [(0.0, 0.0)]


def test_a_scan_shows_what_a_resolution_can_see(tmp_path: Path) -> None:
    """Larger resolutions find more and smaller communities; a ring of small cliques is merged and said to be."""
    cliques = [(6 * ring + one, 6 * ring + other) for ring in range(60) for one, other in combinations(range(6), 2)]
    bridges = [(6 * ring, (6 * ring + 7) % 360) for ring in range(60)]
    graph = load_graph(write(tmp_path / "ring.db", closed(cliques + bridges)))
    coarse, fine = scan(graph, (0.5, 16.0), runs=2)
    assert coarse.communities < 60 == fine.communities
    assert coarse.largest > fine.largest == 6 / 360
    assert fine.agreement == 1.0
    assert coarse.limit > 15 > fine.limit  # a clique has 15 pairs
    assert (coarse.below > 0, fine.below) == (True, 0)


def test_one_community_is_no_finding(tmp_path: Path) -> None:
    """Where a resolution leaves one community the row is trivial, and its modularity compares with the others'."""
    graph = load_graph(write(tmp_path / "graph.db", closed(edges("karate"))))
    low, high = symmetrised(graph.src, graph.dst)
    whole, usual = scan(graph, (0.05, 1.0))
    assert (whole.is_trivial, whole.communities, whole.agreement) == (True, 1.0, 1.0)
    assert (whole.modularity, whole.standard) == (pytest.approx(0.95), pytest.approx(0))
    assert not usual.is_trivial
    assert usual.standard == usual.modularity > 0.4
    [finer] = scan(graph, (2.0,), runs=1)
    label = leiden(graph, resolution=2.0).label
    assert finer.standard == pytest.approx(described(len(graph), low, high, label, resolution=1.0).modularity)
    assert consensus(graph, resolution=0.05).is_trivial
    assert not consensus(graph).is_trivial


def test_a_community_in_pieces_is_parted() -> None:
    """Labels that keep two separate triangles together come out as two communities, and the split is counted."""
    low, high = np.array([0, 0, 1, 3, 3, 4], dtype=np.uint32), np.array([1, 2, 2, 4, 5, 5], dtype=np.uint32)
    rough = np.array([7, 7, 7, 7, 7, 7, NOWHERE])
    found = described(7, low, high, rough, resolution=1.0)
    assert found.label.tolist() == [0, 0, 0, 1, 1, 1, NOWHERE]
    assert (found.split, found.modularity) == (1, 0.5)


def test_accounts_without_a_follow_are_nowhere(tmp_path: Path) -> None:
    """Isolated accounts are in no community, and a graph of them alone has none and no modularity."""
    graph = load_graph(write(tmp_path / "a.db", Sample(seeds=("a", "b", "c"), visits={"a": Visit(("b",))})))
    assert leiden(graph, resolution=1, rng_seed=1).label.tolist() == [0, 0, NOWHERE]
    nobody = leiden(load_graph(write(tmp_path / "b.db", Sample(seeds=("a",)))), resolution=1, rng_seed=1)
    assert (nobody.label.tolist(), len(nobody.size), nobody.modularity, nobody.split) == ([NOWHERE], 0, None, 0)
    empty = leiden(load_graph(write(tmp_path / "c.db", Sample())), resolution=1, rng_seed=1)
    assert (len(empty.label), len(empty.size)) == (0, 0)


@pytest.mark.parametrize("resolution", [-1, 0, float("nan"), float("inf")])
def test_resolutions_and_runs_that_cannot_be_are_refused(resolution: float) -> None:
    """Each by its name, with its value and what to give instead."""
    graph = from_pairs(bare(1, 2), np.array([1]), np.array([2]))
    for call in (
        lambda: leiden(graph, resolution=resolution),
        lambda: consensus(graph, resolution=resolution),
        lambda: scan(graph, (1, resolution)),
    ):
        with pytest.raises(ValueError, match=f"resolution={resolution} is no finite number above 0; give 1"):
            call()
    for call in (lambda: consensus(graph, runs=0), lambda: scan(graph, runs=0)):
        with pytest.raises(ValueError, match="runs=0 is no number of runs; give 1 or more"):
            call()


def test_too_large_a_graph_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the stated number of pairs nothing is computed, and the refusal carries the number."""
    monkeypatch.setattr(communities, "MAX_PAIRS", 2)
    graph = load_graph(write(tmp_path / "graph.db", closed([(1, 2), (2, 3), (3, 1)])))
    with pytest.raises(communities.TooManyPairs) as refused:
        leiden(graph, resolution=1, rng_seed=1)
    assert refused.value.pairs == 3


def test_the_partition_does_not_depend_on_hash_seeds(tmp_path: Path) -> None:
    """Processes with different PYTHONHASHSEED find the same communities; another rng seed may find others."""
    rng = random.Random(2)
    pairs = sorted({(rng.randrange(300), rng.randrange(300)) for _ in range(1_200)})
    path = write(tmp_path / "graph.db", closed([pair for pair in pairs if pair[0] != pair[1]]))
    program = (
        "import sys; from analysis.graph import load_graph; from analysis.communities import leiden;"
        "print(leiden(load_graph(sys.argv[1]), resolution=1, rng_seed=4).label.tolist())"
    )
    root = Path(__file__).parents[2]
    found = {
        subprocess.run(
            [sys.executable, "-c", program, path],
            cwd=root,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert found == {f"{leiden(load_graph(path), resolution=1, rng_seed=4).label.tolist()}\n"}
