"""Loading: the graph is what the database says, in arrays and to networkx."""

from __future__ import annotations

import hashlib
import os
import pickle
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from analysis import columnar
from analysis.columnar import TooManyFollows
from analysis.graph import STANDINGS, UNKNOWN, Accounts, FollowGraph, Removed, from_pairs, load_graph
from storage.database import Database, graph_beside
from storage.errors import MissingDatabase
from tests.analysis.sample import START, Sample, Visit, closed, edges, write

SMALL = Sample(
    seeds=("ann", "bob"),
    visits={
        "ann": Visit(("bob", "cat", "dan")),
        "bob": Visit(("ann", "cat"), "capped"),
        "cat": Visit(("ann",), "partial"),
        "dan": Visit((), "hidden"),
        "eve": Visit((), "not_found"),
    },
    followers={"ann": 1_000, "cat": 7},
    following={"ann": 3},
    failed={"fay": "server_error"},
    skipped={"gus": "private"},
    without_handle=frozenset({"dan"}),
)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return write(tmp_path / "small.db", SMALL)


def bare(*ids: int) -> Accounts:
    """Accounts of which nothing but the id is known."""
    nothing = np.full(len(ids), UNKNOWN)
    return Accounts(
        id=np.array(ids),
        handle=[None] * len(ids),
        standing=np.full(len(ids), 8, dtype=np.uint8),
        depth=nothing,
        followers=nothing,
        following=nothing,
        first_seen=nothing,
    )


def test_arrays_hold_the_follows_sorted_and_the_accounts_by_id(database: Path) -> None:
    """Edges are the current follows as positions of 32 bits in the account columns, ordered by source and target."""
    graph = load_graph(database)
    handles = ["ann", "bob", "cat", None, "eve", "fay", "gus"]
    assert graph.accounts.handle == handles
    assert [STANDINGS[code] for code in graph.accounts.standing] == [
        "complete", "capped", "partial", "hidden", "not_found", "failed", "skipped",
    ]  # fmt: skip
    assert list(zip(graph.src.tolist(), graph.dst.tolist(), strict=True)) == [
        (0, 1), (0, 2), (0, 3), (1, 0), (1, 2), (2, 0),
    ]  # fmt: skip
    assert graph.src.dtype == graph.dst.dtype == np.uint32
    assert graph.accounts.followers.tolist() == [1_000, UNKNOWN, 7, *[UNKNOWN] * 4]
    assert graph.removed == Removed()


def test_ended_follows_are_not_in_the_graph(database: Path) -> None:
    """A follow that a later complete visit did not list is no edge."""
    with closing(Database.open(database, now=lambda: 0.0)) as opened:
        opened.transact(
            lambda conn: conn.exec_driver_sql("UPDATE follows SET ended_visit = 9 WHERE src = 1 AND dst = 2")
        )
    assert not load_graph(database).has_edge(1, 2)


def test_networkx_sees_ids_as_nodes_and_facts_as_attributes(database: Path) -> None:
    """Nodes are account ids, whose handle and facts are attributes in the words of the exports."""
    graph = load_graph(database)
    assert graph.nodes[1] == {
        "handle": "ann",
        "role": "seed",
        "completeness": "complete",
        "depth": 0,
        "followers_reported": 1_000,
        "following_reported": 3,
    }
    assert graph.nodes[4] == {"role": "boundary", "completeness": "hidden", "depth": 1}
    assert "completeness" not in graph.nodes[6]


