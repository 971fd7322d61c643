"""The words around a report's findings: method, references, caveats, dictionary, log, and what makes it citable."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import html as markup
import json
import re
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import rehearsal
import sqlalchemy as sa
import virtual_time

from analysis.graph import load_graph
from analysis.report import figures, findings, page, prose
from analysis.report.build import ReportFiles, build
from analysis.report.dictionary import FILES, TABLES
from analysis.report.log import STOP_WORDS
from analysis.report.references import REFERENCES, SOFTWARE
from analysis.report.text import percent
from crawler.breakers import Limits
from crawler.policy import Retry
from crawler.replay import replay
from crawler.stopping import StopRules
from socialfetch.errors import SocialFetchError
from socialfetch.simulator import network
from storage.allowances import Caps
from storage.database import Database
from tests.analysis.sample import START, Sample, Visit, closed, insert, write
from tests.analysis.test_report_estimates import drawn

NOW = 1_793_500_000.7

SMALL = Sample(
    seeds=("ann", "bob"),
    visits={
        "ann": Visit(("bob", "cat", "dan", "eve")),
        "bob": Visit(("ann", "cat")),
        "cat": Visit(("ann", "bob", "hub"), "capped"),
        "eve": Visit(("ann",), "partial"),
        "dan": Visit((), "hidden"),
        "liz": Visit((), "private"),
        "old": Visit((), "not_found"),
    },
    skipped={"gus": "private", "pam": "private", "max": "private"},
)


def built(
    tmp_path: Path, change: Any = None, *, of: Sample = SMALL, **asked: Any
) -> tuple[ReportFiles, dict[str, Any], str, str]:
    """Build a report of a sample, altered by `change`; return files, JSON, the page and its text."""
    tmp_path.mkdir(exist_ok=True)
    path = write(tmp_path / "a.db", of)
    if change is not None:
        with closing(Database.open(path, now=lambda: NOW)) as database:
            database.transact(change)
    files = build(path, tmp_path / "report", now=lambda: NOW, **asked)
    html = files.html.read_text(encoding="utf-8")
    return files, json.loads(files.json.read_text()), html, spoken(html)


def spoken(html: str) -> str:
    """Return the text of a page, on one line."""
    body = re.sub(r"<(style|script)\b.*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(markup.unescape(re.sub("<[^>]+>", "", body)).split())


def entries(files: ReportFiles) -> list[tuple[str, str]]:
    [path] = [path for path in files.tables if path.stem == "log"]
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["kind"], row["words"]) for row in csv.DictReader(file)]


def test_one_account_that_vanished_is_no_group(tmp_path: Path) -> None:
    """Nothing is said of half of one account, and medians of counts have no decimals that mean nothing."""
    _, found, _, text = built(tmp_path)
    assert found["vanished"]["accounts"] == 1
    assert (
        "1 account no longer exists. It is followed by 0 visited accounts, half of the others by at least 1: " in text
    )


# --- the method ----------------------------------------------------------------------------------------------------


def test_the_method_is_on_the_page_and_beside_it(tmp_path: Path) -> None:
    """methods.md holds the page's own paragraphs, word for word once Markdown's escapes are undone."""
    files, _, html, _ = built(tmp_path)
    shown = [markup.unescape(text) for text in re.findall('<p class="method">(.*?)</p>', html, re.DOTALL)]
    written = re.sub(r"\\(.)", r"\1", files.methods.read_text(encoding="utf-8"))
    assert len(shown) == 6
    assert [text for text in shown if text not in written] == []


@pytest.mark.parametrize("is_drawn", [True, False])
def test_every_citation_has_its_reference(tmp_path: Path, is_drawn: bool) -> None:
    """Whoever is cited on the page, name and year, stands in its list and in the BibTeX file, and nobody else does."""
    path = drawn(tmp_path / "a.db") if is_drawn else write(tmp_path / "a.db", SMALL)
    files = build(path, tmp_path / "report", now=lambda: NOW)
    html = files.html.read_text(encoding="utf-8")
    told = spoken("".join(re.findall(r'<p class="method">.*?</p>|<ol class="caveats">.*?</ol>', html, re.DOTALL)))
    cited = set(re.findall(r"[^\s(]+ (?:19\d\d|20[01]\d|202[0-5])(?=[;,.)])", told))
    references = {one.label: one for one in REFERENCES if one.line in spoken(html)}
    bibtex = files.bibliography.read_text(encoding="utf-8")
    assert len(references) > 15
    for label, paper in references.items():
        assert label in told
        assert f"{{{paper.key}," in bibtex
    assert [words for words in cited if not any(label.endswith(words) for label in references)] == []
    assert "Broder et al. 2000" in references
    for package in SOFTWARE:
        assert f"{package}-software" in bibtex
    assert bibtex.count("{") == bibtex.count("}")


def test_the_method_names_what_the_runs_were_asked(tmp_path: Path) -> None:
    """Shares, limits, filters and the day on which the seeds were named are told; hostile settings are no Markdown."""

    def change(conn: sa.Connection) -> None:
        settings = {
            "control": 0.2,
            "audit": 0.1,
            "max_depth": 2,
            "max_pages_per_account": 10,
            "filter": {"min_followers": 1000, "regions": ["DE", "<b>*AT*</b>"]},
        }
        conn.exec_driver_sql("UPDATE runs SET settings = ?", (json.dumps(settings),))
        details = json.dumps({"handle": "ann", "at": START})
        insert(conn, "journal", ["ledger_id", "act", "details"], [(0, "seeded", details)])

    files, found, html, text = built(tmp_path, change)
    assert "20.0 % of the budget for a control sample, 10.0 % of the budget for an audit" in text
    assert "at most 10 pages of a list, at most 2 hops from a seed" in text
    assert "bought only accounts with min followers 1,000 and regions DE, <b>*AT*</b> (seeds always)" in text
    assert "The seeds were named on 26 October 2026" in text
    assert len(found["seeds_named"]) == 1
    assert "<b>*AT*" not in html
    assert r"\<b\>\*AT\*\</b\>" in files.methods.read_text(encoding="utf-8")
    assert "No run had a filter" in built(tmp_path / "b")[3]


def test_the_method_tells_how_a_run_began_and_what_was_changed_when(tmp_path: Path) -> None:
    """A run that goes on under other terms keeps those that it began with: budget, strategy, seed, limits."""
    path, api = tmp_path / "a.db", rehearsal.service(network.generate(400, rng_seed=3))

    first: dict[str, Any] = {"strategy": "flow", "explore": 0.2, "max_depth": 3}
    rehearsal.go(path, api, seeds=["u1", "u2"], budget=400, meanwhile=rehearsal.stop_after(0.6), concurrency=2, **first)
    spent = rehearsal.state(path).charged
    assert 5 < spent < 60
    rehearsal.go(path, api, strategy="rank", budget=spent + 20, core_size=500, page_rules="on", concurrency=4)
    [run] = rehearsal.state(path).runs
    assert (run.strategy, run.budget) == ("rank", spent + 20)
    assert (run.began.strategy, run.budget_began, run.strategies) == ("flow", 400, ("flow", "rank"))
    assert run.raised == ((run.raised[0][0], spent - 380),)
    files = build(path, tmp_path / "report", now=lambda: NOW)
    text = spoken(files.html.read_text(encoding="utf-8"))
    assert f"run 1: flow, rng seed {run.rng_seed}, budget 400, 20.0 % of the picks by lot, at most 3 hops from" in text
    assert re.search(
        rf"went on on [^,]+, after {spent} credits, with strategy rank, core size 500, no explore, no max depth"
        rf" and page rules on, its budget lowered by {380 - spent} on ",
        text,
    )
    assert "(strategy: flow and rank;" in text
    assert "<code>flow, rank</code>" in files.html.read_text(encoding="utf-8")
    assert ("began", "Run 1 began: strategy flow, budget 400 credits.") in entries(files)
    assert ("budget", f"The budget was lowered by {380 - spent} credits.") in entries(files)
    with closing(Database.open(path, now=lambda: NOW, mode="read")) as source:
        copy = Database.open(tmp_path / "b.db", now=lambda: NOW)
        replay(source, copy)
        copy.close()
    [again] = rehearsal.state(tmp_path / "b.db").runs
    assert (again.terms, again.raised) == (run.terms, run.raised)


def test_retries_breakers_and_where_days_end_are_kept_with_a_run(tmp_path: Path) -> None:
    """Method and log tell them: when a list was given up, when a run stopped, and whose midnight ended a day."""
    path, api = tmp_path / "a.db", rehearsal.service(network.generate(400, rng_seed=3))

    first: dict[str, Any] = {
        "caps": Caps(per_day=500, time_zone="Europe/Berlin"),
        "retry": Retry(attempts=3, maybe_charged_attempts=2, first_delay_s=2.0),
    }
    rehearsal.go(path, api, seeds=["u1", "u2"], budget=400, meanwhile=rehearsal.stop_after(0.6), concurrency=2, **first)
    again: dict[str, Any] = {
        "retry": Retry(attempts=4, maybe_charged_attempts=4),
        "breakers": Limits(credits_without_new_edge=500),
        "stop_rules": StopRules(new_accounts_per_credit=0.01),
    }
    rehearsal.go(path, api, budget=60, concurrency=2, **again)
    files = build(path, tmp_path / "report", now=lambda: NOW)
    text = spoken(files.html.read_text(encoding="utf-8"))
    assert (
        "budget 400, at most 500 credits a day, days of Europe/Berlin, lists given up after 3 failed calls for a page, "
        "2 where they may have cost credits, went on on "
    ) in text
    assert (
        "with lists given up after 4 failed calls for a page, breakers credits without new edge 500, no per day "
        "and stop new accounts per credit 0.01, its budget lowered"
    ) in text
    [told] = [words for kind, words in entries(files) if kind == "settings"]
    assert told == (
        "Went on with other settings: breakers consecutive failures 10, credits without new edge 200, error share 0.5 "
        "→ consecutive failures 10, credits without new edge 500, error share 0.5; per day 500 → not set; "
        "retry attempts 3, maybe charged attempts 2 → attempts 4, maybe charged attempts 4; "
        "stop not set → new accounts per credit 0.01; time zone Europe/Berlin → not set."
    )


def test_what_an_older_program_did_not_keep_is_no_change(tmp_path: Path) -> None:
    """Nobody knows how a run of theirs retried, so going on with it tells nothing of that."""
    path, api = tmp_path / "a.db", rehearsal.service(network.generate(400, rng_seed=3))

    rehearsal.go(path, api, seeds=["u1", "u2"], budget=400, meanwhile=rehearsal.stop_after(0.6), concurrency=2)

    def age(conn: sa.Connection) -> None:
        for table, column, place in (("runs", "settings", "$"), ("journal", "details", "$.settings")):
            older = f"json_remove({column}, '{place}.retry', '{place}.breakers', '{place}.time_zone')"
            conn.exec_driver_sql(f"UPDATE {table} SET {column} = {older}")

    with closing(Database.open(path, now=lambda: NOW)) as database:
        database.transact(age)
    rehearsal.go(path, api, budget=60, concurrency=2, caps=Caps(per_day=500))
    [run] = rehearsal.state(path).runs
    assert [set(terms.changed) for terms in run.terms] == [set(), {"per_day"}]
    files = build(path, tmp_path / "report", now=lambda: NOW)
    assert ("settings", "Went on with other settings: per day not set → 500.") in entries(files)


def test_a_run_that_goes_on_as_it_began_has_not_changed(tmp_path: Path) -> None:
    """Another concurrency or the same budget once more is no change of terms."""
    path, api = tmp_path / "a.db", rehearsal.service(network.generate(400, rng_seed=3))

    rehearsal.go(path, api, seeds=["u1", "u2"], budget=100, meanwhile=rehearsal.stop_after(0.6), concurrency=2)
    rehearsal.go(path, api, budget=100, concurrency=5, rate=20.0)
    [run] = rehearsal.state(path).runs
    assert (len(run.terms), run.raised) == (1, ())


def test_a_forecast_is_judged_by_the_credits_that_were_spent(tmp_path: Path) -> None:
    """Of a run that stopped early the table shows what was expected by then, or says why nobody can tell."""
    span = {"low": 80, "mid": 100, "high": 130}
    at = {"credits": 5, "accounts": 0, "edges": 0}
    noted = {"at": at, "budget": 105, "accounts": span, "edges": span}

    def change(conn: sa.Connection, path: object = None) -> None:
        forecast = json.dumps(noted | {"credits": 100, "path": path})
        columns = (
            "budget = 105, charged = 55, uncertain = 0, new_accounts = 48, new_edges = 90, stop_reason = 'deadline'"
        )
        conn.exec_driver_sql(f"UPDATE runs SET {columns}, forecast = ?", (forecast,))

    text = built(tmp_path, lambda conn: change(conn, [[50, 50.0, 50.0], [100, 100.0, 100.0]]))[3]
    assert (
        "accounts40 to 65middle 5048−4 %yes, after 50 of its 100 credits: the run stopped because its time was up"
        in text
    )
    assert (
        "follows40 to 65middle 5090+80 %no, after 50 of its 100 credits: the run stopped because its time was up"
        in text
    )
    text = built(tmp_path / "b", change)[3]
    assert "10048no comparison after 50 of its 100 credits: the run stopped because its time was up" in text


def test_a_run_with_a_successor_forecast_shows_both(tmp_path: Path) -> None:
    """A run that goes on with another budget has another forecast; of the first is told what came until then."""
    path, api = tmp_path / "a.db", rehearsal.service(network.generate(2_000, rng_seed=3))

    rehearsal.go(path, api, seeds=["u1", "u2"], budget=200, meanwhile=rehearsal.stop_after(4), concurrency=2)
    then = rehearsal.state(path).runs[0]
    rehearsal.go(path, api, budget=260, concurrency=2)
    run = rehearsal.state(path).runs[0]
    files = build(path, tmp_path / "report", now=lambda: NOW)
    first, last = json.loads(files.json.read_text("ascii"))["coverage"]["forecasts"]
    assert (first["from_credit"], last["from_credit"]) == (50, then.charged)
    assert (first["credits"], first["spent"], first["is_whole"]) == (150, then.charged - 50, False)
    assert last["credits"] == last["spent"] == run.charged - then.charged
    came = [each["accounts"]["actual"] for each in (first, last)]
    assert (came[1], sum(came)) == (
        run.new_accounts - then.new_accounts,
        run.new_accounts - json.loads(run.forecast or "")["earlier"][0]["at"]["accounts"],
    )
    text = spoken(files.html.read_text(encoding="utf-8"))
    assert f"after {then.charged - 50} of its 150 credits: a new forecast was made then" in text
    assert f"from credit {then.charged} on" in text


def test_what_was_bought_beside_the_crawl_is_in_credits(tmp_path: Path) -> None:
    """The shares of control sample and audit are those of the queues, and the noise of counts is told in a sentence."""
    files = build(drawn(tmp_path / "a.db"), tmp_path / "report", now=lambda: NOW)
    bought = {queue["name"]: queue["credits"] for queue in json.loads(files.json.read_text())["estimates"]["queues"]}
    control, audit = sum(bought[f"control-{wave}"] for wave in (1, 2, 3)), bought["audit"]
    text = spoken(files.html.read_text(encoding="utf-8"))
    assert f"Of the credits {control:,} (" in text
    assert f") bought a control sample and {audit:,} (" in text
    assert "the noise of the counts was measured on the lists of the audit" in text
    assert "; assumed reported follower counts" not in text


def test_the_policy_and_the_approval_are_part_of_the_method(tmp_path: Path) -> None:
    """What the study's rules say of people stands in the text that a paper takes over."""
    rules = {"Legal basis": "not stated", "Approval": "IRB 2026-117", "Vanished accounts": "deleted"}
    files, *_ = built(tmp_path, policy=rules)
    method = files.methods.read_text(encoding="utf-8")
    assert "The study’s rules for the people in it: approval: IRB 2026-117; vanished accounts: deleted." in method
    assert "not stated" not in method
    files, *_ = built(tmp_path / "b", policy=rules | {"Approval": "not stated"})
    assert "No approval by an ethics board is stated." in files.methods.read_text(encoding="utf-8")


