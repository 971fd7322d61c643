"""The programs on Spark against the local engine, on one session of two threads: `make spark` runs all of it."""

from __future__ import annotations

import json
import shutil
import signal
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.centrality import in_degree, out_degree, pagerank
from analysis.engine import component_labels
from analysis.graph import FollowGraph, load_graph
from analysis.imputation import Links, impute
from analysis.sample import counted, read_drawn
from storage import partitions
from storage.database import Database
from tests.analysis.sample import closed, edges, partial, values, write

pytest.importorskip("pyspark", reason="pyspark is not installed: make spark")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java, and there is none on the path", allow_module_level=True)

from analysis.distributed import cluster, propagation, study, tables

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "spark.sql.shuffle.partitions": "4",
    "spark.driver.memory": "2g",
    # Nothing here runs long enough to be worth compiling.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # The graphs here are small enough to be sent whole to each task; what is tested is what happens to large ones.
    "spark.sql.autoBroadcastJoinThreshold": "-1",
}
Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    place = {"spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse"))}
    with cluster.opened("local[2]", SETTINGS | place) as session:
        session.sparkContext.setLogLevel("ERROR")
        yield session


def quiet(program: str, number: int, change: float) -> None:
    """Take note of no round."""


def exported(path: Path, folder: Path, parts: int = 3) -> Path:
    """Export a database as a partitioned data set."""
    with closing(Database.open(path, now=lambda: 0.0, mode="read")) as database, database.read() as conn:
        partitions.write(conn, folder, parts)
    return folder


def laid(folder: Path, pairs: Sequence[tuple[str, str]], facts: Mapping[str, Sequence[Any]] | None = None) -> Path:
    """Write follows and whoever they name as a partitioned export with nothing else known."""
    ids = sorted({name for pair in pairs for name in pair})
    nothing = pa.nulls(len(ids), pa.int64())
    accounts = {
        "id": ids,
        "label": ids,
        "role": ["expanded"] * len(ids),
        "completeness": ["complete"] * len(ids),
        "followers_reported": nothing,
        "following_reported": nothing,
    } | dict(facts or {})
    for name, table in (
        ("accounts", pa.table(accounts)),
        ("follows", pa.table({"source": [pair[0] for pair in pairs], "target": [pair[1] for pair in pairs]})),
    ):
        (folder / name).mkdir(parents=True)
        pq.write_table(table, folder / name / "part-00000.parquet")
    return folder


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the accounts of a finished analysis by id."""
    return {row["id"]: row for row in pq.read_table(folder / "accounts").to_pylist()}


@dataclass(frozen=True)
class Both:
    """One graph from both engines: the local graph, what Spark found of each of its accounts, and where."""

    graph: FollowGraph
    links: Links
    followers: Floats
    found: list[dict[str, Any]]
    told: dict[str, Any]
    folder: Path

    def column(self, name: str) -> Floats:
        return np.array([row[name] for row in self.found], dtype=np.float64)


def both(spark: Any, path: Path, folder: Path, **asked: Any) -> Both:
    """Analyse a database on Spark; read it for the local engine."""
    source, target = exported(path, folder / "export"), folder / "out"
    told = study.analyse(spark, str(source), str(target), study.Asked(**asked), quiet)
    graph = load_graph(path, keep=False)
    with closing(Database.open(path, now=lambda: 0.0, mode="read")) as database, database.read() as conn:
        sample = read_drawn(conn, graph).sample
    found = results(target)
    rows = [found[str(key)] for key in graph.accounts.id.tolist()]
    return Both(graph, Links.of(sample), counted(sample), rows, told, target)


@pytest.fixture(scope="module")
def crawl(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """A partial crawl of a drawn network: partial and hidden lists, accounts nobody visited."""
    folder, rng = tmp_path_factory.mktemp("crawl"), Random(5)
    pairs = {(rng.randrange(600), int(600 * rng.random() ** 3)) for _ in range(6_000)}
    sample = partial(sorted(pair for pair in pairs if pair[0] != pair[1]), pages=250)
    return both(spark, write(folder / "crawl.db", sample), folder, settled=1e-9)


def test_scores_are_the_local_engines(crawl: Both) -> None:
    """PageRank and imputed PageRank differ from the local ones by 1e-8 at most, all accounts together."""
    assert {"complete", "partial", "hidden", None} <= {row["completeness"] for row in coverage(crawl.folder)}
    assert np.abs(crawl.column("pagerank") - pagerank(crawl.graph)).sum() <= 1e-8
    local = impute(crawl.links, crawl.followers).scores
    assert np.abs(local - pagerank(crawl.graph)).sum() > 0.05
    assert np.abs(crawl.column("imputed_pagerank") - local).sum() <= 1e-8


def coverage(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder / "coverage").to_pylist()


def test_degrees_and_coverage_are_the_local_engines(crawl: Both) -> None:
    """The table of degrees is the histogram of the graph's; the coverage adds up to the accounts and the follows."""
    expected = [
        (side, degree, count)
        for side, degrees in (("followers", in_degree(crawl.graph)), ("following", out_degree(crawl.graph)))
        for degree, count in sorted(Counter(degrees.tolist()).items())
    ]
    rows = pq.read_table(crawl.folder / "degrees").to_pylist()
    assert [(row["side"], row["degree"], row["accounts"]) for row in rows] == expected
    assert crawl.column("followers_observed").tolist() == in_degree(crawl.graph).tolist()
    known = coverage(crawl.folder)
    assert sum(row["accounts"] for row in known) == len(crawl.graph) == crawl.told["accounts"]
    assert sum(row["read"] for row in known) == len(crawl.graph.src) == crawl.told["edges"]
    reported = crawl.graph.accounts.following
    assert sum(row["announced"] or 0 for row in known) == reported[reported >= 0].sum()


