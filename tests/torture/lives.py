"""Processes that are killed: the command, and forked crawls that kill themselves; and the simulator they all ask."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import processes
from task import Task

HERE = Path(__file__).parent
POLL_S = 0.002


KILLED = -9
"""The exit code of a process that got SIGKILL."""


class Broken(Exception):
    """A process hung or ended as it should not: its crawl cannot go on."""


@contextmanager
def simulated_api(graph: Path, *, page_size: int, latency_ms: float, rng_seed: int) -> Iterator[processes.Simulator]:
    """Serve an edge list for as long as the block lasts."""
    settings = ["--page-size", str(page_size), "--latency", str(latency_ms), "--rng-seed", str(rng_seed)]
    with _speaking("simulated_api.py", str(graph), *settings) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url.startswith("http://"):
            raise RuntimeError("the simulated API did not start")
        yield processes.Simulator(url)


def charged(api: processes.Simulator) -> Mapping[str, int]:
    """Return how often each page was charged, once the simulator has taken in what dead processes sent."""
    pages: Mapping[str, int] = api.pages
    while (again := api.pages) != pages:
        pages = again
    return pages


class Forks:
    """Crawls that kill themselves at a commit. Made by `forks`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def live(self, task: Task, *, die: tuple[int, str] | None) -> int:
        """Run one process to its end; returns its exit code, KILLED where it was."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {
            "database": str(task.database),
            "api_url": task.api_url,
            "seeds": task.seeds,
            "budget": task.budget,
            "concurrency": task.concurrency,
            "die": die,
        }
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def forks() -> Iterator[Forks]:
    """Keep a process from which crawls are forked."""
    with _speaking("dying_crawl.py") as process:
        yield Forks(process)


@contextmanager
def _speaking(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script of this folder that ends when its standard input does."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / script), *arguments],
        env=processes.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()


class Command:
    """One process of `followgraph crawl`. Leaving the context ends it, if nothing did."""

    def __init__(self, task: Task, *, stored: int) -> None:
        """Start it over a database in which so many pages are stored."""
        self.said = ""
        """What it wrote on standard error, once it is at its end."""
        self._has_ended = False
        self._stored = stored
        self._database = task.database
        self._log = Path(f"{task.database}-wal")
        self._log_before = self._stamp()
        arguments = ["--db", str(task.database), "--json", "crawl", "--api-url", task.api_url]
        arguments += ["--budget", str(task.budget), "--concurrency", str(task.concurrency)]
        for seed in task.seeds:
            arguments += ["--seed", seed]
        self._started_s = time.perf_counter()
        self._process = processes.start(arguments, cwd=task.database.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._has_ended:
            self.kill()

    def lives_for(self, seconds: float) -> bool:
        """Wait so long; tell whether the process still lives."""
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def wait_for_page(self, *, longest_s: float) -> float | None:
        """Wait for the first newly stored page; returns the seconds since the start, None where it ended before.

        Raises Broken.
        """
        # Nobody may open the file before the process does: whoever is first recovers the write-ahead log.
        while self._stamp() == self._log_before:
            if not self._goes_on(longest_s):
                return None
        uri = f"{self._database.as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5.0)) as conn:
            while self._pages(conn) <= self._stored:
                if not self._goes_on(longest_s):
                    return None
        return time.perf_counter() - self._started_s

    def kill(self) -> int:
        """Send SIGKILL and wait for the end; returns the exit code, KILLED unless it had ended already."""
        self._process.send_signal(signal.SIGKILL)
        return self._ended()

    def end(self, *, longest_s: float) -> int:
        """Wait for its own end; returns the exit code. Raises Broken."""
        try:
            return self._ended(longest_s)
        except subprocess.TimeoutExpired:
            raise Broken(f"a crawl was not at its end after {longest_s:g} s") from None

    def _ended(self, longest_s: float | None = None) -> int:
        _, self.said = self._process.communicate(timeout=longest_s)
        self._has_ended = True
        return int(self._process.returncode)

    def _goes_on(self, longest_s: float) -> bool:
        if time.perf_counter() - self._started_s > longest_s:
            raise Broken(f"a process had stored no page after {longest_s:g} s")
        time.sleep(POLL_S)
        return self._process.poll() is None

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = self._log.stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_size

    @staticmethod
    def _pages(conn: sqlite3.Connection) -> int:
        try:
            return int(conn.execute("SELECT coalesce(sum(pages), 0) FROM runs").fetchone()[0])
        except sqlite3.OperationalError:  # the tables are being made
            return 0
