"""The kill test: crawls of a real graph over real HTTP, killed with SIGKILL again and again, and the books compared.

    make torture                 200 kills at random moments, and one before and one after every commit of small crawls
    make torture KILLS=1000 SEED=7

Prints a table and ends with 1 if a promise was broken. A seed fixes what is crawled and when a kill is tried; the
machine decides what a process is doing at that moment.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import processes
import table
import truth
from books import Books, Tally
from lives import KILLED, Broken, Command, Forks, charged, forks, simulated_api
from task import Task
from truth import Lists

LATENCY_MS = 30.0
PAGE_SIZE = 10
SMALL_LATENCY_MS = 5.0
SMALL_PAGE_SIZE = 3
SMALL_CONCURRENCY = 3
SHARE_EARLY = 0.25
"""Share of the random kills that strike while a process starts and recovers."""
START_S = 1.2
LINGER_S = 0.25
"""The other random kills strike at most so long after the first new page."""
LONGEST_START_S = 300.0
LONGEST_END_S = 600.0
CHAIN_BUDGET = 300
"""Credits of a crawl whose n-th process dies at its n-th commit."""


@dataclass(frozen=True, slots=True)
class Graph:
    """What is crawled: a name for people, its file, its lists."""

    name: str
    path: Path
    lists: Lists


def find_graph(name: str, folder: Path) -> Graph:
    """Return a data set by name, a file by path, or a generated network where the data sets are absent."""
    path = Path(name)
    if not path.exists():
        path = processes.DATA / name / "edges.tsv.gz"
    if not path.exists():
        path, name = _generated(folder / "generated.tsv"), f"generated network, for {name} is not on this machine"
    return Graph(name, path, truth.read(path))


def _generated(path: Path) -> Path:
    from socialfetch.simulator import network

    graph = network.generate(3_000, rng_seed=1)
    with path.open("w") as file:
        for source in range(graph.accounts):
            file.writelines(f"{source}\t{target}\n" for target in graph.following(source)[0])
    return path


def small_graph(folder: Path) -> Graph:
    """Write and return a graph of a few lists, one of three pages, in which everybody is reached from u1."""
    follows = [(1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7), (1, 8), (2, 3), (2, 1), (3, 1), (5, 8), (5, 2)]
    path = folder / "small.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in follows))
    return Graph("small graph", path, truth.read(path))


class Torture:
    """All crawls of one call, counted by how they were killed."""

    def __init__(self, *, folder: Path, rng_seed: int, concurrency: int, budget: int | None) -> None:
        self.at_random = Tally()
        self.before = Tally()
        self.after = Tally()
        self._rng_seed = rng_seed
        self._concurrency = concurrency
        self._budget = budget
        self._databases = (folder / f"{number}.db" for number in itertools.count(1))

    def at_random_moments(self, graph: Graph, kills: int) -> None:
        """Crawl until so many processes were killed, a new crawl from other seeds whenever one is at its end."""
        rng = Random(self._rng_seed)
        long_lists = sorted(name for name, targets in graph.lists.items() if len(targets) > 2 * PAGE_SIZE)
        with simulated_api(graph.path, page_size=PAGE_SIZE, latency_ms=LATENCY_MS, rng_seed=self._rng_seed) as api:
            for number in itertools.count(1):
                left = kills - self.at_random.kills
                if left <= 0:
                    return
                seeds = rng.sample(long_lists, 3)
                whole = truth.pages(truth.reachable(graph.lists, seeds), PAGE_SIZE)
                # By turns a budget that ends the crawl amid its kills, and more than enough.
                budget = self._budget or (whole // 4 if number % 2 else 3 * whole)
                task = self._task(api, seeds, budget=budget, concurrency=self._concurrency)
                with _books(f"crawl {number}", task, api, graph, self.at_random) as books:
                    _under_fire(task, books, rng, left)

    def at_commits(self, graph: Graph, *, every: int) -> None:
        """Kill a crawl at one in so many of its commits, a fresh crawl for each, and let the next process end it."""
        with (
            simulated_api(graph.path, page_size=SMALL_PAGE_SIZE, latency_ms=SMALL_LATENCY_MS, rng_seed=1) as api,
            forks() as forked,
        ):
            for first, (side, tally) in enumerate((("before", self.before), ("after", self.after)), start=1):
                was_killed = True
                for commit in itertools.count(min(first, every), every):
                    task = self._task(api, ["u1"], budget=self._budget or 1000, concurrency=SMALL_CONCURRENCY)
                    with _books(f"{side} commit {commit}", task, api, graph, tally) as books:
                        was_killed = _die(forked, task, books, (commit, side))
                        if not books.is_over:
                            _die(forked, task, books, None)
                    if not was_killed:  # it has fewer commits: all were tried
                        break

    def in_a_chain(self, graph: Graph) -> None:
        """Kill the n-th process of a crawl at its n-th commit, so that recoveries are killed in all their steps."""
        with (
            simulated_api(graph.path, page_size=PAGE_SIZE, latency_ms=LATENCY_MS, rng_seed=1) as api,
            forks() as forked,
        ):
            seed = max(sorted(graph.lists), key=lambda name: len(graph.lists[name]))
            for side, tally in (("before", self.before), ("after", self.after)):
                task = self._task(api, [seed], budget=CHAIN_BUDGET, concurrency=self._concurrency)
                with _books(f"chain {side} commits", task, api, graph, tally) as books:
                    for commit in itertools.count(1):
                        if books.is_over:
                            break
                        _die(forked, task, books, (commit, side))

    def _task(self, api: processes.Simulator, seeds: Sequence[str], *, budget: int, concurrency: int) -> Task:
        return Task(
            database=next(self._databases), api_url=api.url, seeds=seeds, budget=budget, concurrency=concurrency
        )


@contextmanager
def _books(name: str, task: Task, api: processes.Simulator, graph: Graph, tally: Tally) -> Iterator[Books]:
    """Keep the books of one crawl, closed at its end, and add them to a tally."""
    books = Books(name, task, lambda: charged(api), graph.lists)
    try:
        yield books
        books.close()
    except Broken as broken:
        books.note(str(broken))
        raise
    finally:
        tally.add(books.tally)


def _under_fire(task: Task, books: Books, rng: Random, kills: int) -> None:
    """Start the command until the crawl is done, and kill it while there are kills left. Raises Broken."""
    while not books.is_over:
        is_early = rng.random() < SHARE_EARLY
        pause_s = rng.uniform(0.0, START_S if is_early else LINGER_S)
        may_kill = books.tally.kills < kills
        with Command(task, stored=books.pages) as command:
            if is_early and may_kill:
                lives = command.lives_for(pause_s)
            else:
                seconds = command.wait_for_page(longest_s=LONGEST_START_S)
                if seconds is not None and books.tally.kills:
                    books.tally.seconds.append(seconds)
                lives = seconds is not None and command.lives_for(pause_s)
            code = command.kill() if lives and may_kill else command.end(longest_s=LONGEST_END_S)
        _look(books, code, command.said)


def _die(forked: Forks, task: Task, books: Books, die: tuple[int, str] | None) -> bool:
    """Run one forked process and compare the books; returns whether it was killed. Raises Broken."""
    code = forked.live(task, die=die)
    _look(books, code, "its traceback is above")
    return code == KILLED


def _look(books: Books, code: int, said: str) -> None:
    books.look(killed=code == KILLED)
    _progress(f"{books.name}: {books.tally.kills} kills, {books.pages} pages")
    if code not in {0, KILLED}:
        raise Broken(f"a process ended with exit code {code}: {said.strip()[-400:]}")


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def main() -> int:
    """Run the kill test; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="kills at random moments; those at commits come on top")
    parser.add_argument("--seed", type=int, default=1, help="fixes seeds, budgets and the moments of kills")
    parser.add_argument("--concurrency", type=int, default=20, help="requests in flight at most")
    parser.add_argument("--graph", default="wiki-vote", help="a data set's name or the path of an edge list")
    parser.add_argument("--budget", type=int, help="credits of each crawl; else by turns too few and plenty")
    parser.add_argument(
        "--commits",
        choices=["all", "few", "none"],
        default="all",
        help="crawls die at each commit of a small and in a chain of a large one, at a third of the small's, at none",
    )
    parser.add_argument("--go-on", type=float, default=2.0, help="seconds to go on that the median must stay below")
    asked = parser.parse_args()
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="followgraph-torture-") as name:
        folder = Path(name)
        graph = find_graph(asked.graph, folder)
        torture = Torture(folder=folder, rng_seed=asked.seed, concurrency=asked.concurrency, budget=asked.budget)
        with suppress(Broken):  # it stands in the findings
            torture.at_random_moments(graph, asked.kills)
            if asked.commits != "none":
                torture.at_commits(small_graph(folder), every=3 if asked.commits == "few" else 1)
            if asked.commits == "all":
                torture.in_a_chain(graph)
        _progress("")
    columns = {
        "at random moments": torture.at_random,
        "before a commit": torture.before,
        "after a commit": torture.after,
    }
    minutes, seconds = divmod(round(time.perf_counter() - began_s), 60)
    follows = sum(map(len, graph.lists.values()))
    sys.stdout.write(
        table.text(
            columns,
            about=f"{graph.name} ({follows:,} follows) · {PAGE_SIZE} accounts a page"
            f" · {asked.concurrency} requests in flight · seed {asked.seed}"
            f" · {minutes} min {seconds} s on {os.cpu_count()} cores"
            f" · Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
            go_on_s=asked.go_on,
            again=_again(asked),
        )
    )
    return 1 if any(tally.is_broken(asked.go_on) for tally in columns.values()) else 0


def _again(asked: argparse.Namespace) -> str:
    """Return the command that does the same again."""
    words = [f"make torture KILLS={asked.kills} SEED={asked.seed}"]
    usual = {"concurrency": 20, "graph": "wiki-vote", "budget": None, "commits": "all"}
    more = [f"--{name} {getattr(asked, name)}" for name, value in usual.items() if getattr(asked, name) != value]
    return " ".join([*words, f"MORE='{' '.join(more)}'"] if more else words)


if __name__ == "__main__":
    sys.exit(main())