FUNCTIONS = {
    "pagerank": nx.pagerank,
    "in_degree_centrality": nx.in_degree_centrality,
    "reciprocity": nx.overall_reciprocity,
    "transitivity": nx.transitivity,
    "density": nx.density,
    "betweenness": nx.betweenness_centrality,
    "weak": nx.number_weakly_connected_components,
    "strong": lambda graph: sorted(map(sorted, nx.strongly_connected_components(graph))),
    "louvain": lambda graph: sorted(map(sorted, nx.community.louvain_communities(graph, seed=1))),
    "subgraph": lambda graph: sorted(graph.subgraph([1, 2, 3]).edges),
    "reverse": lambda graph: sorted(graph.reverse().edges),
    "undirected": lambda graph: sorted(graph.to_undirected().edges),
    "ego": lambda graph: sorted(nx.ego_graph(graph, 2).nodes),
    "matrix": lambda graph: nx.to_numpy_array(graph).tolist(),
    "degree": lambda graph: dict(graph.degree),
    "size": lambda graph: (graph.size(), graph.number_of_edges(1, 2)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_networkx_take_it_for_a_digraph(database: Path, name: str) -> None:
    """A function of networkx gives the same for the follow graph as for an ordinary DiGraph of the same edges."""
    graph = load_graph(database)
    plain = nx.DiGraph()
    plain.add_nodes_from(range(1, 8))
    plain.add_edges_from([(1, 2), (1, 3), (1, 4), (2, 1), (2, 3), (3, 1)])
    assert FUNCTIONS[name](graph) == FUNCTIONS[name](plain)


def test_dictionaries_are_built_on_demand_and_once(database: Path) -> None:
    """Counting builds nothing; what networkx reads is built once and kept."""
    graph = load_graph(database)
    assert (len(graph), graph.number_of_nodes(), graph.order(), graph.number_of_edges()) == (7, 7, 7, 6)
    assert (str(graph), repr(graph)) == ("FollowGraph with 7 nodes and 6 edges", "<FollowGraph: 7 accounts, 6 follows>")
    assert repr(graph.pairs()) == "<PairGraph: 7 accounts, 4 connected pairs>"
    assert "_built" not in graph.__dict__
    assert graph._adj is graph._succ is graph._adj
    assert graph._succ[1][2] is graph._pred[2][1]


def test_the_graph_cannot_be_changed_and_its_copies_can(database: Path) -> None:
    """The follow graph says what the database says; a copy or to_networkx() is an ordinary graph of its own."""
    graph = load_graph(database)
    with pytest.raises(nx.NetworkXError, match="Frozen"):
        graph.add_edge(1, 7)
    for copy in (graph.copy(), graph.to_networkx(), nx.DiGraph(graph)):
        assert type(copy) is nx.DiGraph
        assert nx.utils.graphs_equal(copy, graph)
        copy.add_edge(1, 7)
    assert not graph.has_edge(1, 7)
    assert not any(facts for _, facts in graph.to_networkx(attributes=False).nodes(data=True))


def test_it_survives_pickling(database: Path) -> None:
    """A graph that went through pickle, as to another process, is a follow graph with the same edges."""
    graph = load_graph(database)
    again = pickle.loads(pickle.dumps(graph))
    assert type(again) is FollowGraph
    assert nx.utils.graphs_equal(again, graph)


def test_loading_leaves_the_database_byte_for_byte(database: Path) -> None:
    """Reading goes through a read-only connection: the file is the same before and after."""
    before = hashlib.sha256(database.read_bytes()).digest()
    nx.pagerank(load_graph(f"sqlite:///{database}"))
    assert hashlib.sha256(database.read_bytes()).digest() == before


def test_a_missing_database_is_named_and_not_made(tmp_path: Path) -> None:
    """Loading from a place without a database raises MissingDatabase and leaves nothing there."""
    with pytest.raises(MissingDatabase):
        load_graph(tmp_path / "none.db")
    assert not list(tmp_path.iterdir())


def test_loops_repeats_and_orphans_are_taken_out_and_counted() -> None:
    """Self-follows, repeated follows and follows of unknown accounts are no edges, and their numbers are kept."""
    sources, targets = np.array([9, 5, 5, 5, 7, 9, 4]), np.array([5, 7, 7, 5, 9, 8, 5])
    graph = from_pairs(bare(5, 7, 9), sources, targets)
    assert list(zip(graph.src.tolist(), graph.dst.tolist(), strict=True)) == [(0, 1), (1, 2), (2, 0)]
    assert graph.removed == Removed(loops=1, duplicates=1, orphans=2)


def test_no_accounts_make_an_empty_graph(tmp_path: Path) -> None:
    """An empty database is an empty graph, also to networkx."""
    graph = load_graph(write(tmp_path / "empty.db", Sample()))
    assert len(graph) == graph.number_of_edges() == 0
    assert nx.pagerank(graph) == {}
    assert len(from_pairs(bare(), np.array([1]), np.array([2]))) == 0


def test_a_reference_graph_comes_back_whole(tmp_path: Path) -> None:
    """Every edge of wiki-vote is read back as it was crawled: none flipped, none lost."""
    pairs = edges("wiki-vote")
    graph = load_graph(write(tmp_path / "wiki.db", closed(pairs)))
    number = {
        key: int(handle[1:]) for key, handle in zip(graph.accounts.id.tolist(), graph.accounts.handle, strict=True)
    }
    assert (len(graph), graph.number_of_edges()) == (7_115, 103_689)
    assert {(number[source], number[target]) for source, target in graph.edges} == set(pairs)


def change(path: Path, statement: str) -> None:
    with closing(Database.open(path, now=lambda: 0.0)) as opened:
        opened.transact(lambda conn: conn.exec_driver_sql(statement))
    backdate(path)


def backdate(path: Path) -> None:
    """Let the last write be some time ago: right after one nothing is kept."""
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns - 10**9))


