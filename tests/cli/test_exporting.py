from __future__ import annotations

import gzip
import hashlib
import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

import networkx as nx
import pytest

from analysis import communities
from cli.exporting import export
from storage.database import Database
from storage.export import FORMATS
from tests.analysis.sample import closed, write
from tests.analysis.test_drawing import crawl

if TYPE_CHECKING:
    from conftest import Run


@pytest.mark.parametrize("name", FORMATS)
def test_every_format(run: Run, tmp_path: Path, name: str) -> None:
    """Every format is written where it was asked for, and its numbers are told."""
    run("seed", "@a", "@b")
    ran = run("export", "--format", name, "--output", "out", "--json")
    assert ran.code == 0, ran.err
    expected = {"schema": 1, "path": "out", "accounts": 2, "edges": 0, "level": "raw", "key": None}
    assert {word: value for word, value in ran.document.items() if word != "files"} == expected
    assert (tmp_path / "out").exists()
    for path, checksum in ran.document["files"].items():
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == checksum


def test_formats_are_those_of_storage() -> None:
    """The command takes the formats that there are, no more and no fewer."""
    assert get_args(get_args(get_type_hints(export)["format"])[0]) == FORMATS


def test_a_place_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    """A place that cannot be written is bad input; what stands there stays."""
    run("seed", "@a")
    (tmp_path / "file").write_text("mine")
    ran = run("export", "--format", "csv", "--output", "file", "--json")
    assert ran.code == 2
    assert ran.document["error"]["code"] == "output_not_writable"
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("target", ["followgraph.db", "link", "twin", "followgraph.db-wal", "followgraph.db.lock"])
@pytest.mark.parametrize("format", ["edgelist", "graphml"])
def test_the_database_is_never_written_over(run: Run, tmp_path: Path, target: str, format: str) -> None:
    """Neither the database, under whatever name, nor what stands beside it is taken for a place to write to."""
    run("seed", "@a")
    (tmp_path / "link").symlink_to("followgraph.db")
    (tmp_path / "twin").hardlink_to(tmp_path / "followgraph.db")
    before = (tmp_path / "followgraph.db").read_bytes()
    ran = run("export", "--format", format, "--output", target, "--json")
    assert ran.code == 2
    assert ran.document["error"]["code"] == "output_not_writable"
    assert "belongs to the database" in ran.err
    assert (tmp_path / "followgraph.db").read_bytes() == before
    assert run("export", "--format", format, "--output", "elsewhere").code == 0


def test_no_folder_is_made_where_the_database_needs_a_file(run: Run, tmp_path: Path) -> None:
    """A folder under the name of the database's log would end every crawl."""
    run("seed", "@a")
    assert run("export", "--format", "csv", "--output", "followgraph.db-wal").code == 2
    assert run("export", "--dataset", "followgraph.db-wal").code == 2
    assert not (tmp_path / "followgraph.db-wal").is_dir()


@pytest.mark.parametrize(
    ("format", "name"),
    [
        ("edgelist", "out"),
        ("graphml", "out"),
        ("gexf", "out"),
        ("graphology", "out"),
        ("csv", "out/accounts.csv"),
        ("parquet", "out/follows.parquet"),
    ],
)
def test_only_exports_are_replaced(run: Run, tmp_path: Path, format: str, name: str) -> None:
    """Somebody else's file stays, and so does an export that somebody went on to work in; an old export is replaced."""
    run("seed", "@a")
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    place.write_text("# my notes\n")
    ran = run("export", "--format", format, "--output", "out")
    assert ran.code == 2
    assert "is no export of this database" in ran.err
    assert place.read_text() == "# my notes\n"
    place.unlink()
    for seeds in (["@b"], ["@c"]):
        run("seed", *seeds)
        ran = run("export", "--format", format, "--output", "out")
        assert ran.code == 0, ran.err


def test_an_edge_list_that_was_changed_stays(run: Run, tmp_path: Path) -> None:
    """Nothing in an edge list says whose it is: only one that is as it was written is replaced."""
    run("seed", "@a")
    assert run("export", "--format", "edgelist", "--output", "edges.tsv").code == 0
    (tmp_path / "edges.tsv").write_text("my\town\n")
    assert run("export", "--format", "edgelist", "--output", "edges.tsv").code == 2
    assert (tmp_path / "edges.tsv").read_text() == "my\town\n"


