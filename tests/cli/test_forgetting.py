"""`forget` and `optout` as commands: what they take, what they say, and a kill at any moment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rehearsal
from people import holding, name, popular, study, town, traces

from analysis.graph import load_graph
from storage.database import graph_beside

if TYPE_CHECKING:
    from conftest import Run, Shell, Simulate


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody with a home folder, where the project key goes."""
    return {"HOME": str(tmp_path / "home")}


@pytest.fixture
def crawled(tmp_path: Path) -> Path:
    """The database of a small study."""
    return study(tmp_path, accounts=120, budget=60)


def keys(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "home" / ".local" / "share" / "followgraph" / "keys").glob("*.key"))


def test_forget_and_its_receipt(run: Run, tmp_path: Path, crawled: Path, home: dict[str, str]) -> None:
    """The person is gone, the receipt is printed, the key is a private file outside the study."""
    person = popular(crawled)
    ran = run("forget", f"@{person.upper()}", "--db", crawled, "--json", environ=home)
    assert ran.code == 0, ran.err
    assert ran.document["forgotten"] == 1
    assert ran.document["kept_out"] == 1
    assert ran.document["scoured"] is True
    [(hash,)] = rehearsal.rows(crawled, "SELECT hash FROM receipts")
    assert ran.document["receipt"]["hash"] == hash
    [key] = keys(tmp_path)
    assert key.stat().st_mode & 0o777 == 0o600
    assert str(key) in ran.err
    assert person not in ran.out
    told = run("forget", name(1), "--db", crawled, environ=home)
    assert "receipt" in told.out
    assert "1 account" in told.out


def test_the_price_stays_in_the_books(run: Run, crawled: Path, home: dict[str, str]) -> None:
    """What was spent on a forgotten account was spent: status says the same before and after."""
    before = run("status", "--db", crawled, "--json").document
    run("forget", popular(crawled), "--db", crawled, environ=home)
    after = run("status", "--db", crawled, "--json").document
    assert after["credits"] == before["credits"]
    assert after["totals"]["charged"] == before["totals"]["charged"]
    assert run("doctor", "--db", crawled, "--json").document["fail"] == 0


def test_a_file_of_people(run: Run, tmp_path: Path, crawled: Path, home: dict[str, str]) -> None:
    """Handles, ids and hashes stand one a line; what is none of these is refused by line, and nobody is erased."""
    stable = rehearsal.rows(crawled, "SELECT platform_user_id FROM accounts WHERE platform_user_id IS NOT NULL")[0][0]
    people = tmp_path / "people.txt"
    people.write_text(f"@nobody.yet # wrote in May\nid:{stable}\nno handle at all\n")
    refused = run("forget", "--file", people, "--db", crawled, "--json", environ=home)
    assert refused.code == 2
    assert refused.document["rejected"][0]["line"] == 3
    assert rehearsal.rows(crawled, "SELECT count(*) FROM receipts") == [(0,)]
    people.write_text(f"@nobody.yet # wrote in May\nid:{stable}\n")
    ran = run("forget", "--file", people, "--db", crawled, "--json", environ=home)
    assert (ran.document["forgotten"], ran.document["not_stored"]) == (1, 1)


def test_optout_comes_before_the_first_page(run: Run, tmp_path: Path, home: dict[str, str]) -> None:
    """A list can be given to a new database; its people are no seeds then, and status of nobody changes."""
    (tmp_path / "study").mkdir()
    (tmp_path / "optout.txt").write_text("@anna\nid:123456\n" + "ab" * 32 + "\n")
    ran = run("optout", "--file", "optout.txt", "--db", "study/b.db", "--json", environ=home)
    assert ran.code == 0, ran.err
    assert ran.document["kept_out"] == 3
    seeded = run("seed", "@Anna", "@berta", "--db", "study/b.db", "--json", environ=home)
    assert (seeded.document["added"], seeded.document["kept_out"]) == (1, 1)
    assert "kept out" in run("seed", "@anna", "--db", "study/b.db", environ=home).out
    assert rehearsal.rows(tmp_path / "study" / "b.db", "SELECT handle FROM accounts") == [("berta",)]