def test_components_are_the_local_engines(crawl: Both) -> None:
    """The same accounts are together, and a component bears the id of its lowest account."""
    check_components(crawl)


def check_components(given: Both) -> None:
    labels = component_labels(len(given.graph), given.graph.src, given.graph.dst)
    ids = given.graph.accounts.id
    lowest = np.full(labels.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(lowest, labels, ids)
    assert [row["component"] for row in given.found] == [str(key) for key in lowest[labels]]
    assert given.told["programs"]["components"]["found"] == len(lowest)
    assert given.told["programs"]["components"]["largest"] == np.bincount(labels).max()


def propagated(n: int, src: Sequence[int], dst: Sequence[int], turns: int) -> list[int]:
    """Label propagation as Graphalytics defines it, in plain Python."""
    labels = list(range(n))
    for _ in range(turns):
        votes: list[Counter[int]] = [Counter() for _ in range(n)]
        for source, target in zip(src, dst, strict=True):
            votes[target][labels[source]] += 1
            votes[source][labels[target]] += 1
        labels = [
            min(((-c, v) for v, c in each.items()), default=(0, own))[1]
            for each, own in zip(votes, labels, strict=True)
        ]
    return labels


def test_communities_are_those_of_the_definition(crawl: Both) -> None:
    """Label propagation gives what plain Python gives: equals go to the lowest label, in every round."""
    expected = propagated(len(crawl.graph), crawl.graph.src.tolist(), crawl.graph.dst.tolist(), 10)
    ids = crawl.graph.accounts.id
    assert [row["community"] for row in crawl.found] == [str(ids[label]) for label in expected]


def test_communities_are_the_published_ones(spark: Any, tmp_path: Path) -> None:
    """On LDBC's example the labels are LDBC's, after its two rounds."""
    name = "ref-ldbc-example-directed"
    source = laid(tmp_path / "in", [(str(a), str(b)) for a, b in edges(name)])
    asked = study.Asked(programs=["communities"], turns=2)
    study.analyse(spark, str(source), str(tmp_path / "out"), asked, quiet)
    found = {int(key): float(row["community"]) for key, row in results(tmp_path / "out").items()}
    assert found == values(name, "cdlp.tsv.gz")


def test_what_was_stopped_goes_on_after_the_last_finished_round(spark: Any, tmp_path: Path) -> None:
    """Stopped in a round, the same command repeats that round and none before; the scores are those of one run."""
    rng = Random(3)
    pairs = sorted({(f"p{rng.randrange(60)}", f"p{rng.randrange(60)}") for _ in range(300)})
    source, target = laid(tmp_path / "in", pairs), tmp_path / "out"
    asked = study.Asked(programs=["pagerank", "components"], settled=1e-3)
    rounds: list[tuple[str, int]] = []

    def watched(stop: int | None) -> Callable[[str, int, float], None]:
        def progress(program: str, number: int, change: float) -> None:
            rounds.append((program, number))
            if number == stop:
                raise KeyboardInterrupt

        return progress

    with pytest.raises(KeyboardInterrupt):
        study.analyse(spark, str(source), str(target), asked, watched(4))
    # What a kill leaves of a round: files, and no sign that they are all.
    half = shutil.copytree(target / "work" / "pagerank-00004", target / "work" / "pagerank-00005")
    (half / "_SUCCESS").unlink()
    assert rounds == [("pagerank", number) for number in range(1, 5)]
    told = study.analyse(spark, str(source), str(target), asked, watched(None))
    assert rounds[4] == ("pagerank", 5)
    assert len(rounds) == len(set(rounds))
    whole = study.analyse(spark, str(source), str(tmp_path / "whole"), asked, quiet)
    assert told == whole
    once, twice = results(tmp_path / "whole"), results(target)
    assert sum(abs(once[key]["pagerank"] - twice[key]["pagerank"]) for key in once) < 1e-12
    assert not (target / "work").exists()


def test_pseudonyms_are_numbered_in_their_order(spark: Any, tmp_path: Path) -> None:
    """Ids that are no numbers do as well, one that looks like one among them."""
    pairs = [("b", "a"), ("c", "b"), ("007", "7"), ("x", "y"), ("y", "y")]
    told = study.analyse(
        spark, str(laid(tmp_path / "in", pairs)), str(tmp_path / "out"), study.Asked(programs=["components"]), quiet
    )
    found = {key: row["component"] for key, row in results(tmp_path / "out").items()}
    assert found == {"a": "a", "b": "a", "c": "a", "007": "007", "7": "007", "x": "x", "y": "x"}
    assert told["edges"] == 4


def test_a_hub_is_joined_in_pieces(spark: Any, tmp_path: Path) -> None:
    """Where one account has nearly all followers, adaptive execution splits its join, and the results are right."""
    fans = [f"{10_000 + number}" for number in range(30_000)]
    pairs = [(fan, "5") for fan in fans] + [(str(a), str(a + 1)) for a in range(50_000, 51_000)]
    lopsided = {
        "spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes": "20KB",
        "spark.sql.adaptive.advisoryPartitionSizeInBytes": "20KB",
        "spark.sql.adaptive.skewJoin.skewedPartitionFactor": "2",
    }
    for name, value in lopsided.items():
        spark.conf.set(name, value)
    try:
        source = laid(tmp_path / "in", pairs)
        asked = study.Asked(programs=["components", "communities"], turns=2)
        told = study.analyse(spark, str(source), str(tmp_path / "out"), asked, quiet)
        follows = spark.read.parquet(str(source / "follows")).selectExpr("BIGINT(source) src", "BIGINT(target) dst")
        nodes = spark.read.parquet(str(source / "accounts")).selectExpr("BIGINT(id) node", "BIGINT(id) label")
        turned = propagation.turn(nodes, follows.repartition(8))
        turned.collect()
        assert "skew=true" in turned._jdf.queryExecution().executedPlan().toString()
    finally:
        for name in lopsided:
            spark.conf.unset(name)
    assert told["programs"]["components"]["found"] == 2
    found = results(tmp_path / "out")
    assert {found[fan]["component"] for fan in fans} == {"5"}
    assert found["5"]["followers_observed"] == len(fans)


def test_a_wrong_folder_is_told(spark: Any, tmp_path: Path) -> None:
    """No export, an export of other columns, a place that is taken: told, and nothing is written."""
    with pytest.raises(tables.NoExport, match="has no folder accounts"):
        study.analyse(spark, str(tmp_path / "none"), str(tmp_path / "out"), study.Asked(), quiet)
    source = laid(tmp_path / "in", [("1", "2")])
    shutil.copytree(source, tmp_path / "other")
    pq.write_table(pa.table({"source": ["1"]}), tmp_path / "other" / "follows" / "part-00000.parquet")
    with pytest.raises(tables.NoExport, match="follows has no column target"):
        study.analyse(spark, str(tmp_path / "other"), str(tmp_path / "out"), study.Asked(), quiet)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(cluster.Unusable, match="is not empty"):
        study.analyse(spark, str(source), str(tmp_path / "out"), study.Asked(), quiet)


def test_another_export_in_the_same_folder_is_no_continuation(spark: Any, tmp_path: Path) -> None:
    """Its files have the same names; what was begun of the first is not told as the second's."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    asked = study.Asked(programs=["pagerank"], settled=1e-3)
    source = laid(tmp_path / "in", [("1", "2"), ("2", "3"), ("3", "1"), ("1", "3")])
    with pytest.raises(KeyboardInterrupt):
        study.analyse(spark, str(source), str(tmp_path / "out"), asked, stop)
    shutil.rmtree(source)
    laid(source, [("1", "2"), ("2", "3"), ("3", "1"), ("2", "1")])
    with pytest.raises(cluster.Unusable, match="of another export"):
        study.analyse(spark, str(source), str(tmp_path / "out"), asked, quiet)


def test_what_is_written_is_for_its_owner_alone(crawl: Both) -> None:
    """The graph of real people is personal data: nobody else may read a file of it."""
    for path in crawl.folder.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.complete
def test_a_real_graph_on_both_engines(spark: Any, tmp_path: Path) -> None:
    """soc-slashdot0902, 870,161 follows: PageRank within 1e-8 of the local one, the same components and degrees."""
    path = write(tmp_path / "slashdot.db", closed(edges("soc-slashdot0902")))
    given = both(spark, path, tmp_path, programs=["pagerank", "components"], settled=1e-9)
    assert np.abs(given.column("pagerank") - pagerank(given.graph)).sum() <= 1e-8
    check_components(given)
    assert given.column("followers_observed").tolist() == in_degree(given.graph).tolist()


@pytest.mark.complete
def test_the_command_goes_on_after_a_kill(tmp_path: Path) -> None:
    """Killed in a round and asked again, the command ends with one JSON object, and repeats no finished round."""
    rng = Random(3)
    laid(tmp_path / "in", sorted({(f"{rng.randrange(200)}", f"{rng.randrange(200)}") for _ in range(900)}))
    command = [
        *(sys.executable, "-m", "cli.main", "--json", "analyse", "--engine", "spark", "--master", "local[2]"),
        *("--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--programs", "pagerank"),
        *("--spark", "spark.driver.memory=1g"),
    ]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as first:
        assert first.stderr is not None
        assert any("pagerank, round 3:" in line for line in first.stderr)
        first.send_signal(signal.SIGKILL)
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert "WARN" not in second.stderr  # what Spark prints is kept out of it
    document = json.loads(second.stdout)
    assert document["programs"]["pagerank"]["change"] < 1e-10
    assert "pagerank, round 3:" not in second.stderr
    taken = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert taken.returncode == 2
    assert json.loads(taken.stdout)["error"]["message"].endswith("is not empty")