@pytest.mark.parametrize("format", ["graphml", "gexf", "graphology", "edgelist"])
def test_compressed_exports_are_known_again(run: Run, tmp_path: Path, format: str) -> None:
    """A compressed export is replaced by the next, even where no list knows of it; a stranger's file stays."""
    run("seed", "@a")
    place = tmp_path / "out.gz"
    for theirs in (gzip.compress(b"# my notes\n"), gzip.compress(b"# my notes\n")[:-9], b"\x1f\x8b my notes"):
        place.write_bytes(theirs)
        ran = run("export", "--format", format, "--output", "out.gz")
        assert ran.code == 2
        assert "is no export of this database" in ran.err
        assert place.read_bytes() == theirs
    place.unlink()
    for seeds in (["@b"], ["@c"]):
        run("seed", *seeds)
        ran = run("export", "--format", format, "--output", "out.gz", "--json")
        assert ran.code == 0, ran.err
        assert ran.document["files"] == {str(place): hashlib.sha256(place.read_bytes()).hexdigest()}
    if format != "edgelist":  # in which nothing says whose it is
        (tmp_path / "followgraph.db.outputs.jsonl").unlink()
        assert run("export", "--format", format, "--output", "out.gz").code == 0


def test_a_notice_of_somebody_else_stays(run: Run, tmp_path: Path) -> None:
    """The notice beside an export is written over no other file."""
    run("seed", "@a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "NOTICE.txt").write_text("Copyright")
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    ran = run("export", "--format", "csv", "--output", "out", "--pseudonymise", environ=environ)
    assert ran.code == 2
    assert (tmp_path / "out" / "NOTICE.txt").read_text() == "Copyright"


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


@pytest.mark.parametrize(("source", "is_told"), [("127.0.0.1", True), ("api.example", False)])
def test_a_rehearsal_is_told(
    run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, source: str, *, is_told: bool
) -> None:
    """Of accounts that a simulated API made up nobody says that they are real people, here or beside the file."""
    write(tmp_path / "followgraph.db", closed([(1, 2)]))
    settings = json.dumps({"source": source})
    with closing(Database.open(tmp_path / "followgraph.db", now=lambda: 0.0)) as database:
        database.transact(lambda conn: conn.exec_driver_sql("UPDATE runs SET settings = ?", (settings,)))
    environ = {"HOME": str(tmp_path_factory.mktemp("home"))}
    for more in ([], ["--pseudonymise"], ["--pseudonymise"]):
        ran = run("export", "--format", "edgelist", "--output", "e.tsv", *more, environ=environ)
        assert ran.code == 0, ran.err
        assert ("a rehearsal" in ran.out) is is_told
        assert ("real people" in ran.out) is not is_told
    assert (tmp_path / "e.tsv.NOTICE.txt").read_text().startswith("A rehearsal") is is_told


def study(run: Run, tmp_path: Path) -> dict[str, str]:
    """Seed a study in a folder of its own; returns the environment of somebody with a home."""
    (tmp_path / "study").mkdir()
    run("seed", "@anna.lang", "@berta.lang", "--db", "study/a.db")
    return {"HOME": str(tmp_path / "home")}


def test_pseudonyms_by_flag_level_or_setting(run: Run, tmp_path: Path) -> None:
    """Three ways to ask for them, the same pseudonyms each time, and a notice with every one."""
    home = study(run, tmp_path)
    (tmp_path / "p.toml").write_text('[policy]\nexport_level = "pseudonymous"\n')
    made = []
    for number, asked in enumerate((["--pseudonymise"], ["--level", "pseudonymous"], ["--config", "p.toml"])):
        ran = run("export", "--format", "csv", "--output", f"out{number}", "--db", "study/a.db", *asked, "--json",
                  environ=home)  # fmt: skip
        assert ran.code == 0, ran.err
        assert ran.document["level"] == "pseudonymous"
        made.append((tmp_path / f"out{number}" / "accounts.csv").read_text())
        assert "not anonymous" in (tmp_path / f"out{number}" / "NOTICE.txt").read_text()
    assert len(set(made)) == 1
    assert "lang" not in made[0]
    [key] = (tmp_path / "home").rglob("*.key")
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text().strip() not in "".join(path.read_text() for path in (tmp_path / "study").glob("*.jsonl"))
    told = run(
        "export", "--format", "edgelist", "--output", "e.tsv", "--db", "study/a.db", "--pseudonymise", environ=home
    )
    assert "not anonymous" in told.out
    assert (tmp_path / "e.tsv.NOTICE.txt").exists()


def test_the_level_of_the_policy_holds_unless_a_flag_says_otherwise(run: Run, tmp_path: Path) -> None:
    """Flag before file; two flags that contradict each other are a mistake."""
    home = study(run, tmp_path)
    asked = ("export", "--format", "csv", "--output", "out", "--db", "study/a.db")
    assert run(*asked, "--level", "raw", "--pseudonymise", environ=home).code == 2
    assert run(*asked, "--level", "nothing", environ=home).code == 2
    environ = {**home, "FOLLOWGRAPH_POLICY__EXPORT_LEVEL": "pseudonymous"}
    assert run(*asked, "--level", "raw", "--json", environ=environ).document["level"] == "raw"


def test_counts_are_tables_only(run: Run, tmp_path: Path) -> None:
    """Counts are written as csv or parquet and hold nobody; a graph format is refused."""
    home = study(run, tmp_path)
    asked = ("export", "--output", "out", "--db", "study/a.db", "--level", "aggregate", "--json")
    assert run(*asked, "--format", "graphml", environ=home).code == 2
    for format in ("csv", "parquet"):
        assert run(*asked, "--format", format, environ=home).code == 0
    text = (tmp_path / "out" / "counts.csv").read_text()
    assert "anna" not in text
    assert text.startswith("table,cell,accounts")


def test_every_export_is_noted_beside_the_database(run: Run, tmp_path: Path) -> None:
    """The list is private, grows by a line each time, and the database itself is not touched."""
    study(run, tmp_path)
    before = (tmp_path / "study" / "a.db").read_bytes()
    for number in range(2):
        run("export", "--format", "csv", "--output", f"out{number}", "--db", "study/a.db")
    noted = tmp_path / "study" / "a.db.outputs.jsonl"
    assert noted.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in noted.read_text().splitlines()]
    assert [(line["kind"], line["level"], len(line["files"])) for line in lines] == [("export", "raw", 2)] * 2
    assert (tmp_path / "study" / "a.db").read_bytes() == before


