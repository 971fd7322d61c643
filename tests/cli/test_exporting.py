from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

import pytest

from cli.exporting import export
from storage.export import FORMATS

if TYPE_CHECKING:
    from conftest import Run


@pytest.mark.parametrize("name", FORMATS)
def test_every_format(run: Run, tmp_path: Path, name: str) -> None:
    """Every format is written where it was asked for, and its numbers are told."""
    run("seed", "@a", "@b")
    ran = run("export", "--format", name, "--output", "out", "--json")
    assert ran.code == 0, ran.err
    assert ran.document == {"schema": 1, "path": "out", "accounts": 2, "edges": 0}
    assert (tmp_path / "out").exists()


def test_formats_are_those_of_storage() -> None:
    """The command takes the formats that there are, no more and no fewer."""
    assert get_args(get_type_hints(export)["format"]) == FORMATS


def test_a_place_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    """A place that cannot be written is bad input; what stands there stays."""
    run("seed", "@a")
    (tmp_path / "file").write_text("mine")
    ran = run("export", "--format", "csv", "--output", "file", "--json")
    assert ran.code == 2
    assert ran.document["error"]["code"] == "output_not_writable"
    assert (tmp_path / "file").read_text() == "mine"


def test_both_are_needed(run: Run) -> None:
    """Format and place are both asked for."""
    assert "--output" in run("export", "--format", "csv").err
    assert "--format" in run("export", "--output", "x").err


def test_people_are_told(run: Run) -> None:
    """Whoever exports is told what was written and that the accounts are people."""
    run("seed", "@a")
    ran = run("export", "--format", "edgelist", "--output", "edges.tsv")
    assert "edges.tsv · 1 account · 0 follows" in ran.out
    assert "people" in ran.out