def test_the_method_says_whom_the_report_names(tmp_path: Path) -> None:
    """It is what was asked for, and everybody in a rehearsal."""
    files, *_ = built(tmp_path, min_followers_to_name=5_000)
    assert "Named in the report are seeds, and accounts with 5,000 followers or more." in files.methods.read_text(
        "utf-8"
    )
    files, *_ = built(tmp_path / "b", min_followers_to_name=5_000, show_names=True)
    assert "Everybody is named in the report." in files.methods.read_text("utf-8")


def test_a_crawl_that_read_every_list_is_not_called_biased(tmp_path: Path) -> None:
    """There was nothing to choose, whatever the alarm's number is."""
    whole = closed([(1, 2), (2, 3), (3, 1), (4, 1), (1, 4), (5, 1)])
    _, told, _, text = built(tmp_path, of=replace(whole, followers={"u1": 3, "u2": 1, "u3": 1, "u4": 1}))
    assert told["estimates"]["alarm"]["biased"]
    assert "Every list that could be read was asked for: no choice among accounts can have biased it (" in text
    assert "The crawl is biased" not in text


def test_no_code_of_a_program_stands_in_the_words(tmp_path: Path) -> None:
    """Why accounts were left out or failed and why runs stopped is said in words, on the page as in the log."""

    def change(conn: sa.Connection) -> None:
        conn.exec_driver_sql("UPDATE runs SET stop_reason = 'low_yield', ended_at = started_at")
        of = "account_id = (SELECT id FROM accounts WHERE handle = ?)"
        for row in ((4, "no_following", "gus"), (3, "bad_request", "pam")):
            conn.exec_driver_sql(f"UPDATE frontier SET state = ?, reason = ? WHERE {of}", row)

    files, found, _, text = built(tmp_path, change)
    seen = found["coverage"]
    assert (seen["skipped"], seen["failed"]) == ({"no_following": 1, "private": 1}, {"bad_request": 1})
    assert "Why reading failed: the provider refused the handle (1)." in text
    assert "Why accounts were left out: following nobody (1), private (1)." in text
    why = "a credit brought hardly anything new"
    [row] = [words for kind, words in entries(files) if kind == "stopped"]
    assert row.startswith(f"Run 1 stopped because {why}:")
    assert text.count(why) >= 3  # the table of runs, the method and the log
    assert "low yield" not in text
    assert "Stopped because" in text


