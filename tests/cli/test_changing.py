from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from study import Study, facts

if TYPE_CHECKING:
    from conftest import Run

DAY = 86_400.0


@pytest.fixture
def changed(tmp_path: Path) -> Study:
    """Return a database in which `a` followed x and y on the first day, x and z on the second."""
    study = Study(tmp_path / "followgraph.db", "a")
    study.visit("a", facts("x"), facts("y"))
    study.now += DAY
    study.visit("a", facts("x"), facts("z"))
    study.db.close()
    return study


def test_gained_and_lost_are_counted_and_named(run: Run, changed: Study, tmp_path: Path) -> None:
    """The JSON counts by kind and names every follow; the file holds the same."""
    ran = run("diff", "--from", "2025-06-15T15:06:40Z", "--to", "2025-06-17", "--output", "changes.csv", "--json")
    assert ran.code == 0, ran.err
    document = ran.document
    assert (document["new"], document["gone"], document["back"], document["learned"]) == (1, 1, 0, 0)
    assert {tuple(row[:3]) for row in document["follows"]} == {("new", "a", "z"), ("gone", "a", "y")}
    with (tmp_path / "changes.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["change", "source", "target", "seen"]
    assert sorted(row[:3] for row in rows[1:]) == [["gone", "a", "y"], ["new", "a", "z"]]
    told = run("diff", "--from", "2025-06-15T15:06:40", "--to", "2025-06-17", "--output", "changes.csv")
    assert "wrote    changes.csv · 2 changes" in told.out
    assert "a → z" in told.out
    assert "1 gained · 1 lost · 0 back again" in told.out


def test_an_export_as_of_a_day(run: Run, changed: Study, tmp_path: Path) -> None:
    """`--as-of` writes the follows as they were known then."""
    assert run("export", "--format", "edgelist", "--output", "then.tsv", "--as-of", "2025-06-16").code == 0
    assert run("export", "--format", "edgelist", "--output", "now.tsv").code == 0
    assert (tmp_path / "then.tsv").read_text() == "a\tx\na\ty\n"
    assert (tmp_path / "now.tsv").read_text() == "a\tx\na\tz\n"


@pytest.mark.parametrize(
    "times", [("yesterday", "now"), ("2026-13-01", "now"), ("2025-06-17", "2025-06-16"), ("99999999999d", "now")]
)
def test_times_that_are_none(run: Run, changed: Study, times: tuple[str, str]) -> None:
    """A time that cannot be read, or the later one first, is bad input."""
    ran = run("diff", "--from", times[0], "--to", times[1], "--json")
    assert ran.code == 2
    assert ran.document["error"]["code"] == "not_a_time"
