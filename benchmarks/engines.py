"""One engine doing the whole of `benchmarks/analysing.py` from a database; prints what it took as JSON.

    python benchmarks/engines.py ours|networkx|networkit|igraph DATABASE

Peers read the follows as their users would: over the driver's cursor, into arrays without a Python object per value
where the engine takes arrays. Only `ours` imports anything of the repository.
"""

from __future__ import annotations

import json
import resource
import sqlite3
import sys
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

DAMPING, PRECISION, SEED = 0.85, 1e-10, 1
FOLLOWS = "SELECT src, dst FROM follows WHERE ended_visit IS NULL ORDER BY src, dst"


class Clock:
    """Times steps in CPU and wall seconds."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = {}
        self.wall: dict[str, float] = {}

    def __call__(self, step: str, work: Callable[[], Any]) -> Any:
        cpu, wall = time.process_time(), time.perf_counter()
        found = work()
        self.cpu[step] = self.cpu.get(step, 0.0) + time.process_time() - cpu
        self.wall[step] = self.wall.get(step, 0.0) + time.perf_counter() - wall
        return found


def arrays(database: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Read the follows, ids made compact: those of the benchmark's databases have no gaps."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as conn:
        flat = np.fromiter(chain.from_iterable(conn.execute(FOLLOWS)), dtype=np.int64)
        (n,) = conn.execute("SELECT max(id) FROM accounts").fetchone()
    return flat[0::2] - 1, flat[1::2] - 1, n


def pairs_of(src: np.ndarray, dst: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the arrows off."""
    low, high = np.minimum(src, dst).astype(np.uint64), np.maximum(src, dst).astype(np.uint64)
    keys = np.sort(low << np.uint64(32) | high)
    keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))]
    return keys >> np.uint64(32), keys & np.uint64(0xFFFFFFFF)


def modularity(low: np.ndarray, high: np.ndarray, label: np.ndarray) -> float:
    """Newman & Girvan's, by one function for all engines."""
    inside = np.bincount(label[low][label[low] == label[high]], minlength=label.max() + 1)
    ends = np.bincount(label[low], minlength=label.max() + 1) + np.bincount(label[high], minlength=label.max() + 1)
    return float((inside / len(low) - (ends / (2 * len(low))) ** 2).sum())


def networkit(database: str, clock: Clock) -> np.ndarray:
    import networkit as nk  # noqa: PLC0415 - each process has one engine
    from scipy.sparse import csr_array  # noqa: PLC0415 - of its process only

    nk.setNumberOfThreads(1)
    src, dst, n = clock("read", lambda: arrays(database))

    def built(rows: np.ndarray, columns: np.ndarray, *, directed: bool) -> Any:
        starts = np.concatenate(([0], np.cumsum(np.bincount(rows.astype(np.int64), minlength=n))))
        matrix = csr_array((np.ones(len(rows)), columns.astype(np.int64), starts), shape=(n, n))
        return nk.GraphFromCsr(matrix, directed=directed)  # nine times faster than from pairs

    directed = clock("build", lambda: built(src, dst, directed=True))
    plain = clock("build", lambda: built(*pairs_of(src, dst), directed=False))
    sinks = nk.centrality.SinkHandling.DistributeSinks

    def pagerank() -> Any:
        rank = nk.centrality.PageRank(directed, damp=DAMPING, tol=PRECISION, distributeSinks=sinks)
        rank.norm = nk.centrality.Norm.L1_NORM
        return rank.run().scores()

    clock("pagerank", pagerank)
    clock("components", lambda: nk.components.WeaklyConnectedComponents(directed).run().numberOfComponents())
    clock("cores", lambda: nk.centrality.CoreDecomposition(plain).run().scores())

    def leiden() -> Any:
        nk.setSeed(SEED, False)
        found = nk.community.ParallelLeiden(plain)
        found.run()
        return found.getPartition()

    return np.array(clock("communities", leiden).getVector())


def igraph(database: str, clock: Clock) -> np.ndarray:
    import random  # noqa: PLC0415 - of its process only

    import igraph as ig  # noqa: PLC0415 - of its process only

    src, dst, n = clock("read", lambda: arrays(database))
    directed = clock("build", lambda: ig.Graph(n, np.column_stack((src, dst)), directed=True))
    plain = clock("build", lambda: ig.Graph(n, np.column_stack(pairs_of(src, dst)).astype(np.int64)))
    clock("pagerank", lambda: directed.pagerank(damping=DAMPING))
    clock("components", lambda: len(directed.connected_components(mode="weak")))
    clock("cores", plain.coreness)

    def leiden() -> Any:
        random.seed(SEED)
        return plain.community_leiden(objective_function="modularity", n_iterations=2)

    return np.array(clock("communities", leiden).membership)


