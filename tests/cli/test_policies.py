"""`policy`: how a study treats people, said in words; and what is due, done by command or by doctor."""

from __future__ import annotations

import json
import os
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest
import rehearsal
from people import name, town

from analysis.graph import load_graph
from socialfetch.simulator.network import Status
from storage.database import graph_beside

if TYPE_CHECKING:
    from conftest import Run

POLICY = """
[policy]
legal_basis = "GDPR Art. 6(1)(e)"
approval = "IRB 2026-117"
refresh_every = "15d"
store_bio = false
"""


@pytest.fixture
def crawled(tmp_path: Path) -> Path:
    (tmp_path / "study").mkdir()
    path = tmp_path / "study" / "a.db"
    rehearsal.go(path, rehearsal.service(town(60)), seeds=[name(1)], budget=20)
    return path


def test_show(run: Run, tmp_path: Path, crawled: Path) -> None:
    """Legal basis and approval as written, what is kept out, what is due, and what the duty to refresh costs."""
    (tmp_path / "config.toml").write_text(POLICY)
    ran = run("policy", "show", "--db", crawled)
    assert [line.split()[-1] for line in ran.out.splitlines() if "Raw answers" in line] == ["kept"]
    for words in ("GDPR Art. 6(1)(e)", "IRB 2026-117", "every 15d", "credits a day", "bio", "followgraph policy purge"):
        assert words in ran.out, words
    found = run("policy", "--db", crawled, "--json").document
    assert found["policy"]["approval"] == "IRB 2026-117"
    assert found["credits_a_day"] > 0
    assert found["due"]["field_bio"] > 0
    assert found["kept_out"] == {"opted_out": 0, "forgotten": 0, "withheld": 0}


def test_show_without_a_database(run: Run) -> None:
    """A policy can be looked at before anything is bought."""
    assert run("policy", "show", "--json").document["policy"]["export_level"] == "raw"


def test_purge(run: Run, tmp_path: Path, crawled: Path) -> None:
    """What is due goes, with a receipt, the graph kept beside the database too; a second purge finds nothing."""
    (tmp_path / "config.toml").write_text(POLICY)
    for file in crawled.parent.glob("a.db*"):
        os.utime(file, (1e9, 1e9))  # a graph is kept only of a database that was not written just now
    load_graph(crawled)
    assert graph_beside(crawled).exists()
    done = run("policy", "purge", "--db", crawled, "--json").document
    assert done["purged"]["field_bio"] > 0
    assert not graph_beside(crawled).exists()
    assert rehearsal.rows(crawled, "SELECT hash FROM receipts") == [(done["receipt"],)]
    assert run("policy", "purge", "--db", crawled, "--json").document["purged"] == {}
    assert "nothing was due" in run("policy", "purge", "--db", crawled).out


def test_doctor_warns_and_repairs(run: Run, tmp_path: Path, crawled: Path) -> None:
    """The policy is part of a study's health: doctor says what is due, --repair does it."""
    (tmp_path / "config.toml").write_text('[policy]\nretain_until = "2025-06-16"\n')
    found = run("doctor", "--db", crawled, "--json").document["findings"]
    assert [each["level"] for each in found if each["code"] == "due"] == ["warn"]
    assert rehearsal.state(crawled).accounts["known"] > 0
    ran = run("doctor", "--repair", "--db", crawled, "--json")
    assert [each for each in ran.document["findings"] if each["check"] == "purged"]
    assert not [each for each in ran.document["findings"] if each["code"] == "due"]
    assert rehearsal.state(crawled).accounts["known"] == 0


