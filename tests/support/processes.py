"""The command and the simulator as real processes, and what the simulator truly charged."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"


def edge_list(name: str) -> Path:
    """Return a real edge list; skips the test where the data sets are not beside the repository."""
    path = DATA / name / "edges.tsv.gz"
    if not path.exists():
        pytest.skip(f"the data set {name} is not at {path}")
    return path


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a child: ours without settings and keys, with this repository's packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FOLLOWGRAPH_", "SOCIALFETCH_"))}
    return kept | {"PYTHONPATH": str(ROOT), "SOCIALFETCH_API_KEY": "sfk_test_key_of_the_tests"} | more


def start(arguments: Sequence[str], *, cwd: Path, within: Sequence[str] = (), **more: str) -> subprocess.Popen[str]:
    """Start the command, `within` another one that runs it."""
    return subprocess.Popen(
        [*within, sys.executable, "-m", "cli.main", *arguments],
        cwd=cwd,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def run(arguments: Sequence[str], *, cwd: Path, timeout: float = 600, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    with start(arguments, cwd=cwd, **more) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def until(holds: Callable[[], Any], what: str = "it never came to that", *, seconds: float) -> Any:
    """Wait until a condition holds, for so long at most, and return what it returned."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


def page_of(daemon: subprocess.Popen[str]) -> str:
    """Return the address of a daemon's page; what it says afterwards is read and dropped."""
    assert daemon.stderr is not None
    for line in daemon.stderr:
        if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
            threading.Thread(target=daemon.stderr.read, daemon=True).start()
            return found.group()
    raise AssertionError("it never served a page")


def result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the JSON object of a command that was run with --json."""
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(lines[0])
    return found


class Simulator:
    """A simulator that runs as a process of its own."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str) -> Any:
        """Return the JSON of a free path."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    @property
    def pages(self) -> dict[str, int]:
        """How often each page was charged, by `handle|cursor`."""
        pages: dict[str, int] = self.ask("/_sim/ledger")["pages"]
        return pages

    @property
    def charged(self) -> int:
        """Credits truly charged."""
        charged: int = self.ask("/_sim/ledger")["charged"]
        return charged


@contextmanager
def simulator(*arguments: str, cwd: Path) -> Iterator[Simulator]:
    """Run `followgraph simulate` for as long as the block lasts."""
    process = start(["simulate", *arguments], cwd=cwd)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), process.communicate()
        yield Simulator(url)
    finally:
        process.terminate()
        process.communicate(timeout=60)
