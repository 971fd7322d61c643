"""Exports: every format says what the database says, to every reader, and never leaves half a file."""

from __future__ import annotations

import csv
import errno
import gzip
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import networkx as nx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import export
from storage.database import Database
from storage.export import Exported, Format, OutputNotWritable, replacing, require_writable
from storage.graphfiles import Place, Rank
from tests.analysis.sample import START, Sample, Visit, closed, edges, insert, write

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SAMPLE = Sample(
    seeds=("zoe", "ann"),
    visits={
        "zoe": Visit(("ann", "bob", "cat")),
        "ann": Visit(("zoe",), "capped"),
        "bob": Visit(("ann",), "partial"),
        "cat": Visit((), "hidden"),
    },
    followers={"ann": 12, "cat": 2**60},
    following={"ann": 3},
    failed={"eve": "server_error"},
    without_handle=frozenset({"bob"}),
)
FOLLOWS = {("1", "2"), ("1", "3"), ("1", "4"), ("2", "1"), ("3", "2")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "sample.db", SAMPLE)


@pytest.fixture
def conn(path: Path) -> Iterator[sa.Connection]:
    with closing(Database.open(path, now=lambda: 0.0, mode="read")) as database, database.read() as conn:
        yield conn


def change(path: Path, statement: str) -> None:
    with closing(Database.open(path, now=lambda: 0.0)) as database:
        database.transact(lambda conn: conn.exec_driver_sql(statement))


def exported(path: Path, format: Format, target: Path) -> Exported:
    with closing(Database.open(path, now=lambda: 0.0, mode="read")) as database, database.read() as conn:
        return export.write(conn, format, target)


