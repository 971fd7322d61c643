"""Data sets, snapshots and their verification, as commands."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq
import pytest
import rehearsal
from people import name, popular, town

if TYPE_CHECKING:
    from conftest import Run

SETTINGS = """
[policy]
legal_basis = "GDPR Art. 6(1)(e)"
approval = "IRB 2026-117"
[dataset]
title = "Who follows whom: a \\"test\\""
authors = "Ada Example; Ben Example"
license = "CC-BY-NC-4.0"
"""


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


@pytest.fixture
def crawled(tmp_path: Path) -> Path:
    (tmp_path / "study").mkdir()
    (tmp_path / "config.toml").write_text(SETTINGS)
    path = tmp_path / "study" / "a.db"
    rehearsal.go(path, rehearsal.service(town(60)), seeds=[name(1)], budget=20)
    return path


def dataset(run: Run, crawled: Path, home: dict[str, str], *more: str) -> dict[str, Any]:
    ran = run("export", "--dataset", "data", "--db", crawled, *more, "--json", environ=home)
    assert ran.code == 0, ran.err
    return ran.document


def test_a_data_set_is_pseudonymous_and_private(run: Run, tmp_path: Path, crawled: Path, home: dict[str, str]) -> None:
    """Without another word it holds nobody's name, in no file; its files are the owner's only."""
    assert dataset(run, crawled, home)["level"] == "pseudonymous"
    files = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert files == [
        "CITATION.cff",
        "README.md",
        "SHA256SUMS",
        *("accounts.csv", "accounts.parquet"),
        "datapackage.json",
        *("follows.csv", "follows.parquet"),
        "ro-crate-metadata.json",
    ]
    people = rehearsal.rows(crawled, "SELECT handle, platform_user_id, display_name FROM accounts")
    text = "".join(path.read_text() for path in (tmp_path / "data").iterdir() if path.suffix != ".parquet")
    text += str(pq.read_table(tmp_path / "data" / "accounts.parquet").to_pylist())
    assert not [word for words in people for word in words if word and word in text]
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "data").iterdir()} == {0}
    card = (tmp_path / "data" / "README.md").read_text()
    for words in ("Pseudonymous is not anonymous", "Not at random", "IRB 2026-117", "Duty to delete", "CC-BY-NC-4.0"):
        assert words in card


def test_frictionless_finds_no_fault(run: Run, tmp_path: Path, crawled: Path, home: dict[str, str]) -> None:
    """Every row has the types that datapackage.json says, and every follow is of accounts in the table."""
    import frictionless

    dataset(run, crawled, home)
    content = json.loads((tmp_path / "data" / "datapackage.json").read_text())
    tables = {**content, "resources": [each for each in content["resources"] if each["format"] == "csv"]}
    package = frictionless.Package.from_descriptor(tables, basepath=str(tmp_path / "data"))
    report = package.validate()
    assert report.valid, report.flatten(["type", "note"])
    assert report.stats["tasks"] == 2
    follows = tmp_path / "data" / "follows.csv"
    follows.write_text(follows.read_text() + "NOBODY,NOBODY,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z\r\n")
    assert not frictionless.Package.from_descriptor(tables, basepath=str(tmp_path / "data")).validate().valid


def test_rocrate_reads_it(run: Run, tmp_path: Path, crawled: Path, home: dict[str, str]) -> None:
    """The crate names every file with its checksum, its authors, its software and the runs that made it."""
    import rocrate.rocrate

    dataset(run, crawled, home)
    crate = rocrate.rocrate.ROCrate(tmp_path / "data")
    assert crate.metadata.id == "ro-crate-metadata.json"
    assert crate.version == "1.2"
    parts = {part.id for part in crate.root_dataset["hasPart"]}
    assert {"accounts.csv", "follows.parquet", "README.md", "datapackage.json"} <= parts
    assert all((tmp_path / "data" / part).exists() for part in parts)
    assert [author["name"] for author in crate.root_dataset["author"]] == ["Ada Example", "Ben Example"]
    assert [run["instrument"]["name"] for run in crate.root_dataset["mentions"]] == ["followgraph"]


def test_the_citation_is_yaml_whatever_the_title(run: Run, tmp_path: Path, crawled: Path, home: dict[str, str]) -> None:
    """A quote in a title stays in the title."""
    dataset(run, crawled, home)
    lines = (tmp_path / "data" / "CITATION.cff").read_text().splitlines()
    found = dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith(" "))
    assert msgspec.json.decode(found["title"]) == 'Who follows whom: a "test"'
    assert found["cff-version"] == "1.2.0"
    assert found["type"] == "dataset"
    assert found["license"] == "CC-BY-NC-4.0"
    import yaml

    read = yaml.safe_load((tmp_path / "data" / "CITATION.cff").read_text())
    assert [author["name"] for author in read["authors"]] == ["Ada Example", "Ben Example"]


def test_sha256sum_agrees(run: Run, tmp_path: Path, crawled: Path, home: dict[str, str]) -> None:
    """A reader needs no program of ours to check a copy."""
    dataset(run, crawled, home)
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(check, cwd=tmp_path / "data", capture_output=True, check=False)
    assert done.returncode == 0


def test_a_data_set_of_counts(run: Run, tmp_path: Path, crawled: Path, home: dict[str, str]) -> None:
    """At the level of counts there are no accounts at all."""
    assert dataset(run, crawled, home, "--level", "aggregate")["level"] == "aggregate"
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert {"counts.csv", "counts.parquet"} <= names
    assert "accounts.csv" not in names
    assert run("verify", "data", "--db", crawled).code == 0


def test_nothing_is_replaced(run: Run, tmp_path: Path, crawled: Path, home: dict[str, str]) -> None:
    """A folder with something in it is left alone; nothing half made is left behind."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").write_text("mine")
    ran = run("export", "--dataset", "data", "--db", crawled, "--json", environ=home)
    assert ran.code == 2
    assert ran.document["error"]["code"] == "output_not_writable"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mine"]
    assert not list(tmp_path.glob(".*partial"))
    assert run("export", "--dataset", "d", "--format", "csv", "--db", crawled, environ=home).code == 2