def same(graph: FollowGraph, other: FollowGraph) -> bool:
    columns = ("id", "standing", "depth", "followers", "following", "first_seen")
    pairs = [(getattr(graph.accounts, name), getattr(other.accounts, name)) for name in columns]
    pairs += [(graph.src, other.src), (graph.dst, other.dst)]
    return all(np.array_equal(one, two) and one.dtype == two.dtype for one, two in pairs)


def test_the_second_load_comes_from_beside_the_database(database: Path) -> None:
    """What was loaded is kept in a file for its owner alone, without a name in it, and gives the same graph."""
    backdate(database)
    first = load_graph(database)
    kept = graph_beside(database)
    assert kept.name == "small.db-graph.npz"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert b"ann" not in kept.read_bytes()
    written = kept.stat().st_mtime_ns
    second = load_graph(database)
    assert same(first, second)
    assert first.removed == second.removed
    assert second.accounts.handle == first.accounts.handle
    assert kept.stat().st_mtime_ns == written


def test_a_change_of_the_database_is_seen(database: Path) -> None:
    """A kept graph is used for the content it was made from only, however small the change."""
    backdate(database)
    assert load_graph(database).has_edge(1, 2)
    change(database, "UPDATE follows SET ended_visit = 9 WHERE src = 1 AND dst = 2")
    assert not load_graph(database).has_edge(1, 2)
    change(database, "UPDATE accounts SET followers = 1001 WHERE id = 1")
    assert load_graph(database).accounts.followers[0] == 1_001


def test_a_kept_graph_of_another_time_is_not_taken(database: Path) -> None:
    """The time asked for belongs to the key."""
    backdate(database)
    assert len(load_graph(database, as_of=START - 1).src) == 0
    assert len(load_graph(database).src) == 6
    assert len(load_graph(database, as_of=START + 1_000).src) == 6
    assert len(load_graph(database, as_of=datetime.fromtimestamp(START + 90, UTC)).src) == 3
    with pytest.raises(ValueError, match="no time zone"):
        load_graph(database, as_of=datetime(2026, 10, 26))  # noqa: DTZ001 - this is what is refused
    with pytest.raises(ValueError, match="as_of='2026-10-26' is no time; give a datetime with a time zone"):
        load_graph(database, as_of="2026-10-26")  # type: ignore[arg-type]  # likewise


@pytest.mark.parametrize("damage", [b"", b"not an archive", b"PK\x03\x04 cut off"])
def test_a_damaged_kept_graph_is_made_anew(database: Path, damage: bytes) -> None:
    """Whatever stands in its place, the graph is that of the database."""
    backdate(database)
    whole = load_graph(database)
    graph_beside(database).write_bytes(damage)
    assert same(load_graph(database), whole)
    assert same(load_graph(database), whole)


