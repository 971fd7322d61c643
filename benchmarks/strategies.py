"""What a credit buys under each strategy: the real crawler against the imitated API, in process and in virtual time.

    python benchmarks/strategies.py run [--graphs slashdot,wiki-vote,timme,drawn] [--strategies flow,rank,…]
        [--budgets 0.25,0.5,1,2,5,10] [--repetitions 5] [--seeds 10] [--results FILE]
    python benchmarks/strategies.py table [--results FILE] [--document docs/strategies.md]

`run` appends one JSON line a crawl and budget to the results and leaves out what stands there already, so that it can
be cut off and goes on. Budgets are shares (%) of what all lists of the graph cost. `table` prints the tables and writes
them between the marks in the document. Of the further networks, run with
`--graphs advogato,lastfm-asia,musae-github --budgets 2`, it has the first table alone.

The measures, against the whole graph: precision of the top 100 and the top 1 % by PageRank, estimated from the crawl by
plain PageRank of the crawled graph, by follower-imputed PageRank, and by reported followers; the share of all follows
among the true top 1,000 that the crawl read; accounts known per credit; members of the seeds' community known, on the
drawn network; and the error of the mean out-degree by the double-weighted estimator. The oracles know the graph: one
buys the lists with most follows among the top 1,000 per credit, one those with most new accounts per credit, and one
those of most PageRank per credit.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import logging  # noqa: E402 - the repository is put on the path first

import rehearsal  # noqa: E402 - beside the tests
import structlog  # noqa: E402 - as above

from analysis.graph import load_graph  # noqa: E402 - as above
from crawler.strategies.registry import CHOICES  # noqa: E402 - as above
from socialfetch.simulator import network  # noqa: E402 - as above

DATA = ROOT.parent / "shared" / "data"
FURTHER = ("advogato", "lastfm-asia", "musae-github")
"""Networks that the rules were not made on, to see whether the picture holds."""
REAL = {
    "slashdot": "soc-slashdot0902",
    "wiki-vote": "wiki-vote",
    "timme": "timme-p20-50-follow",
    **{name: name for name in FURTHER},
}
DRAWN = 100_000
PAGE = 20
TOP = 1000
SCENE = "bfs in one community"
"""BFS from the seeds that `community` has, which lie in one community; the others start anywhere."""
ORACLES = ("oracle of follows", "oracle of accounts", "oracle of ranks")
Numbers = npt.NDArray[np.float64]


def main() -> None:
    """Run or tabulate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--graphs", default="wiki-vote,timme,slashdot,drawn")
    parser.add_argument("--strategies", default=",".join([*CHOICES, "core on", "discover on", SCENE, *ORACLES]))
    parser.add_argument("--budgets", default="0.25,0.5,1,2,5,10")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results" / "strategies.jsonl")
    parser.add_argument("--document", type=Path, default=ROOT / "docs" / "strategies.md")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if options.what == "table":
        every = list(read(options.results))
        rows = [row for row in every if row["seeds"] == options.seeds]
        text = "\n".join([*ratios(rows), *scenes(every), *calibration(rows), *tables(rows)])
        print(text)
        write_between_marks(options.document, text)
    else:
        run(options)


