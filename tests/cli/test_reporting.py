from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli import memory

if TYPE_CHECKING:
    from conftest import Run, Simulate


def test_report(run: Run, tmp_path: Path) -> None:
    """The report's files are where the JSON says they are, and hold the accounts of the database."""
    run("seed", "@a", "@b")
    ran = run("report", "--output", "out", "--top", "3", "--json")
    assert ran.code == 0, ran.err
    found = ran.document
    assert (found["accounts"], found["edges"]) == (2, 0)
    assert found["seconds"] >= 0
    assert found["html"] == "out/report.html"
    assert "<html" in Path(found["html"]).read_text()
    assert json.loads(Path(found["json"]).read_text())
    assert sorted(found["tables"]) == sorted(str(path) for path in Path("out/tables").glob("*.csv"))


def test_equal_reports_are_equal_byte_for_byte(run: Run, simulate: Simulate) -> None:
    """With SOURCE_DATE_EPOCH two reports of a crawl do not differ in any file; without it in the time told alone."""
    run("seed", "u1", "u2")
    address = simulate("--accounts", "300", "--rng-seed", "4")
    crawled = run("crawl", "--budget", "60", environ={"FOLLOWGRAPH_API__BASE_URL": address, "SOCIALFETCH_API_KEY": "k"})
    assert crawled.code == 0, crawled.err
    for folder in ("one", "two"):
        assert run("report", "--output", folder, environ={"SOURCE_DATE_EPOCH": "1700000000"}).code == 0
    assert run("report", "--output", "now").code == 0

    def content(folder: str) -> dict[str, bytes]:
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    assert content("one") == content("two")
    assert len(content("one")) == 24
    fixed, told = (json.loads(content(folder)["report.json"]) for folder in ("one", "now"))
    assert fixed.pop("generated_at") == "2023-11-14T22:13:20Z"
    assert told.pop("generated_at") > "2026-01-01"
    assert fixed == told


@pytest.mark.parametrize("written", ["yesterday", "-1", "1.5", "²", "9" * 12, "9" * 5000])
def test_a_time_that_is_none_is_refused(run: Run, written: str) -> None:
    """A report is not dated by now where a time was asked for that is none: exit code 2, nothing is written."""
    run("seed", "@a")
    ran = run("report", environ={"SOURCE_DATE_EPOCH": written})
    assert ran.code == 2
    assert f'SOURCE_DATE_EPOCH is "{written[:12]}' in ran.err
    assert not Path("followgraph-report").exists()


def test_report_for_people(run: Run) -> None:
    """People are told what was read, what was written and what to open; the steps go to standard error."""
    run("seed", "@a")
    ran = run("report")
    assert ran.code == 0, ran.err
    assert "followgraph-report/report.html" in ran.out
    assert "report " in ran.err


def test_report_without_a_database(run: Run) -> None:
    """Without a database there is nothing to report: exit code 5, and no folder is made."""
    assert run("report").code == 5
    assert not Path("followgraph-report").exists()


def test_a_place_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    """A file where the folder should be is bad input."""
    run("seed", "@a")
    (tmp_path / "out").write_text("mine")
    ran = run("report", "--output", "out")
    assert ran.code == 2
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(
    ("place", "told"), [("notes.txt/out", "notes.txt/out"), ("/proc/out", "/proc/out"), ("full", "full/tables")]
)
def test_a_place_that_cannot_be_written_is_found_out_at_once(run: Run, tmp_path: Path, place: str, told: str) -> None:
    """In a file, where no folder can be made, or a file for the tables: told before anything is computed."""
    run("seed", "@a")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "tables").write_text("mine")
    ran = run("report", "--output", place)
    assert ran.code == 2
    assert f"error: {told} cannot be written" in ran.err
    assert "name another place with --output" in ran.err
    assert "reading (0 of 5)" in ran.err
    assert "(1 of 5)" not in ran.err
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["tables"]


def test_only_a_report_is_replaced(run: Run, tmp_path: Path) -> None:
    """A page, a file of numbers or a table of somebody else stays; an older report is replaced."""
    run("seed", "@a")
    for name in ("report.html", "report.json", "methods.md", "references.bib", "tables/accounts.csv"):
        place = tmp_path / "out" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("mine")
        ran = run("report", "--output", "out")
        assert ran.code == 2, ran.err
        assert str(name) in ran.err
        assert place.read_text() == "mine"
        place.unlink()
    assert run("report", "--output", "out").code == 0
    assert run("report", "--output", "out").code == 0


def test_a_report_never_replaces_the_database(run: Run, tmp_path: Path) -> None:
    """Where the page would be written to the database itself, through a link, nothing is written."""
    run("seed", "@a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").symlink_to(tmp_path / "followgraph.db")
    assert run("report", "--output", "out").code == 2
    assert run("status").code == 0


def test_wrong_wishes(run: Run) -> None:
    """Values outside their bounds are told with the flag's name."""
    run("seed", "@a")
    assert "--top" in run("report", "--top", "0").err
    assert "--resolution" in run("report", "--resolution", "-1").err


@pytest.mark.parametrize(
    ("lines", "files", "room"),
    [
        (  # the second version: the group itself, and the one around it
            "0::/jobs/mine\n",
            {"jobs/mine/memory.max": "max", "jobs/mine/memory.current": "5", "jobs/memory.max": "900000000",
             "jobs/memory.current": "400000000", "jobs/memory.stat": "file 250\ninactive_file 200\nactive_file 50"},
            500_000_200,
        ),
        (  # the first
            "5:cpu:/x\n4:memory:/jobs\n0::/\n",
            {"memory/jobs/memory.limit_in_bytes": "800000000", "memory/jobs/memory.usage_in_bytes": "700000000"},
            100_000_000,
        ),
        ("0::/\n", {}, None),
    ],
)  # fmt: skip
def test_a_containers_limit_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, files: dict[str, str], room: int | None
) -> None:
    """A report is refused by what the container leaves, whichever version tells it, in its group or one around it."""
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")
    told = tmp_path / "told"
    told.write_text(lines)
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    monkeypatch.setattr(memory, "OWN_GROUP", told)
    machine = memory.room()
    assert machine is not None
    assert machine == room if room is not None else machine > 10_000_000


def test_a_report_that_would_not_fit_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is read or written: exit code 2, how much it needs, how much there is, and what to do."""
    run("seed", "@a")
    monkeypatch.setattr(memory, "room", lambda: 100_000_000)
    ran = run("report")
    assert ran.code == 2
    assert "needs about 0.4 GB of memory, and 0.1 GB are free" in ran.err
    assert "analyse --engine spark" in ran.err
    assert not Path("followgraph-report").exists()