def networkx(database: str, clock: Clock) -> np.ndarray:
    import networkx as nx  # noqa: PLC0415 - of its process only

    def read() -> tuple[list[tuple[int, int]], list[int]]:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as conn:
            return list(conn.execute(FOLLOWS)), [key for (key,) in conn.execute("SELECT id FROM accounts")]

    pairs, ids = clock("read", read)

    def build() -> Any:
        graph = nx.DiGraph()
        graph.add_nodes_from(ids)
        graph.add_edges_from(pairs)
        return graph, graph.to_undirected()

    directed, plain = clock("build", build)
    clock("pagerank", lambda: nx.pagerank(directed, alpha=DAMPING, tol=PRECISION / len(ids), max_iter=1_000))
    clock("components", lambda: sum(1 for _ in nx.weakly_connected_components(directed)))
    clock("cores", lambda: nx.core_number(plain))
    found = clock("louvain", lambda: nx.community.louvain_communities(plain, weight=None, seed=SEED))
    label = np.empty(len(ids), dtype=np.int64)
    for number, members in enumerate(found):
        label[[key - 1 for key in members]] = number
    return label


def ours(database: str, clock: Clock) -> tuple[np.ndarray, dict[str, Any]]:
    from analysis import communities, engine  # noqa: PLC0415 - of its process only
    from analysis.agreement import nmi  # noqa: PLC0415 - of its process only
    from analysis.centrality import pagerank  # noqa: PLC0415 - of its process only
    from analysis.graph import load_graph  # noqa: PLC0415 - of its process only

    graph = clock("read", lambda: load_graph(database, keep=False))
    scores = clock("pagerank", lambda: pagerank(graph, damping=DAMPING, precision=PRECISION))
    clock("components", lambda: engine.component_labels(len(graph), graph.src, graph.dst))
    low, high = clock("build", lambda: engine.symmetrised(graph.src, graph.dst))
    plain = clock("build", lambda: engine.networkit_graph(len(graph), low, high))
    clock("cores", lambda: engine.cores_of(plain))
    label = clock("communities", lambda: communities.leiden_of(plain, resolution=1.0, rng_seed=SEED))
    louvain = clock("louvain", lambda: communities.louvain_of(plain, resolution=1.0, rng_seed=None))
    # From here on nothing is compared: what the result is worth, and what the next load costs.
    reference = pagerank(graph, damping=DAMPING, precision=1e-13)
    columns = [getattr(graph.accounts, name) for name in ("id", "standing", "depth", "followers", "following")]
    size = sum(column.nbytes for column in (graph.src, graph.dst, graph.accounts.first_seen, *columns))
    load_graph(database)
    before = time.process_time()
    load_graph(database)
    again = time.process_time() - before
    truth = Path(database).with_suffix(".truth.npy")
    planted = np.load(truth) if truth.exists() else None
    scan = []
    if planted is not None and len(graph.src) <= 2_000_000:
        for scale in communities.scan(graph, (1.0, 2.0, 4.0, 8.0, 16.0), runs=2):
            found = communities.leiden(graph, resolution=scale.resolution).label
            agreed = nmi(found[found >= 0], planted[found >= 0])
            scan.append((scale.resolution, scale.communities, scale.agreement, scale.limit, scale.below, agreed))
    return label, {
        "bytes": size,
        "louvain": modularity(low.astype(np.int64), high.astype(np.int64), louvain),
        "distance": float(np.abs(scores - reference).sum()),
        "again": again,
        "nmi": None if planted is None else nmi(label, planted),
        "scan": scan,
    }


def main() -> None:
    """Run one engine."""
    engine, database = sys.argv[1:]
    clock = Clock()
    extra: dict[str, Any] = {}
    if engine == "ours":
        label, extra = ours(database, clock)
    else:
        label = {"networkit": networkit, "igraph": igraph, "networkx": networkx}[engine](database, clock)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    src, dst, _ = arrays(database)
    low, high = pairs_of(src, dst)
    found = {
        "cpu": clock.cpu,
        "wall": clock.wall,
        "mb": peak,
        "follows": len(src),
        "communities": len(np.unique(label)),
        "modularity": modularity(low.astype(np.int64), high.astype(np.int64), label),
    }
    print(json.dumps(found | extra))


if __name__ == "__main__":
    main()
