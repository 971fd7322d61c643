"""Communities: measured as networkx measures them, connected, and the same in every process."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from analysis import communities
from analysis.communities import NOWHERE, described, louvain
from analysis.engine import symmetrised
from analysis.graph import FollowGraph, load_graph
from tests.analysis.sample import Sample, Visit, closed, edges, write


def undirected(graph: FollowGraph) -> nx.Graph:
    """The graph of connected pairs, by networkx."""
    plain = nx.Graph()
    plain.add_edges_from(zip(graph.src.tolist(), graph.dst.tolist(), strict=True))
    return plain


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
    found = louvain(graph, resolution=resolution, rng_seed=3)
    plain, parts = undirected(graph), sets(found.label)
    assert found.modularity == pytest.approx(nx.community.modularity(plain, parts, resolution=resolution))
    assert found.size.tolist() == [len(part) for part in parts] == sorted(found.size.tolist(), reverse=True)
    assert found.inside.tolist() == [plain.subgraph(part).number_of_edges() for part in parts]
    assert found.touching.tolist() == [len(plain.edges(part)) for part in parts]
    assert all(nx.is_connected(plain.subgraph(part)) for part in parts)


def test_planted_communities_are_found(tmp_path: Path) -> None:
    """On the LFR benchmark with little mixing, nearly all pairs of accounts are parted or kept as planted."""
    import gzip

    from tests.analysis.sample import DATA

    graph = load_graph(write(tmp_path / "graph.db", closed(edges("lfr-n1000-mu0.1"))))
    with gzip.open(DATA / "lfr-n1000-mu0.1" / "labels.tsv.gz", "rt") as file:
        planted = dict(line.split()[:2] for line in list(file)[1:])
    truth = np.array([planted[handle[1:]] for handle in graph.accounts.handle if handle is not None])
    found = louvain(graph, resolution=1.0, rng_seed=1).label
    together, kept = truth[:, None] == truth, found[:, None] == found
    assert np.mean(together == kept) > 0.99


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
    assert louvain(graph, resolution=1, rng_seed=1).label.tolist() == [0, 0, NOWHERE]
    nobody = louvain(load_graph(write(tmp_path / "b.db", Sample(seeds=("a",)))), resolution=1, rng_seed=1)
    assert (nobody.label.tolist(), len(nobody.size), nobody.modularity, nobody.split) == ([NOWHERE], 0, None, 0)
    empty = louvain(load_graph(write(tmp_path / "c.db", Sample())), resolution=1, rng_seed=1)
    assert (len(empty.label), len(empty.size)) == (0, 0)


def test_too_large_a_graph_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the stated number of pairs nothing is computed, and the refusal carries the number."""
    monkeypatch.setattr(communities, "MAX_PAIRS", 2)
    graph = load_graph(write(tmp_path / "graph.db", closed([(1, 2), (2, 3), (3, 1)])))
    with pytest.raises(communities.TooManyPairs) as refused:
        louvain(graph, resolution=1, rng_seed=1)
    assert refused.value.pairs == 3


def test_the_partition_does_not_depend_on_hash_seeds(tmp_path: Path) -> None:
    """Processes with different PYTHONHASHSEED find the same communities; another rng seed may find others."""
    rng = random.Random(2)
    pairs = sorted({(rng.randrange(300), rng.randrange(300)) for _ in range(1_200)})
    path = write(tmp_path / "graph.db", closed([pair for pair in pairs if pair[0] != pair[1]]))
    program = (
        "import sys; from analysis.graph import load_graph; from analysis.communities import louvain;"
        "print(louvain(load_graph(sys.argv[1]), resolution=1, rng_seed=4).label.tolist())"
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
    assert found == {f"{louvain(load_graph(path), resolution=1, rng_seed=4).label.tolist()}\n"}