def test_a_purge_names_what_may_still_hold_what_went(run: Run, tmp_path: Path, crawled: Path) -> None:
    """By what went: fields stand in raw exports, raw answers in copies, people in all but counts; told again later."""
    asked = ("export", "--db", crawled, "--format", "csv", "--output")
    home = {"HOME": str(tmp_path / "home")}
    for level in ("raw", "pseudonymous", "aggregate"):
        assert run(*asked, level, "--level", level, environ=home).code == 0
    assert run("backup", "copy.db", "--db", crawled).code == 0

    def held(*command: str) -> set[str]:
        found = run(*command, "--db", crawled, "--json").document["exports"]
        return {Path(each["path"]).relative_to(tmp_path).parts[0] for each in found if each["state"] == "there"}

    assert held("policy", "purge") == set()
    (tmp_path / "config.toml").write_text("[policy]\nstore_bio = false\n")
    assert held("policy", "purge") == {"raw", "copy.db"}
    (tmp_path / "raw" / "accounts.csv").unlink()
    (tmp_path / "raw" / "follows.csv").unlink()
    assert held("policy", "purge") == {"copy.db"}
    (tmp_path / "config.toml").write_text('[policy]\nretain_until = "2025-06-16"\n')
    assert "1 file" not in run("doctor", "--db", crawled).out
    warned = [each for each in run("doctor", "--repair", "--db", crawled, "--json").document["findings"]
              if each["code"] == "exports_left"]  # fmt: skip
    assert [each["level"] for each in warned] == ["warn"]
    assert held("policy", "purge") == {"pseudonymous", "copy.db"}
    told = run("policy", "purge", "--db", crawled).out
    assert "nothing was due" in told
    assert "copy.db · backup, there" in told
    assert "accounts.csv · export, deleted or moved since" in told


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ('retain_until = "soon"', "a day in quotes"),
        ('retain_until = "2026-02-30"', "a day in quotes"),
        ("retain_until = 2028-12-31", "a day in quotes"),
        ('store_bio = "no"', "true or false"),
        ("keep_days = 0", "from 1"),
        ('legal_basis = "a\\nb"', "a line of text"),
        ('export_level = "anonymous"', '"pseudonymous"'),
    ],
)
def test_a_policy_that_cannot_be(run: Run, tmp_path: Path, line: str, allowed: str) -> None:
    """A rule that is not one is refused with what is allowed; nothing runs without it."""
    (tmp_path / "config.toml").write_text(f"[policy]\n{line}\n")
    ran = run("policy", "show")
    assert ran.code == 2
    assert allowed in ran.err


def test_the_report_carries_the_policy(run: Run, tmp_path: Path, crawled: Path) -> None:
    """Who reads the report reads on what ground it was made."""
    (tmp_path / "config.toml").write_text(POLICY)
    assert run("report", "--db", crawled, "--output", "out").code == 0
    assert "IRB 2026-117" in (tmp_path / "out" / "report.html").read_text()
    assert "IRB 2026-117" in (tmp_path / "out" / "report.json").read_text()


def test_the_report_compares_those_who_vanished(run: Run, tmp_path: Path) -> None:
    """Before a purge from the graph, after it from the receipt: how much they were followed, against the rest."""
    graph, path = town(120), tmp_path / "a.db"
    gone = [name(index) for index in range(3, 12)]
    for handle in gone:
        graph.set_status(handle, Status.NOT_FOUND)
    rehearsal.go(path, rehearsal.service(graph), seeds=[name(1), name(2), *gone], budget=400)
    followed = rehearsal.rows(
        path, "SELECT a.handle, count(f.dst) FROM accounts a LEFT JOIN follows f ON f.dst = a.id GROUP BY a.id"
    )  # fmt: skip
    vanished, rest = (
        median(count for handle, count in followed if (handle in gone) == is_gone) for is_gone in (True, False)
    )
    assert run("report", "--db", path, "--output", "before").code == 0
    assert json.loads((tmp_path / "before" / "report.json").read_text())["vanished"] == {
        "accounts": len(gone),
        "followers_observed": vanished,
        "rest_followers_observed": rest,
    }
    assert "Who vanished may differ from who stayed." in (tmp_path / "before" / "report.html").read_text()
    (tmp_path / "config.toml").write_text("[policy]\ndelete_missing = true\n")
    assert run("policy", "purge", "--db", path).code == 0
    assert run("report", "--db", path, "--output", "after").code == 0
    document = json.loads((tmp_path / "after" / "report.json").read_text())
    assert document["vanished"]["accounts"] == 0
    [purge] = document["purges"]
    assert purge["accounts_missing"] == len(gone)
    assert (purge["missing_followers_observed_median"], purge["rest_followers_observed_median"]) == (
        round(vanished),
        round(rest),
    )
    assert "Accounts were deleted by rule." in (tmp_path / "after" / "report.html").read_text()
