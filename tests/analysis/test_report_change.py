"""The report's section on change, from a study whose lists were read three times while the network changed."""

from __future__ import annotations

import asyncio
import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import rehearsal
import virtual_time
from jsonschema import Draft202012Validator
from refreshing import DAY, refresh

from analysis.report.build import ReportFiles, build
from socialfetch.simulator import network

SCHEMA = Path(__file__).parents[2] / "docs" / "report.schema.json"
FOLLOWS = [("a", "b"), ("b", "c"), ("c", "a"), ("a", "d"), ("b", "d"), ("c", "d"), ("d", "a")]


def study(path: Path, *, readings: int) -> None:
    """Read all lists so many times, a month apart: e is won, d loses two followers, one of them comes back."""
    graph = network.from_follows([*FOLLOWS, ("d", "e")])
    api = rehearsal.service(graph)

    async def months() -> None:
        await rehearsal.crawl(path, api, seeds=["a"], budget=100)
        for month in range(1, readings):
            await asyncio.sleep(31 * DAY)
            if month == 1:
                graph.add_follow("a", "e")
                graph.remove_follow("b", "d")
                graph.remove_follow("c", "d")
            else:
                graph.add_follow("b", "d")
            await refresh(path, api, budget=100)

    virtual_time.run(months())


def report(path: Path, output: Path) -> ReportFiles:
    """Build the report."""
    return build(path, output, now=lambda: datetime(2027, 6, 1, tzinfo=UTC).timestamp())


def test_what_came_and_went_is_told_month_by_month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The JSON, the tables and the page say what changed, when it was seen, and whom it concerns."""
    monkeypatch.setattr(virtual_time, "EPOCH", datetime(2026, 1, 15, tzinfo=UTC).timestamp())
    study(tmp_path / "a.db", readings=3)
    files = report(tmp_path / "a.db", tmp_path / "report")
    content = json.loads(files.json.read_text())
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(content)
    found = content["changes"]
    assert (found["new"], found["back"], found["gone"]) == (1, 1, 2)
    assert found["revisited"]["accounts"] == 4
    assert found["months"] == [
        {"month": "2026-02", "new": 1, "back": 0, "gone": 2},
        {"month": "2026-03", "new": 0, "back": 1, "gone": 0},
    ]
    assert [(row["handle"], row["won"], row["lost"]) for row in found["winners"]] == [("e", 1, 0)]
    assert [(row["handle"], row["won"], row["lost"]) for row in found["losers"]] == [("d", 1, 2)]
    [path] = [path for path in files.tables if path.stem == "changes_by_account"]
    with path.open(encoding="utf-8", newline="") as file:
        assert [(row["handle"], row["won"], row["lost"]) for row in csv.DictReader(file)] == [
            ("e", "1", "0"),
            ("d", "1", "2"),
        ]
    page = files.html.read_text(encoding="utf-8")
    assert "They gained 1 follow, lost 2, and 1 came back that had been lost before." in page
    assert '<a href="#change">' in page


def test_lists_read_once_show_no_change(tmp_path: Path) -> None:
    """Without a second reading there is no section, and follows read for the first time are nobody's gain."""
    study(tmp_path / "a.db", readings=1)
    files = report(tmp_path / "a.db", tmp_path / "report")
    assert json.loads(files.json.read_text())["changes"] is None
    assert 'id="change"' not in files.html.read_text(encoding="utf-8")
