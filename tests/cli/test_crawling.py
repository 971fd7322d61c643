"""`followgraph crawl` and `demo`: what a person and a script are told."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import result, run, simulator


def test_a_refused_key_is_told_once_and_nothing_is_bought(tmp_path: Path) -> None:
    """Exit code 3, one JSON object with the stop reason and the error, and no word of the key."""
    with simulator("--accounts", "200", "--key", "sfk_right", cwd=tmp_path) as api:
        done = run(["--json", "crawl", "--seed", "u1", "--budget", "10", "--api-url", api.url], cwd=tmp_path)
        assert done.returncode == 3
        told = result(done)
        assert told["stop_reason"] == "unauthorized"
        assert told["error"]["code"] == "unauthorized"
        assert "Still waiting: 1 account." in told["error"]["meaning"]
        assert "sfk_test_key" not in done.stdout + done.stderr
        assert api.charged == 0


def test_a_crawl_without_a_key_goes_to_this_machine_only(tmp_path: Path) -> None:
    """A rehearsal needs no key; the real API does, and says so before anything is opened."""
    with simulator("--accounts", "200", cwd=tmp_path) as api:
        arguments = ["--json", "crawl", "--seed", "u1", "--budget", "5"]
        done = run([*arguments, "--api-url", api.url], cwd=tmp_path, SOCIALFETCH_API_KEY="")
        assert result(done)["credits"]["charged"] == 5
    refused = run(arguments, cwd=tmp_path, SOCIALFETCH_API_KEY="")
    assert refused.returncode == 2
    assert result(refused)["error"]["code"] == "no_key"


def test_an_api_that_is_not_there(tmp_path: Path) -> None:
    """Exit code 4, nothing bought, the seeds still waiting."""
    done = run(["--json", "crawl", "--seed", "u1", "--budget", "5", "--api-url", "http://127.0.0.1:9"], cwd=tmp_path)
    assert done.returncode == 4
    assert result(done)["stop_reason"] == "unreachable"


def test_a_crawl_needs_a_budget_and_a_seed(tmp_path: Path) -> None:
    """Both are asked for by name, with exit code 2."""
    with simulator("--accounts", "200", cwd=tmp_path) as api:
        no_seed = run(["--json", "crawl", "--budget", "5", "--api-url", api.url], cwd=tmp_path)
        assert (no_seed.returncode, result(no_seed)["error"]["code"]) == (2, "no_seeds")
        assert not list(tmp_path.glob("*.db*"))  # "nothing was changed": no empty database is left
        no_budget = run(["--json", "crawl", "--seed", "u1", "--api-url", api.url], cwd=tmp_path)
        assert (no_budget.returncode, result(no_budget)["error"]["code"]) == (2, "no_budget")
        assert not list(tmp_path.glob("*.db*"))
        assert run(["seed", "u2"], cwd=tmp_path).returncode == 0
        assert run(["crawl", "--seed", "u1", "--api-url", api.url], cwd=tmp_path).returncode == 2
        assert result(run(["--json", "status"], cwd=tmp_path))["accounts"]["known"] == 1  # nor a seed in an old one
        assert api.charged == 0


def test_a_crawl_says_what_it_may_spend_and_why_it_stopped(tmp_path: Path) -> None:
    """Budget, balance and worst case stand on standard error before the crawl, reason and result on standard output."""
    with simulator("--accounts", "300", "--credits", "40", cwd=tmp_path) as api:
        done = run(
            ["--log-format", "console", "crawl", "--seed", "u1", "--budget", "50", "--api-url", api.url], cwd=tmp_path
        )
        assert done.returncode == 3, done.stderr
        assert "50 credits (from --budget)" in done.stderr
        assert "40 credits at 127.0.0.1" in done.stderr
        assert "below what the budget allows" in done.stderr
        assert "stopped because: the provider's balance is used up" in done.stdout
        again = run(["crawl", "--seed", "u1", "--budget", "40", "--api-url", api.url], cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        assert "stopped because: budget reached (40 credits, from --budget)." in again.stdout


def test_a_stop_by_two_caps_says_of_each_where_it_was_set(tmp_path: Path) -> None:
    """One of them may come from the command line and the other from the file."""
    (tmp_path / "config.toml").write_text("[budget]\nper_depth = [6, 4]\n")
    with simulator("--accounts", "300", cwd=tmp_path) as api:
        flags = ["--seed", "u1", "--budget", "300", "--budget-per-seed", "20"]
        done = run(["crawl", *flags, "--seed", "u2", "--api-url", api.url], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "budget.per_seed = 20 from --budget-per-seed" in done.stdout
    assert "budget.per_depth = 6,4 from config.toml" in done.stdout


def test_a_deadline_that_comes_when_the_day_is_spent_names_both(tmp_path: Path) -> None:
    """More time would have bought nothing, and whoever reads it knows; logs have the two settings apart."""
    (tmp_path / "config.toml").write_text("[budget]\nper_day = 1000\n")
    with simulator("--accounts", "300", cwd=tmp_path) as api:
        crawl = ["--log-format", "json", "crawl", "--seed", "u1", "--budget", "300", "--api-url", api.url]
        for more, told, setting in (
            (
                ["--deadline", "2s", "--budget-per-day", "3"],
                "2 s are over; this day's 3 credits were used up before, so that more time helps from tomorrow on only,"
                " crawl.deadline from --deadline, budget.per_day = 3 from --budget-per-day",
                ["crawl.deadline", "budget.per_day"],
            ),
            (["--deadline", "0.01s", "--concurrency", "1"], "0.01 s are over, from --deadline", "crawl.deadline"),
        ):
            done = run([*crawl, *more], cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert f"stopped because: time is up ({told})." in done.stdout
            events = [json.loads(line) for line in done.stderr.splitlines()]
            [stopped] = [event for event in events if event["event"] == "run.stopped"]
            assert (stopped["reason"], stopped["setting"]) == ("deadline", setting)


def test_a_budget_that_was_raised_meanwhile_is_not_the_flags(tmp_path: Path) -> None:
    """The line says that it was changed; what was asked for was less."""
    with simulator("--accounts", "300", "--latency", "150", cwd=tmp_path) as api:
        command = ["crawl", "--seed", "u1", "--budget", "30", "--concurrency", "2", "--api-url", api.url]
        with ThreadPoolExecutor(1) as pool:
            crawling = pool.submit(run, command, cwd=tmp_path)
            while api.charged < 5:
                time.sleep(0.05)
            assert run(["budget", "add", "10"], cwd=tmp_path).returncode == 0
            done = crawling.result()
    assert "stopped because: budget reached (40 credits, of run 1, changed while it ran)." in done.stdout


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        ("--retry-reserve 20", "budget.retry_reserve = 20 from --retry-reserve keeps the {} back; lower it"),
        ("--budget-per-seed 5", "budget.per_seed = 5 from --budget-per-seed keeps the {} back; raise it"),
        (
            "--budget-per-seed 20 --budget-per-depth 6,4",
            "budget.per_seed = 20 from --budget-per-seed and budget.per_depth = 6,4 from --budget-per-depth keep the {}"
            " back; raise them",
        ),
    ],
)
def test_a_crawl_that_may_buy_nothing_says_which_setting_keeps_it_from_that(
    tmp_path: Path, flags: str, kept: str
) -> None:
    """A run that its own settings ended goes on in vain while they stand: it ends as before, and a warning says why."""
    with simulator("--accounts", "300", cwd=tmp_path) as api:
        crawl = ["--json", "--log-format", "console", "crawl", "--api-url", api.url, *flags.split()]
        first = run([*crawl, "--seed", "u1", "--seed", "u2", "--budget", "60"], cwd=tmp_path)
        again = run(crawl, cwd=tmp_path)
    assert "nothing was bought" not in first.stderr
    assert again.returncode == 0, again.stderr
    told = result(again)
    assert (told["run_id"], told["stop_reason"]) == (1, "budget_exhausted")
    assert told["credits"] == result(first)["credits"]
    words = kept.format(f"{told['credits']['remaining']} credits left of run 1")
    assert f"WARN     nothing was bought: {words} to go on\n" in again.stderr


def test_a_run_that_goes_on_names_its_own_budget(tmp_path: Path) -> None:
    """A budget that nobody gave this time is the run's, not a default; a preflight that failed has no run's figures."""
    with simulator("--accounts", "300", "--credits", "10", cwd=tmp_path) as api:
        first = run(["crawl", "--seed", "u1", "--budget", "20", "--api-url", api.url], cwd=tmp_path)
        assert first.returncode == 3, first.stderr
    failed = run(["--json", "crawl", "--api-url", "http://127.0.0.1:9"], cwd=tmp_path)
    told = result(failed)
    assert (told["run_id"], told["credits"]["charged"], told["pages"]) == (None, 0, 0)
    assert told["totals"]["charged"] == 10
    with simulator("--accounts", "300", cwd=tmp_path) as api:
        done = run(["--log-format", "console", "crawl", "--api-url", api.url], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "20 credits (of run 1)" in done.stderr
        assert "(20 credits, of run 1)" in done.stdout
        assert "default" not in done.stdout + done.stderr


def test_what_to_type_next_works_as_it_stands(tmp_path: Path) -> None:
    """The next command names the same database, and after a cut-off run it is the crawl that goes on."""
    with simulator("--accounts", "300", "--credits", "10", cwd=tmp_path) as api:
        crawl = ["--db", "my study.db", "crawl", "--seed", "u1", "--api-url", api.url, "--budget"]
        done = run([*crawl, "20"], cwd=tmp_path)
        assert done.returncode == 3, done.stderr
        assert f"followgraph crawl --api-url {api.url} --db 'my study.db'" in done.stdout
        assert "followgraph report --db 'my study.db'" in done.stdout
        # It goes on under the same terms: without them it would spend as nobody asked it to.
        terms = [
            "--strategy",
            "rank",
            "--control",
            "0.3",
            "--budget-per-seed",
            "60",
            "--budget-per-depth",
            "9,30",
            "--verified",
            "--region",
            "DE",
        ]
        done = run([*crawl, "20", *terms, "--region", "AT"], cwd=tmp_path)
        assert done.returncode == 3, done.stderr
        words = "--strategy rank --control 0.3 --budget-per-seed 60 --budget-per-depth 9,30 --region DE --region AT"
        assert f"followgraph crawl {words} --verified --api-url {api.url} --db 'my study.db'" in done.stdout
        done = run([*crawl, "10"], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "followgraph crawl" not in done.stdout
        assert "followgraph report --db 'my study.db'" in done.stdout


def test_the_demo_refuses_what_it_would_pass_over(tmp_path: Path) -> None:
    """A database for the demo is refused, and its flags are named as it names them."""
    done = run(["--db", "x.db", "demo"], cwd=tmp_path)
    assert done.returncode == 2
    assert "--dir" in done.stderr
    done = run(["demo", "--seed-rng", "-1"], cwd=tmp_path)
    assert done.returncode == 2
    assert "--seed-rng is -1" in done.stderr
    assert not list(tmp_path.iterdir())


def test_logs_elsewhere_are_json_lines(tmp_path: Path) -> None:
    """Without a terminal every line on standard error is a JSON object with an event name."""
    with simulator("--accounts", "300", cwd=tmp_path) as api:
        done = run(["crawl", "--seed", "u1", "--budget", "20", "--api-url", api.url], cwd=tmp_path)
        events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
        assert [event for event in events if event != "run.progressed"] == ["run.started", "run.stopped"]


def test_the_demo(tmp_path: Path) -> None:
    """One command crawls an imitated network and writes a report, without a key; the same again goes on."""
    demo = ["--json", "demo", "--accounts", "500", "--budget", "60"]
    done = run(demo, cwd=tmp_path, SOCIALFETCH_API_KEY="")
    assert done.returncode == 0, done.stderr
    told = result(done)
    assert told["credits"]["charged"] == 60
    page = (tmp_path / told["report"]).read_text()
    assert page.startswith("<!doctype html>")
    assert "Rehearsal." in page
    again = result(run(demo, cwd=tmp_path, SOCIALFETCH_API_KEY=""))
    assert again["totals"]["charged"] == 120