def test_another_key_is_told(run: Run, tmp_path: Path) -> None:
    """Pseudonyms that will not match earlier ones are announced."""
    home = study(run, tmp_path)
    asked = ("export", "--format", "csv", "--output", "out", "--db", "study/a.db", "--pseudonymise")
    assert "no match" not in run(*asked, environ=home).err
    (tmp_path / "other.key").write_text("5e" * 32)
    (tmp_path / "other.key").chmod(0o600)
    assert "no match" in run(*asked, "--key", tmp_path / "other.key", environ=home).err


def test_an_output_cannot_leave_its_place(run: Run, tmp_path: Path) -> None:
    """A path goes where it says: nothing in a database, and no folder that is not there, leads it elsewhere."""
    home = study(run, tmp_path)
    ran = run("export", "--format", "csv", "--output", "a/../b", "--db", "study/a.db", environ=home)
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "study"]
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["accounts.csv", "follows.csv"]


def test_exports_carry_the_policy(run: Run, tmp_path: Path) -> None:
    """Where a policy was written, every export says on what ground it was made; where none was, nothing is added."""
    study(run, tmp_path)
    asked = ("export", "--format", "edgelist", "--db", "study/a.db", "--output")
    run(*asked, "plain.tsv")
    assert not (tmp_path / "plain.tsv.NOTICE.txt").exists()
    (tmp_path / "config.toml").write_text('[policy]\napproval = "IRB 2026-117"\n')
    run(*asked, "e.tsv")
    assert "IRB 2026-117" in (tmp_path / "e.tsv.NOTICE.txt").read_text()


