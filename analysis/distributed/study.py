"""An export analysed from one folder into another: each program once, and gone on with where it was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everybody knows it

from analysis.distributed import components, pagerank, propagation, tables
from analysis.distributed.cluster import Store, Unusable, fit
from analysis.distributed.rounds import Progress, Rounds

COLUMNS = {"pagerank": "score", "imputed": "score", "components": "component", "communities": "label"}
"""The programs, and the column of their last round that is their result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be done: `programs` of COLUMNS; `damping` and `settled` are of both kinds of PageRank."""

    programs: Sequence[str] = tuple(COLUMNS)
    damping: float = pagerank.DAMPING
    settled: float = pagerank.SETTLED
    turns: int = propagation.ROUNDS


def analyse(spark: SparkSession, source: str, target: str, asked: Asked, progress: Progress) -> dict[str, Any]:
    """Analyse the export in `source` into `target`: tables accounts, degrees, coverage; return what is to be told.

    Rounds stand in `target`/work until the tables are whole. Raises Unusable.
    """
    done, work = Store(spark, target), Store(spark, f"{target.rstrip('/')}/work")
    export = Store(spark, source)
    _, follows = tables.given(export)  # a wrong folder must not leave an empty one
    _claim(export, done, work, asked)
    fit(spark, follows=follows.count())
    tables.prepare(export, work)
    nodes, edges = work.read("nodes"), work.read("edges")
    told = {name: _run(name, work, asked, progress) for name in COLUMNS if name in asked.programs}
    result = _joined(nodes, work, asked.programs)
    done.write("degrees", tables.degrees(nodes))
    done.write("coverage", tables.coverage(nodes))
    done.write("accounts", result)
    accounts = done.read("accounts")
    for name in ("components", "communities"):
        if name in told:
            sizes = accounts.groupBy(_word(name)).count().agg(F.count("*"), F.max("count")).first()
            told[name] |= {"found": sizes[0], "largest": sizes[1]} if sizes else {}
    found = {"accounts": accounts.count(), "edges": edges.count(), "programs": told}
    done.drop("work")
    return found


def _claim(export: Store, done: Store, work: Store, asked: Asked) -> None:
    """Refuse to write over a finished analysis, or to go on with one of something else."""
    wanted = {
        "source": export.root,
        # Another export into the same folder has the same names.
        "files": {name: Store(export.spark, f"{export.root}/{name}").stamps() for name in tables.NEEDED},
        "damping": asked.damping,
        "settled": asked.settled,
        "turns": asked.turns,
    }
    begun = work.noted("asked")
    if begun is not None and begun != wanted:
        raise Unusable(
            f"{done.root} holds the unfinished analysis of another export, or under other options",
            hint="Ask for the same again to go on with it, name another --output, or delete that folder.",
        )
    if begun is None and done.names():
        raise Unusable(f"{done.root} is not empty", hint="Name another --output, or delete that folder.")
    if begun is None:
        work.note("asked", wanted)


def _run(name: str, work: Store, asked: Asked, progress: Progress) -> dict[str, Any]:
    rounds = Rounds(work, name, progress)
    if (outcome := rounds.outcome) is not None:
        return outcome
    nodes, edges = work.read("nodes"), work.read("edges")
    if name == "components":
        return components.run(rounds, edges)
    if name == "communities":
        return propagation.run(rounds, nodes, edges, at_most=asked.turns)
    imputed = name == "imputed"
    laid = _laid(edges.repartition("src").sortWithinPartitions("src"))
    fixed = _laid(pagerank.terms(nodes, imputed=imputed).repartition("node").sortWithinPartitions("node"))
    try:
        return pagerank.run(rounds, fixed, laid, imputed=imputed, damping=asked.damping, settled=asked.settled)
    finally:
        laid.unpersist()
        fixed.unpersist()


def _laid(frame: DataFrame) -> DataFrame:
    """Keep a table where it is computed, in memory as far as it goes and on the executors' disks beyond."""
    return frame.persist(StorageLevel.MEMORY_AND_DISK)


def _word(name: str) -> str:
    return {"components": "component", "communities": "community", "imputed": "imputed_pagerank"}.get(name, name)


def _joined(nodes: DataFrame, work: Store, programs: Sequence[str]) -> DataFrame:
    """Return the accounts, `listings` and `listed` under the exports' words, with every result.

    A component or a community is named by the id of its lowest account.
    """
    names = nodes.select("node", "id")
    whole = nodes.select(
        "node",
        "id",
        "label",
        F.col("listings").alias("followers_observed"),
        F.col("listed").alias("following_observed"),
    )
    for name in (each for each in COLUMNS if each in programs):
        last = Rounds(work, name, lambda *_: None)
        found = last.read(last.last()[0]).select("node", F.col(COLUMNS[name]).alias("result"))
        whole = whole.join(found, "node", "left")
        if name in {"components", "communities"}:
            lowest = names.select(F.col("node").alias("result"), F.col("id").alias(_word(name)))
            whole = whole.withColumn("result", F.coalesce("result", "node")).join(lowest, "result", "left")
        else:
            whole = whole.withColumn(_word(name), F.col("result"))
        whole = whole.drop("result")
    return whole.drop("node")
