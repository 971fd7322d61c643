"""The command against the simulator, as processes over real HTTP: budgets, kills, signals, real graphs."""

from __future__ import annotations

import gzip
import random
import signal
import time
from pathlib import Path

import pytest
from processes import edge_list, environment, result, run, simulator, start
from rehearsal import edges, findings, rows, state


def true_edges(path: Path) -> dict[str, set[str]]:
    """Return whom each account follows, by the file."""
    lists: dict[str, set[str]] = {}
    with gzip.open(path, "rt") as file:
        for line in file:
            source, target = line.split()
            if source != target:
                lists.setdefault(f"u{source}", set()).add(f"u{target}")
    return lists


def reachable(lists: dict[str, set[str]], seeds: list[str]) -> set[tuple[str, str]]:
    """Return every follow that a crawl to the end must store."""
    seen, waiting = set(seeds), list(seeds)
    found = set()
    while waiting:
        source = waiting.pop()
        for target in lists.get(source, ()):
            found.add((source, target))
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    return found


def test_a_budget_on_a_large_real_graph(tmp_path: Path) -> None:
    """2,000 credits on soc-slashdot0902: both ledgers say 2,000, stored follows are true, pages bought once."""
    graph = edge_list("soc-slashdot0902")
    lists = true_edges(graph)
    with simulator("--graph", str(graph), "--credits", "100000", cwd=tmp_path) as api:
        done = run(
            ["--json", "crawl", "--seed", "u77", "--seed", "u1000", "--seed", "u5", "--budget", "2000"]
            + ["--strategy", "flow", "--api-url", api.url],
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        outcome = result(done)
        assert outcome["stop_reason"] == "budget_exhausted"
        assert outcome["credits"] == {"budget": 2000, "charged": 2000, "uncertain": 0, "reserved": 0, "remaining": 0}
        assert api.charged == 2000
        assert set(api.pages.values()) == {1}
    database = tmp_path / "followgraph.db"
    assert rows(database, "SELECT sum(charged), sum(uncertain), count(*) FROM ledger") == [(2000, 0, 2000)]
    assert rows(database, "SELECT count(*) FROM archive") == [(2000,)]
    stored = edges(database)
    assert len(stored) == outcome["edges"]
    assert all(target in lists[source] for source, target in stored)
    assert findings(database) == []


def test_a_crawl_to_the_end_of_a_real_follow_graph(tmp_path: Path) -> None:
    """timme-p20-50-follow: exactly the follows that a search over the file reaches from the seed are stored."""
    graph = edge_list("timme-p20-50-follow")
    lists = true_edges(graph)
    seed = min((source for source, targets in lists.items() if len(targets) > 50), key=lambda name: int(name[1:]))
    with simulator("--graph", str(graph), cwd=tmp_path) as api:
        done = run(
            ["--json", "crawl", "--seed", seed, "--budget", "100000", "--concurrency", "50", "--api-url", api.url],
            cwd=tmp_path,
        )
        assert result(done)["stop_reason"] == "frontier_empty", done.stderr
        assert set(api.pages.values()) == {1}
    database = tmp_path / "followgraph.db"
    assert edges(database) == reachable(lists, [seed])
    assert state(database).frontier["queued"] == 0


def test_ten_kills_lose_nothing(tmp_path: Path) -> None:
    """kill -9 ten times in one run: no stored page bought twice, no hole, budget kept, in-flight pages uncertain."""
    rng = random.Random(5)
    database = tmp_path / "followgraph.db"
    budget, concurrency = 3000, 20
    with simulator("--accounts", "4000", "--latency", "20", "--rng-seed", "2", cwd=tmp_path) as api:
        common = ["--json", "crawl", "--seed", "u1", "--seed", "u2", "--concurrency", str(concurrency)]
        common += ["--api-url", api.url]
        crawl = [*common, "--budget", str(budget)]
        for kill in range(10):
            process = start(crawl, cwd=tmp_path)
            before = state(database).pages if database.exists() else 0
            deadline = time.monotonic() + 120.0  # on a busy machine; idle it is one
            while True:  # no lease is waited for: this process stores a page of its own
                assert time.monotonic() < deadline, f"kill {kill}: no page within 120 s"
                if database.exists() and database.stat().st_size and _pages(database) > before:
                    break
                time.sleep(0.02)
            time.sleep(rng.uniform(0.0, 0.3))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            stored = _stored_pages(database)
            charged = api.pages
            in_flight = {page for page in charged if page not in stored}
            assert len(in_flight) <= concurrency * (kill + 1)
        done = run(crawl, cwd=tmp_path)
        outcome = result(done)
        assert outcome["stop_reason"] == "budget_exhausted", done.stderr
        assert api.charged <= budget
        credits = outcome["credits"]
        assert credits["charged"] + credits["uncertain"] == budget
        assert credits["charged"] <= api.charged <= credits["charged"] + credits["uncertain"]
        # A page was bought twice only if its first answer was in flight at a kill and therefore never stored.
        suspects = _suspects(database)
        twice = {page for page, times in api.pages.items() if times > 1}
        assert twice <= suspects
        assert all(api.pages[page] - 1 <= 10 for page in twice)
    assert findings(database) == []
    # no hole: what was read to its end has all its pages, and everything else waits
    assert rows(database, "SELECT count(*) FROM frontier WHERE state = 1") == [(0,)]


def _pages(database: Path) -> int:
    try:
        return state(database).pages
    except Exception:  # the file is being made
        return 0


def _stored_pages(database: Path) -> set[str]:
    found = rows(
        database,
        "SELECT a.handle || '|' || l.cursor FROM ledger l JOIN accounts a ON a.id = l.account_id "
        "WHERE outcome = 'settled'",
    )
    return {row[0] for row in found}


def _suspects(database: Path) -> set[str]:
    found = rows(
        database,
        "SELECT a.handle || '|' || l.cursor FROM ledger l JOIN accounts a ON a.id = l.account_id "
        "WHERE cause = 'process_died'",
    )
    return {row[0] for row in found}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains(tmp_path: Path, number: signal.Signals) -> None:
    """The first Ctrl-C or SIGTERM stores what is in flight and exits with 0; going on buys nothing twice."""
    database = tmp_path / "followgraph.db"
    with simulator("--accounts", "2000", "--latency", "50", cwd=tmp_path) as api:
        crawl = ["--json", "crawl", "--seed", "u1", "--budget", "300", "--api-url", api.url]
        process = start(crawl, cwd=tmp_path)
        while _pages(database) < 20:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert '"stop_reason": "interrupted"' in out
        stopped = state(database)
        assert stopped.uncertain == 0
        assert stopped.frontier["leased"] == 0
        assert stopped.charged == api.charged < 300
        done = run(["--json", "crawl", "--api-url", api.url], cwd=tmp_path)
        assert result(done)["credits"]["charged"] == 300
        assert api.charged == 300
        assert set(api.pages.values()) == {1}


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """Two signals abandon what is in flight with exit code 130; the next crawl lists it as uncertain."""
    database = tmp_path / "followgraph.db"
    with simulator("--accounts", "2000", "--latency", "3000", cwd=tmp_path) as api:
        process = start(["crawl", "--seed", "u1", "--seed", "u2", "--budget", "50", "--api-url", api.url], cwd=tmp_path)
        while not (database.exists() and _leased(database)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130, err
        assert "Traceback" not in err
        done = run(["--json", "crawl", "--deadline", "1s", "--api-url", api.url], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert rows(database, "SELECT count(*) FROM ledger WHERE cause = 'process_died'") == [(1,)]


def _leased(database: Path) -> int:
    try:
        return state(database).frontier["leased"]
    except Exception:  # the file is being made
        return 0


def test_a_second_crawl_is_refused_while_one_runs(tmp_path: Path) -> None:
    """A second crawl on the same database ends with exit code 5 and one clear sentence; the first one is untouched."""
    database = tmp_path / "followgraph.db"
    with simulator("--accounts", "2000", "--latency", "400", cwd=tmp_path) as api:
        slow = ["--concurrency", "2", "--api-url", api.url]
        first = start(["crawl", "--seed", "u1", "--budget", "60", *slow], cwd=tmp_path)
        while _pages(database) < 2:
            assert first.poll() is None, first.communicate()
            time.sleep(0.02)
        second = run(["crawl", "--seed", "u2", "--budget", "60", "--api-url", api.url], cwd=tmp_path)
        assert second.returncode == 5
        assert "another crawl works on" in second.stderr
        assert "Traceback" not in second.stderr
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=120)
        assert first.returncode == 0
        assert "u2|" not in api.pages


def test_the_key_is_nowhere(tmp_path: Path) -> None:
    """After a crawl with debug logs the key is in no file and no output."""
    key = "sfk_live_0123456789abcdefSECRET"
    with simulator("--accounts", "300", "--key", key, cwd=tmp_path) as api:
        done = run(
            ["--log-level", "debug", "crawl", "--seed", "u1", "--budget", "30", "--api-url", api.url],
            cwd=tmp_path,
            SOCIALFETCH_API_KEY=key,
        )
        assert done.returncode == 0, done.stderr
        assert key not in done.stdout + done.stderr
        for file in tmp_path.iterdir():
            assert key.encode() not in file.read_bytes(), file.name
    assert "SECRET" not in str(environment())


def test_a_crawl_with_nothing_left_to_spend_ends_at_once(tmp_path: Path) -> None:
    """A budget lowered to what is spent ends the run at once, though accounts wait and many workers look for work."""
    with simulator("--accounts", "300", "--credits", "40", cwd=tmp_path) as api:
        crawl = ["--json", "crawl", "--seed", "u1", "--api-url", api.url, "--budget"]
        assert result(run([*crawl, "50"], cwd=tmp_path))["stop_reason"] == "insufficient_credits"
        done = run([*crawl, "40"], cwd=tmp_path, timeout=120)
        assert result(done)["stop_reason"] == "budget_exhausted", done.stderr
