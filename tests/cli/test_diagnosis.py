from __future__ import annotations

import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import Ran, Run, Shell, Simulate


KEY = "sfk_test_0123456789ab9f2c"


def by_check(ran: Ran) -> dict[str, tuple[str, str, str]]:
    found: list[dict[str, Any]] = ran.document["findings"]
    return {each["check"]: (each["level"], each["finding"], each["remedy"]) for each in found}


def test_a_new_study(run: Run) -> None:
    """Before there is a key or a database nothing is wrong: doctor says what comes next and exits with 0."""
    ran = run("doctor", "--json")
    assert ran.code == 0
    found = by_check(ran)
    assert found["config"][0] == "ok"
    assert found["key"][0] == "warn"
    assert "SOCIALFETCH_API_KEY" in found["key"][2]
    assert found["database"][0] == "ok"
    assert "followgraph seed" in found["database"][2]
    assert found["disk"][0] in {"ok", "warn"}
    assert ran.document["fail"] == 0
    assert not Path("followgraph.db").exists()


def test_all_is_well(run: Run, simulate: Simulate) -> None:
    """With a good key and seeds all is ok; of the key only its end is shown, and nothing is spent."""
    url = simulate("--accounts", "20", "--key", KEY, "--credits", "18240")
    run("seed", "u0")
    ran = run("doctor", "--api-url", url, environ={"SOCIALFETCH_API_KEY": KEY})
    assert ran.code == 0
    assert "accepted (ends …9f2c, from SOCIALFETCH_API_KEY)" in ran.out
    assert "18,240 credits" in ran.out
    assert "1 account still to visit" in ran.out
    assert KEY not in ran.out + ran.err


def test_a_wrong_key(run: Run, simulate: Simulate) -> None:
    """A key that the provider refuses is a failure with a remedy, and is not shown."""
    url = simulate("--accounts", "20", "--key", KEY)
    ran = run("doctor", "--json", "--api-url", url, environ={"SOCIALFETCH_API_KEY": "sfk_wrong_0123456789abcd"})
    assert ran.code == 3
    level, finding, remedy = by_check(ran)["api"]
    assert level == "fail"
    assert "401" in finding
    assert "ends …abcd" in finding
    assert "SOCIALFETCH_API_KEY" in remedy
    assert ran.document["exit_code"] == 3


def test_top_up_and_empty_balance(run: Run, simulate: Simulate) -> None:
    """A provider that tops up by itself and an empty balance are warnings."""
    url = simulate("--accounts", "20", "--credits", "0", "--fault", "refill_on=1")
    ran = run("doctor", "--json", "--api-url", url, environ={"SOCIALFETCH_API_KEY": KEY})
    assert ran.code == 0
    found = by_check(ran)
    assert found["balance"][0] == "warn"
    assert found["top-up"][0] == "warn"


def test_unreachable(run: Run) -> None:
    """An API that cannot be reached is a failure that names the address."""
    ran = run("doctor", "--json", "--api-url", "http://127.0.0.1:9", environ={"SOCIALFETCH_API_KEY": KEY})
    assert ran.code == 4
    level, finding, _ = by_check(ran)["api"]
    assert level == "fail"
    assert "http://127.0.0.1:9" in finding


def test_a_key_file_that_others_read(run: Run, tmp_path: Path) -> None:
    """A key file with open permissions is a finding; the other checks still run."""
    (tmp_path / "the.key").write_text(KEY)
    (tmp_path / "the.key").chmod(0o644)
    ran = run("doctor", "--json", environ={"FOLLOWGRAPH_API__KEY_FILE": "the.key"})
    assert ran.code == 2
    found = by_check(ran)
    assert found["key"][0] == "fail"
    assert "chmod 600" in found["key"][1]
    assert "database" in found


def test_a_damaged_database(run: Run, tmp_path: Path) -> None:
    """A database whose numbers contradict each other fails, each finding with its remedy."""
    run("seed", "@a")
    with sqlite3.connect(tmp_path / "followgraph.db") as conn:
        conn.execute("DELETE FROM frontier")
        conn.execute("INSERT INTO follows (src, dst, first_visit) VALUES (1, 99, 1)")
    conn.close()
    ran = run("doctor", "--json")
    assert ran.code == 5
    findings = [each for each in ran.document["findings"] if each["check"] == "database"]
    assert len(findings) >= 2
    assert all(each["level"] == "fail" and each["remedy"] for each in findings)


