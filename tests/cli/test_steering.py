"""Commands that steer a crawl and answer questions about it, on a stopped database and beside a running one."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import processes
import pytest
import rehearsal
from study import Study, facts

from socialfetch.simulator import network

if TYPE_CHECKING:
    from conftest import Run, Shell, Simulate


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Return a database with a whole list (a), a part (b), one given up (c) and a known name (x)."""
    made = Study(tmp_path / "followgraph.db", "a", "b", "c", budget=10)
    made.visit("a", facts("x", followers=5, following=7), facts("y"))
    made.visit("b", facts("x"), has_more=True)
    for lease in made.lease(9):
        if lease.handle == "c":
            made.give_back(lease, failed="lookup_failed", maybe_charged=True, cause="lookup_failed")
        else:
            made.give_back(lease, was_called=False, counts_as_attempt=False)
    made.db.close()
    return made


def states(path: Path) -> dict[str, tuple[int, float]]:
    """Return state and priority by handle."""
    found = rehearsal.rows(path, "SELECT handle, state, priority FROM accounts JOIN frontier ON account_id = id")
    return {handle: (state, priority) for handle, state, priority in found}


def test_requeue(run: Run, study: Study) -> None:
    """What failed and what was read in part is queued by rank, named accounts before all; nothing stored is lost."""
    ran = run("requeue", "--failed", "--partial", "--json")
    assert ran.document == {"schema": 1, "requeued": 2, "failed": 1, "partial": 1, "named": 0}
    assert {name for name, (state, _) in states(study.path).items() if state == 0} == {"b", "c", "x", "y"}
    assert run("requeue", "@a", "@x", "--json").document["named"] == 2
    found = states(study.path)
    assert found["a"] == found["x"] > found["b"]
    assert rehearsal.edges(study.path) == {("a", "x"), ("a", "y"), ("b", "x")}
    assert rehearsal.findings(study.path) == []


@pytest.mark.parametrize(
    ("arguments", "code"), [((), "nothing_named"), (("@nobody", "@a"), "unknown_account"), (("a b",), "rejected_seeds")]
)
def test_requeue_refuses(run: Run, study: Study, arguments: tuple[str, ...], code: str) -> None:
    """Nothing named or somebody unknown is bad input, and nothing is queued then."""
    before = states(study.path)
    ran = run("requeue", *arguments, "--json")
    assert (ran.code, ran.document["error"]["code"]) == (2, code)
    assert states(study.path) == before


def test_why(run: Run, study: Study) -> None:
    """An account's story names who listed it, its visits and each charge, for people and as JSON."""
    document = run("why", "https://www.tiktok.com/@c", "--json").document
    assert (document["state"], document["reason"], document["attempts"]) == ("failed", "lookup_failed", 1)
    [charge] = document["charges"]
    assert (charge["outcome"], charge["charged"], charge["uncertain"]) == ("uncertain", 0, 1)
    told = run("why", "@x").out
    assert "listed by 2 accounts" in told
    assert "by @a" in told
    assert "queued" in told
    visits = run("why", "b", "--json").document["visits"]
    assert [(each["completeness"], each["reason"], each["pages"]) for each in visits] == [
        ("partial", "more_without_cursor", 1)
    ]
    assert run("why", "@nobody").code == 2


def test_why_says_how_many_more_list_an_account(run: Run, tmp_path: Path) -> None:
    """Of many that list somebody a person is shown the first five, and told of the others."""
    names = [f"a{number}" for number in range(7)]
    made = Study(tmp_path / "followgraph.db", *names, budget=20)
    for name in names:
        made.visit(name, facts("x"))
    made.db.close()
    told = run("why", "@x").out
    assert "listed by 7 accounts" in told
    assert told.count("by @a") == 5
    assert "         and 2 more\n" in told


def test_why_says_from_which_queue_each_list_was_picked(run: Run, tmp_path: Path) -> None:
    """The queue and the priority at the pick are what the visit keeps, for people in words."""
    api, path = rehearsal.service(network.generate(300, rng_seed=3)), tmp_path / "followgraph.db"
    asked = {"audit": 0.2, "control": 0.3, "explore": 0.2, "concurrency": 1}
    rehearsal.go(path, api, seeds=["u1", "u2", "u3"], budget=200, **asked)
    assert run("requeue", "@u1").code == 0
    rehearsal.go(path, api, budget=1, new_run=True)
    said = {
        "main": "from the main queue",
        "explore": "by lot, to explore",
        "ahead": "ahead of all others",
        "audit": "for the audit of follower counts",
        "control-2": "for wave 2 of the control sample",
    }
    for queue, words in said.items():
        query = f"SELECT id, account_id, priority FROM visits WHERE queue = '{queue}' ORDER BY id DESC LIMIT 1"
        [(visit, account, priority)] = rehearsal.rows(path, query)
        found = {each["id"]: each for each in run("why", f"#{account}", "--json").document["visits"]}[visit]
        assert (found["queue"], found["priority"]) == (queue, priority)
        assert f"         picked {words}, at priority {priority:.6g}\n" in run("why", f"#{account}").out


