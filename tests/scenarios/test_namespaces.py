"""A crawler on a machine of its own, whose cable is pulled: a network namespace with one link to the others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import rehearsal
from postgres_server import Postgres
from processes import ROOT, result, run, simulator, start
from proxy import Network
from storages import empty

HERE, THERE = "10.231.77.1", "10.231.77.2"


def ip(*arguments: str) -> None:
    """Run `ip`."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)


class Cable:
    """The link to a namespace."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.within = ["ip", "netns", "exec", name]

    def pull(self) -> None:
        """Let nothing through, and tell nobody: packets are lost."""
        ip("link", "set", f"{self.name}a", "down")

    def plug(self) -> None:
        """Let everything through again."""
        ip("link", "set", f"{self.name}a", "up")


@contextmanager
def namespace() -> Iterator[Cable]:
    """Make a namespace for as long as the block lasts; skips the test where the machine does not allow it."""
    name = f"fg{os.getpid() % 100_000}"
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip` on this machine")
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces cannot be made here: {error.stderr.decode(errors='replace').strip()}")
    try:
        try:
            ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
            ip("addr", "add", f"{HERE}/30", "dev", f"{name}a")
            ip("netns", "exec", name, "ip", "addr", "add", f"{THERE}/30", "dev", f"{name}b")
            ip("netns", "exec", name, "ip", "link", "set", f"{name}b", "up")
            ip("netns", "exec", name, "ip", "link", "set", "lo", "up")
            ip("link", "set", f"{name}a", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no link to a namespace can be made here: {error.stderr.decode(errors='replace').strip()}")
        yield Cable(name)
    finally:
        ip("netns", "del", name)  # its link goes with it


@contextmanager
def forwarded(cable: Cable, port: int) -> Iterator[str]:
    """Return an address within the namespace that leads to this port outside of it."""
    command = [*cable.within, sys.executable, str(ROOT / "tests" / "support" / "proxy.py"), HERE, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def test_a_crawler_whose_cable_is_pulled_loses_its_leases_and_comes_back(postgres: Postgres, tmp_path: Path) -> None:
    """Cut off from the provider and the database at once, for longer than it may be silent: the other goes on alone,
    the budget is exact, and every credit that the provider charged is in the books."""
    with ExitStack() as stack:
        cable = stack.enter_context(namespace())
        database = postgres.fresh(of=empty(postgres))
        api = stack.enter_context(simulator("--accounts", "5000", "--latency", "80", cwd=tmp_path))
        port = urlsplit(api.url).port
        assert port is not None
        to_database = stack.enter_context(Network(postgres.port, host=HERE).up())
        to_api = stack.enter_context(Network(port, host=HERE).up())
        near = ["--db", postgres.url(database)]
        far = ["--db", postgres.url(database, port=to_database.port).replace("127.0.0.1", HERE)]
        asked = ["crawl", "--json", "--concurrency", "8", "--rate", "60"]
        run([*near, "seed", "u1", "u2", "u3"], cwd=tmp_path)
        first = start([*near, *asked, "--budget", "2500", "--api-url", api.url], cwd=tmp_path)
        second = None
        try:
            while api.charged < 20:
                assert first.poll() is None
                time.sleep(0.1)
            # No key goes over plain HTTP to another machine: on the crawler's own one a proxy leads to the API.
            away = stack.enter_context(forwarded(cable, to_api.port))
            second = start([*far, *asked, "--api-url", away], cwd=tmp_path, within=cable.within)
            at_work = "SELECT count(*) FROM processes WHERE ended_at IS NULL"
            deadline = time.monotonic() + 60
            while postgres.ask(database, at_work) != [(2,)]:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            time.sleep(2)
            cable.pull()
            # Where the cable went in the middle of a transaction, the server first has to end that.
            deadline = time.monotonic() + 180
            # The other may have nothing left to buy by then, and end at once.
            while postgres.ask(database, at_work) == [(2,)]:
                assert time.monotonic() < deadline, "the silent one was never taken for dead"
                time.sleep(0.2)
            cable.plug()
            outcomes = [json.loads(process.communicate(timeout=120)[0]) for process in (first, second)]
        finally:
            for process in (first, second):
                if process is not None and process.poll() is None:
                    process.kill()
                    process.communicate(timeout=30)
        pages, charged = api.pages, api.charged
    assert {outcome["stop_reason"] for outcome in outcomes} == {"budget_exhausted"}
    status = result(run([*near, "status", "--json"], cwd=tmp_path))["totals"]
    assert status["charged"] <= charged <= status["charged"] + status["uncertain"] <= 2500
    in_doubt = postgres.ask(database, "SELECT count(*) FROM ledger WHERE outcome = 'uncertain'")[0][0]
    assert in_doubt > 0, "nothing was in flight when the cable was pulled"
    again = sum(count - 1 for count in pages.values())
    assert again <= in_doubt, "only what was in doubt was bought again"
    assert rehearsal.findings(near[1]) == []
    postgres.drop(database)
