"""Whom a report names: seeds and the much followed; everybody else in a private copy only, which says what it is."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
import rehearsal
from people import name, now, town

from analysis.report.build import build
from storage import secret
from storage.database import Database

SOURCE = "api.example.com"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crawl of what claims to be the real platform."""
    path = tmp_path_factory.mktemp("study") / "a.db"
    rehearsal.go(path, rehearsal.service(town(120)), seeds=[name(1), name(2)], budget=60, source=SOURCE)
    return path


def written(place: Path, folder: Path, **more: object) -> str:
    """Build a report and return everything in it."""
    # Settings of several types, by name.
    files = build(place, folder, now=now, **more)  # type: ignore[arg-type]
    return "\n".join(path.read_text() for path in (files.html, files.json, *files.tables))


def handles(place: Path, where: str) -> set[str]:
    return {handle for (handle,) in rehearsal.rows(
        place, f"SELECT handle FROM accounts JOIN frontier ON id = account_id WHERE {where}"
    )}  # fmt: skip


@pytest.mark.parametrize("with_key", [True, False])
def test_only_seeds_and_the_much_followed_are_named(place: Path, tmp_path: Path, with_key: bool) -> None:
    """No file of the report holds the handle or name of anybody else; all are told apart by their pseudonyms."""
    limit = rehearsal.rows(
        place, "SELECT followers FROM accounts WHERE followers > 0 ORDER BY 1 DESC LIMIT 1 OFFSET 4"
    )[0][0]
    key = secret.create(tmp_path / "a.key") if with_key else None
    text = written(place, tmp_path / "report", min_followers_to_name=limit, key=lambda: key)
    hidden = handles(place, f"depth > 0 AND (followers < {limit} OR followers IS NULL)")
    assert len(hidden) > 20
    assert not [handle for handle in hidden if handle in text]
    named = handles(place, f"depth = 0 OR followers >= {limit}")
    assert {handle for handle in named if handle in text} >= handles(place, "depth = 0")
    assert "acct-" in text
    assert "@acct-" not in text
    assert "Pseudonymous is not anonymous" in text
    labels = [row["handle"] for row in json.loads((tmp_path / "report" / "report.json").read_text())["central"]]
    assert len(set(labels)) == len(labels)
    names = rehearsal.rows(
        place,
        "SELECT display_name, max(followers) FROM accounts JOIN frontier ON id = account_id GROUP BY 1"
        f" HAVING min(depth) > 0 AND max(followers) < {limit}",
    )
    assert names
    assert not [called for called, _ in names if called and called in text]


def test_a_private_copy_names_everybody_and_says_so(place: Path, tmp_path: Path) -> None:
    """--show-names: watermarked in the page, its title and the JSON."""
    text = written(place, tmp_path / "report", min_followers_to_name=10**9, show_names=True)
    html = (tmp_path / "report" / "report.html").read_text()
    assert "Private copy." in html
    assert "[private copy]" in html
    assert 'class="private"' in html
    assert json.loads((tmp_path / "report" / "report.json").read_text())["settings"]["show_names"] is True
    assert "acct-" not in text
    usual = written(place, tmp_path / "usual", min_followers_to_name=10**9)
    assert "Private copy." not in usual
    assert "acct-" in usual


def test_a_rehearsal_names_everybody_and_needs_no_key(tmp_path: Path) -> None:
    """Nobody in it is real; no key is made for it."""
    path = tmp_path / "a.db"
    rehearsal.go(path, rehearsal.service(town(60)), seeds=[name(1)], budget=20, source="127.0.0.1")

    def refuses() -> None:
        raise AssertionError

    assert "acct-" not in written(path, tmp_path / "report", min_followers_to_name=10**9, key=refuses)


def test_the_same_key_gives_report_and_export_the_same_pseudonyms(place: Path, tmp_path: Path) -> None:
    """A reader of both can find an account of one in the other."""
    from storage.persons import pseudonyms

    key = secret.create(tmp_path / "a.key")
    written(place, tmp_path / "report", min_followers_to_name=10**9, key=lambda: key)
    rows = json.loads((tmp_path / "report" / "report.json").read_text())["central"]
    with closing(Database.open(place, now=now, mode="read")) as database, database.read() as conn:
        made = {str(account_id): pseudonym for account_id, pseudonym in pseudonyms(conn, key)}
    unnamed = [row for row in rows if row["handle"].startswith("acct-")]
    assert unnamed
    assert all(made[row["id"]].startswith(row["handle"].removeprefix("acct-")) for row in unnamed)
