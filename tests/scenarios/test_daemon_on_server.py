"""A daemon on a database server: other crawlers take part in its day, and one page shows them all."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import processes
import rehearsal
from aftermath import ending
from postgres_server import Postgres
from processes import page_of, result, run, simulator, start
from storages import empty

PER_DAY = 450

until = partial(processes.until, seconds=60.0)


def test_a_day_is_shared_with_crawls_and_exact(postgres: Postgres, tmp_path: Path) -> None:
    """A daemon's day is spent by everybody together and never passed; one page, one drain and one doctor for all."""
    database = postgres.fresh(of=empty(postgres))
    url = postgres.url(database)
    at = ["--db", url]
    with simulator("--accounts", "5000", "--latency", "60", cwd=tmp_path) as api:
        run([*at, "seed", "u1", "u2", "u3"], cwd=tmp_path)
        # Half a minute for a day, so that the crawl is in time for it.
        same = ["--json", "--concurrency", "10", "--rate", "15", "--api-url", api.url]
        life = ["daemon", *same, "--budget-per-day", str(PER_DAY)]
        with ending(start([*at, *life, "--listen", "127.0.0.1:0"], cwd=tmp_path)) as daemon:
            page = page_of(daemon)

            def state() -> dict[str, Any]:
                with urllib.request.urlopen(f"{page}api/state", timeout=30) as answer:
                    found: dict[str, Any] = json.load(answer)
                return found

            until(lambda: bool(state()["crawlers"]), "the daemon never crawled")
            crawl = start([*at, "crawl", *same], cwd=tmp_path)
            with ending(crawl):
                until(lambda: len(state()["crawlers"]) == 2, "the crawl never took part")
                second = run([*at, *life, "--listen", "127.0.0.1:0"], cwd=tmp_path)
                assert second.returncode == 5
                assert "another daemon works on this database" in second.stdout + second.stderr
                out, _ = crawl.communicate(timeout=60)
            assert json.loads(out)["stop_reason"] == "budget_exhausted"
            until(lambda: state()["live"]["state"] == "day_done", "the day never ended")
            until(lambda: state()["crawlers"] == [], "who has ended is at work")  # readings are made every few seconds
            for more, words in (
                ((), "nothing to spend just now: the day's budget is used up"),
                (("--budget", "50"), "takes part in that"),
            ):
                own = run([*at, "crawl", *same, *more], cwd=tmp_path)
                assert own.returncode == 2
                assert words in own.stdout + own.stderr
            with urllib.request.urlopen(f"{page}metrics", timeout=30) as answer:
                metrics = answer.read().decode()
            assert "followgraph_crawlers 0.0" in metrics
            assert f"followgraph_credits_used {float(PER_DAY)}" in metrics
            run([*at, "drain"], cwd=tmp_path)
            daemon.communicate(timeout=60)
            assert daemon.returncode == 0
        assert api.charged == PER_DAY
        assert sum(api.pages.values()) == len(api.pages) == PER_DAY, "no page was bought twice"
    status = result(run([*at, "status", "--json"], cwd=tmp_path))
    assert status["totals"]["charged"] == PER_DAY
    assert rehearsal.findings(url) == []
    postgres.drop(database)


def test_orders_reach_the_daemon_and_its_crew(postgres: Postgres, tmp_path: Path) -> None:
    """Pause stops everybody's requests, resume lets all go on, drain ends all: whoever sees the order first."""
    database = postgres.fresh(of=empty(postgres))
    at = ["--db", postgres.url(database)]
    with simulator("--accounts", "5000", "--latency", "60", cwd=tmp_path) as api:
        run([*at, "seed", "u1", "u2", "u3"], cwd=tmp_path)
        same = ["--json", "--concurrency", "4", "--rate", "60", "--api-url", api.url]
        life = [*at, "daemon", *same, "--budget-per-day", "1000000", "--listen", "127.0.0.1:0"]
        with ending(start(life, cwd=tmp_path)) as daemon:
            page_of(daemon)
            until(lambda: api.charged > 20, "the daemon never crawled")
            with ending(start([*at, "crawl", *same], cwd=tmp_path)) as crawl:

                def at_work() -> int:
                    [(count,)] = postgres.ask(database, "SELECT count(*) FROM processes WHERE ended_at IS NULL")
                    return int(count)

                until(lambda: at_work() == 2, "the crawl never took part")
                run([*at, "pause"], cwd=tmp_path)
                until(lambda: at_work() == 1, "the daemon never paused")
                time.sleep(3)  # the crawl looks for orders each second
                before = api.charged
                time.sleep(2)
                assert api.charged == before
                run([*at, "resume"], cwd=tmp_path)
                until(lambda: at_work() == 2 and api.charged > before, "nobody went on")
                run([*at, "drain"], cwd=tmp_path)
                for process in (crawl, daemon):
                    out, _ = process.communicate(timeout=60)
                    assert process.returncode == 0
                    assert json.loads(out)["stop_reason"] == "interrupted"
        charged = api.charged
    status = result(run([*at, "status", "--json"], cwd=tmp_path))
    assert (status["totals"]["charged"], status["totals"]["uncertain"]) == (charged, 0)
    postgres.drop(database)


def test_a_killed_daemon_is_followed_by_another(postgres: Postgres, tmp_path: Path) -> None:
    """What it had in flight is uncertain and bought again; its day goes on under the next one, exact as before."""
    database = postgres.fresh(of=empty(postgres))
    at = ["--db", postgres.url(database)]
    with simulator("--accounts", "5000", "--latency", "60", cwd=tmp_path) as api:
        run([*at, "seed", "u1", "u2", "u3"], cwd=tmp_path)
        life = [*at, "daemon", "--json", "--budget-per-day", "400", "--concurrency", "10", "--api-url", api.url]
        with ending(start([*life, "--listen", "127.0.0.1:0"], cwd=tmp_path)) as daemon:
            page_of(daemon)
            until(lambda: api.charged > 50, "the daemon never crawled")
            daemon.send_signal(signal.SIGKILL)
            daemon.communicate(timeout=60)
        # A minute later by the server's clock.
        postgres.run_in(database, "UPDATE daemon SET heartbeat_at = heartbeat_at - 61")
        postgres.run_in(database, "UPDATE processes SET heartbeat_at = heartbeat_at - 61")
        with ending(start([*life, "--listen", "127.0.0.1:0"], cwd=tmp_path)) as daemon:
            page_of(daemon)

            def used() -> int:
                [(credits,)] = postgres.ask(database, "SELECT sum(charged + uncertain) FROM runs")
                return int(credits)

            until(lambda: used() == 400, "the day was not spent")
            run([*at, "drain"], cwd=tmp_path)
            daemon.communicate(timeout=60)
        charged = api.charged
    found = result(run([*at, "status", "--json"], cwd=tmp_path))["totals"]
    assert found["charged"] <= charged <= 400 == found["charged"] + found["uncertain"]
    postgres.drop(database)