def test_what_is_averaged_is_named_in_its_row(tmp_path: Path) -> None:
    """A row of the averages is of accounts or of follows, as it says itself, and the draws that it rests on are said
    to be those with a list, fewer than were drawn."""
    files = build(drawn(tmp_path / "a.db"), tmp_path / "report", now=lambda: NOW)
    found = json.loads(files.json.read_text())["estimates"]
    html = files.html.read_text(encoding="utf-8")
    table = html.partition('id="averages-table"')[2].partition("</table>")[0]
    names = [spoken(row) for row in re.findall('<th scope="row">(.*?)</th>', table)]
    assert all(name.startswith(("accounts ", "follows ")) for name in names)
    draws = found["control"]["draws"][-1]
    assert f"Draws are counted of its last wave, {draws} draws in all, where the account follows somebody" in html
    assert all(mean["draws"] is None or mean["draws"] <= draws for mean in found["averages"])
    assert f"and {draws} draws with replacement" in html
    assert "These are averages over the accounts with at least one follower" in html


def test_the_log_tells_no_end_in_the_minute_of_the_beginning(tmp_path: Path) -> None:
    """What lasted some seconds has one time on the page; the table of the log has both."""

    def change(conn: sa.Connection) -> None:
        rows = [(START // 60 * 60 + at, "page", act, "{}", "done") for at, act in ((5, "pause"), (25, "resume"))]
        insert(conn, "orders", ["at", "origin", "act", "details", "answer"], rows)

    _, found, html, _ = built(tmp_path, change)
    [pause] = [row for row in found["log"] if row["kind"] == "paused"]
    assert pause["until_at"] is not None
    assert pause["until_at"] != pause["at"]
    log = html.partition('id="log-table"')[2].partition("</table>")[0]
    assert f'datetime="{pause["at"]}"' in log
    assert f'datetime="{pause["until_at"]}"' not in log


# --- the caveats ---------------------------------------------------------------------------------------------------


def test_the_caveats_carry_this_crawls_numbers(tmp_path: Path) -> None:
    """Shares of the unasked, the hidden, the cut, the renamed and the vanished, and all the private, are counted."""

    def change(conn: sa.Connection) -> None:
        rows = [(1, "anna", "renamed", 5), (1, "anne", "renamed", 6), (3, "bob", "taken_over", 7)]
        insert(conn, "handle_history", ["account_id", "handle", "reason", "until_at"], rows)

    _, found, _, text = built(tmp_path, change)
    known = found["coverage"]["known"]
    assert known == 11
    assert "4 of 11 known accounts (36.4 %) were never visited, and are known only because" in text
    assert "In this crawl: 6 accounts (54.5 % of the known): 1 hid its list, 1 turned out private, 3 more are" in text
    assert "1 list was cut at the limit of pages and 1 broken off, 50.0 % of the visited" in text
    assert "newest first" in text
    assert "1 account was seen under a new handle, and 1 lost theirs to another account" in text
    assert found["renamed"] == {"accounts": 1, "taken_over": 1}
    assert "1 of 7 accounts asked for (14.3 %) no longer existed, and others will go." in text
    here = replace(SMALL, visits={name: visit for name, visit in SMALL.visits.items() if name != "old"})
    assert "Of 6 accounts asked for none had vanished, but some will go." in built(tmp_path / "b", of=here)[3]
    assert {row["trust"] for row in found["communities"]["list"]} == {"stable"}
    assert "and 0 % of the accounts are in one that is not stable (under 0.75)" in text
    flagged = found["estimates"]["ranking"]["flagged"]
    assert f"{flagged} account{'' if flagged == 1 else 's'} report" in text


# --- files, dictionary, log ----------------------------------------------------------------------------------------


def test_every_column_of_every_table_is_described(tmp_path: Path) -> None:
    """The data dictionary has the columns of each table in their order and no others, and the page shows it all."""
    files, _, _, text = built(tmp_path)
    assert {path.stem for path in files.tables} == set(TABLES)
    for path in files.tables:
        with path.open(encoding="utf-8", newline="") as file:
            assert next(csv.reader(file)) == list(TABLES[path.stem].columns), path.name
    for described in TABLES.values():
        for words in (described.rows, *described.columns.values()):
            assert words in text
    for name, words in FILES.items():
        assert f"{name}{words}" in text


def test_checksums_are_those_of_the_files(tmp_path: Path) -> None:
    """Each file beside the page stands there with its size and SHA-256."""
    files, _, html, _ = built(tmp_path)
    beside = [path for path in (tmp_path / "report").rglob("*") if path.is_file() and path != files.html]
    assert len(beside) == len(files.tables) + 3
    for path in beside:
        assert hashlib.sha256(path.read_bytes()).hexdigest() in html


def test_stops_and_incidents_are_logged(tmp_path: Path) -> None:
    """Pauses, raised budgets, other settings, failed calls, silences and notices stand in the log, in their order."""

    def change(conn: sa.Connection) -> None:
        orders = [
            (START + 10, "pause", "{}", "command", "paused"),
            (START + 10, "resume", "{}", "page", "going on"),
            (START + 11, "pause", "{}", "command", "paused"),
            (START + 20, "resume", "{}", "page", "going on"),
            (START + 30, "set", '{"key": "crawl.rate", "value": 5}', "page", "changed until the daemon ends"),
            (START + 31, "set", '{"key": "crawl.rate", "value": "x"}', "page", "not done: crawl.rate: no number"),
            (START + 32, "pause", "{}", "command", None),
            (START + 40, "drain", "not json", "daemon", "draining"),
        ]
        insert(conn, "orders", ["at", "act", "details", "origin", "answer"], orders)
        changes = [(START + 50, 1, 500, "grant 7b", "command")]
        insert(conn, "budget_changes", ["at", "run_id", "credits", "note", "origin"], changes)
        processes = [(key, 1, "host", 1, START + at, START + at) for key, at in ((1, 0), (2, 60), (3, 70))]
        insert(conn, "processes", ["id", "run_id", "host", "pid", "started_at", "heartbeat_at"], processes)
        ended = [
            (4, 1, "host", 1, START + 81, START + 85, START + 85),
            (5, 1, "host", 1, START + 81, START + 82, START + 99),
        ]
        columns = ["id", "run_id", "host", "pid", "started_at", "heartbeat_at", "ended_at"]
        insert(conn, "processes", columns, ended)
        notes = [
            (0, "began", {"process": 1, "run": 1, "strategy": "flow", "settings": {"rate": None, "rng_seed": 1}}),
            (0, "chose", {"strategy": "flow"}),
            (0, "began", {"process": 2, "run": 1, "strategy": "flow", "settings": {"rate": 5.0, "rng_seed": 2}}),
            (0, "began", {"process": 3, "run": 1, "strategy": "core", "settings": {"rate": 5.0, "rng_seed": 2}}),
            (2, "chose", {"strategy": "core-pages"}),
        ]
        rows = [(last, act, json.dumps(details)) for last, act, details in notes]
        insert(conn, "journal", ["ledger_id", "act", "details"], rows)
        ends = conn.execute(sa.text("SELECT max(at) FROM ledger")).scalar_one()
        calls = [(1, "", ends + 5, "released", 0, 0, "rate_limited"), (1, "", ends + 8, "uncertain", 0, 1, "timeout")]
        calls += [(1, "", ends + 9, "released", 0, 0, "rate_limited"), (1, "", ends + 4_000, "settled", 1, 0, None)]
        insert(conn, "ledger", ["run_id", "cursor", "at", "outcome", "charged", "uncertain", "cause"], calls)
        told = [
            (START + 80, "trouble", "a", '{"cause": "unreachable", "detail": "/home/me"}'),
            (1, "purged", "b", "{}"),
        ]
        insert(conn, "notices", ["at", "event", "subject", "details"], told)

    files, found, _, text = built(tmp_path, change)
    logged = entries(files)
    assert logged == [(row["kind"], row["words"]) for row in found["log"]]
    assert [kind for kind, _ in logged] == [
        *(
            "began",
            "paused",
            "paused",
            "set",
            "set",
            "paused",
            "drained",
            "budget",
            "settings",
            "notice",
            "stopped",
            "stopped",
        ),
        *("strategy", "stopped", "calls", "calls", "silence"),
    ]
    words = dict(logged)
    assert logged.count(("paused", "Paused by command.")) == 2
    assert ("paused", "A pause was asked for by command: nothing was at work to obey.") in logged
    assert ("set", "crawl.rate = x was asked for on the daemon’s page: not done: crawl.rate: no number.") in logged
    assert ("set", "Setting changed while it ran: crawl.rate = 5.") in logged
    assert ("stopped", "One of several crawlers broke off without a word.") in logged
    assert ("stopped", "One of several crawlers stopped; why was not kept.") in logged
    pauses = [[found["log"][at][name] for name in ("at", "until_at")] for at in (1, 2)]
    assert [[datetime.fromisoformat(each).timestamp() - START for each in pause] for pause in pauses] == [
        [10, 10],
        [11, 20],
    ]
    assert words["budget"] == "The budget was raised by 500 credits (grant 7b)."
    assert words["settings"] == "Went on with other settings: rate not set → 5.0."
    assert words["strategy"] == "Went on by strategy core page by page instead of core."
    assert ("calls", "2 calls brought no page: rate limited, none charged.") in logged
    assert ("calls", "1 call brought no page: timeout, 1 credit perhaps charged.") in logged
    assert words["silence"] == "No answer came for 1.1 hours."
    assert words["notice"] == "The daemon gave notice of trouble: the provider could not be reached."
    assert words["stopped"].startswith("Run 1 stopped because its budget was reached:")
    assert all(line in text for _, line in logged)
    assert "/home/me" not in text


def test_the_log_says_failed_calls_and_notices_in_words(tmp_path: Path) -> None:
    """No cause that a call can have, nor what the daemon gives notice of, is shown as a raw code."""
    failed = [*leaves(SocialFetchError), "process_died"]
    told = [
        ("trouble", "database", "of trouble: the database could not be used"),
        ("trouble", "other_settings", "of trouble: the run goes by other settings than the daemon’s"),
        ("trouble", "throttled", "of trouble: too many calls for the provider"),
        ("trouble", "insufficient_credits", "of trouble: the provider’s balance was used up"),
        ("breaker", "breaker_no_yield", "that a breaker stopped it: many credits brought no new follow"),
        ("budget_50", None, "that half of its total budget was used"),
        ("budget_80", None, "that 80\u202f% of its total budget was used"),
        ("budget_100", None, "that its total budget was used up"),
        ("balance_low", None, "that the provider’s balance was low"),
        ("stopped", None, "that it ended"),
        ("new_event", "new_cause", "of new event: new cause"),
    ]

    def change(conn: sa.Connection) -> None:
        columns = ["run_id", "cursor", "at", "outcome", "charged", "uncertain", "cause"]
        calls = [(1, "", START, "uncertain", 0, 1, cause) for cause in failed]
        insert(conn, "ledger", columns, [*calls, (1, "", START, "reconciled", 1, -1, "late")])
        notes = [(START, event, str(key), json.dumps({"cause": why})) for key, (event, why, _) in enumerate(told)]
        insert(conn, "notices", ["at", "event", "subject", "details"], notes)

    files, _, _, _ = built(tmp_path, change)
    logged = [words for kind, words in entries(files) if kind in {"calls", "notice"}]
    assert [words for words in logged if words.startswith("The daemon")] == [
        f"The daemon gave notice {words}." for _, _, words in told
    ]
    calls = [words for words in logged if not words.startswith("The daemon")]
    assert len(calls) == len(set(failed))
    for words in calls:
        cause = words.removeprefix("1 call brought no page: ").removesuffix(", 1 credit perhaps charged.")
        assert cause.replace(" ", "_") not in failed


def leaves(error: type[SocialFetchError]) -> list[str]:
    """Return the codes of every error that a call can end with."""
    below = error.__subclasses__()
    return [code for each in below for code in leaves(each)] if below else [error.code]


def test_a_crawl_that_goes_on_after_a_refresh_is_compared_with_itself(tmp_path: Path) -> None:
    """The refresh in between was another run: what that was asked is no change of this one, and no going on."""
    path, api = tmp_path / "a.db", rehearsal.service(network.generate(400, rng_seed=3))
    rehearsal.go(path, api, seeds=["u1", "u2"], budget=60, meanwhile=rehearsal.stop_after(0.3), concurrency=2)
    rehearsal.go(path, api, budget=5, refresh_only=True, concurrency=2)
    rehearsal.go(path, api, budget=60, strategy="rank", concurrency=2)
    files = build(path, tmp_path / "report", now=lambda: NOW)
    told = {(row["run"], row["words"]) for row in json.loads(files.json.read_text("ascii"))["log"]}
    assert {each for each in told if "with other settings" in each[1]} == {
        (1, "Went on with other settings: strategy flow → rank."),
        (2, "Began with other settings than the run before: refresh not set → yes."),
    }


def test_every_stop_and_phase_is_logged_when_it_came(tmp_path: Path) -> None:
    """A run that was stopped, killed and run to its end tells each stop with what came after it, and its audit and
    control sample by name, at their own times: not at those of the run before."""
    path, api = tmp_path / "a.db", rehearsal.service(network.generate(400, rng_seed=3))

    async def wait_a_day(**arguments: Any) -> None:
        await asyncio.sleep(86_400)
        await rehearsal.crawl(path, api, **arguments)

    async def crawls() -> None:
        shares: dict[str, Any] = {"audit": 0.2, "control": 0.5, "concurrency": 2}
        await rehearsal.crawl(path, api, seeds=["u1", "u2"], budget=10, strategy="core", concurrency=2)
        await wait_a_day(budget=150, meanwhile=rehearsal.stop_after(0.6), strategy="core", **shares)
        await wait_a_day(budget=150, meanwhile=rehearsal.stop_after(0.6), strategy="core", **shares)
        await wait_a_day(budget=150, strategy="core", **shares)

    virtual_time.run(crawls())

    def kill(conn: sa.Connection) -> None:
        conn.exec_driver_sql("DELETE FROM journal WHERE act = 'stopped' AND json_extract(details, '$.process') = 3")
        conn.exec_driver_sql("UPDATE processes SET ended_at = ended_at + 60 WHERE id = 3")

    with closing(Database.open(path, now=lambda: NOW)) as database:
        database.transact(kill)
    files = build(path, tmp_path / "report", now=lambda: NOW)
    log = json.loads(files.json.read_text("ascii"))["log"]
    first = datetime.fromisoformat(log[0]["at"])
    told = [((datetime.fromisoformat(row["at"]) - first).days, row["run"], row["words"]) for row in log]
    assert told == [
        (0, 1, "Run 1 began: strategy core, budget 10 credits."),
        (0, 1, "Run 1 stopped because its budget was reached: 10 credits charged, 0 uncertain, 0 s at work."),
        (1, 2, "Run 2 began: strategy core, budget 150 credits."),
        (1, 2, "Began with other settings than the run before: audit 0.0 → 0.2; control 0.0 → 0.5."),
        (1, 2, "Came to the audit of follower counts."),
        (1, 2, f"Stopped because {STOP_WORDS['interrupted']}, and went on later."),
        (2, 2, "Went on by strategy core after the audit of follower counts."),
        (2, 2, "Broke off without a word, and went on later."),
        (3, 2, "Came to wave 1 of the control sample."),
        (3, 2, "Came to wave 2 of the control sample."),
        (3, 2, "Came to wave 3 of the control sample."),
        (3, 2, "Went on by strategy core page by page after wave 3 of the control sample."),
        (3, 2, "Run 2 stopped because its budget was reached: 150 credits charged, 0 uncertain, 4 s at work."),
    ]
    assert "by a signal (such as Ctrl-C), by command" in STOP_WORDS["interrupted"]
    ends = [(row["until_at"] or "")[:10] for row in log if row["kind"] == "stopped"]
    assert ends == ["", log[7]["at"][:10], log[10]["at"][:10], ""]
    with closing(Database.open(path, now=lambda: NOW)) as database:  # as notes were before they told so much
        older = "UPDATE journal SET details = json_remove(details, '$.queue', '$.process', '$.at') WHERE act = 'chose'"
        database.transact(lambda conn: conn.exec_driver_sql(older))
    files = build(path, tmp_path / "report", now=lambda: NOW)
    log = json.loads(files.json.read_text("ascii"))["log"]
    phases = [((datetime.fromisoformat(row["at"]) - first).days, row["words"]) for row in log if row["kind"] == "phase"]
    assert phases == [
        (1, "Came to the audit of follower counts."),
        (2, "Went on by strategy core after the audit of follower counts."),
    ]


# --- the header ----------------------------------------------------------------------------------------------------


def test_content_and_seeds_have_checksums(tmp_path: Path) -> None:
    """The content's checksum is that of ids and follows, on the page too; many seeds have one as well."""
    _, found, html, text = built(tmp_path)
    graph = load_graph(tmp_path / "a.db", keep=False)
    content = b"".join(
        part.tobytes() for part in (graph.accounts.id.astype("<i8"), graph.src.astype("<u4"), graph.dst.astype("<u4"))
    )
    assert found["graph"]["content_sha256"] == hashlib.sha256(content).hexdigest()
    assert found["graph"]["content_sha256"] in html
    assert found["seeds_sha256"] == hashlib.sha256(b"ann\nbob\n").hexdigest()
    assert found["seeds_sha256"] not in html
    assert "Pseudonymised, not anonymous" not in text
    cite = re.findall("How to cite this report(.*?)Caveats", text)[-1]
    assert "[Authors] (2026): The follow graph around @ann and @bob." in cite
    assert found["graph"]["content_sha256"][:16] in cite
    names = [f"s{number}" for number in range(30)]
    path = write(tmp_path / "many.db", Sample(seeds=tuple(names), visits={"s0": Visit(("s1",))}))
    many = build(path, tmp_path / "many", now=lambda: NOW).html.read_text(encoding="utf-8")
    assert hashlib.sha256("".join(f"{name}\n" for name in sorted(names)).encode()).hexdigest() in many


def test_pseudonyms_are_announced_in_the_header(tmp_path: Path) -> None:
    """Where accounts are not named the header says what that is worth."""
    _, found, html, _ = built(tmp_path, min_followers_to_name=5_000)
    header = spoken(html[: html.index("</header>")])
    assert f"Pseudonymised, not anonymous: {found['settings']['unnamed']} accounts have a pseudonym" in header


def test_the_doi_is_in_header_citation_and_json(tmp_path: Path) -> None:
    """What the study is published under stands where a reader and a program look for it; without one that is said."""
    files, found, html, text = built(tmp_path, doi="10.5281/zenodo.12_<i>")
    assert found["doi"] == "10.5281/zenodo.12_<i>"
    assert "DOI10.5281/zenodo.12_<i>" in spoken(html[: html.index("</header>")])
    assert " doi:10.5281/zenodo.12_<i> " in text
    assert r" doi:10.5281/zenodo.12\_\<i\>" in files.methods.read_text(encoding="utf-8")
    _, found, html, text = built(tmp_path / "b")
    assert found["doi"] is None
    assert "DOInot stated" in spoken(html[: html.index("</header>")])
    assert "doi:None" not in text


def test_a_large_page_says_so_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a page that browsers have trouble with reads it there, not only who made it."""
    assert "A large page." not in built(tmp_path)[3]
    monkeypatch.setattr(page, "LARGE", 50_000)
    assert "A large page." in built(tmp_path / "b")[3]


# --- the figures ---------------------------------------------------------------------------------------------------


def test_the_figure_of_followers_chooses_by_what_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that reports much and that few visited ones follow is drawn; one that reports little is not, however
    many follow it, unless it is marked."""
    lists = {f"v{at}": ("star", "far", *(f"o{other}" for other in range(at % 7))) for at in range(20)}
    lists["v0"] = (*lists["v0"], "away")
    counts = {"star": 20, "far": 90_000, "away": 80_000, **{f"o{at}": 30 + at for at in range(7)}}
    of = Sample(seeds=("v0",), visits={name: Visit(listed) for name, listed in lists.items()}, followers=counts)
    monkeypatch.setattr(findings, "SCATTERED", 2)
    monkeypatch.setattr(findings, "NUMBERED", 0)
    monkeypatch.setattr(page, "SCATTERED", 2)
    files, found, html, text = built(tmp_path, of=of)
    [path] = [path for path in files.tables if path.stem == "reported_observed"]
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(int(row["followers_reported"]), int(row["followers_observed"])) for row in csv.DictReader(file)]
    marked = len(found["suspicious"])
    assert rows[:2] == [(90_000, 20), (80_000, 1)]
    assert (20, 20) not in rows
    assert len(rows) <= 2 + marked
    assert f"Each dot is one of {len(rows)} known accounts" in text
    assert f"Scatter plot on logarithmic axes of {len(rows)} accounts" in html


def test_no_label_of_the_figure_of_followers_covers_another(tmp_path: Path) -> None:
    """Numbers and letters stand where none is nearer than its size; those without room are left out."""
    lists = {f"v{at}": tuple(f"o{other}" for other in range(40)) for at in range(30)}
    counts = {f"o{at}": 1_000 + at for at in range(39)} | {"o39": 9_000_000}
    of = Sample(seeds=("v0",), visits={name: Visit(listed) for name, listed in lists.items()}, followers=counts)
    html = built(tmp_path, of=of)[2]
    figure = html.partition('aria-labelledby="followers-title')[2].partition("</svg>")[0]
    placed = re.findall(r"<text [^>]*?translate\(([-0-9.]+) ([-0-9.]+)\)[^>]*>(\d\d?|[a-t])</text>", figure)
    placed += re.findall(r'<text [^>]*?x="([-0-9.]+)" y="([-0-9.]+)"[^>]*>(\d|10|[a-t])</text>', figure)
    places = [(float(x), float(y), word) for x, y, word in placed]
    assert "1" in {word for *_, word in places}
    assert len(places) < 10
    for at, (x, y, word) in enumerate(places):
        for other_x, other_y, other in places[:at]:
            left, right = sorted(((x, word), (other_x, other)))
            assert right[0] - left[0] >= 6 * len(left[1]) or abs(y - other_y) >= 11


def test_a_figure_in_colours_of_its_own_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would not turn with the page by night, or stay black there, fails at once."""
    monkeypatch.setattr(figures, "VISITED", "#123456")
    with pytest.raises(AssertionError, match="has colours that are not the page's"):
        built(tmp_path)


def test_what_flags_are_worth_is_what_the_benchmark_says() -> None:
    """The page's number of accounts flagged though their counts are exact is the largest of docs/estimators.md."""
    rows = re.findall(
        r"^\| \d+% \| exact \|.*\| 0, (\d+) \|$", Path("docs/estimators.md").read_text("utf-8"), re.MULTILINE
    )
    assert max(map(int, rows)) == prose.MOST_WRONGLY_FLAGGED
    assert len(rows) == 8


def test_figures_are_described_in_sentences_that_say_something(tmp_path: Path) -> None:
    """What a bar is stands behind its number, and no share is told twice of the same least value."""
    listed = {f"v{at}": tuple(f"o{at}-{other}" for other in range(at % 3 + 1)) for at in range(12)}
    of = Sample(seeds=("v0",), visits={name: Visit((*names, "hub")) for name, names in listed.items()})
    html = built(tmp_path, of=of)[2]
    assert "12 (" in html
    assert " visited: a list was read;" in html
    described = re.findall(r"<desc [^>]*>(Share of [^<]*)</desc>", html)
    assert len(described) == 2
    assert any(re.search(r"have at least 1, [<.0-9\u202f]+% have at least 1[0-9]", text) for text in described)
    for text in described:
        least = re.findall(r"have at least ([\d,]+)", text)
        assert len(least) == len(set(least)) == 2


# --- what the page says is in the JSON -----------------------------------------------------------------------------


def test_portraits_are_in_the_json(tmp_path: Path) -> None:
    """Density and conductance of each community told in words are in report.json; words and table of the page have one
    measure of what leads out."""
    _, found, html, text = built(tmp_path)
    told = [row["portrait"] for row in found["communities"]["list"] if row["portrait"] is not None]
    assert told
    for one in told:
        assert 0 <= one["conductance"] <= 1
        assert 0 <= one["density"] <= 1
        assert {share["value"] for name in ("words", "regions", "languages") for share in one[name]} == set()
    for row in found["communities"]["list"]:
        out = percent(row["follows_out"], row["follows_out"] + row["follows_inside"])
        assert f"and {out} of the follows of its accounts lead out." in html
    assert "connections lead out" not in text
    first = found["communities"]["list"][0]
    pairs = first["accounts"] * (first["accounts"] - 1) / 2
    assert first["portrait"]["density"] == pytest.approx(first["inside"] / pairs)
    if first["trust"] != "unstable":
        assert all(f"@{row['handle']}" in text for row in first["portrait"]["most_followed_within"])


def test_components_are_counted_among_those_who_can_be_in_one(tmp_path: Path) -> None:
    """Strong components are counted over the visited; the many accounts that were not read are not components."""
    _, found, _, text = built(tmp_path)
    strong = found["structure"]["components"]["strong"]
    visited = found["coverage"]["accounts"]["visited"]
    among = strong - (found["coverage"]["known"] - visited)
    assert f"The visited fall into {among} component{'' if among == 1 else 's'}" in text