def run(options: argparse.Namespace) -> None:
    """Crawl every cell that has no result yet."""
    budgets = [float(part) for part in options.budgets.split(",")]
    done = {
        (row["graph"], row["strategy"], row["repetition"], row["seeds"], row["percent"])
        for row in read(options.results)
    }
    options.results.parent.mkdir(parents=True, exist_ok=True)
    for name in options.graphs.split(","):
        truth = None
        for repetition in range(options.repetitions):
            for strategy in options.strategies.split(","):
                if strategy == SCENE and name != "drawn":
                    continue
                missing = [b for b in budgets if (name, strategy, repetition, options.seeds, b) not in done]
                if not missing:
                    continue
                truth = truth or Truth(name)
                oracle = strategy in ORACLES
                rows = (
                    truth.of_oracle(strategy, budgets)
                    if oracle
                    else crawl(truth, strategy, repetition, options.seeds, budgets)
                )
                with options.results.open("a") as file:
                    for row in rows:
                        line = {
                            "graph": name,
                            "strategy": strategy,
                            "repetition": repetition,
                            "seeds": options.seeds,
                            **row,
                        }
                        print(json.dumps(line), file=file)
                        print({key: round(v, 3) if isinstance(v, float) else v for key, v in line.items()}, flush=True)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the results so far."""
    if path.exists():
        yield from map(json.loads, path.read_text().splitlines())


@dataclass(frozen=True)
class Edges:
    """Follows between accounts 0 to n - 1."""

    n: int
    source: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]


class Truth:
    """A whole graph and what is true of it."""

    def __init__(self, name: str) -> None:
        if name == "drawn":
            self.network = network.generate(DRAWN, rng_seed=1, mean_list=66.0, hidden=0, private=0, not_found=0)
        else:
            self.network = network.load_edge_list(DATA / REAL[name] / "edges.tsv.gz", rng_seed=1)
        graph = self.network
        n = graph.accounts
        self.following = np.asarray(graph.following_counts, dtype=np.int64)
        self.followers = np.asarray(graph.follower_counts, dtype=np.int64)
        source = np.repeat(np.arange(n), self.following)
        target = np.concatenate([graph.following(index)[0] for index in range(n)]).astype(np.int64)
        self.edges = Edges(n, source, target)
        self.cost = -(-self.following // PAGE)
        self.credits = int(self.cost.sum())
        self.pagerank = pagerank(self.edges)
        self.order = np.argsort(-self.pagerank, kind="stable")
        self.top = np.zeros(n, dtype=bool)
        self.top[self.order[:TOP]] = True
        self.follows_in_top = int((self.top[source] & self.top[target]).sum())
        followed = self.followers > 0
        self.mean_following = float(self.following[followed].mean())
        self.community = graph.community

    def seeds(self, count: int, repetition: int) -> list[int]:
        """Return random accounts that follow at least five and have a follower."""
        rng = np.random.default_rng(1000 + repetition)
        able = np.flatnonzero((self.following >= 5) & (self.followers >= 1))
        return rng.choice(able, count, replace=False).tolist()

    def of_oracle(self, which: str, budgets: Sequence[float]) -> list[dict[str, Any]]:
        """Return what somebody who knows the graph, and can buy any list, gets."""
        inside = np.bincount(
            self.edges.source, weights=self.top[self.edges.source] & self.top[self.edges.target], minlength=self.edges.n
        )
        rows = []
        if which == ORACLES[0]:
            worth = inside / np.maximum(self.cost, 1)
            order = np.argsort(-worth, kind="stable")
            spent, got = np.cumsum(self.cost[order]), np.cumsum(inside[order])
            for percent in budgets:
                credits = self.budget(percent)
                rows.append(
                    {
                        "percent": percent,
                        "credits": credits,
                        "core": float(got[np.searchsorted(spent, credits)] / self.follows_in_top),
                    }
                )
            return rows
        if which == ORACLES[2]:
            order = np.argsort(-np.where(self.cost > 0, self.pagerank / np.maximum(self.cost, 1), -1.0), kind="stable")
            spent = np.cumsum(self.cost[order])
            for percent in budgets:
                read = np.zeros(self.edges.n, dtype=bool)
                read[order[spent <= self.budget(percent)]] = True
                follows = read[self.edges.source]
                source, target = self.edges.source[follows], self.edges.target[follows]
                discovered = read.copy()
                discovered[target] = True
                credits = int(self.cost[read].sum())
                rows.append({"percent": percent, "credits": credits, **precision(self, source, target, discovered)})
            return rows
        known = np.zeros(self.edges.n, dtype=bool)
        starts = np.concatenate(([0], np.cumsum(self.following)))
        gains = (self.following / np.maximum(self.cost, 1)).astype(float)
        heap = [(-gain, index) for index, gain in enumerate(gains) if gain > 0]
        heapq.heapify(heap)
        credits = 0
        for percent in budgets:
            while heap and credits < self.budget(percent):
                _, index = heapq.heappop(heap)
                fresh = int((~known[self.edges.target[starts[index] : starts[index + 1]]]).sum()) / max(
                    self.cost[index], 1
                )
                if heap and fresh < -heap[0][0] - 1e-12:
                    heapq.heappush(heap, (-fresh, index))
                    continue
                known[self.edges.target[starts[index] : starts[index + 1]]] = True
                credits += int(self.cost[index])
            rows.append(
                {"percent": percent, "credits": credits, "accounts_per_credit": float(known.sum() / max(1, credits))}
            )
        return rows

    def budget(self, percent: float) -> int:
        """Return a share of what all lists cost, in credits."""
        return max(1, round(self.credits * percent / 100))


def crawl(
    truth: Truth, strategy: str, repetition: int, seeds: int, budgets: Sequence[float]
) -> Iterator[dict[str, Any]]:
    """Crawl up to each budget in turn and measure there."""
    api = rehearsal.service(truth.network, credits=10**9, latency_s=0.05)
    name, _, pages = strategy.partition(" ")
    handle = truth.network.handle
    chosen = truth.seeds(seeds, repetition)
    if truth.community is not None and (name == "community" or strategy == SCENE):
        chosen = of_one_community(truth, seeds, repetition)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "crawl.db"
        before, cpu = 0, 0.0
        for percent in budgets:
            credits = truth.budget(percent)
            began = time.process_time()
            if credits > before:
                rehearsal.go(
                    path,
                    api,
                    seeds=[handle(index) for index in chosen] if not before else (),
                    budget=credits - before,
                    new_run=True,
                    strategy=name,
                    page_rules=pages if pages == "on" else "off",
                    concurrency=8,
                    archive=False,
                    rng_seed=repetition,
                )
            before, cpu = credits, cpu + time.process_time() - began
            foreseen = rehearsal.state(path).runs[-1].foreseen
            yield {"percent": percent, "cpu_s": cpu, "foreseen": foreseen, **measure(truth, path, chosen)}


def of_one_community(truth: Truth, count: int, repetition: int) -> list[int]:
    """Return random seeds of one community of middling size."""
    rng = np.random.default_rng(2000 + repetition)
    assert truth.community is not None
    sizes = np.bincount(truth.community)
    fitting = np.flatnonzero((sizes >= 200) & (sizes <= 2500))
    able = np.flatnonzero((truth.community == rng.choice(fitting)) & (truth.following >= 5) & (truth.followers >= 1))
    return rng.choice(able, min(count, len(able)), replace=False).tolist()


def measure(truth: Truth, path: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Hold what the crawl knows against the graph."""
    graph = load_graph(path)
    state = rehearsal.state(path)
    index = np.array([truth.network.index(handle) for handle in graph.accounts.handle], dtype=np.int64)
    source, target = index[graph.src], index[graph.dst]
    spent = max(1, state.charged)
    visited = np.zeros(truth.edges.n, dtype=bool)
    visited[source] = True
    discovered = np.zeros(truth.edges.n, dtype=bool)
    discovered[index] = True
    row: dict[str, Any] = {
        "credits": state.charged,
        "accounts": int(discovered.sum()),
        "accounts_per_credit": float(discovered.sum() / spent),
        "core": float((truth.top[source] & truth.top[target]).sum() / truth.follows_in_top),
        "out_degree_error": out_degree(truth, source, target),
        **precision(truth, source, target, discovered),
    }
    if truth.community is not None:
        home = np.bincount(truth.community[list(seeds)]).argmax()
        members = truth.community == home
        row["members_known"] = float((members & discovered).sum() / members.sum())
        row["members_read"] = float((members & visited).sum() / members.sum())
    return row