def test_a_drawing_is_of_the_graph_as_it_is_exported(
    run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Positions, colours and communities come with names and under pseudonyms alike, and --as-of leaves out more."""
    pairs = [(a, b) for group in (range(1, 6), range(6, 11)) for a in group for b in group if a != b]
    write(tmp_path / "followgraph.db", closed([*pairs, (1, 6)]))
    environ = {"HOME": str(tmp_path_factory.mktemp("home"))}
    for format, name, more in (
        ("gexf", "bare.gexf", []),
        ("gexf", "masked.gexf", ["--pseudonymise"]),
        ("gexf", "early.gexf", ["--as-of", "2001-01-01"]),
        ("graphology", "bare.json", []),
    ):
        ran = run("export", "--format", format, "--output", name, *more, environ=environ)
        assert ran.code == 0, ran.err
    bare, masked = nx.read_gexf(tmp_path / "bare.gexf"), nx.read_gexf(tmp_path / "masked.gexf")
    assert len(nx.read_gexf(tmp_path / "early.gexf")) == 0
    assert {facts["label"] for _, facts in bare.nodes(data=True)} == {f"u{number}" for number in range(1, 11)}
    assert all(facts["label"].startswith("acct-") for _, facts in masked.nodes(data=True))

    def drawn(graph: nx.DiGraph) -> list[str]:
        return sorted(f"{facts['community']} {facts['viz']}" for _, facts in graph.nodes(data=True))

    assert drawn(bare) == drawn(masked)
    assert {facts["community"] for _, facts in bare.nodes(data=True)} == {1, 2}
    assert len(set(drawn(bare))) == 10
    high = [sorted(facts["pagerank_imputed"] for _, facts in graph.nodes(data=True)) for graph in (bare, masked)]
    assert high[0] == high[1]
    assert sum(high[0]) == pytest.approx(1)
    assert not any("rank_lo" in facts for _, facts in bare.nodes(data=True))  # nothing audited the follower counts
    nodes = json.loads((tmp_path / "bare.json").read_text())["nodes"]
    assert {node["key"]: node["attributes"]["x"] for node in nodes} == {
        key: facts["viz"]["position"]["x"] for key, facts in bare.nodes(data=True)
    }
    assert (tmp_path / "masked.gexf.NOTICE.txt").is_file()


def test_a_drawing_of_a_time_before_its_control_sample(run: Run, tmp_path: Path) -> None:
    """A control sample that was not whole at a time audits nothing that is said of that time."""
    crawl(tmp_path / "followgraph.db", audit="control")
    for name, when, is_bounded in (("early", "2026-10-26T13:00", False), ("late", "2026-11-26", True)):
        ran = run("export", "--format", "gexf", "--output", name, "--as-of", when)
        assert ran.code == 0, ran.err
        accounts = nx.read_gexf(tmp_path / name).nodes(data=True)
        assert all("pagerank_imputed" in facts for _, facts in accounts)
        assert any("rank_lo" in facts for _, facts in accounts) is is_bounded


def test_a_graph_too_large_for_communities_is_exported_without(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where communities cannot be computed, positions are left out, and that is said."""
    monkeypatch.setattr(communities, "MAX_PAIRS", 1)
    write(tmp_path / "followgraph.db", closed([(1, 2), (2, 3)]))
    ran = run("export", "--format", "gexf", "--output", "out.gexf")
    assert ran.code == 0, ran.err
    assert "has no positions, colours or communities" in ran.err
    graph = nx.read_gexf(tmp_path / "out.gexf")
    assert len(graph.edges) == 2
    assert not any("viz" in facts or "community" in facts for _, facts in graph.nodes(data=True))
    assert all("pagerank_imputed" in facts for _, facts in graph.nodes(data=True))


def test_a_partitioned_export(run: Run, tmp_path: Path) -> None:
    """Two folders of Parquet, told file by file, replaced by the next; a stranger's file among them stays."""
    run("seed", "@a", "@b")
    for _ in range(2):
        ran = run("export", "--format", "parquet", "--partitions", "2", "--output", "out", "--json")
        assert ran.code == 0, ran.err
        names = sorted(str(Path(path).relative_to(tmp_path)) for path in ran.document["files"])
        assert names == [
            "out/accounts/part-00000.parquet",
            "out/accounts/part-00001.parquet",
            "out/follows/part-00000.parquet",
        ]
    (tmp_path / "out" / "follows" / "mine.txt").write_text("mine")
    ran = run("export", "--format", "parquet", "--partitions", "2", "--output", "out")
    assert ran.code == 2
    assert "is no export of this database" in ran.err
    assert (tmp_path / "out" / "follows" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--format", "csv", "--partitions", "2"), "--partitions is of parquet alone"),
        (("--format", "parquet", "--level", "aggregate", "--partitions", "2"), "--partitions is of parquet alone"),
        (("--format", "parquet", "--partitions", "0"), "--partitions is 0"),
    ],
)
def test_partitions_that_mean_nothing(run: Run, words: tuple[str, ...], problem: str) -> None:
    """Partitions of what has none, or none of them, is bad input."""
    run("seed", "@a")
    ran = run("export", *words, "--output", "out")
    assert ran.code == 2
    assert problem in ran.err