def cells(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- what is written -----------------------------------------------------------------------------------------------


def test_edgelist_is_sorted_text(conn: sa.Connection, tmp_path: Path) -> None:
    """One current follow a line, source tab target, sorted by text; an account without a handle is its id."""
    target = tmp_path / "edges.tsv"
    assert export.write(conn, "edgelist", target) == Exported(target, 5, 5)
    assert target.read_bytes() == b"ann\tzoe\nid:3\tann\nzoe\tann\nzoe\tcat\nzoe\tid:3\n"


def test_csv_has_the_fixed_words(conn: sa.Connection, tmp_path: Path) -> None:
    """Accounts and follows stand in two files with the words of the exports; what is unknown is empty, not nought."""
    assert export.write(conn, "csv", tmp_path / "out") == Exported(tmp_path / "out", 5, 5)
    accounts = cells(tmp_path / "out" / "accounts.csv")
    assert list(accounts[0]) == list(export.ACCOUNT_COLUMNS)
    assert [(row["id"], row["label"], row["role"], row["completeness"]) for row in accounts] == [
        ("1", "zoe", "seed", "complete"),
        ("2", "ann", "seed", "capped"),
        ("3", "", "expanded", "partial"),
        ("4", "cat", "boundary", "hidden"),
        ("5", "eve", "boundary", ""),
    ]
    assert [(row["followers_observed"], row["following_observed"]) for row in accounts] == [
        ("1", "3"),
        ("2", "1"),
        ("1", "1"),
        ("1", ""),
        ("0", ""),
    ]
    assert [row["followers_reported"] for row in accounts] == ["", "12", "", str(2**60), ""]
    assert accounts[0]["first_seen"] == datetime.fromtimestamp(START, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    follows = cells(tmp_path / "out" / "follows.csv")
    assert {(row["source"], row["target"]) for row in follows} == FOLLOWS
    assert follows[0]["first_seen"] == follows[0]["last_seen"] == "2026-10-26T07:34:20Z"


def test_an_account_was_last_seen_when_it_was_last_listed_or_read(path: Path, tmp_path: Path) -> None:
    """`last_seen` is the latest of its facts, its own list and the lists with it in; a follow keeps both its times."""
    change(
        path,
        "INSERT INTO visits (id, account_id, run_id, started_at, completeness, pages)"
        " VALUES (9, 1, 1, 1999999999, 'complete', 1)",
    )
    change(path, "UPDATE follows SET last_visit = 9 WHERE src = 1 AND dst = 2")
    exported(path, "csv", tmp_path / "out")
    accounts = {row["id"]: row for row in cells(tmp_path / "out" / "accounts.csv")}
    assert accounts["2"]["last_seen"] == accounts["1"]["last_seen"] == "2033-05-18T03:33:19Z"
    assert accounts["4"]["last_seen"] < "2027"
    follow = cells(tmp_path / "out" / "follows.csv")[0]
    assert (follow["first_seen"][:4], follow["last_seen"][:4]) == ("2026", "2033")


def test_ended_follows_are_left_out_everywhere(path: Path, tmp_path: Path) -> None:
    """A follow that is no longer current is in no export and in no observed count."""
    change(path, "UPDATE follows SET ended_visit = 9 WHERE src = 1 AND dst = 2")
    for format in export.FORMATS:
        assert exported(path, format, tmp_path / format).edges == 4
    accounts = {row["id"]: row for row in cells(tmp_path / "csv" / "accounts.csv")}
    assert (accounts["2"]["followers_observed"], accounts["1"]["following_observed"]) == ("1", "2")
    assert "zoe\tann" not in (tmp_path / "edgelist").read_text()


def test_parquet_is_typed(conn: sa.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet holds what CSV holds, in batches: ids as strings, counts as integers, times in UTC, unknown as null."""
    monkeypatch.setattr(export, "_BATCH", 2)
    assert export.write(conn, "parquet", tmp_path / "out") == Exported(tmp_path / "out", 5, 5)
    accounts = pq.read_table(tmp_path / "out" / "accounts.parquet")
    assert accounts.column_names == list(export.ACCOUNT_COLUMNS)
    assert accounts["id"].to_pylist() == ["1", "2", "3", "4", "5"]
    assert accounts["label"].to_pylist() == ["zoe", "ann", None, "cat", "eve"]
    assert accounts["followers_reported"].to_pylist() == [None, 12, None, 2**60, None]
    assert accounts["following_observed"].to_pylist() == [3, 1, 1, None, None]
    assert accounts["first_seen"].to_pylist()[0] == datetime.fromtimestamp(START, UTC)
    follows = pq.read_table(tmp_path / "out" / "follows.parquet")
    assert set(zip(follows["source"].to_pylist(), follows["target"].to_pylist(), strict=True)) == FOLLOWS
    assert pa.types.is_timestamp(follows.schema.field("first_seen").type)


def test_graphml_is_read_back_by_networkx(conn: sa.Connection, tmp_path: Path) -> None:
    """networkx reads the same directed graph with typed attributes, missing ones left out."""
    assert export.write(conn, "graphml", tmp_path / "g.graphml") == Exported(tmp_path / "g.graphml", 5, 5)
    graph = nx.read_graphml(tmp_path / "g.graphml")
    assert graph.is_directed()
    assert set(graph.edges) == FOLLOWS
    assert graph.nodes["2"] == {
        "label": "ann",
        "role": "seed",
        "completeness": "capped",
        "depth": 0,
        "followers_reported": 12,
        "following_reported": 3,
        "followers_observed": 2,
        "following_observed": 1,
        "first_seen": "2026-10-26T07:33:20Z",
        "last_seen": "2026-10-26T07:36:22Z",
    }
    assert "label" not in graph.nodes["3"]
    assert graph.edges["1", "2"] == {"first_seen": "2026-10-26T07:34:20Z", "last_seen": "2026-10-26T07:34:20Z"}


def places(key: str) -> Place | None:
    return None if key == "5" else Place(int(key), 0.75, 10.5 * int(key), -9000.0, "#0072b2")


def ranks(key: str) -> Rank | None:
    return Rank(0.1 ** int(key), *((1, 3) if key == "2" else (None, None)))


def test_gexf_is_read_back_by_networkx(conn: sa.Connection, tmp_path: Path) -> None:
    """networkx reads the same directed graph, typed, with the place and colour of each account that has one."""
    target = tmp_path / "g.gexf"
    assert export.write(conn, "gexf", target, places=places, ranks=ranks) == Exported(target, 5, 5)
    graph = nx.read_gexf(target)
    assert graph.is_directed()
    assert set(graph.edges) == FOLLOWS
    assert graph.nodes["2"] == {
        "label": "ann",
        "role": "seed",
        "completeness": "capped",
        "depth": 0,
        "followers_reported": 12,
        "following_reported": 3,
        "followers_observed": 2,
        "following_observed": 1,
        "first_seen": "2026-10-26T07:33:20Z",
        "last_seen": "2026-10-26T07:36:22Z",
        "community": 2,
        "community_stability": 0.75,
        "pagerank_imputed": 0.1**2,
        "rank_lo": 1,
        "rank_hi": 3,
        "viz": {
            "color": {"r": 0, "g": 114, "b": 178, "a": 1.0},
            "position": {"x": 21.0, "y": -9000.0, "z": 0.0},
        },
    }
    assert graph.nodes["3"]["label"] is None
    assert not {"community", "viz", "completeness", "rank_lo", "rank_hi"} & set(graph.nodes["5"])
    assert graph.nodes["5"]["pagerank_imputed"] == 0.1**5
    edge = graph.edges["1", "2"]
    assert (edge["first_seen"], edge["last_seen"]) == ("2026-10-26T07:34:20Z", "2026-10-26T07:34:20Z")


def test_gexf_keeps_the_rules_of_its_schema(path: Path, tmp_path: Path) -> None:
    """Only elements of GEXF 1.3, each attribute declared once with one type and a title that is no word of GEXF."""
    change(path, "UPDATE accounts SET handle = '<b>\"&' WHERE id = 1")
    with closing(Database.open(path, now=lambda: 0.0, mode="read")) as database, database.read() as conn:
        export.write(conn, "gexf", tmp_path / "g.gexf", places=places, ranks=ranks)
    text = (tmp_path / "g.gexf").read_text(encoding="utf-8")
    assert "alpha" not in text
    assert not re.search(r"<viz:color[^>]* a=", text)
    root = ElementTree.fromstring(text.encode())
    assert (root.tag, root.get("version")) == ("{http://gexf.net/1.3}gexf", "1.3")
    parents = {child: parent for parent in root.iter() for child in parent}
    allowed = {
        "meta": "gexf", "creator": "meta", "graph": "gexf", "attributes": "graph", "attribute": "attributes",
        "nodes": "graph", "edges": "graph", "node": "nodes", "edge": "edges", "attvalues": "node edge",
        "attvalue": "attvalues", "color": "node", "position": "node",
    }  # fmt: skip

    def bare(element: ElementTree.Element) -> str:
        return element.tag.rpartition("}")[2]

    for element in root.iter():
        if element is not root:
            assert bare(parents[element]) in allowed[bare(element)].split()
    for kind in ("node", "edge"):
        [declared] = [each for each in root.iter() if bare(each) == "attributes" and each.get("class") == kind]
        types = {each.get("id"): each.get("type") for each in declared}
        assert len(types) == len(declared)
        assert set(types.values()) <= {"string", "long", "double"}
        titles = {each.get("title") for each in declared}
        assert not titles & {"id", "label", "pid", "start", "end", "for", "type", "weight"}
        used = [
            value for each in root.iter() if bare(each) == kind for value in each.iter() if bare(value) == "attvalue"
        ]
        assert used
        for value in used:
            type_, given = types[value.get("for")], value.get("value", "")
            assert type_ == "string" or re.fullmatch(r"-?\d+(\.\d+)?(e-\d+)?", given)
            assert type_ != "long" or "." not in given
    for kind in ("node", "edge"):
        ids = [each.get("id") for each in root.iter() if bare(each) == kind]
        assert None not in ids
        assert len(set(ids)) == len(ids)
    positions = [abs(float(each.get(axis, ""))) for each in root.iter() if bare(each) == "position" for axis in "xyz"]
    assert max(positions) <= 10_000


GEXF_READER = Path(__file__).parents[1] / "support" / "gexf" / "bundle.js"


def test_gexf_is_the_same_graph_to_graphology(path: Path, tmp_path: Path, browser: Browser) -> None:
    """graphology-gexf reads the graph that graphology's own JSON holds, and again what it writes of it."""
    change(path, "UPDATE accounts SET handle = '<b>\"&' WHERE id = 1")
    with closing(Database.open(path, now=lambda: 0.0, mode="read")) as database, database.read() as conn:
        export.write(conn, "gexf", tmp_path / "g.gexf", places=places, ranks=ranks)
        export.write(conn, "graphology", tmp_path / "g.json", places=places, ranks=ranks)
    page = browser.new_page()
    page.add_script_tag(path=GEXF_READER)
    found = page.evaluate("text => readGexf(text)", (tmp_path / "g.gexf").read_text(encoding="utf-8"))
    expected = page.evaluate("text => JSON.parse(text)", (tmp_path / "g.json").read_text(encoding="ascii"))
    for node in expected["nodes"]:  # GEXF has colours in numbers, and a z
        if "x" in node["attributes"]:
            node["attributes"] |= {"color": "rgb(0,114,178)", "z": 0}
    for graph in (found["read"], found["again"]):
        assert graph["options"]["type"] == "directed"
        assert graph["nodes"] == expected["nodes"]
        assert [(edge["source"], edge["target"], edge["attributes"]) for edge in graph["edges"]] == [
            (edge["source"], edge["target"], edge["attributes"]) for edge in expected["edges"]
        ]


def test_graphology_json_holds_the_same_graph(conn: sa.Connection, tmp_path: Path) -> None:
    """A serialized graph as graphology imports it: ids are strings, what is missing is left out."""
    assert export.write(conn, "graphology", tmp_path / "g.json", places=places, ranks=ranks) == Exported(
        tmp_path / "g.json", 5, 5
    )
    found = json.loads((tmp_path / "g.json").read_text(encoding="ascii"))
    assert found["options"] == {"type": "directed", "multi": False, "allowSelfLoops": True}
    assert {(edge["source"], edge["target"]) for edge in found["edges"]} == FOLLOWS
    nodes = {node["key"]: node["attributes"] for node in found["nodes"]}
    assert nodes["2"] == {
        "label": "ann",
        "role": "seed",
        "completeness": "capped",
        "depth": 0,
        "followers_reported": 12,
        "following_reported": 3,
        "followers_observed": 2,
        "following_observed": 1,
        "first_seen": "2026-10-26T07:33:20Z",
        "last_seen": "2026-10-26T07:36:22Z",
        "community": 2,
        "community_stability": 0.75,
        "x": 21.0,
        "y": -9000.0,
        "color": "#0072b2",
        "pagerank_imputed": 0.1**2,
        "rank_lo": 1,
        "rank_hi": 3,
    }
    assert "label" not in nodes["3"]
    assert not {"x", "community", "rank_lo", "rank_hi"} & set(nodes["5"])
    assert nodes["5"]["pagerank_imputed"] == 0.1**5


@pytest.mark.parametrize("format", export.FORMATS)
def test_an_empty_database_is_exported(tmp_path: Path, format: Format) -> None:
    """Nothing known makes a well-formed export of nothing."""
    path = write(tmp_path / "empty.db", Sample())
    assert exported(path, format, tmp_path / "out") == Exported(tmp_path / "out", 0, 0)
    if format == "graphml":
        assert len(nx.read_graphml(tmp_path / "out")) == 0
    elif format == "gexf":
        assert len(nx.read_gexf(tmp_path / "out")) == 0
    elif format == "graphology":
        assert json.loads((tmp_path / "out").read_text())["nodes"] == []
    elif format == "parquet":
        assert pq.read_table(tmp_path / "out" / "follows.parquet").num_rows == 0


def test_a_reference_graph_comes_out_whole(tmp_path: Path) -> None:
    """All edges of email-eu-core are in the edge list, in the order of their text, and in the GraphML file."""
    pairs = edges("email-eu-core")
    path = write(tmp_path / "email.db", closed(pairs))
    exported(path, "edgelist", tmp_path / "edges.tsv")
    exported(path, "graphml", tmp_path / "g.graphml")
    lines = (tmp_path / "edges.tsv").read_text().splitlines()
    assert lines == [f"{a}\t{b}" for a, b in sorted((f"u{a}", f"u{b}") for a, b in pairs)]
    graph = nx.read_graphml(tmp_path / "g.graphml")
    names = nx.get_node_attributes(graph, "label")
    assert sorted(f"{names[a]}\t{names[b]}" for a, b in graph.edges) == lines


@pytest.mark.parametrize("format", ["graphml", "gexf", "graphology", "edgelist"])
def test_a_name_that_ends_in_gz_is_compressed(path: Path, tmp_path: Path, format: Format) -> None:
    """Compressed under such a name, and inside what it would be without; a second time the same bytes."""
    plain, first, second = (tmp_path / name for name in ("plain", "first.gz", "second.gz"))
    for target in (plain, first, second):
        exported(path, format, target)
    assert gzip.decompress(first.read_bytes()) == plain.read_bytes()
    assert first.read_bytes() == second.read_bytes()


def test_networkx_reads_compressed_graphs(conn: sa.Connection, tmp_path: Path) -> None:
    """What networkx unpacks by name is the graph."""
    export.write(conn, "gexf", tmp_path / "g.gexf.gz", places=places, ranks=ranks)
    export.write(conn, "graphml", tmp_path / "g.graphml.gz")
    for graph in (nx.read_gexf(tmp_path / "g.gexf.gz"), nx.read_graphml(tmp_path / "g.graphml.gz")):
        assert set(graph.edges) == FOLLOWS
        assert graph.nodes["2"]["label"] == "ann"


# --- hostile text --------------------------------------------------------------------------------------------------

HOSTILE = {
    1: "=cmd|'/c calc'!a0",
    2: "+1",
    3: "-2",
    4: "@sum(a1)",
    5: "\tx",
    6: "\rx",
    7: "a\tb\nc",
    8: "]]><script>&amp;\"'",
    9: "null\x00bell\x07esc\x1b\ufffe",
    10: 'quote",\ncomma',
    11: "\uff1dfull",
    12: "häß😀",
}


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    path = write(tmp_path / "hostile.db", Sample())
    with closing(Database.open(path, now=lambda: 0.0)) as database:

        def fill(conn: sa.Connection) -> None:
            rows = [(key, handle, 1, 1) for key, handle in HOSTILE.items()]
            insert(conn, "accounts", ["id", "handle", "first_seen_at", "updated_at"], rows)
            insert(conn, "follows", ["src", "dst", "first_visit"], [(key, 12, 1) for key in HOSTILE if key != 12])

        database.transact(fill)
    return path


def test_csv_cells_are_no_formulas(hostile: Path, tmp_path: Path) -> None:
    """What a spreadsheet would execute begins with an apostrophe, and every other handle is itself."""
    exported(hostile, "csv", tmp_path / "out")
    labels = {int(row["id"]): row["label"] for row in cells(tmp_path / "out" / "accounts.csv")}
    assert {key: label for key, label in labels.items() if key in {7, 8, 9, 10, 12}} == {
        key: HOSTILE[key] for key in (7, 8, 9, 10, 12)
    }
    assert all(labels[key] == f"'{HOSTILE[key]}" for key in (1, 2, 3, 4, 5, 6, 11))


@given(st.text())
def test_no_text_is_a_formula_in_a_cell(text: str) -> None:
    """Whatever the text, its cell begins with none of the signs that begin a formula, and loses nothing."""
    cell = export.cell(text)
    assert isinstance(cell, str)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell.removeprefix("'") == text.removeprefix("'")


def test_numbers_stay_numbers_in_cells() -> None:
    """Only text can be a formula: numbers and nothing are left alone."""
    assert [export.cell(value) for value in (-1, 1.5, None)] == [-1, 1.5, None]


def test_graphml_survives_markup_and_control_characters(hostile: Path, tmp_path: Path) -> None:
    """The file stays well-formed; characters that XML 1.0 cannot hold are left out, everything else comes back."""
    exported(hostile, "graphml", tmp_path / "g.graphml")
    labels = nx.get_node_attributes(nx.read_graphml(tmp_path / "g.graphml"), "label")
    assert labels["8"] == HOSTILE[8]
    assert labels["9"] == "nullbellesc"
    assert labels["12"] == HOSTILE[12]
    assert len(labels) == len(HOSTILE)


def test_gexf_and_graphology_survive_hostile_handles(hostile: Path, tmp_path: Path) -> None:
    """Markup, quotes and line ends come back as they were; only what XML 1.0 cannot hold is left out of XML."""
    exported(hostile, "gexf", tmp_path / "g.gexf")
    labels = nx.get_node_attributes(nx.read_gexf(tmp_path / "g.gexf"), "label")
    assert labels.pop("9") == "nullbellesc"
    assert labels == {str(key): handle for key, handle in HOSTILE.items() if key != 9}
    exported(hostile, "graphology", tmp_path / "g.json")
    nodes = json.loads((tmp_path / "g.json").read_text(encoding="ascii"))["nodes"]
    assert {int(node["key"]): node["attributes"]["label"] for node in nodes} == HOSTILE


def test_edgelist_lines_are_two_fields(hostile: Path, tmp_path: Path) -> None:
    """A handle with a separator in it is written as its id, so that every line has two fields."""
    assert exported(hostile, "edgelist", tmp_path / "edges.tsv").edges == 11
    lines = (tmp_path / "edges.tsv").read_bytes().decode().removesuffix("\n").split("\n")
    assert all(line.count("\t") == 1 and "\r" not in line for line in lines)
    assert {line.split("\t")[0] for line in lines} >= {"id:5", "id:6", "id:7", "id:10", "+1"}


@pytest.mark.parametrize("format", export.FORMATS)
def test_unpaired_surrogates_do_not_stop_an_export(hostile: Path, tmp_path: Path, format: Format) -> None:
    """Text that UTF-8 cannot carry comes out with replacement characters instead of an error."""
    change(hostile, "UPDATE accounts SET handle = CAST(x'61EDA08062' AS TEXT) WHERE id = 1")
    with closing(Database.open(hostile, now=lambda: 0.0, mode="read")) as database, database.read() as conn:
        driver: Any = conn.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.text_factory = lambda raw: raw.decode("utf-8", "surrogatepass")
        assert export.write(conn, format, tmp_path / "out").accounts == len(HOSTILE)
    if format == "edgelist":
        assert "a\ufffdb\t" in (tmp_path / "out").read_text(encoding="utf-8")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(handle=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_every_handle_makes_well_formed_xml(hostile: Path, tmp_path: Path, handle: str) -> None:
    """Whatever the handle, an XML parser reads the file and finds every account."""
    with closing(Database.open(hostile, now=lambda: 0.0)) as database:
        statement = sa.text("UPDATE accounts SET handle = :handle WHERE id = 1")
        database.transact(lambda conn: conn.execute(statement, {"handle": f"{handle}~"}))
    for format in ("graphml", "gexf"):
        exported(hostile, format, tmp_path / "graph")
        root = ElementTree.parse(tmp_path / "graph").getroot()
        assert len(root.findall(".//{*}node")) == len(HOSTILE)


# --- never half a file ---------------------------------------------------------------------------------------------


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    """When writing fails, what stood there before is untouched and no temporary file is left."""
    target = tmp_path / "file"
    target.write_text("old")

    def fail() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.read_text() == "old"


@pytest.mark.parametrize("format", export.FORMATS)
def test_an_export_that_fails_leaves_nothing(
    path: Path, tmp_path: Path, format: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up while an export is written leaves no file, and the error says what to do."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(export.os, "fsync", full)
    for name in ("x", "x.gz"):
        with pytest.raises(OutputNotWritable, match="No space left") as refused:
            exported(path, format, tmp_path / "out" / name)
    assert "Free some space" in refused.value.hint
    assert not [found for found in (tmp_path / "out").rglob("*") if found.is_file()]


def test_an_export_replaces_the_last(path: Path, tmp_path: Path) -> None:
    """A second export takes the place of the first; only its owner can read it."""
    target = tmp_path / "edges.tsv"
    target.write_text("old")
    exported(path, "edgelist", target)
    assert target.read_text().startswith("ann\tzoe\n")
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    """An output that is a symbolic link is written where it points."""
    (tmp_path / "link").symlink_to(tmp_path / "real")
    exported(path, "edgelist", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text().startswith("ann\tzoe\n")


@pytest.mark.parametrize("format", export.FORMATS)
def test_what_cannot_be_an_output_is_refused(path: Path, tmp_path: Path, format: Format) -> None:
    """A folder where a file is to be, a file where a folder is to be, or a file on the way is named with a remedy."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    wrong = tmp_path / ("file" if format in {"csv", "parquet"} else "folder")
    for target in (wrong, tmp_path / "file" / "below"):
        with pytest.raises(OutputNotWritable) as refused:
            exported(path, format, target)
        assert "--output" in refused.value.hint
    assert (tmp_path / "file").read_text() == "mine"
    assert not list((tmp_path / "folder").iterdir())


def test_asking_whether_a_folder_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    """A folder that is there stays empty, one that is not is not made."""
    require_writable(tmp_path)
    require_writable(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())


def test_exporting_leaves_the_database_byte_for_byte(path: Path, tmp_path: Path) -> None:
    """An export only reads."""
    before = path.read_bytes()
    for format in export.FORMATS:
        exported(path, format, tmp_path / format)
    assert path.read_bytes() == before


def test_display_names_are_read_for_any_number_of_accounts(tmp_path: Path) -> None:
    """Names are found for more ids than one statement takes, and only where there are any."""
    names = {f"u{number}": f"Name {number}" for number in range(0, 500, 2)}
    path = write(tmp_path / "names.db", Sample(seeds=tuple(f"u{number}" for number in range(500)), names=names))
    with closing(Database.open(path, now=lambda: 0.0, mode="read")) as database, database.read() as conn:
        found = export.display_names(conn, range(1, 501))
    assert found == {number + 1: f"Name {number}" for number in range(0, 500, 2)}