def test_a_key_inside_the_study_is_refused(run: Run, crawled: Path) -> None:
    """Who gets the folder would get the key as well."""
    ran = run("forget", name(1), "--db", crawled, "--key", crawled.parent / "my.key", "--json")
    assert ran.code == 5
    assert ran.document["error"]["code"] == "key_unusable"
    assert "a folder of its own" in ran.document["error"]["hint"]


@pytest.mark.parametrize("home", [".", "me"])
def test_a_study_in_the_home_folder_itself(run: Run, tmp_path: Path, home: str) -> None:
    """The home folder, or one above it, is not given away as a study is: a key lies apart in another folder of it."""
    environ = {"HOME": str(tmp_path / home)}
    assert run("seed", "@anna", "@berta", "--db", "study.db", environ=environ).code == 0
    report = run("report", "--db", "study.db", "--output", "r", "--json", environ=environ)
    assert report.code == 0, report.err
    export = ("export", "--format", "csv", "--output", "out", "--pseudonymise", "--db", "study.db", "--json")
    assert run(*export, environ=environ).code == 0
    [key] = tmp_path.rglob("*.key")
    assert key.parent == tmp_path / home / ".local" / "share" / "followgraph" / "keys"
    beside = run(*export, "--key", "beside.key", environ=environ)
    assert beside.code == 5
    assert "who gets the folder would get both" in beside.err + str(beside.document)


def test_no_key_is_made_below_a_study(run: Run, tmp_path: Path) -> None:
    """Below a study's own folder no key is made, however deep, and wherever a setting puts data."""
    (tmp_path / "study").mkdir()
    environ = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "study" / "data")}
    run("seed", "@anna", "--db", "study/a.db", environ=environ)
    ran = run("export", "--format", "csv", "--output", "o", "--pseudonymise", "--db", "study/a.db", environ=environ)
    assert ran.code == 5
    assert not list(tmp_path.rglob("*.key"))


def test_a_mistyped_key_is_not_made(run: Run, tmp_path: Path, crawled: Path) -> None:
    """A key named on the command line exists, or is a mistake."""
    ran = run("forget", name(1), "--db", crawled, "--key", tmp_path / "none.key", "--json")
    assert ran.code == 5
    assert not (tmp_path / "none.key").exists()


def test_without_a_home_a_place_is_asked_for(run: Run, crawled: Path) -> None:
    """Nobody guesses where a secret goes."""
    ran = run("forget", name(1), "--db", crawled, "--json")
    assert ran.code == 5
    assert "policy.key_file" in ran.document["error"]["hint"]


def test_somebody_must_be_named(run: Run, crawled: Path, home: dict[str, str]) -> None:
    """A bare `forget` erases nobody."""
    assert run("forget", "--db", crawled, environ=home).code == 2
    assert rehearsal.rows(crawled, "SELECT count(*) FROM receipts") == [(0,)]


def test_a_pseudonym_of_nobody(run: Run, crawled: Path, home: dict[str, str]) -> None:
    """An unknown pseudonym is bad input."""
    ran = run("forget", "A" * 26, "--db", crawled, "--json", environ=home)
    assert ran.code == 2
    assert ran.document["error"]["code"] == "not_found"