def test_verify_finds_every_change(run: Run, tmp_path: Path, crawled: Path, home: dict[str, str]) -> None:
    """A changed, a missing and an added file are told by name; the exit code says it."""
    dataset(run, crawled, home)
    assert run("verify", "data", "--json").document["verified"] is True
    (tmp_path / "data" / "accounts.csv").write_text("changed")
    (tmp_path / "data" / "README.md").unlink()
    (tmp_path / "data" / "more.txt").write_text("added")
    ran = run("verify", "data", "--json")
    assert ran.code == 5
    changed = {"files": 8, "changed": ["accounts.csv"], "missing": ["README.md"], "added": ["more.txt"]}
    assert ran.document["files"] == changed


@pytest.mark.parametrize("line", ["no checksum", f"{'0' * 64}  ../study/a.db", f"{'0' * 64}  /etc/hostname"])
def test_checksums_that_lead_elsewhere(run: Run, tmp_path: Path, crawled: Path, line: str) -> None:
    """A folder of strangers reads nothing outside itself."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "SHA256SUMS").write_text(f"{line}\n")
    assert run("verify", "theirs", "--db", crawled).code in {2, 5}


def test_a_snapshot_and_what_comes_after(run: Run, tmp_path: Path, crawled: Path, home: dict[str, str]) -> None:
    """As it was, crawled on, somebody forgotten: each is told for what it is; a change of the books is not excused."""
    taken = run("snapshot", "submitted", "--db", crawled, "--json")
    assert taken.code == 0, taken.err
    folder = crawled.parent / "snapshots" / "submitted"
    content = json.loads((folder / "snapshot.json").read_text())
    assert content["seeds"] == [name(1)]
    assert content["settings"]["policy"]["approval"] == "IRB 2026-117"
    assert content["versions"]["followgraph"]
    assert (folder / "config.toml").read_text() == SETTINGS
    assert {path.stat().st_mode & 0o077 for path in folder.iterdir()} == {0}
    same = run("verify", folder, "--db", crawled, "--json").document
    assert same["database"]["same"] is True
    rehearsal.go(crawled, rehearsal.service(town(60)), budget=10, new_run=True)
    later = run("verify", folder, "--db", crawled, "--json").document
    assert (later["verified"], later["database"]["same"], later["database"]["calls_since"]) == (True, False, 10)
    assert later["database"]["order"] is True
    run("forget", popular(crawled), "--db", crawled, environ=home)
    forgotten = run("verify", folder, "--db", crawled, "--json").document
    assert forgotten["verified"] is True
    assert forgotten["database"]["receipts_since"] == 1
    assert forgotten["database"]["books"] is True
    [(old,)] = rehearsal.rows(
        crawled,
        "SELECT min(src) FROM follows WHERE src NOT IN (SELECT account_id FROM ledger WHERE id > 20"
        " AND account_id IS NOT NULL) AND src NOT IN (SELECT account_id FROM visits JOIN withheld ON visit_id = id)",
    )
    [(target, visit)] = rehearsal.rows(crawled, f"SELECT dst, first_visit FROM follows WHERE src = {old} LIMIT 1")
    _change(crawled, f"DELETE FROM follows WHERE src = {old} AND dst = {target}")
    edited = run("verify", folder, "--db", crawled, "--json")
    assert (edited.code, edited.document["verified"]) == (5, False)
    assert edited.document["database"]["unexplained"]["lists"] == [old]
    assert f"lists that nobody asked for since: account {old}" in run("verify", folder, "--db", crawled).out
    _change(crawled, f"INSERT INTO follows VALUES ({old}, {target}, {visit}, NULL, NULL)")
    assert run("verify", folder, "--db", crawled).code == 0
    _change(crawled, "UPDATE ledger SET charged = 0 WHERE id = 3")
    ran = run("verify", folder, "--db", crawled, "--json")
    assert (ran.code, ran.document["database"]["books"]) == (5, False)


def _change(path: Path, statement: str) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute(statement)


@pytest.mark.parametrize("given", ["../elsewhere", "a/b", ".hidden", "", "x" * 65, "a\nb"])
def test_a_snapshot_stays_in_its_folder(run: Run, tmp_path: Path, crawled: Path, given: str) -> None:
    """A name is a name: no path, nothing hidden."""
    assert run("snapshot", given, "--db", crawled).code == 2
    assert not (crawled.parent / "snapshots").exists()


def test_a_snapshot_is_never_replaced(run: Run, crawled: Path) -> None:
    """What was frozen stays frozen."""
    assert run("snapshot", "one", "--db", crawled).code == 0
    assert run("snapshot", "one", "--db", crawled).code == 2


def test_forget_knows_of_snapshots_and_data_sets(run: Run, crawled: Path, home: dict[str, str]) -> None:
    """A snapshot names the seeds, a data set holds the person under a pseudonym: both are told."""
    run("snapshot", "one", "--db", crawled)
    dataset(run, crawled, home)
    found = run("forget", name(1), "--db", crawled, "--json", environ=home).document["exports"]
    assert {each["kind"] for each in found} == {"snapshot", "dataset"}
    assert {each["state"] for each in found} == {"there"}


@pytest.mark.parametrize("content", ["{}", "[]", "not json", '{"purchases": {"last": "x"}}', "[" * 100_000])
def test_what_is_no_snapshot(run: Run, tmp_path: Path, crawled: Path, content: str) -> None:
    """A damaged or hostile file is bad input, not a fault."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "snapshot.json").write_text(content)
    from storage.dataset import write_sums

    write_sums(folder)
    ran = run("verify", folder, "--db", crawled, "--json")
    assert ran.code == 2
    assert ran.document["error"]["code"] == "not_verifiable"


def test_a_snapshot_with_an_impossible_number_is_none(run: Run, crawled: Path) -> None:
    """A number that no database can hold is bad input too."""
    run("snapshot", "one", "--db", crawled)
    file = next(crawled.parent.parent.rglob("snapshot.json"))
    content = json.loads(file.read_text())
    content["purchases"]["last"] = 10**30
    file.write_text(json.dumps(content))
    ran = run("verify", file.parent, "--db", crawled, "--json")
    assert ran.code == 2
    assert ran.document["error"]["code"] == "not_verifiable"
