"""The tutorial runs as it stands, and a graph shows itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.graph import load_graph
from tests.analysis.sample import Sample, Visit, write

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.ipynb"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str | None]]:
    """What each cell shows when all are run, in order, against the simulator, in a folder of their own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "tests" / "support" / "notebook.py", TUTORIAL],
        cwd=tmp_path_factory.mktemp("tutorial"),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str | None]] = json.loads(done.stdout)
    return found


def test_every_cell_runs_and_shows_what_its_text_says(shown: dict[str, list[str | None]]) -> None:
    """The crawl bought a part of the network, and every analysis of it came to something."""
    assert "visited" in (shown["load"][1] or "")
    known, follows = json.loads((shown["facts"][0] or "")[1:].split(", '")[0].join("[]"))
    assert 300 < known <= 2_000 < follows
    assert len(eval(shown["pagerank"][0] or "")) == 5
    assert eval(shown["more"][0] or "")["triangles"] > 0
    assert all(size > 0 for size, _ in eval(shown["parts"][0] or "").values())
    earlier, now = eval(shown["earlier"][0] or "")
    assert 0 < earlier <= now == known
    assert (shown["consensus"][0] or "").count("Community ") == 3
    assert (shown["structure"][0] or "").startswith("BowTie(core=")
    assert "largest core: " in (shown["structure"][0] or "")


def test_the_tutorial_is_kept_without_results() -> None:
    """The file holds no outputs, which would grow stale, and a version 4 notebook's marks."""
    notebook = json.loads(TUTORIAL.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(not cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code")


def test_a_graph_shows_what_it_holds_and_escapes_what_is_foreign(tmp_path: Path) -> None:
    """A notebook shows accounts, standings, follows and the most followed, with hostile handles as text."""
    sample = Sample(
        seeds=("ann",),
        visits={"ann": Visit(("<b>bob", "cat")), "cat": Visit(("<b>bob",), "partial"), "dan": Visit((), "not_found")},
    )
    path = write(tmp_path / "graph.db", sample)
    graph = load_graph(path)
    html = graph._repr_html_()
    assert "4, 2 of them visited" in html
    assert "1 complete, 1 partial, 1 not found, 1 waiting" in html
    assert "3 follows" in html
    assert "&lt;b&gt;bob (2), cat (1)" in html
    assert "<b>bob" not in html
    assert "Left out" not in html
    assert "3 connected pairs" in graph.pairs()._repr_html_()
    assert str(graph) == "FollowGraph with 4 nodes and 3 edges"
    again = load_graph(path, keep=False)
    path.unlink()
    assert "id 2 (2), id 3 (1)" in again._repr_html_()