def test_why_counts_who_is_taken_before_an_account(run: Run, tmp_path: Path) -> None:
    """As they are taken: the named before all others, whatever the priorities; of queues taken in turn, from and to."""
    path = tmp_path / "followgraph.db"
    made = Study(path, "a", strategy="rank")
    made.visit(
        "a", *(facts(name, followers=followers) for name, followers in zip("pqrs", (10, 999, 20, 5), strict=True))
    )
    made.db.close()
    assert run("requeue", "@r", "@s").code == 0
    assert {who: before(run, who) for who in "rsqp"} == {"r": (0, 0), "s": (1, 1), "q": (2, 2), "p": (3, 3)}
    assert " · priority 2 · 0 accounts before it\n" in run("why", "@r").out
    with closing(sqlite3.connect(path)) as conn, conn:  # as `discover` ranks them: kinds of accounts, each with a queue
        conn.execute("UPDATE frontier SET lane = 7 WHERE account_id = (SELECT id FROM accounts WHERE handle = 'q')")
    assert {who: before(run, who) for who in "rsqp"} == {"r": (0, 0), "s": (1, 1), "q": (2, 3), "p": (2, 3)}
    assert " · 2 to 3 accounts before it, as queues are taken in turn\n" in run("why", "@p").out


def before(run: Run, who: str) -> tuple[int, int]:
    """Return how many accounts `why` says are taken before this one, at least and at most."""
    document = run("why", f"@{who}", "--json").document
    return document["ahead"], document["ahead_at_most"]


def test_why_under_a_former_handle(run: Run, study: Study) -> None:
    """Who was renamed is found by the old handle too."""
    again = Study(study.path, budget=20)
    again.visit("a", facts("old", platform_user_id="7"))
    again.now += 1
    again.visit("b", facts("new", platform_user_id="7"))
    again.db.close()
    document = run("why", "@old", "--json").document
    assert document["handle"] == "new"
    assert document["former_handles"][0][:2] == ["old", "renamed"]


def test_spending(run: Run, study: Study, tmp_path: Path) -> None:
    """Sums by day and outcome add up to the ledger; the CSV holds the same."""
    document = run("spending", "--output", "spent.csv", "--json").document
    assert document["rows"] == [
        {"day": "2025-06-15", "outcome": "settled", "calls": 2, "charged": 2, "uncertain": 0},
        {"day": "2025-06-15", "outcome": "uncertain", "calls": 1, "charged": 0, "uncertain": 1},
    ]
    assert (document["charged"], document["uncertain"]) == (2, 1)
    assert (tmp_path / "spent.csv").read_text().splitlines()[0] == "day,outcome,calls,charged,uncertain"
    assert "wrote    spent.csv · 2 rows" in run("spending", "--output", "spent.csv").out
    [row] = run("spending", "--by", "run", "--json").document["rows"]
    assert row == {"run": 1, "calls": 3, "charged": 2, "uncertain": 1}
    zone = {"FOLLOWGRAPH_BUDGET__TIME_ZONE": "Pacific/Kiritimati"}
    assert run("spending", "--by", "day", "--json", environ=zone).document["rows"][0]["day"] == "2025-06-16"
    assert run("spending", "--by", "handle").code == 2
    assert run("spending", environ={"FOLLOWGRAPH_BUDGET__TIME_ZONE": "Mars/Olympus"}).code == 2


def test_budget(run: Run, study: Study) -> None:
    """A raised budget is the run's, kept with its note, and a run that had used it up goes on."""
    end_run(study, "budget_exhausted")
    added = run("budget", "add", "5", "--note", "grant 7b", "--json").document
    assert (added["run"]["budget"], added["run"]["remaining"]) == (15, 12)
    assert [(each["credits"], each["note"], each["run"]) for each in added["changes"]] == [(5, "grant 7b", 1)]
    assert run("budget", "show", "--json").document["changes"] == added["changes"]
    assert rehearsal.rows(study.path, "SELECT stop_reason FROM runs") == [(None,)]
    for wrong in (("add",), ("add", "0"), ("add", "-5"), ("show", "5"), ("sub", "5")):
        assert run("budget", *wrong).code == 2