def precision(
    truth: Truth,
    source: npt.NDArray[np.int64],
    target: npt.NDArray[np.int64],
    discovered: npt.NDArray[np.bool_],
) -> dict[str, float]:
    """Return which share of the true top 100 and top 1 % each way to rank finds in the lists read."""
    known, n = Edges(truth.edges.n, source, target), truth.edges.n
    read, listed = np.bincount(source, minlength=n), np.bincount(target, minlength=n)
    scores = {
        "plain": np.where(discovered, pagerank(known, among=discovered), -1),
        "imputed": np.where(discovered, imputed(truth, known, discovered, read, listed), -1),
        "followers": np.where(discovered, truth.followers, -1),
    }
    found = {}
    for name, score in scores.items():
        order = np.argsort(-score, kind="stable")
        for label, count in (("100", 100), ("1%", max(1, n // 100))):
            found[f"{name}@{label}"] = len(np.intersect1d(order[:count], truth.order[:count])) / count
    return found


def pagerank(edges: Edges, *, among: npt.NDArray[np.bool_] | None = None, rounds: int = 60) -> Numbers:
    """Return PageRank with damping 0.85 over the accounts `among` (all of them)."""
    inside = np.ones(edges.n, dtype=bool) if among is None else among
    size = int(inside.sum())
    degree = np.bincount(edges.source, minlength=edges.n)
    matrix = sparse.csr_matrix((np.ones(len(edges.source)), (edges.target, edges.source)), shape=(edges.n, edges.n))
    score = inside / size
    for _ in range(rounds):
        share = np.divide(score, degree, out=np.zeros(edges.n), where=degree > 0)
        lost = score[inside & (degree == 0)].sum()
        score = np.where(inside, 0.15 / size + 0.85 * (matrix @ share + lost / size), 0.0)
    return score


def imputed(
    truth: Truth,
    edges: Edges,
    discovered: npt.NDArray[np.bool_],
    read: npt.NDArray[np.int64],
    listed: npt.NDArray[np.int64],
) -> Numbers:
    """Return PageRank with an average contribution for each follower not seen (research on sampling, section 6.1)."""
    size = int(discovered.sum())
    following = np.maximum(truth.following, 1)
    matrix = sparse.csr_matrix((np.ones(len(edges.source)), (edges.target, edges.source)), shape=(edges.n, edges.n))
    unseen = np.maximum(0, truth.followers - listed)
    left = np.where(discovered, truth.following - read, 0)
    score = discovered / size
    for _ in range(15):
        average = (score * left / following).sum() / max(1, left.sum())
        score = np.where(discovered, 0.15 / size + 0.85 * (matrix @ (score / following) + unseen * average), 0.0)
        score /= score.sum()
    return score


def out_degree(truth: Truth, source: npt.NDArray[np.int64], target: npt.NDArray[np.int64]) -> float:
    """Return the relative error of the mean following by weights of 1/F at both ends (section 6.2)."""
    followers = np.maximum(truth.followers, 1)
    weight = np.bincount(target, weights=1.0 / followers[source], minlength=truth.edges.n) / followers
    total = weight.sum()
    return float((weight * truth.following).sum() / total / truth.mean_following - 1) if total else float("nan")


MEASURES = {
    "imputed@100": "precision@100, imputed PageRank",
    "imputed@1%": "precision@1 %, imputed PageRank",
    "plain@100": "precision@100, plain PageRank of the crawled graph",
    "followers@100": "precision@100, reported followers",
    "core": "share of the follows among the top 1,000",
    "accounts_per_credit": "accounts known per credit",
    "members_known": "members of the seeds' community known",
    "members_read": "members of the seeds' community read",
    "out_degree_error": "relative error of the mean out-degree (root mean square)",
}


def tables(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a table for each measure: strategies down, graphs and budgets across."""
    graphs = [graph for graph in dict.fromkeys(row["graph"] for row in rows) if graph not in FURTHER]
    strategies = list(dict.fromkeys(row["strategy"] for row in rows))
    cells: dict[tuple[str, str, float], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        cells[row["graph"], row["strategy"], row["percent"]].append(row)
    for measure_, title in MEASURES.items():
        shown = [g for g in graphs if any(measure_ in row for row in rows if row["graph"] == g)]
        for graph in shown:
            budgets = sorted({row["percent"] for row in rows if row["graph"] == graph})
            crawls = 1 + max(
                row["repetition"] for row in rows if row["graph"] == graph and row["strategy"] not in ORACLES
            )
            yield f"\n**{title}: {graph}** ({crawls} {'crawl' if crawls == 1 else 'crawls'} each)\n"
            yield "| strategy | " + " | ".join(f"{budget:g} %" for budget in budgets) + " |"
            yield "| --- |" + " --- |" * len(budgets)
            for strategy in strategies:
                values = [
                    [row[measure_] for row in cells[graph, strategy, budget] if measure_ in row] for budget in budgets
                ]
                if any(values):
                    yield f"| {strategy} | " + " | ".join(written(found, measure_) for found in values) + " |"


def ratios(rows: list[dict[str, Any]], *, percent: float = 2.0) -> Iterator[str]:
    """Yield what `core` and `discover` reach of BFS and of the oracles, graph by graph."""
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in rows:
        for measure_ in ("core", "accounts_per_credit"):
            if row["percent"] == percent and measure_ in row:
                found[row["graph"], row["strategy"], measure_].append(row[measure_])
    yield f"\n**times what BFS reaches, and share of what the oracle does, at {percent:g} %**\n"
    yield "| graph | measure | plain rule | page-wise rule | oracle | share of the oracle: plain | page-wise |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for graph in dict.fromkeys(row["graph"] for row in rows):
        for measure_, strategy, oracle in zip(
            ("core", "accounts_per_credit"), ("core", "discover"), ORACLES[:2], strict=True
        ):
            of = {name: found[graph, name, measure_] for name in ("bfs", strategy, f"{strategy} on", oracle)}
            if all(of.values()):
                bfs, plain, paged, best = (mean(values) for values in of.values())
                cells = [f"{value / bfs:.2f}" for value in (plain, paged, best)] + [
                    f"{value / best:.2f}" for value in (plain, paged)
                ]
                yield f"| {graph} | `{strategy}`: {MEASURES[measure_]} | " + " | ".join(cells) + " |"


def scenes(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield how much more of one community its strategy reads than BFS does, from the same seeds in it."""
    cells: dict[tuple[int, float], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["strategy"] in {"community", SCENE} and "members_read" in row:
            cells[row["seeds"], row["percent"]][row["strategy"]].append(row["members_read"])
    yield "\n**members of the seeds' community read: `community` against BFS from the same seeds**\n"
    yield "| seeds | budget | community | bfs | times | crawls each |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for (seeds, percent), by in sorted(cells.items()):
        if len(by) == 2:
            ours, theirs = mean(by["community"]), mean(by[SCENE])
            count = min(map(len, by.values()))
            yield f"| {seeds} | {percent:g} % | {ours:.2f} | {theirs:.2f} | {ours / theirs:.1f} | {count} |"


def calibration(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield how often what came lay within the range that was forecast, over all runs that had a forecast."""
    yield "\n**forecasts that held: share of runs whose outcome lay within low to high (median error)**\n"
    yield "| graph | new accounts | new follows | runs |"
    yield "| --- | --- | --- | --- |"
    graphs = list(dict.fromkeys(row["graph"] for row in rows))
    for graph in [*graphs, "all"]:
        made = [row["foreseen"] for row in rows if row.get("foreseen") and graph in {row["graph"], "all"}]
        if made:
            parts = []
            for of in ("accounts", "edges"):
                held = mean(each[of]["low"] <= each[of]["actual"] <= each[of]["high"] for each in made)
                errors = sorted(abs(each[of]["error"] or 0) for each in made)
                parts.append(f"{held:.2f} ({errors[len(errors) // 2]:.0%})")
            yield f"| {graph} | {' | '.join(parts)} | {len(made)} |"


def written(values: Sequence[float], measure_: str) -> str:
    """Write mean and spread."""
    if not values:
        return "–"
    if measure_ == "out_degree_error":
        return f"{mean(value**2 for value in values) ** 0.5:.2f}"
    spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{mean(values):.2f}{spread}"


BEGIN, END = "<!-- begin: benchmarks/strategies.py table -->", "<!-- end -->"


def write_between_marks(document: Path, text: str) -> None:
    """Put the tables where the document keeps a place for them."""
    if document.exists() and BEGIN in document.read_text():
        head, _, rest = document.read_text().partition(BEGIN)
        _, _, tail = rest.partition(END)
        document.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")


if __name__ == "__main__":
    main()
