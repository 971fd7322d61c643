"""How a database says that its sample was drawn."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import sqlalchemy as sa

from analysis.capture import Size, saturation, size
from analysis.graph import UNKNOWN, read_graph
from analysis.ranks import best, rank
from analysis.sample import Drawn, read_drawn
from storage.database import Database
from tests.analysis.sample import Sample, Visit, edges, fill, insert, partial

CRAWL = Sample(
    seeds=("a",),
    visits={
        "a": Visit(("b", "c", "d")),
        "c": Visit(("b", "e"), "partial"),
        "b": Visit((), "hidden"),
        "d": Visit(tuple(f"x{number}" for number in range(45))),
        "e": Visit(("a",)),
    },
    followers={"b": 9, "c": 4},
    following={"b": 3},
)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    with closing(Database.open(tmp_path / "crawl.db", now=lambda: 0.0)) as database:
        database.transact(lambda conn: fill(conn, CRAWL))
        yield database


def drawn(database: Database) -> tuple[Drawn, dict[str, int]]:
    """Read the crawl, and the positions by handle."""
    with database.read() as conn:
        graph = read_graph(conn)
        return read_drawn(conn, graph), {handle: place for place, handle in enumerate(graph.accounts.handle) if handle}


def put_draws(conn: sa.Connection, *waves: tuple[int, int, str]) -> None:
    """Store the draws of (run, wave, handles), in this order."""
    ids = CRAWL.ids()
    rows = [
        (run, wave, place, ids[handle]) for run, wave, handles in waves for place, handle in enumerate(handles.split())
    ]
    insert(conn, "control_draws", ["run_id", "wave", "place", "account_id"], rows)


def test_without_queues_every_list_is_the_crawls_own(database: Database) -> None:
    """Facts, lists, pages and the order of the visits are those of the database; a hidden list is none."""
    found, place = drawn(database)
    sample = found.sample
    assert found.control is None
    assert found.audit is None
    assert found.history.account.tolist() == [place[handle] for handle in "acbde"]
    assert found.history.credits.tolist() == [1, 1, 1, 3, 1]
    assert found.history.listing.tolist() == [True, True, False, True, True]
    assert found.history.own.all()
    assert np.flatnonzero(sample.main).tolist() == sorted(place[handle] for handle in ("a", "c", "d", "e"))
    assert np.flatnonzero(sample.complete).tolist() == sorted(place[handle] for handle in ("a", "d", "e"))
    assert sample.followers[[place["b"], place["c"], place["d"]]].tolist() == [9, 4, UNKNOWN]
    assert sample.listings[place["b"]] == 2
    assert sample.listed[place["d"]] == 45


def test_queues_tell_the_crawl_from_its_control_and_its_audit(database: Database) -> None:
    """Draws come with their multiplicity, and the credits of a wave are those that its visits were charged."""

    def mark(conn: sa.Connection) -> None:
        for number, queue in enumerate(("main", "audit", "main", "control-2", "explore"), start=1):
            conn.exec_driver_sql("UPDATE visits SET queue = ? WHERE id = ?", (queue, number))
        put_draws(conn, (1, 1, "a a"), (1, 2, "a d a a"), (1, 3, "x7"), (2, 1, "a a a"))

    database.transact(mark)
    found, place = drawn(database)
    assert np.flatnonzero(found.sample.main).tolist() == sorted([place["a"], place["e"]])
    assert found.audit is not None
    assert found.audit.accounts.tolist() == [place["c"]]
    assert found.history.own.tolist() == [True, False, True, False, True]
    assert found.control is not None
    waves = [
        (dict(zip(wave.accounts.tolist(), wave.draws.tolist(), strict=True)), wave.credits)
        for wave in found.control.waves
    ]
    assert waves == [({place["a"]: 2}, 0), ({place["a"]: 3, place["d"]: 1}, 3), ({place["x7"]: 1}, 0)]


def test_a_control_sample_without_its_third_wave_is_none(database: Database) -> None:
    """A run that stopped in the second wave gives no interval."""

    def draw(conn: sa.Connection) -> None:
        put_draws(conn, (1, 1, "a"), (1, 2, "a d"))

    database.transact(draw)
    assert drawn(database)[0].control is None


def test_a_database_without_a_crawl_is_an_empty_sample(tmp_path: Path) -> None:
    """Nothing known is nothing drawn."""
    with closing(Database.open(tmp_path / "empty.db", now=lambda: 0.0)) as database:
        found, _ = drawn(database)
    assert (len(found.sample), found.control, found.audit) == (0, None, None)
    assert len(found.history) == 0


def test_a_crawl_in_a_database_can_be_ranked_and_sized(tmp_path: Path) -> None:
    """A breadth-first crawl with hidden, cut and failed lists finds most of the first hundred, and the size."""
    pairs = edges("wiki-vote")
    crawl = partial(pairs, pages=1_500)
    crawl.followers = Counter(f"u{target}" for _, target in pairs)
    with closing(Database.open(tmp_path / "wiki.db", now=lambda: 0.0)) as database:
        database.transact(lambda conn: fill(conn, crawl))
        found, place = drawn(database)
    truth = nx.pagerank(nx.DiGraph(pairs))
    first = {place.get(f"u{node}") for node in sorted(truth, key=truth.__getitem__)[-100:]}
    ranking = rank(found.sample, found.audit)
    assert ranking.basis == "assumed"
    assert len(first & set(best(ranking.scores, 100).tolist())) >= 70
    whole = size(found.sample)
    assert isinstance(whole, Size)
    assert whole.accounts == pytest.approx(len({target for _, target in pairs}), rel=0.2)
    curve = saturation(found.sample, found.history, ranking.mended.followers)
    assert curve.credits[-1] == found.history.credits.sum() == 1_500


def test_a_list_read_again_is_not_the_crawls_own(database: Database) -> None:
    """A refresh buys no new list: what more crawling brings is not to be read from it."""

    def revisit(conn: sa.Connection) -> None:
        columns = ["id", "account_id", "run_id", "started_at", "ended_at", "completeness", "pages"]
        insert(conn, "visits", columns, [(9, CRAWL.ids()["a"], 1, 10, 11, "complete", 2)])

    database.transact(revisit)
    found, place = drawn(database)
    assert found.history.account.tolist()[-1] == place["a"]
    assert found.history.own.tolist() == [True] * 5 + [False]