def test_a_budget_needs_a_run(run: Run) -> None:
    """Before anything was crawled there is nothing to raise."""
    run("seed", "@a")
    ran = run("budget", "add", "5", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (2, "no_run")


def end_run(study: Study, reason: str) -> None:
    """End the study's run."""
    again = Study(study.path, budget=10)
    again.db.transact(lambda conn: conn.exec_driver_sql("UPDATE runs SET stop_reason = ?", (reason,)))
    again.db.close()


def test_a_refresh_leaves_a_crawls_credits_to_the_next_crawl(run: Run, simulate: Simulate, tmp_path: Path) -> None:
    """What was added to a crawl's run is the next crawl's, and what a refresh was cut off with the next refresh's."""
    api = ("--api-url", simulate("--accounts", "300", "--port", "0"))
    (tmp_path / "config.toml").write_text('[refresh]\nshortest = "0s"\n')
    assert run("crawl", "--seed", "u1", "--budget", 10, *api).code == 0
    run("budget", "add", 7)
    refreshed = run("refresh", "--budget", 3, *api)
    assert "3 spent · 0 uncertain · 0 left of 3" in refreshed.out
    for told in (refreshed, run("status")):
        assert "run 1 · 7 left of 17: the next crawl goes on with it" in told.out
    run("budget", "add", 2)  # now the refresh's, which was last
    assert "not ended: cut off; the next refresh goes on with it" in run("status").out
    assert "17 credits of run 1, which goes on: 10 are used" in run("plan", "--budget", 17).out
    again = run("crawl", *api, "--json").document
    assert (again["credits"]["charged"], again["totals"]["charged"]) == (17, 20)
    assert [(each["budget"], each["charged"]) for each in again["runs"]] == [(17, 17), (5, 3)]
    more = run("refresh", *api, "--json").document
    assert (more["run_id"], more["credits"]["charged"], more["totals"]["charged"]) == (2, 5, 22)
    for command in ("crawl", "refresh"):
        refused = run(command, *api)
        assert refused.code == 2
        assert f"followgraph {command} --budget 2000" in refused.err
    assert rehearsal.findings(tmp_path / "followgraph.db") == []


def test_a_run_that_goes_on_otherwise_says_so(run: Run, simulate: Simulate, tmp_path: Path) -> None:
    """A raised budget names the crawl that goes on as before; another one says what it does otherwise, and how not."""
    url = simulate("--accounts", "300", "--port", "0")
    api = ("--api-url", url)
    terms = "--budget-per-depth 9,9 --max-depth 2 --min-followers 1 --rate 50.5 --region DE --region AT --strategy rank"
    begun = run("crawl", "--seed", "u1", "--budget", 4, *terms.split(), "--verified", *api, "--json").document
    assert begun["stop_reason"] == "frontier_empty"  # which does not keep its run from what is added
    added = run("budget", "add", 3)
    [command] = [line.partition("followgraph crawl")[2] for line in added.out.splitlines() if line.startswith("next")]
    assert sorted(command.split(" --")) == sorted(f" {terms} --verified --api-url {url}".split(" --"))
    assert "otherwise" not in added.err

    (tmp_path / "config.toml").write_text("[crawl]\nmax_pages_per_account = 5\n")
    assert "crawl.max_pages_per_account none → 5 (from config.toml)" in run("budget", "add", 1).err
    other = run("--log-format", "console", "crawl", "--max-depth", 3, *api)
    assert other.code == 0
    [told] = [line for line in other.err.splitlines() if "otherwise than before" in line]
    assert "goes on with run 1 otherwise than before: " in told
    for change in (
        "strategy rank → flow",
        "max_depth 2 → 3 (from --max-depth)",
        "max_pages_per_account none → 5 (from",
    ):
        assert f"crawl.{change}" in told
    for change in ("filter.regions DE,AT → none", "filter.verified true → none", "budget.per_depth 9,9 → none"):
        assert change in told
    [as_before] = [line for line in other.err.splitlines() if "as before: " in line]
    assert as_before.endswith(f"--verified --max-depth 2 {' '.join(api)}")

    run("budget", "add", 1)
    [event] = [
        line
        for line in map(json.loads, run("--log-format", "json", "crawl", *api).err.splitlines())
        if line["event"] == "terms.changed"
    ]
    assert (event["run"], event["settings"]) == (1, {"max_depth": {"before": 3, "after": None}})
    run("budget", "add", 1)
    assert "otherwise" not in run("--log-format", "console", "crawl", *api).err
    run("budget", "add", 1)
    run("crawl", "--max-depth", 0, "--audit", 0.5, *api)
    assert f"followgraph crawl --audit 0.5 --max-depth 0 {' '.join(api)}\n" in run("budget", "add", 1).out


def test_other_retries_and_breakers_are_told_too(run: Run, simulate: Simulate, tmp_path: Path) -> None:
    """When a list is given up and when a run stops are terms of it; how long a repetition waits is none."""
    api = ("--api-url", simulate("--accounts", "300", "--port", "0"))
    assert run("crawl", "--seed", "u1", "--budget", 4, "--max-depth", 0, *api).code == 0
    (tmp_path / "config.toml").write_text(
        "[retry]\nattempts = 3\nfirst_delay_s = 2.0\n[breakers]\nerror_share = 0.9\n"
        '[budget]\ntime_zone = "Europe/Berlin"\n'  # nobody asks for a limit a day
    )
    assert run("budget", "add", 1).err.count(" → ") == 2
    told = run("--log-format", "console", "crawl", *api).err
    assert "retry.attempts 5 → 3 (from config.toml)" in told
    assert "breakers.error_share 0.5 → 0.9 (from config.toml)" in told
    assert told.count(" → ") == 3  # with max_depth


def test_what_goes_on_asks_where_the_run_asked(run: Run, simulate: Simulate, tmp_path: Path) -> None:
    """The command that goes on names the address unless it is set; where only the host was kept, it says so."""
    url = simulate("--accounts", "300", "--port", "0")
    config = tmp_path / "config.toml"
    assert run("crawl", "--seed", "u1", "--budget", 4, "--max-depth", 0, "--api-url", url).code == 0
    config.write_text('[api]\nbase_url = "http://127.0.0.1:9"\n[refresh]\nshortest = "0s"\n')  # the same host
    assert f"followgraph crawl --max-depth 0 --api-url {url}\n" in run("budget", "add", 1).out
    assert run("refresh", "--budget", 1, "--api-url", url).code == 0
    assert f"followgraph refresh --api-url {url}\n" in run("budget", "add", 1).out
    config.write_text(f'[api]\nbase_url = "{url}"\n')
    assert "--api-url" not in run("budget", "add", 1).out

    with closing(sqlite3.connect(tmp_path / "followgraph.db")) as conn, conn:
        conn.execute("UPDATE runs SET settings = json_set(settings, '$.origin', NULL)")
    config.unlink()
    added = run("budget", "add", 1)
    assert "--api-url" not in added.out
    assert "api.base_url 127.0.0.1 → api.socialfetch.dev" in added.err


def test_words_to_nobody(run: Run, study: Study) -> None:
    """Where nothing runs the commands say so; a drain is not kept for whoever comes."""
    for word, kept in (("pause", 1), ("resume", 2), ("drain", 2)):
        ran = run(word, "--json")
        assert ran.document == {"schema": 1, "act": word, "running": False}
        assert rehearsal.rows(study.path, "SELECT count(*) FROM orders") == [(kept,)]
    assert "nothing runs" in run("drain").out


until = partial(processes.until, seconds=120.0)


def test_a_running_crawl_obeys(run: Run, shell: Shell, simulate: Simulate, tmp_path: Path) -> None:
    """Pause stops requests at the API, resume lets them go on, a raised budget is spent, drain ends it well."""
    url = simulate("--accounts", "3000", "--latency", "20")
    crawl = shell(
        "crawl", "--seed", "u1", "--budget", "300", "--api-url", url, "--concurrency", "2", "--json",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip

    def charged() -> int:
        if not (tmp_path / "followgraph.db").exists():
            return 0
        status = run("status", "--json")
        return status.document["credits"]["charged"] if status.code == 0 else 0

    until(lambda: charged() >= 20)
    assert run("pause", "--json").document["running"] is True
    until(lambda: rehearsal.rows(tmp_path / "followgraph.db", "SELECT count(*) FROM orders WHERE done_at > 0")[0][0])
    time.sleep(0.3)
    here = charged()
    time.sleep(1.0)
    assert charged() == here
    run("resume")
    until(lambda: charged() > here + 20)
    assert "next" not in run("budget", "add", "2000").out  # it goes on by itself
    assert run("budget", "add", "3000", "--json").document["run"]["budget"] == 5300
    until(lambda: charged() > 310)
    run("drain")
    out, err = crawl.communicate(timeout=20)
    assert crawl.returncode == 0, err
    document = json.loads(out)
    assert document["stop_reason"] == "interrupted"
    assert document["credits"]["reserved"] == document["credits"]["uncertain"] == 0
