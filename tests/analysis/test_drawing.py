"""What drawings say of accounts: what the report says, account by account, the same in every process."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import networkx as nx
import pytest
import sqlalchemy as sa

from analysis import drawing
from analysis.graph import load_graph, read_graph
from analysis.layout import colour
from analysis.report.build import build
from analysis.sample import read_drawn
from storage.database import Database
from storage.graphfiles import Rank
from tests.analysis.sample import Sample, Visit, closed, edges, insert, write

NOW = 1_793_500_000.7


def test_places_are_the_same_in_every_process(tmp_path: Path) -> None:
    """Another process with another hash seed comes to the same places, to the last digit."""
    path = write(tmp_path / "graph.db", closed(edges("email-eu-core")))
    graph = load_graph(path)
    place = drawing.places(graph, resolution=1.0, rng_seed=1)
    here = [place(str(key)) for key in graph.accounts.id.tolist()]
    code = (
        "import sys; from analysis import drawing; from analysis.graph import load_graph; "
        "graph = load_graph(sys.argv[1]); place = drawing.places(graph, resolution=1.0, rng_seed=1); "
        "print([place(str(key)) for key in graph.accounts.id.tolist()])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], env={"PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert ran.stdout.strip() == str(here)
    assert place("999999") is None
    communities = {one.community for one in here if one}
    assert len(communities) > 3
    for one in here:
        assert one is None or one.colour == colour(one.community - 1)


def crawl(path: Path, *, audit: str) -> Path:
    """A crawl of a network with hubs whose follower counts are exact; the last 100 lists are its audit, or none is.

    `audit` is "audit", "control" (a control sample) or "nothing".
    """
    rng = random.Random(3)
    lists = {
        u: sorted({int(1500 * rng.random() ** 3) for _ in range(rng.randrange(10, 40))} - {u}) for u in range(1500)
    }
    read = rng.sample(range(1500), 400)
    sample = Sample(
        seeds=(f"u{read[0]}",),
        visits={f"u{u}": Visit(tuple(f"u{v}" for v in lists[u])) for u in read},
        followers=Counter(f"u{v}" for listed in lists.values() for v in listed),
        following={f"u{u}": len(listed) for u, listed in lists.items()},
    )
    write(path, sample)
    ids = sample.ids()
    with closing(Database.open(path, now=lambda: NOW)) as database:

        def mark(conn: sa.Connection) -> None:
            if audit == "audit":
                conn.exec_driver_sql("UPDATE visits SET queue = 'audit' WHERE id > 300")
            elif audit == "control":
                conn.exec_driver_sql("UPDATE visits SET queue = 'control-' || (1 + id % 3) WHERE id > 300")
                rows = [
                    (1, 1 + number % 3, number, ids[f"u{u}"]) for number, u in enumerate(read, start=1) if number > 300
                ]
                insert(conn, "control_draws", ["run_id", "wave", "place", "account_id"], rows)

        database.transact(mark)
    return path


def ranked(path: Path, *, top: int, rng_seed: int = 1) -> dict[int, Rank | None]:
    """Every account's rank by its id."""
    with closing(Database.open(path, now=lambda: 0.0, mode="read")) as database, database.read() as conn:
        graph = read_graph(conn)
        rank = drawing.ranks(graph, read_drawn(conn, graph), top=top, rng_seed=rng_seed)
        assert rank("999999") is None
        return {key: rank(str(key)) for key in graph.accounts.id.tolist()}


@pytest.mark.parametrize("audit", ["audit", "control", "nothing"])
def test_ranks_are_those_of_the_report(tmp_path: Path, audit: str) -> None:
    """Scores and intervals are the report's with the same seed; intervals stand with the first and nobody else."""
    path = crawl(tmp_path / "graph.db", audit=audit)
    files = build(path, tmp_path / "report", now=lambda: NOW, top=20, rng_seed=4)
    told = json.loads(files.json.read_text())["central"]
    found = ranked(path, top=20, rng_seed=4)
    assert [found[int(row["id"])] for row in told] == [Rank(row["score"], row["low"], row["high"]) for row in told]
    bounded = {key for key, rank in found.items() if rank is not None and rank.low is not None}
    assert bounded == (set() if audit == "nothing" else {int(row["id"]) for row in told})
    assert sum(rank.pagerank for rank in found.values() if rank is not None) == pytest.approx(1)


def test_where_the_report_ranks_by_two_ranks_the_score_is_pagerank_still(tmp_path: Path) -> None:
    """Of a crawl that lists too few accounts often enough the column holds what its name says."""
    path = write(tmp_path / "graph.db", closed([(1, 2), (2, 3), (3, 1), (4, 1)]))
    plain = nx.pagerank(load_graph(path).to_networkx(attributes=False), tol=1e-12, max_iter=999)
    found = {key: rank.pagerank for key, rank in ranked(path, top=5).items() if rank is not None}
    assert found == pytest.approx(plain, abs=1e-9)


def test_nobody_ranks_where_no_follow_was_read(tmp_path: Path) -> None:
    """Without a follow every score would be the same, which says nothing."""
    assert set(ranked(write(tmp_path / "graph.db", Sample(seeds=("a", "b"))), top=5).values()) == {None}
