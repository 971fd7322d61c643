"""`policy`: how a study treats people, said in words; and what is due, done by command or by doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rehearsal
from people import name, town

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
    """What is due goes, with a receipt; a second purge finds nothing."""
    (tmp_path / "config.toml").write_text(POLICY)
    done = run("policy", "purge", "--db", crawled, "--json").document
    assert done["purged"]["field_bio"] > 0
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