def test_killed_at_any_moment(run: Run, shell: Shell, tmp_path: Path, crawled: Path) -> None:
    """Either all of a person is there or the account is gone; called again, no byte is left. Five kills."""
    person = popular(crawled)
    needles = traces(rehearsal.service(town(120)), person)
    key = tmp_path / "home.key"
    key.write_text("5e" * 32 + "\n")
    key.chmod(0o600)
    whole_s = 0.0
    for round in range(6):  # the first is not killed: it tells how long it takes
        path = tmp_path / f"round{round}" / "a.db"
        path.parent.mkdir()
        shutil.copy(crawled, path)
        arguments = ("forget", person, "--db", str(path), "--key", str(key))
        begun = time.monotonic()
        process = shell(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=whole_s * (0.4 + 0.1 * round) if round else 60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=20)
        whole_s = whole_s or time.monotonic() - begun
        stored = rehearsal.rows(path, f"SELECT count(*) FROM accounts WHERE handle = '{person}'")
        receipts = rehearsal.rows(path, "SELECT count(*) FROM receipts")
        assert (stored, receipts) in (([(1,)], [(0,)]), ([(0,)], [(1,)]))
        assert rehearsal.findings(path) == []
        assert run(*arguments, "--json").document["scoured"] is True
        assert holding(path.parent, needles) == []


def test_the_graph_kept_beside_the_database_goes_too(run: Run, crawled: Path, home: dict[str, str]) -> None:
    """A loaded graph is kept as numbers beside the database; whom a forgotten person followed is not kept in it."""
    for file in crawled.parent.glob("a.db*"):
        os.utime(file, (1e9, 1e9))  # a graph is kept only of a database that was not written just now
    load_graph(crawled)
    kept = graph_beside(crawled)
    assert kept.exists()
    run("forget", popular(crawled), "--db", crawled, environ=home)
    assert not kept.exists()


def test_backups_and_replays_are_named_and_never_deleted(
    run: Run, tmp_path: Path, crawled: Path, home: dict[str, str]
) -> None:
    """Both are databases of their own that hold the person: each is told, with what to type; people go out of it."""
    person = popular(crawled)
    (tmp_path / "copies").mkdir()
    assert run("backup", "copies/copy.db", "--db", crawled).code == 0
    assert run("replay", "--from", crawled, "--db", "copies/again.db").code == 0
    assert run("export", "--format", "csv", "--output", "study/out", "--db", crawled).code == 0
    asked = ("forget", person, "--db", crawled, "--delete-exports")
    told = run(*asked, environ=home)
    assert f"{tmp_path / 'copies' / 'copy.db'} · backup, there" in told.out
    assert "name it with --db" in told.out
    document = run(*asked, "--json", environ=home).document
    found = {Path(each["path"]).name: (each["kind"], each["state"]) for each in document["exports"]}
    assert found == {
        "copy.db": ("backup", "there"),
        "again.db": ("replay", "there"),
        "accounts.csv": ("export", "gone"),
        "follows.csv": ("export", "gone"),
    }
    [key] = keys(tmp_path)
    for file in ("copy.db", "again.db"):
        path = tmp_path / "copies" / file
        assert person.encode() in path.read_bytes()
        assert run("forget", person, "--db", path, "--key", key, environ=home).code == 0
        assert person.encode() not in path.read_bytes()
    assert {each["state"] for each in run(*asked, "--json", environ=home).document["exports"]} == {"changed", "gone"}


def test_what_was_deleted_or_moved_is_told_as_not_found(run: Run, crawled: Path, home: dict[str, str]) -> None:
    """A second call with --delete-exports finds what the first one told; a file that is elsewhere is called that."""
    for place in ("one", "two"):
        run("export", "--format", "edgelist", "--output", crawled.parent / place, "--db", crawled)
    person = popular(crawled)
    assert run("forget", person, "--db", crawled, "--json", environ=home).document["exports_deleted"] == []
    (crawled.parent / "two").rename(crawled.parent / "elsewhere")
    moved = crawled.parent.rename(crawled.parent.with_name("moved")) / crawled.name
    ran = run("forget", person, "--db", moved, "--delete-exports", "--json", environ=home)
    assert ran.document["exports_deleted"] == [str(moved.parent / "one")]
    assert not (moved.parent / "one").exists()
    told = run("forget", person, "--db", moved, environ=home)
    assert f"{moved.parent / 'two'} · export, deleted or moved since" in told.out
    assert "look for it" in told.out