def test_an_older_database(run: Run, tmp_path: Path) -> None:
    """A database of an older version is not touched by doctor, and upgraded after a copy by doctor --repair."""
    run("seed", "@a")
    with sqlite3.connect(tmp_path / "followgraph.db") as conn:
        conn.execute("UPDATE alembic_version SET version_num = '0000'")
    conn.close()
    ran = run("doctor", "--json")
    assert ran.code == 5
    assert "--repair" in by_check(ran)["database"][2]


def test_repair_of_a_sound_database(run: Run) -> None:
    """There is nothing to repair in a sound database, and --repair says so."""
    run("seed", "@a")
    ran = run("doctor", "--repair", "--json")
    assert ran.code == 0
    assert by_check(ran)["database"][0] == "ok"


def test_a_file_damaged_inside(run: Run, tmp_path: Path) -> None:
    """A database that opens but is damaged inside fails with a remedy, not with a fault of ours."""
    run("seed", *(f"account{number}" for number in range(500)))
    path = tmp_path / "followgraph.db"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    ran = run("doctor", "--json")
    assert ran.code == 5
    assert all(each["remedy"] for each in ran.document["findings"] if each["level"] == "fail")
    assert any("replay --from" in each["remedy"] and "backup" in each["remedy"] for each in ran.document["findings"])


def test_the_worst_finding_decides(run: Run, tmp_path: Path) -> None:
    """A database that cannot be used goes before an API that cannot be reached."""
    (tmp_path / "followgraph.db").write_text("no database")
    ran = run("doctor", "--json", "--api-url", "http://127.0.0.1:9", environ={"SOCIALFETCH_API_KEY": KEY})
    assert (ran.code, ran.document["exit_code"]) == (5, 5)


def test_no_seeds(run: Run, tmp_path: Path) -> None:
    """A database without accounts is a warning: a crawl would have nothing to do."""
    run("seed", "@a")
    with sqlite3.connect(tmp_path / "followgraph.db") as conn:
        conn.execute("DELETE FROM frontier")
        conn.execute("DELETE FROM accounts")
    conn.close()
    assert by_check(run("doctor", "--json"))["seeds"][0] == "warn"


def test_nowhere(run: Run) -> None:
    """A database in a folder that is not there is a failure, not a fault."""
    ran = run("doctor", "--db", "no/where/x.db", "--json")
    assert ran.code == 5
    assert by_check(ran)["disk"][0] == "fail"


RELEASED = Path(__file__).parents[1] / "storage" / "schemas" / "0001.sql"


def change(path: Path, sql: str) -> None:
    """Change a database by hand."""
    with closing(sqlite3.connect(path)) as conn:
        conn.executescript(sql)


def test_a_finding_is_for_machines_too(run: Run, tmp_path: Path) -> None:
    """Each finding of the database has its code, and says whether the repair mends it."""
    run("seed", "@a")
    change(tmp_path / "followgraph.db", "UPDATE frontier SET state = 5; UPDATE accounts SET handle = 'A'")
    ran = run("doctor", "--json")
    assert ran.code == 5
    found = {each["code"]: each for each in ran.document["findings"] if each["check"] == "database"}
    assert set(found) == {"never_due", "handles_not_normalised"}
    assert "--repair" in found["never_due"]["remedy"]
    assert "--repair" not in found["handles_not_normalised"]["remedy"]
    assert all(each["code"] for each in ran.document["findings"])
    assert "backup" not in ran.document