def test_nothing_is_kept_where_it_is_not_wanted_or_not_safe(database: Path) -> None:
    """keep=False leaves no file, and neither does a load so soon after a write that a second one might not show."""
    backdate(database)
    load_graph(database, keep=False)
    assert not graph_beside(database).exists()
    later = database.stat().st_mtime_ns + 60 * 10**9  # as if it were written while it was read
    os.utime(database, ns=(later, later))
    load_graph(database)
    assert not graph_beside(database).exists()


def test_facts_are_read_when_asked_for(database: Path) -> None:
    """Any fact of the accounts is a column, aligned with the others; a word that is none is refused by name."""
    change(database, "UPDATE accounts SET bio = 'likes cats', region = 'DE' WHERE handle = 'bob'")
    graph = load_graph(database)
    assert graph.accounts.column("bio") == [None, "likes cats", *[None] * 5]
    assert graph.where(region="DE").accounts.handle == ["bob"]
    with pytest.raises(KeyError, match="no fact 'shoe_size' of an account; there are handle"):
        graph.accounts.column("shoe_size")


def test_parts_are_follow_graphs(database: Path) -> None:
    """Parts keep ids and facts, and hold the follows among the accounts kept, as networkx's own functions find them."""
    graph = load_graph(database)
    plain = graph.to_networkx()
    for part, expected in (
        (graph.induced([1, 3, 4, 77]), plain.subgraph([1, 3, 4])),
        (graph.ego(2), nx.ego_graph(plain, 2)),
        (graph.ego(4, undirected=True), nx.ego_graph(plain, 4, undirected=True)),
        (graph.ego(4, 0), nx.ego_graph(plain, 4, 0)),
        (graph.ego(1, 9), nx.ego_graph(plain, 1, 9)),
        (graph.giant(), plain.subgraph([1, 2, 3, 4])),
        (graph.giant(strong=True), plain.subgraph([1, 2, 3])),
        (graph.core(2), nx.k_core(nx.Graph(plain), 2)),
        (graph.where(standing={"complete", "capped"}), plain.subgraph([1, 2])),
        (graph.where(followers=lambda count: count >= 7, depth=0), plain.subgraph([1])),
        (graph.where(handle="nobody"), plain.subgraph([])),
    ):
        assert type(part) is FollowGraph
        assert sorted(part.nodes) == sorted(expected.nodes)
        assert sorted(nx.Graph(part).edges) == sorted(nx.Graph(expected).edges)
        assert all(part.nodes[key] == plain.nodes[key] for key in part)
    with pytest.raises(nx.NodeNotFound, match="no account has the id 77"):
        graph.ego(77)


def test_parts_that_cannot_be_are_refused(database: Path) -> None:
    """A standing that is none, alone or among others, and a core of no number, by name and with what there is."""
    graph = load_graph(database)
    for wanted in ("compleet", {"compleet", "capped"}, ["compleet"], 0):
        with pytest.raises(ValueError, match=r"standing=('compleet'|0) is none; there are complete, capped, partial,"):
            graph.where(standing=wanted)
    assert len(graph.where(standing=lambda standing: standing == "complete")) == 1
    with pytest.raises(ValueError, match="k='a' is no number; give how many neighbours"):
        graph.core("a")  # type: ignore[arg-type]  # this is what is refused


def test_dictionaries_of_a_large_graph_are_refused_with_a_way_out(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit networkx gets no dictionaries by accident; a part, or an express wish, still works."""
    monkeypatch.setattr(columnar, "LIMIT", 5)
    graph = load_graph(database)
    with pytest.raises(TooManyFollows, match=r"6 follows .limit: 5.; take a part first .graph.ego"):
        graph.edges([1])
    assert graph.has_edge(1, 2)
    assert not graph.has_edge(2, 4)
    assert (1 in graph, 77 in graph, list(graph)) == (True, False, [1, 2, 3, 4, 5, 6, 7])
    assert graph.ego(2).edges([2])
    assert graph.to_networkx().number_of_edges() == 6