def test_a_list_of_seeds_that_names_who_is_kept_out_is_told(
    run: Run, tmp_path: Path, home: dict[str, str], simulate: Simulate
) -> None:
    """At forget and at the start of a crawl, with the count and nobody's name; nobody of it is bought."""
    (tmp_path / "study").mkdir()
    (tmp_path / "people.txt").write_text("@u3\n@u4 # asked in May\nu5\n")
    (tmp_path / "study" / "seeds.txt").write_text("@u4\nno handle at all\n")
    assert run("seed", "--file", "people.txt", "--db", "study/a.db", environ=home).code == 0
    told = run("forget", "@u4", "@u5", "--db", "study/a.db", "--json", environ=home)
    counts = {Path(each["path"]).name: each["kept_out"] for each in told.document["seed_lists"]}
    assert counts == {"people.txt": 2, "seeds.txt": 1}
    assert told.document["exports"] == []
    assert "people.txt still names 2 accounts that are kept out" in told.err
    url = simulate("--accounts", "50", "--key", "k")
    environ = {**home, "SOCIALFETCH_API_KEY": "k"}
    asked = ("crawl", "--seeds-file", "people.txt", "--budget", "3", "--max-depth", "0", "--db", "study/a.db")
    ran = run(*asked, "--api-url", url, "--log-level", "debug", environ=environ)
    assert ran.code == 0, ran.err
    assert "people.txt still names 2 accounts that are kept out" in ran.err
    assert "seeds.txt still names 1 account that is kept out" in ran.err
    assert "u4" not in ran.err + ran.out
    assert "u5" not in ran.err + ran.out
    bought = "SELECT count(*) FROM accounts WHERE handle IN ('u4', 'u5')"
    assert rehearsal.rows(tmp_path / "study" / "a.db", bought) == [(0,)]


def test_no_byte_is_left_in_a_log_either(
    run: Run, shell: Shell, simulate: Simulate, tmp_path: Path, home: dict[str, str]
) -> None:
    """A log of everything, trouble included, calls accounts by number: after forget no file names them."""
    url = simulate("--accounts", "200", "--key", "k", "--fault", "lookup_failed=0.2", "--fault", "bad_request=0.1",
                   "--fault", "repeated_cursor=0.2")  # fmt: skip
    (tmp_path / "study").mkdir()
    database = tmp_path / "study" / "a.db"
    asked = ("crawl", "--seed", "u100", "--seed", "u101", "--budget", "120", "--db", str(database), "--api-url", url)
    with (tmp_path / "study" / "crawl.log").open("wb") as log:
        process = shell(*asked, "--log-level", "debug", "--json", environ={"SOCIALFETCH_API_KEY": "k"},
                        stdout=log, stderr=log)  # fmt: skip
        assert process.wait(timeout=120) == 0
    written = (tmp_path / "study" / "crawl.log").read_text()
    events = {json.loads(line)["event"] for line in written.splitlines() if '"event"' in line}
    assert {"page.committed", "page.deferred", "entry.failed"} <= events
    for handle, number in rehearsal.rows(database, "SELECT a.handle, a.id FROM accounts a JOIN visits v"
                                         " ON v.account_id = a.id ORDER BY v.id LIMIT 20"):  # fmt: skip
        assert f'"{handle}"' not in written
        assert f'"account": {number},' in written or f'"account": {number}}}' in written
    person = "u100"
    assert run("why", "#1", "--db", database, "--json").document["handle"] == person
    assert run("why", "#99999", "--db", database).code == 2
    traces_of = [(stable.encode()) for (stable,) in rehearsal.rows(
        database, f"SELECT platform_user_id FROM accounts WHERE handle = '{person}' AND platform_user_id IS NOT NULL"
    )]  # fmt: skip
    assert run("forget", person, "--db", database, environ=home).code == 0
    assert holding(database.parent, [b'"u100"', b"@u100", *traces_of]) == []