def test_repair_mends_after_a_copy(run: Run, tmp_path: Path) -> None:
    """What is safe is mended and told, the copy's name is printed, and doctor then finds nothing."""
    run("seed", "@a", "@b")
    change(tmp_path / "followgraph.db", "DELETE FROM frontier WHERE account_id = 2; UPDATE frontier SET state = 5")
    ran = run("doctor", "--repair", "--json")
    assert ran.code == 0, ran.out
    copy = Path(ran.document["backup"])
    assert copy.exists()
    assert copy.name.startswith("followgraph.db.before-repair.")
    assert {each["code"] for each in ran.document["mended"]} == {"never_due", "accounts_without_entry"}
    assert run("doctor", "--json").code == 0
    again = run("doctor", "--repair", "--json")
    assert (again.document["backup"], again.document["mended"]) == (None, [])
    change(tmp_path / "followgraph.db", "UPDATE frontier SET state = 5")
    told = run("doctor", "--repair")
    assert told.code == 0
    assert ".before-repair." in told.out
    assert "entries that waited for no time are queued" in told.out


def test_what_cannot_be_mended_is_said(run: Run, tmp_path: Path) -> None:
    """Where something is left the exit code is 5, with or without --repair."""
    run("seed", "@a")
    change(tmp_path / "followgraph.db", "UPDATE accounts SET handle = 'A'; UPDATE frontier SET state = 5")
    ran = run("doctor", "--repair", "--json")
    assert ran.code == 5
    assert [each["code"] for each in ran.document["mended"]] == ["never_due"]
    assert [each["code"] for each in ran.document["findings"] if each["level"] == "fail"] == ["handles_not_normalised"]


def test_no_repair_while_a_crawl_runs(run: Run, shell: Shell, simulate: Simulate, tmp_path: Path) -> None:
    """While a crawl's process works on it doctor looks, finds it sound, and --repair is refused with exit code 5."""
    url = simulate("--accounts", "300", "--latency", "300")
    crawl = ("crawl", "--seed", "u1", "--seed", "u2", "--budget", "500", "--api-url", url)
    process = shell(*crawl, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            assert process.poll() is None
            ran = run("status", "--json")
            if ran.code == 0 and ran.document["frontier"]["leased"]:
                break
            time.sleep(0.02)
        assert by_check(run("doctor", "--json"))["database"][0] == "ok"
        refused = run("doctor", "--repair", "--json")
        assert refused.code == 5
        assert [each["code"] for each in refused.document["findings"] if each["level"] == "fail"] == ["locked_by_crawl"]
        assert list(tmp_path.glob("*.backup")) == []
    finally:
        process.kill()
        process.communicate()
    mended = run("doctor", "--repair", "--json")
    assert mended.code == 0
    assert [each["code"] for each in mended.document["mended"]] == ["leases_of_the_dead"]


def test_a_released_schema_is_upgraded_by_repair(run: Run, tmp_path: Path) -> None:
    """A database of the first release is upgraded after a copy, and what its killed crawl left is taken back."""
    change(tmp_path / "followgraph.db", RELEASED.read_text())
    assert run("doctor", "--json").code == 5
    ran = run("doctor", "--repair", "--json")
    assert ran.code == 0, ran.out
    assert ".schema-0001." in ran.document["backup"]
    assert list(tmp_path.glob("*.backup")) == [tmp_path / Path(ran.document["backup"]).name]
    assert [each["code"] for each in ran.document["mended"]] == ["leases_of_the_dead"]
    assert run("status").code == 0


def test_a_newer_database_is_refused_by_every_command(run: Run, tmp_path: Path) -> None:
    """Exit code 5, the reason and the way out; not a byte of the file changes."""
    run("seed", "@a")
    path = tmp_path / "followgraph.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '9999'")
        conn.execute("PRAGMA journal_mode = DELETE")
    before = path.read_bytes()
    for arguments in (
        ("status",),
        ("seed", "@b"),
        ("crawl", "--budget", "5", "--api-url", "http://127.0.0.1:9"),
        ("doctor",),
        ("doctor", "--repair"),
        ("backup", "copy.db"),
        ("export", "--format", "edgelist", "--output", "x"),
        ("replay", "--from", "followgraph.db", "--db", "new.db"),
    ):
        ran = run(*arguments)
        assert ran.code == 5, arguments
        assert "newer followgraph" in ran.out + ran.err
        assert path.read_bytes() == before, arguments
    assert [file.name for file in tmp_path.iterdir()] == ["followgraph.db"]
